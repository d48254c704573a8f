//! The envelope around every look: it measures, enforces the deadline, catches a panic. No source can forget it.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use verdict::evidence::{Look, Reach, Report, Scope};
use verdict::time::Moment;
use verdict::words::Failure;

use super::{Clock, Observe};

/// A source keeps its own deadline, since for some a missed one is evidence against the worker. The envelope's lies
/// this much later, so that it strikes only when a source does not keep its own, and that is a failure of the look.
pub const MARGIN: Duration = Duration::from_millis(500);

/// A look that took this much longer than even the envelope allows was not slow: we were not running.
const STALLED: Duration = Duration::from_secs(1);

/// One look that is to be made.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Configured name of the source.
    pub source: Arc<str>,
    /// What to look at.
    pub scope: Scope,
    /// The interval in force.
    pub interval: Duration,
    /// Total deadline of a look at this source.
    pub timeout: Duration,
}

impl Plan {
    /// Makes the look. Always comes to an end, and always with a [`Look`].
    pub async fn look(self, observer: &dyn Observe, clock: Clock) -> Look {
        let started = clock.now();
        let attempt = AssertUnwindSafe(async { observer.look(&self.scope).await }).catch_unwind();
        let outcome = match tokio::time::timeout(self.timeout + MARGIN, attempt).await {
            Ok(Ok(outcome)) => outcome,
            Ok(Err(_panic)) => {
                tracing::error!(source = %self.source, "a look panicked: a fault of this program, please report it");
                Err(Failure::Internal)
            }
            Err(_elapsed) => Err(Failure::Timeout),
        };
        let stalled = clock.now().since(started) > self.timeout + MARGIN + STALLED;
        let outcome = if stalled && is_timeout(&outcome) { Err(Failure::Local) } else { outcome };
        self.ended(started, outcome, clock)
    }

    /// The look that was not made since the one before it still runs.
    #[must_use]
    pub fn late(self, clock: Clock) -> Look {
        let now = clock.now();
        self.ended(now, Err(Failure::Late), clock)
    }

    fn ended(self, started: Moment, outcome: Result<Report, Failure>, clock: Clock) -> Look {
        Look {
            source: self.source,
            scope: self.scope,
            started,
            finished: clock.now(),
            received: clock.wall(),
            interval: self.interval,
            outcome,
        }
    }
}

/// Nothing came in time. After a stall of ours this says nothing of the other side.
fn is_timeout(outcome: &Result<Report, Failure>) -> bool {
    match outcome {
        Ok(Report::Worker(observation)) => observation.reach == Some(Reach::Missed(Failure::Timeout)),
        Ok(_) => false,
        Err(failure) => *failure == Failure::Timeout,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

    use super::*;
    use crate::observe::scenario::{Act, Scenario};

    fn plan() -> Plan {
        Plan {
            source: "source".into(),
            scope: Scope::Listing,
            interval: Duration::from_secs(10),
            timeout: Duration::from_secs(2),
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_look_is_measured_from_its_start_to_its_end() {
        let clock = Clock::start();
        let source = Scenario::new([Act::AnswersAfter(Duration::from_millis(700))]);
        let look = plan().look(&*source, clock).await;
        assert_eq!(look.finished.since(look.started), Duration::from_millis(700));
        assert!(look.outcome.is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn a_source_that_ignores_its_deadline_is_ended_and_the_look_failed_with_timeout() {
        let clock = Clock::start();
        let source = Scenario::new([Act::Hangs]);
        let look = plan().look(&*source, clock).await;
        assert_eq!(look.outcome.unwrap_err(), Failure::Timeout);
        assert_eq!(look.finished.since(look.started), Duration::from_secs(2) + MARGIN);
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_within_the_margin_still_counts() {
        let clock = Clock::start();
        let source = Scenario::new([Act::AnswersAfter(Duration::from_secs(2) + MARGIN / 2)]);
        assert!(plan().look(&*source, clock).await.outcome.is_ok());
    }

    #[tokio::test]
    async fn a_panic_in_a_source_fails_the_look_and_nothing_else() {
        let source = Scenario::new([Act::Panics]);
        let look = plan().look(&*source, Clock::start()).await;
        assert_eq!(look.outcome.unwrap_err(), Failure::Internal);
    }

    #[tokio::test(start_paused = true)]
    async fn a_timeout_that_we_slept_through_is_our_own_failure() {
        let clock = Clock::start();
        let source = Scenario::new([Act::Hangs]);
        let look = plan();
        let (look, ()) = tokio::join!(look.look(&*source, clock), async {
            // Two minutes pass while nothing of this program runs.
            tokio::time::advance(Duration::from_secs(120)).await;
        });
        assert_eq!(look.outcome.unwrap_err(), Failure::Local);
    }

    #[tokio::test]
    async fn a_failure_keeps_its_reason() {
        let source = Scenario::new([Act::Fails(Failure::Throttled)]);
        let look = plan().look(&*source, Clock::start()).await;
        assert_eq!(look.outcome.unwrap_err(), Failure::Throttled);
    }
}
