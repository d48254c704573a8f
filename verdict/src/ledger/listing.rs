//! Identity at work: which record of a listing is which worker.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use super::Ledger;
use crate::channel::{Channel, What};
use crate::evidence::{Listing, Observation, Poller, QueueKey, WorkerKey};
use crate::slots::{Place, Record, ordinal};
use crate::source::SETTLE;
use crate::state::Pulse;
use crate::words::{Reason, State};
use crate::worker::{Around, Seen, Worker};

/// Neighbours on one slot name that are tried before giving up; nobody runs more on one host under one name.
const NEIGHBOURS: usize = 999;
/// A key that is gone more than this before its time was deleted; inside of it, clocks and look times blur the two.
const EXPIRY_MARGIN: Duration = Duration::from_millis(1500);

impl Ledger {
    /// Takes in all records of a listing. True when the source turns out to have lost its memory.
    pub(super) fn take_records(&mut self, source: &Arc<str>, listing: Listing, seen: Seen) -> bool {
        let mut observations = listing.records;
        let moved: HashSet<_> = listing.moved.into_iter().collect();
        observations.sort_by_key(|o| o.info.start_time);
        let before = self.records.entry(source.clone()).or_default();
        for record in before.values_mut() {
            record.present = false;
        }
        let mut unmoved_survivor = false;
        for observation in &observations {
            unmoved_survivor |= self.take_record(source, observation, seen);
        }
        for observation in &observations {
            self.place(source, observation, seen);
        }
        let lost = listing.reset || self.lost_memory(source, listing.retention, unmoved_survivor, seen);
        self.handle_missing(source, listing.retention.is_some(), &moved, lost, seen);
        lost
    }

    /// One record. True when it was there before and did not move.
    fn take_record(&mut self, source: &Arc<str>, observation: &Observation, seen: Seen) -> bool {
        let tombstone = self.rules.of(&observation.slot.key.fleet).tombstone;
        let records = self.records.entry(source.clone()).or_default();
        let Some(record) = records.get_mut(&observation.record) else {
            let mut record = Record::new(observation, seen.now);
            // Already dead at first sight, by its own stamp: nobody's worker.
            if record.stamp.is_some_and(|stamp| seen.wall.seconds_since(stamp) > tombstone.as_secs_f64()) {
                record.place = Place::Buried;
                record.leftover = true;
            }
            records.insert(observation.record.clone(), record);
            return false;
        };
        let moved = record.look(observation, seen.now);
        match &record.place {
            Place::Holds(key) => {
                let key = key.clone();
                self.see(&key, source, observation, seen);
            }
            Place::Waits => {
                if let (Some(channel), Some(beat)) = (&mut record.beat, observation.beat) {
                    channel.look(seen.now, seen.wall, seen.interval, beat.mark, beat.stamp);
                }
            }
            Place::Buried if moved => {
                record.leftover = false;
                record.place = Place::Waits;
                record.found = seen.now;
            }
            Place::Buried => {}
        }
        !moved
    }

    /// Finds a slot for a record that waits.
    fn place(&mut self, source: &Arc<str>, observation: &Observation, seen: Seen) {
        let Some(record) = self.records.get(source).and_then(|r| r.get(&observation.record)) else { return };
        if record.place != Place::Waits {
            return;
        }
        let joined = observation
            .alias
            .as_ref()
            .and_then(|a| self.aliases.get(a))
            .filter(|k| self.workers.contains_key(*k))
            .cloned();
        let slot = match joined {
            Some(key) => Some(key),
            None if observation.slot.exclusive => Some(observation.slot.key.clone()),
            None => self.find_slot(source, record),
        };
        match slot {
            Some(key) => self.take_slot(source, observation, key, seen),
            None => self.let_wait(source, observation, seen),
        }
    }

    /// The first slot of this name that is free, or whose holder it succeeds. `None` while that is not decided.
    fn find_slot(&self, source: &Arc<str>, record: &Record) -> Option<WorkerKey> {
        let records = self.records.get(source)?;
        let mut free = None;
        let mut gaps = 0;
        for n in 1..=NEIGHBOURS {
            let key = ordinal(&record.claims, n);
            let holder = self.workers.get(&key).and_then(|w| Some((w, records.get(&w.sights.get(source)?.record)?)));
            let Some((worker, holder)) = holder else {
                free.get_or_insert(key);
                gaps += 1;
                if gaps > 8 {
                    break;
                }
                continue;
            };
            if worker.identity.is_some() && worker.identity == record.identity && worker.only_polls() {
                return Some(key);
            }
            match self.relation(worker, holder, record) {
                Relation::Succeeds => return Some(key),
                Relation::Neighbours => {}
                Relation::Undecided => return None,
            }
        }
        free
    }

    fn relation(&self, worker: &Worker, holder: &Record, newcomer: &Record) -> Relation {
        let around = Around {
            now: newcomer.listed,
            rules: self.rules.of(&worker.key.fleet),
            sources: &self.sources,
            queues: &self.queues,
        };
        let left = worker.standing.state == State::Down
            || worker.sights.values().any(|s| s.goodbye.is_some())
            || !holder.present;
        let silent = matches!(worker.beat(around), Pulse::Late | Pulse::Silent);
        let older = holder.started.zip(newcomer.started).is_some_and(|(holder, newcomer)| newcomer < holder);
        if (left || silent) && (!older || newcomer.moved.is_some()) {
            return Relation::Succeeds;
        }
        // Each was seen to move after the other was there.
        let both_move = holder.moved_since(newcomer.found) && (!older || newcomer.moved_since(holder.found));
        if older {
            // By its own clock it was there before the holder: a neighbour if both move, else a leftover, or a clock set back.
            return if both_move { Relation::Neighbours } else { Relation::Undecided };
        }
        if stale_beside(holder, newcomer) {
            return Relation::Succeeds;
        }
        if both_move || holder.outlived_start_of(newcomer) {
            return Relation::Neighbours;
        }
        Relation::Undecided
    }

    fn take_slot(&mut self, source: &Arc<str>, observation: &Observation, key: WorkerKey, seen: Seen) {
        let same_poller = |w: &Worker| w.only_polls() && w.identity.is_some() && w.identity == observation.identity;
        let records = self.records.entry(source.clone()).or_default();
        let beat = records.get_mut(&observation.record).and_then(|record| {
            record.place = Place::Holds(key.clone());
            record.beat.take()
        });
        let worker = self.workers.entry(key.clone()).or_insert_with(|| Worker::new(key.clone(), seen.now, seen.wall));
        if let Some(old) = worker.sights.get(source).map(|s| s.record.clone()).filter(|old| *old != observation.record)
        {
            if same_poller(worker) {
                // Known by its polls until now; here is its heartbeat.
                worker.sights.remove(source);
                records.remove(&old);
            } else {
                if let Some(old) = records.get_mut(&old) {
                    old.place = Place::Buried;
                }
                worker.replaced(source, &observation.info, seen.now);
            }
        }
        if let Some(beat) = beat {
            worker.found = worker.found.max(beat.found);
            worker.channels.insert((source.clone(), What::Beat), beat);
        }
        self.see(&key, source, observation, seen);
    }

    fn let_wait(&mut self, source: &Arc<str>, observation: &Observation, seen: Seen) {
        let record = self.records.get_mut(source).and_then(|r| r.get_mut(&observation.record));
        if let (Some(record), Some(beat)) = (record, observation.beat)
            && record.beat.is_none()
        {
            let mut channel = Channel::found(seen.now, beat.mark);
            channel.stamp = beat.stamp;
            channel.cadence.declare(beat.declared);
            record.beat = Some(channel);
        }
    }

    /// A record that is gone sooner than the source promises to keep it, while none that stood still is left: the source
    /// has forgotten everything and knows only who has beaten since.
    fn lost_memory(&self, source: &Arc<str>, retention: Option<Duration>, unmoved_survivor: bool, seen: Seen) -> bool {
        let (Some(retention), false, Some(records)) = (retention, unmoved_survivor, self.records.get(source)) else {
            return false;
        };
        records.iter().filter(|(id, r)| !r.present && !id.starts_with(POLLER)).any(|(_, r)| {
            let kept = seen.now.since(r.moved.unwrap_or(r.found));
            kept + SETTLE < retention && !self.said_goodbye(source, r) && self.newly_missing(source, r)
        })
    }

    fn newly_missing(&self, source: &Arc<str>, record: &Record) -> bool {
        let Place::Holds(key) = &record.place else { return true };
        self.workers.get(key).and_then(|w| w.sights.get(source)).is_some_and(|s| s.missing.is_none())
    }

    fn said_goodbye(&self, source: &Arc<str>, record: &Record) -> bool {
        match &record.place {
            Place::Holds(key) => {
                self.workers.get(key).and_then(|w| w.sights.get(source)).is_some_and(|s| s.goodbye.is_some())
            }
            _ => true,
        }
    }

    fn handle_missing(
        &mut self,
        source: &Arc<str>,
        keeps_the_dead: bool,
        moved: &HashSet<Arc<str>>,
        lost_memory: bool,
        seen: Seen,
    ) {
        let settling = self.sources.get(source).is_some_and(|s| s.settling.is_some());
        let Some(records) = self.records.get_mut(source) else { return };
        let held = records.values().filter(|r| matches!(r.place, Place::Holds(_))).count();
        let missing: Vec<(Arc<str>, WorkerKey)> = records
            .iter()
            .filter(|(_, r)| !r.present)
            .filter_map(|(id, r)| if let Place::Holds(key) = &r.place { Some((id.clone(), key.clone())) } else { None })
            .collect();
        let pollers = |id: &Arc<str>| id.starts_with(POLLER);
        // A queue server names a poller for five minutes.
        let lately = |r: &Record| seen.now.since(r.listed) < Duration::from_secs(600);
        records.retain(|id, r| matches!(r.place, Place::Holds(_)) || if pollers(id) { lately(r) } else { r.present });
        // Three and half of them at once is no coincidence of departures.
        let newly = |w: &Worker| w.sights.get(source).is_some_and(|s| s.missing.is_none());
        let at_once =
            missing.iter().filter(|(id, key)| !pollers(id) && self.workers.get(key).is_some_and(newly)).count();
        let mass = lost_memory || (at_once >= 3 && at_once * 2 >= held);
        for (id, key) in missing.into_iter().filter(|(id, _)| !pollers(id)) {
            let Some(worker) = self.workers.get_mut(&key) else { continue };
            let Some(sight) = worker.sights.get(source).filter(|s| s.record == id) else { continue };
            let early = moved.contains(&id) || sight.expires.is_none_or(|at| seen.now + EXPIRY_MARGIN < at);
            let (first, deleted) = (sight.missing.is_none(), sight.deleted);
            worker.missed_in_list(source, seen);
            if keeps_the_dead || lost_memory || worker.standing.state == State::Down {
                continue;
            }
            if first && early {
                // Deleted before its time: a goodbye, or somebody's flush that its next beat undoes. A look after that beat
                // was due tells, and where many went at once, one after the time to come back.
                if let Some(sight) = worker.sights.get_mut(source) {
                    sight.deleted = true;
                }
                self.urgent.insert(key);
            } else if deleted && !settling && self.is_late(&key, source, seen) {
                self.unlist_record(&key, source, &id, seen);
            }
        }
        if mass && !lost_memory {
            self.settle_source(source, seen.now);
        }
    }

    /// It would have beaten again by now.
    fn is_late(&self, key: &WorkerKey, source: &Arc<str>, seen: Seen) -> bool {
        let Some(worker) = self.workers.get(key) else { return false };
        let around = self.around(&key.fleet, seen.now);
        let beat = worker.channels.get(&(source.clone(), What::Beat));
        beat.is_none_or(|c| c.silent >= worker.limits(source, What::Beat, c, around).warning)
    }

    /// Its key was deleted before its time: it has left.
    fn unlist_record(&mut self, key: &WorkerKey, source: &Arc<str>, id: &Arc<str>, seen: Seen) {
        if let Some(records) = self.records.get_mut(source) {
            records.remove(id);
        }
        let Some(worker) = self.workers.get_mut(key) else { return };
        worker.forget_source(source);
        if worker.sights.is_empty() {
            self.remove(
                key,
                Reason::ShuttingDown,
                "its heartbeat was removed, or moved elsewhere, before it expired",
                seen.wall,
            );
        }
    }

    /// Pollers that no listing knows: their heartbeats are off. First sight proves nothing (a poller is listed for minutes
    /// after its death); one whose access moves is alive.
    pub(super) fn unlisted_pollers(&mut self, queue: &QueueKey, pollers: &[Poller], seen: Seen) {
        for poller in pollers {
            let known = self.records.get(&queue.source).is_some_and(|records| {
                records.iter().any(|(id, r)| !id.starts_with(POLLER) && r.identity.as_ref() == Some(&poller.identity))
            });
            let id: Arc<str> =
                Arc::from(format!("{POLLER}{}/{}/{}", poller.identity, queue.task_queue, queue.task_type));
            if known {
                if let Some(records) = self.records.get_mut(&queue.source) {
                    records.remove(&id);
                }
                continue;
            }
            let mut observation = Observation::new(id.clone(), poller.slot.clone());
            observation.identity = Some(poller.identity.clone());
            observation.task_queues = vec![queue.task_queue.clone()];
            if let Some(version) = &poller.version {
                observation.info.build_id = Some(version.build_id.clone());
                observation.info.deployment = Some(version.deployment.clone()).filter(|name| !name.is_empty());
            }
            let records = self.records.entry(queue.source.clone()).or_default();
            let record = records.entry(id).or_insert_with(|| Record::new(&observation, seen.now));
            let mark = poller.last_access.map(crate::evidence::Mark::stamp);
            let first = record.mark.is_none();
            let moved = !first && mark != record.mark;
            record.mark = mark;
            let before = std::mem::replace(&mut record.listed, seen.now);
            record.present = true;
            if moved && !matches!(record.place, Place::Holds(_)) {
                record.place = Place::Waits;
                record.moved = Some(seen.now);
                record.moved_after = Some(before);
                // The same identity on another type or queue of the fleet is the same worker.
                let same =
                    self.workers.iter().find(|(_, w)| w.identity.as_ref() == Some(&poller.identity) && w.only_polls());
                let slot = same.map(|(k, _)| k.clone());
                let slot = slot.filter(|k| k.fleet == poller.slot.key.fleet).or_else(|| {
                    let record = self.records.get(&queue.source)?.get(&observation.record)?;
                    self.find_slot(&queue.source, record)
                });
                if let Some(key) = slot {
                    self.take_poller(queue, &observation, key, poller, seen);
                }
            }
        }
    }

    fn take_poller(
        &mut self,
        queue: &QueueKey,
        observation: &Observation,
        key: WorkerKey,
        poller: &Poller,
        seen: Seen,
    ) {
        if let Some(record) = self.records.get_mut(&queue.source).and_then(|r| r.get_mut(&observation.record)) {
            record.place = Place::Holds(key.clone());
        }
        let source = queue.source.clone();
        let worker = self.workers.entry(key.clone()).or_insert_with(|| Worker::new(key.clone(), seen.now, seen.wall));
        if worker.sights.get(&source).is_some_and(|s| s.record != observation.record)
            && worker.identity != observation.identity
        {
            worker.replaced(&source, &observation.info, seen.now);
        }
        self.see(&key, &source, observation, seen);
        let rules = self.rules.clone();
        let Some(mut worker) = self.workers.remove(&key) else { return };
        let around =
            Around { now: seen.now, rules: rules.of(&key.fleet), sources: &self.sources, queues: &self.queues };
        // It was seen to move: first the place, then the move.
        worker.polled(&source, queue.task_type, None, seen, around);
        worker.polled(&source, queue.task_type, poller.last_access, seen, around);
        self.workers.insert(key, worker);
    }
}

/// Prefix of the records that stand for pollers without heartbeats. No instance key begins like this.
pub(super) const POLLER: &str = "poller of ";

enum Relation {
    Succeeds,
    Neighbours,
    Undecided,
}

/// Both stamp with the same clock, and the holder has been still for two beats when the newcomer beat last.
fn stale_beside(holder: &Record, newcomer: &Record) -> bool {
    let same_host = holder.host.is_some() && holder.host == newcomer.host;
    let declared = holder.declared.unwrap_or(Duration::from_secs(60));
    let apart = newcomer.stamp.zip(holder.stamp).map_or(0.0, |(new, old)| new.seconds_since(old));
    same_host && apart > declared.as_secs_f64() * 2.0 + 1.0
}
