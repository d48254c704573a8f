//! The exposition. One table says what there is ([`table`]), one writer says how it is written ([`write`]), one cache
//! sees to it that all scrapers of a moment share one rendering ([`cache`]).

pub mod cache;
mod process;
pub mod table;
mod write;

pub use cache::{Body, Metrics};
pub use process::Process;

use std::sync::Arc;

use verdict::snapshot::Snapshot;

use crate::web::site::ReloadStatus;

/// What the exporter's own families are rendered from, at scrape time.
#[derive(Clone, Debug)]
pub struct Live {
    /// The snapshot that the rest of the body shows, so that its age is the age of what was scraped.
    pub snapshot: Arc<Snapshot>,
    /// How the last reload went.
    pub reload: Arc<ReloadStatus>,
    /// Figures of our own process; `None` where the system does not give them.
    pub process: Option<Process>,
    /// Series left out so far because a worker had more than its share.
    pub series_dropped: u64,
}

#[cfg(test)]
mod tests;
