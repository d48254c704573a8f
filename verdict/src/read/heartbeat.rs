//! Heartbeat values in a store: epoch, ISO, JSON, or anything at all.
//!
//! Nobody agrees on what to write into a heartbeat key, so nothing is refused: a value that carries no stamp still
//! beats whenever it, or the time it has left to live, is written anew. A stamp only adds cadence and skew.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Map, Value};

use crate::evidence::{Info, Mark, Numbers, Said, Says};
use crate::read::numbers::NUMBERS;
use crate::read::stamp::{self, Stamp};
use crate::time::WallTime;
use crate::words::Failure;

/// What moves the beat of this value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Basis {
    /// A field that promises a heartbeat by its name (`last_heartbeat`): only that field counts. A worker whose loop is
    /// dead while another thread goes on writing the record says so here. `None`: 0, null or empty.
    Claim(Option<WallTime>),
    /// Any write of the key is a beat: a change of its bytes, or its expiry set anew.
    Write,
}

/// A heartbeat value, read.
#[derive(Clone, Debug, PartialEq)]
pub struct Reading {
    /// What moves the beat.
    pub basis: Basis,
    /// The worker's own stamp.
    pub stamp: Option<WallTime>,
    /// The interval that the value declares.
    pub declared: Option<Duration>,
    /// What it says of itself.
    pub says: Says,
    /// Its numbers.
    pub numbers: Numbers,
    /// Names and versions.
    pub info: Info,
    /// The queues it serves.
    pub task_queues: Vec<Arc<str>>,
}

impl Reading {
    /// The mark of the beat, given the bytes that were read and how often the key's expiry was set anew so far.
    #[must_use]
    pub fn mark(&self, value: &[u8], refreshes: u64) -> Option<Mark> {
        match (self.basis, refreshes) {
            (Basis::Claim(stamp), _) => stamp.map(Mark::stamp),
            (Basis::Write, 0) => Some(Mark::bytes(value)),
            (Basis::Write, n) => Some(Mark::bytes(&[value, n.to_be_bytes().as_slice()].concat())),
        }
    }
}

/// Names that promise a heartbeat. The first that is present counts.
const CLAIMS: &[&str] = &["last_heartbeat", "heartbeat", "last_heartbeat_at", "heartbeat_at", "last_beat"];
/// Names that may hold the time of writing. The first that reads as a stamp counts.
const STAMPS: &[&str] = &["timestamp", "ts", "time", "updated_at", "last_seen"];
/// A declared interval beyond these bounds is a mistake of units, and ignored.
const INTERVALS: std::ops::RangeInclusive<f64> = 0.1..=172_800.0;
/// More queues than this in one value are not believed to be queues.
const MAX_QUEUES: usize = 32;
/// Before this (2001-09-09, the first epoch of ten digits) a bare number is a counter or a flag, not a time.
const FIRST_STAMP: WallTime = WallTime::from_micros(1_000_000_000_000_000);
/// After this (the year 2100) a number is something else.
const LAST_STAMP: WallTime = WallTime::from_micros(4_102_444_800_000_000);

/// Reads a value. Nothing is invalid: what is not understood beats by its bytes.
#[must_use]
pub fn read(value: &[u8]) -> Reading {
    let mut reading = Reading {
        basis: Basis::Write,
        stamp: None,
        declared: None,
        says: Says::default(),
        numbers: Numbers::default(),
        info: Info::default(),
        task_queues: Vec::new(),
    };
    let Ok(text) = std::str::from_utf8(value) else { return reading };
    match serde_json::from_str::<Value>(text) {
        Ok(Value::Object(fields)) => object(&fields, &mut reading),
        Ok(Value::String(inner)) => bare(&inner, &mut reading),
        // A bare number goes through its text: 19 digits of nanoseconds do not fit a float.
        _ => bare(text, &mut reading),
    }
    reading
}

fn bare(text: &str, reading: &mut Reading) {
    reading.stamp = believable(stamp::text(text.trim()));
    status(text.trim(), &mut reading.says);
}

fn believable(stamp: Stamp) -> Option<WallTime> {
    stamp.time().and_then(in_range)
}

/// The time, when it is one that somebody may mean.
pub(super) fn in_range(time: WallTime) -> Option<WallTime> {
    (FIRST_STAMP..=LAST_STAMP).contains(&time).then_some(time)
}

fn object(fields: &Map<String, Value>, reading: &mut Reading) {
    if let Some(claim) = CLAIMS.iter().find_map(|name| fields.get(*name)) {
        match stamp::json(Some(claim)) {
            Stamp::Never => reading.basis = Basis::Claim(None),
            stamp => match believable(stamp) {
                Some(at) => {
                    reading.basis = Basis::Claim(Some(at));
                    reading.stamp = Some(at);
                }
                None => reading.says.unreadable = Some(Failure::FieldInvalid),
            },
        }
    }
    if reading.stamp.is_none() && reading.basis == Basis::Write {
        reading.stamp = STAMPS.iter().find_map(|name| believable(stamp::json(Some(fields.get(*name)?))));
    }
    reading.declared = number(fields, &["interval", "heartbeat_interval", "interval_seconds", "freq"])
        .filter(|seconds| INTERVALS.contains(seconds))
        .map(Duration::from_secs_f64);
    if let Some(word) = ["status", "state"].iter().find_map(|name| fields.get(*name)?.as_str()) {
        status(word, &mut reading.says);
    }
    reading.says.alive = fields.get("alive").and_then(Value::as_bool);
    reading.says.goodbye |= fields.get("quiet").and_then(Value::as_bool).unwrap_or(false);
    reading.numbers = numbers(fields);
    reading.info = info(fields);
    reading.task_queues = queues(fields);
}

/// Only what a worker says against itself counts: a good word in a store proves no more than the beat beside it.
fn status(word: &str, says: &mut Says) {
    match word.to_ascii_lowercase().replace(['-', ' '], "_").as_str() {
        "quiet" | "quieting" | "draining" | "shutting_down" | "shutdown" | "stopping" | "stopped" | "terminating" => {
            says.goodbye = true;
        }
        "starting" | "initializing" | "booting" => says.starting = true,
        "degraded" | "warn" | "warning" => says.overall = Some(Said::Degraded),
        "unhealthy" | "error" | "fail" | "failed" | "down" | "critical" => says.overall = Some(Said::Down),
        _ => {}
    }
}

fn number(fields: &Map<String, Value>, names: &[&str]) -> Option<f64> {
    names.iter().find_map(|name| fields.get(*name)?.as_f64()).filter(|n| n.is_finite() && *n >= 0.0)
}

/// The numbers of the common table, and the short words that in a store are a number's name: in a health answer
/// `failed` and `active` are as often true or false.
fn numbers(fields: &Map<String, Value>) -> Numbers {
    let short = |name: &str| match name {
        "tasks_failed" => ["failed"].as_slice(),
        "in_flight" => &["active", "busy"],
        _ => &[],
    };
    let mut numbers = Numbers::default();
    for number in NUMBERS {
        // A name whose value is no such number is passed over: in a store that is nobody's fault.
        let mut found = number.names().chain(short(number.name).iter().copied()).filter_map(|name| fields.get(name));
        let _ = found.any(|value| !value.is_null() && number.take(value, &mut numbers));
    }
    numbers
}

fn info(fields: &Map<String, Value>) -> Info {
    let name = |names: &[&str]| -> Option<Arc<str>> {
        names.iter().find_map(|name| match fields.get(*name)? {
            Value::String(text) if !text.is_empty() => Some(Arc::from(text.as_str())),
            Value::Number(number) => Some(Arc::from(number.to_string())),
            _ => None,
        })
    };
    Info {
        host: name(&["host", "hostname"]),
        pod: name(&["pod", "pod_name"]),
        pid: name(&["pid"]),
        instance: name(&["instance", "instance_id"]),
        build_id: name(&["build_id", "version"]),
        start_time: ["start_time", "started_at"]
            .iter()
            .find_map(|name| believable(stamp::json(Some(fields.get(*name)?)))),
        ..Info::default()
    }
}

fn queues(fields: &Map<String, Value>) -> Vec<Arc<str>> {
    let Some(named) = ["task_queue", "queue", "task_queues", "queues"].iter().find_map(|name| fields.get(*name)) else {
        return Vec::new();
    };
    match named {
        Value::String(queue) if !queue.is_empty() => vec![Arc::from(queue.as_str())],
        Value::Array(queues) => queues.iter().filter_map(Value::as_str).take(MAX_QUEUES).map(Arc::from).collect(),
        _ => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

    use super::*;

    fn at(seconds: i64) -> Option<WallTime> {
        Some(WallTime::from_micros(seconds * 1_000_000))
    }

    #[test]
    fn every_way_to_write_the_same_second_is_read_as_that_second() {
        for value in [
            "1764000000",
            "1764000000.0",
            " 1764000000\n",
            "1764000000000",
            "1764000000000000",
            "1764000000000000000",
            "2025-11-24T16:00:00Z",
            "2025-11-24T17:00:00+01:00",
            "2025-11-24T16:00:00",
            "2025-11-24 16:00:00",
            "\"2025-11-24T16:00:00Z\"",
            "\"1764000000\"",
            r#"{"timestamp":1764000000}"#,
            r#"{"timestamp":"2025-11-24T16:00:00Z"}"#,
            r#"{"last_heartbeat":1764000000.0}"#,
            r#"{"ts":1764000000000}"#,
            r#"{"time":"2025-11-24T16:00:00+00:00","status":"ok"}"#,
        ] {
            assert_eq!(read(value.as_bytes()).stamp, at(1_764_000_000), "{value:?}");
        }
    }

    #[test]
    fn what_is_no_stamp_still_beats_by_its_bytes() {
        let values: [&[u8]; 11] = [
            b"",
            b"1",
            b"42",
            b"0",
            b"alive",
            b"\xff\xfe",
            b"{",
            b"[1,2]",
            b"null",
            b"99999999999999999999999999",
            br#"{"n":1}"#,
        ];
        for value in values {
            let reading = read(value);
            assert_eq!((reading.basis, reading.stamp), (Basis::Write, None), "{value:?}");
            assert_eq!(reading.mark(value, 0), Some(Mark::bytes(value)), "{value:?}");
        }
    }

    #[test]
    fn a_constant_value_beats_when_its_expiry_is_set_anew() {
        let reading = read(b"1");
        let marks: Vec<_> = (0..3).map(|n| reading.mark(b"1", n)).collect();
        assert_ne!(marks[0], marks[1]);
        assert_ne!(marks[1], marks[2]);
    }

    #[test]
    fn a_frozen_last_heartbeat_is_not_moved_by_a_new_expiry_or_by_its_neighbours() {
        let a = br#"{"last_heartbeat":1764000000,"cpu_percent":10}"#;
        let b = br#"{"last_heartbeat":1764000000,"cpu_percent":11}"#;
        assert_eq!(read(a).mark(a, 0), read(b).mark(b, 7));
    }

    #[test]
    fn a_place_for_a_heartbeat_that_is_empty_has_never_beaten() {
        for value in
            [r#"{"alive":false,"last_heartbeat":0.0}"#, r#"{"last_heartbeat":null}"#, r#"{"last_heartbeat":""}"#]
        {
            assert_eq!(read(value.as_bytes()).mark(value.as_bytes(), 3), None, "{value}");
        }
        assert_eq!(read(br#"{"alive":false,"last_heartbeat":0.0}"#).says.alive, Some(false));
    }

    #[test]
    fn a_heartbeat_field_that_is_no_stamp_is_said_to_be_unreadable_and_the_bytes_decide() {
        let value = br#"{"last_heartbeat":"soon"}"#;
        let reading = read(value);
        assert_eq!(reading.says.unreadable, Some(Failure::FieldInvalid));
        assert_eq!(reading.mark(value, 0), Some(Mark::bytes(value)));
    }

    #[test]
    fn the_declared_interval_is_believed_within_reason() {
        for (value, seconds) in [
            (r#"{"interval":10}"#, Some(10.0)),
            (r#"{"freq":2.0}"#, Some(2.0)),
            (r#"{"interval":0}"#, None),
            (r#"{"interval":-3}"#, None),
            (r#"{"interval":1e300}"#, None),
            (r#"{"interval":"10"}"#, None),
        ] {
            assert_eq!(read(value.as_bytes()).declared, seconds.map(Duration::from_secs_f64), "{value}");
        }
    }

    #[test]
    fn a_goodbye_is_heard_in_every_spelling_and_nothing_else_is_one() {
        for word in ["quiet", "draining", "Shutting Down", "shutting-down", "SHUTTING_DOWN", "stopping"] {
            assert!(read(format!(r#"{{"status":"{word}"}}"#).as_bytes()).says.goodbye, "{word}");
        }
        assert!(read(b"draining").says.goodbye);
        assert!(read(br#"{"quiet":true}"#).says.goodbye);
        for word in ["running", "idle", "busy", "ok", ""] {
            assert_eq!(read(format!(r#"{{"status":"{word}"}}"#).as_bytes()).says, Says::default(), "{word}");
        }
    }

    #[test]
    fn names_numbers_and_queues_are_taken_along() {
        let reading = read(
            br#"{"timestamp":1764000000,"pid":17,"host":"a1","tasks_total":5,"tasks_failed":1,"in_flight":2,
                "cpu_percent":50,"memory_percent":25.0,"task_queue":"mail","started_at":1763990000}"#,
        );
        assert_eq!((reading.info.pid.as_deref(), reading.info.host.as_deref()), (Some("17"), Some("a1")));
        assert_eq!(reading.info.start_time, at(1_763_990_000));
        let n = reading.numbers;
        assert_eq!((n.tasks_total, n.tasks_failed, n.in_flight), (Some(5), Some(1), Some(2)));
        assert_eq!((n.cpu_ratio, n.memory_ratio, n.waiting), (Some(0.5), Some(0.25), None));
        assert_eq!(reading.task_queues, [Arc::from("mail")]);
        assert_eq!(read(br#"{"queues":["a","b"]}"#).task_queues, [Arc::from("a"), Arc::from("b")]);
    }

    #[test]
    fn numbers_go_by_the_names_and_the_units_of_the_common_table() {
        let n = read(br#"{"failed":3,"busy":2,"queue_depth":4,"memory_mb":1,"gpu_utilization":0.87}"#).numbers;
        assert_eq!(
            (n.tasks_failed, n.in_flight, n.waiting, n.memory_bytes),
            (Some(3), Some(2), Some(4), Some(1 << 20))
        );
        assert_eq!(n.gpu_ratio, Some(0.87));
    }

    #[test]
    fn numbers_of_the_wrong_kind_are_unknown_and_never_zero() {
        let n = read(br#"{"tasks_total":-1,"in_flight":"2","cpu_percent":-5,"waiting":1.5}"#).numbers;
        assert_eq!(n, Numbers::default());
    }

    proptest::proptest! {
        #[test]
        fn whatever_stands_in_a_key_is_read_and_says_the_same_twice(value: Vec<u8>, refreshes: u64) {
            let reading = read(&value);
            proptest::prop_assert_eq!(&reading, &read(&value));
            proptest::prop_assert_eq!(reading.mark(&value, refreshes), read(&value).mark(&value, refreshes));
        }

        #[test]
        fn any_json_object_is_read_within_bounds(claim in "[ -~]{0,12}", interval: f64, percent: f64) {
            let value = serde_json::json!({"last_heartbeat": claim, "interval": interval, "cpu_percent": percent});
            let reading = read(value.to_string().as_bytes());
            let declared = reading.declared.map(|d| d.as_secs_f64());
            proptest::prop_assert!(declared.is_none_or(|seconds| INTERVALS.contains(&seconds)));
            proptest::prop_assert!(reading.numbers.cpu_ratio.is_none_or(|ratio| ratio.is_finite() && ratio >= 0.0));
            proptest::prop_assert!(reading.stamp.is_none_or(|at| (FIRST_STAMP..=LAST_STAMP).contains(&at)));
        }
    }
}
