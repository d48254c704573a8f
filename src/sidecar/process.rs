//! The process of the worker: is it there, and does it stand still where it must not? Pure.
//!
//! A process that uses no CPU is no evidence of anything: it may wait for work. What counts is a process that is gone,
//! stopped, or stuck in the kernel.

use std::time::Duration;

use verdict::time::Moment;
use verdict::words::{Failure, Reason};

use super::cause::Cause;
use super::check::{Finding, seconds};

/// A debugger or an operator may stop a process for a moment.
const STOPPED: Duration = Duration::from_secs(30);
/// The kernel itself calls a task hung after this long; a slow disk is done before.
const BLOCKED: Duration = Duration::from_secs(120);

/// What one look at the process showed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ProcessSeen {
    /// It runs, or waits for something.
    Alive {
        /// Which one.
        pid: u32,
    },
    /// Stopped by a signal or a debugger.
    Stopped {
        /// Which one.
        pid: u32,
    },
    /// In the kernel, uninterruptible.
    Blocked {
        /// Which one.
        pid: u32,
    },
    /// Ended, and nobody has taken notice yet.
    Zombie {
        /// Which one.
        pid: u32,
    },
    /// There is none.
    Gone,
}

impl ProcessSeen {
    /// Its number.
    #[must_use]
    pub(super) const fn pid(self) -> Option<u32> {
        match self {
            Self::Alive { pid } | Self::Stopped { pid } | Self::Blocked { pid } | Self::Zombie { pid } => Some(pid),
            Self::Gone => None,
        }
    }
}

/// Watches one process.
#[derive(Debug, Default)]
pub(super) struct ProcessWatch {
    ever: bool,
    seen: Option<ProcessSeen>,
    /// Since when it is seen like this, and the time that was watched.
    since: Moment,
    watched: Duration,
    looked: Moment,
    failure: Option<Failure>,
}

impl ProcessWatch {
    /// Takes in a look; looks come each `interval`.
    pub(super) fn look(&mut self, now: Moment, interval: Duration, outcome: Result<ProcessSeen, Failure>) {
        let seen = match outcome {
            Ok(seen) => seen,
            Err(failure) => {
                self.failure = Some(failure);
                return;
            }
        };
        self.failure = None;
        self.ever |= !matches!(seen, ProcessSeen::Gone);
        if self.seen == Some(seen) {
            self.watched += now.since(self.looked).min(interval);
        } else {
            self.seen = Some(seen);
            self.since = now;
            self.watched = Duration::ZERO;
        }
        self.looked = now;
    }

    /// It is gone, after it was there.
    #[must_use]
    pub(super) fn ended(&self) -> bool {
        self.ever && matches!(self.seen, Some(ProcessSeen::Gone | ProcessSeen::Zombie { .. }))
    }

    /// The last look saw it running.
    #[must_use]
    pub(super) const fn there(&self) -> bool {
        matches!(self.seen, Some(ProcessSeen::Alive { .. } | ProcessSeen::Stopped { .. } | ProcessSeen::Blocked { .. }))
    }

    /// Since when it is seen as it is.
    #[must_use]
    pub(super) const fn since(&self) -> Moment {
        self.since
    }

    /// What it comes to.
    #[must_use]
    pub(super) fn finding(&self) -> Finding {
        let Some(seen) = self.seen else {
            let cause = self.failure.map_or(Cause::Of(Reason::NotLookedAt), Cause::Look);
            return Finding::unknown(cause, "");
        };
        let told = match seen.pid() {
            Some(pid) => format!("pid {pid}"),
            None => String::new(),
        };
        let standing = |limit: Duration, cause: Cause| {
            let told = format!("{told} for {}, limit {}", seconds(self.watched), seconds(limit));
            if self.watched >= limit { Finding::fail(cause, told) } else { Finding::warn(cause, told) }
        };
        match seen {
            ProcessSeen::Alive { .. } => Finding::pass(told),
            ProcessSeen::Stopped { .. } => standing(STOPPED, Cause::Stopped),
            ProcessSeen::Blocked { .. } => standing(BLOCKED, Cause::Blocked),
            ProcessSeen::Zombie { .. } => Finding::fail(Cause::Of(Reason::Exited), told),
            ProcessSeen::Gone if self.ever => Finding::fail(Cause::Of(Reason::Exited), ""),
            // Never there: our own view is at fault as likely as the worker, so it convicts nobody.
            ProcessSeen::Gone => Finding::unknown(Cause::NotSeen, ""),
        }
    }
}
