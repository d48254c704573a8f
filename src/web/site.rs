//! What the web room is given: everything it reads, and the one thing that it may ask for.

use std::sync::Arc;

use arc_swap::ArcSwap;
use tokio::sync::{broadcast, mpsc, oneshot};
use verdict::ledger::Change;
use verdict::time::WallTime;

use crate::config::{Settings, WebSettings};
use crate::fleet::{Clock, Present};

/// Asks for a reload of the configuration; the answer is what went wrong, for people.
pub type Reload = mpsc::Sender<oneshot::Sender<Result<(), String>>>;

/// How the last reload went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReloadStatus {
    /// The configuration that was last read is in force.
    pub successful: bool,
    /// When one last came into force.
    pub last_success: Option<WallTime>,
}

/// Everything that the handlers read.
#[derive(Clone)]
pub struct Site {
    /// The present.
    pub present: Present,
    /// Each change of state, as it happens.
    pub changes: broadcast::Sender<Arc<Change>>,
    /// The configuration in force.
    pub settings: Arc<ArcSwap<Settings>>,
    /// Asks for a reload.
    pub reload: Reload,
    /// How the last reload went.
    pub reload_status: Arc<ArcSwap<ReloadStatus>>,
    /// Every duty of the start is done.
    pub ready: Arc<dyn Fn() -> bool + Send + Sync>,
    /// Addresses, paths and prefixes.
    pub web: WebSettings,
    /// What time it is.
    pub clock: Clock,
}
