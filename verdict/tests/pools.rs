//! Pools of a job framework: one counter, no task types, a queue whose head is watched. As Celery shows them.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use verdict::evidence::{
    Beat, Listing, Look, Mark, Observation, QueueKey, QueueReport, Report, Scope, Slot, WorkerKey,
};
use verdict::ledger::Ledger;
use verdict::rules::{Rulebook, Rules, SourceRules};
use verdict::time::{Moment, WallTime};
use verdict::words::{Reason, SourceKind, State, TaskType};

const LONGEST_TASK: Duration = Duration::from_secs(600);

/// What the pool and the queue show at a second.
struct Shown {
    finished: u64,
    in_flight: u64,
    waiting: u64,
}

/// A worker that beats each two seconds whatever its pool does, from its first second to `until`; its state each second.
fn life(until: u64, shown: impl Fn(u64) -> Shown) -> Vec<(State, Reason)> {
    let queue = QueueKey {
        source: "celery".into(),
        namespace: "".into(),
        task_queue: "mail".into(),
        task_type: TaskType::Activity,
    };
    let source = SourceRules {
        name: "celery".into(),
        kind: SourceKind::Celery,
        namespace: "".into(),
        minimum_interval: Duration::from_secs(2),
        maximum_interval: Duration::from_secs(30),
        watch: vec![("mail".into(), TaskType::Activity)],
    };
    let rules = Rules { longest_task: LONGEST_TASK, ..Rules::default() };
    let book = Rulebook { default: rules, fleets: HashMap::new(), sources: vec![source] };
    let mut ledger = Ledger::new(Arc::new(book), Moment::START);
    let mut waits_since = None;
    let mut states = Vec::new();
    for second in 1..=until {
        let now = Moment::after_start(Duration::from_secs(second));
        let wall = WallTime::from_seconds(1_800_000_000.0 + Duration::from_secs(second).as_secs_f64()).unwrap();
        let shown = shown(second);
        waits_since = if shown.waiting > 0 { waits_since.or(Some(second)) } else { None };
        let mut look = |scope, interval, report| {
            ledger.observe(Look {
                source: "celery".into(),
                scope,
                started: now,
                finished: now,
                received: wall,
                interval: Duration::from_secs(interval),
                outcome: Ok(report),
            });
        };
        if second.is_multiple_of(2) {
            let slot = Slot { key: WorkerKey::new("mail", "a@b"), exclusive: true };
            let mut worker = Observation::new("a@b", slot);
            worker.beat = Some(Beat {
                mark: Some(Mark::stamp(wall)),
                stamp: Some(wall),
                declared: Some(Duration::from_secs(2)),
                own_answer: false,
                on_trial: false,
            });
            worker.numbers.tasks_total = Some(shown.finished);
            worker.numbers.in_flight = Some(shown.in_flight);
            worker.task_queues = vec!["mail".into()];
            let listing = Listing { records: vec![worker], heartbeats: true, ..Listing::default() };
            look(Scope::Listing, 2, Report::Listing(listing));
        }
        if second.is_multiple_of(10) {
            let report = QueueReport {
                backlog: Some(shown.waiting),
                backlog_age: waits_since.map(|since| Duration::from_secs(second - since)),
                ..QueueReport::default()
            };
            look(Scope::Queue(queue.clone()), 10, Report::Queue(report));
        }
        ledger.tick(now, wall);
        let worker = ledger.snapshot(now, wall).workers.into_iter().next();
        states.push(worker.map_or((State::Unknown, Reason::NotLookedAt), |w| (w.state, w.reason)));
    }
    states
}

fn first(states: &[(State, Reason)], of: State) -> Option<usize> {
    states.iter().position(|(state, _)| *state == of)
}

#[test]
fn a_pool_that_takes_nothing_while_work_waits_is_stuck_though_its_worker_beats() {
    // The children hang and were idle: what was handed to them has not begun.
    let states = life(300, |second| Shown { finished: 3, in_flight: 0, waiting: if second > 60 { 6 } else { 0 } });
    let stuck = first(&states, State::Stuck).unwrap();
    // The head must be older than a minute, at three looks.
    assert!((120..=170).contains(&stuck), "{stuck}");
    assert_eq!(states.last(), Some(&(State::Stuck, Reason::NoProgress)));
    assert_eq!(first(&states, State::Down), None);
}

#[test]
fn a_pool_that_hangs_in_its_tasks_is_saturated_once_no_task_may_take_that_long() {
    let states = life(1000, |_| Shown { finished: 3, in_flight: 2, waiting: 9 });
    let saturated = first(&states, State::Degraded).unwrap();
    assert!((595..=606).contains(&saturated), "{saturated}");
    assert_eq!(states.last(), Some(&(State::Degraded, Reason::Saturated)));
    assert_eq!(first(&states, State::Stuck), None, "full is not stuck");
}

#[test]
fn a_pool_that_is_always_busy_and_finishes_now_and_then_is_healthy_whatever_waits() {
    let states = life(3000, |second| Shown { finished: second / 590, in_flight: 2, waiting: 1000 });
    assert_eq!((first(&states, State::Degraded), first(&states, State::Stuck)), (None, None));
    assert_eq!(states.last().map(|(state, _)| *state), Some(State::Healthy));
}

#[test]
fn a_pool_that_was_idle_for_hours_and_begins_a_long_task_is_given_all_its_time() {
    let states = life(4000, |second| Shown { finished: 3, in_flight: u64::from(second >= 3500), waiting: 0 });
    assert_eq!(first(&states, State::Degraded), None, "the counter was flat before, but nothing was held");
    let states = life(4200, |second| Shown { finished: 3, in_flight: u64::from(second >= 3500), waiting: 0 });
    assert!((4095..=4106).contains(&first(&states, State::Degraded).unwrap()));
}
