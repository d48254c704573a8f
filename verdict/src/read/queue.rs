//! Elements of queues: when was this one put there?

use serde_json::Value;

use super::stamp::{self, Stamp};
use crate::time::WallTime;

/// Names under which a job carries the time at which it began to wait; the first that reads as a stamp counts. A
/// framework that names it otherwise has a reader of its own.
const NAMES: &[&str] = &["enqueued_at", "queued_at", "message_timestamp", "created_at", "timestamp", "ts"];

/// The stamp of an element that is a JSON object with one of the known names.
#[must_use]
pub fn stamp(element: &[u8]) -> Option<WallTime> {
    let Ok(Value::Object(fields)) = serde_json::from_slice(element) else { return None };
    NAMES.iter().find_map(|name| match stamp::json(Some(fields.get(*name)?)) {
        Stamp::At(at) => Some(at),
        Stamp::Never | Stamp::Invalid => None,
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_job_tells_when_it_was_queued_in_seconds_milliseconds_or_iso() {
        let at = WallTime::from_micros(1_764_000_000_500_000);
        for element in [
            r#"{"class":"Mail","jid":"a1","enqueued_at":1764000000.5}"#,
            r#"{"enqueued_at":1764000000500}"#,
            r#"{"queued_at":"2025-11-24T16:00:00.500Z"}"#,
            r#"{"message_timestamp":1764000000500,"timestamp":1}"#,
        ] {
            assert_eq!(stamp(element.as_bytes()), Some(at), "{element}");
        }
    }

    #[test]
    fn what_carries_no_stamp_has_none() {
        for element in
            [r#"{"id":7}"#, r#"{"enqueued_at":null}"#, r#"{"enqueued_at":"soon"}"#, "job-7", "1764000000", ""]
        {
            assert_eq!(stamp(element.as_bytes()), None, "{element}");
        }
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = stamp(&bytes);
        }

        #[test]
        fn no_value_under_a_known_name_makes_it_panic(value in "[-+0-9.eTZ:\"{}]{0,30}") {
            let _ = stamp(format!("{{\"enqueued_at\":{value}}}").as_bytes());
        }
    }
}
