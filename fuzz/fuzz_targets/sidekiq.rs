//! Sidekiq's record of a process.
#![no_main]

use std::sync::Arc;
use std::time::Duration;

use libfuzzer_sys::fuzz_target;
use verdict::evidence::Hands;
use verdict::read::hash::Around;
use verdict::read::sidekiq;
use worker_exporter_fuzz::{record, worker_is_sane};

fuzz_target!(|data: &[u8]| {
    let record = record(data);
    let fleet = Arc::from("night");
    let around = Around { fleet: &fleet, ttl: record.ttl, now: record.now };
    let process = sidekiq::process(&record.name, &record.hash, &around);
    assert_eq!(process.is_none(), record.hash.is_empty() || record.name.trim().is_empty());
    let Some(process) = process else { return };
    let again = sidekiq::process(&record.name, &record.hash, &around);
    assert_eq!(format!("{:?}", Some(&process)), format!("{:?}", again.as_ref()));
    worker_is_sane(&process);
    assert_eq!(process.beat.and_then(|beat| beat.declared), Some(Duration::from_secs(10)));
    assert_eq!(process.says.goodbye, record.hash.text("quiet") == Some("true"));
    assert_eq!(process.expires_in, record.ttl);
    // No process counts what it did, so nothing here may look like such a count.
    assert_eq!((process.numbers.tasks_total, process.numbers.tasks_failed), (None, None));
    // Work in hand that never moves would be held against it: a beat that cannot be read is no such work.
    if let Some(Hands::Full(mark)) = process.hands {
        assert_eq!(Some(mark), process.beat.and_then(|beat| beat.mark));
    }
    assert!(process.numbers.memory_bytes != Some(0), "a process without memory");
    // Where no host is known its name is its own; else others may live there too.
    assert_eq!(process.slot.exclusive, process.info.host.is_none());
    if let Some(host) = &process.info.host {
        assert!(process.slot.key.worker.starts_with(&**host), "{:?} on {host:?}", process.slot.key.worker);
    }
});
