//! One task queue: whether work waits in it.

use std::collections::VecDeque;
use std::time::Duration;

use crate::evidence::QueueReport;
use crate::source::Health;
use crate::time::Moment;

/// Looks in a row that must show waiting work.
const LOOKS: usize = 3;

/// What is remembered of a queue.
#[derive(Clone, Debug)]
pub struct Queue {
    /// Looks at it.
    pub health: Health,
    /// What the last successful look brought.
    pub report: QueueReport,
    /// Ages of its head at the last looks in a row that showed work which nothing holds back, at most three.
    pub heads: VecDeque<Duration>,
    /// Named in the configuration.
    pub expected: bool,
    /// When a worker that serves it was last known.
    pub served: Moment,
}

impl Queue {
    /// A queue that became known now.
    #[must_use]
    pub fn new(now: Moment) -> Self {
        Self {
            health: Health::new(now),
            report: QueueReport::default(),
            heads: VecDeque::new(),
            expected: false,
            served: now,
        }
    }

    /// Takes in a look.
    pub fn look(&mut self, report: QueueReport) {
        let backlog = report.backlog.is_some_and(|b| b > 0) && report.rate_limited != Some(true);
        match report.backlog_age.filter(|_| backlog) {
            Some(age) => {
                self.heads.push_back(age);
                if self.heads.len() > LOOKS {
                    self.heads.pop_front();
                }
            }
            None => self.heads.clear(),
        }
        self.report = report;
    }

    /// Work waits: at three looks in a row the queue was not empty, its head was older than `age`, and no rate limit held
    /// it back.
    #[must_use]
    pub fn waiting(&self, age: Duration) -> bool {
        self.heads.len() == LOOKS && self.heads.iter().all(|head| *head > age)
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
            queue.look(report(1, 61, false));
            assert_eq!(queue.waiting(age), expected, "look {n}");
        }
        for fine in [report(0, 61, false), report(1, 60, false), report(1, 61, true)] {
            queue.look(fine);
            assert!(!queue.waiting(age));
            for _ in 0..2 {
                queue.look(report(1, 61, false));
                assert!(!queue.waiting(age), "two of three");
            }
            queue.look(report(1, 61, false));
            assert!(queue.waiting(age));
        }
    }
}
