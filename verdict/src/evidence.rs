//! What a look at a source brings. Sources fill these; the ledger weighs them. Nothing here knows a protocol.

use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;

use crate::time::{Moment, WallTime};
pub use crate::versions::{Version, VersionReport};
use crate::words::{Failure, TaskType};
use crate::work::Work;

/// Who a worker is to the outside: its fleet and its stable slot in it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct WorkerKey {
    /// Configured, else `<temporal_namespace>/<task_queue>`, else the source's name.
    pub fleet: Arc<str>,
    /// A configured id, or a stable slot; never an instance key or a pid.
    pub worker: Arc<str>,
}

impl WorkerKey {
    /// The worker `worker` of the fleet `fleet`.
    #[must_use]
    pub fn new(fleet: impl Into<Arc<str>>, worker: impl Into<Arc<str>>) -> Self {
        Self { fleet: fleet.into(), worker: worker.into() }
    }
}

/// One task queue of one type. For queues outside Temporal the namespace is empty.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct QueueKey {
    /// The source that watches it.
    pub source: Arc<str>,
    /// Temporal namespace, or empty.
    pub namespace: Arc<str>,
    /// Name of the queue.
    pub task_queue: Arc<str>,
    /// Type of its tasks.
    pub task_type: TaskType,
}

/// What a look was at.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Scope {
    /// One worker, by asking it.
    Worker(WorkerKey),
    /// All workers that the source lists.
    Listing,
    /// One task queue.
    Queue(QueueKey),
}

/// One finished look, good or bad. The envelope around every source makes these, so that none can forget a figure.
#[derive(Clone, Debug)]
pub struct Look {
    /// Configured name of the source.
    pub source: Arc<str>,
    /// What was looked at.
    pub scope: Scope,
    /// When it began.
    pub started: Moment,
    /// When its answer, or its failure, was complete.
    pub finished: Moment,
    /// Our wall clock at that time; published as the receive time, never used for an age.
    pub received: WallTime,
    /// The interval that was in force when it was planned: the most that it can add to a silence.
    pub interval: Duration,
    /// What it brought. `Err` says that the LOOK failed; a worker that did not answer is evidence
    /// and comes as `Ok` with [`Reach::Missed`].
    pub outcome: Result<Report, Failure>,
}

/// What a successful look brought.
#[derive(Clone, Debug)]
pub enum Report {
    /// Of one worker.
    Worker(Box<Observation>),
    /// Of all workers that the source lists.
    Listing(Listing),
    /// Of one task queue.
    Queue(QueueReport),
}

/// The whole list of a source that lists workers.
#[derive(Clone, Debug, Default)]
pub struct Listing {
    /// Every record, living and dead, in any order.
    pub records: Vec<Observation>,
    /// How long this source keeps the record of a worker that stopped beating, where it promises that: a record that
    /// disappears earlier proves that the source lost its memory, not that the worker died (Temporal: 5 min).
    pub retention: Option<Duration>,
    /// The source says itself that it has lost its memory since the last look (another Redis `run_id`).
    pub reset: bool,
    /// False when the server has heartbeats switched off: an empty list then means nothing.
    pub heartbeats: bool,
    /// Records that could not be read, by reason; they are counted, the others stand.
    pub unreadable: Vec<(Arc<str>, Failure)>,
    /// Records that another server keeps by now, with the part of the data that they belong to: gone from here sooner than
    /// promised, and no sign of their workers.
    pub moved: Vec<Arc<str>>,
    /// Queues that are registered there, served or not: from now on they are watched.
    pub queues: Vec<Arc<str>>,
    /// The same where the type of the tasks is known, and whether heartbeats are on or not.
    pub served: Vec<(Arc<str>, TaskType)>,
    /// Workflows that a timeout closed in the last five minutes, where that is counted.
    pub timed_out: Option<u64>,
}

/// Where a record belongs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Slot {
    /// The fleet and the slot's name.
    pub key: WorkerKey,
    /// True when this name can belong to one record only (an HTTP target, a Redis key). False when several living
    /// records may share it (two Temporal workers on one host): the later ones then get an ordinal, `name~2`.
    pub exclusive: bool,
}

/// Everything that one look says of one worker. All of it optional but where it belongs.
#[derive(Clone, Debug)]
pub struct Observation {
    /// Unique within the source: the instance key, the target, the Redis key.
    pub record: Arc<str>,
    /// Where it belongs.
    pub slot: Slot,
    /// The name it polls under, to join it with a queue's pollers (Temporal identity).
    pub identity: Option<Arc<str>>,
    /// What joins records of different sources into one worker, when the configuration says so (`host/pid`).
    pub alias: Option<Arc<str>>,
    /// Its heartbeat.
    pub beat: Option<Beat>,
    /// When it last did something, by its own clock: a work channel that moves when this changes. Old is not stale: an
    /// idle worker has an old one.
    pub last_activity: Option<WallTime>,
    /// Whether and how it answered us.
    pub reach: Option<Reach>,
    /// Until when the certificate is valid that it showed us, also one that we refused.
    pub certificate: Option<WallTime>,
    /// Whether the process it lives in is there.
    pub host: Option<Host>,
    /// What it says of itself.
    pub says: Says,
    /// Its numbers.
    pub numbers: Numbers,
    /// Its slots, pollers and counters by task type.
    pub types: Vec<TypeReport>,
    /// Names and versions, for `worker_info`.
    pub info: Info,
    /// The queues it serves, by name; the types are those in `types`.
    pub task_queues: Vec<Arc<str>>,
    /// When the source will drop this record by itself if it does not beat (Redis TTL at this look): gone before that
    /// time it has left, gone after it it is silent.
    pub expires_in: Option<Duration>,
    /// What it did since it started, where the source tells more of it than `numbers` and `types` do.
    pub work: Option<Box<Work>>,
    /// Figures that are no longer known while the rest stands: they could not be read, or (`None`) it no longer has any.
    pub unread: Vec<(Part, Option<Failure>)>,
    /// What people may want to know beside the figures: one sentence each.
    pub notes: Vec<Arc<str>>,
    /// How its record is kept.
    pub upkeep: Upkeep,
    /// Whether it holds work, where no counter tells what it did.
    pub hands: Option<Hands>,
    /// The one task that it holds.
    pub held: Option<Held>,
}

/// How the record of a worker is kept, where a framework keeps it by rules of its own.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Upkeep {
    /// Nothing is promised: the rhythm is learnt.
    #[default]
    Learnt,
    /// The declared interval is a promise. The record may well be written more often; that teaches nothing.
    Promised,
    /// The same, and counters and states are written as they change, not with the beat; and a record that has expired is
    /// silent for good, since it was given longer to live than a beat takes.
    Live,
}

/// Whether a worker holds work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hands {
    /// Nothing in flight.
    Empty,
    /// Something, and this changes while it is alive and busy.
    Full(Mark),
}

/// A task that a worker holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Held {
    /// Which.
    pub mark: Mark,
    /// A living worker has let go of it after this long: the task's own limit, with time to clean up.
    pub limit: Option<Duration>,
}

impl Observation {
    /// An observation that says nothing but where it belongs.
    #[must_use]
    pub fn new(record: impl Into<Arc<str>>, slot: Slot) -> Self {
        Self {
            record: record.into(),
            slot,
            identity: None,
            alias: None,
            beat: None,
            last_activity: None,
            reach: None,
            certificate: None,
            host: None,
            says: Says::default(),
            numbers: Numbers::default(),
            types: Vec::new(),
            info: Info::default(),
            task_queues: Vec::new(),
            expires_in: None,
            work: None,
            unread: Vec::new(),
            notes: Vec::new(),
            upkeep: Upkeep::default(),
            hands: None,
            held: None,
        }
    }
}

/// What has to change for a channel to have moved.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Mark(u64);

impl Mark {
    /// The mark of a stamp.
    #[must_use]
    pub const fn stamp(stamp: WallTime) -> Self {
        Self(stamp.micros().cast_unsigned())
    }

    /// The mark of any value (FNV-1a, 64 bits: a collision would only hide one beat).
    #[must_use]
    pub fn bytes(value: &[u8]) -> Self {
        Self(
            value
                .iter()
                .fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)),
        )
    }
}

/// A heartbeat, as the source holds it now.
#[derive(Clone, Copy, Debug)]
pub struct Beat {
    /// Changes with every beat. `None`: the source has a place for a beat and it is empty (0, null, missing).
    pub mark: Option<Mark>,
    /// The worker's own stamp: teaches cadence and skew, never an age.
    pub stamp: Option<WallTime>,
    /// The interval that the source declares (Temporal `elapsed_since_last_heartbeat`, a Celery `freq`).
    pub declared: Option<Duration>,
    /// The stamp stands in the worker's own answer: when it freezes the loop is dead, whatever the code says.
    pub own_answer: bool,
    /// The field's name does not promise a heartbeat (`timestamp`, `time`, `updated_at`): believed once it has moved.
    pub on_trial: bool,
}

/// Whether a worker answered us.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// A complete answer, in this time, where this much was allowed.
    Answered {
        /// From the start of the connection to the end of the body.
        took: Duration,
        /// The deadline that was in force.
        deadline: Duration,
    },
    /// No complete answer: evidence against it.
    Missed(Failure),
    /// An answer that says that we are misconfigured: evidence of nothing.
    Misconfigured(Failure),
}

/// Whether what a worker lives in is there, by whoever runs it and not by the worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Host {
    /// It is there, and can work.
    Able,
    /// It is there, and does nothing.
    Held(Hold),
    /// It is not there.
    Gone(Gone),
}

/// What holds a process that is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hold {
    /// A signal stopped it.
    Stopped,
    /// A debugger stopped it.
    Traced,
    /// It waits inside the kernel for a device or a file system, and has used no CPU since the last look.
    Waiting,
}

/// How a process ended, as far as it can be told afterwards.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Gone {
    /// It ended, by itself or by somebody's hand.
    Exited,
    /// The kernel killed it for memory.
    OomKilled,
}

/// A part of a worker's numbers that is read by itself, and so can fail by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// CPU.
    Cpu,
    /// Memory.
    Memory,
    /// The disk of its working directory.
    Disk,
    /// GPU and GPU memory.
    Gpu,
}

impl Part {
    /// The word for it.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Cpu => "CPU",
            Self::Memory => "memory",
            Self::Disk => "disk",
            Self::Gpu => "GPU",
        }
    }

    /// Takes this part out of `numbers`: what was read before is no longer known.
    pub const fn forget(self, numbers: &mut Numbers) {
        match self {
            Self::Cpu => numbers.cpu_ratio = None,
            Self::Memory => {
                numbers.memory_bytes = None;
                numbers.memory_limit_bytes = None;
                numbers.memory_ratio = None;
            }
            Self::Disk => numbers.disk_ratio = None,
            Self::Gpu => {
                numbers.gpu_ratio = None;
                numbers.gpu_memory_ratio = None;
            }
        }
    }
}

/// What a health answer says of the worker as a whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Said {
    /// pass, ok, up, healthy, serving, passing, ready, running, true.
    Up,
    /// starting, initializing, shutting down, unknown.
    Transient,
    /// warn, degraded, partially available.
    Degraded,
    /// fail, error, down, unhealthy, critical, out of service, not serving, false.
    Down,
}

impl Said {
    /// The word for it.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Up => "up",
            Self::Transient => "not ready",
            Self::Degraded => "degraded",
            Self::Down => "down",
        }
    }
}

/// What a worker says of itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Says {
    /// `alive: true` or `false`: of its loop, not of its web server.
    pub alive: Option<bool>,
    /// It said goodbye: SHUTTING_DOWN, `quiet`, `draining`.
    pub goodbye: bool,
    /// It says that it is still starting.
    pub starting: bool,
    /// The worst of code and body.
    pub overall: Option<Said>,
    /// Code and body disagree.
    pub contradiction: bool,
    /// What the body says by itself, whatever the code.
    pub body: Option<Said>,
    /// The body could not be read, or a field of it; the code decided.
    pub unreadable: Option<Failure>,
    /// Names of its parts that are not up, at most 32, the worst first.
    pub failing: Vec<(Arc<str>, Said)>,
}

/// Whether a worker's model is ready.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Model {
    /// Loaded.
    Loaded,
    /// Loading.
    Loading,
    /// Failed to load.
    Failed,
}

/// Numbers of one worker, in base units: seconds, bytes, ratios. Absent is unknown, never 0.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Numbers {
    /// Tasks finished since the worker started, failed ones included.
    pub tasks_total: Option<u64>,
    /// Tasks failed since the worker started.
    pub tasks_failed: Option<u64>,
    /// Tasks it works on now.
    pub in_flight: Option<u64>,
    /// Tasks that wait for it.
    pub waiting: Option<u64>,
    /// A counter named as its progress, where that is not `tasks_total`.
    pub progress: Option<u64>,
    /// Sum of the durations of its finished tasks, seconds.
    pub task_seconds_total: Option<f64>,
    /// CPU in use, ratio of its own limit.
    pub cpu_ratio: Option<f64>,
    /// Memory in use, bytes.
    pub memory_bytes: Option<u64>,
    /// Memory limit, bytes.
    pub memory_limit_bytes: Option<u64>,
    /// Memory in use, ratio of its limit, where only the ratio is known.
    pub memory_ratio: Option<f64>,
    /// CPU of its host: shown, not judged.
    pub host_cpu_ratio: Option<f64>,
    /// Memory of its host: shown, not judged.
    pub host_memory_ratio: Option<f64>,
    /// Disk in use, ratio.
    pub disk_ratio: Option<f64>,
    /// GPU in use, ratio.
    pub gpu_ratio: Option<f64>,
    /// GPU memory in use, ratio.
    pub gpu_memory_ratio: Option<f64>,
    /// Whether its model is ready.
    pub model: Option<Model>,
}

/// Slots, pollers and counters of one task type of one worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TypeReport {
    /// Which.
    pub task_type: TaskType,
    /// Slots in use.
    pub used: Option<u64>,
    /// Free slots; `None` where unbounded or unknown (Temporal says -1).
    pub available: Option<u64>,
    /// Tasks processed since the worker started.
    pub processed: Option<u64>,
    /// Tasks failed since the worker started.
    pub failed: Option<u64>,
    /// Pollers at work.
    pub pollers: Option<u64>,
    /// Its own stamp of the last successful poll. Absent on a young worker: absence is not staleness.
    pub last_poll: Option<WallTime>,
    /// Its SDK stamps every poll (Core), not only those that brought a task (Go).
    pub stamps_empty_polls: bool,
    /// It polls or has worked, or its SDK reports only types that are served. Java reports slots for every type, also for
    /// one that nothing is registered for.
    pub proven: bool,
}

/// Names and versions of a worker.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Info {
    /// Host name.
    pub host: Option<Arc<str>>,
    /// Pod name.
    pub pod: Option<Arc<str>>,
    /// Process id, as the source writes it.
    pub pid: Option<Arc<str>>,
    /// What tells one incarnation from the next: instance key, start stamp.
    pub instance: Option<Arc<str>>,
    /// SDK name.
    pub sdk_name: Option<Arc<str>>,
    /// SDK version.
    pub sdk_version: Option<Arc<str>>,
    /// Build id of its deployment.
    pub build_id: Option<Arc<str>>,
    /// Worker deployment.
    pub deployment: Option<Arc<str>>,
    /// When it started, by its own clock.
    pub start_time: Option<WallTime>,
}

/// What a queue server says of one queue of one type.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct QueueReport {
    /// Tasks that wait, about.
    pub backlog: Option<u64>,
    /// Age of the head of the queue, as the server gives it.
    pub backlog_age: Option<Duration>,
    /// The element that is served next, at either end where the end is not known. Where the head carries no stamp, the
    /// time for which it stays the same tells that work waits.
    pub ends: [Option<Mark>; 2],
    /// Tasks added a second, mean of 30 s.
    pub add_rate: Option<f64>,
    /// Tasks dispatched a second, mean of 30 s.
    pub dispatch_rate: Option<f64>,
    /// The server holds tasks back for a rate limit.
    pub rate_limited: Option<bool>,
    /// Who polled in the last minutes.
    pub pollers: Vec<Poller>,
    /// Build ids that receive tasks now (current and ramping); empty where the queue is not versioned.
    pub serving_builds: Vec<Arc<str>>,
    /// Its workers by version, where versions are in use: those that are given tasks, whether anybody polls for them or
    /// not, and those that poll.
    pub versions: Vec<VersionReport>,
    /// Not every place was seen in which somebody may poll, or there are more than the server names: who is not among the pollers, or did not move, may poll all
    /// the same.
    pub partial: bool,
}

/// One poller of a queue.
#[derive(Clone, Debug, PartialEq)]
pub struct Poller {
    /// The identity it polls under.
    pub identity: Arc<str>,
    /// The server's stamp of its last poll: moves at the start and the end of each poll, so an idle one moves each minute.
    pub last_access: Option<WallTime>,
    /// Where a worker that polls and is never listed belongs (its heartbeats are off).
    pub slot: Slot,
    /// Its version, when it has one.
    pub version: Option<Version>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_that_failed_takes_its_own_numbers_out_and_no_others() {
        let all = Numbers {
            cpu_ratio: Some(0.1),
            memory_bytes: Some(1),
            memory_limit_bytes: Some(2),
            memory_ratio: Some(0.5),
            disk_ratio: Some(0.3),
            gpu_ratio: Some(0.4),
            gpu_memory_ratio: Some(0.5),
            ..Numbers::default()
        };
        let without = |part: Part| {
            let mut numbers = all;
            part.forget(&mut numbers);
            numbers
        };
        assert_eq!(without(Part::Cpu), Numbers { cpu_ratio: None, ..all });
        let memory = Numbers { memory_bytes: None, memory_limit_bytes: None, memory_ratio: None, ..all };
        assert_eq!(without(Part::Memory), memory);
        assert_eq!(without(Part::Disk), Numbers { disk_ratio: None, ..all });
        assert_eq!(without(Part::Gpu), Numbers { gpu_ratio: None, gpu_memory_ratio: None, ..all });
    }

    #[test]
    fn what_people_read_has_its_word() {
        let parts = [Part::Cpu, Part::Memory, Part::Disk, Part::Gpu].map(Part::word);
        assert_eq!(parts, ["CPU", "memory", "disk", "GPU"]);
        let said = [Said::Up, Said::Transient, Said::Degraded, Said::Down].map(Said::word);
        assert_eq!(said, ["up", "not ready", "degraded", "down"]);
    }
}
