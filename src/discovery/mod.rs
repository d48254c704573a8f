//! Who the workers are: one file per way. Each sends its FULL set, so that the vanished vanish.

use std::sync::Arc;

use crate::config::HttpTarget;

/// The full set of HTTP targets of one source, by whatever way they were found.
#[derive(Debug, Clone)]
pub struct Found {
    /// Configured name of the source.
    pub source: Arc<str>,
    /// All of them.
    pub targets: Vec<HttpTarget>,
}
