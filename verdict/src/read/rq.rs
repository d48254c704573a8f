//! What RQ keeps in Redis of a worker and of the job that it works on.
//!
//! The layout is that of RQ 3.0.0 (`rq/worker/base.py`, `rq/worker_registration.py`, `rq/executions.py`, `rq/job.py`); 1.x and
//! 2.x differ in that the job stands in the field `current_job` and not in a set of executions. Under the prefix `rq`:
//!
//! - `rq:workers`: a set of the keys of all workers; a name is taken out by its worker's clean end.
//! - `rq:worker:<name>`: a hash. `last_heartbeat` and the expiry are set anew at each beat: idle every `worker_ttl` - 15
//!   (405 s), to expire after `worker_ttl` + 60; busy every 30 s, to expire after 90; a worker that does not fork beats
//!   not at all while it works, and its key expires 60 s after the job's own timeout. State and counters are written as
//!   they change.
//! - `rq:worker:<name>:executions`: a set of `<job>:<execution>`.
//! - `rq:job:<id>`: a hash with `timeout`, `enqueued_at` and the names and timeouts of callbacks.

use std::time::Duration;

use super::hash::{Around, Hash, queues};
use crate::evidence::{Beat, Held, Info, Mark, Numbers, Observation, Says, TypeReport, Upkeep};
use crate::words::TaskType;

/// Between the beats of an idle worker, where its expiry does not tell: `worker_ttl` is 420.
const IDLE: Duration = Duration::from_secs(405);
/// Between the beats of a busy one: `job_monitoring_interval`.
const BUSY: Duration = Duration::from_secs(30);
/// An idle worker's key outlives its next beat by this: 60, and the 15 by which it wakes up early.
const IDLE_RESERVE: Duration = Duration::from_secs(75);
/// A busy one's.
const BUSY_RESERVE: Duration = Duration::from_secs(60);
/// An expiry beyond this is an operator's, not RQ's.
const LONGEST: Duration = Duration::from_secs(7 * 86_400);
/// Two clocks in step disagree by less.
const STEP: Duration = Duration::from_secs(5);
/// The alarm that ends a job is part of its process: one that lives ends its job within moments.
const GRACE: Duration = Duration::from_secs(15);
/// RQ's own timeout of a callback that names none.
const CALLBACK: Duration = Duration::from_secs(60);

/// Reads the hash of the worker `name`. `None`: there is none, or it has no name by which to call it.
#[must_use]
pub fn worker(name: &str, hash: &Hash, around: &Around<'_>) -> Option<Observation> {
    if hash.is_empty() || name.trim().is_empty() {
        return None;
    }
    let host = hash.text("hostname");
    // Without a name of its own a worker takes 32 random digits, and others at its next start: its host is what stays.
    let slot = match host {
        Some(host) if is_random(name) => around.shared(host),
        _ => around.own(name),
    };
    let state = hash.text("state");
    let busy = state.map(|state| state == "busy");
    let mut worker = Observation::new(name, slot);
    let beat = hash.stamp("last_heartbeat");
    worker.beat = Some(Beat {
        mark: beat.map(Mark::stamp),
        stamp: beat,
        declared: Some(cadence(hash, busy.unwrap_or(false), around)),
        own_answer: false,
        on_trial: false,
    });
    worker.upkeep = Upkeep::Live;
    worker.expires_in = around.ttl;
    worker.says = Says {
        goodbye: hash.text("death").is_some()
            || hash.text("shutdown_requested_date").is_some()
            || state == Some("suspended"),
        starting: state.is_none() || state == Some("starting"),
        ..Says::default()
    };
    // A counter that was never raised is not there.
    let failed = hash.count("failed_job_count").unwrap_or(0);
    let done = hash.count("successful_job_count").unwrap_or(0).saturating_add(failed);
    let in_flight = busy.map(u64::from);
    worker.numbers = Numbers {
        tasks_total: Some(done),
        tasks_failed: Some(failed),
        in_flight,
        task_seconds_total: hash.seconds("total_working_time"),
        ..Numbers::default()
    };
    worker.types = vec![TypeReport {
        task_type: TaskType::Activity,
        used: in_flight,
        available: busy.map(|busy| u64::from(!busy)),
        processed: Some(done),
        failed: Some(failed),
        pollers: None,
        last_poll: None,
        stamps_empty_polls: false,
        proven: true,
    }];
    worker.info = Info {
        host: hash.name("hostname"),
        pid: hash.name("pid"),
        sdk_name: Some("rq".into()),
        sdk_version: hash.name("version"),
        start_time: hash.stamp("birth"),
        ..Info::default()
    };
    worker.task_queues = queues(hash.text("queues").unwrap_or_default().split(','));
    Some(worker)
}

/// 32 hexadecimal digits.
fn is_random(name: &str) -> bool {
    name.len() == 32 && name.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// What is left until the key expires, and the time since the beat that set it, are together what RQ chose there; how
/// often it beats follows. So a `worker_ttl` or a monitoring interval of its own needs no configuration.
fn cadence(hash: &Hash, busy: bool, around: &Around<'_>) -> Duration {
    let age = hash.stamp("last_heartbeat").and_then(|beat| {
        let ahead = beat.since(around.now).unwrap_or_default();
        // A worker's clock that runs ahead would make its promise shorter than it is.
        (ahead <= STEP).then(|| around.now.since(beat).unwrap_or_default())
    });
    let chosen = around.ttl.zip(age).map(|(left, age)| left + age).filter(|chosen| *chosen <= LONGEST);
    match (chosen, busy) {
        (None, false) => IDLE,
        (None, true) => BUSY,
        (Some(chosen), false) => chosen.saturating_sub(IDLE_RESERVE).max(Duration::from_secs(1)),
        (Some(chosen), true) => chosen.saturating_sub(BUSY_RESERVE).max(BUSY),
    }
}

/// The job of an entry of the set of executions, `<job>:<execution>`. An id may hold colons, an execution does not.
#[must_use]
pub fn job_of(execution: &str) -> &str {
    execution.rsplit_once(':').map_or(execution, |(job, _)| job)
}

/// The job that a worker holds, and for how long it may. A job that is still held after its own timeout, and that of
/// its callback, is held by a process whose alarm no longer rings: stopped, or blocked where no signal is taken. RQ's
/// worker kills such a process 60 to 90 s after the timeout.
#[must_use]
pub fn held(execution: &str, job: &Hash) -> Held {
    // -1 and 0 are no limit.
    let timeout = job.text("timeout").and_then(|timeout| timeout.parse::<f64>().ok()).filter(|timeout| *timeout > 0.0);
    let callback = ["success_callback", "failure_callback", "stopped_callback"].into_iter().filter_map(|callback| {
        job.text(&format!("{callback}_name"))?;
        let own = job.seconds(&format!("{callback}_timeout")).map(Duration::from_secs_f64);
        Some(own.unwrap_or(CALLBACK))
    });
    let after = GRACE + callback.max().unwrap_or_default();
    let limit = timeout
        .and_then(|timeout| Duration::try_from_secs_f64(timeout).ok())
        .map(|timeout| timeout.saturating_add(after));
    Held { mark: Mark::bytes(execution.as_bytes()), limit }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use std::sync::Arc;

    use proptest::prelude::*;

    use super::*;
    use crate::time::WallTime;

    const S: Duration = Duration::from_secs(1);
    const NOW: &str = "2025-11-24T16:02:00.000000Z";

    fn hash(fields: &[(&str, &str)]) -> Hash {
        Hash::of(fields.iter().map(|(name, value)| (name.as_bytes().to_vec(), value.as_bytes().to_vec())))
    }

    /// As RQ 3.0.0 writes it.
    fn idle(further: &[(&str, &str)]) -> Hash {
        let mut fields = vec![
            ("birth", "2025-11-24T15:00:00.000000Z"),
            ("last_heartbeat", "2025-11-24T16:00:00.500000Z"),
            ("queues", "mail,bulk,mail"),
            ("pid", "4711"),
            ("hostname", "app-1"),
            ("ip_address", "10.0.0.7:41000"),
            ("version", "3.0.0"),
            ("python_version", "3.11.2 (main)"),
            ("state", "idle"),
            ("successful_job_count", "7"),
            ("failed_job_count", "2"),
            ("total_working_time", "12.5"),
        ];
        fields.retain(|(name, _)| further.iter().all(|(other, _)| other != name));
        fields.extend_from_slice(further);
        hash(&fields)
    }

    fn read(name: &str, hash: &Hash, ttl: Option<Duration>) -> Option<Observation> {
        let fleet = Arc::from("mailers");
        let now = super::super::stamp::text(NOW).time().unwrap();
        worker(name, hash, &Around { fleet: &fleet, ttl, now })
    }

    fn declared(hash: &Hash, ttl: Duration) -> Duration {
        read("w", hash, Some(ttl)).unwrap().beat.unwrap().declared.unwrap()
    }

    #[test]
    fn an_idle_worker_shows_who_it_is_what_it_serves_and_what_it_did() {
        let w = read("mail-7", &idle(&[]), Some(S * 360)).unwrap();
        assert_eq!((&*w.slot.key.worker, w.slot.exclusive), ("mail-7", true));
        assert_eq!(w.task_queues.iter().map(|q| &**q).collect::<Vec<_>>(), ["mail", "bulk"]);
        assert_eq!((w.numbers.tasks_total, w.numbers.tasks_failed, w.numbers.in_flight), (Some(9), Some(2), Some(0)));
        assert_eq!((w.info.pid.as_deref(), w.info.sdk_version.as_deref()), (Some("4711"), Some("3.0.0")));
        assert_eq!((w.says.goodbye, w.says.starting, w.upkeep), (false, false, Upkeep::Live));
        assert_eq!((w.types[0].used, w.types[0].available), (Some(0), Some(1)));
    }

    #[test]
    fn a_worker_without_a_name_of_its_own_is_known_by_its_host() {
        let w = read("0123456789abcdef0123456789abcdef", &idle(&[]), None).unwrap();
        assert_eq!((&*w.slot.key.worker, w.slot.exclusive), ("app-1", false));
    }

    #[test]
    fn the_cadence_follows_from_the_expiry_that_rq_chose() {
        // 119.5 s since the beat.
        let busy = idle(&[("state", "busy"), ("last_heartbeat", "2025-11-24T16:01:50.000000Z")]);
        for (hash, left, cadence) in [
            (idle(&[]), 360.5, 405.0),
            (idle(&[]), 5.5, 50.0),
            (busy.clone(), 80.0, 30.0),
            (busy.clone(), 230.0, 180.0),
            (busy, 20.0, 30.0),
        ] {
            assert_eq!(declared(&hash, Duration::from_secs_f64(left)).as_secs_f64(), cadence, "{left} s left");
        }
    }

    #[test]
    fn where_the_expiry_does_not_tell_the_cadence_is_that_of_rq_s_defaults() {
        let ahead = idle(&[("last_heartbeat", "2025-11-24T18:00:00.000000Z")]);
        assert_eq!(declared(&ahead, S * 30), IDLE);
        assert_eq!(declared(&idle(&[("state", "busy"), ("last_heartbeat", "soon")]), S * 30), BUSY);
        assert_eq!(declared(&idle(&[]), S * 86_400 * 30), IDLE);
        let none = read("w", &idle(&[]), None).unwrap();
        assert_eq!(none.beat.unwrap().declared, Some(IDLE));
    }

    #[test]
    fn a_worker_that_ended_was_told_to_end_or_is_suspended_said_goodbye() {
        for further in [("death", NOW), ("shutdown_requested_date", NOW), ("state", "suspended")] {
            assert!(read("w", &idle(&[further]), None).unwrap().says.goodbye, "{further:?}");
        }
        assert!(!read("w", &idle(&[("state", "started")]), None).unwrap().says.goodbye);
    }

    #[test]
    fn what_is_left_of_a_record_after_a_flush_beats_and_claims_nothing_else() {
        let w = read("mail-7", &hash(&[("last_heartbeat", NOW)]), None).unwrap();
        assert!(w.beat.unwrap().mark.is_some());
        assert_eq!((w.numbers.in_flight, w.types[0].available, w.info.pid), (None, None, None));
        assert!(read("mail-7", &Hash::default(), None).is_none());
        assert!(read("", &idle(&[]), None).is_none() && read(" ", &idle(&[]), None).is_none(), "nobody by no name");
    }

    #[test]
    fn a_beat_that_is_empty_or_nonsense_never_beat() {
        for beat in ["", "yesterday", "0"] {
            let w = read("w", &idle(&[("last_heartbeat", beat)]), None).unwrap();
            assert_eq!(w.beat.unwrap().mark, None, "{beat}");
        }
    }

    #[test]
    fn a_job_may_be_held_for_its_timeout_and_that_of_its_callback() {
        for (fields, limit) in [
            (&[("timeout", "180")][..], Some(195)),
            (&[("timeout", "180"), ("failure_callback_name", "")], Some(195)),
            (&[("timeout", "180"), ("failure_callback_name", "app.failed")], Some(255)),
            (
                &[("timeout", "180"), ("success_callback_name", "app.done"), ("success_callback_timeout", "5")],
                Some(200),
            ),
            (&[("timeout", "-1")], None),
            (&[("timeout", "nan")], None),
            (&[], None),
        ] {
            assert_eq!(held("a:b", &hash(fields)).limit, limit.map(Duration::from_secs), "{fields:?}");
        }
        assert_eq!(job_of("scan:2025:0123"), "scan:2025");
        assert_eq!(job_of("0123"), "0123");
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(
            pairs in proptest::collection::vec((any::<Vec<u8>>(), any::<Vec<u8>>()), 0..4),
            beat in "\\PC{0,30}", count in "\\PC{0,25}", ttl in proptest::option::of(any::<u32>()), now in any::<i64>(),
        ) {
            let known = [("last_heartbeat", &beat), ("failed_job_count", &count), ("timeout", &count),
                ("total_working_time", &count), ("birth", &beat), ("queues", &beat), ("state", &count),
                ("success_callback_name", &beat), ("success_callback_timeout", &count)];
            let known = known.map(|(name, value)| (name.as_bytes().to_vec(), value.as_bytes().to_vec()));
            let hash = Hash::of(pairs.into_iter().chain(known));
            let fleet = Arc::from("f");
            let ttl = ttl.map(|s| S * s);
            let _ = worker(&beat, &hash, &Around { fleet: &fleet, ttl, now: WallTime::from_micros(now) });
            let _ = held(job_of(&beat), &hash);
        }
    }
}
