//! What Temporal says of this very worker: is it listed, does it beat, does it poll, does it leave? Pure.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use verdict::channel::Channel;
use verdict::evidence::{Mark, Observation, TypeReport};
use verdict::rules::Rules;
use verdict::time::{Moment, WallTime};
use verdict::words::{Failure, Reason, TaskType};

use super::cause::Cause;
use super::check::{Finding, Outcome, seconds};
use crate::observe::temporal::OwnSeen;

/// Workflow slots that are held for this long while nothing is processed are held by a dead loop: no server gives a
/// workflow task longer.
const WORKFLOW_TASK: Duration = Duration::from_secs(120);
/// While it is not ready it is looked at this often, so that a rollout does not wait for us.
const EAGER: Duration = Duration::from_secs(5);
/// A failed look is made again after this long.
const AGAIN: Duration = Duration::from_secs(5);
/// A ready worker is looked at this often: thousands of sidecars share the quota of one namespace.
const STEADY: Duration = Duration::from_secs(30);
/// For this long after the start or a change it is looked at eagerly; then a worker that stays away costs little.
const EAGER_FOR: Duration = Duration::from_secs(120);

/// Watches the worker as Temporal sees it.
#[derive(Debug)]
pub(super) struct TemporalWatch {
    rules: Rules,
    queues: Vec<Arc<str>>,
    reach: Option<Channel>,
    throttled: u32,
    /// The last answer listed workers with their heartbeats.
    heartbeats: bool,
    /// By instance key: the living, and those that the list has lost.
    records: BTreeMap<Arc<str>, Registered>,
    /// By queue and type: the server's stamp of its last poll.
    access: BTreeMap<(Arc<str>, TaskType), Channel>,
    not_ready_since: Option<Moment>,
}

/// One record of it: one for each queue that it serves.
#[derive(Debug)]
struct Registered {
    last: Observation,
    beat: Channel,
    polls: BTreeMap<TaskType, Channel>,
    /// Workflow tasks: the counter of processed ones, and since when slots are held.
    processed: Option<Channel>,
    held: Option<Moment>,
    listed: bool,
}

impl TemporalWatch {
    /// `queues` are those that it must serve; none: those that it is seen to serve.
    #[must_use]
    pub(super) fn new(queues: Vec<Arc<str>>) -> Self {
        Self {
            rules: Rules::default(),
            queues,
            reach: None,
            throttled: 0,
            heartbeats: true,
            records: BTreeMap::new(),
            access: BTreeMap::new(),
            not_ready_since: None,
        }
    }

    /// How long until the next look.
    #[must_use]
    pub(super) fn interval(&self, now: Moment) -> Duration {
        if self.throttled > 0 {
            // The namespace is asked too much, by all of us together.
            return STEADY * 2_u32.pow(self.throttled.min(4));
        }
        if self.reach.as_ref().is_some_and(|reach| reach.failure.is_some()) {
            return AGAIN;
        }
        // The first beat declares no interval: until the second the stock one would be waited for.
        let new = self.records.values().filter(|record| record.beat.moves == 0).map(|record| record.beat.found);
        match self.not_ready_since.into_iter().chain(new).max() {
            Some(since) if now.since(since) < EAGER_FOR => EAGER,
            _ => self.beat_interval(),
        }
    }

    /// Every half cadence, as the exporter does, but no oftener than is kind to the server.
    fn beat_interval(&self) -> Duration {
        let cadences = self.records.values().filter_map(|record| record.beat.cadence.value(&self.rules));
        cadences.min().map_or(STEADY, |cadence| (cadence / 2).clamp(AGAIN, STEADY))
    }

    /// Takes in a look that was planned `interval` after the one before.
    pub(super) fn look(&mut self, now: Moment, wall: WallTime, interval: Duration, outcome: Result<OwnSeen, Failure>) {
        match outcome {
            Ok(seen) => {
                self.throttled = 0;
                self.reach.get_or_insert_with(|| Channel::found(now, None)).answered(now, wall);
                self.seen(now, wall, interval, seen);
            }
            Err(Failure::Throttled) => self.throttled = self.throttled.saturating_add(1),
            Err(failure) => {
                self.reach.get_or_insert_with(|| Channel::found(now, None)).missed(now, interval, failure);
                for record in self.records.values_mut() {
                    record.beat.blinded(failure);
                    record.polls.values_mut().chain(&mut record.processed).for_each(|c| c.blinded(failure));
                }
                self.access.values_mut().for_each(|c| c.blinded(failure));
            }
        }
        let ready = [self.reachable(), self.registered(), self.polling(now)]
            .iter()
            .all(|finding| finding.outcome <= Outcome::Warn);
        self.not_ready_since = if ready { None } else { self.not_ready_since.or(Some(now)) };
    }

    fn seen(&mut self, now: Moment, wall: WallTime, interval: Duration, seen: OwnSeen) {
        self.heartbeats = seen.heartbeats;
        self.records.values_mut().for_each(|record| record.listed = false);
        for observation in seen.workers {
            let key = Arc::clone(&observation.record);
            match self.records.get_mut(&key) {
                Some(record) => record.look(now, wall, interval, observation),
                None => {
                    self.records.insert(key, Registered::found(now, observation));
                }
            }
        }
        for record in self.records.values_mut().filter(|record| !record.listed) {
            record.beat.look(now, wall, interval, None, None);
        }
        self.succeed();
        for polled in seen.polls {
            let mark = polled.last_access.map(Mark::stamp);
            match self.access.get_mut(&(Arc::clone(&polled.task_queue), polled.task_type)) {
                Some(channel) => {
                    channel.look(now, wall, interval, mark, polled.last_access);
                }
                None => {
                    let mut channel = Channel::found(now, mark);
                    channel.stamp = polled.last_access;
                    self.access.insert((polled.task_queue, polled.task_type), channel);
                }
            }
        }
    }

    /// Of each queue only the newest record is this worker; the older ones are those that it took over from.
    fn succeed(&mut self) {
        let mut newest: BTreeMap<Arc<str>, (Option<WallTime>, Arc<str>)> = BTreeMap::new();
        for (key, record) in &self.records {
            let Some(queue) = record.last.task_queues.first() else { continue };
            let start = (record.last.info.start_time, Arc::clone(key));
            let kept = newest.entry(Arc::clone(queue)).or_insert_with(|| start.clone());
            if *kept < start {
                *kept = start;
            }
        }
        self.records.retain(|key, _| newest.values().any(|(_, kept)| kept == key));
    }

    /// It said goodbye: all of its records did.
    #[must_use]
    pub(super) fn goodbye(&self) -> bool {
        !self.records.is_empty() && self.records.values().all(|record| record.last.says.goodbye)
    }

    /// The queues that it is seen to serve, joined by commas; `None` while none is known.
    #[must_use]
    pub(super) fn queues(&self) -> Option<Arc<str>> {
        let mut queues: Vec<&str> =
            self.records.values().flat_map(|r| r.last.task_queues.first()).map(|q| &**q).collect();
        queues.sort_unstable();
        queues.dedup();
        (!queues.is_empty()).then(|| Arc::from(queues.join(",")))
    }

    /// The queues whose pollers must be asked for, since the list does not say enough: it has no record of the worker, or
    /// one that shows no poller or does not stamp every poll.
    #[must_use]
    pub(super) fn wanted(&self) -> Vec<(Arc<str>, TaskType)> {
        if self.records.is_empty() {
            let both = |queue: &Arc<str>| [TaskType::Workflow, TaskType::Activity].map(|t| (Arc::clone(queue), t));
            return self.queues.iter().flat_map(both).collect();
        }
        let doubtful = |report: &&TypeReport| {
            report.task_type != TaskType::LocalActivity
                && report.available != Some(0)
                && (report.pollers == Some(0) || !report.stamps_empty_polls)
        };
        self.required()
            .filter_map(|record| Some((record.last.task_queues.first()?, &record.last.types)))
            .flat_map(|(queue, types)| types.iter().filter(doubtful).map(|t| (Arc::clone(queue), t.task_type)))
            .collect()
    }

    /// The server answers.
    #[must_use]
    pub(super) fn reachable(&self) -> Finding {
        let Some(reach) = &self.reach else {
            let cause =
                if self.throttled > 0 { Cause::Look(Failure::Throttled) } else { Cause::Of(Reason::NotLookedAt) };
            return Finding::unknown(cause, "");
        };
        match reach.failure {
            None if self.throttled > 0 => Finding::warn(Cause::Look(Failure::Throttled), ""),
            None => Finding::pass(""),
            Some(failure) => {
                let told = format!("{} looks in a row", reach.misses);
                if reach.misses >= self.rules.reach_misses || reach.moved.is_none() {
                    Finding::fail(Cause::Look(failure), told)
                } else {
                    Finding::warn(Cause::Look(failure), told)
                }
            }
        }
    }

    /// Temporal lists it, and it beats.
    #[must_use]
    pub(super) fn registered(&self) -> Finding {
        if self.reach.as_ref().is_none_or(|reach| reach.moved.is_none()) {
            return Finding::unknown(Cause::Of(Reason::NotLookedAt), "");
        }
        if !self.heartbeats {
            // Nobody is listed here; its polls alone must speak for it.
            return Finding::pass("this server lists no workers; judged by its polls alone");
        }
        if self.records.is_empty() {
            // An SDK that fails to ask for the capability at its start never beats, and works all the same.
            return match self.polling_unlisted() {
                polling if polling.outcome == Outcome::Pass => {
                    Finding::warn(Cause::NotRegistered, "it polls, but sends no heartbeats")
                }
                _ => Finding::fail(Cause::NotRegistered, ""),
            };
        }
        let missing =
            self.queues.iter().find(|queue| !self.records.values().any(|r| r.last.task_queues.contains(queue)));
        if let Some(queue) = missing {
            return Finding::fail(Cause::NotRegistered, format!("on {queue}"));
        }
        let interval = self.beat_interval();
        let mut worst = Finding::pass("");
        for record in self.required() {
            let queue = record.last.task_queues.first().map_or("", |queue| queue);
            let limits = record.beat.cadence.limits(&self.rules, interval);
            let told =
                format!("{queue}: silent for {}, limit {}", seconds(record.beat.silent), seconds(limits.critical));
            let finding = if record.beat.silent >= limits.critical {
                let cause = if record.listed { Reason::Stale } else { Reason::Gone };
                Finding::fail(Cause::Of(cause), told)
            } else if !record.listed {
                // The list lives in the memory of one server process; after its restart the next beat fills it.
                Finding::warn(Cause::NotRegistered, told)
            } else {
                Finding::pass(told)
            };
            worst = worst.worse(finding);
        }
        worst
    }

    /// It polls, or has no free slot to poll for.
    #[must_use]
    pub(super) fn polling(&self, now: Moment) -> Finding {
        if self.reach.as_ref().is_none_or(|reach| reach.moved.is_none()) {
            return Finding::unknown(Cause::Of(Reason::NotLookedAt), "");
        }
        if self.records.is_empty() {
            return self.polling_unlisted();
        }
        let mut worst = Finding::pass("");
        for record in self.required() {
            for report in record.last.types.iter().filter(|report| report.task_type != TaskType::LocalActivity) {
                worst = worst.worse(self.one_type(now, record, report));
            }
        }
        if worst.detail.is_empty() {
            return Finding::unknown(Cause::AwaitingPoll, "it reports no task type yet");
        }
        worst
    }

    /// The records that count: those on the queues that it must serve, else all.
    fn required(&self) -> impl Iterator<Item = &Registered> {
        self.records
            .values()
            .filter(|r| self.queues.is_empty() || r.last.task_queues.iter().any(|queue| self.queues.contains(queue)))
    }

    fn one_type(&self, now: Moment, record: &Registered, report: &TypeReport) -> Finding {
        let queue = record.last.task_queues.first().cloned().unwrap_or_else(|| Arc::from(""));
        let what = format!("{queue} {}", report.task_type);
        if let (TaskType::Workflow, Some(processed), Some(held)) = (report.task_type, &record.processed, record.held) {
            let flat = processed.silent.min(now.since(held));
            if flat >= WORKFLOW_TASK {
                let told = format!("{what}: none processed for {}", seconds(flat));
                return Finding::fail(Cause::Of(Reason::TasksNotProcessed), told);
            }
        }
        if report.available == Some(0) {
            return Finding { cause: Cause::Full, ..Finding::pass(what) };
        }
        let access = self.access.get(&(queue, report.task_type));
        let polls = record.polls.get(&report.task_type).filter(|_| report.stamps_empty_polls);
        let last = [polls, access].into_iter().flatten().min_by_key(|channel| channel.silent);
        let silent = last.map(|channel| channel.silent);
        // Its own stamp is this incarnation's; the server's may be that of the one before, until it moves.
        let ever = polls.is_some_and(|polls| !polls.never()) || access.is_some_and(|access| access.moves > 0);
        // Its own stamp is shown at its beats only, so it is seen to move up to one beat later.
        let late = record.beat.cadence.value(&self.rules).unwrap_or_default();
        let limit = Duration::from_secs_f64(self.rules.no_progress.critical) + late;
        if let Some(silent) = silent.filter(|silent| *silent >= limit) {
            let told = format!("{what}: no poll for {}, limit {}", seconds(silent), seconds(limit));
            return Finding::fail(Cause::Of(Reason::NotPolling), told);
        }
        match report.pollers {
            // Between two polls there may be none for a moment, and a beat may show just that.
            Some(0) if !ever => Finding::unknown(Cause::AwaitingPoll, what),
            _ => Finding::pass(match silent {
                Some(silent) if ever => format!("{what}: last poll {} ago", seconds(silent)),
                _ => what,
            }),
        }
    }

    /// Known by its polls alone: one type that it polls is enough, since not every worker serves all.
    fn polling_unlisted(&self) -> Finding {
        let limit = Duration::from_secs_f64(self.rules.no_progress.critical);
        // First sight is not a poll: the server remembers the dead for five minutes.
        let polled = self.access.iter().filter(|(_, channel)| channel.moves > 0);
        let Some(((queue, task_type), channel)) = polled.min_by_key(|(_, channel)| channel.silent) else {
            return Finding::unknown(Cause::AwaitingPoll, "");
        };
        let told = format!("{queue} {task_type}: last poll {} ago, limit {}", seconds(channel.silent), seconds(limit));
        if channel.silent >= limit {
            // A worker whose slots are all busy polls as little as a dead one.
            Finding::fail(Cause::Of(Reason::FullOrGone), told)
        } else {
            Finding::pass(told)
        }
    }
}

impl Registered {
    fn found(now: Moment, observation: Observation) -> Self {
        let beat = observation.beat;
        let mut channel = Channel::found(now, beat.and_then(|beat| beat.mark));
        channel.stamp = beat.and_then(|beat| beat.stamp);
        channel.cadence.declare(beat.and_then(|beat| beat.declared));
        let polls = observation.types.iter().map(|report| {
            let mut polls = Channel::found(now, report.last_poll.map(Mark::stamp));
            polls.stamp = report.last_poll;
            (report.task_type, polls)
        });
        let polls = polls.collect();
        let workflow = of_type(&observation, TaskType::Workflow);
        let processed = workflow.and_then(|report| report.processed).map(|count| Channel::found(now, counted(count)));
        let held = workflow.filter(|report| report.used.is_some_and(|used| used > 0)).map(|_| now);
        Self { last: observation, beat: channel, polls, processed, held, listed: true }
    }

    fn look(&mut self, now: Moment, wall: WallTime, interval: Duration, observation: Observation) {
        self.listed = true;
        // A short record says nothing of its beat: an old one shown again would read as silence.
        let Some(beat) = observation.beat else {
            self.last.says = observation.says;
            return;
        };
        self.beat.cadence.declare(beat.declared);
        self.beat.look(now, wall, interval, beat.mark, beat.stamp);
        for report in &observation.types {
            let mark = report.last_poll.map(Mark::stamp);
            let polls = self.polls.entry(report.task_type).or_insert_with(|| Channel::found(now, None));
            polls.look(now, wall, interval, mark, report.last_poll);
        }
        let workflow = of_type(&observation, TaskType::Workflow);
        if let Some(count) = workflow.and_then(|report| report.processed) {
            let processed = self.processed.get_or_insert_with(|| Channel::found(now, None));
            processed.look(now, wall, interval, counted(count), None);
        }
        let holds = workflow.is_some_and(|report| report.used.is_some_and(|used| used > 0));
        self.held = holds.then(|| self.held.unwrap_or(now));
        self.last = observation;
    }
}

fn of_type(observation: &Observation, task_type: TaskType) -> Option<&TypeReport> {
    observation.types.iter().find(|report| report.task_type == task_type)
}

fn counted(count: u64) -> Option<Mark> {
    Some(Mark::bytes(&count.to_be_bytes()))
}
