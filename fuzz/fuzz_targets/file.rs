//! Heartbeat files: eight bytes of modification time, the rest is the content.
#![no_main]

use libfuzzer_sys::fuzz_target;
use verdict::read::file::read;
use verdict::read::heartbeat::Basis;
use verdict::time::WallTime;
use verdict::words::Failure;
use worker_exporter_fuzz::{beat_is_sane, epoch_in_range};

fuzz_target!(|data: &[u8]| {
    let Some((time, content)) = data.split_first_chunk::<8>() else { return };
    let micros = i64::from_le_bytes(*time);
    let (now, later) = (WallTime::from_micros(micros), WallTime::from_micros(micros.wrapping_add(1)));
    let reading = read(now, Ok(content));
    assert_eq!(reading, read(now, Ok(content)));
    beat_is_sane(Some(reading.beat()));
    if let Some(stamp) = reading.stamp {
        epoch_in_range(stamp);
    }
    let touched = read(later, Ok(content));
    match reading.content.basis {
        Basis::Write => assert_ne!(reading.mark, touched.mark, "touched, and it did not beat"),
        Basis::Claim(_) => assert_eq!(reading.mark, touched.mark, "another thread's writing is no beat"),
    }
    // What may not be read beats by its time alone, and says so.
    let hidden = read(now, Err(Failure::PermissionDenied));
    assert_ne!(hidden.mark, read(later, Err(Failure::PermissionDenied)).mark);
    assert_eq!(hidden.content.says.unreadable, Some(Failure::PermissionDenied));
});
