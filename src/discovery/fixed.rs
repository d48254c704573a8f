//! The targets that stand in the configuration itself.

use crate::config::{HttpTarget, Targets};

/// All of them.
pub fn targets(source: &Targets) -> Vec<HttpTarget> {
    source.fixed.clone()
}
