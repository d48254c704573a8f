//! Celery's events, and its messages in a queue.
#![no_main]

use libfuzzer_sys::fuzz_target;
use verdict::read::celery;
use verdict::words::Failure;

fuzz_target!(|data: &[u8]| {
    assert_eq!(celery::head(data), celery::head(data));
    let event = celery::event(data);
    assert_eq!(event, celery::event(data));
    match event {
        Ok(Some(event)) => {
            assert!((1..=512).contains(&event.hostname.len()));
            assert!(event.freq.is_none_or(|every| (0.1..=172_800.0).contains(&every.as_secs_f64())));
            assert!(event.finished().is_none_or(|finished| Some(finished) <= event.processed));
            assert!(event.host().is_none_or(|host| !host.is_empty()));
        }
        Ok(None) => {}
        Err(failure) => assert!(matches!(failure, Failure::BodyInvalid | Failure::FieldInvalid)),
    }
});
