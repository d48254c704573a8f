//! Nights of one worker whose tasks several sources count: its own metrics, the Temporal registry and its health answer.
//! One of them counts; what it did is told against what the worker really did.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use proptest::prelude::*;
use verdict::evidence::{Beat, Listing, Look, Mark, Observation, Reach, Report, Scope, Slot, TypeReport, WorkerKey};
use verdict::ledger::Ledger;
use verdict::rules::{Rulebook, Rules, SourceRules};
use verdict::snapshot::{Snapshot, WorkerView};
use verdict::time::{Moment, WallTime};
use verdict::words::{Check, Failure, SourceKind, State, TaskType};
use verdict::work::{Done, Work};

const EPOCH: i64 = 1_800_000_000;
const S: Duration = Duration::from_secs(1);
/// Between the looks of one source, seconds. Each looks at a second of its own, so that no two of them agree.
const EACH: u64 = 10;
const INTERVAL: Duration = Duration::from_secs(EACH);

/// Who counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Of {
    Metrics,
    Registry,
    Body,
}

use Of::{Body, Metrics, Registry};

/// How a source is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Is {
    Well,
    /// It answers, and tells nothing that can be used.
    Unreadable,
    /// Its looks fail.
    Away,
}

/// A worker that finishes a task each second, and fails each fiftieth.
struct Night {
    ledger: Ledger,
    now: u64,
    /// Finished by the processes before this one, under our eyes or not.
    before: u64,
    /// Since this process began.
    done: u64,
    pid: u32,
    busy: bool,
    is: HashMap<&'static str, Is>,
    /// What the totals of the fleet were at each second.
    totals: Vec<(u64, u64)>,
}

fn key() -> WorkerKey {
    WorkerKey::new("mail", "mail-1")
}

fn wall(second: u64) -> WallTime {
    WallTime::from_micros((EPOCH + i64::try_from(second).unwrap()) * 1_000_000)
}

const fn name(of: Of) -> &'static str {
    match of {
        Metrics => "own",
        Registry => "registry",
        Body => "body",
    }
}

impl Night {
    fn of(sources: &[Of]) -> Self {
        let kind = |of: Of| match of {
            Metrics => SourceKind::Metrics,
            Registry => SourceKind::Temporal,
            Body => SourceKind::Http,
        };
        let rules = sources.iter().map(|of| SourceRules {
            name: name(*of).into(),
            kind: kind(*of),
            namespace: "".into(),
            minimum_interval: 2 * S,
            maximum_interval: 30 * S,
            watch: Vec::new(),
        });
        let rules = Rulebook { default: Rules::default(), fleets: HashMap::new(), sources: rules.collect() };
        let mut ledger = Ledger::new(Arc::new(rules), Moment::START);
        for of in sources.iter().filter(|of| **of != Registry) {
            ledger.discovered(name(*of), &[key()], Moment::START, wall(0));
        }
        let is = sources.iter().map(|of| (name(*of), Is::Well)).collect();
        Self { ledger, now: 0, before: 0, done: 0, pid: 7, busy: true, is, totals: Vec::new() }
    }

    /// Everything that the worker ever did.
    fn truth(&self) -> u64 {
        self.before + self.done
    }

    fn set(&mut self, of: Of, is: Is) {
        self.is.insert(name(of), is);
    }

    /// A new process: what counts in it begins at 0.
    fn restart(&mut self) {
        self.before += std::mem::take(&mut self.done);
        self.pid += 1;
    }

    fn pass(&mut self, seconds: u64) {
        for _ in 0..seconds {
            self.now += 1;
            self.done += u64::from(self.busy);
            for (of, at) in [(Registry, 1), (Body, 4), (Metrics, 7)] {
                if self.now % EACH == at && self.is.contains_key(name(of)) {
                    self.look(of);
                }
            }
            self.ledger.tick(Moment::after_start(S * u32::try_from(self.now).unwrap()), wall(self.now));
            self.totals.push(self.fleet());
        }
    }

    fn look(&mut self, of: Of) {
        let now = Moment::after_start(S * u32::try_from(self.now).unwrap());
        let is = self.is[name(of)];
        let outcome = match (is, of) {
            (Is::Away, _) => Err(Failure::Unavailable),
            (_, Registry) => {
                let records = vec![self.seen(of)];
                Ok(Report::Listing(Listing { records, heartbeats: true, ..Listing::default() }))
            }
            (_, Metrics | Body) => Ok(Report::Worker(Box::new(self.seen(of)))),
        };
        let scope = if of == Registry { Scope::Listing } else { Scope::Worker(key()) };
        let (source, received) = (name(of).into(), wall(self.now));
        let look = Look { source, scope, started: now, finished: now, received, interval: INTERVAL, outcome };
        self.ledger.observe(look);
    }

    fn seen(&self, of: Of) -> Observation {
        let record = if of == Registry { format!("instance-{}", self.pid) } else { "mail/mail-1".to_owned() };
        let mut seen = Observation::new(record, Slot { key: key(), exclusive: true });
        if of == Registry {
            let stamp = wall(self.now);
            let mark = Some(Mark::stamp(stamp));
            let declared = Some(INTERVAL);
            seen.beat = Some(Beat { mark, stamp: Some(stamp), declared, own_answer: false, on_trial: false });
        } else {
            seen.reach = Some(Reach::Answered { took: S / 100, deadline: S });
        }
        seen.info.pid = Some(self.pid.to_string().into());
        if self.is[name(of)] == Is::Unreadable {
            return seen;
        }
        let (finished, failed) = (Some(self.done), Some(self.done / 50));
        match of {
            Metrics => {
                let tasks = vec![Done { task_type: TaskType::Activity, finished, failed }];
                #[expect(clippy::cast_precision_loss, reason = "small test figures")]
                let seconds = Some(self.done as f64 * 0.1);
                seen.work = Some(Box::new(Work { tasks, seconds, ..Work::default() }));
            }
            Registry => {
                seen.types = vec![TypeReport {
                    task_type: TaskType::Activity,
                    used: Some(1),
                    available: Some(9),
                    processed: finished,
                    failed,
                    pollers: Some(5),
                    last_poll: Some(wall(self.now)),
                    stamps_empty_polls: true,
                    proven: true,
                }];
            }
            Body => {
                (seen.numbers.tasks_total, seen.numbers.tasks_failed) = (finished, failed);
                // Whoever wrote it counts the time of all threads, and since another start.
                #[expect(clippy::cast_precision_loss, reason = "small test figures")]
                let seconds = 1e6 + self.done as f64 * 0.1;
                seen.numbers.task_seconds_total = Some(seconds);
            }
        }
        seen
    }

    fn snapshot(&self) -> Snapshot {
        self.ledger.snapshot(Moment::after_start(S * u32::try_from(self.now).unwrap()), wall(self.now))
    }

    fn worker(&self) -> WorkerView {
        self.snapshot().workers.into_iter().find(|w| w.key == key()).unwrap()
    }

    /// Completed and failed of the fleet.
    fn fleet(&self) -> (u64, u64) {
        let snapshot = self.snapshot();
        let sum = |of: &[(TaskType, u64)]| of.iter().map(|(_, count)| count).sum();
        snapshot
            .fleets
            .iter()
            .find(|f| &*f.fleet == "mail")
            .map_or((0, 0), |f| (sum(&f.tasks_completed), sum(&f.tasks_failed)))
    }

    fn finished(&self) -> u64 {
        let (completed, failed) = self.fleet();
        completed + failed
    }

    /// What the worker did between the first look of this source and its last.
    fn under_the_eyes_of(&self, of: Of) -> u64 {
        let phase = match of {
            Registry => 1,
            Body => 4,
            Metrics => 7,
        };
        self.now - (self.now + EACH - phase) % EACH - phase
    }

    fn never_fell(&self) {
        assert!(self.totals.windows(2).all(|two| two[0].0 <= two[1].0 && two[0].1 <= two[1].1), "a total fell");
    }
}

#[test]
fn of_three_who_count_the_same_tasks_its_own_metrics_count_and_nothing_is_counted_twice() {
    let mut night = Night::of(&[Metrics, Registry, Body]);
    night.pass(607);
    assert_eq!(night.snapshot().workers.len(), 1);
    assert_eq!(night.worker().sources.len(), 3);
    // The registry saw it first, at second 1, and its metrics took over at second 7 from where they stood.
    assert_eq!((night.finished(), night.under_the_eyes_of(Metrics)), (600, 600));
    assert_eq!(night.fleet().1, (607 - 7) / 50);
    assert_eq!(night.worker().tasks_total, Some(601), "what it had done when we came, and what it did since");
    night.never_fell();
}

#[test]
fn its_metrics_that_fail_for_less_than_five_minutes_lose_nothing_and_nobody_takes_over() {
    for is in [Is::Unreadable, Is::Away] {
        let mut night = Night::of(&[Metrics, Registry, Body]);
        night.pass(107);
        let before = night.finished();
        night.set(Metrics, is);
        night.pass(290);
        assert_eq!(night.finished(), before, "{is:?}: the others count the same tasks, and are left alone");
        night.set(Metrics, Is::Well);
        night.pass(10);
        assert_eq!(night.finished(), night.under_the_eyes_of(Metrics), "{is:?}: its counter went on");
        assert_eq!(night.worker().state, State::Healthy);
        night.never_fell();
    }
}

#[test]
fn after_five_minutes_without_its_metrics_the_registry_counts_and_then_its_body_and_they_yield_when_they_are_back() {
    let mut night = Night::of(&[Metrics, Registry, Body]);
    night.pass(107);
    let (began, counted) = (night.now, night.finished());
    assert_eq!(counted, 100);
    night.set(Metrics, Is::Away);
    // 300 s after its last look, the next one of the registry takes over at second 411, and counts from there.
    night.pass(303);
    assert_eq!((night.now - began, night.finished()), (303, counted));
    night.pass(201);
    assert_eq!((night.now, night.finished()), (611, counted + 200));
    // The registry as well: its health answer takes over at second 914 and counts from there.
    night.set(Registry, Is::Away);
    night.pass(903 - 611);
    assert_eq!(night.finished(), counted + 200);
    night.pass(1014 - 903);
    assert_eq!(night.finished(), counted + 200 + 100);
    // Its metrics are back, at second 1017, and count from where they stand.
    night.set(Metrics, Is::Well);
    night.set(Registry, Is::Well);
    night.pass(1117 - 1014);
    assert_eq!(night.finished(), counted + 200 + 100 + 100);
    assert!(night.finished() <= night.truth());
    night.never_fell();
    // What a body says of time is no time that was spent while it counted.
    let check = night.worker().checks.into_iter().find(|c| c.check == Check::TaskPerformance).unwrap();
    assert!(!check.why.contains("mean") || check.why.contains("0.1"), "{}", check.why);
}

#[test]
fn metrics_that_leave_their_list_are_followed_by_the_next_at_once() {
    let mut night = Night::of(&[Metrics, Body]);
    night.pass(107);
    let counted = night.finished();
    let now = Moment::after_start(S * u32::try_from(night.now).unwrap());
    night.is.remove(name(Metrics));
    night.ledger.discovered(name(Metrics), &[], now, wall(night.now));
    // Its body is looked at at second 114, and counts from there.
    night.pass(114 + 50 - 107);
    assert_eq!(night.finished(), counted + 50);
    assert_eq!((night.worker().state, night.worker().sources.len()), (State::Healthy, 1));
    night.never_fell();
}

#[test]
fn a_restart_that_every_source_tells_is_one_restart_and_its_tasks_are_counted_once() {
    let mut night = Night::of(&[Metrics, Registry, Body]);
    night.pass(107);
    // Its metrics saw 100 tasks after the first look; the last three of this process nobody will ever tell.
    night.pass(3);
    night.restart();
    night.pass(97);
    assert_eq!(night.worker().restarts, 1);
    assert_eq!(night.finished(), 100 + 97, "both lives");
    night.never_fell();
    // A counter that has passed where it stood before is told by the new pid alone.
    night.pass(3);
    night.restart();
    night.done = 5000;
    night.pass(7);
    assert_eq!(night.worker().restarts, 2);
    assert_eq!(night.finished(), 100 + 97 + 5007);
}

#[test]
fn a_restart_while_its_metrics_are_away_is_not_lost_to_who_counts_then() {
    let mut night = Night::of(&[Metrics, Body]);
    night.pass(107);
    night.set(Metrics, Is::Away);
    night.pass(414 - 107);
    let counted = night.finished();
    assert_eq!(counted, 100, "its body took over at second 414");
    night.restart();
    night.pass(50);
    assert_eq!(night.finished(), counted + 50);
    night.set(Metrics, Is::Well);
    night.pass(33);
    // Back at second 467 with what the new process did; from there on it counts.
    assert_eq!((night.now, night.finished()), (497, counted + 50 + 30));
    assert_eq!(night.worker().restarts, 1);
    night.never_fell();
}

#[test]
fn an_idle_worker_whose_metrics_go_and_come_is_counted_nothing() {
    let mut night = Night::of(&[Metrics, Registry, Body]);
    night.done = 1_000_000;
    night.busy = false;
    for is in [Is::Away, Is::Well, Is::Unreadable, Is::Well] {
        night.set(Metrics, is);
        night.pass(700);
    }
    assert_eq!(night.fleet(), (0, 0), "all of it was before our time");
    assert_eq!(night.worker().tasks_total, Some(1_000_000));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn whoever_comes_and_goes_no_task_is_counted_twice_and_no_total_falls(
        acts in prop::collection::vec((0_u8..7, 1_u64..400), 1..10),
    ) {
        let mut night = Night::of(&[Metrics, Registry, Body]);
        for (act, seconds) in acts {
            match act {
                0 => night.set(Metrics, Is::Away),
                1 => night.set(Metrics, Is::Unreadable),
                2 => night.set(Metrics, Is::Well),
                3 => night.set(Registry, Is::Away),
                4 => night.set(Registry, Is::Well),
                5 => night.busy = !night.busy,
                _ => night.restart(),
            }
            night.pass(seconds);
            prop_assert!(night.finished() <= night.truth(), "{} of {}", night.finished(), night.truth());
            prop_assert!(night.worker().tasks_total.unwrap_or(0) <= night.truth());
        }
        night.never_fell();
    }
}
