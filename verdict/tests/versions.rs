//! Versions of workers on one queue, and pollers that are not all seen. As Temporal shows them.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use verdict::evidence::{
    Beat, Listing, Look, Mark, Observation, Poller, QueueKey, QueueReport, Report, Scope, Slot, TypeReport, Version,
    VersionReport, WorkerKey,
};
use verdict::ledger::Ledger;
use verdict::rules::{Rulebook, Rules, SourceRules};
use verdict::snapshot::{QueueView, Snapshot};
use verdict::time::{Moment, WallTime};
use verdict::words::{Failure, SourceKind, State, TaskType, VersionStatus};

fn wall(second: u64) -> WallTime {
    WallTime::from_seconds(1_800_000_000.0 + Duration::from_secs(second).as_secs_f64()).unwrap()
}

fn slot(identity: &str) -> Slot {
    Slot { key: WorkerKey::new("default/orders", identity), exclusive: false }
}

/// What is true of one worker at a second.
#[derive(Clone)]
struct Lives {
    identity: &'static str,
    version: Option<&'static str>,
    /// It beats and polls until then.
    until: u64,
    /// Its last record says goodbye.
    goodbye: bool,
    heartbeats: bool,
    /// All slots are used: it beats and does not poll.
    full_from: u64,
    /// Its SDK stamps every poll.
    stamps: bool,
    /// The list of pollers has room for it until then.
    listed_until: u64,
}

const fn lives(identity: &'static str, version: &'static str) -> Lives {
    Lives {
        identity,
        version: Some(version),
        until: u64::MAX,
        goodbye: false,
        heartbeats: true,
        full_from: u64::MAX,
        stamps: true,
        listed_until: u64::MAX,
    }
}

struct Bench {
    ledger: Ledger,
    queue: QueueKey,
    second: u64,
}

impl Bench {
    fn new() -> Self {
        let source = SourceRules {
            name: "temporal".into(),
            kind: SourceKind::Temporal,
            namespace: "default".into(),
            minimum_interval: Duration::from_secs(2),
            maximum_interval: Duration::from_secs(30),
            watch: vec![("orders".into(), TaskType::Workflow)],
        };
        let book = Rulebook { default: Rules::default(), fleets: HashMap::new(), sources: vec![source] };
        let queue = QueueKey {
            source: "temporal".into(),
            namespace: "default".into(),
            task_queue: "orders".into(),
            task_type: TaskType::Workflow,
        };
        Self { ledger: Ledger::new(Arc::new(book), Moment::START), queue, second: 0 }
    }

    fn look(&mut self, scope: Scope, interval: u64, outcome: Result<Report, Failure>) {
        let now = Moment::after_start(Duration::from_secs(self.second));
        self.ledger.observe(Look {
            source: "temporal".into(),
            scope,
            started: now,
            finished: now,
            received: wall(self.second),
            interval: Duration::from_secs(interval),
            outcome,
        });
    }

    /// Goes on to this second, with a list each two seconds and a look at the queue each ten.
    fn run(&mut self, to: u64, workers: &[Lives], report: impl Fn(u64, Vec<Poller>) -> Result<QueueReport, Failure>) {
        while self.second < to {
            self.second += 1;
            let second = self.second;
            if second.is_multiple_of(2) {
                let listed = workers.iter().filter(|w| w.heartbeats && w.until.saturating_add(300) > second);
                let records = listed.map(|w| record(w, second)).collect();
                let listing = Listing {
                    records,
                    heartbeats: true,
                    retention: Some(Duration::from_secs(300)),
                    ..Listing::default()
                };
                self.look(Scope::Listing, 2, Ok(Report::Listing(listing)));
            }
            if second.is_multiple_of(10) {
                let pollers = workers.iter().filter_map(|w| poller(w, second)).collect();
                let scope = Scope::Queue(self.queue.clone());
                self.look(scope, 10, report(second, pollers).map(Report::Queue));
            }
            self.ledger.tick(Moment::after_start(Duration::from_secs(second)), wall(second));
        }
    }

    fn snapshot(&self) -> Snapshot {
        self.ledger.snapshot(Moment::after_start(Duration::from_secs(self.second)), wall(self.second))
    }

    fn view(&self) -> QueueView {
        self.snapshot().queues.into_iter().next().unwrap()
    }

    fn pollers(&self, build: &str) -> Option<u64> {
        self.view().versions.iter().find(|v| &*v.version.build_id == build).unwrap().pollers
    }

    fn state(&self, worker: &str) -> Option<State> {
        self.snapshot().workers.iter().find(|w| &*w.key.worker == worker).map(|w| w.state)
    }
}

fn record(w: &Lives, second: u64) -> Observation {
    let beat = wall(second.min(w.until));
    let mut seen = Observation::new(w.identity, slot(w.identity));
    seen.identity = Some(w.identity.into());
    seen.beat = Some(Beat {
        mark: Some(Mark::stamp(beat)),
        stamp: Some(beat),
        declared: Some(Duration::from_secs(1)),
        own_answer: false,
        on_trial: false,
    });
    seen.says.goodbye = w.goodbye && second >= w.until;
    let full = second >= w.full_from;
    seen.types = vec![TypeReport {
        task_type: TaskType::Workflow,
        used: Some(if full { 100 } else { 0 }),
        available: Some(if full { 0 } else { 100 }),
        processed: Some(if w.stamps { second.min(w.until) } else { 0 }),
        failed: Some(0),
        pollers: Some(1),
        last_poll: w.stamps.then_some(beat),
        stamps_empty_polls: w.stamps,
        proven: true,
    }];
    seen.info.instance = Some(w.identity.into());
    seen.info.build_id = w.version.map(Arc::from);
    seen.info.deployment = w.version.map(|_| Arc::from("shop"));
    seen.task_queues = vec!["orders".into()];
    seen
}

/// The server names it for five minutes after its last poll.
fn poller(w: &Lives, second: u64) -> Option<Poller> {
    let last = second.min(w.until).min(w.full_from);
    (second - last < 300 && second < w.listed_until).then(|| Poller {
        identity: w.identity.into(),
        last_access: Some(wall(last)),
        slot: slot(w.identity),
        version: w.version.map(|build| Version::new("shop", build)),
    })
}

/// v2 is current, v1 drains.
fn deployed(_: u64, pollers: Vec<Poller>) -> Result<QueueReport, Failure> {
    let of = |build: &str, status| VersionReport {
        version: Version::new("shop", build),
        status,
        ramp: None,
        backlog: None,
        backlog_age: None,
    };
    let versions = vec![of("v2", VersionStatus::Current), of("v1", VersionStatus::Draining)];
    Ok(QueueReport { pollers, versions, ..QueueReport::default() })
}

#[test]
fn the_poller_of_a_worker_that_is_down_is_not_counted_while_the_server_still_names_it() {
    let mut bench = Bench::new();
    let workers = [lives("anna", "v1"), Lives { until: 60, ..lives("boris", "v2") }];
    bench.run(60, &workers, deployed);
    assert_eq!((bench.pollers("v2"), bench.pollers("v1")), (Some(1), Some(1)));
    assert!(bench.view().issues.is_empty());
    bench.run(120, &workers, deployed);
    assert_eq!(bench.state("boris"), Some(State::Down));
    assert_eq!((bench.pollers("v2"), bench.pollers("v1"), bench.view().pollers), (Some(0), Some(1), Some(2)));
    let issue = bench.view().issues.concat();
    assert!(issue.starts_with("no worker polls for shop:v2, the current version"), "{issue}");
    let snapshot = bench.snapshot();
    let told = |name: &str| snapshot.workers.iter().find(|w| &*w.key.worker == name).unwrap();
    let sentence = format!("queue orders, workflow: {issue}");
    assert!(told("boris").issues.contains(&sentence));
    assert!(told("anna").issues.is_empty(), "it does all it can");
    assert!(told("anna").notes.iter().any(|note| **note == *sentence));
}

#[test]
fn the_poller_of_a_worker_that_left_is_not_counted_again_when_its_worker_is_gone() {
    let mut bench = Bench::new();
    let workers = [lives("anna", "v1"), Lives { until: 60, goodbye: true, ..lives("boris", "v2") }];
    bench.run(60, &workers, deployed);
    bench.run(70, &workers, deployed);
    let mut counts = Vec::new();
    while bench.second < 340 {
        bench.run(bench.second + 10, &workers, deployed);
        counts.push(bench.pollers("v2"));
    }
    assert_eq!(bench.state("boris"), None, "it left");
    assert!(counts.iter().all(|count| *count == Some(0)), "{counts:?}");
}

#[test]
fn a_version_whose_workers_are_all_full_is_not_missing_when_the_server_forgot_their_polls() {
    let mut bench = Bench::new();
    let workers = [lives("anna", "v1"), Lives { full_from: 60, ..lives("boris", "v2") }];
    bench.run(600, &workers, deployed);
    assert_eq!(bench.pollers("v2"), Some(0), "which is what the server says");
    assert!(bench.view().issues.is_empty(), "{:?}", bench.view().issues);
    assert_eq!(bench.state("boris"), Some(State::Healthy));
}

#[test]
fn a_look_that_failed_says_nothing_new_about_versions() {
    let mut bench = Bench::new();
    let workers = [lives("anna", "v1")];
    bench.run(60, &workers, deployed);
    assert_eq!(bench.view().issues.len(), 1);
    bench.run(80, &workers, |_, _| Err(Failure::Timeout));
    assert!(bench.view().issues.is_empty());
}

#[test]
fn a_worker_that_never_showed_on_a_list_that_is_cut_is_neither_stuck_nor_counted_as_silent() {
    for (partial, expected, silent) in [(true, State::Healthy, 0), (false, State::Stuck, 1)] {
        let mut bench = Bench::new();
        // Its SDK stamps no empty poll, so that the server's list is all that tells of its polls.
        let stamps_nothing = Lives { stamps: false, ..lives("carla", "v2") };
        let waits = |_, pollers| {
            let (backlog, backlog_age) = (Some(40), Some(Duration::from_secs(300)));
            Ok(QueueReport { partial, backlog, backlog_age, ..deployed(0, pollers)? })
        };
        bench.run(60, std::slice::from_ref(&stamps_nothing), deployed);
        // From now on others crowd it out.
        let crowded = Lives { listed_until: 60, ..stamps_nothing };
        bench.run(600, std::slice::from_ref(&crowded), waits);
        assert_eq!(bench.state("carla"), Some(expected), "partial: {partial}");
        let view = bench.view();
        assert_eq!((view.workers_silent, view.pollers_incomplete), (silent, Some(partial)));

        let mut bench = Bench::new();
        bench.run(600, &[Lives { listed_until: 0, ..crowded }], waits);
        assert_eq!(bench.state("carla"), Some(expected), "never listed, partial: {partial}");
        assert_eq!(bench.view().workers_silent, silent);
    }
}

#[test]
fn who_is_not_seen_where_not_every_partition_was_seen_is_held_against_nobody() {
    let polls_alone = Lives { heartbeats: false, ..lives("carla", "v2") };
    let moves = |bench: &Bench| bench.state("carla");
    for (partial, expected) in [(true, State::Healthy), (false, State::Unknown)] {
        let mut bench = Bench::new();
        bench.run(60, std::slice::from_ref(&polls_alone), deployed);
        assert_eq!(moves(&bench), Some(State::Healthy));
        bench.run(400, &[], |second, pollers| Ok(QueueReport { partial, ..deployed(second, pollers)? }));
        assert_eq!(moves(&bench), Some(expected), "partial: {partial}");
        assert_eq!(bench.pollers("v2"), (!partial).then_some(0), "partial: {partial}");
        assert_eq!(bench.view().pollers, (!partial).then_some(0), "partial: {partial}");
        assert_eq!(bench.view().issues.is_empty(), partial);
    }
}
