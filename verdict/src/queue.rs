//! One task queue: whether work waits in it.

use std::collections::VecDeque;
use std::time::Duration;

use crate::evidence::{Mark, QueueReport};
use crate::source::Health;
use crate::time::Moment;

/// Looks in a row that must show waiting work.
const LOOKS: usize = 3;

/// What a queue looks like that nobody serves: an element that stays at its end, and no fewer elements than before.
#[derive(Clone, Copy, Debug)]
pub struct Still {
    ends: [Option<Mark>; 2],
    depth: Option<u64>,
}

impl Still {
    /// Nothing was taken between the two: where one end moves, work is only added.
    fn goes_on_in(&self, later: &Self) -> bool {
        let stays = self.ends.iter().zip(&later.ends).any(|(before, after)| before.is_some() && before == after);
        stays && later.depth >= self.depth
    }
}

/// What is remembered of a queue.
#[derive(Clone, Debug)]
pub struct Queue {
    /// Looks at it.
    pub health: Health,
    /// What the last successful look brought.
    pub report: QueueReport,
    /// Its ends and its depth, since when we have seen no movement there.
    pub still: Option<(Still, Moment)>,
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
            still: None,
            heads: VecDeque::new(),
            expected: false,
            served: now,
        }
    }

    /// Takes in a look.
    pub fn look(&mut self, report: QueueReport, now: Moment) {
        // A stream that does not know its depth still has a head or none.
        let some = report.backlog.map_or(report.ends != [None; 2], |b| b > 0);
        let backlog = some && report.rate_limited != Some(true);
        let still = self.stands_still(&report, now);
        match report.backlog_age.or(still).filter(|_| backlog) {
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

    /// For how long we have watched it not being served; `None` where its elements are not seen.
    fn stands_still(&mut self, report: &QueueReport, now: Moment) -> Option<Duration> {
        if report.ends == [None; 2] {
            self.still = None;
            return None;
        }
        let seen = Still { ends: report.ends, depth: report.backlog };
        let since = self.still.filter(|(before, _)| before.goes_on_in(&seen)).map_or(now, |(_, since)| since);
        self.still = Some((seen, since));
        Some(now.since(since))
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

    const AGE: Duration = Duration::from_secs(60);

    fn at(seconds: u64) -> Moment {
        Moment::after_start(Duration::from_secs(seconds))
    }

    fn list(left: &str, right: &str, depth: u64) -> QueueReport {
        let mark = |element: &str| Some(Mark::bytes(element.as_bytes()));
        QueueReport { backlog: Some(depth), ends: [mark(left), mark(right)], ..QueueReport::default() }
    }

    /// Whether work waits after these looks, ten seconds apart.
    fn waits(looks: impl IntoIterator<Item = QueueReport>) -> bool {
        let mut queue = Queue::new(Moment::START);
        for (n, report) in looks.into_iter().enumerate() {
            queue.look(report, at(n as u64 * 10));
        }
        queue.waiting(AGE)
    }

    #[test]
    fn a_head_without_a_stamp_waits_once_it_was_watched_for_longer_than_the_age() {
        let grows = |n: u64| list("first", &format!("last-{n}"), n + 1);
        assert!(!waits((0..9).map(grows)), "three looks beyond 60 s are at 70, 80 and 90");
        assert!(waits((0..10).map(grows)), "work is only added, at the right");
        assert!(waits((0..10).map(|n| list(&format!("new-{n}"), "first", n + 1))), "at the left");
        assert!(waits((0..10).map(|_| list("only", "only", 1))));
    }

    #[test]
    fn a_queue_that_is_served_does_not_wait_however_deep_it_is() {
        let moves = |n: u64| list(&format!("job-{n}"), &format!("job-{}", n + 100), 100);
        assert!(!waits((0..50).map(moves)), "served and filled alike");
        let shrinks = |n: u64| list(&format!("job-{n}"), "last", 100 - n);
        assert!(!waits((0..50).map(shrinks)), "served, and nothing is added");
        let same = |n: u64| list("tick", "tick", if n.is_multiple_of(2) { 5 } else { 4 });
        assert!(!waits((0..50).map(same)), "elements that are all alike");
    }

    #[test]
    fn a_head_without_a_known_depth_is_work_and_no_head_is_none() {
        let stream = |id: Option<&str>| QueueReport {
            ends: [id.map(|id| Mark::bytes(id.as_bytes())), None],
            ..QueueReport::default()
        };
        assert!(waits((0..10).map(|_| stream(Some("1-0")))));
        assert!(!waits((0..10).map(|_| stream(None))));
    }

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
            queue.look(report(1, 61, false), at(n));
            assert_eq!(queue.waiting(age), expected, "look {n}");
        }
        for fine in [report(0, 61, false), report(1, 60, false), report(1, 61, true)] {
            queue.look(fine, at(9));
            assert!(!queue.waiting(age));
            for _ in 0..2 {
                queue.look(report(1, 61, false), at(9));
                assert!(!queue.waiting(age), "two of three");
            }
            queue.look(report(1, 61, false), at(9));
            assert!(queue.waiting(age));
        }
    }

    #[test]
    fn tasks_of_a_version_go_to_its_workers_and_those_of_none_to_all() {
        let mut queue = Queue::new(Moment::START);
        assert!(queue.goes_to(None) && queue.goes_to(Some("v1")));
        queue.report.serving_builds = vec!["v1".into(), "v2".into()];
        assert!(queue.goes_to(Some("v1")) && queue.goes_to(Some("v2")));
        assert!(!queue.goes_to(Some("v3")) && !queue.goes_to(None));
    }
}
