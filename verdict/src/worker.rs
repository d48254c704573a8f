//! One worker: what it showed so far, and the facts and readings that follow from it now.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use crate::cadence::Limits;
use crate::channel::{Channel, What};
use crate::checks::{Answer, Readings, Silence};
use crate::evidence::{
    Beat, Hands, Held, Host, Info, Mark, Numbers, Observation, QueueKey, Reach, Said, Says, TypeReport, Upkeep,
    WorkerKey,
};
use crate::host::Presence;
use crate::progress::Progress;
use crate::queue::Queue;
use crate::rules::Rules;
use crate::snapshot::Finding;
use crate::source::{Health, Source};
use crate::state::{Facts, Goodbye, Pulse};
use crate::tally::{Added, Tally};
use crate::time::{Moment, WallTime};
use crate::window::{Mean, TaskWindow};
use crate::words::{ChannelKind, Check, Failure, Reason, SourceKind, State, TaskType};
use crate::work::Work;

/// An idle Temporal poller moves each minute: a long poll lasts 60 s.
pub const POLL: Duration = Duration::from_secs(60);
/// Changes of state within [`FLAP_WINDOW`] above which a worker flaps.
const FLAP_CHANGES: usize = 4;
const FLAP_WINDOW: Duration = Duration::from_secs(600);
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

    /// Takes in one observation; returns what was done under our eyes.
    pub fn see(&mut self, source: &Arc<str>, observation: &Observation, look: Seen, around: Around<'_>) -> Added {
        let Seen { now, wall, listed, .. } = look;
        if observation.host.is_none() && self.is_former(observation) {
            self.not_seen(source, look);
            return Added::default();
        }
        let late = matches!(self.beat(around), Pulse::Late | Pulse::Silent);
        self.sight(source, &observation.record, listed, now);
        self.hear(source, observation, look);
        let answered = !matches!(observation.reach, Some(Reach::Missed(_) | Reach::Misconfigured(_)));
        if let Some(reach) = observation.reach {
            self.reach(source, reach, look);
        }
        if let Some(host) = observation.host {
            self.host_seen(source, host, look);
        }
        if !answered || matches!(observation.host, Some(Host::Gone(_))) {
            return Added::default();
        }
        self.departed = false;
        let mut marks = Vec::new();
        if let Some(beat) = observation.beat {
            self.beat_seen(source, beat, observation.upkeep, look);
        }
        let n = &observation.numbers;
        if let Some(count) = n.progress {
            marks.push((What::Progress, Some(Mark::bytes(&count.to_le_bytes()))));
        } else if let Some(count) = n.tasks_total {
            marks.push((What::Tasks, Some(Mark::bytes(&count.to_le_bytes()))));
        }
        if let Some(hands) = observation.hands {
            let mark = match hands {
                Hands::Empty => Mark::bytes(b""),
                Hands::Full(mark) => mark,
            };
            marks.push((What::Hands, Some(mark)));
        }
        if let Some(stamp) = observation.last_activity {
            marks.push((What::Activity, Some(Mark::stamp(stamp))));
        }
        let served: Vec<_> = observation.types.iter().filter(|t| self.serves(t)).copied().collect();
        for t in &served {
            if let Some(processed) = t.processed {
                marks.push((What::Processed(t.task_type), Some(Mark::bytes(&processed.to_le_bytes()))));
            }
            if t.stamps_empty_polls && t.task_type != TaskType::LocalActivity {
                marks.push((What::Polls(t.task_type), t.last_poll.map(Mark::stamp)));
            }
        }
        for (what, mark) in marks {
            self.work_seen(source, what, mark, late, look, None);
        }
        for (part, _) in &observation.unread {
            part.forget(&mut self.numbers);
        }
        self.count(observation, now);
        self.merge(source, observation, &served, around);
        self.checked = Some((now, wall));
        let kind = around.sources.get(source).map(|of| of.rules.kind);
        let counted = Work::of(observation).and_then(|work| self.tally.take(source, kind, &work, now));
        let Some(added) = counted else { return Added::default() };
        if let Some(finished) = self.tally.finished() {
            self.window.record(now, finished, self.tally.failed().unwrap_or(0), self.tally.seconds());
        }
        added
    }

    /// The record is not in the list.
    pub fn missed_in_list(&mut self, source: &Arc<str>, look: Seen) {
        let Some(sight) = self.sights.get_mut(source) else { return };
        sight.missing.get_or_insert(look.now);
        self.not_seen(source, look);
    }

    /// A look showed nothing new of it.
    fn not_seen(&mut self, source: &Arc<str>, look: Seen) {
        let expired = self
            .sights
            .get(source)
            .is_some_and(|sight| sight.upkeep == Upkeep::Live && sight.expires.is_some_and(|at| at <= look.now));
        for ((of, what), channel) in &mut self.channels {
            if of == source && !matches!(what, What::Access(_)) {
                channel.look(look.now, look.wall, look.interval, None, None);
                channel.expired |= expired && *what == What::Beat;
            }
        }
    }

    /// A look that should have shown it failed.
    pub fn blinded(&mut self, source: &Arc<str>, failure: Failure) {
        for ((of, what), channel) in &mut self.channels {
            if of == source && !matches!(what, What::Access(_)) {
                channel.blinded(failure);
            }
        }
    }

    /// The queue server's stamp of its last poll, or its absence from the pollers.
    pub fn polled(
        &mut self,
        source: &Arc<str>,
        task_type: TaskType,
        access: Option<WallTime>,
        look: Seen,
        around: Around<'_>,
    ) {
        // The server stamps the END of each long poll too, up to 60 s after its worker died: only what it stamps later is
        // the worker's own doing.
        let mark = access.map(Mark::stamp);
        let beat = self.channels.iter().filter(|((_, what), _)| *what == What::Beat);
        let beat = beat.filter_map(|(_, c)| c.moved.map(|(at, _)| at)).max();
        let late = beat.is_none_or(|at| look.now.since(at) > POLL + QUEUE_INTERVAL)
            && matches!(self.beat(around), Pulse::Late | Pulse::Silent);
        self.work_seen(source, What::Access(task_type), mark, late, look, Some(POLL));
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

    fn hear(&mut self, source: &Arc<str>, observation: &Observation, look: Seen) {
        let Some(sight) = self.sights.get_mut(source) else { return };
        sight.missing = None;
        sight.deleted = false;
        sight.expires = observation.expires_in.map(|left| look.now + left);
        if matches!(observation.reach, Some(Reach::Missed(_) | Reach::Misconfigured(_)))
            || matches!(observation.host, Some(Host::Gone(_)))
        {
            return;
        }
        sight.upkeep = observation.upkeep;
        sight.held = observation.held.map(|held| match sight.held {
            Some((before, since)) if before.mark == held.mark => (held, since),
            _ => (held, look.now),
        });
        sight.says = observation.says.clone();
        sight.notes.clone_from(&observation.notes);
        sight.info.clone_from(&observation.info);
        sight.goodbye = observation.says.goodbye.then(|| sight.goodbye.unwrap_or(look.now));
    }

    fn reach(&mut self, source: &Arc<str>, reach: Reach, look: Seen) {
        let Some(sight) = self.sights.get_mut(source) else { return };
        let channel =
            self.channels.entry((source.clone(), What::Reach)).or_insert_with(|| Channel::found(look.now, None));
        match reach {
            Reach::Misconfigured(failure) if failure != Failure::NotFound || !sight.was_found => {
                sight.health.ended(look.now, look.wall, Some(failure));
                sight.answer = None;
                channel.blinded(failure);
            }
            // A path that was there and is gone is news of the worker: it answers, and not well.
            Reach::Misconfigured(_) => {
                sight.health.ended(look.now, look.wall, None);
                channel.answered(look.now, look.wall);
                sight.answer = Some(Answer {
                    said: Some(Said::Down),
                    failing: vec![String::from("what was asked for there is gone (404, NOT_FOUND)")],
                    ..Answer::default()
                });
                sight.says = Says { overall: Some(Said::Down), ..Says::default() };
            }
            Reach::Missed(failure) => {
                sight.health.ended(look.now, look.wall, None);
                channel.missed(look.now, look.interval, failure);
                sight.answer = Some(Answer { missed: Some((channel.misses, failure)), ..Answer::default() });
            }
            Reach::Answered { took, deadline } => {
                sight.health.ended(look.now, look.wall, None);
                channel.answered(look.now, look.wall);
                sight.was_found = true;
                let says = &sight.says;
                sight.answered_well |= !matches!(says.overall, Some(Said::Down | Said::Transient)) && !says.starting;
                sight.answer = Some(Answer {
                    missed: None,
                    of_deadline: took.as_secs_f64() / deadline.as_secs_f64().max(f64::EPSILON),
                    said: says.overall,
                    contradiction: says.contradiction,
                    body: says.body,
                    unreadable: says.unreadable,
                    failing: says.failing.iter().map(|(name, _)| name.to_string()).collect(),
                });
            }
        }
    }

    fn beat_seen(&mut self, source: &Arc<str>, beat: Beat, upkeep: Upkeep, look: Seen) {
        let mut fresh = false;
        let channel = self.channels.entry((source.clone(), What::Beat)).or_insert_with(|| {
            fresh = true;
            Channel::found(look.now, beat.mark)
        });
        channel.own_answer = beat.own_answer;
        channel.on_trial = beat.on_trial;
        channel.cadence.declare(beat.declared);
        if upkeep != Upkeep::Learnt {
            channel.cadence.promise();
        }
        let since = look.now.since(channel.looked);
        let moved = if fresh {
            channel.stamp = beat.stamp;
            false
        } else {
            channel.look(look.now, look.wall, look.interval, beat.mark, beat.stamp)
        };
        if moved {
            if let Some(stamp) = beat.stamp {
                self.skew = Some(skew(stamp, look.wall, since));
            }
            for channel in self.channels.values_mut() {
                channel.moves_without_beat = 0;
            }
        }
    }

    fn work_seen(
        &mut self,
        source: &Arc<str>,
        what: What,
        mark: Option<Mark>,
        late: bool,
        look: Seen,
        cadence: Option<Duration>,
    ) {
        let mut fresh = false;
        let channel = self.channels.entry((source.clone(), what)).or_insert_with(|| {
            fresh = true;
            Channel::found(look.now, mark)
        });
        channel.cadence.declare(cadence);
        let moved = !fresh && channel.look(look.now, look.wall, look.interval, mark, None);
        if moved && late {
            channel.moves_without_beat += 1;
        }
    }

    fn count(&mut self, observation: &Observation, now: Moment) {
        if let Some(cpu) = observation.numbers.cpu_ratio {
            self.cpu.record(now, cpu);
        }
        for t in &observation.types {
            if t.used.is_some_and(|used| used > 0) {
                self.busy.entry(t.task_type).or_insert(now);
            } else {
                self.busy.remove(&t.task_type);
            }
        }
        // Without types it is one pool, and its tasks are what frameworks call jobs.
        if let (Some(in_flight), true) = (observation.numbers.in_flight, observation.types.is_empty()) {
            if in_flight > 0 {
                self.busy.entry(TaskType::Activity).or_insert(now);
            } else {
                self.busy.remove(&TaskType::Activity);
            }
        }
        if let Some(waiting) = observation.numbers.waiting {
            self.waiting = (waiting > 0).then(|| self.waiting.map_or((now, 1), |(since, looks)| (since, looks + 1)));
        }
    }

    /// A type that its SDK only mentions is served once it was seen to poll or to work, and from then on: a loop that is
    /// blocked later must not look like a type that was never there.
    fn serves(&self, report: &TypeReport) -> bool {
        report.proven || self.types.iter().any(|known| known.task_type == report.task_type)
    }

    /// What is absent in this observation stays as another source said it.
    fn merge(&mut self, source: &Arc<str>, observation: &Observation, served: &[TypeReport], around: Around<'_>) {
        macro_rules! merge {
            ($into:expr, $from:expr, $($field:ident),+) => {
                $(if $from.$field.is_some() { $into.$field = $from.$field.clone(); })+
            };
        }
        let (into, from) = (&mut self.numbers, &observation.numbers);
        merge!(
            into,
            from,
            tasks_total,
            tasks_failed,
            in_flight,
            waiting,
            progress,
            task_seconds_total,
            cpu_ratio,
            memory_bytes,
            memory_limit_bytes,
            memory_ratio,
            host_cpu_ratio,
            host_memory_ratio,
            disk_ratio,
            gpu_ratio,
            gpu_memory_ratio,
            model
        );
        let (into, from) = (&mut self.info, &observation.info);
        merge!(into, from, host, pod, pid, instance, sdk_name, sdk_version, build_id, deployment, start_time);
        if observation.identity.is_some() {
            self.identity.clone_from(&observation.identity);
        }
        // A registry knows of polls as well, which a worker's own metrics do not.
        let kind = |name: &str| around.sources.get(name).map(|of| of.rules.kind);
        let registry = |name: &Arc<str>| name != source && kind(name) == Some(SourceKind::Temporal);
        let known_better =
            kind(source) == Some(SourceKind::Metrics) && !self.types.is_empty() && self.sights.keys().any(registry);
        if !served.is_empty() && !known_better {
            self.types = served.to_vec();
        }
        for queue in &observation.task_queues {
            if !self.task_queues.contains(queue) {
                self.task_queues.push(queue.clone());
            }
        }
    }

    /// The limits of one of its channels.
    #[must_use]
    pub fn limits(&self, source: &str, what: What, channel: &Channel, around: Around<'_>) -> Limits {
        let interval = match what {
            What::Access(_) => QUEUE_INTERVAL,
            _ => self.interval(source, around),
        };
        match what.kind() {
            ChannelKind::Beat => channel.cadence.limits(around.rules, interval),
            _ => {
                let limits = channel.cadence.limits_of_work(around.rules, interval);
                // Polls come fast while there is work; each of an idle worker lasts a minute, so no gap teaches less.
                match what {
                    What::Polls(_) | What::Access(_) => {
                        Limits { warning: limits.warning.max(POLL * 2), critical: limits.critical.max(POLL * 3) }
                    }
                    _ => limits,
                }
            }
        }
    }

    /// How often a source is looked at for it, when nothing is pending.
    #[must_use]
    pub fn interval(&self, source: &str, around: Around<'_>) -> Duration {
        let Some(of) = around.sources.get(source) else { return Duration::from_secs(30) };
        self.channels
            .iter()
            .find(|((s, what), c)| &**s == source && *what == What::Beat && c.believed())
            .map_or(of.rules.maximum_interval, |(_, channel)| channel.cadence.look_interval(around.rules, &of.rules))
    }

    /// How often to look while a verdict is pending in either direction.
    #[must_use]
    pub fn urgent_interval(&self, source: &str, around: Around<'_>) -> Duration {
        let cadence = self
            .channels
            .iter()
            .filter(|((s, what), _)| &**s == source && *what == What::Beat)
            .find_map(|(_, c)| c.cadence.value(around.rules));
        let urgent = cadence.unwrap_or(Duration::from_secs(5)).clamp(Duration::from_secs(1), Duration::from_secs(5));
        urgent.min(self.interval(source, around))
    }

    pub(crate) fn blind(&self, source: &str, what: What, channel: &Channel, around: Around<'_>) -> bool {
        let Some(of) = around.sources.get(source) else { return true };
        let warning = || {
            // What comes with a heartbeat is lost with it: the slow rhythm of polls does not stand in for beats unseen.
            let beat = self.channels.iter().find(|((s, w), c)| &**s == source && *w == What::Beat && c.believed());
            match beat {
                Some((_, beat)) if !matches!(what, What::Access(_) | What::Reach) => {
                    self.limits(source, What::Beat, beat, around).warning
                }
                _ => self.limits(source, what, channel, around).warning,
            }
        };
        let health = match (self.sights.get(source), what) {
            (_, What::Access(task_type)) => {
                // Beside a heartbeat the server's view of its polls is a help; it does not stand in for it while it fails,
                // nor when the list of workers fails and the queue was not looked at since: with hundreds of queues the
                // look at this one may be minutes old.
                let beat = self.channels.iter().find(|((s, what), _)| &**s == source && *what == What::Beat);
                let lost = beat.is_some_and(|(_, beat)| {
                    let limit = self.limits(source, What::Beat, beat, around).warning;
                    of.health.failing.is_some() && of.health.blind(around.now, limit, self.interval(source, around))
                });
                let at = |health: &Health| health.success.map(|(at, _)| at);
                let seen_since = |q: &Queue| at(&q.health) > at(&of.health);
                let unseen = |q: &Queue| {
                    (beat.is_some() && q.health.failing.is_some())
                        || (lost && !seen_since(q))
                        || (!q.health.fresh(around.now, QUEUE_INTERVAL)
                            && q.health.blind(around.now, warning(), QUEUE_INTERVAL))
                };
                let key = |task_queue: &Arc<str>| QueueKey {
                    source: of.rules.name.clone(),
                    namespace: of.rules.namespace.clone(),
                    task_queue: task_queue.clone(),
                    task_type,
                };
                return self.task_queues.iter().filter_map(|q| around.queues.get(&key(q))).all(unseen);
            }
            (Some(sight), _) if !sight.listed => &sight.health,
            _ => &of.health,
        };
        let interval = self.interval(source, around);
        !health.fresh(around.now, interval) && health.blind(around.now, warning(), interval)
    }

    fn pulse(&self, source: &str, what: What, channel: &Channel, around: Around<'_>) -> Pulse {
        if self.blind(source, what, channel, around) {
            return Pulse::Blind;
        }
        if what == What::Host && self.sights.get(source).is_some_and(|s| s.host.gone.is_some()) {
            return Pulse::Silent;
        }
        if what == What::Reach {
            return match channel.misses {
                0 if channel.moves > 0 => Pulse::Fresh,
                0 => Pulse::None,
                n if n >= around.rules.reach_misses => Pulse::Silent,
                _ => Pulse::Late,
            };
        }
        if channel.expired {
            return Pulse::Silent;
        }
        // No limit is shorter than two looks: most of the time there is nothing to work out.
        if channel.silent < self.interval(source, around) * 2 && !matches!(what, What::Access(_)) {
            return Pulse::Fresh;
        }
        let limits = self.limits(source, what, channel, around);
        if channel.silent >= limits.critical {
            Pulse::Silent
        } else if channel.silent >= limits.warning {
            Pulse::Late
        } else {
            Pulse::Fresh
        }
    }

    /// The freshest of its channels of one kind speaks for it; one that cannot be seen is not silent.
    pub(crate) fn freshest(&self, kind: ChannelKind, around: Around<'_>) -> Pulse {
        let rank = |p: Pulse| match p {
            Pulse::None => 0,
            Pulse::Silent => 1,
            Pulse::Blind => 2,
            Pulse::Late => 3,
            Pulse::Fresh => 4,
        };
        self.channels
            .iter()
            .filter(|((_, what), channel)| what.kind() == kind && channel.believed())
            .filter(|((_, what), channel)| *what != What::Beat || !channel.never())
            // What stands in an answer cannot speak for a worker that no longer answers: nothing more will be read there.
            .filter(|((source, what), _)| {
                let own = self.channels.get(&(source.clone(), What::Reach));
                *what == What::Reach || own.is_none_or(|reach| reach.misses < around.rules.reach_misses)
            })
            // Work that never moved is no evidence: it may never have been a counter of work.
            .filter(|(_, channel)| kind != ChannelKind::Work || channel.moves > 0)
            .map(|((source, what), channel)| self.pulse(source, *what, channel, around))
            .max_by_key(|p| rank(*p))
            .unwrap_or_default()
    }

    /// Its heartbeat, all beats together.
    #[must_use]
    pub fn beat(&self, around: Around<'_>) -> Pulse {
        self.freshest(ChannelKind::Beat, around)
    }

    /// Its endpoint.
    #[must_use]
    pub fn endpoint(&self, around: Around<'_>) -> Pulse {
        self.freshest(ChannelKind::Reach, around)
    }

    /// It is known by its polls alone.
    #[must_use]
    pub fn only_polls(&self) -> bool {
        !self.channels.is_empty() && self.channels.keys().all(|(_, what)| matches!(what, What::Access(_)))
    }

    /// How long after it was found it may be without a beat.
    #[must_use]
    pub fn grace(&self, around: Around<'_>) -> Duration {
        let beats = self.channels.iter().filter(|((_, what), _)| *what == What::Beat);
        let critical = beats.map(|((s, what), c)| self.limits(s, *what, c, around).critical).max();
        self.own_grace(around).max(critical.unwrap_or_default())
    }

    /// The start grace is over.
    #[must_use]
    pub fn past_grace(&self, around: Around<'_>) -> bool {
        around.now.since(self.found) >= self.grace(around)
    }

    /// How long it may say of itself that it does not beat. Whose rhythm is not known is not given time for one: this is
    /// no silence, it is an answer.
    fn own_grace(&self, around: Around<'_>) -> Duration {
        let beats = self.channels.iter().filter(|((_, what), _)| *what == What::Beat);
        let cadence = beats.filter_map(|(_, c)| c.cadence.value(around.rules)).max();
        around.rules.start_grace.max(cadence.unwrap_or_default() * 3)
    }

    /// The facts that the state table weighs; the checks' part is added by the caller.
    #[must_use]
    pub fn facts(&self, progress: &Progress, around: Around<'_>) -> Facts {
        let beat = self.beat(around);
        let reach = self.endpoint(around);
        let past_grace = self.past_grace(around);
        Facts {
            blind: self.blindness(around),
            host_gone: self.host_gone(around),
            says_dead: self.says_dead(beat, around),
            goodbye: self.goodbye(beat, reach, around),
            alive_once: self.alive_once(reach, past_grace),
            in_grace: !past_grace,
            restarted: self.restarted,
            beat,
            work: self.freshest(ChannelKind::Work, around),
            reach,
            host: self.freshest(ChannelKind::Host, around),
            work_without_beat: self.channels.values().map(|c| c.moves_without_beat).max().unwrap_or(0),
            silence: self.silence(),
            only_polls: self.only_polls(),
            stuck: progress.stuck,
            saturated: progress.saturated,
            critical: None,
            low_score: false,
            flapping: self.recent.iter().filter(|at| around.now.since(**at) < FLAP_WINDOW).count() > FLAP_CHANGES,
            warning: false,
        }
    }

    fn blindness(&self, around: Around<'_>) -> Option<Reason> {
        if self.checked.is_none() && self.channels.is_empty() {
            let misconfigured =
                self.sights.values().any(|s| s.health.failing.is_some_and(Failure::is_misconfiguration));
            return Some(if misconfigured { Reason::Misconfigured } else { Reason::NotLookedAt });
        }
        let mut seen = self.channels.iter().filter(|((source, what), c)| !self.blind(source, *what, c, around));
        if seen.next().is_some() {
            return None;
        }
        let misconfigured = |s: &Sight| s.health.failing.is_some_and(Failure::is_misconfiguration);
        Some(if self.sights.values().any(misconfigured) { Reason::Misconfigured } else { Reason::SourceFailed })
    }

    fn says_dead(&self, beat: Pulse, around: Around<'_>) -> Option<Reason> {
        let past_grace = around.now.since(self.found) >= self.own_grace(around);
        for (source, sight) in &self.sights {
            let own = self.channels.get(&(source.clone(), What::Beat)).filter(|c| c.own_answer);
            let never = own.is_some_and(Channel::never);
            if past_grace && never && !matches!(beat, Pulse::Fresh | Pulse::Late) {
                return Some(Reason::NeverBeat);
            }
            if past_grace && sight.says.alive == Some(false) && self.answers_now(source) {
                return Some(Reason::LoopDead);
            }
            let Some(own) = own.filter(|c| c.believed() && !c.never()) else { continue };
            // Another beat that moves is positive evidence, received after the frozen one.
            if beat == Pulse::Silent
                && self.answers_now(source)
                && self.pulse(source, What::Beat, own, around) == Pulse::Silent
            {
                return Some(Reason::LoopDead);
            }
        }
        None
    }

    fn answers_now(&self, source: &Arc<str>) -> bool {
        self.channels.get(&(source.clone(), What::Reach)).is_none_or(|c| c.misses == 0)
    }

    fn goodbye(&self, beat: Pulse, reach: Pulse, around: Around<'_>) -> Option<Goodbye> {
        let said = || self.sights.values().filter(|s| s.goodbye.is_some());
        let since = said().filter_map(|s| s.goodbye).min()?;
        let there = |pulse| matches!(pulse, Pulse::Fresh | Pulse::Late | Pulse::Blind);
        let gone = said().all(|s| s.missing.is_some());
        // Refused right after goodbye is the end that was announced: no need to wait for three misses.
        let refused = self.channels.values().any(|c| c.misses > 0 && c.failure == Some(Failure::Refused));
        let host_gone = self.host_gone(around).is_some();
        let present = !refused && !host_gone && (there(reach) || (there(beat) && !gone && reach != Pulse::Silent));
        Some(Goodbye { present, overdue: around.now.since(since) > around.rules.drain_limit })
    }

    fn alive_once(&self, reach: Pulse, past_grace: bool) -> bool {
        let moved = self
            .channels
            .iter()
            .any(|((_, what), c)| !matches!(what, What::Reach | What::Host) && c.moves > 0 && c.believed());
        let well = self.sights.iter().any(|(source, s)| {
            let own_never = self.channels.get(&(source.clone(), What::Beat)).is_some_and(|c| c.own_answer && c.never());
            s.answered_well && !own_never && s.says.alive != Some(false)
        });
        let answers = past_grace && reach == Pulse::Fresh;
        moved || well || answers || self.is_only_there()
    }

    fn silence(&self) -> Option<Reason> {
        let reach = self
            .channels
            .iter()
            .filter(|((_, what), c)| *what == What::Reach && c.misses > 0)
            .find_map(|(_, c)| c.failure);
        if let Some(failure) = reach {
            return Some(match failure {
                Failure::Timeout => Reason::Timeout,
                Failure::Refused => Reason::Refused,
                Failure::Tls => Reason::Tls,
                _ => Reason::Unreachable,
            });
        }
        let beaten = self.channels.iter().any(|((_, what), c)| {
            *what == What::Beat
                && (c.moves > 0
                    || c.stamp.zip(self.info.start_time).is_some_and(|(s, start)| s.seconds_since(start) > 5.0))
        });
        let missing = self.sights.values().any(|s| s.missing.is_some());
        match (beaten, missing) {
            (true, true) => Some(Reason::Gone),
            (true, false) => Some(Reason::Stale),
            (false, _) => None,
        }
    }

    /// What the checks read.
    #[must_use]
    pub fn readings(&self, progress: &Progress, around: Around<'_>) -> Readings {
        let beat = self
            .channels
            .iter()
            .filter(|((s, what), c)| {
                what.kind() == ChannelKind::Beat && c.believed() && c.moves > 0 && !self.blind(s, *what, c, around)
            })
            .map(|((s, what), c)| Silence { silent: c.silent, limits: self.limits(s, *what, c, around) })
            .min_by(|a, b| a.silent.cmp(&b.silent));
        let reach_blind = self.endpoint(around) == Pulse::Blind;
        let n = &self.numbers;
        #[expect(clippy::cast_precision_loss, reason = "a ratio of byte counts")]
        let memory = n.memory_ratio.or_else(|| {
            let (used, limit) = n.memory_bytes.zip(n.memory_limit_bytes)?;
            (limit > 0).then(|| used as f64 / limit as f64)
        });
        Readings {
            beat,
            no_progress: progress.silent,
            polls: progress.polls,
            answer: (!reach_blind)
                .then(|| {
                    self.sights.values().filter_map(|s| s.answer.clone()).max_by_key(|a| (a.missed.is_some(), a.said))
                })
                .flatten(),
            tasks: self.window.tasks(),
            cpu: self.cpu.value(),
            memory,
            gpu_memory: n.gpu_memory_ratio,
            disk: n.disk_ratio,
            model: n.model,
            process: self.presence(around),
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

/// When and how a look was made.
#[derive(Clone, Copy, Debug)]
pub struct Seen {
    /// Its receipt, on our monotonic clock.
    pub now: Moment,
    /// Its receipt, on the wall.
    pub wall: WallTime,
    /// The interval in force.
    pub interval: Duration,
    /// By a list.
    pub listed: bool,
}

/// Its clock minus ours: a stamp was made somewhere between the look before (`gap` ago) and this one, so only what lies
/// outside of that is skew.
fn skew(stamp: WallTime, received: WallTime, gap: Duration) -> f64 {
    let ahead = stamp.seconds_since(received);
    if ahead > 0.0 { ahead } else { (ahead + gap.as_secs_f64()).min(0.0) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn skew_is_only_what_lies_outside_the_gap_between_two_looks() {
        let received = WallTime::from_micros(1_000_000_000);
        let at = |s: f64| WallTime::from_seconds(1000.0 + s).unwrap_or_default();
        let gap = Duration::from_secs(10);
        assert!((skew(at(3.0), received, gap) - 3.0).abs() < 1e-6);
        assert!(skew(at(-9.0), received, gap).abs() < 1e-6);
        assert!((skew(at(-25_210.0), received, gap) + 25_200.0).abs() < 1e-6);
    }
}
