//! Where the workers of a source are that asks each at an address.

use std::collections::HashMap;
use std::sync::Arc;

use arc_swap::ArcSwap;
use verdict::evidence::WorkerKey;

use crate::config::HttpTarget;

/// The targets of one source, as discovery last found them. Whoever discovers swaps the whole map.
pub type Known = Arc<ArcSwap<HashMap<WorkerKey, HttpTarget>>>;
