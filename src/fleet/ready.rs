//! Ready by dropped latches: each duty of the start holds one, and the program is ready when none is held.
//! It cannot become unready by accident, since a dropped latch cannot come back.

use std::sync::{Arc, Weak};

/// Held by a duty of the start until it is done.
#[derive(Clone, Debug)]
pub struct Latch {
    _held: Arc<()>,
}

/// Tells whether all latches were dropped.
#[derive(Clone, Debug)]
pub struct Readiness {
    held: Weak<()>,
}

impl Readiness {
    /// A first latch, from which the others are cloned, and who watches them.
    #[must_use]
    pub fn latched() -> (Latch, Self) {
        let held = Arc::new(());
        let readiness = Self { held: Arc::downgrade(&held) };
        (Latch { _held: held }, readiness)
    }

    /// Every duty of the start is done.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.held.strong_count() == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ready_is_when_the_last_latch_was_dropped() {
        let (config, ready) = Readiness::latched();
        let listeners = config.clone();
        assert!(!ready.is_ready());
        drop(config);
        assert!(!ready.is_ready());
        drop(listeners);
        assert!(ready.is_ready());
    }
}
