//! One worker: what it showed so far, and what follows from it now.

mod facts;
mod intake;
mod pulse;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use crate::channel::{Channel, What};
use crate::checks::Answer;
use crate::evidence::{Held, Info, Numbers, QueueKey, Says, TypeReport, Upkeep, WorkerKey};
use crate::host::Presence;
use crate::queue::Queue;
use crate::rules::Rules;
use crate::snapshot::Finding;
use crate::source::{Health, Source};
use crate::tally::Tally;
use crate::time::{Moment, WallTime};
use crate::window::{Mean, TaskWindow};
use crate::words::{ChannelKind, Check, Reason, State, TaskType};

pub use self::intake::Seen;

/// An idle Temporal poller moves each minute: a long poll lasts 60 s.
pub const POLL: Duration = Duration::from_secs(60);
/// Within so long after a restart, another source that sees one sees the same: every source is looked at in that time.
const SAME_RESTART: Duration = Duration::from_secs(120);
/// A queue is looked at this often: servers cache its figures for 5 s, and 200 queues must fit a request budget.
pub const QUEUE_INTERVAL: Duration = Duration::from_secs(10);

/// What one source says of it.
#[derive(Clone, Debug)]
pub struct Sight {
    /// The record by which the source knows it.
    pub record: Arc<str>,
    /// It is one of a list; else it is asked by itself.
    pub listed: bool,
    /// Names and versions as this source gives them: incarnations are told apart within one source.
    pub info: Info,
    /// Looks at it alone.
    pub health: Health,
    /// What it says of itself.
    pub says: Says,
    /// Since when it says goodbye.
    pub goodbye: Option<Moment>,
    /// Its record is not in the list any more, since then.
    pub missing: Option<Moment>,
    /// Its record went missing before its time: it has left, if a second look agrees.
    pub deleted: bool,
    /// When the source drops its record by itself.
    pub expires: Option<Moment>,
    /// How its record is kept.
    pub upkeep: Upkeep,
    /// The task that it holds, since when.
    pub held: Option<(Held, Moment)>,
    /// Its last answer.
    pub answer: Option<Answer>,
    /// An answer other than 404 was seen, so that a 404 is news of it.
    pub was_found: bool,
    /// It answered well once.
    pub answered_well: bool,
    /// What it shows of its process.
    pub host: Presence,
    /// What it tells people.
    pub notes: Vec<Arc<str>>,
    /// Until when the certificate is valid that it showed last.
    pub certificate: Option<WallTime>,
}

/// A conviction that is not yet one.
#[derive(Clone, Copy, Debug)]
pub struct Pending {
    /// Since when.
    pub since: Moment,
    /// When a second look agreed.
    pub agreed: Option<Moment>,
}

/// The state it stands in.
#[derive(Clone, Debug)]
pub struct Standing {
    /// State.
    pub state: State,
    /// Why.
    pub reason: Reason,
    /// Since when.
    pub since: Moment,
    /// The same on the wall.
    pub since_wall: WallTime,
    /// Changes, those to and from unknown left out.
    pub changes: u64,
    /// Incarnations after the first.
    pub restarts: u64,
    /// Lost together with others, for this cause.
    pub cause: Option<Arc<str>>,
}

/// One worker.
#[derive(Clone, Debug)]
pub struct Worker {
    /// Who it is.
    pub key: WorkerKey,
    /// When this incarnation was found.
    pub found: Moment,
    /// By source.
    pub sights: BTreeMap<Arc<str>, Sight>,
    /// By source and what moves.
    pub channels: BTreeMap<(Arc<str>, What), Channel>,
    /// Names by which queue servers know it.
    pub identity: Option<Arc<str>>,
    /// Names and versions.
    pub info: Info,
    /// Numbers.
    pub numbers: Numbers,
    /// By type.
    pub types: Vec<TypeReport>,
    /// Queues it serves.
    pub task_queues: Vec<Arc<str>>,
    /// The state it stands in.
    pub standing: Standing,
    /// A conviction awaits a second look that agrees.
    pub pending: Option<Pending>,
    /// Good looks in a row while it stands `down`.
    pub good: u32,
    /// The last look that told something of it.
    pub checked: Option<(Moment, WallTime)>,
    /// Its clock minus ours, seconds.
    pub skew: Option<f64>,
    /// What it did, over all incarnations.
    pub tally: Tally,
    /// The sources that saw its last restart: each sees it, and it is one.
    restart_seen: BTreeSet<Arc<str>>,
    /// Its tasks over five minutes.
    pub window: TaskWindow,
    /// Its CPU over five minutes.
    pub cpu: Mean,
    /// Since when a task type has had slots in use at every look.
    pub busy: BTreeMap<TaskType, Moment>,
    /// Its own waiting work: since when, and looks.
    pub waiting: Option<(Moment, u32)>,
    /// The last known finding of each check: one that turns unknown does not improve the status.
    pub known: BTreeMap<Check, Finding>,
    /// Base changes of late, for flapping.
    pub recent: VecDeque<Moment>,
    /// No list names it any more (only for sources that list their workers by configuration).
    pub configured: bool,
    /// This incarnation replaced another.
    pub restarted: bool,
    /// Process ids of the incarnation that was replaced last, and of the one that took its place, as the source that told
    /// of it first gives them: what the other sources tell of either is no further restart.
    pub succession: Option<(Arc<str>, Arc<str>)>,
    /// It has left, and a list still names it: looked at, but not shown before it answers again.
    pub departed: bool,
    /// What joins it with records of other sources.
    pub alias: Option<Arc<str>>,
}

/// What the ledger knows around a worker, for judging it.
#[derive(Clone, Copy)]
pub struct Around<'a> {
    /// Now.
    pub now: Moment,
    /// The rules of its fleet.
    pub rules: &'a Rules,
    /// All sources.
    pub sources: &'a BTreeMap<Arc<str>, Source>,
    /// All queues.
    pub queues: &'a BTreeMap<QueueKey, Queue>,
}

impl Worker {
    /// A worker at first sight.
    #[must_use]
    pub fn new(key: WorkerKey, now: Moment, wall: WallTime) -> Self {
        Self {
            key,
            found: now,
            sights: BTreeMap::new(),
            channels: BTreeMap::new(),
            identity: None,
            info: Info::default(),
            numbers: Numbers::default(),
            types: Vec::new(),
            task_queues: Vec::new(),
            standing: Standing {
                state: State::Unknown,
                reason: Reason::NotLookedAt,
                since: now,
                since_wall: wall,
                changes: 0,
                restarts: 0,
                cause: None,
            },
            pending: None,
            good: 0,
            checked: None,
            skew: None,
            tally: Tally::default(),
            restart_seen: BTreeSet::new(),
            window: TaskWindow::default(),
            cpu: Mean::default(),
            busy: BTreeMap::new(),
            waiting: None,
            known: BTreeMap::new(),
            recent: VecDeque::new(),
            configured: false,
            restarted: false,
            succession: None,
            departed: false,
            alias: None,
        }
    }

    /// The sight of `source`, made at first sight.
    pub fn sight(&mut self, source: &Arc<str>, record: &Arc<str>, listed: bool, now: Moment) -> &mut Sight {
        self.sights.entry(source.clone()).or_insert_with(|| Sight {
            record: record.clone(),
            listed,
            info: Info::default(),
            health: Health::new(now),
            says: Says::default(),
            goodbye: None,
            missing: None,
            deleted: false,
            expires: None,
            upkeep: Upkeep::default(),
            held: None,
            answer: None,
            was_found: false,
            answered_well: false,
            host: Presence::default(),
            notes: Vec::new(),
            certificate: None,
        })
    }

    /// A newer incarnation takes this slot: what the old one showed is not held against it.
    pub fn replaced(&mut self, source: &Arc<str>, newcomer: &Info, now: Moment) {
        self.channels.retain(|(of, _), _| of != source);
        let before = self.sights.remove(source).and_then(|sight| sight.info.pid);
        self.tally.restart(source);
        if newcomer.pid.is_some() && newcomer.pid == self.succession.as_ref().map(|(_, newer)| newer.clone()) {
            // Another source told of it before this one did.
            return;
        }
        let succession = before.zip(newcomer.pid.clone()).filter(|(older, newer)| older != newer);
        // Where process ids do not tell: what another source tells within a while is the same restart.
        let untold = newcomer.pid.is_none() || self.succession.is_none();
        let told = !self.restart_seen.is_empty() && now.since(self.found) < SAME_RESTART;
        if untold && told && self.restart_seen.insert(source.clone()) {
            self.succession = self.succession.take().or(succession);
            return;
        }
        self.restart_seen = BTreeSet::from([source.clone()]);
        self.succession = succession;
        self.found = now;
        self.restarted = true;
        self.standing.restarts += 1;
        self.standing.cause = None;
        self.pending = None;
        self.good = 0;
        self.known.clear();
        self.waiting = None;
        self.busy.clear();
        self.info = Info::default();
        self.types.clear();
        self.cpu = Mean::default();
    }

    /// A source shows it no more: what only that source said goes with it.
    pub fn forget_source(&mut self, source: &Arc<str>) {
        self.sights.remove(source);
        self.channels.retain(|(of, _), _| of != source);
        self.known.clear();
        self.tally.forget(source);
    }

    /// It has left, and its owner still names it: looked at as if it were new, and shown once it answers.
    pub fn depart(&mut self, now: Moment, wall: WallTime) {
        let named: Vec<_> =
            self.sights.iter().filter(|(_, s)| !s.listed).map(|(n, s)| (n.clone(), s.record.clone())).collect();
        let mut fresh = Self::new(self.key.clone(), now, wall);
        for (source, record) in named {
            fresh.sight(&source, &record, false, now);
        }
        fresh.configured = true;
        fresh.departed = true;
        *self = fresh;
    }

    /// Starts every silence anew: we were not looking.
    pub fn rearm(&mut self, now: Moment, source: Option<&Arc<str>>) {
        for ((of, _), channel) in &mut self.channels {
            if source.is_none_or(|s| s == of) {
                channel.rearm(now);
            }
        }
        self.pending = None;
        if source.is_none() {
            self.busy.clear();
        }
    }

    /// The last beat that was received.
    #[must_use]
    pub fn last_beat(&self) -> Option<WallTime> {
        self.moved(|what| what == What::Beat)
    }

    /// The last progress of its own.
    #[must_use]
    pub fn last_progress(&self) -> Option<WallTime> {
        self.moved(|what| what.kind() == ChannelKind::Work)
    }

    fn moved(&self, of: impl Fn(What) -> bool) -> Option<WallTime> {
        self.channels.iter().filter(|((_, what), _)| of(*what)).filter_map(|(_, c)| c.moved.map(|(_, wall)| wall)).max()
    }
}
