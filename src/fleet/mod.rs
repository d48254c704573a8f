//! The one owner of the present: takes looks in, publishes an immutable snapshot.

mod owner;
pub mod pace;
mod ready;

use std::sync::Arc;

use arc_swap::ArcSwap;
use verdict::snapshot::Snapshot;

pub use crate::observe::Clock;
pub use owner::{Event, Owner};
pub use ready::{Latch, Readiness};

/// The present, as everybody reads it.
pub type Present = Arc<ArcSwap<Snapshot>>;
