//! What should be looked at, and how often: half the cadence when all is quiet, faster while a verdict is pending in
//! either direction.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use super::{Ledger, Wish};
use crate::evidence::Scope;
use crate::state::Pulse;
use crate::time::Moment;
use crate::words::{SourceKind, State};
use crate::worker::{Around, QUEUE_INTERVAL, Worker};

/// An empty or failing list is looked at this often, so that a first worker or a recovery is seen soon.
const EAGER: Duration = Duration::from_secs(10);
/// Queues a second and source that are looked at, so that 200 of them stay inside a request budget of 5 a second.
const QUEUES_A_SECOND: f64 = 4.0;
/// While work waits a queue is looked at this often: servers cache its figures for 5 s.
const WAITING_QUEUE: Duration = Duration::from_secs(5);
/// Above this many queues of one source none is looked at faster.
const FEW_QUEUES: usize = 20;

impl Ledger {
    /// Says every difference between what is wanted now and what was wanted before.
    pub(super) fn wish(&mut self, now: Moment) {
        let wanted = self.wanted(now);
        let urgent = self.urgent_scopes();
        for ((source, scope), interval) in &wanted {
            let key = (source.clone(), scope.clone());
            let at_once = urgent.contains(&key);
            if self.wished.get(&key) != Some(interval) || at_once {
                self.wishes.push(Wish::Every {
                    source: source.clone(),
                    scope: scope.clone(),
                    interval: *interval,
                    at_once,
                });
            }
        }
        for (source, scope) in self.wished.keys().filter(|key| !wanted.contains_key(*key)) {
            self.wishes.push(Wish::Never { source: source.clone(), scope: scope.clone() });
        }
        self.wished = wanted.into_iter().collect();
    }

    /// The same after a look at one worker, which changes nothing for the others.
    pub(super) fn wish_after(&mut self, source: &Arc<str>, scope: &Scope, now: Moment) {
        let Scope::Worker(key) = scope else { return self.wish(now) };
        if self.urgent.iter().any(|k| k != key) {
            return self.wish(now);
        }
        let Some(worker) = self.workers.get(key).filter(|w| w.sights.contains_key(source)) else {
            return self.wish(now);
        };
        let interval = self.wanted_for(worker, source, self.around(&key.fleet, now));
        let at_once = self.urgent.remove(key);
        let before = self.wished.insert((source.clone(), scope.clone()), interval);
        if before != Some(interval) || at_once {
            self.wishes.push(Wish::Every { source: source.clone(), scope: scope.clone(), interval, at_once });
        }
    }

    fn wanted(&self, now: Moment) -> BTreeMap<(Arc<str>, Scope), Duration> {
        let mut wanted = BTreeMap::new();
        for (name, source) in &self.sources {
            if source.rules.kind != SourceKind::Http {
                let eager = source.health.failing.is_some() || source.health.success.is_none();
                let most = if eager { EAGER.min(source.rules.maximum_interval) } else { source.rules.maximum_interval };
                wanted.insert((name.clone(), Scope::Listing), most);
            }
        }
        let mut peopled = BTreeSet::new();
        for (key, worker) in &self.workers {
            let around = self.around(&key.fleet, now);
            for (name, sight) in &worker.sights {
                let interval = self.wanted_for(worker, name, around);
                let scope = if sight.listed { Scope::Listing } else { Scope::Worker(key.clone()) };
                peopled.insert((name.clone(), scope.clone()));
                let least = wanted.entry((name.clone(), scope)).or_insert(interval);
                *least = interval.min(*least);
            }
        }
        for ((name, scope), interval) in &mut wanted {
            if !peopled.contains(&(name.clone(), scope.clone())) {
                *interval = EAGER.min(*interval);
            }
        }
        let mut queues: BTreeMap<_, usize> = BTreeMap::new();
        for key in self.queues.keys() {
            *queues.entry(&key.source).or_default() += 1;
        }
        for (key, queue) in &self.queues {
            let count = queues.get(&key.source).copied().unwrap_or(1);
            #[expect(clippy::cast_precision_loss, reason = "a count of queues")]
            let spread = Duration::from_secs_f64(count as f64 / QUEUES_A_SECOND);
            let plain = if queue.streak > 0 && count <= FEW_QUEUES { WAITING_QUEUE } else { QUEUE_INTERVAL };
            wanted.insert((key.source.clone(), Scope::Queue(key.clone())), plain.max(spread));
        }
        wanted
    }

    /// How often a source is looked at for one worker.
    fn wanted_for(&self, worker: &Worker, source: &Arc<str>, around: Around<'_>) -> Duration {
        let calm = worker.interval(source, around);
        let fallen = matches!(worker.beat(around), Pulse::Late | Pulse::Silent)
            || matches!(worker.endpoint(around), Pulse::Late | Pulse::Silent);
        let pending = match worker.standing.state {
            State::Down => worker.good > 0,
            State::Starting => !worker.past_grace(around),
            _ => worker.pending.is_some() || fallen,
        };
        let waiting = self.records.get(source).is_some_and(|records| {
            records
                .values()
                .any(|r| r.place == crate::slots::Place::Waits && r.beat.is_some() && r.claims == worker.key)
        });
        if pending || waiting { worker.urgent_interval(source, around) } else { calm }
    }

    fn urgent_scopes(&mut self) -> BTreeSet<(Arc<str>, Scope)> {
        let urgent = std::mem::take(&mut self.urgent);
        urgent
            .iter()
            .filter_map(|key| self.workers.get(key))
            .flat_map(|w| {
                w.sights.iter().map(|(name, s)| {
                    (name.clone(), if s.listed { Scope::Listing } else { Scope::Worker(w.key.clone()) })
                })
            })
            .collect()
    }
}
