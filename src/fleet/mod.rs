//! The one owner of the present: takes looks in, publishes an immutable snapshot.

mod clock;

use std::sync::Arc;

use arc_swap::ArcSwap;
use verdict::snapshot::Snapshot;

pub use clock::Clock;

/// The present, as everybody reads it.
pub type Present = Arc<ArcSwap<Snapshot>>;
