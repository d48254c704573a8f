//! From facts to a state that stands: the second look, the gate, and `down` that stands until good evidence.

use std::sync::Arc;

use super::{Change, Ledger};
use crate::channel::What;
use crate::checks::{self, Readings};
use crate::evidence::{Scope, WorkerKey};
use crate::progress;
use crate::snapshot::Finding;
use crate::source::{Member, Ruling};
use crate::state::{self, Facts, Pulse, Verdict};
use crate::time::{Moment, WallTime};
use crate::words::{Check, Failure, Reason, State};
use crate::worker::{Around, Pending, Seen, Worker};

/// Up to so many workers a gate is weighed for each conviction.
const FEW: usize = 256;
/// Good looks in a row that end a `down`.
const GOOD_LOOKS: u32 = 2;

/// A worker as it is judged now, before the past has its say.
pub(super) struct Judgement {
    pub(super) facts: Facts,
    pub(super) verdict: Verdict,
    pub(super) readings: Readings,
    pub(super) findings: [Option<Finding>; checks::TABLE.len()],
    /// The worst finding, those included that are unknown now and were known.
    pub(super) worst: Option<Finding>,
}

impl Ledger {
    pub(super) fn around(&self, fleet: &str, now: Moment) -> Around<'_> {
        Around { now, rules: self.rules.of(fleet), sources: &self.sources, queues: &self.queues }
    }

    /// Judges a worker by what is known of it.
    pub(super) fn weigh(&self, worker: &Worker, now: Moment) -> Judgement {
        let around = self.around(&worker.key.fleet, now);
        let progress = progress::weigh(worker, around);
        let mut facts = worker.facts(&progress, around);
        let readings = worker.readings(&progress, around);
        let findings = checks::findings(&readings, around.rules);
        // A check that turns unknown does not improve the status: what it found last still counts.
        let mut worst = None;
        let mut critical = None;
        for ((check, ..), finding) in checks::TABLE.iter().zip(findings) {
            let found = finding.or_else(|| worker.known.get(check).copied());
            worst = worst.max(found);
            if found == Some(Finding::Critical) && critical.is_none() {
                critical = Some(name(*check, worker));
            }
        }
        facts.critical = critical;
        facts.warning = worst >= Some(Finding::Warning);
        // The score is for what adds up. One warning alone is a warning, also where it is the only check that is known.
        let wrong = findings.iter().filter(|f| **f >= Some(Finding::Warning)).count();
        let score = checks::score(&findings, worst, State::Healthy);
        facts.low_score = wrong > 1 && score.is_some_and(|s| s < around.rules.minimum_score);
        let verdict = state::decide(&facts);
        Judgement { facts, verdict, readings, findings, worst }
    }

    /// Judges whoever a look was about.
    pub(super) fn judge_after(
        &mut self,
        source: &Arc<str>,
        scope: &Scope,
        started: Moment,
        succeeded: bool,
        seen: Seen,
    ) {
        let keys: Vec<WorkerKey> = match scope {
            Scope::Worker(key) => vec![key.clone()],
            Scope::Listing => self
                .workers
                .iter()
                .filter(|(_, w)| w.sights.get(source).is_some_and(|s| s.listed))
                .map(|(k, _)| k.clone())
                .collect(),
            Scope::Queue(queue) => {
                // An empty queue is news only for who is known by its polls, or is not well.
                let calm = self.queues.get(queue).is_none_or(|q| q.heads.is_empty());
                let concerns = |w: &Worker| !calm || w.only_polls() || w.standing.state != State::Healthy;
                self.workers
                    .iter()
                    .filter(|(_, w)| {
                        w.sights.contains_key(source) && w.task_queues.contains(&queue.task_queue) && concerns(w)
                    })
                    .map(|(k, _)| k.clone())
                    .collect()
            }
        };
        for key in keys {
            // A queue's figures say that work waits; they are no second look at a beat or an endpoint.
            let looked = (succeeded && !matches!(scope, Scope::Queue(_))).then_some(started);
            self.judge(&key, seen.now, seen.wall, looked);
        }
    }

    /// Judges what time alone changes: graces, failed sources, holds. Settled workers only when `all`.
    pub(super) fn judge_by_time(&mut self, now: Moment, wall: WallTime, all: bool) {
        let names: Vec<_> = self.sources.keys().cloned().collect();
        for name in names {
            self.weigh_gate(&name, now);
            if let Some(source) = self.sources.get_mut(&name) {
                source.settling = source.settling.filter(|until| now < *until);
            }
        }
        let keys: Vec<_> = self
            .workers
            .iter()
            .filter(|(_, w)| all || w.pending.is_some() || !matches!(w.standing.state, State::Healthy | State::Down))
            .map(|(k, _)| k.clone())
            .collect();
        for key in keys {
            self.judge(&key, now, wall, None);
        }
    }

    fn judge(&mut self, key: &WorkerKey, now: Moment, wall: WallTime, looked: Option<Moment>) {
        let Some(worker) = self.workers.get(key).filter(|w| !w.departed) else { return };
        let judgement = self.weigh(worker, now);
        self.remember_findings(key, &judgement);
        match judgement.verdict {
            Verdict::Left => {
                if self.workers.get(key).is_some_and(|w| w.standing.state != State::Down) {
                    self.dismiss(key, Reason::ShuttingDown, "it said goodbye and is gone", now, wall);
                }
            }
            Verdict::Is(State::Down, reason) => self.convict(key, reason, &judgement.facts, now, wall, looked),
            Verdict::Is(state, reason) => {
                let f = &judgement.facts;
                let there = f.host == Pulse::Fresh && [f.beat, f.work, f.reach] == [Pulse::None; 3];
                let speaks = f.beat == Pulse::Fresh || f.reach == Pulse::Fresh || f.works_on();
                let good = looked.is_some() && (speaks || there);
                self.acquit(key, state, reason, now, wall, good);
            }
        }
    }

    fn remember_findings(&mut self, key: &WorkerKey, judgement: &Judgement) {
        let Some(worker) = self.workers.get_mut(key) else { return };
        for ((check, ..), finding) in checks::TABLE.iter().zip(&judgement.findings) {
            match finding {
                Some(finding) => _ = worker.known.insert(*check, *finding),
                // Five minutes with hardly a task say nothing of its tasks, and that is known: an old burst is no longer
                // held against it.
                None if *check == Check::TaskPerformance && judgement.readings.tasks.is_some() => {
                    worker.known.remove(check);
                }
                None => {}
            }
        }
    }

    fn convict(
        &mut self,
        key: &WorkerKey,
        reason: Reason,
        facts: &Facts,
        now: Moment,
        wall: WallTime,
        looked: Option<Moment>,
    ) {
        let Some(worker) = self.workers.get_mut(key) else { return };
        worker.good = 0;
        if worker.standing.state == State::Down {
            return;
        }
        // One immediate second look that agrees. Only a look can agree; time alone convicts nobody.
        let pending = worker.pending.get_or_insert_with(|| {
            self.urgent.insert(key.clone());
            Pending { since: now, agreed: None }
        });
        if pending.agreed.is_none() && looked.is_some_and(|started| started >= pending.since) {
            pending.agreed = Some(now);
        }
        let Some(agreed) = pending.agreed else { return };
        // The gates are weighed before anybody is convicted: at once where there are few to weigh, else with the next tick,
        // or ten thousand that fall together would each weigh ten thousand.
        if looked.is_some() {
            if self.workers.len() > FEW {
                return;
            }
            let names: Vec<_> = self.workers.get(key).into_iter().flat_map(|w| w.sights.keys().cloned()).collect();
            for name in names {
                self.weigh_gate(&name, now);
            }
        }
        let weighed = |name: &Arc<str>| self.sources.get(name).is_none_or(|s| s.weighed.is_some_and(|at| at >= agreed));
        if !self.workers.get(key).is_some_and(|w| w.sights.keys().all(weighed)) {
            return;
        }
        match self.ruling(key, facts, now) {
            Ruling::Hold => {}
            Ruling::Open => self.change(key, State::Down, reason, None, now, wall),
            Ruling::Convict(cause) => self.change(key, State::Down, Reason::CorrelatedLoss, Some(cause), now, wall),
            Ruling::Blind => self.change(key, State::Unknown, Reason::SourceSilent, None, now, wall),
        }
    }

    fn acquit(&mut self, key: &WorkerKey, state: State, reason: Reason, now: Moment, wall: WallTime, good: bool) {
        let held = self.is_held(key, state, now);
        let Some(worker) = self.workers.get_mut(key) else { return };
        worker.pending = None;
        if held {
            return;
        }
        if worker.standing.state == State::Down {
            // `down` stands through failures of its sources; only good evidence, twice, ends it.
            if state == State::Unknown {
                return;
            }
            worker.good += u32::from(good);
            let replaced = worker.restarted && worker.found > worker.standing.since;
            if worker.good < GOOD_LOOKS && !replaced {
                return;
            }
        }
        worker.good = 0;
        self.change(key, state, reason, None, now, wall);
    }

    /// While a gate is closed, a worker that fell with the others keeps its state: neither `down` nor `degraded`.
    fn is_held(&self, key: &WorkerKey, state: State, now: Moment) -> bool {
        let Some(worker) = self.workers.get(key) else { return false };
        if !matches!(state, State::Degraded | State::Stuck) {
            return false;
        }
        let around = self.around(&key.fleet, now);
        worker.sights.keys().any(|name| {
            let closed = self.sources.get(name).is_some_and(|s| !s.gate.trusted() || s.settling.is_some());
            closed && self.member(worker, name, around).is_some_and(|m| m.fallen)
        })
    }

    /// What the gates of its silent channels say. The strictest wins.
    fn ruling(&mut self, key: &WorkerKey, facts: &Facts, now: Moment) -> Ruling {
        // What it says of itself, in an answer, is nobody's silence.
        let own_word = facts.says_dead.is_some() && facts.reach == Pulse::Fresh;
        // Nor is the end of its process: who runs it says so.
        let told = own_word || facts.host_gone.is_some();
        let Some(worker) = self.workers.get(key).filter(|_| !told) else { return Ruling::Open };
        let around = self.around(&key.fleet, now);
        let members: Vec<_> =
            worker.sights.keys().filter_map(|name| Some((name.clone(), self.member(worker, name, around)?))).collect();
        // A record that was deleted before its time leaves at the next look, or comes back.
        let mut ruling = if worker.sights.values().any(|s| s.deleted) { Ruling::Hold } else { Ruling::Open };
        for (name, member) in members.into_iter().filter(|(_, m)| m.fallen) {
            let Some(source) = self.sources.get_mut(&name) else { continue };
            let of_source = if source.settling.is_some() { Ruling::Hold } else { source.gate.ruling(now, &member) };
            ruling = match (ruling, of_source) {
                (Ruling::Hold, _) | (_, Ruling::Hold) => Ruling::Hold,
                (Ruling::Blind, _) | (_, Ruling::Blind) => Ruling::Blind,
                (Ruling::Convict(cause), _) | (_, Ruling::Convict(cause)) => Ruling::Convict(cause),
                _ => Ruling::Open,
            };
        }
        ruling
    }

    /// Weighs the gate of a source, when a conviction hangs on it or it is closed.
    fn weigh_gate(&mut self, name: &Arc<str>, now: Moment) {
        let Some(source) = self.sources.get_mut(name) else { return };
        source.weighed = Some(now);
        let source = &*source;
        let of_source = |w: &&Worker| w.sights.contains_key(name) && w.standing.state != State::Down;
        let at_stake = self.workers.values().filter(of_source).any(|w| w.pending.is_some());
        if !at_stake && source.gate.trusted() && !source.gate.blind() {
            return;
        }
        let members: Vec<_> = self
            .workers
            .values()
            .filter(of_source)
            .filter_map(|w| self.member(w, name, self.around(&w.key.fleet, now)))
            .collect();
        let Some(source) = self.sources.get_mut(name) else { return };
        if source.gate.weigh(now, &members) {
            self.urgent.extend(self.workers.values().filter(|w| w.sights.contains_key(name)).map(|w| w.key.clone()));
        }
    }

    /// A worker as the gate of one source sees it. `None`: it does not count there.
    fn member(&self, worker: &Worker, name: &Arc<str>, around: Around<'_>) -> Option<Member> {
        let sight = worker.sights.get(name)?;
        if sight.goodbye.is_some() {
            return None;
        }
        let own = |what: What| worker.channels.get(&(name.clone(), what));
        let (beat, reach) = (own(What::Beat), own(What::Reach));
        let leading = reach.or(beat)?;
        let mut limits = worker.limits(name, if reach.is_some() { What::Reach } else { What::Beat }, leading, around);
        if reach.is_some() {
            // An endpoint is silent after so many misses, which quick looks make sooner than a limit in seconds.
            limits.critical = limits.critical.min(worker.interval(name, around) * around.rules.reach_misses);
        }
        let fallen = match (reach, beat) {
            (Some(reach), _) => reach.misses > 0,
            (None, Some(_)) => sight.missing.is_some() || leading.silent >= limits.warning,
            (None, None) => false,
        };
        let failure = leading.failure.filter(|_| reach.is_some());
        // Its polls stopped as well: the server that would show them answers, and shows none.
        let mut polls = worker
            .channels
            .iter()
            .filter(|((of, what), c)| of == name && matches!(what, What::Access(_)) && c.moves > 0)
            .peekable();
        let gone = polls.peek().is_some()
            && polls.all(|((of, what), c)| c.silent >= worker.limits(of, *what, c, around).warning);
        let mut traits = Vec::new();
        if let Some(failure) = failure {
            traits.push(("failure", Arc::from(failure.word())));
        }
        for (label, value) in [("host", &worker.info.host), ("build", &worker.info.build_id)] {
            traits.extend(value.clone().map(|v| (label, v)));
        }
        traits.push(("fleet", worker.key.fleet.clone()));
        Some(Member {
            fallen,
            moved: leading.moved.map_or(leading.found, |(at, _)| at),
            proof: failure.is_some_and(Failure::proves_the_way) || (reach.is_none() && gone),
            only_silence: reach.is_some(),
            critical: limits.critical,
            traits,
        })
    }

    fn change(
        &mut self,
        key: &WorkerKey,
        state: State,
        reason: Reason,
        cause: Option<Arc<str>>,
        now: Moment,
        wall: WallTime,
    ) {
        let Some(worker) = self.workers.get_mut(key) else { return };
        worker.pending = None;
        let standing = &mut worker.standing;
        let before = (standing.state, standing.reason);
        standing.reason = reason;
        if before.0 == state {
            return;
        }
        standing.state = state;
        standing.since = now;
        standing.since_wall = wall;
        standing.cause = cause.clone();
        worker.good = 0;
        let from_or_to_unknown = before.0 == State::Unknown || state == State::Unknown;
        // Being called flapping is no change of its own, or it would keep itself alive.
        let by_flapping = before.1 == Reason::Flapping || reason == Reason::Flapping;
        if !from_or_to_unknown {
            standing.changes += 1;
            if !by_flapping {
                worker.recent.push_back(now);
                if worker.recent.len() > 32 {
                    worker.recent.pop_front();
                }
            }
        }
        let detail = self.detail(key, now, cause.as_deref());
        let new = before == (State::Unknown, Reason::NotLookedAt);
        self.changes.push(Change {
            key: key.clone(),
            from: (!new).then_some(before.0),
            to: Some(state),
            reason,
            detail,
            at: wall,
        });
    }

    /// One sentence on why, with the figures.
    fn detail(&self, key: &WorkerKey, now: Moment, cause: Option<&str>) -> String {
        let Some(worker) = self.workers.get(key) else { return String::new() };
        let judgement = self.weigh(worker, now);
        let mut detail = String::from(worker.standing.reason.meaning().trim_end_matches('.'));
        if let Some(cause) = cause {
            detail.push_str("; they share: ");
            detail.push_str(cause);
        }
        let checks = checks::explain(&judgement.readings, self.rules.of(&key.fleet));
        let gravest = checks.iter().filter(|c| c.finding >= Some(Finding::Warning)).max_by_key(|c| c.finding);
        if let Some(check) = gravest {
            detail.push_str("; ");
            detail.push_str(check.check.word());
            detail.push_str(": ");
            detail.push_str(&check.why);
        }
        detail
    }
}

/// The reason that a critical check is called by.
fn name(check: Check, worker: &Worker) -> Reason {
    let answer = worker.sights.values().filter_map(|s| s.answer.as_ref());
    match check {
        Check::Probe if answer.clone().any(|a| a.contradiction) => Reason::Contradiction,
        Check::Probe if answer.clone().any(|a| a.said == Some(crate::evidence::Said::Down)) => Reason::Unhealthy,
        _ => state::reason_of(check),
    }
}
