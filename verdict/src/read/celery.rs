//! What Celery says on its event exchange, and how its messages lie in a queue.
//!
//! Both are envelopes of its transport: a JSON object whose `body` is text, base64 where `properties.body_encoding` says
//! so. Of an event only the worker's own are read (`worker-online`, `worker-heartbeat`, `worker-offline`); of a message in
//! a queue only what tells it from the next, never what it carries.

use std::sync::Arc;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use serde_json::Value;

use crate::evidence::Mark;
use crate::read::stamp::{self, Stamp};
use crate::time::WallTime;
use crate::words::Failure;

/// A declared interval beyond these bounds is not believed: Celery's own is 2 s.
const INTERVALS: std::ops::RangeInclusive<f64> = 0.1..=172_800.0;
/// Longer names are not those of nodes.
const MAX_NAME: usize = 512;

/// What a worker said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// It has connected: the first beat of a start, or of a new connection.
    Online,
    /// It beats.
    Heartbeat,
    /// It stops, or says so of a connection that it lost.
    Offline,
}

/// One event of a worker.
#[derive(Clone, Debug, PartialEq)]
pub struct Event {
    /// Which.
    pub kind: Kind,
    /// Its node name, `celery@host`.
    pub hostname: Arc<str>,
    /// Its process.
    pub pid: Option<u64>,
    /// Seconds between its heartbeats.
    pub freq: Option<Duration>,
    /// Tasks that its pool works on.
    pub active: Option<u64>,
    /// Tasks that its pool began since it started.
    pub processed: Option<u64>,
    /// When it said so, by its own clock.
    pub stamp: Option<WallTime>,
    /// Its software, `py-celery`.
    pub software: Option<Arc<str>>,
    /// The version of it.
    pub version: Option<Arc<str>>,
}

impl Event {
    /// Tasks finished since it started: those that it began and does not work on any more. Celery counts a task when
    /// its pool takes it.
    #[must_use]
    pub fn finished(&self) -> Option<u64> {
        Some(self.processed?.saturating_sub(self.active?))
    }

    /// Its host, as its node name says it.
    #[must_use]
    pub fn host(&self) -> Option<Arc<str>> {
        self.hostname.split_once('@').map(|(_, host)| Arc::from(host)).filter(|host: &Arc<str>| !host.is_empty())
    }
}

#[derive(Deserialize)]
struct Envelope {
    body: Option<Value>,
    #[serde(rename = "content-type")]
    content_type: Option<String>,
    #[serde(default)]
    headers: Option<Value>,
    #[serde(default)]
    properties: Option<Value>,
}

/// Reads a message of the event exchange. `None`: an event that is none of a worker's own.
///
/// # Errors
/// [`Failure::BodyInvalid`] when it is no such message, or its body is written in a way that is not JSON;
/// [`Failure::FieldInvalid`] when it says nobody's name.
pub fn event(message: &[u8]) -> Result<Option<Event>, Failure> {
    let envelope: Envelope = serde_json::from_slice(message).map_err(|_| Failure::BodyInvalid)?;
    if envelope.content_type.as_deref().is_some_and(|kind| !kind.contains("json")) {
        return Err(Failure::BodyInvalid);
    }
    let Some(Value::String(body)) = envelope.body else { return Err(Failure::BodyInvalid) };
    let encoding = envelope.properties.as_ref().and_then(|properties| properties.get("body_encoding")?.as_str());
    let body = match encoding {
        Some("base64") => STANDARD.decode(body).map_err(|_| Failure::BodyInvalid)?,
        _ => body.into_bytes(),
    };
    let said: Value = serde_json::from_slice(&body).map_err(|_| Failure::BodyInvalid)?;
    // Task events come in lists, and are not asked for.
    let Value::Object(said) = said else { return Ok(None) };
    let kind = match said.get("type").and_then(Value::as_str) {
        Some("worker-online") => Kind::Online,
        Some("worker-heartbeat") => Kind::Heartbeat,
        Some("worker-offline") => Kind::Offline,
        _ => return Ok(None),
    };
    let text = |name| said.get(name).and_then(Value::as_str).filter(|text| text.len() <= MAX_NAME && !text.is_empty());
    let whole = |name| said.get(name).and_then(Value::as_u64);
    let freq = said.get("freq").and_then(Value::as_f64).filter(|freq| INTERVALS.contains(freq));
    let stamp = match stamp::json(said.get("timestamp")) {
        Stamp::At(at) => Some(at),
        Stamp::Never | Stamp::Invalid => None,
    };
    Ok(Some(Event {
        kind,
        hostname: Arc::from(text("hostname").ok_or(Failure::FieldInvalid)?),
        pid: whole("pid"),
        freq: freq.map(Duration::from_secs_f64),
        active: whole("active"),
        processed: whole("processed"),
        stamp,
        software: text("sw_ident").map(Arc::from),
        version: text("sw_ver").map(Arc::from),
    }))
}

/// What tells a message of a queue from the next: its delivery tag, else its id, else all of it. A message carries no
/// time of its own, so the head's age is how long the same message has been seen at it.
#[must_use]
pub fn head(message: &[u8]) -> Mark {
    let named = serde_json::from_slice::<Envelope>(message).ok().and_then(|envelope| {
        let text = |part: &Option<Value>, name| part.as_ref()?.get(name)?.as_str().map(str::to_owned);
        text(&envelope.properties, "delivery_tag").or_else(|| text(&envelope.headers, "id"))
    });
    named.map_or_else(|| Mark::bytes(message), |name| Mark::bytes(name.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As Celery 5.7 sends it over Redis.
    fn sent(body: &str) -> Vec<u8> {
        let properties = serde_json::json!({"delivery_mode": 1, "body_encoding": "base64", "delivery_tag": "8f57"});
        serde_json::json!({
            "body": STANDARD.encode(body), "content-encoding": "utf-8", "content-type": "application/json",
            "headers": {"hostname": "w1@vm"}, "properties": properties,
        })
        .to_string()
        .into_bytes()
    }

    const BEAT: &str = r#"{"hostname": "w1@vm", "utcoffset": 0.0, "pid": 12511, "clock": 10, "freq": 2.0, "active": 2,
        "processed": 7, "loadavg": [4.81, 4.2, 4.06], "sw_ident": "py-celery", "sw_ver": "5.7.0", "sw_sys": "Linux",
        "timestamp": 1795335772.0014033, "type": "worker-heartbeat"}"#;

    #[test]
    fn a_heartbeat_says_its_cadence_what_it_works_on_and_what_it_began() {
        let beat = event(&sent(BEAT)).unwrap_or_default();
        let Some(beat) = beat else { panic!("no heartbeat") };
        assert_eq!((beat.kind, &*beat.hostname, beat.pid), (Kind::Heartbeat, "w1@vm", Some(12511)));
        assert_eq!((beat.freq, beat.active, beat.processed), (Some(Duration::from_secs(2)), Some(2), Some(7)));
        assert_eq!((beat.finished(), beat.host().as_deref()), (Some(5), Some("vm")));
        assert_eq!(beat.stamp, WallTime::from_seconds(1_795_335_772.001_403_3));
        assert_eq!((beat.software.as_deref(), beat.version.as_deref()), (Some("py-celery"), Some("5.7.0")));
    }

    #[test]
    fn the_other_words_of_a_worker_are_told_apart_and_those_of_tasks_are_passed_by() {
        let kind = |word: &str| {
            let read = event(&sent(&format!(r#"{{"hostname":"a@b","type":"{word}"}}"#)));
            read.map(|event| event.map(|event| event.kind))
        };
        assert_eq!(kind("worker-online"), Ok(Some(Kind::Online)));
        assert_eq!(kind("worker-offline"), Ok(Some(Kind::Offline)));
        assert_eq!(kind("task-succeeded"), Ok(None));
        assert_eq!(event(&sent(r#"[{"type":"task-sent"},{"type":"task-received"}]"#)), Ok(None));
    }

    #[test]
    fn a_body_that_is_not_encoded_is_read_too() {
        let plain = serde_json::json!({"body": BEAT, "properties": {}}).to_string();
        assert!(matches!(event(plain.as_bytes()), Ok(Some(Event { processed: Some(7), .. }))));
    }

    #[test]
    fn what_is_no_event_is_said_to_be_none() {
        let pickled = r#"{"body":"gAJ9cQAu","content-type":"application/x-python-serialize","properties":{}}"#;
        for message in [
            "",
            "1",
            "null",
            "[]",
            "{}",
            r#"{"body":1}"#,
            r#"{"body":"{"}"#,
            pickled,
            r#"{"body":"*","properties":{"body_encoding":"base64"}}"#,
        ] {
            assert_eq!(event(message.as_bytes()), Err(Failure::BodyInvalid), "{message}");
        }
        for nameless in [r#"{"type":"worker-heartbeat"}"#, r#"{"type":"worker-heartbeat","hostname":""}"#] {
            assert_eq!(event(&sent(nameless)), Err(Failure::FieldInvalid), "{nameless}");
        }
        let long = format!(r#"{{"type":"worker-heartbeat","hostname":"{}"}}"#, "x".repeat(MAX_NAME + 1));
        assert_eq!(event(&sent(&long)), Err(Failure::FieldInvalid));
    }

    #[test]
    fn fields_of_the_wrong_kind_are_unknown_and_never_zero() {
        let odd = r#"{"type":"worker-heartbeat","hostname":"w","pid":"7","freq":0,"active":-1,"processed":1.5,"timestamp":"x"}"#;
        let Ok(Some(odd)) = event(&sent(odd)) else { panic!("it names a worker") };
        assert_eq!((odd.pid, odd.freq, odd.active, odd.processed, odd.stamp), (None, None, None, None, None));
        assert_eq!((odd.finished(), odd.host()), (None, None));
    }

    #[test]
    fn a_message_is_known_by_its_delivery_tag_and_not_by_what_it_carries() {
        let message = |tag: &str, body: &str| {
            serde_json::json!({"body": body, "headers": {"id": "same"}, "properties": {"delivery_tag": tag}})
                .to_string()
        };
        assert_eq!(head(message("a", "1").as_bytes()), head(message("a", "2").as_bytes()));
        assert_ne!(head(message("a", "1").as_bytes()), head(message("b", "1").as_bytes()));
        assert_eq!(head(br#"{"headers":{"id":"x"},"body":"1"}"#), head(br#"{"headers":{"id":"x"},"body":"2"}"#));
        assert_ne!(head(b"\xff1"), head(b"\xff2"));
    }

    proptest::proptest! {
        #[test]
        fn no_bytes_make_it_panic_and_the_same_bytes_say_the_same(message: Vec<u8>) {
            proptest::prop_assert_eq!(event(&message), event(&message));
            proptest::prop_assert_eq!(head(&message), head(&message));
        }

        #[test]
        fn no_body_makes_it_panic(body in "\\PC{0,64}", active: u64, processed: u64, freq: f64, timestamp: f64) {
            let _ = event(&sent(&body));
            let said = serde_json::json!({
                "type": "worker-heartbeat", "hostname": body, "active": active, "processed": processed, "freq": freq,
                "timestamp": timestamp,
            });
            if let Ok(Some(event)) = event(&sent(&said.to_string())) {
                proptest::prop_assert!(event.finished().is_some_and(|finished| finished <= processed));
                proptest::prop_assert!(event.freq.is_none_or(|freq| INTERVALS.contains(&freq.as_secs_f64())));
            }
        }
    }
}
