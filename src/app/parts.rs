//! One row for each kind of source: who looks at it, and how its workers are found. Adding a kind is one row here.

use std::pin::Pin;
use std::sync::Arc;

use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::config::{Detail, Source};
use crate::discovery::Found;
use crate::observe::Observe;

/// Sends the full set of workers whenever it changes, until it is cancelled.
pub(super) type Discovery =
    Box<dyn FnOnce(mpsc::Sender<Found>, CancellationToken) -> Pin<Box<dyn Future<Output = ()> + Send>> + Send>;

/// What a source is made of.
pub(super) struct Part {
    /// Who looks.
    pub(super) observer: Arc<dyn Observe>,
    /// Where workers come from a list: who sends it. Sources that list their own workers have none.
    pub(super) discovery: Option<Discovery>,
    /// Tells the one who looks where the workers are.
    pub(super) learn: Box<dyn Fn(&Found) + Send + Sync>,
}

/// Puts together what `source` needs. Called inside the runtime of the looks.
pub(super) fn part(source: &Source) -> Part {
    match &source.detail {
        Detail::Http(http) => Part {
            observer: Arc::new(unbuilt::Unbuilt),
            discovery: Some({
                let found = Found { source: Arc::clone(&source.name), targets: http.targets.clone() };
                Box::new(move |found_by, stop| {
                    Box::pin(async move {
                        // Gone only when the program ends.
                        let _ = found_by.send(found).await;
                        stop.cancelled().await;
                    })
                })
            }),
            learn: Box::new(|_| ()),
        },
        Detail::Temporal(_) => listing(Arc::new(unbuilt::Unbuilt)),
        Detail::Redis(_) => listing(Arc::new(unbuilt::Unbuilt)),
    }
}

/// A source that lists its own workers.
fn listing(observer: Arc<dyn Observe>) -> Part {
    Part { observer, discovery: None, learn: Box::new(|_| ()) }
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
