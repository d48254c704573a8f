//! What Dramatiq keeps of a broker: eight bytes of score, one of flags, and a pair of bytes for each queue.
#![no_main]

use std::sync::Arc;

use libfuzzer_sys::fuzz_target;
use verdict::evidence::Hands;
use verdict::read::dramatiq::{Broker, worker};
use verdict::read::hash::Around;
use verdict::time::WallTime;
use worker_exporter_fuzz::worker_is_sane;

fuzz_target!(|data: &[u8]| {
    let Some((score, rest)) = data.split_first_chunk::<8>() else { return };
    let Some((flags, queues)) = rest.split_first() else { return };
    // One name for each queue, as the set of acknowledgements has it; the count may be the greatest there is.
    let mut holds: Vec<(Arc<str>, u64)> = Vec::new();
    for (at, pair) in queues.chunks_exact(2).take(200).enumerate() {
        let count = u64::from(pair[1]).checked_shl(u32::from(pair[0] & 63)).unwrap_or(u64::MAX);
        holds.push((format!("q{at}").into(), if pair[0] == 255 { u64::MAX } else { count }));
    }
    let delayed = u64::from(flags >> 1);
    let broker =
        Broker { id: "3f2a".into(), beat: f64::from_le_bytes(*score), holds, delayed, offline: flags & 1 == 1 };
    let fleet = Arc::from("night");
    let around = Around { fleet: &fleet, ttl: None, now: WallTime::default() };
    let read = worker(&broker, "dramatiq", &around);
    assert_eq!(format!("{read:?}"), format!("{:?}", worker(&broker, "dramatiq", &around)));
    worker_is_sane(&read);
    let beat = read.beat.expect("a score is a beat");
    assert_eq!(beat.mark.is_some(), beat.stamp.is_some());
    if let Some(stamp) = beat.stamp {
        assert!(broker.beat > 0.0 && stamp >= WallTime::default(), "{stamp:?} of {}", broker.beat);
    }
    assert!(!(broker.beat <= 0.0 || broker.beat.is_nan()) || beat.mark.is_none(), "{} is no time", broker.beat);
    let held = broker.holds.iter().any(|(_, count)| *count > 0);
    assert_eq!(read.numbers.in_flight.is_some_and(|count| count > 0), held);
    assert_eq!(read.task_queues.len(), broker.holds.iter().filter(|(_, count)| *count > 0).count());
    // Only who is offline and kept nothing has left.
    assert_eq!(read.says.goodbye, broker.offline && !held && broker.delayed == 0);
    assert_eq!(read.hands == Some(Hands::Empty), !held);
});
