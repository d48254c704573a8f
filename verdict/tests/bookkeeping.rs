//! What the ledger keeps of sources and workers, look by look: limits, counts, joins, configuration.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use verdict::evidence::{
    Beat, Gone, Host, Listing, Look, Mark, Observation, Poller, QueueKey, QueueReport, Reach, Report, Scope, Slot,
    TypeReport, WorkerKey,
};
use verdict::ledger::Ledger;
use verdict::rules::{Rulebook, Rules, SourceRules};
use verdict::snapshot::{Finding, Snapshot, SourceView, WorkerView};
use verdict::time::{Moment, WallTime};
use verdict::words::{ChannelKind, Check, Failure, Reason, SourceKind, State, TaskType};

/// The longest interval of every source, seconds.
const EACH: u64 = 30;

/// A ledger with sources of these kinds, and time in milliseconds.
struct Bench {
    ledger: Ledger,
    now: u64,
}

fn wall(millis: u64) -> WallTime {
    WallTime::from_micros(1_800_000_000_000_000 + i64::try_from(millis * 1000).unwrap())
}

fn book(sources: &[(&str, SourceKind)]) -> Arc<Rulebook> {
    let source = |(name, kind): &(&str, SourceKind)| SourceRules {
        name: Arc::from(*name),
        kind: *kind,
        namespace: "".into(),
        minimum_interval: Duration::from_secs(1),
        maximum_interval: Duration::from_secs(EACH),
        watch: Vec::new(),
    };
    let rules = Rules { start_grace: Duration::from_secs(1), ..Rules::default() };
    Arc::new(Rulebook { default: rules, fleets: HashMap::new(), sources: sources.iter().map(source).collect() })
}

fn key() -> WorkerKey {
    WorkerKey::new("f", "w")
}

fn at_slot(record: &str, worker: &str) -> Observation {
    Observation::new(record, Slot { key: WorkerKey::new("f", worker), exclusive: true })
}

/// A record that beat at this millisecond.
fn beat(worker: &str, stamp: u64) -> Observation {
    let stamp = wall(stamp);
    let mut o = at_slot(worker, worker);
    o.beat = Some(Beat {
        mark: Some(Mark::stamp(stamp)),
        stamp: Some(stamp),
        declared: Some(Duration::from_secs(10)),
        own_answer: false,
        on_trial: false,
    });
    o
}

impl Bench {
    fn new(sources: &[(&str, SourceKind)]) -> Self {
        Self { ledger: Ledger::new(book(sources), Moment::START), now: 0 }
    }

    fn moment(&self) -> Moment {
        Moment::after_start(Duration::from_millis(self.now))
    }

    fn tick(&mut self) {
        let now = self.moment();
        self.ledger.tick(now, wall(self.now));
    }

    /// Time passes to this second, and nobody looks.
    fn wait_until(&mut self, second: u64) {
        while self.now < second * 1000 {
            self.now += 1000;
            self.tick();
        }
    }

    /// A look that ends now.
    fn look(&mut self, source: &str, scope: Scope, outcome: Result<Report, Failure>) {
        let now = self.moment();
        self.ledger.observe(Look {
            source: source.into(),
            scope,
            started: now - Duration::from_millis(1),
            finished: now,
            received: wall(self.now),
            interval: Duration::from_secs(EACH),
            outcome,
        });
    }

    fn list(&mut self, source: &str, records: Vec<Observation>) {
        let listing = Listing { records, heartbeats: true, ..Listing::default() };
        self.look(source, Scope::Listing, Ok(Report::Listing(listing)));
    }

    fn ask(&mut self, source: &str, put: impl FnOnce(&mut Observation)) {
        let mut o = at_slot("w", "w");
        put(&mut o);
        self.look(source, Scope::Worker(key()), Ok(Report::Worker(Box::new(o))));
    }

    fn answered(&mut self) {
        let reach = Reach::Answered { took: Duration::from_millis(5), deadline: Duration::from_secs(5) };
        self.ask("web", |o| o.reach = Some(reach));
    }

    fn missed(&mut self) {
        self.ask("web", |o| o.reach = Some(Reach::Missed(Failure::Refused)));
    }

    fn process(&mut self, source: &str, host: Host) {
        self.ask(source, |o| o.host = Some(host));
    }

    fn discover(&mut self, source: &str) {
        let (now, at) = (self.moment(), wall(self.now));
        self.ledger.discovered(source, &[key()], now, at);
    }

    fn snapshot(&self) -> Snapshot {
        self.ledger.snapshot(self.moment(), wall(self.now))
    }

    fn source(&self, name: &str) -> SourceView {
        self.snapshot().sources.into_iter().find(|s| &*s.source == name).unwrap()
    }

    fn worker(&self, name: &str) -> WorkerView {
        self.snapshot().workers.into_iter().find(|w| &*w.key.worker == name).unwrap()
    }

    fn state(&self) -> (State, Reason) {
        let worker = self.worker("w");
        (worker.state, worker.reason)
    }
}

/// Its endpoint answered and its process was there, until second 30.
fn lived() -> Bench {
    let mut bench = Bench::new(&[("web", SourceKind::Http), ("host", SourceKind::Process)]);
    bench.discover("web");
    bench.discover("host");
    for second in [5, 15, 25] {
        bench.wait_until(second);
        bench.process("host", Host::Able);
        bench.answered();
    }
    bench.wait_until(30);
    assert_eq!(bench.state().0, State::Healthy);
    bench
}

#[test]
fn an_answer_that_came_in_the_moment_its_process_ended_is_none_that_came_after() {
    let mut bench = lived();
    bench.answered();
    bench.process("host", Host::Gone(Gone::Exited));
    bench.wait_until(31);
    bench.process("host", Host::Gone(Gone::Exited));
    bench.wait_until(32);
    assert_ne!(bench.state().0, State::Down, "its endpoint was not asked since");
    bench.missed();
    bench.wait_until(33);
    bench.missed();
    bench.wait_until(34);
    // Two misses alone convict nobody; and what it said in that very moment it said before.
    assert_eq!(bench.state(), (State::Down, Reason::Exited));
    let checks = bench.worker("w").checks;
    let process = checks.iter().find(|c| c.check == Check::Process).unwrap();
    assert_eq!(process.finding, Some(Finding::Critical));
}

#[test]
fn an_answer_a_moment_later_speaks_for_a_process_that_is_not_found() {
    let mut bench = lived();
    bench.process("host", Host::Gone(Gone::Exited));
    bench.now += 10;
    bench.answered();
    for second in 31..60 {
        bench.wait_until(second);
        bench.process("host", Host::Gone(Gone::Exited));
        bench.answered();
    }
    assert_eq!(bench.state(), (State::Healthy, Reason::Warning), "a contradiction is told");
}

#[test]
fn a_beat_that_is_seen_a_look_after_the_end_may_be_its_last() {
    let mut bench = Bench::new(&[("store", SourceKind::Redis), ("host", SourceKind::Process)]);
    bench.list("store", vec![beat("w", 0)]);
    bench.discover("host");
    for second in [10, 40, 70] {
        bench.wait_until(second);
        bench.process("host", Host::Able);
        bench.list("store", vec![beat("w", second * 1000)]);
    }
    assert_eq!(bench.state().0, State::Healthy);
    for second in [72, 73] {
        bench.wait_until(second);
        bench.process("host", Host::Gone(Gone::Exited));
    }
    bench.wait_until(74);
    assert_eq!(bench.state(), (State::Down, Reason::Exited));
    // It beats each 10 s and is looked at each 5 s: seen 6 s after the end, a beat was written before it. The next were not.
    for (second, state) in [(78, State::Down), (80, State::Down), (85, State::Healthy)] {
        bench.wait_until(second);
        bench.process("host", Host::Gone(Gone::Exited));
        bench.list("store", vec![beat("w", (second - 1) * 1000)]);
        bench.wait_until(second + 1);
        assert_eq!(bench.state().0, state, "at {second}: {:?}", bench.state());
    }
}

#[test]
fn of_two_that_show_its_process_the_last_to_see_it_go_says_how() {
    let mut bench = Bench::new(&[("early", SourceKind::Process), ("late", SourceKind::Process)]);
    bench.discover("early");
    bench.discover("late");
    for second in [5, 15, 25] {
        bench.wait_until(second);
        bench.process("early", Host::Able);
        bench.process("late", Host::Able);
    }
    bench.wait_until(30);
    bench.process("early", Host::Gone(Gone::Exited));
    bench.wait_until(33);
    assert_eq!(bench.state().0, State::Healthy, "the other one still shows it");
    for second in [34, 35] {
        bench.wait_until(second);
        bench.process("late", Host::Gone(Gone::OomKilled));
    }
    bench.wait_until(36);
    assert_eq!(bench.state(), (State::Down, Reason::OomKilled));
}

#[test]
fn a_configuration_that_is_the_same_forgets_nothing_and_another_kind_is_another_source() {
    let mut bench = Bench::new(&[("store", SourceKind::Redis)]);
    bench.list("store", vec![beat("w", 0)]);
    bench.ledger.configure(book(&[("store", SourceKind::Redis)]), Moment::START);
    assert_eq!((bench.source("store").requests, bench.snapshot().workers.len()), (1, 1));
    bench.ledger.configure(book(&[("store", SourceKind::Sidekiq)]), Moment::START);
    assert_eq!((bench.source("store").requests, bench.snapshot().workers.len()), (0, 0));
}

#[test]
fn whoever_is_known_can_be_forgotten_and_nobody_else() {
    let mut bench = Bench::new(&[("store", SourceKind::Redis)]);
    bench.list("store", vec![beat("w", 0)]);
    let (now, at) = (bench.moment(), wall(0));
    assert!(!bench.ledger.forget(&WorkerKey::new("f", "nobody"), now, at));
    assert!(bench.ledger.forget(&key(), now, at));
    assert!(!bench.ledger.forget(&key(), now, at), "not twice");
    assert!(bench.snapshot().workers.is_empty());
}

#[test]
fn we_were_suspended_when_a_second_took_longer_than_six_and_not_when_it_took_six() {
    for (gap, late) in [(6000, 0), (6001, 1), (9000, 1)] {
        let mut by_tick = Bench::new(&[("store", SourceKind::Redis)]);
        by_tick.wait_until(1);
        by_tick.now += gap;
        by_tick.tick();
        assert_eq!(by_tick.snapshot().late_ticks, late, "a tick after {gap} ms");

        let mut by_look = Bench::new(&[("store", SourceKind::Redis)]);
        by_look.wait_until(1);
        by_look.now += gap;
        by_look.list("store", Vec::new());
        assert_eq!(by_look.snapshot().late_ticks, late, "a look after {gap} ms");
    }
}

#[test]
fn what_was_not_watched_while_we_were_suspended_is_no_silence_of_who_lived() {
    let mut bench = Bench::new(&[("store", SourceKind::Redis)]);
    for second in [0, 10, 20, 30] {
        bench.wait_until(second);
        bench.list("store", vec![beat("w", second * 1000)]);
    }
    assert_eq!(bench.state().0, State::Healthy);
    bench.now += 3_600_000;
    bench.tick();
    // It was suspended with us, and beats again in ten seconds.
    for _ in 0..5 {
        bench.now += 1000;
        bench.tick();
        bench.list("store", vec![beat("w", 30_000)]);
    }
    assert_eq!(bench.state().0, State::Healthy);
    // Whoever goes on in silence is down all the same.
    for _ in 0..20 {
        bench.now += 5000;
        bench.tick();
        bench.list("store", vec![beat("w", 30_000)]);
    }
    assert_eq!(bench.state().0, State::Down);
}

#[test]
fn answers_that_are_missed_or_cannot_be_read_are_counted_with_their_source() {
    let mut bench = Bench::new(&[("web", SourceKind::Http)]);
    bench.discover("web");
    bench.wait_until(2);
    bench.missed();
    assert_eq!(bench.source("web").errors, [(Failure::Refused, 1)]);
    bench.answered();
    assert_eq!(bench.source("web").errors, [(Failure::Refused, 1)]);
    for _ in 0..2 {
        bench.ask("web", |o| o.says.unreadable = Some(Failure::BodyInvalid));
    }
    assert_eq!(bench.source("web").errors, [(Failure::Refused, 1), (Failure::BodyInvalid, 2)]);
}

#[test]
fn records_of_two_stores_with_one_alias_are_one_worker_under_the_older_name() {
    let mut bench = Bench::new(&[("a", SourceKind::Redis), ("b", SourceKind::Redis)]);
    let alias = |name: &str, second: u64| {
        let mut o = beat(name, second * 1000);
        o.alias = Some("here/7".into());
        o
    };
    for second in [0, 10, 20] {
        bench.wait_until(second);
        bench.list("a", vec![alias("first", second)]);
        bench.list("b", vec![alias("second", second)]);
    }
    let names: Vec<_> = bench.snapshot().workers.iter().map(|w| w.key.worker.to_string()).collect();
    assert_eq!(names, ["first"]);
    assert_eq!(bench.worker("first").sources, ["a".into(), "b".into()]);
}

/// A record of a worker that beats under its own identity and serves the activities of a queue.
fn serves(name: &str, queue: &str, second: u64) -> Observation {
    let mut o = beat(name, second * 1000);
    o.identity = Some(name.into());
    o.task_queues = vec![queue.into()];
    o.types = vec![TypeReport {
        task_type: TaskType::Activity,
        used: Some(0),
        available: Some(5),
        processed: None,
        failed: None,
        pollers: None,
        last_poll: None,
        stamps_empty_polls: false,
        proven: true,
    }];
    o
}

/// A look at the queue `mail` that shows when `w` polled last.
fn describe(bench: &mut Bench, polled: Option<u64>, partial: bool) {
    let queue = QueueKey {
        source: "server".into(),
        namespace: "".into(),
        task_queue: "mail".into(),
        task_type: TaskType::Activity,
    };
    let slot = Slot { key: key(), exclusive: true };
    let poller = |second: u64| {
        let last_access = Some(wall(second * 1000));
        Poller { identity: "w".into(), last_access, slot: slot.clone(), version: None }
    };
    let pollers = polled.map(poller).into_iter().collect();
    let report =
        QueueReport { backlog: Some(0), rate_limited: Some(false), pollers, partial, ..QueueReport::default() };
    bench.look("server", Scope::Queue(queue), Ok(Report::Queue(report)));
}

#[test]
fn a_look_at_a_queue_says_nothing_of_whoever_serves_another() {
    let mut bench = Bench::new(&[("server", SourceKind::Temporal), ("store", SourceKind::Redis)]);
    for second in [0, 10, 20, 30] {
        bench.wait_until(second);
        bench.list("server", vec![serves("w", "mail", second), serves("other", "rest", second)]);
        bench.list("store", vec![serves("elsewhere", "mail", second)]);
        describe(&mut bench, Some(second), false);
    }
    let channels = |name: &str| bench.worker(name).channels.len();
    assert_eq!((channels("w"), channels("other"), channels("elsewhere")), (2, 1, 1));
}

#[test]
fn a_look_that_saw_a_part_of_a_queue_counts_polls_and_no_silence() {
    let mut bench = Bench::new(&[("server", SourceKind::Temporal)]);
    let polls = |bench: &Bench| {
        let channels = bench.worker("w").channels;
        let polls = channels.iter().find(|c| c.kind == ChannelKind::Work).unwrap();
        (polls.moves, polls.silent_seconds)
    };
    let mut look = |second: u64, polled: Option<u64>, partial: bool| {
        bench.wait_until(second);
        bench.list("server", vec![serves("w", "mail", second)]);
        describe(&mut bench, polled, partial);
        polls(&bench)
    };
    look(0, Some(0), false);
    look(60, Some(60), false);
    let (moves, _) = look(120, Some(120), false);
    assert_eq!(look(130, Some(130), true), (moves + 1, 0.0), "it polled where we looked");
    assert_eq!(look(140, Some(130), true), (moves + 1, 0.0), "it may poll where we did not");
    assert_eq!(look(150, None, true), (moves + 1, 0.0));
    assert_eq!(look(160, Some(130), false), (moves + 1, 30.0), "it polls nowhere");
}

#[test]
fn one_failed_list_is_no_outage_and_a_long_one_gives_time_to_come_back() {
    let mut bench = Bench::new(&[("store", SourceKind::Redis)]);
    let list = |bench: &mut Bench| {
        let second = bench.now;
        bench.list("store", vec![beat("w", second)]);
    };
    list(&mut bench);
    bench.wait_until(10);
    bench.look("store", Scope::Listing, Err(Failure::Refused));
    bench.wait_until(20);
    list(&mut bench);
    assert_eq!(bench.source("store").note, None, "one failed look");
    // Looks that only came late, 91 s apart, are no outage either.
    bench.wait_until(111);
    list(&mut bench);
    assert_eq!(bench.source("store").note, None, "nobody failed");
    // Nor is what lasts for three intervals of 30 s.
    bench.wait_until(121);
    bench.look("store", Scope::Listing, Err(Failure::Refused));
    bench.wait_until(201);
    list(&mut bench);
    assert_eq!(bench.source("store").note, None, "90 s");
    bench.wait_until(211);
    bench.look("store", Scope::Listing, Err(Failure::Refused));
    bench.wait_until(292);
    list(&mut bench);
    let note = bench.source("store").note.unwrap();
    assert!(note.starts_with("it came back"), "{note}");
    bench.wait_until(351);
    assert!(bench.source("store").note.is_some());
    bench.wait_until(352);
    assert_eq!(bench.source("store").note, None, "a minute");
}

#[test]
fn records_that_cannot_be_read_are_counted_by_reason() {
    let mut bench = Bench::new(&[("store", SourceKind::Redis)]);
    let unreadable = vec![("x".into(), Failure::FieldInvalid), ("y".into(), Failure::FieldInvalid)];
    let listing = Listing { unreadable, heartbeats: true, ..Listing::default() };
    bench.look("store", Scope::Listing, Ok(Report::Listing(listing)));
    assert_eq!(bench.source("store").errors, [(Failure::FieldInvalid, 2)]);
}

#[test]
fn a_start_that_moves_by_more_than_a_second_is_another_incarnation() {
    for (moved, restarts) in [(500, 0), (1000, 0), (1500, 1)] {
        let mut bench = Bench::new(&[("store", SourceKind::Redis)]);
        for second in 0..6 {
            bench.wait_until(second * 10);
            let mut o = beat("w", bench.now);
            o.info.start_time = Some(if second < 3 { wall(0) } else { wall(moved) });
            bench.list("store", vec![o]);
        }
        assert_eq!(bench.worker("w").restarts, restarts, "{moved} ms");
    }
}

#[test]
fn a_process_that_is_found_again_twice_is_back() {
    let mut bench = Bench::new(&[("host", SourceKind::Process)]);
    bench.discover("host");
    for second in [5, 15] {
        bench.wait_until(second);
        bench.process("host", Host::Able);
    }
    for second in [20, 21] {
        bench.wait_until(second);
        bench.process("host", Host::Gone(Gone::Exited));
    }
    bench.wait_until(22);
    assert_eq!(bench.state().0, State::Down);
    for (second, state) in [(30, State::Down), (35, State::Healthy)] {
        bench.wait_until(second);
        bench.process("host", Host::Able);
        assert_eq!(bench.state().0, state, "at {second}");
    }
}

#[test]
fn the_last_beat_and_the_last_progress_are_told_apart() {
    let mut bench = Bench::new(&[("store", SourceKind::Redis)]);
    let list = |bench: &mut Bench, stamp: u64, count: u64| {
        let mut o = beat("w", stamp);
        o.numbers.progress = Some(count);
        bench.list("store", vec![o]);
    };
    list(&mut bench, 0, 1);
    assert_eq!((bench.worker("w").last_heartbeat, bench.worker("w").last_progress), (None, None), "nothing moved yet");
    bench.wait_until(10);
    list(&mut bench, 10_000, 1);
    bench.wait_until(20);
    list(&mut bench, 10_000, 2);
    let worker = bench.worker("w");
    assert_eq!((worker.last_heartbeat, worker.last_progress), (Some(wall(10_000)), Some(wall(20_000))));
}

#[test]
fn whoever_was_forgotten_and_is_still_named_is_shown_once_it_answers_and_by_who_names_it() {
    let mut bench = Bench::new(&[("web", SourceKind::Http), ("store", SourceKind::Redis)]);
    bench.discover("web");
    bench.list("store", vec![beat("w", 0)]);
    bench.answered();
    assert_eq!(bench.worker("w").sources, ["store".into(), "web".into()]);
    let (now, at) = (bench.moment(), wall(0));
    assert!(bench.ledger.forget(&key(), now, at));
    assert!(bench.snapshot().workers.is_empty());
    bench.wait_until(5);
    bench.answered();
    assert_eq!(bench.worker("w").sources, ["web".into()]);
}

#[test]
fn a_restart_that_a_second_source_tells_within_two_minutes_is_the_same_one() {
    for (after, restarts) in [(1, 1), (119, 1), (120, 2)] {
        let mut bench = Bench::new(&[("a", SourceKind::Redis), ("b", SourceKind::Redis)]);
        let list = |bench: &mut Bench, source: &str, instance: &str| {
            let mut o = beat("w", bench.now);
            o.info.instance = Some(instance.into());
            bench.list(source, vec![o]);
        };
        for second in (0..=30 + after).filter(|second| second % 10 == 0 || *second == 30 + after) {
            bench.wait_until(second);
            list(&mut bench, "a", if second < 30 { "one" } else { "two" });
            list(&mut bench, "b", if second < 30 + after { "one" } else { "two" });
        }
        assert_eq!(bench.worker("w").restarts, restarts, "{after} s later");
    }
}

#[test]
fn a_queue_that_nobody_serves_is_forgotten_after_an_hour() {
    let mut bench = Bench::new(&[("server", SourceKind::Temporal)]);
    bench.list("server", vec![serves("w", "mail", 0)]);
    bench.wait_until(3599);
    assert_eq!(bench.snapshot().queues.len(), 1);
    bench.wait_until(3600);
    assert_eq!(bench.snapshot().queues.len(), 0);
}

#[test]
fn a_counter_that_comes_with_the_beat_stands_for_two_beats_before_anybody_is_stuck() {
    let mut bench = Bench::new(&[("store", SourceKind::Redis)]);
    for second in (0..=150).step_by(10) {
        bench.wait_until(second);
        let mut o = beat("w", second / 50 * 50_000);
        o.beat = o.beat.map(|beat| Beat { declared: Some(Duration::from_secs(50)), ..beat });
        o.numbers.progress = Some(1);
        o.numbers.waiting = Some(5);
        bench.list("store", vec![o]);
        let stuck = bench.state().0 == State::Stuck;
        assert_eq!(stuck, second >= 100, "at {second}: {:?}", bench.state());
    }
}

#[test]
fn the_first_change_of_a_worker_has_no_state_before_it_and_the_others_have() {
    let mut bench = Bench::new(&[("store", SourceKind::Redis)]);
    for second in [0, 10, 20] {
        bench.wait_until(second);
        bench.list("store", vec![beat("w", second * 1000)]);
    }
    for second in (25..=90).step_by(5) {
        bench.wait_until(second);
        bench.list("store", vec![beat("w", 20_000)]);
    }
    let changes: Vec<_> = bench.ledger.take_changes().into_iter().map(|change| (change.from, change.to)).collect();
    let expected = [
        (None, Some(State::Starting)),
        (Some(State::Starting), Some(State::Healthy)),
        (Some(State::Healthy), Some(State::Down)),
    ];
    assert_eq!(changes, expected);
}

#[test]
fn after_a_suspension_we_are_not_trusted_for_half_a_minute() {
    let mut bench = Bench::new(&[("store", SourceKind::Redis)]);
    bench.wait_until(1);
    assert!(bench.snapshot().observer_trusted);
    bench.now += 10_000;
    bench.tick();
    for (second, trusted) in [(12, false), (40, false), (41, true)] {
        bench.wait_until(second);
        assert_eq!(bench.snapshot().observer_trusted, trusted, "at {second}");
    }
}

#[test]
fn a_fleet_counts_its_own_workers_and_names_the_queues_that_they_serve() {
    let mut bench = Bench::new(&[("server", SourceKind::Temporal)]);
    let of = |fleet: &str, worker: &str, queue: &str| {
        let slot = Slot { key: WorkerKey::new(fleet, worker), exclusive: true };
        Observation { slot, ..serves(worker, queue, 0) }
    };
    bench.list(
        "server",
        vec![of("a", "a1", "mail"), of("b", "b1", "mail"), of("b", "b2", "rest"), of("c", "c1", "rest")],
    );
    let fleets = bench.snapshot().fleets;
    let shown: Vec<_> = fleets
        .iter()
        .map(|fleet| {
            let queues: Vec<_> = fleet.queues.iter().map(|queue| queue.task_queue.to_string()).collect();
            (fleet.fleet.to_string(), fleet.count(State::Starting), queues)
        })
        .collect();
    let queues = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
    let expected = [("a", 1, queues(&["mail"])), ("b", 2, queues(&["mail", "rest"])), ("c", 1, queues(&["rest"]))];
    assert_eq!(shown, expected.map(|(name, count, served)| (name.to_owned(), count, served)));
}

#[test]
fn a_queue_shows_what_its_server_said_and_who_of_its_workers_polls() {
    let mut bench = Bench::new(&[("server", SourceKind::Temporal)]);
    for second in (0..=600).step_by(30) {
        bench.wait_until(second);
        let mut full = serves("full", "mail", second);
        full.types[0] = TypeReport { used: Some(5), available: Some(0), ..full.types[0] };
        let workers =
            vec![serves("w", "mail", second), full, serves("away", "mail", second), serves("x", "rest", second)];
        bench.list("server", workers);
        describe(&mut bench, Some(second), false);
    }
    let queues = bench.snapshot().queues;
    let mail = queues.iter().find(|queue| &*queue.key.task_queue == "mail").unwrap();
    assert_eq!((mail.backlog, mail.pollers, mail.rate_limited), (Some(0), Some(1), Some(false)));
    // Whoever is full stops polling, and who is not listed polls nowhere.
    assert_eq!((mail.workers_polling, mail.workers_full, mail.workers_silent), (1, 1, 1));
}

#[test]
fn a_certificate_is_kept_while_it_is_not_shown_anew_and_the_first_to_end_counts() {
    let mut bench = Bench::new(&[("web", SourceKind::Http), ("own", SourceKind::Metrics)]);
    bench.discover("web");
    bench.discover("own");
    let reach = Some(Reach::Answered { took: Duration::from_millis(5), deadline: Duration::from_secs(5) });
    let shown = |bench: &Bench| bench.worker("w").certificate;
    bench.answered();
    assert_eq!(shown(&bench), None, "plain HTTP shows none");
    bench.ask("web", |o| (o.reach, o.certificate) = (reach, Some(wall(50_000))));
    bench.ask("own", |o| (o.reach, o.certificate) = (reach, Some(wall(70_000))));
    assert_eq!(shown(&bench), Some(wall(50_000)));
    bench.missed();
    assert_eq!(shown(&bench), Some(wall(50_000)), "nothing listens, and what it showed before still holds");
    bench.ask("web", |o| (o.reach, o.certificate) = (Some(Reach::Missed(Failure::Tls)), Some(wall(60_000))));
    assert_eq!(shown(&bench), Some(wall(60_000)), "one that is refused is shown all the same");
    let refused = Some(Reach::Misconfigured(Failure::Unauthenticated));
    bench.ask("web", |o| (o.reach, o.certificate) = (refused, Some(wall(80_000))));
    assert_eq!(shown(&bench), Some(wall(70_000)));
    bench.ask("own", |o| o.reach = reach);
    bench.ask("web", |o| o.reach = reach);
    assert_eq!(shown(&bench), None, "it speaks no TLS any more");
}
