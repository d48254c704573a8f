//! From a gRPC status to the closed set of failures. Pure.

use std::error::Error;
use std::io;

use tonic::{Code, Status};
use verdict::words::Failure;

/// Why a call failed. What broke underneath (the connection, the certificate, the name) says more than the code, so it
/// is looked for first.
pub(super) fn failure(status: &Status) -> Failure {
    if let Some(beneath) = beneath(status) {
        return beneath;
    }
    // An HTTP error page in front of the server: tonic guesses a code from the HTTP one, and 404 becomes
    // "unimplemented", which would read as an old server.
    if status.message().starts_with("grpc-status header missing") {
        return match status.code() {
            Code::Unauthenticated => Failure::Unauthenticated,
            Code::PermissionDenied => Failure::PermissionDenied,
            Code::Unavailable => Failure::Unavailable,
            _ => Failure::Protocol,
        };
    }
    match status.code() {
        Code::DeadlineExceeded => Failure::Timeout,
        Code::PermissionDenied => Failure::PermissionDenied,
        Code::Unauthenticated => Failure::Unauthenticated,
        // Between the server's own parts a message over the limit is "exhausted" too; slowing down does not mend that.
        Code::ResourceExhausted if status.message().contains("larger than max") => Failure::BodyTooLarge,
        Code::ResourceExhausted => Failure::Throttled,
        Code::Unavailable => Failure::Unavailable,
        Code::Unimplemented => Failure::Unimplemented,
        Code::NotFound => Failure::NotFound,
        Code::InvalidArgument | Code::FailedPrecondition | Code::AlreadyExists => Failure::InvalidArgument,
        Code::Cancelled | Code::Aborted => Failure::Reset,
        // tonic says so of an answer over the decode limit.
        Code::OutOfRange => Failure::BodyTooLarge,
        Code::Unknown if status.source().is_some() => Failure::Protocol,
        Code::Internal if status.message().contains("h2 protocol error") => Failure::Protocol,
        Code::Ok | Code::Unknown | Code::Internal | Code::DataLoss => Failure::Internal,
    }
}

/// A refusal that asking again at the next look would not change: an old server, a missing right, a name it does not take.
pub(super) fn is_for_good(failure: Failure) -> bool {
    matches!(failure, Failure::Unimplemented | Failure::PermissionDenied | Failure::InvalidArgument | Failure::NotFound)
}

/// What broke under the call, where the chain of causes shows it.
fn beneath(status: &Status) -> Option<Failure> {
    let mut cause = status.source();
    while let Some(error) = cause {
        if error.is::<tonic::TimeoutExpired>() {
            return Some(Failure::Timeout);
        }
        if error.is::<rustls::Error>() {
            return Some(Failure::Tls);
        }
        if let Some(error) = error.downcast_ref::<io::Error>() {
            // An io::Error hides the error it carries from `source()`, which goes on behind it.
            if error.get_ref().is_some_and(|inner| inner.is::<rustls::Error>()) {
                return Some(Failure::Tls);
            }
            if let Some(failure) = of_io(error) {
                return Some(failure);
            }
        }
        // Both libraries keep these types to themselves; their words are all that shows. Held by tests.
        match error.to_string().as_str() {
            "dns error" => return Some(Failure::Dns),
            text if text.contains("HTTP/2 was not negotiated") => return Some(Failure::Protocol),
            // In TLS 1.3 a server refuses our certificate after the handshake, and h2 keeps only the text of it.
            text if text.starts_with("received fatal alert") => return Some(Failure::Tls),
            text if text.contains("TLS handshake timeout") => return Some(Failure::Timeout),
            _ => {}
        }
        cause = error.source();
    }
    None
}

fn of_io(error: &io::Error) -> Option<Failure> {
    match error.kind() {
        io::ErrorKind::ConnectionRefused => Some(Failure::Refused),
        io::ErrorKind::ConnectionReset
        | io::ErrorKind::ConnectionAborted
        | io::ErrorKind::BrokenPipe
        | io::ErrorKind::UnexpectedEof => Some(Failure::Reset),
        io::ErrorKind::NetworkUnreachable | io::ErrorKind::HostUnreachable => Some(Failure::Unreachable),
        io::ErrorKind::TimedOut => Some(Failure::Timeout),
        io::ErrorKind::AddrNotAvailable | io::ErrorKind::OutOfMemory => Some(Failure::Local),
        // EMFILE and ENFILE have no kind: this process, or this machine, has no file descriptor left.
        _ if matches!(error.raw_os_error(), Some(23 | 24)) => Some(Failure::Local),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    #[test]
    fn every_code_has_its_word() {
        for (code, word) in [
            (Code::DeadlineExceeded, Failure::Timeout),
            (Code::PermissionDenied, Failure::PermissionDenied),
            (Code::Unauthenticated, Failure::Unauthenticated),
            (Code::ResourceExhausted, Failure::Throttled),
            (Code::Unavailable, Failure::Unavailable),
            (Code::Unimplemented, Failure::Unimplemented),
            (Code::NotFound, Failure::NotFound),
            (Code::InvalidArgument, Failure::InvalidArgument),
            (Code::Internal, Failure::Internal),
            (Code::Unknown, Failure::Internal),
            (Code::DataLoss, Failure::Internal),
            (Code::Cancelled, Failure::Reset),
            (Code::OutOfRange, Failure::BodyTooLarge),
        ] {
            assert_eq!(failure(&Status::new(code, "any text")), word, "{code:?}");
        }
    }

    #[test]
    fn what_broke_underneath_wins_over_the_code() {
        for (kind, word) in [
            (io::ErrorKind::ConnectionRefused, Failure::Refused),
            (io::ErrorKind::ConnectionReset, Failure::Reset),
            (io::ErrorKind::HostUnreachable, Failure::Unreachable),
            (io::ErrorKind::TimedOut, Failure::Timeout),
        ] {
            let mut status = Status::unavailable("tcp connect error");
            status.set_source(Arc::new(io::Error::from(kind)));
            assert_eq!(failure(&status), word);
        }
        let mut status = Status::unavailable("tls");
        let tls = rustls::Error::NoCertificatesPresented;
        status.set_source(Arc::new(io::Error::new(io::ErrorKind::InvalidData, tls)));
        assert_eq!(failure(&status), Failure::Tls);
        let mut status = Status::unavailable("too many open files");
        status.set_source(Arc::new(io::Error::from_raw_os_error(24)));
        assert_eq!(failure(&status), Failure::Local);
    }

    #[test]
    fn an_error_page_in_front_of_the_server_is_not_an_old_server() {
        let status = Status::unimplemented("grpc-status header missing, mapped from HTTP status code 404");
        assert_eq!(failure(&status), Failure::Protocol);
    }

    #[test]
    fn a_message_over_the_limit_inside_the_server_is_not_a_throttle() {
        let status = Status::resource_exhausted("grpc: received message larger than max (5 vs. 4)");
        assert_eq!(failure(&status), Failure::BodyTooLarge);
    }
}
