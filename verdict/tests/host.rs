//! Workers by their processes, alone and beside their other channels.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use verdict::evidence::{
    Beat, Gone, Hold, Host, Listing, Look, Mark, Observation, Part, Reach, Report, Scope, Slot, WorkerKey,
};
use verdict::ledger::{Ledger, Wish};
use verdict::rules::{Rulebook, Rules, SourceRules};
use verdict::snapshot::{Finding, WorkerView};
use verdict::time::{Moment, WallTime};
use verdict::words::{Check, Failure, Reason, SourceKind, State};

const EACH: Duration = Duration::from_secs(30);
const S: Duration = Duration::from_secs(1);

/// One machine with one worker on it, `mail/mail-1`, looked at as the ledger wishes.
struct Night {
    ledger: Ledger,
    now: Duration,
    /// What the process source finds: its pid and what of it, or that the look fails.
    process: Result<(u32, Host), Failure>,
    /// The endpoint answers; `None` where it has none.
    endpoint: Option<bool>,
    /// Beats in a registry: (instance, pid, stamp of the last beat in seconds).
    registry: Vec<(&'static str, u32, u64)>,
    /// What is looked at, how often, and when it was last looked at.
    due: HashMap<(Arc<str>, Scope), (Duration, Option<Duration>)>,
    states: Vec<(State, Reason)>,
}

fn key() -> WorkerKey {
    WorkerKey::new("mail", "mail-1")
}

fn wall(at: Duration) -> WallTime {
    WallTime::from_micros(1_800_000_000_000_000 + i64::try_from(at.as_micros()).unwrap())
}

impl Night {
    fn new() -> Self {
        let source = |name: &str, kind| SourceRules {
            name: name.into(),
            kind,
            namespace: "".into(),
            minimum_interval: 2 * S,
            maximum_interval: EACH,
            watch: Vec::new(),
        };
        let sources = vec![
            source("host", SourceKind::Process),
            source("web", SourceKind::Http),
            source("registry", SourceKind::Redis),
        ];
        let rules = Rulebook { default: Rules::default(), fleets: HashMap::new(), sources };
        let mut ledger = Ledger::new(Arc::new(rules), Moment::START);
        ledger.discovered("host", &[key()], Moment::START, wall(Duration::ZERO));
        Self {
            ledger,
            now: Duration::ZERO,
            process: Ok((7, Host::Able)),
            endpoint: None,
            registry: Vec::new(),
            due: HashMap::new(),
            states: Vec::new(),
        }
    }

    fn with_endpoint(mut self) -> Self {
        self.endpoint = Some(true);
        self.ledger.discovered("web", &[key()], Moment::START, wall(Duration::ZERO));
        self
    }

    /// Lets the night go on, second by second.
    fn run(&mut self, seconds: u64) {
        for _ in 0..seconds {
            self.now += S;
            self.obey();
            let now = self.now;
            let is_due = |(each, last): &(Duration, Option<Duration>)| last.is_none_or(|last| last + *each <= now);
            let mut due: Vec<_> = self.due.iter().filter(|(_, when)| is_due(when)).map(|(k, _)| k.clone()).collect();
            due.sort();
            for key in due {
                self.look(&key);
            }
            self.ledger.tick(Moment::after_start(self.now), wall(self.now));
            self.note();
        }
    }

    fn obey(&mut self) {
        for wish in self.ledger.take_wishes() {
            match wish {
                Wish::Every { source, scope, interval, at_once } => {
                    let entry = self.due.entry((source, scope)).or_insert((interval, None));
                    entry.0 = interval;
                    if at_once {
                        entry.1 = None;
                    }
                }
                Wish::Never { source, scope } => {
                    self.due.remove(&(source, scope));
                }
            }
        }
    }

    fn look(&mut self, of: &(Arc<str>, Scope)) {
        let (interval, _) = self.due[of];
        self.due.insert(of.clone(), (interval, Some(self.now)));
        let outcome = match (&*of.0, &of.1) {
            ("host", Scope::Worker(_)) => self.process.map(|(pid, host)| self.process_seen(pid, host)),
            ("web", Scope::Worker(_)) => Ok(self.answer()),
            ("registry", Scope::Listing) => Ok(self.list()),
            other => panic!("nobody should look at {other:?}"),
        };
        let now = Moment::after_start(self.now);
        self.ledger.observe(Look {
            source: of.0.clone(),
            scope: of.1.clone(),
            // A look takes some time, or it would be its own second look.
            started: now - S / 1000,
            finished: now,
            received: wall(self.now),
            interval,
            outcome,
        });
        self.note();
        self.obey();
    }

    fn process_seen(&self, pid: u32, host: Host) -> Report {
        let mut seen = Observation::new("mail/mail-1", Slot { key: key(), exclusive: true });
        seen.host = Some(host);
        if !matches!(host, Host::Gone(_)) {
            seen.info.pid = Some(pid.to_string().into());
            seen.alias = Some(format!("here/{pid}").into());
            seen.numbers.memory_bytes = Some(90);
            seen.numbers.memory_limit_bytes = Some(100);
        }
        Report::Worker(Box::new(seen))
    }

    fn answer(&self) -> Report {
        let mut seen = Observation::new("mail/mail-1", Slot { key: key(), exclusive: true });
        seen.reach = Some(if self.endpoint == Some(true) {
            Reach::Answered { took: S / 100, deadline: S }
        } else {
            Reach::Missed(Failure::Refused)
        });
        Report::Worker(Box::new(seen))
    }

    fn list(&self) -> Report {
        let record = |(instance, pid, stamp): &(&'static str, u32, u64)| {
            let slot = Slot { key: WorkerKey::new("registry", "here"), exclusive: false };
            let mut seen = Observation::new(*instance, slot);
            let stamp = wall(Duration::from_secs(*stamp));
            seen.beat = Some(Beat {
                mark: Some(Mark::stamp(stamp)),
                stamp: Some(stamp),
                declared: Some(10 * S),
                own_answer: false,
                on_trial: false,
            });
            seen.alias = Some(format!("here/{pid}").into());
            seen.info.pid = Some(pid.to_string().into());
            seen.info.instance = Some((*instance).into());
            seen
        };
        let records = self.registry.iter().map(record).collect();
        Report::Listing(Listing { records, heartbeats: true, ..Listing::default() })
    }

    /// The registry beats each ten seconds for this one while time passes.
    fn run_beating(&mut self, seconds: u64, instance: &'static str) {
        for _ in 0..seconds {
            let now = self.now.as_secs() + 1;
            if now.is_multiple_of(10) {
                for beat in self.registry.iter_mut().filter(|beat| beat.0 == instance) {
                    beat.2 = now;
                }
            }
            self.run(1);
        }
    }

    fn note(&mut self) {
        if let Some(worker) = self.all().into_iter().find(|w| w.key == key()) {
            let now = (worker.state, worker.reason);
            if self.states.last() != Some(&now) {
                self.states.push(now);
            }
        }
    }

    fn all(&self) -> Vec<WorkerView> {
        self.ledger.snapshot(Moment::after_start(self.now), wall(self.now)).workers
    }

    fn worker(&self) -> WorkerView {
        self.all().into_iter().find(|w| w.key == key()).expect("the worker")
    }

    fn state(&self) -> (State, Reason) {
        let worker = self.worker();
        (worker.state, worker.reason)
    }

    fn check(&self, check: Check) -> Option<Finding> {
        self.worker().checks.iter().find(|c| c.check == check).and_then(|c| c.finding)
    }
}

#[test]
fn a_process_is_healthy_once_a_second_look_finds_it_there() {
    let mut night = Night::new();
    night.run(1);
    assert_eq!(night.state(), (State::Starting, Reason::AwaitingBeat));
    night.run(9);
    // 90 % of its memory is a warning, and its process passes.
    assert_eq!(night.state(), (State::Healthy, Reason::Warning));
    assert_eq!(night.check(Check::Process), Some(Finding::Pass));
}

#[test]
fn a_process_that_ends_is_down_within_a_look_and_stays_so_for_as_long_as_it_is_named() {
    let mut night = Night::new();
    night.run(60);
    night.process = Ok((7, Host::Gone(Gone::Exited)));
    night.run(31);
    assert_eq!(night.state(), (State::Down, Reason::Exited));
    night.run(3600);
    assert_eq!(night.state(), (State::Down, Reason::Exited));
}

#[test]
fn one_look_that_misses_it_convicts_nobody() {
    let mut night = Night::new();
    night.run(60);
    let host = (Arc::from("host"), Scope::Worker(key()));
    night.process = Ok((7, Host::Gone(Gone::Exited)));
    let before = night.states.len();
    night.look(&host);
    night.process = Ok((7, Host::Able));
    night.run(120);
    assert_eq!(night.states.len(), before, "{:?}", night.states);
}

#[test]
fn a_process_killed_for_memory_says_so() {
    let mut night = Night::new();
    night.run(60);
    night.process = Ok((7, Host::Gone(Gone::OomKilled)));
    night.run(31);
    assert_eq!(night.state(), (State::Down, Reason::OomKilled));
}

#[test]
fn one_that_comes_back_is_one_worker_with_one_restart_and_well_within_two_looks() {
    let mut night = Night::new();
    night.run(60);
    night.process = Ok((7, Host::Gone(Gone::Exited)));
    night.run(120);
    night.process = Ok((8, Host::Able));
    night.run(45);
    assert_eq!(night.state().0, State::Healthy);
    assert_eq!(night.worker().restarts, 1);
}

#[test]
fn killed_and_restarted_between_two_looks_it_is_never_down() {
    let mut night = Night::new();
    night.run(60);
    night.process = Ok((8, Host::Able));
    night.run(60);
    assert_eq!(night.worker().restarts, 1);
    assert_eq!(night.state().0, State::Healthy);
    assert!(night.states.iter().all(|(state, _)| *state != State::Down), "{:?}", night.states);
    assert!(night.states.contains(&(State::Starting, Reason::Restarted)), "{:?}", night.states);
}

#[test]
fn one_that_was_never_there_is_down_after_its_grace_and_not_before() {
    let mut night = Night::new();
    night.process = Ok((7, Host::Gone(Gone::Exited)));
    night.run(55);
    assert_eq!(night.state().0, State::Starting);
    night.run(40);
    assert_eq!(night.state(), (State::Down, Reason::NeverBeat));
}

#[test]
fn a_stopped_process_warns_at_once_and_is_degraded_after_its_limit() {
    let mut night = Night::new();
    night.run(60);
    night.process = Ok((7, Host::Held(Hold::Stopped)));
    night.run(31);
    assert_eq!(night.check(Check::Process), Some(Finding::Warning));
    night.run(120);
    assert_eq!(night.state(), (State::Degraded, Reason::CheckProcess));
    night.process = Ok((7, Host::Able));
    night.run(31);
    assert_eq!(night.state().0, State::Healthy);
}

#[test]
fn a_process_that_is_hidden_from_us_is_unknown_and_never_down() {
    let mut night = Night::new();
    night.run(60);
    night.process = Err(Failure::PermissionDenied);
    night.run(31);
    assert_eq!(night.state().0, State::Healthy, "not on one failed look");
    night.run(600);
    assert_eq!(night.state(), (State::Unknown, Reason::Misconfigured));
    assert!(night.states.iter().all(|(state, _)| *state != State::Down), "{:?}", night.states);
}

#[test]
fn that_the_process_is_there_saves_no_worker_whose_beat_fell_silent() {
    let mut night = Night::new();
    night.registry = vec![("one", 7, 0)];
    night.run_beating(120, "one");
    assert_eq!(night.all().len(), 1, "joined by host and pid");
    assert_eq!(night.state().0, State::Healthy);
    night.run(300);
    assert_eq!(night.state(), (State::Down, Reason::Stale));
}

#[test]
fn a_restart_that_both_sources_tell_of_is_one_restart_and_the_old_record_speaks_for_nobody() {
    let mut night = Night::new();
    night.registry = vec![("one", 7, 0)];
    night.run_beating(120, "one");
    night.process = Ok((8, Host::Able));
    night.registry.push(("two", 8, night.now.as_secs()));
    night.run_beating(300, "two");
    let workers: Vec<_> = night.all().into_iter().map(|w| (w.key.worker.to_string(), w.state)).collect();
    assert_eq!(workers, [("mail-1".to_owned(), State::Healthy)]);
    assert_eq!(night.worker().restarts, 1);
    assert_eq!(night.worker().info.pid.as_deref(), Some("8"));
    assert!(night.states.iter().all(|(state, _)| *state != State::Down), "{:?}", night.states);
    night.run(300);
    assert_eq!(night.state().0, State::Down, "the new one fell silent, whatever the old record says");
}

#[test]
fn a_wrong_pid_file_beside_a_worker_that_answers_is_a_warning_and_no_death() {
    let mut night = Night::new().with_endpoint();
    night.run(60);
    night.process = Ok((7, Host::Gone(Gone::Exited)));
    night.run(120);
    assert_eq!(night.state(), (State::Healthy, Reason::Warning));
    assert_eq!(night.check(Check::Process), Some(Finding::Warning));
    night.endpoint = Some(false);
    night.run(120);
    assert_eq!(night.state().0, State::Down);
}

#[test]
fn figures_that_are_no_longer_known_are_taken_away() {
    let mut night = Night::new();
    night.run(60);
    assert_eq!(night.worker().numbers.memory_bytes, Some(90));
    let mut seen = Observation::new("mail/mail-1", Slot { key: key(), exclusive: true });
    seen.host = Some(Host::Able);
    seen.info.pid = Some("7".into());
    seen.unread = vec![(Part::Memory, Some(Failure::Timeout)), (Part::Gpu, None)];
    let now = Moment::after_start(night.now);
    night.ledger.observe(Look {
        source: "host".into(),
        scope: Scope::Worker(key()),
        started: now,
        finished: now,
        received: wall(night.now),
        interval: EACH,
        outcome: Ok(Report::Worker(Box::new(seen))),
    });
    let worker = night.worker();
    assert_eq!((worker.numbers.memory_bytes, worker.numbers.memory_limit_bytes), (None, None));
    let snapshot = night.ledger.snapshot(now, wall(night.now));
    let host = snapshot.sources.iter().find(|s| &*s.source == "host").unwrap();
    assert_eq!(host.errors, [(Failure::Timeout, 1)]);
}
