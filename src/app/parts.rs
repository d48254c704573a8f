//! One row for each kind of source: who looks at it, and what it is told of workers that a list names. Adding a kind
//! is one row here.

use std::sync::Arc;

use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::config::{Detail, Source};
use crate::discovery::Found;
use crate::observe::Observe;

/// What a source is made of.
pub(super) struct Part {
    /// Who looks.
    pub(super) observer: Arc<dyn Observe>,
    /// Tells the one who looks where the workers are. Does nothing where a source lists its own.
    pub(super) learn: Box<dyn Fn(&Found) + Send + Sync>,
}

/// Puts together what `source` needs. Called inside the runtime of the looks.
pub(super) fn part(source: &Source) -> Part {
    match &source.detail {
        Detail::Http(_) => listing(Arc::new(unbuilt::Unbuilt)),
        Detail::Temporal(_) => listing(Arc::new(unbuilt::Unbuilt)),
        Detail::Redis(_) => listing(Arc::new(unbuilt::Unbuilt)),
    }
}

/// A source that lists its own workers.
fn listing(observer: Arc<dyn Observe>) -> Part {
    Part { observer, learn: Box::new(|_| ()) }
}

/// Finds the workers that a list names; `None` for a source that lists its own. `discovery::watch` takes its place.
pub(super) fn watch(
    source: &Source,
    _tasks: &TaskTracker,
    _cancel: CancellationToken,
) -> Option<mpsc::Receiver<Found>> {
    let Detail::Http(http) = &source.detail else { return None };
    let (found_by, founds) = mpsc::channel(4);
    // There is room for four.
    let _ = found_by.try_send(Found { source: Arc::clone(&source.name), targets: http.targets.clone() });
    Some(founds)
}

/// Stands in a row whose room is not there yet; goes with the last of them.
mod unbuilt {
    use std::pin::Pin;

    use verdict::evidence::{Report, Scope};
    use verdict::words::Failure;

    use crate::observe::Observe;

    pub(super) struct Unbuilt;

    impl Observe for Unbuilt {
        fn look<'a>(&'a self, _: &'a Scope) -> Pin<Box<dyn Future<Output = Result<Report, Failure>> + Send + 'a>> {
            Box::pin(async { Err(Failure::Unimplemented) })
        }
    }
}
