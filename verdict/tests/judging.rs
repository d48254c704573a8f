//! What ends a `down`, and what is remembered of a check, look by look.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use verdict::evidence::{Look, Observation, Part, Reach, Report, Said, Scope, Slot, WorkerKey};
use verdict::ledger::Ledger;
use verdict::rules::{Rulebook, Rules, SourceRules};
use verdict::time::{Moment, WallTime};
use verdict::words::{Failure, Reason, SourceKind, State};

/// Seconds between looks.
const EACH: u64 = 5;

/// One worker with one endpoint, and time.
struct Bench {
    ledger: Ledger,
    now: u64,
}

impl Bench {
    /// A worker that is asked at its address.
    fn with(rules: Rules) -> Self {
        let source = |name: &str, kind| SourceRules {
            name: name.into(),
            kind,
            namespace: "".into(),
            minimum_interval: Duration::from_secs(1),
            maximum_interval: Duration::from_secs(EACH),
            watch: Vec::new(),
        };
        let sources = vec![source("web", SourceKind::Http)];
        let rules = Rules { start_grace: Duration::from_secs(1), ..rules };
        let book = Rulebook { default: rules, fleets: HashMap::new(), sources };
        let mut bench = Self { ledger: Ledger::new(Arc::new(book), Moment::START), now: 0 };
        bench.ledger.discovered("web", &[key()], bench.moment(), bench.wall());
        bench
    }

    fn new() -> Self {
        Self::with(Rules::default())
    }

    fn moment(&self) -> Moment {
        Moment::after_start(Duration::from_secs(self.now))
    }

    fn wall(&self) -> WallTime {
        WallTime::from_seconds(1_800_000_000.0 + Duration::from_secs(self.now).as_secs_f64()).unwrap()
    }

    /// Time passes, second by second, and nobody looks.
    fn wait(&mut self, seconds: u64) {
        for _ in 0..seconds {
            self.now += 1;
            let (now, wall) = (self.moment(), self.wall());
            self.ledger.tick(now, wall);
        }
    }

    /// One look at the endpoint, that shows what `put` writes into an answer that says that all is well.
    fn answer(&mut self, put: impl FnOnce(&mut Observation)) {
        let mut o = Observation::new("w", Slot { key: key(), exclusive: true });
        o.reach = Some(Reach::Answered { took: Duration::from_millis(5), deadline: Duration::from_secs(5) });
        o.says.overall = Some(Said::Up);
        put(&mut o);
        self.wait(EACH);
        self.ledger.observe(Look {
            source: "web".into(),
            scope: Scope::Worker(key()),
            started: self.moment(),
            finished: self.moment(),
            received: self.wall(),
            interval: Duration::from_secs(EACH),
            outcome: Ok(Report::Worker(Box::new(o))),
        });
    }

    fn miss(&mut self) {
        self.answer(|o| o.reach = Some(Reach::Missed(Failure::Refused)));
    }

    fn state(&self) -> (State, Reason) {
        let snapshot = self.ledger.snapshot(self.moment(), self.wall());
        let worker = snapshot.workers.first().unwrap();
        (worker.state, worker.reason)
    }
}

fn key() -> WorkerKey {
    WorkerKey::new("f", "w")
}

fn killed() -> Bench {
    let mut bench = Bench::new();
    for _ in 0..3 {
        bench.answer(|_| {});
    }
    assert_eq!(bench.state().0, State::Healthy);
    for _ in 0..8 {
        bench.miss();
    }
    assert_eq!(bench.state().0, State::Down, "{:?}", bench.state());
    bench
}

#[test]
fn one_good_look_ends_no_down_however_often_it_is_weighed_and_two_do() {
    let mut bench = killed();
    bench.answer(|_| {});
    assert_eq!(bench.state().0, State::Down);
    bench.wait(EACH - 1);
    assert_eq!(bench.state().0, State::Down, "time that passes is no second look");
    bench.answer(|_| {});
    assert_eq!(bench.state(), (State::Healthy, Reason::Ok));
}

#[test]
fn a_check_that_is_no_longer_told_keeps_what_it_found_last() {
    let mut bench = Bench::new();
    bench.answer(|o| o.numbers.memory_ratio = Some(0.96));
    assert_eq!(bench.state(), (State::Degraded, Reason::CheckResources));
    bench.answer(|o| o.unread = vec![(Part::Memory, None)]);
    assert_eq!(bench.state().0, State::Degraded, "that nobody tells its memory is no better memory");
    bench.answer(|o| o.numbers.memory_ratio = Some(0.50));
    assert_eq!(bench.state(), (State::Healthy, Reason::Ok));
}

#[test]
fn a_burst_of_failed_tasks_is_held_against_it_for_as_long_as_its_tasks_are_counted() {
    // Also where one task is enough to be judged by.
    for minimum_tasks in [20, 1, 0] {
        let mut bench = Bench::with(Rules { minimum_tasks, ..Rules::default() });
        let count = |bench: &mut Bench, tasks: u64, failed: u64| {
            bench.answer(|o| {
                o.numbers.tasks_total = Some(tasks);
                o.numbers.tasks_failed = Some(failed);
            });
        };
        count(&mut bench, 100, 0);
        assert_eq!(bench.state().0, State::Healthy);
        count(&mut bench, 120, 20);
        assert_eq!(bench.state(), (State::Degraded, Reason::CheckTaskPerformance), "minimum {minimum_tasks}");
        // An answer without counts is no better work.
        bench.answer(|_| {});
        assert_eq!(bench.state().0, State::Degraded);
        // Five minutes without a task: there is nothing left to hold against it.
        for _ in 0..=(300 / EACH) {
            count(&mut bench, 120, 20);
        }
        assert_eq!(bench.state(), (State::Healthy, Reason::Ok), "minimum {minimum_tasks}");
    }
}
