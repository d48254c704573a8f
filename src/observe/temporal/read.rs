//! From the server's messages to evidence. Pure: no clock, no connection; unknown enum values and fields are tolerated.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use prost_wkt_types::Timestamp;
use temporalio_protos::temporal::api::deployment::v1::WorkerDeploymentVersion;
use temporalio_protos::temporal::api::enums::v1::WorkerStatus;
use temporalio_protos::temporal::api::taskqueue::v1::PollerInfo;
use temporalio_protos::temporal::api::worker::v1::{
    WorkerHeartbeat, WorkerListInfo, WorkerPollerInfo, WorkerSlotsInfo,
};
use temporalio_protos::temporal::api::workflowservice::v1::DescribeTaskQueueResponse;
use verdict::evidence::{Beat, Info, Mark, Numbers, Observation, Poller, QueueReport, Says, TypeReport};
use verdict::time::{Moment, WallTime};
use verdict::words::{Failure, TaskType};

use super::naming::{Bearer, Names};
use super::partitions::Polling;
use super::versions::{Known, serving_builds, version_of, versions};

/// The longest interval that an SDK takes, and the one that it uses when nothing is configured.
const STOCK_INTERVAL: Duration = Duration::from_secs(60);
/// The shortest interval that an SDK takes. The last beat before a shutdown comes early and declares less.
const SHORTEST_INTERVAL: Duration = Duration::from_secs(1);
/// The kind of Go's suppliers that give slots by the load of the machine.
const RESOURCE_BASED: &str = "ResourceBased";
/// Names that the server keeps for itself. `include_system_workers` hides their workers from 1.32 on only.
const SYSTEM_PREFIXES: [&str; 3] = ["temporal-sys-", "/temporal-sys/", "/_sys/"];

/// A record that cannot be placed: by what name it may be known, and why.
pub(super) type Unreadable = (Arc<str>, Failure);

/// Reads the messages of one source.
#[derive(Debug)]
pub(super) struct Reader<'a> {
    /// The names given so far.
    pub(super) names: &'a mut Names,
    /// Join records with those of other sources by host and process id.
    pub(super) match_host_pid: bool,
    /// Now, for the memory of the names.
    pub(super) now: Moment,
}

impl Reader<'_> {
    /// A worker by its heartbeat. `None`: the server's own.
    pub(super) fn worker(&mut self, beat: &WorkerHeartbeat) -> Result<Option<Observation>, Unreadable> {
        let host_info = beat.host_info.clone().unwrap_or_default();
        let Some(mut seen) = self.place(&Card {
            instance: &beat.worker_instance_key,
            identity: &beat.worker_identity,
            queue: &beat.task_queue,
            host: &host_info.host_name,
            pid: &host_info.process_id,
            sdk_name: &beat.sdk_name,
            sdk_version: &beat.sdk_version,
            deployment: beat.deployment_version.as_ref(),
            start: beat.start_time.as_ref(),
            status: beat.status,
        })?
        else {
            return Ok(None);
        };
        let stamp = beat.heartbeat_time.as_ref().and_then(wall);
        seen.beat = Some(Beat {
            mark: stamp.map(Mark::stamp),
            stamp,
            declared: Some(declared(beat)),
            own_answer: false,
            on_trial: false,
        });
        seen.types = types(beat);
        seen.numbers = numbers(beat, &seen.types);
        Ok(Some(seen))
    }

    /// A worker of which only the short record is known in this look: who it is and whether it said goodbye, and
    /// nothing about its beat. Its beat is left out rather than repeated: an old beat shown again would read as silence.
    pub(super) fn listed(&mut self, short: &WorkerListInfo) -> Result<Option<Observation>, Unreadable> {
        self.place(&Card {
            instance: &short.worker_instance_key,
            identity: &short.worker_identity,
            queue: &short.task_queue,
            host: &short.host_name,
            pid: &short.process_id,
            sdk_name: &short.sdk_name,
            sdk_version: &short.sdk_version,
            deployment: short.deployment_version.as_ref(),
            start: short.start_time.as_ref(),
            status: short.status,
        })
    }

    /// A task queue of one type. `knows_rate_limits`: the server is new enough to say whether it holds tasks back; an
    /// older one would be read as "no" for a question that it never heard.
    pub(super) fn queue(
        &mut self,
        task_queue: &str,
        answer: &DescribeTaskQueueResponse,
        polling: &Polling,
        knows_rate_limits: Option<RateLimits>,
        known: &Known,
    ) -> QueueReport {
        let stats = answer.stats.as_ref();
        let pollers = self.pollers(task_queue, &polling.pollers);
        QueueReport {
            backlog: stats.map(|stats| u64::try_from(stats.approximate_backlog_count).unwrap_or(0)),
            backlog_age: stats.map(|stats| stats.approximate_backlog_age.as_ref().and_then(span).unwrap_or_default()),
            add_rate: stats.and_then(|stats| rate(stats.tasks_add_rate)),
            dispatch_rate: stats.and_then(|stats| rate(stats.tasks_dispatch_rate)),
            rate_limited: stats.and_then(|stats| match knows_rate_limits {
                Some(RateLimits::Reported) => Some(stats.rate_limiting_active),
                // "yes" needs no version: an old server cannot say it.
                None => stats.rate_limiting_active.then_some(true),
            }),
            versions: versions(answer.versioning_info.as_ref(), &pollers, known),
            pollers,
            serving_builds: answer.versioning_info.as_ref().map(serving_builds).unwrap_or_default(),
            ends: [None; 2],
            partial: polling.partial,
        }
    }

    /// One entry for each identity. The server keeps a history for each version and adds them up, so that an identity
    /// comes twice during a deployment: the newest access wins.
    fn pollers(&mut self, task_queue: &str, all: &[PollerInfo]) -> Vec<Poller> {
        let mut newest: HashMap<&str, &PollerInfo> = HashMap::new();
        for poller in all {
            newest
                .entry(&poller.identity)
                .and_modify(|kept| {
                    if access(kept) < access(poller) {
                        *kept = poller;
                    }
                })
                .or_insert(poller);
        }
        let mut pollers: Vec<_> = newest
            .into_values()
            .map(|poller| Poller {
                identity: Arc::from(poller.identity.as_str()),
                last_access: access(poller),
                slot: self.names.of_poller(&poller.identity, task_queue, self.now),
                version: version_of(poller),
            })
            .collect();
        pollers.sort_by(|a, b| a.identity.cmp(&b.identity));
        pollers
    }

    fn place(&mut self, card: &Card<'_>) -> Result<Option<Observation>, Unreadable> {
        if SYSTEM_PREFIXES.iter().any(|prefix| card.queue.starts_with(prefix)) {
            return Ok(None);
        }
        if card.instance.is_empty() || card.queue.is_empty() {
            let name = if card.instance.is_empty() { card.identity } else { card.instance };
            return Err((Arc::from(name), Failure::FieldInvalid));
        }
        let slot = self
            .names
            .of_worker(Bearer { identity: card.identity, host: card.host, pid: card.pid, queue: card.queue }, self.now);
        let mut seen = Observation::new(card.instance, slot);
        seen.identity = text(card.identity);
        seen.alias = (self.match_host_pid && !card.host.is_empty() && !card.pid.is_empty())
            .then(|| Arc::from(format!("{}/{}", card.host, card.pid)));
        seen.says = Says { goodbye: goodbye(card.status), ..Says::default() };
        seen.info = Info {
            host: text(card.host),
            pod: None,
            pid: text(card.pid),
            instance: text(card.instance),
            sdk_name: text(card.sdk_name),
            sdk_version: text(card.sdk_version),
            build_id: card.deployment.and_then(|version| text(&version.build_id)),
            deployment: card.deployment.and_then(|version| text(&version.deployment_name)),
            start_time: card.start.and_then(wall),
        };
        seen.task_queues = vec![Arc::from(card.queue)];
        Ok(Some(seen))
    }
}

/// That the server reports whether it holds tasks back for a rate limit (1.32 and later).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum RateLimits {
    /// It does.
    Reported,
}

/// What the long and the short record have in common.
struct Card<'a> {
    instance: &'a str,
    identity: &'a str,
    queue: &'a str,
    host: &'a str,
    pid: &'a str,
    sdk_name: &'a str,
    sdk_version: &'a str,
    deployment: Option<&'a WorkerDeploymentVersion>,
    start: Option<&'a Timestamp>,
    status: i32,
}

fn text(value: &str) -> Option<Arc<str>> {
    (!value.is_empty()).then(|| Arc::from(value))
}

/// A stamp; `None` for the zero of Go's clock (year 1) and of 1970, which both mean "never".
pub(super) fn wall(stamp: &Timestamp) -> Option<WallTime> {
    let micros = stamp.seconds.checked_mul(1_000_000)?.checked_add(i64::from(stamp.nanos) / 1000)?;
    (stamp.seconds > 0).then(|| WallTime::from_micros(micros))
}

pub(super) fn span(duration: &prost_wkt_types::Duration) -> Option<Duration> {
    Duration::try_from(*duration).ok()
}

fn rate(value: f32) -> Option<f64> {
    (value.is_finite() && value >= 0.0).then(|| f64::from(value))
}

/// An unknown future status is no goodbye: a server that says something new about a living worker must not retire it.
fn goodbye(status: i32) -> bool {
    matches!(WorkerStatus::try_from(status), Ok(WorkerStatus::ShuttingDown | WorkerStatus::Shutdown))
}

/// The interval between beats. The first beat declares none; a worker that slept declares its whole sleep, and one that
/// goes beats early: neither is its cadence.
fn declared(beat: &WorkerHeartbeat) -> Duration {
    match beat.elapsed_since_last_heartbeat.as_ref().and_then(span) {
        Some(elapsed) if !elapsed.is_zero() => elapsed.clamp(SHORTEST_INTERVAL, STOCK_INTERVAL),
        _ => STOCK_INTERVAL,
    }
}

fn types(beat: &WorkerHeartbeat) -> Vec<TypeReport> {
    let sdk = Sdk::of(&beat.sdk_name);
    let rows = [
        (
            TaskType::Workflow,
            beat.workflow_task_slots_info.as_ref(),
            [beat.workflow_poller_info.as_ref(), beat.workflow_sticky_poller_info.as_ref()],
        ),
        (TaskType::Activity, beat.activity_task_slots_info.as_ref(), [beat.activity_poller_info.as_ref(), None]),
        (TaskType::Nexus, beat.nexus_task_slots_info.as_ref(), [beat.nexus_poller_info.as_ref(), None]),
        (TaskType::LocalActivity, beat.local_activity_slots_info.as_ref(), [None, None]),
    ];
    rows.into_iter()
        .filter(|(_, slots, pollers)| sdk.reports(*slots) || sdk.proves(*slots, pollers))
        .map(|(task_type, slots, pollers)| TypeReport {
            task_type,
            used: slots.and_then(|slots| count(slots.current_used_slots)),
            available: slots.and_then(|slots| sdk.free(slots)),
            processed: slots.and_then(|slots| count(slots.total_processed_tasks)),
            failed: slots.and_then(|slots| count(slots.total_failed_tasks)),
            pollers: polling(&pollers),
            last_poll: pollers
                .iter()
                .flatten()
                .filter_map(|p| p.last_successful_poll_time.as_ref())
                .filter_map(wall)
                .max(),
            // Whoever is not known to stamp every poll is not judged as if it did.
            stamps_empty_polls: sdk == Sdk::Core,
            proven: sdk.proves(slots, &pollers),
        })
        .collect()
}

/// What the SDKs mean by the same fields. Tried: Python 1.35, TypeScript 1.24, Go 1.50, Java 1.38.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sdk {
    /// On the common Rust core: Python, TypeScript, .NET, Ruby. A record for every type, all zeros for one that nothing
    /// is registered for; every poll is stamped.
    Core,
    /// No record for a type that was switched off; it polls for every other, and shows zeros before its first poll. Stamps
    /// only polls that brought a task. A supplier that names no maximum (the resource-based one) reports 0 free slots for
    /// ever.
    Go,
    /// A record for every type, all slots free also where nothing is registered; stamps only polls that brought a task.
    Java,
}

impl Sdk {
    fn of(name: &str) -> Self {
        match name {
            "temporal-go" => Self::Go,
            "temporal-java" => Self::Java,
            _ => Self::Core,
        }
    }

    /// Mentions the type, which by itself says nothing.
    fn reports(self, slots: Option<&WorkerSlotsInfo>) -> bool {
        self != Self::Core && slots.is_some()
    }

    /// It polls or has worked. Slots alone prove it too, except where they are there in any case.
    fn proves(self, slots: Option<&WorkerSlotsInfo>, pollers: &[Option<&WorkerPollerInfo>]) -> bool {
        let worked = slots.is_some_and(|slots| {
            let free = if self == Self::Java { 0 } else { slots.current_available_slots };
            [free, slots.current_used_slots, slots.total_processed_tasks, slots.total_failed_tasks]
                .iter()
                .any(|value| *value != 0)
        });
        worked
            || pollers
                .iter()
                .flatten()
                .any(|poller| poller.current_pollers != 0 || poller.last_successful_poll_time.is_some())
    }

    /// Free slots, where they are known. A supplier of Go that has a maximum shows it as free or as used, so that none
    /// free of none used means that there is no maximum, and so does its kind.
    fn free(self, slots: &WorkerSlotsInfo) -> Option<u64> {
        let free = count(slots.current_available_slots)?;
        let unbounded = self == Self::Go
            && free == 0
            && (slots.current_used_slots == 0 || slots.slot_supplier_kind == RESOURCE_BASED);
        (!unbounded).then_some(free)
    }
}

/// -1 is "unbounded or unknown", and the core sends the least number there is for a counter that overflowed.
fn count(value: i32) -> Option<u64> {
    u64::try_from(value).ok()
}

/// Ordinary and sticky pollers together: to the worker they are one loop.
fn polling(pollers: &[Option<&WorkerPollerInfo>]) -> Option<u64> {
    let mut sum = None;
    for poller in pollers.iter().flatten() {
        sum = Some(sum.unwrap_or(0) + count(poller.current_pollers)?);
    }
    sum
}

fn numbers(beat: &WorkerHeartbeat, types: &[TypeReport]) -> Numbers {
    // Local activities run inside workflow tasks, which are counted already.
    let own = || types.iter().filter(|report| report.task_type != TaskType::LocalActivity);
    let sum = |of: fn(&TypeReport) -> Option<u64>| -> Option<u64> {
        own().next()?;
        own().map(of).sum()
    };
    let host = beat.host_info.as_ref();
    let cpu = host.map(|host| host.current_host_cpu_usage);
    let memory = host.map(|host| host.current_host_mem_usage);
    // Go without a provider and Java send two zeros for "not measured"; no machine uses no memory at all.
    let measured = cpu.is_some_and(|cpu| cpu != 0.0) || memory.is_some_and(|memory| memory != 0.0);
    let ratio = |value: Option<f32>| value.filter(|_| measured).and_then(rate).map(|value| value.min(1.0));
    Numbers {
        tasks_total: sum(|report| report.processed),
        tasks_failed: sum(|report| report.failed),
        in_flight: sum(|report| report.used),
        host_cpu_ratio: ratio(cpu),
        host_memory_ratio: ratio(memory),
        ..Numbers::default()
    }
}

pub(super) fn access(poller: &PollerInfo) -> Option<WallTime> {
    poller.last_access_time.as_ref().and_then(wall)
}

#[cfg(test)]
mod tests;
