//! The targets that stand in the configuration itself.

use crate::config::{HttpSource, HttpTarget};

/// All of them.
pub fn targets(source: &HttpSource) -> Vec<HttpTarget> {
    source.targets.clone()
}
