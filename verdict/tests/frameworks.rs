//! Nights of workers whose framework keeps their records, with time as an argument. What real workers can show in minutes
//! is shown on them, in `tests/real/test_rq.py`; here are the limits of RQ's own defaults, which take a quarter of an hour.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use verdict::evidence::{
    Beat, Hands, Held, Listing, Look, Mark, Observation, QueueKey, QueueReport, Report, Scope, Slot, Upkeep, WorkerKey,
};
use verdict::ledger::Ledger;
use verdict::rules::{Rulebook, Rules, SourceRules};
use verdict::time::{Moment, WallTime};
use verdict::words::{Reason, SourceKind, State, TaskType};

const EPOCH: i64 = 1_800_000_000;
const S: Duration = Duration::from_secs(1);
/// Between looks, seconds.
const STEP: u64 = 10;

struct Night {
    ledger: Ledger,
    now: u64,
}

fn wall(seconds: u64) -> WallTime {
    WallTime::from_micros((EPOCH + i64::try_from(seconds).unwrap()) * 1_000_000)
}

fn queue_key() -> QueueKey {
    QueueKey { source: "jobs".into(), namespace: "".into(), task_queue: "mail".into(), task_type: TaskType::Activity }
}

/// A record that beat at this second.
fn record(id: &str, slot: &str, beat: u64, declared: u64, upkeep: Upkeep) -> Observation {
    let slot = Slot { key: WorkerKey::new("f", slot), exclusive: id == slot };
    let mut o = Observation::new(id, slot);
    let stamp = wall(beat);
    let mark = Some(Mark::stamp(stamp));
    o.beat = Some(Beat {
        mark,
        stamp: Some(stamp),
        declared: Some(S * u32::try_from(declared).unwrap()),
        own_answer: false,
        on_trial: false,
    });
    o.upkeep = upkeep;
    o.task_queues = vec!["mail".into()];
    o
}

impl Night {
    fn of(kind: SourceKind) -> Self {
        let source = SourceRules {
            name: "jobs".into(),
            kind,
            namespace: "".into(),
            minimum_interval: 2 * S,
            maximum_interval: 30 * S,
            watch: Vec::new(),
        };
        let rules = Rulebook { default: Rules::default(), fleets: HashMap::new(), sources: vec![source] };
        Self { ledger: Ledger::new(Arc::new(rules), Moment::START), now: 0 }
    }

    fn observe(&mut self, scope: Scope, report: Report) {
        let now = Moment::after_start(Duration::from_secs(self.now));
        self.ledger.observe(Look {
            source: "jobs".into(),
            scope,
            started: now,
            finished: now,
            received: wall(self.now),
            interval: S * u32::try_from(STEP).unwrap(),
            outcome: Ok(report),
        });
    }

    /// Lets so many seconds pass. `records` says what the framework holds, `backlog` how many tasks wait, the head since
    /// the beginning.
    fn pass(&mut self, seconds: u64, records: impl Fn(u64) -> Vec<Observation>, backlog: u64) {
        let end = self.now + seconds;
        while self.now < end {
            for _ in 0..STEP {
                self.now += 1;
                self.ledger.tick(Moment::after_start(Duration::from_secs(self.now)), wall(self.now));
            }
            let listing = Listing {
                records: records(self.now),
                heartbeats: true,
                queues: vec!["mail".into()],
                ..Listing::default()
            };
            self.observe(Scope::Listing, Report::Listing(listing));
            let age = (backlog > 0).then(|| Duration::from_secs(self.now));
            let report = QueueReport { backlog: Some(backlog), backlog_age: age, ..QueueReport::default() };
            self.observe(Scope::Queue(queue_key()), Report::Queue(report));
        }
    }

    fn states(&self) -> Vec<(String, State, Reason, u64)> {
        let snapshot = self.ledger.snapshot(Moment::after_start(Duration::from_secs(self.now)), wall(self.now));
        snapshot.workers.iter().map(|w| (w.key.worker.to_string(), w.state, w.reason, w.restarts)).collect()
    }

    fn state(&self) -> Option<(State, Reason)> {
        let states = self.states();
        assert!(states.len() < 2, "{states:?}");
        states.first().map(|(_, state, reason, _)| (*state, *reason))
    }
}

/// RQ, idle: it beat 3 s after it was found, and its key would expire 480 s after that.
fn idle_rq(now: u64) -> Observation {
    let mut o = record("anna", "anna", if now < 20 { now } else { 20 }, 405, Upkeep::Live);
    o.expires_in = Some(Duration::from_secs((20 + 480_u64).saturating_sub(now.max(20))));
    o.numbers.in_flight = Some(0);
    o.numbers.tasks_total = Some(7);
    o
}

fn sidekiq(now: u64, busy: u64) -> Observation {
    let mut o = record("app-1:1:a", "app-1", now, 10, Upkeep::Learnt);
    o.numbers.in_flight = Some(busy);
    o.hands = Some(if busy == 0 { Hands::Empty } else { Hands::Full(Mark::stamp(wall(now))) });
    o
}

#[test]
fn an_idle_rq_worker_is_healthy_between_two_beats_that_lie_405_seconds_apart() {
    let mut night = Night::of(SourceKind::Rq);
    night.pass(420, |now| vec![idle_rq(now)], 0);
    assert_eq!(night.state(), Some((State::Healthy, Reason::Ok)));
}

#[test]
fn an_idle_rq_worker_whose_queue_waits_is_stuck_within_three_minutes_long_before_its_next_beat() {
    let mut night = Night::of(SourceKind::Rq);
    night.pass(30, |now| vec![idle_rq(now)], 0);
    night.pass(180, |now| vec![idle_rq(now)], 5);
    assert_eq!(night.state(), Some((State::Stuck, Reason::NoProgress)));
}

#[test]
fn an_rq_record_that_expired_is_down_and_does_not_wait_for_three_beats() {
    let mut night = Night::of(SourceKind::Rq);
    night.pass(490, |now| vec![idle_rq(now)], 0);
    assert_eq!(night.state(), Some((State::Healthy, Reason::Ok)));
    night.pass(60, |_| Vec::new(), 0);
    assert_eq!(night.state(), Some((State::Down, Reason::Gone)), "three beats are 1215 s");
}

#[test]
fn a_task_that_outlived_its_limit_makes_its_worker_stuck_and_the_next_task_makes_it_healthy() {
    let held = |now: u64, task: &str| {
        let mut o = record("anna", "anna", now, 30, Upkeep::Live);
        o.numbers.in_flight = Some(1);
        o.held = Some(Held { mark: Mark::bytes(task.as_bytes()), limit: Some(195 * S) });
        vec![o]
    };
    let mut night = Night::of(SourceKind::Rq);
    night.pass(200, |now| held(now, "a"), 5);
    assert_eq!(night.state(), Some((State::Healthy, Reason::Ok)), "busy is not stuck, whatever waits");
    night.pass(20, |now| held(now, "a"), 5);
    assert_eq!(night.state(), Some((State::Stuck, Reason::Overdue)));
    night.pass(10, |now| held(now, "b"), 5);
    assert_eq!(night.state(), Some((State::Healthy, Reason::Ok)));
}

#[test]
fn a_sidekiq_process_with_empty_hands_beside_a_waiting_queue_is_stuck_and_a_busy_one_is_not() {
    let mut night = Night::of(SourceKind::Sidekiq);
    night.pass(60, |now| vec![sidekiq(now, 2)], 0);
    night.pass(600, |now| vec![sidekiq(now, 2)], 9);
    assert_eq!(night.state(), Some((State::Healthy, Reason::Ok)));
    night.pass(50, |now| vec![sidekiq(now, 0)], 9);
    assert_eq!(night.state(), Some((State::Healthy, Reason::Ok)), "it has just let go of its work");
    night.pass(40, |now| vec![sidekiq(now, 0)], 9);
    assert_eq!(night.state(), Some((State::Stuck, Reason::NoProgress)));
    night.pass(600, |now| vec![sidekiq(now, 0)], 0);
    assert_eq!(night.state(), Some((State::Healthy, Reason::Ok)), "idle beside an empty queue");
}

#[test]
fn a_quiet_sidekiq_process_drains_and_leaves_without_a_page() {
    let mut night = Night::of(SourceKind::Sidekiq);
    night.pass(60, |now| vec![sidekiq(now, 2)], 0);
    let quiet = |now: u64| {
        let mut o = sidekiq(now, 1);
        o.says.goodbye = true;
        vec![o]
    };
    night.pass(60, quiet, 9);
    assert_eq!(night.state(), Some((State::Draining, Reason::ShuttingDown)), "not stuck");
    night.pass(60, |_| Vec::new(), 9);
    assert_eq!(night.state(), None);
    assert!(night.ledger.take_changes().iter().all(|change| change.to != Some(State::Down)));
}

#[test]
fn a_dramatiq_process_that_starts_anew_takes_the_place_of_the_silent_one() {
    let of = |id: &str, beat: u64| {
        let mut o = record(id, "dramatiq", beat, 60, Upkeep::Promised);
        o.hands = Some(Hands::Full(Mark::stamp(wall(beat))));
        o
    };
    let mut night = Night::of(SourceKind::Dramatiq);
    night.pass(120, |now| vec![of("a", now), of("b", now)], 0);
    assert_eq!(night.states().len(), 2);
    // One is killed and another starts at once; the dead id stays in the index.
    night.pass(240, |now| vec![of("a", 120), of("b", now), of("c", now)], 0);
    let states = night.states();
    assert!(states.iter().all(|(_, state, ..)| *state == State::Healthy), "{states:?}");
    assert_eq!((states.len(), states.iter().map(|(.., restarts)| restarts).sum::<u64>()), (2, 1));
    assert!(night.ledger.take_changes().iter().all(|change| change.to != Some(State::Down)));
}
