//! Who the workers are: one file per way. Each sends its FULL set, so that the vanished vanish.

pub mod file_sd;
pub mod fixed;

use std::sync::Arc;

use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use verdict::evidence::WorkerKey;

use crate::config::{Detail, HttpTarget, Source};

/// The full set of targets of one source, by whatever way they were found.
#[derive(Debug, Clone)]
pub struct Found {
    /// Configured name of the source.
    pub source: Arc<str>,
    /// All of them.
    pub targets: Vec<HttpTarget>,
    /// Workers that are looked at by themselves and have no address.
    pub workers: Vec<WorkerKey>,
}

/// Finds the targets of a source for as long as `cancel` allows, on a task of `tasks`: the full set at once, and
/// again after each change. `None` for a source that finds its workers itself.
pub fn watch(source: &Source, tasks: &TaskTracker, cancel: CancellationToken) -> Option<mpsc::Receiver<Found>> {
    let (sender, receiver) = mpsc::channel(4);
    if let Detail::Process(process) = &source.detail {
        let workers = fixed::workers(process);
        let found = Found { source: Arc::clone(&source.name), targets: Vec::new(), workers };
        // The channel is empty, and what the file says does not change before the next file.
        let _ = sender.try_send(found);
        return Some(receiver);
    }
    let targets = source.detail.targets()?;
    let fleet = source.fleet.clone().unwrap_or_else(|| Arc::clone(&source.name));
    tasks.spawn(file_sd::run(Arc::clone(&source.name), fleet, targets.clone(), sender, cancel));
    Some(receiver)
}
