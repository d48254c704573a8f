//! What Sidekiq keeps in Redis of a process.
//!
//! The layout is that of Sidekiq 7 and 8 (`lib/sidekiq/launcher.rb`, `lib/sidekiq/api.rb`, `lib/sidekiq/client.rb` of
//! sidekiq/sidekiq, read at 1bb4aa06 and 022ec0ba):
//!
//! - `processes`: a set of identities, `<host>:<pid>:<nonce>`. A clean end takes its identity out, and leaves the hash.
//! - `<identity>`: a hash, written each 10 s to expire after 60: `info` (JSON, made once), `busy`, `concurrency` (8),
//!   `beat` (seconds), `quiet` ("true" or "false"), `rss` (KiB), `rtt_us`.
//! - `queues`: a set of names. `queue:<name>`: a list, filled at the left and served at the right, of JSON jobs with
//!   `enqueued_at` in seconds (7) or milliseconds (8).
//!
//! No process counts what it did: `stat:processed` is one counter for all. What tells is whether it holds work.

use std::time::Duration;

use serde_json::Value;

use super::hash::{Around, Hash, queues};
use super::stamp;
use crate::evidence::{Beat, Hands, Info, Mark, Numbers, Observation, Says, TypeReport};
use crate::words::TaskType;

/// Between beats: `BEAT_PAUSE`.
const BEAT: Duration = Duration::from_secs(10);

/// Reads the hash of the process `identity`. `None`: there is none, or it has no name by which to call it.
#[must_use]
pub fn process(identity: &str, hash: &Hash, around: &Around<'_>) -> Option<Observation> {
    if hash.is_empty() || identity.trim().is_empty() {
        return None;
    }
    let info: Value = hash.text("info").and_then(|info| serde_json::from_str(info).ok()).unwrap_or_default();
    let text = |name: &str| info.get(name).and_then(Value::as_str).map(str::trim).filter(|text| !text.is_empty());
    let mut parts = identity.split(':');
    let host = text("hostname").or_else(|| parts.next().map(str::trim).filter(|host| !host.is_empty()));
    // The nonce is new at each start. Two applications on one host have tags of their own.
    let slot = match (host, text("tag")) {
        (Some(host), Some(tag)) => around.shared(&format!("{host}/{tag}")),
        (Some(host), None) => around.shared(host),
        (None, _) => around.own(identity),
    };
    let mut process = Observation::new(identity, slot);
    let beat = hash.stamp("beat");
    process.beat = Some(Beat {
        mark: beat.map(Mark::stamp),
        stamp: beat,
        declared: Some(BEAT),
        own_answer: false,
        on_trial: false,
    });
    process.expires_in = around.ttl;
    process.says = Says { goodbye: hash.text("quiet") == Some("true"), ..Says::default() };
    let busy = hash.count("busy");
    let threads = hash.count("concurrency").or_else(|| info.get("concurrency").and_then(Value::as_u64));
    process.hands = match (busy, beat) {
        (Some(0), _) => Some(Hands::Empty),
        // The count alone does not tell one job from the next. A process that beats and is busy works.
        (Some(_), Some(beat)) => Some(Hands::Full(Mark::stamp(beat))),
        _ => None,
    };
    process.numbers = Numbers {
        in_flight: busy,
        memory_bytes: hash.count("rss").filter(|kib| *kib > 0).map(|kib| kib.saturating_mul(1024)),
        ..Numbers::default()
    };
    process.types = vec![TypeReport {
        task_type: TaskType::Activity,
        used: busy,
        available: threads.zip(busy).map(|(threads, busy)| threads.saturating_sub(busy)),
        processed: None,
        failed: None,
        pollers: None,
        last_poll: None,
        stamps_empty_polls: false,
        proven: true,
    }];
    process.info = Info {
        host: host.map(Into::into),
        pid: info.get("pid").and_then(Value::as_u64).map(|pid| pid.to_string().into()),
        instance: Some(identity.into()),
        sdk_name: Some("sidekiq".into()),
        sdk_version: text("version").map(Into::into),
        start_time: info.get("started_at").and_then(|started| stamp::json(Some(started)).time()),
        ..Info::default()
    };
    let names = info.get("queues").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    process.task_queues = queues(names.iter().filter_map(Value::as_str));
    Some(process)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use std::sync::Arc;

    use proptest::prelude::*;

    use super::*;
    use crate::time::WallTime;

    const INFO: &str = r#"{"hostname":"app-1","started_at":1764000000.25,"pid":4711,"tag":"orders","concurrency":5,
        "queues":["mail","mail","bulk"],"labels":["reliable"],"identity":"app-1:4711:abcdef012345","version":"7.3.9"}"#;

    fn hash(fields: &[(&str, &str)]) -> Hash {
        Hash::of(fields.iter().map(|(name, value)| (name.as_bytes().to_vec(), value.as_bytes().to_vec())))
    }

    fn read(fields: &[(&str, &str)]) -> Option<Observation> {
        let fleet = Arc::from("orders");
        let ttl = Some(Duration::from_secs(55));
        let around = Around { fleet: &fleet, ttl, now: WallTime::from_micros(1_764_000_100_000_000) };
        process("app-1:4711:abcdef012345", &hash(fields), &around)
    }

    #[test]
    fn a_process_shows_who_it_is_what_it_serves_and_what_it_holds() {
        let p = read(&[
            ("info", INFO),
            ("busy", "2"),
            ("beat", "1764000090.5"),
            ("quiet", "false"),
            ("rss", "2048"),
            ("rtt_us", "120"),
        ])
        .unwrap();
        assert_eq!((&*p.slot.key.worker, p.slot.exclusive), ("app-1/orders", false));
        assert_eq!(p.task_queues.iter().map(|q| &**q).collect::<Vec<_>>(), ["mail", "bulk"]);
        assert_eq!((p.numbers.in_flight, p.numbers.memory_bytes), (Some(2), Some(2_097_152)));
        assert_eq!((p.types[0].used, p.types[0].available), (Some(2), Some(3)));
        assert_eq!(p.hands, Some(Hands::Full(p.beat.unwrap().mark.unwrap())));
        assert_eq!((p.beat.unwrap().declared, p.expires_in), (Some(BEAT), Some(Duration::from_secs(55))));
        assert_eq!((p.info.pid.as_deref(), p.info.sdk_version.as_deref()), (Some("4711"), Some("7.3.9")));
        assert!(!p.says.goodbye);
    }

    #[test]
    fn a_quiet_process_said_goodbye_and_an_idle_one_has_empty_hands() {
        let p = read(&[("info", INFO), ("busy", "0"), ("beat", "1764000090.5"), ("quiet", "true")]).unwrap();
        assert_eq!((p.says.goodbye, p.hands), (true, Some(Hands::Empty)));
        let p = read(&[("info", INFO), ("busy", "0"), ("concurrency", "9"), ("beat", "1764000090.5")]).unwrap();
        assert_eq!((p.says.goodbye, p.types[0].available), (false, Some(9)));
    }

    #[test]
    fn a_process_without_a_name_is_nobody_and_a_blank_host_is_none() {
        let fleet = Arc::from("orders");
        let around = Around { fleet: &fleet, ttl: None, now: WallTime::default() };
        let info = r#"{"queues":"mail","pid":"x","concurrency":-3,"started_at":[],"tag":" ","hostname":7}"#;
        let fields = hash(&[("info", info), ("busy", "1"), ("rss", "18446744073709551615")]);
        for nameless in ["", " ", "\t"] {
            assert!(process(nameless, &fields, &around).is_none(), "{nameless:?}");
        }
        let blank = process(" :1:2", &fields, &around).unwrap();
        assert_eq!((&*blank.slot.key.worker, blank.slot.exclusive, blank.info.host), (" :1:2", true, None));
    }

    #[test]
    fn a_record_that_is_not_what_sidekiq_writes_claims_nothing() {
        assert!(read(&[]).is_none());
        let p = read(&[("info", "{"), ("busy", "many"), ("beat", "soon"), ("rss", "-1")]).unwrap();
        assert_eq!((&*p.slot.key.worker, p.beat.unwrap().mark), ("app-1", None));
        assert_eq!((p.hands, p.numbers.in_flight, p.types[0].available), (None, None, None));
        let p = read(&[("info", r#"{"queues":"mail","pid":"x","concurrency":-3,"started_at":[]}"#), ("busy", "1")]);
        assert_eq!(p.unwrap().task_queues.len(), 0);
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(
            identity in "\\PC{0,20}", info in "\\PC{0,60}", number in "\\PC{0,25}",
            pairs in proptest::collection::vec((any::<Vec<u8>>(), any::<Vec<u8>>()), 0..4),
        ) {
            let known = ["busy", "beat", "rss", "quiet", "concurrency"].map(|name| (name, &number));
            let known = known.into_iter().chain([("info", &info)]);
            let known = known.map(|(name, value)| (name.as_bytes().to_vec(), value.as_bytes().to_vec()));
            let hash = Hash::of(pairs.into_iter().chain(known));
            let fleet = Arc::from("f");
            let _ = process(&identity, &hash, &Around { fleet: &fleet, ttl: None, now: WallTime::default() });
        }
    }
}
