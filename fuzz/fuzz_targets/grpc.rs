//! gRPC health answers: a line with the status, then the body.
#![no_main]

use libfuzzer_sys::fuzz_target;
use verdict::evidence::Said;
use verdict::read::grpc::{NotServing, message, read};
use verdict::read::health::Standing;
use verdict::words::Failure;
use worker_exporter_fuzz::{halves, says_is_sane};

fuzz_target!(|data: &[u8]| {
    let (status, body) = halves(data);
    let serving = match message(body) {
        Ok(message) => {
            assert_eq!(message.len() + 5, body.len());
            message.first_chunk::<4>().map(|bytes| i32::from_le_bytes(*bytes))
        }
        Err(failure) => {
            assert_eq!(failure, Failure::BodyInvalid);
            None
        }
    };
    let status = String::from_utf8_lossy(status);
    for not_serving in [NotServing::Unhealthy, NotServing::Draining] {
        let answer = read(&status, serving, not_serving);
        says_is_sane(&answer.says);
        if answer.says.overall == Some(Said::Up) {
            assert_eq!(serving, Some(1));
        }
        if answer.says.goodbye {
            assert_eq!((serving, not_serving), (Some(2), NotServing::Draining));
        }
        assert!(answer.says.overall.is_some() == (answer.standing == Standing::Answered));
    }
});
