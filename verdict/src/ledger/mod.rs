//! The one owner of the present: looks go in; snapshots, changes and wishes come out.
//!
//! [`listing`] turns records into workers (identity), [`judge`] turns workers into states, [`wishes`] says what to look at
//! next, [`view`] shows it all.

mod judge;
mod listing;
mod view;
mod wishes;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use crate::evidence::{Listing, Look, Observation, QueueKey, QueueReport, Reach, Report, Scope, WorkerKey};
use crate::queue::Queue;
use crate::rules::Rulebook;
use crate::slots::{Place, Records};
use crate::source::{SETTLE, Source};
use crate::tally::{Tally, Totals};
use crate::time::{Moment, WallTime};
use crate::words::{Failure, Reason, State, TaskType};
use crate::worker::{Around, Seen, Worker};

/// Our own clock's tick, and how late it may come before we must have been suspended.
const TICK: Duration = Duration::from_secs(1);
const LATE: Duration = Duration::from_secs(5);
/// After a pause our own figures are not trusted for this long: every source is looked at anew in that time.
const DISTRUST: Duration = Duration::from_secs(30);
/// A fleet or queue that nobody configured is remembered for this long after its last worker.
const REMEMBERED: Duration = Duration::from_secs(3600);
/// Settled workers are judged at their looks; all of them once in this many ticks, for what time alone changes.
const SWEEP: u64 = 5;

/// What the ledger wants to be looked at, and how often. The schedule obeys; it decides nothing itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wish {
    /// Look at this, from now on at this interval. Said anew for every change.
    Every {
        /// Configured name of the source.
        source: Arc<str>,
        /// What to look at.
        scope: Scope,
        /// The interval from now on.
        interval: Duration,
        /// Look at once, once more: a verdict hangs on it.
        at_once: bool,
    },
    /// Look at this no more.
    Never {
        /// Configured name of the source.
        source: Arc<str>,
        /// What to leave alone.
        scope: Scope,
    },
}

/// A change of state, for the log, the event stream and the page.
#[derive(Clone, Debug, PartialEq)]
pub struct Change {
    /// Whose.
    pub key: WorkerKey,
    /// State before; `None` when the worker is new.
    pub from: Option<State>,
    /// State now; `None` when the worker left.
    pub to: Option<State>,
    /// Why.
    pub reason: Reason,
    /// One sentence for people.
    pub detail: String,
    /// When.
    pub at: WallTime,
}

/// What a fleet did, beyond the lives of its workers.
#[derive(Clone, Debug)]
struct Fleet {
    totals: Totals,
    last_worker: Moment,
}

/// Everything that is remembered.
#[derive(Debug)]
pub struct Ledger {
    rules: Arc<Rulebook>,
    sources: BTreeMap<Arc<str>, Source>,
    workers: BTreeMap<WorkerKey, Worker>,
    records: BTreeMap<Arc<str>, Records>,
    aliases: HashMap<Arc<str>, WorkerKey>,
    queues: BTreeMap<QueueKey, Queue>,
    fleets: BTreeMap<Arc<str>, Fleet>,
    wished: wishes::Wished,
    /// Rounds of wishing so far.
    round: u64,
    wishes: Vec<Wish>,
    changes: Vec<Change>,
    /// Looks that were wanted at once since the last listing of wishes.
    urgent: BTreeSet<WorkerKey>,
    ticked: Moment,
    ticks: u64,
    /// Looks that began before this are not believed: we were suspended since.
    rearmed: Moment,
    distrusted_until: Moment,
    late_ticks: u64,
}

impl Ledger {
    /// An empty ledger.
    #[must_use]
    pub fn new(rules: Arc<Rulebook>, now: Moment) -> Self {
        let mut ledger = Self {
            rules: Arc::default(),
            sources: BTreeMap::new(),
            workers: BTreeMap::new(),
            records: BTreeMap::new(),
            aliases: HashMap::new(),
            queues: BTreeMap::new(),
            fleets: BTreeMap::new(),
            wished: HashMap::new(),
            round: 0,
            wishes: Vec::new(),
            changes: Vec::new(),
            urgent: BTreeSet::new(),
            ticked: now,
            ticks: 0,
            rearmed: Moment::START,
            distrusted_until: Moment::START,
            late_ticks: 0,
        };
        ledger.configure(rules, now);
        ledger
    }

    /// Puts other rules in force. Forgets nothing about workers that stay; workers and queues of sources that are
    /// no longer configured leave in silence.
    pub fn configure(&mut self, rules: Arc<Rulebook>, now: Moment) {
        let names: BTreeSet<_> = rules.sources.iter().map(|s| s.name.clone()).collect();
        self.sources.retain(|name, source| {
            names.contains(name) && rules.sources.iter().any(|r| r.name == *name && r.kind == source.rules.kind)
        });
        let sources = &self.sources;
        self.records.retain(|name, _| sources.contains_key(name));
        self.queues.retain(|key, _| sources.contains_key(&key.source));
        for worker in self.workers.values_mut() {
            let gone: Vec<_> = worker.sights.keys().filter(|name| !sources.contains_key(*name)).cloned().collect();
            for name in gone {
                worker.forget_source(&name);
            }
            worker.configured = worker.sights.values().any(|s| !s.listed);
        }
        for of in &rules.sources {
            self.sources.entry(of.name.clone()).or_insert_with(|| Source::new(of.clone(), now)).rules = of.clone();
        }
        let homeless: Vec<_> =
            self.workers.iter().filter(|(_, w)| w.sights.is_empty()).map(|(k, _)| k.clone()).collect();
        for key in homeless {
            self.workers.remove(&key);
        }
        for queue in self.queues.values_mut() {
            queue.expected = false;
        }
        for of in &rules.sources {
            for (task_queue, task_type) in &of.watch {
                let key = QueueKey {
                    source: of.name.clone(),
                    namespace: of.namespace.clone(),
                    task_queue: task_queue.clone(),
                    task_type: *task_type,
                };
                self.queues.entry(key).or_insert_with(|| Queue::new(now)).expected = true;
            }
        }
        for key in rules.fleets.values().flat_map(|f| &f.queues).filter(|k| names.contains(&k.source)) {
            self.queues.entry(key.clone()).or_insert_with(|| Queue::new(now)).expected = true;
        }
        self.rules = rules;
        self.wish(now);
    }

    /// The FULL set of workers that a list (static, file) names for `source`: those that vanished from it have left.
    pub fn discovered(&mut self, source: &str, workers: &[WorkerKey], now: Moment, wall: WallTime) {
        let Some((source, _)) = self.sources.get_key_value(source) else { return };
        let source = source.clone();
        let named: BTreeSet<_> = workers.iter().collect();
        let gone: Vec<_> = self
            .workers
            .iter()
            .filter(|(key, w)| w.sights.get(&source).is_some_and(|s| !s.listed) && !named.contains(key))
            .map(|(key, _)| key.clone())
            .collect();
        for key in gone {
            self.unlist(&key, &source, wall);
        }
        for key in workers {
            let worker = self.workers.entry(key.clone()).or_insert_with(|| Worker::new(key.clone(), now, wall));
            worker.configured = true;
            worker.sight(&source, &key.worker, false, now);
        }
        self.wish(now);
    }

    /// Forgets a worker now, whatever its state: for `POST …/forget`. True when there was one.
    pub fn forget(&mut self, key: &WorkerKey, now: Moment, wall: WallTime) -> bool {
        let known = self.workers.get(key).is_some_and(|w| !w.departed);
        if known {
            self.dismiss(key, Reason::Gone, "forgotten on request", now, wall);
            self.wish(now);
        }
        known
    }

    /// Takes in one finished look.
    pub fn observe(&mut self, look: Look) {
        if look.finished.since(self.ticked) > TICK + LATE {
            self.woke(look.finished);
        }
        let Some(source) = self.sources.get_mut(&look.source) else { return };
        source.requests += 1;
        source.durations.record(look.finished.since(look.started).as_secs_f64());
        if look.started < self.rearmed {
            return;
        }
        let listed = !matches!(look.scope, Scope::Worker(_));
        let seen = Seen { now: look.finished, wall: look.received, interval: look.interval, listed };
        let succeeded = look.outcome.is_ok();
        match look.outcome {
            Err(failure) => self.failed(&look.source, &look.scope, failure, seen),
            Ok(Report::Worker(observation)) => self.one(&look.source, &observation, seen),
            Ok(Report::Listing(listing)) => self.all(&look.source, listing, seen),
            Ok(Report::Queue(report)) => {
                if let Scope::Queue(key) = &look.scope {
                    self.queue(key, report, seen);
                }
            }
        }
        self.judge_after(&look.source, &look.scope, look.started, succeeded, seen);
        self.wish_after(&look.source, &look.scope, look.finished);
    }

    /// Lets time pass. Called each second; a call that comes late tells that we were suspended.
    pub fn tick(&mut self, now: Moment, wall: WallTime) {
        if now.since(self.ticked) > TICK + LATE {
            self.woke(now);
        }
        self.ticked = now;
        self.ticks += 1;
        self.judge_by_time(now, wall, self.ticks.is_multiple_of(SWEEP));
        self.bury(now, wall);
        self.wish(now);
    }

    /// What should be looked at differently from before. Empties the list.
    pub fn take_wishes(&mut self) -> Vec<Wish> {
        std::mem::take(&mut self.wishes)
    }

    /// What changed. Empties the list.
    pub fn take_changes(&mut self) -> Vec<Change> {
        std::mem::take(&mut self.changes)
    }

    /// We were suspended: what was not watched is held against nobody.
    fn woke(&mut self, now: Moment) {
        self.late_ticks += 1;
        self.rearmed = now;
        self.ticked = now;
        self.distrusted_until = now + DISTRUST;
        for source in self.sources.values_mut() {
            source.health.rearm(now);
            source.gate = crate::source::Gate::default();
        }
        for queue in self.queues.values_mut() {
            queue.health.rearm(now);
            queue.heads.clear();
            queue.still = None;
        }
        for worker in self.workers.values_mut() {
            for sight in worker.sights.values_mut() {
                sight.health.rearm(now);
            }
            if worker.standing.state != State::Down {
                worker.rearm(now, None);
            }
            if worker.standing.state == State::Starting {
                worker.found = now;
            }
            worker.waiting = None;
        }
    }

    fn failed(&mut self, name: &Arc<str>, scope: &Scope, failure: Failure, seen: Seen) {
        let Some(source) = self.sources.get_mut(name) else { return };
        if failure == Failure::NotFound && matches!(scope, Scope::Worker(_)) {
            // Its target left the list between the tick and the look.
            return;
        }
        *source.errors.entry(failure).or_default() += 1;
        if failure == Failure::Throttled {
            // A source that asks us to slow down is up; what it did not tell adds to no silence.
            source.throttled += 1;
        }
        let counts = !matches!(failure, Failure::Throttled | Failure::Late);
        match scope {
            Scope::Listing => {
                if counts {
                    source.health.ended(seen.now, seen.wall, Some(failure));
                }
                for worker in self.workers.values_mut().filter(|w| w.sights.get(name).is_some_and(|s| s.listed)) {
                    worker.blinded(name, failure);
                }
            }
            Scope::Worker(key) => {
                if let Some(worker) = self.workers.get_mut(key) {
                    worker.blinded(name, failure);
                    if let Some(sight) = worker.sights.get_mut(name).filter(|_| counts) {
                        sight.health.ended(seen.now, seen.wall, Some(failure));
                    }
                }
            }
            Scope::Queue(key) => {
                if let Some(queue) = self.queues.get_mut(key).filter(|_| counts) {
                    queue.health.ended(seen.now, seen.wall, Some(failure));
                }
            }
        }
    }

    /// A look at one worker.
    fn one(&mut self, name: &Arc<str>, observation: &Observation, seen: Seen) {
        let Some(source) = self.sources.get_mut(name) else { return };
        match observation.reach {
            Some(Reach::Missed(failure) | Reach::Misconfigured(failure)) => {
                *source.errors.entry(failure).or_default() += 1;
            }
            _ => source.health.ended(seen.now, seen.wall, None),
        }
        for failure in observation.unread.iter().filter_map(|(_, failure)| *failure) {
            *source.errors.entry(failure).or_default() += 1;
        }
        if let Some(failure) = observation.says.unreadable {
            *source.errors.entry(failure).or_default() += 1;
        }
        if self.workers.contains_key(&observation.slot.key) {
            self.see(&observation.slot.key.clone(), name, observation, seen);
        }
    }

    /// Lets a worker see an observation of it, and adds what was done to its fleet.
    fn see(&mut self, key: &WorkerKey, name: &Arc<str>, observation: &Observation, seen: Seen) {
        let rules = self.rules.clone();
        let Some(mut worker) = self.workers.remove(key) else { return };
        let around =
            Around { now: seen.now, rules: rules.of(&key.fleet), sources: &self.sources, queues: &self.queues };
        if observation.slot.exclusive && another_incarnation(&worker, name, observation) {
            worker.replaced(name, &observation.info, seen.now);
        }
        let added = worker.see(name, observation, seen, around);
        let fleet = self
            .fleets
            .entry(key.fleet.clone())
            .or_insert_with(|| Fleet { totals: Totals::default(), last_worker: seen.now });
        fleet.totals.add(added);
        if observation.alias.is_some() && worker.alias != observation.alias && !worker.is_former(observation) {
            if let Some(old) = worker.alias.take() {
                self.aliases.remove(&old);
            }
            worker.alias.clone_from(&observation.alias);
        }
        let alias = worker.alias.clone();
        self.workers.insert(key.clone(), worker);
        if let Some(alias) = alias {
            self.join(key, &alias, seen);
        }
        for task_queue in &observation.task_queues {
            self.serve(name, task_queue, observation, seen.now);
        }
    }

    /// Records of several sources with one alias are one worker. The name that a list gives it wins, else the older name.
    fn join(&mut self, key: &WorkerKey, alias: &Arc<str>, seen: Seen) {
        let other = self.aliases.get(alias).filter(|other| *other != key && self.workers.contains_key(*other)).cloned();
        let Some(other) = other else {
            self.aliases.insert(alias.clone(), key.clone());
            return;
        };
        let named = |k: &WorkerKey| self.workers.get(k).is_some_and(|w| w.configured);
        let (into, from) = if named(key) && !named(&other) { (key.clone(), other) } else { (other, key.clone()) };
        if named(&from) {
            // Two lists name two workers; that they share a host and a pid does not make them one.
            return;
        }
        let Some(joined) = self.workers.remove(&from) else { return };
        for records in self.records.values_mut() {
            for record in records.values_mut().filter(|r| r.place == Place::Holds(from.clone())) {
                record.place = Place::Holds(into.clone());
            }
        }
        if let Some(worker) = self.workers.get_mut(&into) {
            for (source, sight) in &joined.sights {
                worker.channels.retain(|(of, _), _| of != source);
                // One source shows one record of a worker: the one that was joined is the newer incarnation.
                let other = worker.sights.get(source).filter(|other| other.record != sight.record);
                let old = other.and_then(|other| self.records.get_mut(source)?.get_mut(&other.record));
                if let Some(old) = old {
                    old.place = Place::Buried;
                }
            }
            worker.sights.extend(joined.sights);
            worker.channels.extend(joined.channels);
            worker.identity = joined.identity.or_else(|| worker.identity.take());
            worker.types = joined.types;
            worker.tally = Tally::joined(std::mem::take(&mut worker.tally), joined.tally);
            worker
                .task_queues
                .extend(joined.task_queues.into_iter().filter(|q| !worker.task_queues.contains(q)).collect::<Vec<_>>());
        }
        self.aliases.insert(alias.clone(), into.clone());
        let detail = format!("it is the same process as {}/{}", into.fleet, into.worker);
        self.changes.push(Change {
            key: from,
            from: Some(joined.standing.state),
            to: None,
            reason: Reason::Ok,
            detail,
            at: seen.wall,
        });
    }

    /// A worker serves a queue: from now on the queue is watched.
    fn serve(&mut self, name: &Arc<str>, task_queue: &Arc<str>, observation: &Observation, now: Moment) {
        let Some(source) = self.sources.get(name).filter(|s| s.rules.kind.names_queues()) else { return };
        if !source.rules.kind.sees_polls() {
            return self.watch(name, task_queue, TaskType::Activity, now);
        }
        for t in observation.types.iter().filter(|t| t.task_type != TaskType::LocalActivity) {
            self.watch(name, task_queue, t.task_type, now);
        }
    }

    fn watch(&mut self, name: &Arc<str>, task_queue: &Arc<str>, task_type: TaskType, now: Moment) {
        let Some(source) = self.sources.get(name) else { return };
        let namespace = source.rules.namespace.clone();
        let key = QueueKey { source: name.clone(), namespace, task_queue: task_queue.clone(), task_type };
        self.queues.entry(key).or_insert_with(|| Queue::new(now)).served = now;
    }

    /// A look at one queue.
    fn queue(&mut self, key: &QueueKey, report: QueueReport, seen: Seen) {
        let rules = self.rules.clone();
        let pollers = report.pollers.clone();
        let partial = report.partial;
        let Some(queue) = self.queues.get_mut(key) else { return };
        queue.health.ended(seen.now, seen.wall, None);
        queue.look(report, seen.now);
        let serves = |w: &Worker| {
            w.sights.contains_key(&key.source)
                && w.task_queues.contains(&key.task_queue)
                && (w.types.is_empty() || w.types.iter().any(|t| t.task_type == key.task_type))
        };
        let serving: Vec<_> =
            self.workers.iter().filter(|(_, w)| w.identity.is_some() && serves(w)).map(|(k, _)| k.clone()).collect();
        for worker_key in serving {
            let Some(mut worker) = self.workers.remove(&worker_key) else { continue };
            let around = Around {
                now: seen.now,
                rules: rules.of(&worker_key.fleet),
                sources: &self.sources,
                queues: &self.queues,
            };
            let access =
                pollers.iter().find(|p| Some(&p.identity) == worker.identity.as_ref()).and_then(|p| p.last_access);
            // Where we did not look is no silence.
            if !partial || worker.polls_anew(&key.source, key.task_type, access) {
                worker.polled(&key.source, key.task_type, access, seen, around);
            }
            self.workers.insert(worker_key, worker);
        }
        self.unlisted_pollers(key, &pollers, seen);
    }

    /// A whole listing.
    fn all(&mut self, name: &Arc<str>, listing: Listing, seen: Seen) {
        let Some(source) = self.sources.get_mut(name) else { return };
        let interval = seen.interval;
        let outage = source.health.failing.is_some()
            && source.health.success.is_some_and(|(at, _)| seen.now.since(at) > (interval * 3).max(SETTLE));
        source.health.ended(seen.now, seen.wall, None);
        source.listings += 1;
        source.heartbeats = Some(listing.heartbeats);
        source.timed_out = listing.timed_out;
        for (_, failure) in &listing.unreadable {
            *source.errors.entry(*failure).or_default() += 1;
        }
        for (task_queue, task_type) in &listing.served {
            self.watch(name, task_queue, *task_type, seen.now);
        }
        if !listing.heartbeats {
            return;
        }
        for task_queue in &listing.queues {
            self.watch(name, task_queue, TaskType::Activity, seen.now);
        }
        let lost_memory = self.take_records(name, listing, seen);
        if outage || lost_memory {
            self.settle_source(name, seen.now);
        }
    }

    /// A source came back, or lost its memory: its workers get time to come back to it.
    fn settle_source(&mut self, name: &Arc<str>, now: Moment) {
        for worker in self.workers.values_mut() {
            if worker.standing.state == State::Down || !worker.sights.get(name).is_some_and(|s| s.listed) {
                continue;
            }
            worker.rearm(now, Some(name));
        }
        if let Some(source) = self.sources.get_mut(name) {
            source.settling = Some(now + SETTLE);
        }
    }

    /// A list names this worker no more: it has left.
    fn unlist(&mut self, key: &WorkerKey, source: &Arc<str>, wall: WallTime) {
        let Some(worker) = self.workers.get_mut(key) else { return };
        worker.forget_source(source);
        worker.configured = worker.sights.values().any(|s| !s.listed);
        if worker.sights.is_empty() {
            self.remove(key, Reason::ShuttingDown, "no list names it any more", wall);
        }
    }

    /// It leaves the figures. What a list still names goes on being looked at, and is back when it answers.
    fn dismiss(&mut self, key: &WorkerKey, reason: Reason, detail: &str, now: Moment, wall: WallTime) {
        let named = self.workers.get(key).filter(|w| w.configured).cloned();
        self.remove(key, reason, detail, wall);
        if let Some(mut worker) = named {
            worker.depart(now, wall);
            self.workers.insert(key.clone(), worker);
        }
    }

    fn remove(&mut self, key: &WorkerKey, reason: Reason, detail: &str, wall: WallTime) {
        let Some(worker) = self.workers.remove(key) else { return };
        for records in self.records.values_mut() {
            for record in records.values_mut().filter(|r| r.place == Place::Holds(key.clone())) {
                record.place = Place::Buried;
            }
        }
        self.aliases.retain(|_, of| of != key);
        self.changes.push(Change {
            key: key.clone(),
            from: Some(worker.standing.state),
            to: None,
            reason,
            detail: String::from(detail),
            at: wall,
        });
    }

    /// Tombstones, forgotten fleets and queues.
    fn bury(&mut self, now: Moment, wall: WallTime) {
        let rules = self.rules.clone();
        let over: Vec<_> = self
            .workers
            .iter()
            .filter(|(key, w)| {
                let stands = now.since(w.standing.since) > rules.of(&key.fleet).tombstone;
                // What a list still names stays: its owner says that it should be there.
                stands && !w.configured && (w.standing.state == State::Down || w.standing.reason == Reason::FullOrGone)
            })
            .map(|(key, _)| key.clone())
            .collect();
        for key in over {
            self.remove(&key, Reason::Gone, "its tombstone has expired", wall);
        }
        for key in self.workers.keys() {
            if let Some(fleet) = self.fleets.get_mut(&key.fleet) {
                fleet.last_worker = now;
            }
        }
        self.fleets.retain(|name, fleet| rules.fleets.contains_key(name) || now.since(fleet.last_worker) < REMEMBERED);
        self.queues.retain(|_, queue| queue.expected || now.since(queue.served) < REMEMBERED);
    }
}

/// The same slot, somebody else in it: another instance key, pid or start.
fn another_incarnation(worker: &Worker, source: &str, observation: &Observation) -> bool {
    if matches!(observation.reach, Some(Reach::Missed(_) | Reach::Misconfigured(_))) {
        return false;
    }
    let Some(sight) = worker.sights.get(source) else { return false };
    let differ = |before: &Option<Arc<str>>, now: &Option<Arc<str>>| before.is_some() && now.is_some() && before != now;
    let (before, now) = (&sight.info, &observation.info);
    let later = before.start_time.zip(now.start_time).is_some_and(|(before, now)| now.seconds_since(before) > 1.0);
    differ(&before.instance, &now.instance) || differ(&before.pid, &now.pid) || later
}
