//! What should be looked at, and how often: half the cadence when all is quiet, faster while a verdict is pending in
//! either direction.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use super::{Ledger, Wish};
use crate::evidence::{QueueKey, Scope, WorkerKey};
use crate::slots::Place;
use crate::state::Pulse;
use crate::time::Moment;
use crate::words::State;
use crate::worker::{Around, QUEUE_INTERVAL, Worker};

/// An empty or failing list is looked at this often, so that a first worker or a recovery is seen soon.
const EAGER: Duration = Duration::from_secs(10);
/// Queues a second and source that are looked at, so that 200 of them stay inside a request budget of 5 a second.
const QUEUES_A_SECOND: f64 = 4.0;
/// While work waits a queue is looked at this often: servers cache its figures for 5 s.
const WAITING_QUEUE: Duration = Duration::from_secs(5);
/// Above this many queues of one source none is looked at faster.
const FEW_QUEUES: usize = 20;

/// A silence that has its verdict for longer than this is looked at calmly.
const NEWS: Duration = Duration::from_secs(300);

/// An interval that was wished, and the round of wishing that last confirmed it.
pub(super) type Wished = HashMap<(Arc<str>, Scope), (Duration, u64)>;

impl Ledger {
    /// Says every difference between what is wanted now and what was wanted before.
    pub(super) fn wish(&mut self, now: Moment) {
        self.round += 1;
        let urgent = std::mem::take(&mut self.urgent);
        let names: Vec<_> = self.sources.keys().cloned().collect();
        for name in names {
            if let Some(interval) = self.wanted_listing(&name, now) {
                let at_once = urgent.iter().any(|key| self.is_listed(key, &name));
                self.want(name, Scope::Listing, interval, at_once);
            }
        }
        let mut single = Vec::new();
        for (key, worker) in &self.workers {
            let around = self.around(&key.fleet, now);
            for (name, _) in worker.sights.iter().filter(|(_, s)| !s.listed) {
                single.push((name.clone(), key.clone(), self.wanted_for(worker, name, around)));
            }
        }
        for (name, key, interval) in single {
            let at_once = urgent.contains(&key);
            self.want(name, Scope::Worker(key), interval, at_once);
        }
        let queues: Vec<_> = self.queues.keys().map(|key| (key.clone(), self.wanted_queue(key))).collect();
        for (key, interval) in queues {
            self.want(key.source.clone(), Scope::Queue(key), interval, false);
        }
        let round = self.round;
        let wishes = &mut self.wishes;
        self.wished.retain(|(source, scope), (_, confirmed)| {
            let wanted = *confirmed == round;
            if !wanted {
                wishes.push(Wish::Never { source: source.clone(), scope: scope.clone() });
            }
            wanted
        });
    }

    /// The same after one look, for what that look was about; the rest waits for the next tick.
    pub(super) fn wish_after(&mut self, source: &Arc<str>, scope: &Scope, now: Moment) {
        let others = self.urgent.iter().any(|k| !matches!(scope, Scope::Worker(key) if key == k));
        if others && !matches!(scope, Scope::Listing) {
            return self.wish(now);
        }
        match scope {
            Scope::Worker(key) => {
                let Some(worker) = self.workers.get(key).filter(|w| w.sights.contains_key(source)) else { return };
                let interval = self.wanted_for(worker, source, self.around(&key.fleet, now));
                let at_once = self.urgent.remove(key);
                self.want(source.clone(), scope.clone(), interval, at_once);
            }
            Scope::Listing => {
                let urgent = std::mem::take(&mut self.urgent);
                let (here, elsewhere) = urgent.into_iter().partition(|key| self.is_listed(key, source));
                self.urgent = elsewhere;
                let here: BTreeSet<WorkerKey> = here;
                if let Some(interval) = self.wanted_listing(source, now) {
                    self.want(source.clone(), Scope::Listing, interval, !here.is_empty());
                }
            }
            Scope::Queue(key) => {
                if self.queues.contains_key(key) {
                    let interval = self.wanted_queue(key);
                    self.want(source.clone(), scope.clone(), interval, false);
                }
            }
        }
    }

    fn want(&mut self, source: Arc<str>, scope: Scope, interval: Duration, at_once: bool) {
        let round = self.round;
        let before = self.wished.insert((source.clone(), scope.clone()), (interval, round));
        if before.is_none_or(|(before, _)| before != interval) || at_once {
            self.wishes.push(Wish::Every { source, scope, interval, at_once });
        }
    }

    fn is_listed(&self, key: &WorkerKey, source: &Arc<str>) -> bool {
        self.workers.get(key).and_then(|w| w.sights.get(source)).is_some_and(|s| s.listed)
    }

    /// How often to look at the list of a source; `None` for a source that has none.
    fn wanted_listing(&self, name: &Arc<str>, now: Moment) -> Option<Duration> {
        let source = self.sources.get(name).filter(|s| !s.rules.kind.looks_at_each())?;
        let most = source.rules.maximum_interval;
        let newcomers = self
            .records
            .get(name)
            .is_some_and(|records| records.values().any(|r| r.place == Place::Waits && r.beat.is_some()));
        let mut least = None;
        for worker in self.workers.values().filter(|w| w.sights.get(name).is_some_and(|s| s.listed)) {
            let around = self.around(&worker.key.fleet, now);
            let wanted =
                if newcomers { worker.urgent_interval(name, around) } else { self.wanted_for(worker, name, around) };
            least = Some(least.map_or(wanted, |l: Duration| l.min(wanted)));
        }
        let eager = source.health.failing.is_some() || source.health.success.is_none() || least.is_none();
        let most = if eager { EAGER.min(most) } else { most };
        Some(least.map_or(most, |l| l.min(most)))
    }

    fn wanted_queue(&self, key: &QueueKey) -> Duration {
        let count = self.queues.keys().filter(|k| k.source == key.source).count();
        #[expect(clippy::cast_precision_loss, reason = "a count of queues")]
        let spread = Duration::from_secs_f64(count as f64 / QUEUES_A_SECOND);
        let waits = self.queues.get(key).is_some_and(|q| !q.heads.is_empty());
        let plain = if waits && count <= FEW_QUEUES { WAITING_QUEUE } else { QUEUE_INTERVAL };
        plain.max(spread)
    }

    /// How often a source is looked at for one worker.
    fn wanted_for(&self, worker: &Worker, source: &Arc<str>, around: Around<'_>) -> Duration {
        let fallen = |pulse| matches!(pulse, Pulse::Late | Pulse::Silent);
        let pending = match worker.standing.state {
            State::Down => worker.good > 0,
            State::Starting => !worker.past_grace(around),
            state => {
                let news = state == State::Healthy || around.now.since(worker.standing.since) < NEWS;
                worker.pending.is_some()
                    || (news
                        && [worker.beat(around), worker.endpoint(around), worker.process(around)]
                            .into_iter()
                            .any(fallen))
            }
        };
        if pending { worker.urgent_interval(source, around) } else { worker.interval(source, around) }
    }
}
