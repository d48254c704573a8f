//! Heartbeat values, as they stand in a store.
#![no_main]

use libfuzzer_sys::fuzz_target;
use verdict::evidence::Mark;
use verdict::read::heartbeat::{self, Basis};
use worker_exporter_fuzz::{epoch_in_range, info_is_sane, numbers_are_sane, says_is_sane};

fuzz_target!(|data: &[u8]| {
    let reading = heartbeat::read(data);
    assert_eq!(reading, heartbeat::read(data));
    if let Some(stamp) = reading.stamp {
        epoch_in_range(stamp);
    }
    if let Some(every) = reading.declared {
        assert!((0.1..=172_800.0).contains(&every.as_secs_f64()), "a beat every {every:?}");
    }
    numbers_are_sane(&reading.numbers);
    says_is_sane(&reading.says);
    info_is_sane(&reading.info);
    assert!(reading.task_queues.len() <= 32);
    match reading.basis {
        Basis::Write => {
            assert_eq!(reading.mark(data, 0), Some(Mark::bytes(data)));
            assert_ne!(reading.mark(data, 0), reading.mark(data, 1), "written anew, and it did not beat");
        }
        // Nothing but the field itself moves it.
        Basis::Claim(at) => {
            assert_eq!(reading.mark(data, 0), reading.mark(b"other", 7));
            assert_eq!(reading.mark(data, 0).is_some(), at.is_some());
        }
    }
});
