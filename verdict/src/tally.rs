//! Who counts the work of a worker, and what it adds to its fleet.
//!
//! Several sources may count the same tasks: the worker's own metrics, a registry, a health body. They are read at
//! different times and never agree, so one of them counts and the others are left alone: the first by [`rank`] that
//! counted within [`FRESH`]. What the one who takes over shows first is where it begins, so nothing is counted twice.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use crate::histogram::Histogram;
use crate::time::Moment;
use crate::window::Counter;
use crate::words::{SourceKind, TaskFailure, TaskType};
use crate::work::{FailedRequest, Work};

/// Who was not heard for so long counts no more, and the next one takes over.
const FRESH: Duration = Duration::from_secs(300);
/// Failed requests of a fleet that are told apart; more become "other". The service has about as many methods.
const REQUESTS: usize = 200;

/// The order in which sources count: the worker's own metrics know most, then the registry, then what a health body
/// says, then what a framework keeps.
const fn rank(kind: Option<SourceKind>) -> u8 {
    match kind {
        Some(SourceKind::Metrics) => 0,
        Some(SourceKind::Temporal) => 1,
        Some(SourceKind::Http) => 2,
        _ => 3,
    }
}

/// A histogram that goes on when the one who fills it starts again.
#[derive(Clone, Debug, Default)]
struct Recorder {
    last: Option<Histogram>,
}

impl Recorder {
    /// Takes in a reading of what began at 0 where it appears under our eyes; returns what was added under them.
    fn watch(&mut self, now: &Histogram, watched: bool) -> Histogram {
        if watched {
            self.last.get_or_insert_default();
        }
        self.read(now)
    }

    /// Takes in a reading; returns what was added under our eyes.
    fn read(&mut self, now: &Histogram) -> Histogram {
        let added = self.last.as_ref().map(|before| now.since(before)).unwrap_or_default();
        self.last = Some(now.clone());
        // Of what was added: where the mean of all lies moves, and a bucket that fell would look like a new start.
        added.settled()
    }
}

/// Seconds that go on when the one who counts them starts again, or another one counts.
#[derive(Clone, Copy, Debug, Default)]
struct Spent {
    last: Option<f64>,
    total: f64,
}

impl Spent {
    fn read(&mut self, value: f64) {
        self.total += match self.last.replace(value) {
            // Where it begins says nothing of what was spent under our eyes.
            None => 0.0,
            Some(last) if value >= last => value - last,
            Some(_) => value,
        };
    }

    fn get(&self) -> Option<f64> {
        self.last.map(|_| self.total)
    }
}

/// The work of one worker, over all its incarnations.
#[derive(Clone, Debug, Default)]
pub struct Tally {
    by: Option<(Arc<str>, u8, Moment)>,
    /// Finished and failed, by type.
    tasks: BTreeMap<TaskType, (Counter, Counter)>,
    seconds: Spent,
    durations: BTreeMap<TaskType, Recorder>,
    schedule_to_start: BTreeMap<TaskType, Recorder>,
    sticky: (Counter, Counter),
    requests: BTreeMap<FailedRequest, Counter>,
    request_durations: Recorder,
    task_failures: BTreeMap<TaskFailure, Counter>,
    unregistered_activities: Counter,
    /// The one who counts has counted before, so that what appears now began at 0.
    watched: bool,
}

/// What was done under our eyes, for the totals of the fleet.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Added {
    /// Finished and failed, by type.
    pub tasks: Vec<(TaskType, u64, u64)>,
    /// How long tasks took.
    pub durations: Vec<(TaskType, Histogram)>,
    /// How long tasks waited.
    pub schedule_to_start: Vec<(TaskType, Histogram)>,
    /// Hits of the sticky cache; `None` where nobody counts them.
    pub sticky_hits: Option<u64>,
    /// Misses.
    pub sticky_misses: Option<u64>,
    /// Failed requests.
    pub requests_failed: Vec<(FailedRequest, u64)>,
    /// How long requests took that a user waits for.
    pub request_durations: Option<Histogram>,
    /// Failed workflow tasks, by reason.
    pub task_failures: Vec<(TaskFailure, u64)>,
    /// Activities that nobody registered; `None` where nobody counts them.
    pub unregistered_activities: Option<u64>,
}

impl Tally {
    /// Takes in what `source` counts; nothing when it is not the one who counts.
    pub fn take(&mut self, source: &Arc<str>, kind: Option<SourceKind>, work: &Work, now: Moment) -> Option<Added> {
        let rank = rank(kind);
        let ours = match &self.by {
            Some((by, ..)) if by == source => true,
            Some((_, held, at)) if *held <= rank && now.since(*at) <= FRESH => return None,
            _ => false,
        };
        if !ours && self.by.is_some() {
            self.rebase();
        }
        let first = self.by.is_none();
        self.by = Some((source.clone(), rank, now));
        let added = self.count(work, first);
        self.watched = true;
        Some(added)
    }

    fn count(&mut self, work: &Work, first: bool) -> Added {
        let watched = self.watched;
        // Of a counter that was there before we came, the part before counts to the worker and not to its fleet.
        let read = |counter: &mut Counter, value: u64| {
            if !first && counter.get().is_none() {
                // A series that appears under our eyes began at 0; one of another source begins where it stands.
                counter.begin(if watched { 0 } else { value });
            }
            counter.read(value)
        };
        let mut added = Added::default();
        for done in &work.tasks {
            let (finished, failed) = self.tasks.entry(done.task_type).or_default();
            let finished = done.finished.map_or(0, |value| read(finished, value));
            let failed = done.failed.map_or(0, |value| read(failed, value));
            added.tasks.push((done.task_type, finished, failed));
        }
        if let Some(seconds) = work.seconds {
            self.seconds.read(seconds);
        }
        let histograms = |recorders: &mut BTreeMap<TaskType, Recorder>, of: &[(TaskType, Histogram)]| {
            let of = of.iter().map(|(t, histogram)| (*t, recorders.entry(*t).or_default().watch(histogram, watched)));
            of.collect::<Vec<_>>()
        };
        added.durations = histograms(&mut self.durations, &work.durations);
        added.schedule_to_start = histograms(&mut self.schedule_to_start, &work.schedule_to_start);
        added.sticky_hits = work.sticky_hits.map(|value| read(&mut self.sticky.0, value));
        added.sticky_misses = work.sticky_misses.map(|value| read(&mut self.sticky.1, value));
        for (request, value) in &work.requests_failed {
            let counter = self.requests.entry(request.clone()).or_default();
            added.requests_failed.push((request.clone(), read(counter, *value)));
        }
        added.request_durations = work.request_durations.as_ref().map(|h| self.request_durations.watch(h, watched));
        for (failure, value) in &work.task_failures {
            added.task_failures.push((*failure, read(self.task_failures.entry(*failure).or_default(), *value)));
        }
        added.unregistered_activities =
            work.unregistered_activities.map(|value| read(&mut self.unregistered_activities, value));
        added
    }

    /// Somebody else counts from now on: its first reading is where it begins.
    fn rebase(&mut self) {
        self.watched = false;
        self.seconds.last = None;
        for (finished, failed) in self.tasks.values_mut() {
            finished.rebase();
            failed.rebase();
        }
        self.sticky.0.rebase();
        self.sticky.1.rebase();
        self.unregistered_activities.rebase();
        self.requests.clear();
        self.task_failures.clear();
        self.request_durations = Recorder::default();
        self.durations.clear();
        self.schedule_to_start.clear();
    }

    /// Of two records that turn out to be one worker: the one whose counts rank higher goes on.
    #[must_use]
    pub fn joined(one: Self, other: Self) -> Self {
        let rank = |tally: &Self| tally.by.as_ref().map_or(u8::MAX, |(_, rank, _)| *rank);
        if rank(&other) < rank(&one) { other } else { one }
    }

    /// `source` saw a new incarnation: what it counts begins at 0. What another counts tells by itself.
    pub fn restart(&mut self, source: &str) {
        if self.by.as_ref().is_none_or(|(by, ..)| **by != *source) {
            return;
        }
        for (finished, failed) in self.tasks.values_mut() {
            finished.restart();
            failed.restart();
        }
        self.seconds.last = self.seconds.last.map(|_| 0.0);
        self.sticky.0.restart();
        self.sticky.1.restart();
        self.unregistered_activities.restart();
        self.requests.values_mut().chain(self.task_failures.values_mut()).for_each(Counter::restart);
        let histograms = self.durations.values_mut().chain(self.schedule_to_start.values_mut());
        for recorder in histograms.chain([&mut self.request_durations]) {
            recorder.last = Some(Histogram::default());
        }
    }

    /// `source` shows it no more: the next one that counts takes over at once.
    pub fn forget(&mut self, source: &str) {
        if let Some((by, rank, at)) = &mut self.by
            && **by == *source
        {
            (*rank, *at) = (u8::MAX, Moment::START);
        }
    }

    /// Finished over all incarnations. Local activities run inside workflow tasks, which are counted already.
    #[must_use]
    pub fn finished(&self) -> Option<u64> {
        self.sum(|(finished, _)| finished)
    }

    /// Failed over all incarnations.
    #[must_use]
    pub fn failed(&self) -> Option<u64> {
        self.sum(|(_, failed)| failed)
    }

    /// Seconds spent in them, as they grew under our eyes; `None` where the one who counts does not tell.
    #[must_use]
    pub fn seconds(&self) -> Option<f64> {
        self.seconds.get()
    }

    fn sum(&self, of: fn(&(Counter, Counter)) -> &Counter) -> Option<u64> {
        let own = self.tasks.iter().filter(|(task_type, _)| **task_type != TaskType::LocalActivity);
        let mut known = own.filter_map(|(_, counters)| of(counters).get()).peekable();
        known.peek()?;
        Some(known.fold(0, u64::saturating_add))
    }
}

/// What a fleet did since we started; survives its workers.
#[derive(Clone, Debug, Default)]
pub struct Totals {
    /// Completed and failed, by type.
    pub tasks: BTreeMap<TaskType, (u64, u64)>,
    /// How long tasks took.
    pub durations: BTreeMap<TaskType, Histogram>,
    /// How long tasks waited.
    pub schedule_to_start: BTreeMap<TaskType, Histogram>,
    /// Hits of the sticky cache.
    pub sticky_hits: Option<u64>,
    /// Misses.
    pub sticky_misses: Option<u64>,
    /// Failed requests.
    pub requests_failed: BTreeMap<FailedRequest, u64>,
    /// How long requests took that a user waits for.
    pub request_durations: Option<Histogram>,
    /// Failed workflow tasks, by reason.
    pub task_failures: BTreeMap<TaskFailure, u64>,
    /// Activities that nobody registered.
    pub unregistered_activities: Option<u64>,
}

impl Totals {
    /// Adds what a worker did.
    pub fn add(&mut self, added: Added) {
        for (task_type, finished, failed) in added.tasks {
            let totals = self.tasks.entry(task_type).or_default();
            totals.0 += finished.saturating_sub(failed);
            totals.1 += failed;
        }
        for (task_type, histogram) in added.durations {
            self.durations.entry(task_type).or_default().add(&histogram);
        }
        for (task_type, histogram) in added.schedule_to_start {
            self.schedule_to_start.entry(task_type).or_default().add(&histogram);
        }
        let count = |total: &mut Option<u64>, more: Option<u64>| {
            if let Some(more) = more {
                *total.get_or_insert(0) += more;
            }
        };
        count(&mut self.sticky_hits, added.sticky_hits);
        count(&mut self.sticky_misses, added.sticky_misses);
        count(&mut self.unregistered_activities, added.unregistered_activities);
        for (failure, count) in added.task_failures {
            *self.task_failures.entry(failure).or_default() += count;
        }
        if let Some(durations) = added.request_durations {
            self.request_durations.get_or_insert_default().add(&durations);
        }
        for (mut request, count) in added.requests_failed {
            if self.requests_failed.len() >= REQUESTS && !self.requests_failed.contains_key(&request) {
                request.operation = "other".into();
            }
            *self.requests_failed.entry(request).or_default() += count;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::work::Done;

    fn at(seconds: u64) -> Moment {
        Moment::after_start(Duration::from_secs(seconds))
    }

    fn work(finished: u64, failed: u64) -> Work {
        let done = Done { task_type: TaskType::Activity, finished: Some(finished), failed: Some(failed) };
        Work { tasks: vec![done], ..Work::default() }
    }

    fn take(tally: &mut Tally, source: &str, kind: SourceKind, work: &Work, seconds: u64) -> Option<Vec<(u64, u64)>> {
        let added = tally.take(&source.into(), Some(kind), work, at(seconds))?;
        Some(added.tasks.iter().map(|(_, finished, failed)| (*finished, *failed)).collect())
    }

    #[test]
    fn of_several_sources_the_first_by_rank_counts_and_nothing_twice() {
        let mut tally = Tally::default();
        assert_eq!(take(&mut tally, "registry", SourceKind::Temporal, &work(100, 1), 0), Some(vec![(0, 0)]));
        assert_eq!(take(&mut tally, "body", SourceKind::Http, &work(90, 0), 1), None, "a lower rank");
        assert_eq!(take(&mut tally, "own", SourceKind::Metrics, &work(103, 1), 2), Some(vec![(0, 0)]), "takes over");
        assert_eq!(take(&mut tally, "registry", SourceKind::Temporal, &work(110, 1), 3), None);
        assert_eq!(take(&mut tally, "own", SourceKind::Metrics, &work(110, 3), 4), Some(vec![(7, 2)]));
        assert_eq!((tally.finished(), tally.failed()), (Some(107), Some(3)));
    }

    #[test]
    fn who_is_not_heard_for_five_minutes_counts_no_more_and_begins_anew_when_it_is_back() {
        let mut tally = Tally::default();
        take(&mut tally, "own", SourceKind::Metrics, &work(10, 0), 0);
        assert_eq!(take(&mut tally, "body", SourceKind::Http, &work(50, 0), 300), None);
        assert_eq!(take(&mut tally, "body", SourceKind::Http, &work(50, 0), 301), Some(vec![(0, 0)]));
        assert_eq!(take(&mut tally, "body", SourceKind::Http, &work(55, 0), 311), Some(vec![(5, 0)]));
        assert_eq!(take(&mut tally, "own", SourceKind::Metrics, &work(20, 0), 312), Some(vec![(0, 0)]));
        assert_eq!(tally.finished(), Some(15));
        tally.forget("own");
        assert_eq!(take(&mut tally, "body", SourceKind::Http, &work(60, 0), 313), Some(vec![(0, 0)]));
    }

    #[test]
    fn the_seconds_of_another_are_no_time_that_was_spent() {
        let spent = |seconds| Work { seconds, ..work(10, 0) };
        let mut tally = Tally::default();
        let mut after = |source: &str, kind, seconds, at_second| {
            tally.take(&source.into(), Some(kind), &spent(seconds), at(at_second));
            tally.seconds()
        };
        assert_eq!(after("own", SourceKind::Metrics, Some(40.0), 0), Some(0.0));
        assert_eq!(after("own", SourceKind::Metrics, Some(42.5), 1), Some(2.5));
        assert_eq!(after("body", SourceKind::Http, Some(9000.0), 400), Some(2.5), "takes over");
        assert_eq!(after("body", SourceKind::Http, Some(9001.0), 401), Some(3.5));
        assert_eq!(after("body", SourceKind::Http, Some(2.0), 402), Some(5.5), "has begun anew");
        assert_eq!(after("own", SourceKind::Metrics, None, 403), None, "tells none");
    }

    #[test]
    fn a_restart_is_counted_once_whoever_sees_it_first() {
        let mut tally = Tally::default();
        take(&mut tally, "own", SourceKind::Metrics, &work(10, 0), 0);
        tally.restart("own");
        assert_eq!(
            take(&mut tally, "own", SourceKind::Metrics, &work(12, 0), 1),
            Some(vec![(12, 0)]),
            "more than before"
        );
        tally.restart("registry");
        assert_eq!(
            take(&mut tally, "own", SourceKind::Metrics, &work(13, 0), 2),
            Some(vec![(1, 0)]),
            "the same restart"
        );
        assert_eq!(
            take(&mut tally, "own", SourceKind::Metrics, &work(2, 0), 3),
            Some(vec![(2, 0)]),
            "seen by its fall"
        );
    }

    #[test]
    fn what_appears_under_our_eyes_began_at_0_and_what_was_there_before_us_is_not_the_fleets() {
        let mut tally = Tally::default();
        let mut took = Histogram::default();
        took.record(0.2);
        let first = tally.take(&"own".into(), Some(SourceKind::Metrics), &work(10, 0), at(0)).unwrap_or_default();
        assert_eq!(first.durations, []);
        let request = FailedRequest { operation: "Poll".into(), code: "unavailable" };
        let next = Work {
            durations: vec![(TaskType::Activity, took.clone())],
            requests_failed: vec![(request.clone(), 3)],
            ..work(11, 0)
        };
        let added = tally.take(&"own".into(), Some(SourceKind::Metrics), &next, at(1)).unwrap_or_default();
        assert_eq!(added.durations, [(TaskType::Activity, took.clone())]);
        assert_eq!(added.requests_failed, [(request, 3)]);
        let mut late = Tally::default();
        let added = late.take(&"own".into(), Some(SourceKind::Metrics), &next, at(0)).unwrap_or_default();
        assert_eq!(added.durations, [(TaskType::Activity, Histogram::default())]);
        let mut totals = Totals::default();
        totals.add(added);
        assert_eq!(totals.durations.get(&TaskType::Activity).map(|h| h.count), Some(0), "from 0");
    }

    #[test]
    fn failures_unknown_activities_and_requests_grow_under_our_eyes_and_outlive_a_restart_and_a_change_of_who_counts() {
        let took = |times: u64| {
            let mut histogram = Histogram::default();
            (0..times).for_each(|_| histogram.record(0.2));
            histogram
        };
        let counted = |failed: u64, unknown: u64, requests: u64| Work {
            task_failures: vec![(TaskFailure::NonDeterminism, failed), (TaskFailure::Other, 0)],
            unregistered_activities: Some(unknown),
            request_durations: Some(took(requests)),
            ..work(0, 0)
        };
        let mut tally = Tally::default();
        let mut totals = Totals::default();
        let mut after = |source: &str, kind, what: Option<Work>, second| {
            match what {
                Some(work) => totals.add(tally.take(&source.into(), Some(kind), &work, at(second)).unwrap_or_default()),
                None => tally.restart(source),
            }
            let failed = totals.task_failures.get(&TaskFailure::NonDeterminism).copied();
            (failed, totals.unregistered_activities, totals.request_durations.as_ref().map(|h| h.count))
        };
        let own = SourceKind::Metrics;
        assert_eq!(after("own", own, Some(work(0, 0)), 0), (None, None, None), "nobody counts them yet");
        assert_eq!(after("own", own, Some(counted(1, 2, 3)), 1), (Some(1), Some(2), Some(3)), "began under our eyes");
        assert_eq!(after("own", own, Some(counted(4, 4, 4)), 2), (Some(4), Some(4), Some(4)));
        after("own", own, None, 3);
        assert_eq!(after("own", own, Some(counted(5, 5, 5)), 4), (Some(9), Some(9), Some(9)), "of its second life");
        assert_eq!(after("new", own, Some(counted(7, 7, 7)), 400), (Some(9), Some(9), Some(9)), "where it begins");
        assert_eq!(after("new", own, Some(counted(8, 8, 8)), 401), (Some(10), Some(10), Some(10)));
        assert_eq!(totals.task_failures.get(&TaskFailure::Other), Some(&0), "from 0");
        let shown = crate::snapshot::WorkView::of(&totals);
        assert_eq!(shown.task_failures, [(TaskFailure::NonDeterminism, 10), (TaskFailure::Other, 0)]);
        assert_eq!((shown.unregistered_activities, shown.request_durations.map(|h| h.count)), (Some(10), Some(10)));
    }

    #[test]
    fn what_an_sdk_measures_only_up_to_a_second_is_not_an_hour() {
        // As the SDKs on the Rust core do it with workflow tasks; each look brings one above their bounds.
        let seen = |above: u64, sum: f64| {
            let mut took = Histogram { sum, count: 100 + above, floor: Some(1.0), ..Histogram::default() };
            took.count_under(0.01, 100);
            took.count_under(f64::INFINITY, above);
            Work { durations: vec![(TaskType::Workflow, took)], ..work(0, 0) }
        };
        let mut tally = Tally::default();
        let mut totals = Totals::default();
        for (second, (above, sum)) in [(0, 0.5), (1, 50.5), (2, 52.5), (3, 54.5)].into_iter().enumerate() {
            let now = at(second.try_into().unwrap_or_default());
            totals
                .add(tally.take(&"own".into(), Some(SourceKind::Metrics), &seen(above, sum), now).unwrap_or_default());
        }
        let took = &totals.durations[&TaskType::Workflow];
        let at =
            |bound: f64| took.buckets[crate::histogram::BOUNDS.iter().position(|b| *b == bound).unwrap_or_default()];
        assert_eq!((at(60.0), at(2.5), took.count, took.sum), (1, 2, 3, 54.0));
    }

    #[test]
    fn what_was_there_before_us_is_not_the_fleets_but_shows_as_0() {
        let there = Work {
            task_failures: vec![(TaskFailure::WorkflowError, 7)],
            unregistered_activities: Some(7),
            ..work(0, 0)
        };
        let mut totals = Totals::default();
        totals.add(Tally::default().take(&"own".into(), Some(SourceKind::Metrics), &there, at(0)).unwrap_or_default());
        assert_eq!(totals.task_failures.get(&TaskFailure::WorkflowError), Some(&0));
        assert_eq!(totals.unregistered_activities, Some(0));
    }

    #[test]
    fn of_two_that_are_joined_the_higher_rank_counts_on_and_of_equals_the_first() {
        let counted = |kind, count| {
            let mut tally = Tally::default();
            take(&mut tally, "s", kind, &work(count, 0), 0);
            tally
        };
        let own = || counted(SourceKind::Metrics, 1);
        let registry = || counted(SourceKind::Temporal, 2);
        assert_eq!(Tally::joined(own(), registry()).finished(), Some(1));
        assert_eq!(Tally::joined(registry(), own()).finished(), Some(1));
        assert_eq!(Tally::joined(registry(), counted(SourceKind::Temporal, 3)).finished(), Some(2));
        assert_eq!(Tally::joined(Tally::default(), registry()).finished(), Some(2));
    }

    #[test]
    fn nobody_who_counts_is_not_nothing_and_seconds_grow_under_our_eyes() {
        let mut tally = Tally::default();
        assert_eq!((tally.finished(), tally.failed(), tally.seconds()), (None, None, None));
        let spent = |finished, seconds| Work { seconds: Some(seconds), ..work(finished, 0) };
        take(&mut tally, "own", SourceKind::Metrics, &spent(10, 100.0), 0);
        assert_eq!(tally.seconds(), Some(0.0));
        take(&mut tally, "own", SourceKind::Metrics, &spent(15, 107.5), 5);
        assert_eq!((tally.finished(), tally.seconds()), (Some(15), Some(7.5)));
    }

    #[test]
    fn what_the_workers_of_a_fleet_did_adds_up_and_requests_beyond_two_hundred_become_other() {
        let request = |n: usize| FailedRequest { operation: n.to_string().into(), code: "INTERNAL" };
        let added = |count: usize| Added {
            tasks: vec![(TaskType::Activity, 5, 2)],
            sticky_hits: Some(3),
            sticky_misses: Some(4),
            requests_failed: (0..count).map(|n| (request(n), 2)).collect(),
            ..Added::default()
        };
        let mut totals = Totals::default();
        totals.add(added(200));
        totals.add(added(202));
        assert_eq!(totals.tasks[&TaskType::Activity], (6, 4));
        assert_eq!((totals.sticky_hits, totals.sticky_misses), (Some(6), Some(8)));
        let other = FailedRequest { operation: "other".into(), code: "INTERNAL" };
        assert_eq!((totals.requests_failed.len(), totals.requests_failed[&other]), (201, 4));
        assert_eq!((totals.requests_failed[&request(0)], totals.requests_failed[&request(199)]), (4, 4));
        let shown = crate::snapshot::WorkView::of(&totals);
        assert_eq!((shown.sticky_hits, shown.sticky_misses), (Some(6), Some(8)));
        assert_eq!(shown.requests_failed.len(), 201);
    }
}
