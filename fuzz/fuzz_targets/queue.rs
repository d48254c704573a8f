//! Elements of queues: a job is an object, and says when it was put there under one of the known names.
#![no_main]

use libfuzzer_sys::fuzz_target;
use serde_json::Value;
use verdict::read::queue;
use worker_exporter_fuzz::epoch_in_range;

fuzz_target!(|data: &[u8]| {
    let stamp = queue::stamp(data);
    assert_eq!(stamp, queue::stamp(data));
    let Some(stamp) = stamp else { return };
    let Ok(Value::Object(fields)) = serde_json::from_slice(data) else { panic!("a stamp of no object") };
    // A stamp that is written out as a date may be any that a calendar has.
    if fields.values().all(|value| !value.is_string()) {
        epoch_in_range(stamp);
    }
});
