//! The present as it is shown.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use super::Ledger;
use super::judge::Judgement;
use super::listing::POLLER;
use crate::channel::What;
use crate::checks;
use crate::evidence::{QueueKey, QueueReport, Version, WorkerKey};
use crate::slots::Place;
use crate::snapshot::{ChannelView, FleetView, NumbersView, QueueView, Snapshot, SourceView, WorkerView};
use crate::snapshot::{CheckView, Finding, VersionView, WorkView};
use crate::source::Source;
use crate::state;
use crate::time::{Moment, WallTime};
use crate::versions;
use crate::words::{ChannelKind, Failure, State, TaskType};
use crate::worker::{Around, Worker};

impl Ledger {
    /// The present, to be published.
    #[must_use]
    pub fn snapshot(&self, now: Moment, wall: WallTime) -> Snapshot {
        let queues = self.queue_views(now);
        let mut workers: Vec<_> =
            self.workers.values().filter(|w| !w.departed).map(|w| self.worker_view(w, now)).collect();
        for queue in queues.iter().filter(|queue| !queue.issues.is_empty()) {
            tell(&mut workers, queue);
        }
        Snapshot {
            taken: now,
            taken_wall: wall,
            fleets: self.fleet_views(&workers),
            queues,
            sources: self
                .rules
                .sources
                .iter()
                .filter_map(|r| self.sources.get(&r.name))
                .map(|s| self.source_view(s))
                .collect(),
            workers,
            observer_trusted: now >= self.distrusted_until,
            late_ticks: self.late_ticks,
            leftover_records: self.records.values().flat_map(|r| r.values()).filter(|r| r.leftover && r.present).count()
                as u64,
        }
    }

    fn worker_view(&self, worker: &Worker, now: Moment) -> WorkerView {
        let around = self.around(&worker.key.fleet, now);
        let judgement = self.weigh(worker, now);
        let standing = &worker.standing;
        let score = checks::score(&judgement.findings, judgement.worst, standing.state);
        let checks = checks::explain(&judgement.readings, around.rules);
        WorkerView {
            key: worker.key.clone(),
            state: standing.state,
            reason: standing.reason,
            status: state::status(standing.state, judgement.worst),
            since: standing.since_wall,
            changes: standing.changes,
            restarts: standing.restarts,
            score: if standing.state == State::Unknown { None } else { score },
            issues: issues(worker, &checks),
            would_change: would_change(worker, &judgement, around),
            channels: worker
                .channels
                .iter()
                .map(|((source, what), c)| self.channel_view(worker, source, *what, c, around))
                .collect(),
            sources: worker.sights.keys().cloned().collect(),
            notes: worker.sights.values().flat_map(|s| s.notes.iter().cloned()).collect(),
            info: worker.info.clone(),
            numbers: NumbersView::from(&worker.numbers),
            types: worker.types.clone(),
            task_queues: worker.task_queues.clone(),
            last_check: worker.checked.map(|(_, wall)| wall),
            last_heartbeat: worker.last_beat(),
            heartbeat_interval: worker
                .channels
                .iter()
                .filter(|((_, what), c)| *what == What::Beat && c.believed())
                .find_map(|(_, c)| c.cadence.value(around.rules)),
            last_progress: worker.last_progress(),
            clock_skew: worker.skew,
            certificate: worker.sights.values().filter_map(|s| s.certificate).min(),
            tasks_total: worker.tally.finished(),
            tasks_failed_total: worker.tally.failed(),
            shared_cause: standing.cause.as_deref().map(String::from),
            checks,
        }
    }

    fn channel_view(
        &self,
        worker: &Worker,
        source: &Arc<str>,
        what: What,
        c: &crate::channel::Channel,
        around: Around<'_>,
    ) -> ChannelView {
        let limits = worker.limits(source, what, c, around);
        ChannelView {
            source: source.clone(),
            kind: what.kind(),
            what: what.to_string(),
            silent_seconds: c.silent.as_secs_f64(),
            warning_seconds: limits.warning.as_secs_f64(),
            critical_seconds: limits.critical.as_secs_f64(),
            last_moved: c.moved.map(|(_, wall)| wall),
            moves: c.moves,
            misses: c.misses,
            failure: c.failure,
            said: (what == What::Reach).then(|| worker.sights.get(source)?.answer.as_ref()?.said).flatten(),
        }
    }

    fn fleet_views(&self, workers: &[WorkerView]) -> Vec<FleetView> {
        let mut names: BTreeSet<&Arc<str>> = self.rules.fleets.keys().chain(self.fleets.keys()).collect();
        names.extend(workers.iter().map(|w| &w.key.fleet));
        // Sorted by fleet: each fleet is one run of them.
        let of = |name: &Arc<str>| {
            let from = workers.partition_point(|w| w.key.fleet < *name);
            let until = workers.partition_point(|w| w.key.fleet <= *name);
            workers.get(from..until).unwrap_or_default()
        };
        names.into_iter().map(|name| self.fleet_view(name, of(name))).collect()
    }

    fn fleet_view(&self, name: &Arc<str>, workers: &[WorkerView]) -> FleetView {
        let rules = self.rules.of(name);
        let mut view = FleetView {
            fleet: name.clone(),
            page: rules.page,
            team: rules.team.clone(),
            workers: [0; 7],
            expected_workers: rules.expected_workers,
            tasks_completed: Vec::new(),
            tasks_failed: Vec::new(),
            work: WorkView::default(),
            slots: Vec::new(),
            queues: Vec::new(),
            sources: Vec::new(),
        };
        let mut slots: BTreeMap<TaskType, (u64, Option<u64>)> = BTreeMap::new();
        let mut sources = BTreeSet::new();
        for worker in workers {
            if let Some((count, _)) = view.workers.iter_mut().zip(State::ALL).find(|(_, s)| **s == worker.state) {
                *count += 1;
            }
            sources.extend(worker.sources.iter().cloned());
            // What a dead worker had is no capacity.
            for t in worker.types.iter().filter(|_| worker.state != State::Down) {
                let (used, available) = slots.entry(t.task_type).or_default();
                *used += t.used.unwrap_or(0);
                if let Some(free) = t.available {
                    *available = Some(available.unwrap_or(0) + free);
                }
            }
        }
        view.sources = sources.into_iter().collect();
        view.slots = slots.into_iter().map(|(t, (used, available))| (t, used, available)).collect();
        if let Some(fleet) = self.fleets.get(name) {
            let totals = &fleet.totals;
            view.tasks_completed = totals.tasks.iter().map(|(t, (done, _))| (*t, *done)).collect();
            view.tasks_failed = totals.tasks.iter().map(|(t, (_, failed))| (*t, *failed)).collect();
            view.work = WorkView::of(totals);
        }
        view.queues = self.queues.keys().filter(|q| self.serves(name, q)).cloned().collect();
        view
    }

    fn serves(&self, fleet: &Arc<str>, queue: &QueueKey) -> bool {
        self.rules.of(fleet).queues.contains(queue)
            || self
                .workers
                .range(WorkerKey::new(fleet.clone(), "")..)
                .take_while(|(k, _)| k.fleet == *fleet)
                .any(|(_, w)| serves(w, queue))
    }

    fn queue_views(&self, now: Moment) -> Vec<QueueView> {
        // By queue, so that many queues do not walk through all workers each.
        let mut servants: HashMap<&str, Vec<&Worker>> = HashMap::new();
        if !self.queues.is_empty() {
            for worker in self.workers.values().filter(|w| !w.departed) {
                for queue in &worker.task_queues {
                    servants.entry(queue).or_default().push(worker);
                }
            }
        }
        let none = Vec::new();
        let of = |key: &QueueKey| servants.get(&*key.task_queue).unwrap_or(&none);
        self.queues.keys().map(|key| self.queue_view(key, of(key), now)).collect()
    }

    /// `servants` take tasks of a queue of this name.
    fn queue_view(&self, key: &QueueKey, servants: &[&Worker], now: Moment) -> QueueView {
        let Some(queue) = self.queues.get(key) else { return QueueView::of(key.clone()) };
        let report = &queue.report;
        let seen = queue.health.success.is_some();
        // Redis knows no pollers: nobody says so there is not nobody polls.
        let polled = self.sources.get(&key.source).is_some_and(|s| s.rules.kind.sees_polls());
        let mut view = QueueView {
            backlog: report.backlog,
            backlog_age_seconds: report.backlog_age.map(|a| a.as_secs_f64()),
            add_rate: report.add_rate,
            dispatch_rate: report.dispatch_rate,
            rate_limited: report.rate_limited,
            pollers: (seen && polled).then_some(report.pollers.len() as u64).filter(|n| *n > 0 || !report.partial),
            pollers_incomplete: (seen && polled).then_some(report.partial),
            waiting: queue.waiting(self.rules.default.waiting_age),
            expected: queue.expected,
            last_success: queue.health.success.map(|(_, wall)| wall),
            failure: queue.health.failing,
            ..QueueView::of(key.clone())
        };
        for worker in servants.iter().filter(|w| serves(w, key)) {
            let around = self.around(&worker.key.fleet, now);
            let of_type = worker.types.iter().find(|t| t.task_type == key.task_type);
            let full = of_type.is_some_and(|t| t.available == Some(0) && t.used.is_some_and(|u| u > 0));
            let unpolled = || {
                // Who never showed on a list that does not name all may poll.
                worker.channels.get(&(key.source.clone(), What::Access(key.task_type))).map_or(!report.partial, |c| {
                    c.silent >= worker.limits(&key.source, What::Access(key.task_type), c, around).critical
                })
            };
            let silent = worker.standing.state == State::Down || (polled && unpolled());
            let count = match (worker.standing.state == State::Down, full, silent) {
                (false, true, _) => &mut view.workers_full,
                (true, ..) | (_, _, true) => &mut view.workers_silent,
                _ => &mut view.workers_polling,
            };
            *count += 1;
        }
        if !report.versions.is_empty() && seen {
            self.versions(&mut view, report, servants);
        }
        view
    }

    /// The versions of a queue, and what is wrong with them.
    fn versions(&self, view: &mut QueueView, report: &QueueReport, servants: &[&Worker]) {
        let servants: Vec<&Worker> = servants.iter().copied().filter(|w| serves(w, &view.key)).collect();
        let mut polling: HashMap<Version, u64> = HashMap::new();
        for poller in report.pollers.iter().filter(|p| !self.stopped(&p.identity, &servants, &view.key)) {
            *polling.entry(poller.version.clone().unwrap_or_default()).or_default() += 1;
        }
        let partial = report.partial;
        view.versions = report
            .versions
            .iter()
            .map(|report| VersionView {
                version: report.version.clone(),
                status: report.status,
                ramp_ratio: report.ramp,
                pollers: polling.get(&report.version).copied().or((!partial).then_some(0)),
                backlog: report.backlog,
                backlog_age_seconds: report.backlog_age.map(|age| age.as_secs_f64()),
            })
            .collect();
        // Old news is no news: a source that fails has its own voice.
        if view.failure.is_some() {
            return;
        }
        let alive = |version: &Version| {
            servants.iter().filter(|w| version_of(w) == *version).any(|w| match w.standing.state {
                State::Down | State::Draining | State::Unknown => false,
                State::Starting => true,
                // Whoever has no slot left does not poll, and is dropped from the pollers after some minutes.
                State::Healthy | State::Degraded | State::Stuck => w
                    .types
                    .iter()
                    .any(|t| t.task_type == view.key.task_type && t.available.unwrap_or(0) == 0 && t.used > Some(0)),
            })
        };
        view.issues = versions::issues(&view.versions, alive);
    }

    /// A queue server names a poller for minutes after its end. Here it is known to have ended: its worker is down, said
    /// goodbye, or is gone.
    fn stopped(&self, identity: &Arc<str>, servants: &[&Worker], key: &QueueKey) -> bool {
        let mut known = servants.iter().filter(|w| w.identity.as_ref() == Some(identity)).peekable();
        if known.peek().is_some() {
            return known.all(|w| matches!(w.standing.state, State::Down | State::Draining));
        }
        let records = self.records.get(&key.source).into_iter().flatten();
        let mut listed =
            records.filter(|(id, r)| r.identity.as_ref() == Some(identity) && !id.starts_with(POLLER)).peekable();
        listed.peek().is_some() && listed.all(|(_, r)| r.place == Place::Buried)
    }

    fn source_view(&self, source: &Source) -> SourceView {
        let name = &source.rules.name;
        let shown: Vec<_> = self.workers.values().filter(|w| w.sights.contains_key(name)).collect();
        // A source of single looks fails when they fail; a worker that does not answer does not make its source fail.
        let single: Vec<Option<Failure>> =
            shown.iter().filter_map(|w| w.sights.get(name)).filter(|s| !s.listed).map(|s| s.health.failing).collect();
        let tried = shown
            .iter()
            .filter_map(|w| w.sights.get(name))
            .filter(|s| s.health.success.is_some() || s.health.failing.is_some())
            .count();
        let queue_failure = self.queues.iter().filter(|(k, _)| k.source == *name).find_map(|(_, q)| q.health.failing);
        let (up, failure) = if source.rules.kind.looks_at_each() {
            let failing: Vec<_> = single.iter().flatten().copied().collect();
            let up = (tried > 0).then(|| failing.len() < single.len().max(1));
            (up, failing.first().copied())
        } else {
            let tried = source.health.success.is_some() || source.health.failing.is_some();
            (tried.then_some(source.health.failing.is_none()), source.health.failing.or(queue_failure))
        };
        let last = shown.iter().filter_map(|w| w.sights.get(name)?.health.success).map(|(_, wall)| wall).max();
        let settling = source
            .settling
            .map(|_| String::from("it came back or lost its memory: its workers get time to come back to it"));
        let heartbeats_off = (source.heartbeats == Some(false))
            .then(|| String::from("the server keeps no worker heartbeats: workers are known by their polls alone"));
        SourceView {
            source: name.clone(),
            kind: source.rules.kind,
            up,
            trusted: source.gate.trusted(),
            failure,
            last_success: source.health.success.map(|(_, wall)| wall).max(last),
            requests: source.requests,
            throttled: source.throttled,
            errors: source.errors.iter().map(|(f, n)| (*f, *n)).collect(),
            durations: source.durations.clone(),
            workers: shown.len() as u64,
            namespace: source.rules.namespace.clone(),
            // While it cannot be asked nobody knows how many there are.
            timed_out: source.timed_out.filter(|_| up == Some(true)),
            note: source.gate.note().or(settling).or(heartbeats_off),
        }
    }
}

/// Says to those who serve a queue what is wrong with it. To the workers that it is about, it is an issue; to the others,
/// who do all they can, a note.
fn tell(workers: &mut [WorkerView], queue: &QueueView) {
    for worker in workers {
        let serves = worker.sources.contains(&queue.key.source)
            && worker.task_queues.contains(&queue.key.task_queue)
            && (worker.types.is_empty() || worker.types.iter().any(|t| t.task_type == queue.key.task_type));
        if !serves {
            continue;
        }
        let QueueKey { task_queue, task_type, .. } = &queue.key;
        let told = queue.issues.iter().map(|issue| format!("queue {task_queue}, {task_type}: {issue}"));
        if worker.state == State::Healthy {
            worker.notes.extend(told.map(Arc::from));
        } else {
            worker.issues.extend(told);
        }
    }
}

fn version_of(worker: &Worker) -> Version {
    match (&worker.info.deployment, &worker.info.build_id) {
        (Some(deployment), Some(build_id)) => Version { deployment: deployment.clone(), build_id: build_id.clone() },
        // Workers without a version have a build id too, and no deployment.
        _ => Version::default(),
    }
}

fn serves(worker: &Worker, queue: &QueueKey) -> bool {
    worker.sights.contains_key(&queue.source)
        && worker.task_queues.contains(&queue.task_queue)
        && (worker.types.is_empty() || worker.types.iter().any(|t| t.task_type == queue.task_type))
}

/// What is wrong, the gravest first; one sentence each.
fn issues(worker: &Worker, checks: &[CheckView]) -> Vec<String> {
    let mut issues = Vec::new();
    let standing = &worker.standing;
    if !matches!(standing.state, State::Healthy) {
        let cause = standing.cause.as_deref().map(|c| format!(" They share: {c}.")).unwrap_or_default();
        issues.push(format!("{}: {}{cause}", standing.reason, standing.reason.meaning()));
    }
    let mut wrong: Vec<_> = checks.iter().filter(|c| c.finding >= Some(Finding::Warning)).collect();
    wrong.sort_by_key(|c| std::cmp::Reverse(c.finding));
    issues.extend(wrong.iter().map(|c| format!("{}: {}", c.check, c.why)));
    issues
}

/// What would change the state.
fn would_change(worker: &Worker, judgement: &Judgement, around: Around<'_>) -> Vec<String> {
    let mut lines = Vec::new();
    match worker.standing.state {
        State::Down => {
            lines.push(String::from("two good looks in a row, a newer incarnation, or its tombstone end `down`"));
        }
        State::Starting => lines.push(format!(
            "a first beat, work or good answer makes it healthy; without one it is down {} after it was found",
            checks::seconds(worker.grace(around))
        )),
        State::Unknown => lines.push(String::from("a successful look at one of its sources")),
        State::Draining => lines.push(String::from("it leaves in silence when its beat stops")),
        State::Healthy | State::Degraded | State::Stuck => {}
    }
    for ((source, what), c) in &worker.channels {
        let limits = worker.limits(source, *what, c, around);
        match what.kind() {
            ChannelKind::Beat if c.believed() => lines.push(format!(
                "{what} of {source}: silent for {}, warning at {}, silent for good at {}",
                checks::seconds(c.silent),
                checks::seconds(limits.warning),
                checks::seconds(limits.critical)
            )),
            ChannelKind::Reach => lines.push(format!(
                "{what} of {source}: {} misses in a row, does not answer at {}",
                c.misses, around.rules.reach_misses
            )),
            ChannelKind::Host => lines.push(format!(
                "{what} of {source}: held for {}, warning at {}, critical at {}; down when it is gone",
                checks::seconds(c.silent),
                checks::seconds(limits.warning),
                checks::seconds(limits.critical)
            )),
            _ => {}
        }
    }
    if judgement.facts.stuck.is_none() {
        let progress = crate::progress::weigh(worker, around);
        lines.push(match progress.silent {
            None => String::from("its queue is not known: it can never be `stuck`"),
            Some(_) => {
                format!("stuck once work waits and it makes no progress for {:.0} s", around.rules.no_progress.critical)
            }
        });
    }
    lines
}
