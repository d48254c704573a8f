//! A heartbeat file: the worker touches or writes it, and it beats whenever its modification time or its content has
//! changed. Never by its age: an old time is a quiet worker or a wrong clock, a future one a wrong clock, and neither
//! says when it was written.

use crate::evidence::{Beat, Mark};
use crate::read::heartbeat;
use crate::time::WallTime;
use crate::words::Failure;

/// More of a heartbeat file is not read: what is larger is a log, and beats by its modification time.
pub const MAX_CONTENT: usize = 64 * 1024;

/// A heartbeat file, read.
#[derive(Clone, Debug, PartialEq)]
pub struct Reading {
    /// What moves its beat; `None`: it holds a field that promises a heartbeat, and that is 0, null or empty.
    pub mark: Option<Mark>,
    /// The worker's own stamp: that of the content, else the modification time, else none.
    pub stamp: Option<WallTime>,
    /// What stands in it, by the same rules as a value in a store.
    pub content: heartbeat::Reading,
}

impl Reading {
    /// Its beat.
    #[must_use]
    pub const fn beat(&self) -> Beat {
        Beat {
            mark: self.mark,
            stamp: self.stamp,
            declared: self.content.declared,
            // It lies on a disk: its freezing says nothing about a web server in front of it.
            own_answer: false,
            on_trial: false,
        }
    }
}

/// Reads a file: its modification time, and its content as far as it was to be had. `Err` says why it was not: too
/// large, or we may not. It beats by its modification time all the same.
#[must_use]
pub fn read(modified: WallTime, content: Result<&[u8], Failure>) -> Reading {
    let mut reading = heartbeat::read(content.unwrap_or_default());
    let written = [&modified.micros().to_be_bytes(), content.unwrap_or_default()].concat();
    let mark = reading.mark(&written, 0);
    if let Err(failure) = content {
        reading.says.unreadable = Some(failure);
    }
    // Where a field promises a heartbeat, the time of writing is another thread's.
    let own = matches!(reading.basis, heartbeat::Basis::Claim(_));
    let stamp = reading.stamp.or_else(|| (!own).then(|| heartbeat::in_range(modified)).flatten());
    Reading { mark, stamp, content: reading }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOON: WallTime = WallTime::from_micros(1_764_000_000_000_000);
    const LATER: WallTime = WallTime::from_micros(1_764_000_000_004_000);

    #[test]
    fn a_touched_file_beats_though_nothing_stands_in_it() {
        let (one, two) = (read(NOON, Ok(b"")), read(LATER, Ok(b"")));
        assert_ne!(one.mark, two.mark);
        assert_eq!(one, read(NOON, Ok(b"")));
        assert_eq!((one.stamp, two.stamp), (Some(NOON), Some(LATER)));
    }

    #[test]
    fn a_change_of_the_content_beats_where_the_modification_time_is_coarse() {
        assert_ne!(read(NOON, Ok(b"1764000000")).mark, read(NOON, Ok(b"1764000001")).mark);
    }

    #[test]
    fn the_stamp_in_the_file_is_the_workers_own_and_goes_before_the_modification_time() {
        for content in ["1764000500", "1764000500000", "2025-11-24T16:08:20Z", "1764000500.000\n", "1764000500\r\n"] {
            let reading = read(NOON, Ok(content.as_bytes()));
            assert_eq!(reading.stamp, Some(WallTime::from_micros(1_764_000_500_000_000)), "{content}");
        }
    }

    #[test]
    fn a_time_that_nobody_means_is_no_stamp_and_beats_all_the_same() {
        // Unpacked from a reproducible archive; touched with a clock of the year 2262; before 1970.
        for micros in [0, 1, i64::MAX, i64::MIN, 9_214_646_400_000_000] {
            let reading = read(WallTime::from_micros(micros), Ok(b""));
            assert_eq!(reading.stamp, None, "{micros}");
            assert_ne!(reading.mark, read(NOON, Ok(b"")).mark);
        }
    }

    #[test]
    fn a_promised_heartbeat_alone_counts_where_another_thread_goes_on_writing() {
        let content = br#"{"last_heartbeat":1764000000,"cpu_percent":10}"#;
        let (one, two) = (read(NOON, Ok(content)), read(LATER, Ok(content)));
        assert_eq!(one.mark, two.mark);
        assert_eq!(read(NOON, Ok(br#"{"last_heartbeat":null}"#)).mark, None);
        assert_eq!(read(NOON, Ok(br#"{"last_heartbeat":null}"#)).stamp, None);
    }

    #[test]
    fn what_we_may_not_read_or_what_is_too_large_beats_by_its_modification_time_and_says_why() {
        for failure in [Failure::PermissionDenied, Failure::BodyTooLarge] {
            let (one, two) = (read(NOON, Err(failure)), read(LATER, Err(failure)));
            assert_ne!(one.mark, two.mark);
            assert_eq!((one.stamp, one.content.says.unreadable), (Some(NOON), Some(failure)));
        }
    }

    #[test]
    fn a_goodbye_and_a_declared_interval_are_taken_along() {
        assert!(read(NOON, Ok(b"draining\n")).content.says.goodbye);
        let reading = read(NOON, Ok(br#"{"timestamp":1764000000,"interval":10}"#));
        assert_eq!(reading.beat().declared, Some(std::time::Duration::from_secs(10)));
    }

    proptest::proptest! {
        #[test]
        fn no_bytes_and_no_time_make_it_panic_and_it_says_the_same_twice(micros: i64, content: Vec<u8>) {
            let modified = WallTime::from_micros(micros);
            let reading = read(modified, Ok(&content));
            proptest::prop_assert_eq!(&reading, &read(modified, Ok(&content)));
            proptest::prop_assert!(reading.stamp.is_none_or(|at| at.seconds() > 0.0 && at.seconds() < 5e9));
        }
    }
}
