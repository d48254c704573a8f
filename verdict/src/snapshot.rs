//! The present, as it is published: metrics, API and page render the same snapshot, so they can never disagree.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;

pub use crate::histogram::{BOUNDS, Histogram};

use crate::evidence::{Info, Model, Numbers, QueueKey, Said, TypeReport, WorkerKey};
use crate::rules::Page;
use crate::tally::Totals;
use crate::time::{Moment, WallTime};
use crate::versions::Version;
use crate::words::{
    ChannelKind, Check, Failure, Reason, SourceKind, State, Status, TaskFailure, TaskType, VersionStatus,
};

/// Everything known at one moment.
#[derive(Clone, Debug, Default)]
pub struct Snapshot {
    /// When it was taken, on our monotonic clock.
    pub taken: Moment,
    /// The same on the wall.
    pub taken_wall: WallTime,
    /// Sorted by fleet, then worker.
    pub workers: Vec<WorkerView>,
    /// Sorted by name.
    pub fleets: Vec<FleetView>,
    /// Sorted by key.
    pub queues: Vec<QueueView>,
    /// In the order of the configuration.
    pub sources: Vec<SourceView>,
    /// False while our own loop cannot be believed.
    pub observer_trusted: bool,
    /// Looks of ours that came more than five seconds late.
    pub late_ticks: u64,
    /// Records that were already dead at first sight.
    pub leftover_records: u64,
}

/// One worker.
#[derive(Clone, Debug, Serialize)]
pub struct WorkerView {
    /// Its fleet and slot.
    #[serde(flatten)]
    pub key: WorkerKey,
    /// Its state.
    pub state: State,
    /// Why.
    pub reason: Reason,
    /// What the state comes down to.
    pub status: Status,
    /// Since when, wall clock.
    pub since: WallTime,
    /// Changes of state, those to and from `unknown` left out.
    pub changes: u64,
    /// Incarnations after the first.
    pub restarts: u64,
    /// 0 to 1; absent when nothing is known.
    pub score: Option<f64>,
    /// Each known check, in the order of the table.
    pub checks: Vec<CheckView>,
    /// One sentence for each thing that is wrong, the gravest first.
    pub issues: Vec<String>,
    /// What would change the state, for `probe --explain`.
    pub would_change: Vec<String>,
    /// Evidence by channel.
    pub channels: Vec<ChannelView>,
    /// Names of the sources that show it.
    pub sources: Vec<Arc<str>>,
    /// What its sources tell beside the figures, for people: one sentence each.
    pub notes: Vec<Arc<str>>,
    /// Names and versions.
    pub info: Info,
    /// Its numbers.
    pub numbers: NumbersView,
    /// Slots, pollers and counters by task type.
    #[serde(serialize_with = "types")]
    pub types: Vec<TypeReport>,
    /// Queues it serves.
    pub task_queues: Vec<Arc<str>>,
    /// When a look last told something of it.
    pub last_check: Option<WallTime>,
    /// When its last beat was received (our clock); absent if it never beat.
    pub last_heartbeat: Option<WallTime>,
    /// The cadence in use.
    pub heartbeat_interval: Option<Duration>,
    /// When it last made progress of its own (our clock).
    pub last_progress: Option<WallTime>,
    /// Its clock minus ours, seconds, as far as a beat shows.
    pub clock_skew: Option<f64>,
    /// Until when its certificate is valid, the first to end where several sources are shown one.
    pub certificate: Option<WallTime>,
    /// Tasks finished, over all its incarnations.
    pub tasks_total: Option<u64>,
    /// Tasks failed, over all its incarnations.
    pub tasks_failed_total: Option<u64>,
    /// Workers that fell silent with it share this.
    pub shared_cause: Option<String>,
}

fn types<S: serde::Serializer>(types: &[TypeReport], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(types.iter().map(|t| {
        serde_json::json!({
            "task_type": t.task_type, "slots_used": t.used, "slots_available": t.available, "processed": t.processed,
            "failed": t.failed, "pollers": t.pollers, "last_successful_poll": t.last_poll,
        })
    }))
}

/// The numbers of a worker as they are shown. Absent is unknown.
#[derive(Clone, Copy, Debug, Default, Serialize)]
#[expect(missing_docs, reason = "the fields of `Numbers`, by the same names")]
pub struct NumbersView {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub in_flight: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub waiting: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cpu_ratio: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory_bytes: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory_limit_bytes: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory_ratio: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub host_cpu_ratio: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub host_memory_ratio: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub disk_ratio: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gpu_ratio: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gpu_memory_ratio: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub model: Option<Model>,
}

impl From<&Numbers> for NumbersView {
    fn from(n: &Numbers) -> Self {
        Self {
            in_flight: n.in_flight,
            waiting: n.waiting,
            cpu_ratio: n.cpu_ratio,
            memory_bytes: n.memory_bytes,
            memory_limit_bytes: n.memory_limit_bytes,
            memory_ratio: n.memory_ratio,
            host_cpu_ratio: n.host_cpu_ratio,
            host_memory_ratio: n.host_memory_ratio,
            disk_ratio: n.disk_ratio,
            gpu_ratio: n.gpu_ratio,
            gpu_memory_ratio: n.gpu_memory_ratio,
            model: n.model,
        }
    }
}

/// What a check found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Finding {
    /// 1 in the score.
    Pass,
    /// 0.5 in the score.
    Warning,
    /// 0 in the score.
    Critical,
}

/// One check of one worker.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct CheckView {
    /// Which.
    pub check: Check,
    /// What it found; `None` is unknown and does not count.
    pub finding: Option<Finding>,
    /// Its weight in the score.
    pub weight: f64,
    /// Why, with the figures.
    pub why: String,
}

/// One channel of evidence of one worker.
#[derive(Clone, Debug, Serialize)]
pub struct ChannelView {
    /// Source that shows it.
    pub source: Arc<str>,
    /// Kind.
    pub kind: ChannelKind,
    /// What exactly moves, for people.
    pub what: String,
    /// Silence that counts, seconds.
    pub silent_seconds: f64,
    /// Warning limit, seconds.
    pub warning_seconds: f64,
    /// Critical limit, seconds.
    pub critical_seconds: f64,
    /// When it last moved (our clock).
    pub last_moved: Option<WallTime>,
    /// How often it moved.
    pub moves: u64,
    /// Misses in a row (reach).
    pub misses: u32,
    /// Why the last look failed or missed.
    pub failure: Option<Failure>,
    /// What its answer says as a whole.
    pub said: Option<Said>,
}

/// One fleet.
#[derive(Clone, Debug, Serialize)]
pub struct FleetView {
    /// Its name.
    pub fleet: Arc<str>,
    /// Who is paged.
    pub page: Page,
    /// Its team, may be empty.
    pub team: Arc<str>,
    /// Workers by state, in the order of [`State::ALL`].
    pub workers: [u64; 7],
    /// How many the owner expects.
    pub expected_workers: Option<u64>,
    /// Completed tasks by type since we started; survives its workers.
    pub tasks_completed: Vec<(TaskType, u64)>,
    /// Failed tasks by type since we started; survives its workers.
    pub tasks_failed: Vec<(TaskType, u64)>,
    /// What its workers' own metrics add, since we started; survives them.
    pub work: WorkView,
    /// Slots by type: used, available where bounded.
    pub slots: Vec<(TaskType, u64, Option<u64>)>,
    /// Queues that its workers serve.
    pub queues: Vec<QueueKey>,
    /// Sources that show its workers.
    pub sources: Vec<Arc<str>>,
}

/// What a fleet did beyond its counts. Nothing, where nobody measures it.
#[derive(Clone, Debug, Default, Serialize)]
pub struct WorkView {
    /// How long tasks took, by type.
    pub durations: Vec<(TaskType, Histogram)>,
    /// How long tasks waited before a worker began them, by type.
    pub schedule_to_start: Vec<(TaskType, Histogram)>,
    /// Workflow tasks that found their workflow in the cache.
    pub sticky_hits: Option<u64>,
    /// Workflow tasks that did not.
    pub sticky_misses: Option<u64>,
    /// Failed requests to the server: method, status, how many.
    pub requests_failed: Vec<(Arc<str>, &'static str, u64)>,
    /// How long requests took that a user waits for.
    pub request_durations: Option<Histogram>,
    /// Failed workflow tasks, by reason.
    pub task_failures: Vec<(TaskFailure, u64)>,
    /// Activities that were called for and that no worker knew.
    pub unregistered_activities: Option<u64>,
}

impl WorkView {
    pub(crate) fn of(totals: &Totals) -> Self {
        let by_type = |of: &BTreeMap<TaskType, Histogram>| of.iter().map(|(t, h)| (*t, h.clone())).collect();
        let failed = totals.requests_failed.iter();
        Self {
            durations: by_type(&totals.durations),
            schedule_to_start: by_type(&totals.schedule_to_start),
            sticky_hits: totals.sticky_hits,
            sticky_misses: totals.sticky_misses,
            requests_failed: failed.map(|(r, count)| (r.operation.clone(), r.code, *count)).collect(),
            request_durations: totals.request_durations.clone(),
            task_failures: totals.task_failures.iter().map(|(failure, count)| (*failure, *count)).collect(),
            unregistered_activities: totals.unregistered_activities,
        }
    }
}

impl FleetView {
    /// How many of its workers are in `state`.
    #[must_use]
    pub fn count(&self, state: State) -> u64 {
        State::ALL.iter().zip(self.workers).find(|(s, _)| **s == state).map_or(0, |(_, n)| n)
    }
}

/// One queue.
#[derive(Clone, Debug, Serialize)]
pub struct QueueView {
    /// Which.
    #[serde(flatten)]
    pub key: QueueKey,
    /// Tasks that wait, about.
    pub backlog: Option<u64>,
    /// Age of its head as the server gives it, seconds.
    pub backlog_age_seconds: Option<f64>,
    /// Tasks added a second.
    pub add_rate: Option<f64>,
    /// Tasks dispatched a second.
    pub dispatch_rate: Option<f64>,
    /// Held back for a rate limit.
    pub rate_limited: Option<bool>,
    /// Pollers that the server lists.
    pub pollers: Option<u64>,
    /// Not all who poll could be seen; who was not is not held to be silent.
    pub pollers_incomplete: Option<bool>,
    /// Work has been waiting at three looks in a row.
    pub waiting: bool,
    /// Named in the configuration.
    pub expected: bool,
    /// Workers that serve it and poll, whose slots are all full, that are silent.
    pub workers_polling: u64,
    /// See above.
    pub workers_full: u64,
    /// See above.
    pub workers_silent: u64,
    /// When a look at it last succeeded (our clock).
    pub last_success: Option<WallTime>,
    /// Why the last look failed, while it fails.
    pub failure: Option<Failure>,
    /// Its workers by version, where versions are in use.
    pub versions: Vec<VersionView>,
    /// What is wrong with it, one sentence each.
    pub issues: Vec<String>,
}

/// One version of the workers of a queue.
#[derive(Clone, Debug, Serialize)]
pub struct VersionView {
    /// Which; both names are empty for workers without a version.
    #[serde(flatten)]
    pub version: Version,
    /// Where it stands.
    pub status: VersionStatus,
    /// The share of new work that it is given while it ramps, 0 to 1.
    pub ramp_ratio: Option<f64>,
    /// Pollers of it, less those whose worker is known to be down or to have said goodbye.
    pub pollers: Option<u64>,
    /// Tasks that wait for it, about.
    pub backlog: Option<u64>,
    /// Age of the head of those tasks, seconds.
    pub backlog_age_seconds: Option<f64>,
}

impl QueueView {
    /// A queue of which nothing is known.
    #[must_use]
    pub const fn of(key: QueueKey) -> Self {
        Self {
            key,
            backlog: None,
            backlog_age_seconds: None,
            add_rate: None,
            dispatch_rate: None,
            rate_limited: None,
            pollers: None,
            pollers_incomplete: None,
            waiting: false,
            expected: false,
            workers_polling: 0,
            workers_full: 0,
            workers_silent: 0,
            last_success: None,
            failure: None,
            versions: Vec::new(),
            issues: Vec::new(),
        }
    }
}

/// One of our own sources.
#[derive(Clone, Debug, Serialize)]
pub struct SourceView {
    /// Its configured name.
    pub source: Arc<str>,
    /// Its kind.
    pub kind: SourceKind,
    /// Looks at it succeed. `None` before the first. Workers that do not answer do not make their source fail.
    pub up: Option<bool>,
    /// Its evidence is believed (the gate is open).
    pub trusted: bool,
    /// Why it fails, while it fails.
    pub failure: Option<Failure>,
    /// When a look last succeeded (our clock).
    pub last_success: Option<WallTime>,
    /// Looks so far.
    pub requests: u64,
    /// Looks that were throttled.
    pub throttled: u64,
    /// Failed looks and missed answers, by reason.
    pub errors: Vec<(Failure, u64)>,
    /// Durations of its looks.
    pub durations: Histogram,
    /// Workers that it shows.
    pub workers: u64,
    /// Temporal namespace, or empty.
    pub namespace: Arc<str>,
    /// Workflows that a timeout closed in the last five minutes, where that is counted and known.
    pub timed_out: Option<u64>,
    /// What the gate says, for people.
    pub note: Option<String>,
}
