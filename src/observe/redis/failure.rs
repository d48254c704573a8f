//! From what went wrong to the closed set of reasons.

use std::error::Error;
use std::io;
use std::sync::Arc;

use redis::{ErrorKind, RedisError};
use verdict::words::Failure;

/// The reason for an error of the client library.
pub(super) fn of(error: &RedisError) -> Failure {
    if let Some(code) = error.code() {
        return of_code(code, error.detail().unwrap_or_default());
    }
    match error.kind() {
        ErrorKind::AuthenticationFailed => Failure::Unauthenticated,
        ErrorKind::Parse | ErrorKind::UnexpectedReturnType | ErrorKind::RESP3NotSupported => Failure::Protocol,
        // Without a socket's error behind it: the library found the connection closed.
        _ => socket(error).map_or(Failure::Reset, of_io),
    }
}

/// The error of the socket behind an error of the library, which wraps it in an `Arc`.
fn socket(error: &RedisError) -> Option<&io::Error> {
    let source = error.source()?;
    let inside = source.downcast_ref::<Arc<dyn Error + Send + Sync>>();
    source.downcast_ref().or_else(|| inside?.downcast_ref())
}

/// The reason for an error that the server answers, `-CODE detail`.
pub(super) fn of_code(code: &str, detail: &str) -> Failure {
    match code {
        "NOAUTH" | "WRONGPASS" => Failure::Unauthenticated,
        "NOPERM" | "DENIED" => Failure::PermissionDenied,
        "LOADING" => Failure::Loading,
        "READONLY" | "MASTERDOWN" => Failure::ReadOnly,
        "CLUSTERDOWN" | "MOVED" | "ASK" | "TRYAGAIN" | "CROSSSLOT" => Failure::ClusterDown,
        "WRONGTYPE" => Failure::WrongType,
        "BUSY" | "OOM" | "MISCONF" | "NOREPLICAS" => Failure::Unavailable,
        _ => {
            let detail = detail.to_ascii_lowercase();
            let table = [
                ("invalid password", Failure::Unauthenticated),
                ("without any password configured", Failure::Unauthenticated),
                ("no password is set", Failure::Unauthenticated),
                ("max number of clients", Failure::Unavailable),
                ("unknown command", Failure::Unimplemented),
                ("db index is out of range", Failure::NotFound),
                ("select is not allowed in cluster mode", Failure::InvalidArgument),
            ];
            table.iter().find(|(words, _)| detail.contains(words)).map_or(Failure::Internal, |(_, failure)| *failure)
        }
    }
}

/// The reason for an error of a socket, TLS on it included.
pub(super) fn of_io(error: &io::Error) -> Failure {
    if error.get_ref().is_some_and(|inner| inner.is::<rustls::Error>()) {
        return Failure::Tls;
    }
    match error.kind() {
        io::ErrorKind::ConnectionRefused => Failure::Refused,
        io::ErrorKind::TimedOut | io::ErrorKind::WouldBlock => Failure::Timeout,
        io::ErrorKind::HostUnreachable | io::ErrorKind::NetworkUnreachable => Failure::Unreachable,
        // No descriptor, no local port, no memory, no right: our own machine.
        io::ErrorKind::AddrNotAvailable
        | io::ErrorKind::AddrInUse
        | io::ErrorKind::OutOfMemory
        | io::ErrorKind::PermissionDenied
        | io::ErrorKind::QuotaExceeded => Failure::Local,
        // EMFILE and ENFILE have no kind of their own.
        _ if matches!(error.raw_os_error(), Some(23 | 24)) => Failure::Local,
        io::ErrorKind::InvalidData => Failure::Protocol,
        _ => Failure::Reset,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_error_of_a_server_has_its_reason() {
        for (code, detail, failure) in [
            ("NOAUTH", "Authentication required.", Failure::Unauthenticated),
            ("WRONGPASS", "invalid username-password pair or user is disabled.", Failure::Unauthenticated),
            (
                "ERR",
                "AUTH <password> called without any password configured for the default user.",
                Failure::Unauthenticated,
            ),
            ("ERR", "Client sent AUTH, but no password is set", Failure::Unauthenticated),
            ("NOPERM", "this user has no permissions to run the 'scan' command", Failure::PermissionDenied),
            ("DENIED", "Redis is running in protected mode", Failure::PermissionDenied),
            ("LOADING", "Redis is loading the dataset in memory", Failure::Loading),
            ("READONLY", "You can't write against a read only replica.", Failure::ReadOnly),
            ("MASTERDOWN", "Link with MASTER is down", Failure::ReadOnly),
            ("CLUSTERDOWN", "Hash slot not served", Failure::ClusterDown),
            ("MOVED", "866 10.0.0.2:6379", Failure::ClusterDown),
            ("ASK", "866 10.0.0.2:6379", Failure::ClusterDown),
            ("WRONGTYPE", "Operation against a key holding the wrong kind of value", Failure::WrongType),
            ("TRYAGAIN", "Multiple keys request during rehashing of slot", Failure::ClusterDown),
            ("CROSSSLOT", "Keys in request don't hash to the same slot", Failure::ClusterDown),
            ("BUSY", "Redis is busy running a script.", Failure::Unavailable),
            ("OOM", "command not allowed when used memory > 'maxmemory'.", Failure::Unavailable),
            ("MISCONF", "Redis is configured to save RDB snapshots, but it can't.", Failure::Unavailable),
            ("NOREPLICAS", "Not enough good replicas to write.", Failure::Unavailable),
            ("ERR", "max number of clients reached", Failure::Unavailable),
            ("ERR", "unknown command 'SCAN'", Failure::Unimplemented),
            ("ERR", "DB index is out of range", Failure::NotFound),
            ("ERR", "syntax error", Failure::Internal),
        ] {
            assert_eq!(of_code(code, detail), failure, "{code} {detail}");
        }
    }

    #[test]
    fn every_error_of_a_socket_has_its_reason() {
        for (error, failure) in [
            (io::Error::from(io::ErrorKind::ConnectionRefused), Failure::Refused),
            (io::Error::from(io::ErrorKind::UnexpectedEof), Failure::Reset),
            (io::Error::from(io::ErrorKind::ConnectionReset), Failure::Reset),
            (io::Error::from(io::ErrorKind::BrokenPipe), Failure::Reset),
            (io::Error::from(io::ErrorKind::TimedOut), Failure::Timeout),
            (io::Error::from_raw_os_error(24), Failure::Local),
            (io::Error::from_raw_os_error(113), Failure::Unreachable),
            (io::Error::other(rustls::Error::DecryptError), Failure::Tls),
        ] {
            assert_eq!(of_io(&error), failure, "{error}");
            assert_eq!(of(&RedisError::from(error)), failure);
        }
    }
}
