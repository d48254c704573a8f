//! What a worker shows: one folder per source, each a `fetch` (I/O, under a deadline) and a pure `read`.

mod aside;
mod clock;
pub mod envelope;
pub mod fetch;
pub mod file;
pub mod grpc;
pub mod http;
mod legible;
pub mod metrics;
pub mod process;
pub mod redis;
pub mod schedule;
pub mod targets;
pub mod temporal;
pub mod timetable;
pub(crate) mod tls;

pub use clock::Clock;

use std::future::Future;
use std::pin::Pin;

use verdict::evidence::{Report, Scope};
use verdict::words::Failure;

/// A source that can be looked at. The envelope around it (in `schedule`) measures, enforces the deadline and
/// bounds the number of looks, so that the author of a source cannot forget.
pub trait Observe: Send + Sync {
    /// One look. `Err` says that the look failed; a worker that did not answer is evidence, not an error.
    fn look<'a>(&'a self, scope: &'a Scope) -> Pin<Box<dyn Future<Output = Result<Report, Failure>> + Send + 'a>>;
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a fake fails its test by panicking")]
pub(crate) mod scenario;
