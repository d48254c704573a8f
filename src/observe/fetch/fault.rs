//! Whose fault it is when there is no answer: the worker's, our configuration's, or our own machine's.

use std::error::Error;
use std::io;

use verdict::words::Failure;

/// Why there is no answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::observe) enum Fault {
    /// Evidence against the worker.
    Worker(Failure),
    /// We are misconfigured: evidence of nothing.
    Configuration(Failure),
    /// The same, and what is unusable: a sentence that names a file, never what is in it.
    Unusable(Failure, String),
    /// Our own machine failed: the look has failed.
    Own(Failure),
    /// Nobody told us the address of the worker, and nobody said that it has none: the look has failed, and why.
    Unresolved(String),
}

/// "Too many open files" of the process and of the system: the standard library has no kind for them.
const NO_DESCRIPTORS: [i32; 2] = [24, 23];
/// "No buffer space available".
const NO_BUFFERS: i32 = if cfg!(target_os = "linux") { 105 } else { 55 };

impl Fault {
    /// Of a socket.
    pub(in crate::observe) fn of_io(error: &io::Error) -> Self {
        if is_own(error) {
            return Self::Own(Failure::Local);
        }
        if error.get_ref().is_some_and(|inner| inner.is::<rustls::Error>()) {
            return Self::Worker(Failure::Tls);
        }
        Self::Worker(match error.kind() {
            io::ErrorKind::ConnectionRefused => Failure::Refused,
            io::ErrorKind::HostUnreachable | io::ErrorKind::NetworkUnreachable | io::ErrorKind::NetworkDown => {
                Failure::Unreachable
            }
            io::ErrorKind::TimedOut => Failure::Timeout,
            io::ErrorKind::InvalidData => Failure::Protocol,
            _ => Failure::Reset,
        })
    }

    /// Of the HTTP exchange.
    pub(in crate::observe) fn of_http(error: &hyper::Error) -> Self {
        if error.is_parse_too_large() {
            return Self::Worker(Failure::HeaderLimit);
        }
        let mut source = error.source();
        while let Some(inner) = source {
            if let Some(io) = inner.downcast_ref::<io::Error>() {
                return Self::of_io(io);
            }
            source = inner.source();
        }
        if error.is_parse() {
            return Self::Worker(Failure::Protocol);
        }
        Self::Worker(Failure::Reset)
    }

    /// Of the HTTP/2 exchange.
    pub(in crate::observe) fn of_http2(error: &hyper::Error) -> Self {
        let mut source = error.source();
        while let Some(inner) = source {
            if let Some(http2) = inner.downcast_ref::<h2::Error>() {
                return match (http2.get_io(), http2.reason()) {
                    (Some(io), _) => Self::of_io_below(io),
                    (None, Some(h2::Reason::ENHANCE_YOUR_CALM)) => Self::Own(Failure::Throttled),
                    (None, Some(reason)) if REFUSALS.contains(&reason) => Self::Worker(Failure::Reset),
                    // A side that sees bytes which are no HTTP/2 says so by one of the other reasons.
                    (None, Some(_)) => Self::Worker(Failure::Protocol),
                    (None, None) => Self::Worker(Failure::Reset),
                };
            }
            if let Some(io) = inner.downcast_ref::<io::Error>() {
                return Self::of_io_below(io);
            }
            source = inner.source();
        }
        Self::Worker(Failure::Reset)
    }

    /// Of a socket below HTTP/2, which keeps the kind of the error and loses what it was: data that are not valid come
    /// from TLS alone.
    fn of_io_below(error: &io::Error) -> Self {
        if error.kind() == io::ErrorKind::InvalidData { Self::Worker(Failure::Tls) } else { Self::of_io(error) }
    }
}

/// The other side speaks HTTP/2, and does not want to answer.
const REFUSALS: [h2::Reason; 5] = [
    h2::Reason::NO_ERROR,
    h2::Reason::INTERNAL_ERROR,
    h2::Reason::REFUSED_STREAM,
    h2::Reason::CANCEL,
    h2::Reason::CONNECT_ERROR,
];

/// Our own machine lacks something: descriptors, ports, memory.
pub(super) fn is_own(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::AddrNotAvailable | io::ErrorKind::OutOfMemory)
        || error.raw_os_error().is_some_and(|code| NO_DESCRIPTORS.contains(&code) || code == NO_BUFFERS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn our_own_exhaustion_is_never_the_workers_fault() {
        for code in [24, 23, NO_BUFFERS] {
            assert_eq!(Fault::of_io(&io::Error::from_raw_os_error(code)), Fault::Own(Failure::Local), "{code}");
        }
        let no_port = io::Error::from(io::ErrorKind::AddrNotAvailable);
        assert_eq!(Fault::of_io(&no_port), Fault::Own(Failure::Local));
    }

    #[test]
    fn each_socket_error_has_its_word() {
        for (kind, failure) in [
            (io::ErrorKind::ConnectionRefused, Failure::Refused),
            (io::ErrorKind::ConnectionReset, Failure::Reset),
            (io::ErrorKind::UnexpectedEof, Failure::Reset),
            (io::ErrorKind::HostUnreachable, Failure::Unreachable),
            (io::ErrorKind::NetworkUnreachable, Failure::Unreachable),
            (io::ErrorKind::TimedOut, Failure::Timeout),
        ] {
            assert_eq!(Fault::of_io(&io::Error::from(kind)), Fault::Worker(failure), "{kind}");
        }
    }
}
