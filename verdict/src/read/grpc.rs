//! gRPC health answers (`grpc.health.v1.Health/Check`): what a status code and a serving status say of a worker.
//!
//! The same rules as for HTTP: an answer of the worker's own counts, good or bad; an answer that says that we ask
//! wrongly is evidence of nothing; and nothing that is not understood becomes `up`.

use super::health::{HealthAnswer, Standing, unread};
use crate::evidence::Said;
use crate::words::Failure;

/// What NOT_SERVING means in a fleet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum NotServing {
    /// It is unwell.
    #[default]
    Unhealthy,
    /// It takes leave: servers that never say NOT_SERVING but when they shut down in order.
    Draining,
}

/// Reads the answer: the code of `grpc-status` as it was written, and the serving status of the message.
///
/// A code that cannot be read counts as UNKNOWN, as the protocol says; OK without a readable message as `body_invalid`.
#[must_use]
pub fn read(grpc_status: &str, serving: Option<i32>, not_serving: NotServing) -> HealthAnswer {
    let misconfigured = |failure| HealthAnswer::bare(Standing::Misconfigured(failure), None, None);
    let unwell = |failure| HealthAnswer::bare(Standing::Answered, Some(Said::Down), Some(failure));
    match grpc_status.parse::<u8>().unwrap_or(2) {
        0 => match serving {
            Some(status) => said(status, not_serving),
            None => unread(200, Failure::BodyInvalid),
        },
        3 => misconfigured(Failure::InvalidArgument),
        // The service that we name is not known there.
        5 => misconfigured(Failure::NotFound),
        7 => misconfigured(Failure::PermissionDenied),
        8 => HealthAnswer::bare(Standing::Throttled, None, None),
        // There is no health service at all.
        12 => misconfigured(Failure::Unimplemented),
        14 => unwell(Failure::Unavailable),
        16 => misconfigured(Failure::Unauthenticated),
        // CANCELLED, UNKNOWN, DEADLINE_EXCEEDED, ABORTED, INTERNAL, DATA_LOSS and what no version knows: as a 5xx.
        _ => unwell(Failure::Internal),
    }
}

fn said(serving: i32, not_serving: NotServing) -> HealthAnswer {
    let answered = |said| HealthAnswer::bare(Standing::Answered, Some(said), None);
    match serving {
        1 => answered(Said::Up),
        2 if not_serving == NotServing::Draining => {
            let mut answer = answered(Said::Transient);
            answer.says.goodbye = true;
            answer
        }
        2 => answered(Said::Down),
        // SERVICE_UNKNOWN belongs to Watch; who says it here means the same by it.
        3 => HealthAnswer::bare(Standing::Misconfigured(Failure::NotFound), None, None),
        0 => answered(Said::Transient),
        _ => HealthAnswer::bare(Standing::Answered, Some(Said::Transient), Some(Failure::FieldInvalid)),
    }
}

/// The one message of a unary answer, without its frame: a byte that says whether it is compressed, four with its
/// length. We offer no compression, so that a compressed one is as unreadable as one that was cut short.
///
/// # Errors
/// [`Failure::BodyInvalid`].
pub fn message(body: &[u8]) -> Result<&[u8], Failure> {
    let Some(([compressed, length @ ..], message)) = body.split_first_chunk::<5>() else {
        return Err(Failure::BodyInvalid);
    };
    let whole = u32::from_be_bytes(*length) as usize == message.len();
    if *compressed == 0 && whole { Ok(message) } else { Err(Failure::BodyInvalid) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(status: &str, serving: Option<i32>) -> (Standing, Option<Said>, Option<Failure>) {
        let answer = read(status, serving, NotServing::Unhealthy);
        (answer.standing, answer.says.overall, answer.says.unreadable)
    }

    #[test]
    fn each_serving_status_says_what_it_says_and_an_unknown_one_never_becomes_up() {
        for (serving, said, unreadable) in [
            (1, Said::Up, None),
            (2, Said::Down, None),
            (0, Said::Transient, None),
            (4, Said::Transient, Some(Failure::FieldInvalid)),
            (-1, Said::Transient, Some(Failure::FieldInvalid)),
        ] {
            assert_eq!(of("0", Some(serving)), (Standing::Answered, Some(said), unreadable), "{serving}");
        }
        assert_eq!(of("0", None), (Standing::Answered, Some(Said::Degraded), Some(Failure::BodyInvalid)));
    }

    #[test]
    fn what_says_that_we_ask_wrongly_is_evidence_of_nothing() {
        for (status, failure) in [
            ("3", Failure::InvalidArgument),
            ("5", Failure::NotFound),
            ("7", Failure::PermissionDenied),
            ("12", Failure::Unimplemented),
            ("16", Failure::Unauthenticated),
        ] {
            assert_eq!(of(status, None), (Standing::Misconfigured(failure), None, None), "{status}");
        }
        assert_eq!(of("0", Some(3)).0, Standing::Misconfigured(Failure::NotFound));
        assert_eq!(of("8", None).0, Standing::Throttled);
    }

    #[test]
    fn every_other_code_is_an_answer_that_says_down() {
        for status in ["1", "2", "4", "6", "9", "10", "11", "13", "15", "17", "255", "256", "-1", "", "OK", "0x0"] {
            assert_eq!(
                of(status, Some(1)),
                (Standing::Answered, Some(Said::Down), Some(Failure::Internal)),
                "{status:?}"
            );
        }
        assert_eq!(of("14", None), (Standing::Answered, Some(Said::Down), Some(Failure::Unavailable)));
    }

    #[test]
    fn where_only_a_shutdown_says_not_serving_it_is_a_goodbye() {
        let answer = read("0", Some(2), NotServing::Draining);
        assert!(answer.says.goodbye);
        assert_eq!(answer.standing, Standing::Answered);
        assert!(!read("0", Some(1), NotServing::Draining).says.goodbye);
        assert!(!read("0", Some(2), NotServing::Unhealthy).says.goodbye);
    }

    #[test]
    fn a_frame_is_whole_and_plain_or_no_message() {
        assert_eq!(message(&[0, 0, 0, 0, 2, 8, 1]), Ok([8, 1].as_slice()));
        assert_eq!(message(&[0, 0, 0, 0, 0]), Ok([].as_slice()));
        for bad in [
            [].as_slice(),
            &[0, 0, 0, 0],
            &[0, 0, 0, 0, 2, 8],
            &[0, 0, 0, 0, 2, 8, 1, 1],
            &[1, 0, 0, 0, 2, 8, 1],
            &[0, 255, 255, 255, 255, 8, 1],
        ] {
            assert_eq!(message(bad), Err(Failure::BodyInvalid), "{bad:?}");
        }
    }

    proptest::proptest! {
        #[test]
        fn no_status_and_no_bytes_make_it_panic_and_only_serving_is_up(
            status in ".{0,5}", serving: Option<i32>, body: Vec<u8>,
        ) {
            let answer = read(&status, serving, NotServing::Unhealthy);
            let up = answer.says.overall == Some(Said::Up);
            // `+0` and `00` are the code 0 as well.
            proptest::prop_assert!(!up || (serving == Some(1) && status.parse::<u8>() == Ok(0)));
            proptest::prop_assert!(message(&body).is_ok_and(|message| message.len() + 5 == body.len())
                || message(&body) == Err(Failure::BodyInvalid));
        }
    }
}
