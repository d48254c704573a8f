//! The workers that stand in the configuration itself.

use std::sync::Arc;

use verdict::evidence::WorkerKey;

use crate::config::{HttpTarget, ProcessSource, Targets};

/// All targets.
pub fn targets(source: &Targets) -> Vec<HttpTarget> {
    source.fixed.clone()
}

/// All workers that are known by their processes.
pub fn workers(source: &ProcessSource) -> Vec<WorkerKey> {
    source.workers.iter().map(|worker| WorkerKey::new(Arc::clone(&worker.fleet), Arc::clone(&worker.id))).collect()
}
