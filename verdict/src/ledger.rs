//! The one owner of the present: looks go in, snapshots and wishes come out.

use std::sync::Arc;
use std::time::Duration;

use crate::evidence::{Look, Scope, WorkerKey};
use crate::rules::Rulebook;
use crate::snapshot::Snapshot;
use crate::time::{Moment, WallTime};
use crate::words::{Reason, State};

/// What the ledger wants to be looked at, and how often. The schedule obeys; it decides nothing itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wish {
    /// Look at this, from now on at this interval. Said anew for every change.
    Every {
        /// Configured name of the source.
        source: Arc<str>,
        /// What to look at.
        scope: Scope,
        /// The interval from now on.
        interval: Duration,
        /// Look at once, once more: a verdict hangs on it.
        at_once: bool,
    },
    /// Look at this no more.
    Never {
        /// Configured name of the source.
        source: Arc<str>,
        /// What to leave alone.
        scope: Scope,
    },
}

/// A change of state, for the log, the event stream and the page.
#[derive(Clone, Debug, PartialEq)]
pub struct Change {
    /// Whose.
    pub key: WorkerKey,
    /// State before; `None` when the worker is new.
    pub from: Option<State>,
    /// State now; `None` when the worker left.
    pub to: Option<State>,
    /// Why.
    pub reason: Reason,
    /// One sentence for people.
    pub detail: String,
    /// When.
    pub at: WallTime,
}

/// Everything that is remembered.
#[derive(Debug)]
pub struct Ledger {
    rules: Arc<Rulebook>,
}

impl Ledger {
    /// An empty ledger.
    #[must_use]
    pub fn new(rules: Arc<Rulebook>, _now: Moment) -> Self {
        Self { rules }
    }

    /// Puts other rules in force. Forgets nothing about workers that stay; workers and queues of sources that are
    /// no longer configured leave in silence.
    pub fn configure(&mut self, rules: Arc<Rulebook>, _now: Moment) {
        self.rules = rules;
    }

    /// The FULL set of workers that a list (static, file) names for `source`: those that vanished from it have left.
    pub fn discovered(&mut self, _source: &str, _workers: &[WorkerKey], _now: Moment, _wall: WallTime) {}

    /// Takes in one finished look.
    pub fn observe(&mut self, _look: Look) {}

    /// Lets time pass. Called each second; a call that comes late tells that we were suspended.
    pub fn tick(&mut self, _now: Moment, _wall: WallTime) {}

    /// What should be looked at differently from before. Empties the list.
    pub fn take_wishes(&mut self) -> Vec<Wish> {
        Vec::new()
    }

    /// What changed. Empties the list.
    pub fn take_changes(&mut self) -> Vec<Change> {
        Vec::new()
    }

    /// The present, to be published.
    #[must_use]
    pub fn snapshot(&self, now: Moment, wall: WallTime) -> Snapshot {
        let _ = &self.rules;
        Snapshot { taken: now, taken_wall: wall, observer_trusted: true, ..Snapshot::default() }
    }
}
