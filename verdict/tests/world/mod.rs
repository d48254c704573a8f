//! A small world with time as an argument: workers with lives, the sources that show them, and a schedule that obeys the
//! ledger's wishes. It is a simulation, used for what takes a week or a thousand workers; the same nights run on real parts
//! in `tests/real`.
#![allow(dead_code, unreachable_pub, clippy::panic, reason = "shared by test binaries, each of which uses its part")]

mod process;

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use verdict::evidence::{
    Beat, Listing, Look, Mark, Observation, Poller, QueueKey, QueueReport, Reach, Report, Said, Scope, Slot,
    TypeReport, WorkerKey,
};
use verdict::ledger::{Change, Ledger, Wish};
use verdict::rules::{Rulebook, Rules, SourceRules};
use verdict::snapshot::{Snapshot, WorkerView};
use verdict::time::{Moment, WallTime};
use verdict::words::{Failure, SourceKind, State, TaskType};

pub use self::process::{Process, Sdk};

/// The wall clock at the start of the world.
const EPOCH: i64 = 1_800_000_000;

pub fn seconds(s: f64) -> Duration {
    Duration::from_secs_f64(s)
}

/// What an HTTP worker answers.
#[derive(Clone, Debug)]
pub enum Web {
    Ok,
    Down,
    Refused,
    Timeout,
    Unauthorized,
    /// Another service has its address now.
    Stranger,
    /// Nobody tells us its address.
    Unresolved,
    /// There is no such name any more.
    NoSuchName,
    /// `alive: false`, and a stamp that was never set.
    NeverBeat,
    /// 200, with the stamp of this second.
    Frozen(f64),
    /// 200, with a stamp of each second.
    Beating,
    /// Work waits for it, and its counter stands still.
    Zombie,
}

#[derive(Default)]
pub struct Temporal {
    pub processes: Vec<Process>,
    /// Looks fail with this.
    pub failing: Option<Failure>,
    /// The registry knows only beats after this.
    pub memory_from: f64,
    pub backlog: BTreeMap<TaskType, (u64, f64)>,
    pub heartbeats_off: bool,
}

pub struct World {
    pub ledger: Ledger,
    pub now: f64,
    pub temporal: Temporal,
    pub web: BTreeMap<String, Web>,
    /// id → (stamp of its last beat, when it expires). `None`: looks fail.
    pub redis: BTreeMap<String, (f64, Option<f64>)>,
    pub redis_failing: Option<Failure>,
    pub redis_reset: bool,
    /// Keys that another node has since the last look.
    pub redis_moved: Vec<String>,
    pub changes: Vec<(f64, Change)>,
    plan: HashMap<(Arc<str>, Scope), (Duration, f64)>,
    step: f64,
    ticked: f64,
    tick_each: f64,
    pub looks: u64,
}

pub fn rulebook(rules: Rules, web_interval: u64) -> Rulebook {
    let source = |name: &str, kind| SourceRules {
        name: Arc::from(name),
        kind,
        namespace: Arc::from(if kind == SourceKind::Temporal { "default" } else { "" }),
        minimum_interval: Duration::from_secs(2),
        maximum_interval: Duration::from_secs(if kind == SourceKind::Http { web_interval } else { 30 }),
        watch: Vec::new(),
    };
    Rulebook {
        default: rules,
        fleets: HashMap::new(),
        sources: vec![
            source("temporal", SourceKind::Temporal),
            source("web", SourceKind::Http),
            source("redis", SourceKind::Redis),
        ],
    }
}

impl World {
    pub fn new() -> Self {
        Self::with(Rules::default(), 0.25, 1.0)
    }

    pub fn with(rules: Rules, step: f64, tick_each: f64) -> Self {
        Self::looking(rules, step, tick_each, 5)
    }

    /// With this longest interval between looks at an endpoint, seconds.
    pub fn looking(rules: Rules, step: f64, tick_each: f64, web_interval: u64) -> Self {
        Self {
            ledger: Ledger::new(Arc::new(rulebook(rules, web_interval)), Moment::START),
            now: 0.0,
            temporal: Temporal::default(),
            web: BTreeMap::new(),
            redis: BTreeMap::new(),
            redis_failing: None,
            redis_reset: false,
            redis_moved: Vec::new(),
            changes: Vec::new(),
            plan: HashMap::new(),
            step,
            ticked: 0.0,
            tick_each,
            looks: 0,
        }
    }

    pub fn moment(&self) -> Moment {
        Moment::after_start(seconds(self.now))
    }

    fn wall_at(t: f64) -> WallTime {
        #[expect(clippy::cast_possible_truncation, reason = "small test figures")]
        WallTime::from_micros(EPOCH * 1_000_000 + (t * 1e6) as i64)
    }

    pub fn wall(&self) -> WallTime {
        Self::wall_at(self.now)
    }

    pub fn discover(&mut self) {
        let keys: Vec<_> = self.web.keys().map(|id| WorkerKey::new("web", id.as_str())).collect();
        let (now, wall) = (self.moment(), self.wall());
        self.ledger.discovered("web", &keys, now, wall);
    }

    /// Lets the world go on for `for_seconds`.
    pub fn run(&mut self, for_seconds: f64) {
        let end = self.now + for_seconds;
        while self.now < end {
            self.now += self.step;
            self.obey();
            let now = self.now;
            let mut due: Vec<_> = self.plan.iter().filter(|(_, (_, at))| *at <= now).map(|(k, _)| k.clone()).collect();
            due.sort();
            for key in due {
                self.look(&key);
            }
            if self.now - self.ticked >= self.tick_each {
                self.ticked = self.now;
                let (now, wall) = (self.moment(), self.wall());
                self.ledger.tick(now, wall);
            }
            let now = self.now;
            self.changes.extend(self.ledger.take_changes().into_iter().map(|c| (now, c)));
        }
    }

    /// We do nothing at all for a while: our own process is stopped.
    pub fn suspended(&mut self, for_seconds: f64) {
        self.now += for_seconds;
    }

    fn obey(&mut self) {
        let now = self.now;
        for wish in self.ledger.take_wishes() {
            match wish {
                Wish::Every { source, scope, interval, at_once } => {
                    let spread =
                        if self.plan.contains_key(&(source.clone(), scope.clone())) { None } else { Some(0.3) };
                    let entry = self.plan.entry((source, scope)).or_insert((interval, now));
                    let last = entry.1 - entry.0.as_secs_f64();
                    entry.0 = interval;
                    entry.1 = if at_once {
                        now
                    } else {
                        spread.map_or_else(|| (last + interval.as_secs_f64()).max(now), |s| now + s)
                    };
                }
                Wish::Never { source, scope } => {
                    self.plan.remove(&(source, scope));
                }
            }
        }
    }

    fn look(&mut self, key: &(Arc<str>, Scope)) {
        let Some((interval, _)) = self.plan.get(key).copied() else { return };
        self.looks += 1;
        let outcome = match (&*key.0, &key.1) {
            ("temporal", Scope::Listing) => self.list_temporal(),
            ("temporal", Scope::Queue(queue)) => self.describe(queue),
            ("web", Scope::Worker(worker)) => self.ask(worker),
            ("redis", Scope::Listing) => self.scan(),
            other => panic!("nobody should look at {other:?}"),
        };
        let now = self.moment();
        if let Some(entry) = self.plan.get_mut(key) {
            entry.1 = self.now + interval.as_secs_f64();
        }
        let look = Look {
            source: key.0.clone(),
            scope: key.1.clone(),
            started: now,
            finished: now,
            received: self.wall(),
            interval,
            outcome,
        };
        self.ledger.observe(look);
        if &*key.0 == "redis" {
            self.redis_reset = false;
            self.redis_moved.clear();
        }
        self.obey();
    }

    fn list_temporal(&self) -> Result<Report, Failure> {
        if let Some(failure) = self.temporal.failing {
            return Err(failure);
        }
        let now = self.now;
        let records = self
            .temporal
            .processes
            .iter()
            .filter(|p| !p.no_heartbeats)
            .filter_map(|p| {
                let (n, stamp) = p.last_beat(now)?;
                let kept = now - stamp < 330.0 && stamp >= self.temporal.memory_from;
                kept.then(|| self.heartbeat(p, n, stamp))
            })
            .collect();
        Ok(Report::Listing(Listing {
            records,
            retention: Some(Duration::from_secs(300)),
            reset: false,
            heartbeats: !self.temporal.heartbeats_off,
            ..Listing::default()
        }))
    }

    fn heartbeat(&self, p: &Process, n: u64, stamp: f64) -> Observation {
        let slot = Slot {
            key: WorkerKey::new(format!("default/{}", p.queue), format!("{}/{}", p.host, p.queue)),
            exclusive: false,
        };
        let mut o = Observation::new(p.key(), slot);
        o.identity = Some(p.identity().into());
        let stamped = Self::wall_at(stamp);
        o.beat = Some(Beat {
            mark: Some(Mark::stamp(stamped)),
            stamp: Some(stamped),
            declared: Some(seconds(p.beats_each)),
            own_answer: false,
            on_trial: false,
        });
        o.says.goodbye = p.goodbye.is_some_and(|at| self.now >= at);
        let blocked = p.blocked.filter(|(from, _)| stamp >= *from);
        let loop_at = blocked.filter(|(_, to)| stamp < *to).map_or(stamp, |(from, _)| from);
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "small test figures")]
        let report = |task_type, used: u64, available: u64, at: f64| TypeReport {
            task_type,
            used: Some(used),
            available: (!p.unbounded).then_some(available),
            processed: Some((at - p.start).max(0.0) as u64 / 10),
            failed: Some(0),
            pollers: Some(if available > 0 { 5 } else { 0 }),
            last_poll: (p.sdk == Sdk::Core).then(|| Self::wall_at(p.polled(at))),
            stamps_empty_polls: p.sdk == Sdk::Core,
            proven: true,
        };
        let is_blocked = blocked.is_some_and(|(_, to)| stamp < to);
        o.types = vec![
            if p.activities_only {
                let none = report(TaskType::Workflow, 0, 100, p.start);
                TypeReport { pollers: Some(0), processed: Some(0), last_poll: None, proven: p.sdk != Sdk::Java, ..none }
            } else if is_blocked && p.sdk == Sdk::Core {
                report(TaskType::Workflow, 100, 0, loop_at)
            } else {
                report(TaskType::Workflow, 0, 100, loop_at)
            },
            report(TaskType::Activity, p.used, p.slots - p.used, if p.used == p.slots { p.start } else { stamp }),
        ];
        o.info.host = Some(p.host.clone().into());
        o.info.pid = Some(p.pid.to_string().into());
        o.info.instance = Some(p.key().into());
        o.info.sdk_name = Some("temporal-python".into());
        o.info.start_time = Some(Self::wall_at(p.start));
        o.task_queues = vec![p.queue.as_str().into()];
        let _ = n;
        o
    }

    fn describe(&self, key: &QueueKey) -> Result<Report, Failure> {
        if let Some(failure) = self.temporal.failing {
            return Err(failure);
        }
        let now = self.now;
        let pollers = self
            .temporal
            .processes
            .iter()
            .filter(|p| *p.queue == *key.task_queue && p.start <= now)
            .filter(|p| !(p.activities_only && key.task_type == TaskType::Workflow))
            .filter_map(|p| {
                let awake = p.awake(now);
                let full = key.task_type == TaskType::Activity && p.used == p.slots;
                let blocked =
                    p.blocked.filter(|(from, to)| key.task_type == TaskType::Workflow && awake >= *from && awake < *to);
                let at = if full { p.start } else { blocked.map_or(awake, |(from, _)| from) };
                let access = p.polled(at);
                (now - access < 300.0).then(|| Poller {
                    identity: p.identity().into(),
                    last_access: Some(Self::wall_at(access)),
                    slot: Slot {
                        key: WorkerKey::new(format!("default/{}", p.queue), format!("{}/{}", p.host, p.queue)),
                        exclusive: false,
                    },
                    version: None,
                })
            })
            .collect();
        let (backlog, since) = self.temporal.backlog.get(&key.task_type).copied().unwrap_or((0, now));
        Ok(Report::Queue(QueueReport {
            backlog: Some(backlog),
            backlog_age: Some(seconds(if backlog > 0 { now - since } else { 0.0 })),
            add_rate: Some(0.0),
            dispatch_rate: Some(0.0),
            rate_limited: Some(false),
            pollers,
            ..QueueReport::default()
        }))
    }

    fn ask(&self, key: &WorkerKey) -> Result<Report, Failure> {
        let mut o = Observation::new(key.worker.clone(), Slot { key: key.clone(), exclusive: true });
        let answered = Reach::Answered { took: Duration::from_millis(5), deadline: Duration::from_secs(5) };
        let beat = |stamp: f64| {
            Some(Beat {
                mark: Some(Mark::stamp(Self::wall_at(stamp))),
                stamp: Some(Self::wall_at(stamp)),
                declared: None,
                own_answer: true,
                on_trial: false,
            })
        };
        o.reach = Some(answered);
        o.says.overall = Some(Said::Up);
        match self.web.get(&*key.worker).cloned().unwrap_or(Web::Refused) {
            Web::Ok => {}
            Web::Down => o.says.overall = Some(Said::Down),
            Web::Refused => o.reach = Some(Reach::Missed(Failure::Refused)),
            Web::Timeout => o.reach = Some(Reach::Missed(Failure::Timeout)),
            Web::Unauthorized => o.reach = Some(Reach::Misconfigured(Failure::Unauthenticated)),
            Web::Stranger => o.reach = Some(Reach::Misconfigured(Failure::Stranger)),
            Web::Unresolved => return Err(Failure::Dns),
            Web::NoSuchName => o.reach = Some(Reach::Missed(Failure::Dns)),
            Web::NeverBeat => {
                o.says.alive = Some(false);
                o.says.overall = Some(Said::Down);
                o.beat = Some(Beat { mark: None, stamp: None, declared: None, own_answer: true, on_trial: false });
            }
            Web::Frozen(at) => o.beat = beat(at),
            Web::Beating => o.beat = beat(self.now.floor()),
            Web::Zombie => {
                o.numbers.waiting = Some(5);
                o.numbers.in_flight = Some(0);
                o.numbers.tasks_total = Some(7);
            }
        }
        Ok(Report::Worker(Box::new(o)))
    }

    fn scan(&self) -> Result<Report, Failure> {
        if let Some(failure) = self.redis_failing {
            return Err(failure);
        }
        let records = self
            .redis
            .iter()
            .filter(|(_, (_, expires))| expires.is_none_or(|at| at > self.now))
            .map(|(id, (stamp, expires))| {
                let mut o =
                    Observation::new(id.as_str(), Slot { key: WorkerKey::new("redis", id.as_str()), exclusive: true });
                o.beat = Some(Beat {
                    mark: Some(Mark::stamp(Self::wall_at(*stamp))),
                    stamp: Some(Self::wall_at(*stamp)),
                    declared: None,
                    own_answer: false,
                    on_trial: false,
                });
                o.expires_in = expires.map(|at| seconds((at - self.now).max(0.0)));
                o
            })
            .collect();
        Ok(Report::Listing(Listing {
            records,
            retention: None,
            reset: self.redis_reset,
            moved: self.redis_moved.iter().map(|id| id.as_str().into()).collect(),
            heartbeats: true,
            ..Listing::default()
        }))
    }

    /// Runs while the living beat in Redis each `each` seconds.
    pub fn run_beating(&mut self, for_seconds: f64, each: f64, ids: &[&str], ttl: Option<f64>) {
        let end = self.now + for_seconds;
        while self.now < end {
            for id in ids {
                self.redis.insert((*id).into(), (self.now, ttl.map(|t| self.now + t)));
            }
            self.run(each.min(end - self.now));
        }
    }

    pub fn snapshot(&self) -> Snapshot {
        self.ledger.snapshot(self.moment(), self.wall())
    }

    pub fn workers(&self) -> Vec<WorkerView> {
        self.snapshot().workers
    }

    pub fn worker(&self, name: &str) -> Option<WorkerView> {
        self.workers().into_iter().find(|w| &*w.key.worker == name)
    }

    pub fn state(&self, name: &str) -> Option<State> {
        self.worker(name).map(|w| w.state)
    }

    /// Every state that this worker was ever in, `down` above all.
    pub fn was_ever(&self, name: &str, state: State) -> bool {
        self.changes.iter().any(|(_, c)| &*c.key.worker == name && c.to == Some(state))
    }

    pub fn ever(&self, state: State) -> Vec<String> {
        self.changes
            .iter()
            .filter(|(_, c)| c.to == Some(state))
            .map(|(at, c)| format!("{at:.1} {}/{} {} {}", c.key.fleet, c.key.worker, c.reason, c.detail))
            .collect()
    }

    /// All that happened to a worker, a line each.
    pub fn history(&self, name: &str) -> Vec<String> {
        let of = self.changes.iter().filter(|(_, c)| &*c.key.worker == name);
        of.map(|(at, c)| format!("{at:.1} {:?} {} {}", c.to, c.reason, c.detail)).collect()
    }

    /// When it first went into this state after `from`.
    pub fn when(&self, name: &str, state: State, from: f64) -> Option<f64> {
        self.changes
            .iter()
            .find(|(at, c)| *at >= from && &*c.key.worker == name && c.to == Some(state))
            .map(|(at, _)| *at)
    }
}
