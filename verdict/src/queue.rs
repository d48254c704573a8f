//! One task queue: whether work waits in it.

use std::time::Duration;

use crate::evidence::QueueReport;
use crate::source::Health;
use crate::time::Moment;

/// Looks in a row that must show waiting work.
const LOOKS: u32 = 3;

/// What is remembered of a queue.
#[derive(Clone, Debug)]
pub struct Queue {
    /// Looks at it.
    pub health: Health,
    /// What the last successful look brought.
    pub report: QueueReport,
    /// Looks in a row with waiting work.
    pub streak: u32,
    /// Named in the configuration.
    pub expected: bool,
    /// When a worker that serves it was last known.
    pub served: Moment,
}

impl Queue {
    /// A queue that became known now.
    #[must_use]
    pub fn new(now: Moment) -> Self {
        Self { health: Health::new(now), report: QueueReport::default(), streak: 0, expected: false, served: now }
    }

    /// Takes in a look. Work waits when the queue is not empty, its head is older than `age`, and no rate limit holds it back.
    pub fn look(&mut self, report: QueueReport, age: Duration) {
        let waits = report.backlog.is_some_and(|b| b > 0)
            && report.backlog_age.is_some_and(|a| a > age)
            && report.rate_limited != Some(true);
        self.streak = if waits { self.streak.saturating_add(1) } else { 0 };
        self.report = report;
    }

    /// Work waits: seen at three looks in a row.
    #[must_use]
    pub const fn waiting(&self) -> bool {
        self.streak >= LOOKS
    }

    /// Its tasks go to workers of this build.
    #[must_use]
    pub fn goes_to(&self, build: Option<&str>) -> bool {
        let builds = &self.report.serving_builds;
        builds.is_empty() || build.is_some_and(|b| builds.iter().any(|s| &**s == b))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn work_waits_at_the_third_look_with_an_old_head_and_no_rate_limit() {
        let age = Duration::from_secs(60);
        let report = |backlog, head, limited| QueueReport {
            backlog: Some(backlog),
            backlog_age: Some(Duration::from_secs(head)),
            rate_limited: Some(limited),
            ..QueueReport::default()
        };
        let mut queue = Queue::new(Moment::START);
        for (n, expected) in [(1, false), (2, false), (3, true), (4, true)] {
            queue.look(report(1, 61, false), age);
            assert_eq!(queue.waiting(), expected, "look {n}");
        }
        for fine in [report(0, 61, false), report(1, 60, false), report(1, 61, true)] {
            queue.streak = 9;
            queue.look(fine, age);
            assert!(!queue.waiting());
        }
    }
}
