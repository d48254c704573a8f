//! RQ's record of a worker, and of the job that it holds: the same fields are read as both.
#![no_main]

use std::sync::Arc;
use std::time::Duration;

use libfuzzer_sys::fuzz_target;
use verdict::evidence::{Mark, Upkeep};
use verdict::read::hash::Around;
use verdict::read::rq;
use worker_exporter_fuzz::{record, worker_is_sane};

const SECOND: Duration = Duration::from_secs(1);
const WEEK: Duration = Duration::from_secs(7 * 86_400);

fuzz_target!(|data: &[u8]| {
    let record = record(data);
    let fleet = Arc::from("night");
    let around = Around { fleet: &fleet, ttl: record.ttl, now: record.now };
    let worker = rq::worker(&record.name, &record.hash, &around);
    assert_eq!(worker.is_none(), record.hash.is_empty() || record.name.trim().is_empty());
    if let Some(worker) = worker {
        let again = rq::worker(&record.name, &record.hash, &around);
        assert_eq!(format!("{:?}", Some(&worker)), format!("{:?}", again.as_ref()));
        worker_is_sane(&worker);
        let declared = worker.beat.and_then(|beat| beat.declared).expect("RQ promises its beat");
        assert!((SECOND..=WEEK).contains(&declared), "a beat every {declared:?}");
        assert_eq!((worker.upkeep, worker.expires_in), (Upkeep::Live, record.ttl));
        assert!(worker.numbers.in_flight <= Some(1), "one process, one job");
        for each in &worker.types {
            assert_eq!(each.used.zip(each.available).map(|(used, free)| used + free), each.used.map(|_| 1));
        }
        // The state of one who is at work is no goodbye, and a start that is over is none.
        if record.hash.text("state") == Some("busy") {
            assert!(!worker.says.starting && worker.numbers.in_flight == Some(1));
        }
        // Only the host stays of a worker whose name is new at each start, and others may live there.
        if !worker.slot.exclusive {
            assert_eq!((record.name.len(), Some(&*worker.slot.key.worker)), (32, record.hash.text("hostname")));
        } else {
            assert_eq!(&*worker.slot.key.worker, record.name);
        }
    }
    let job = rq::job_of(&record.name);
    assert!(record.name.starts_with(job));
    let held = rq::held(&record.name, &record.hash);
    assert_eq!(held.mark, Mark::bytes(record.name.as_bytes()));
    assert!(held.limit.is_none_or(|limit| limit >= 15 * SECOND), "{:?} is no grace", held.limit);
    assert!(held.limit.is_none() || record.hash.text("timeout").is_some());
});
