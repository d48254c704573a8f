//! The families of the Temporal SDKs, by one name each, whatever an SDK makes of it: `_total` or not, a unit or not,
//! milliseconds or seconds, both words for the sticky poller.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::figures::{self, Durations};
use crate::evidence::TypeReport;
use crate::histogram::Histogram;
use crate::read::exposition::{Family, Sample};
use crate::words::{TaskFailure, TaskType};
use crate::work::{Done, FailedRequest};

/// What a family tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Tells {
    Available,
    Used,
    Pollers,
    Executed(TaskType),
    Failed(TaskType),
    Waited(TaskType),
    StickyHits,
    StickyMisses,
    RequestsFailed,
    RequestsTook,
    Unregistered,
}

/// Names without prefix, `_total` and unit.
const FAMILIES: &[(&str, Tells)] = &[
    ("worker_task_slots_available", Tells::Available),
    ("worker_task_slots_used", Tells::Used),
    ("num_pollers", Tells::Pollers),
    ("workflow_task_execution_latency", Tells::Executed(TaskType::Workflow)),
    ("activity_execution_latency", Tells::Executed(TaskType::Activity)),
    ("nexus_task_execution_latency", Tells::Executed(TaskType::Nexus)),
    ("local_activity_execution_latency", Tells::Executed(TaskType::LocalActivity)),
    ("workflow_task_execution_failed", Tells::Failed(TaskType::Workflow)),
    ("activity_execution_failed", Tells::Failed(TaskType::Activity)),
    ("nexus_task_execution_failed", Tells::Failed(TaskType::Nexus)),
    ("local_activity_execution_failed", Tells::Failed(TaskType::LocalActivity)),
    ("workflow_task_schedule_to_start_latency", Tells::Waited(TaskType::Workflow)),
    ("activity_schedule_to_start_latency", Tells::Waited(TaskType::Activity)),
    ("nexus_task_schedule_to_start_latency", Tells::Waited(TaskType::Nexus)),
    ("sticky_cache_hit", Tells::StickyHits),
    ("sticky_cache_miss", Tells::StickyMisses),
    ("request_failure", Tells::RequestsFailed),
    ("long_request_failure", Tells::RequestsFailed),
    ("request_latency", Tells::RequestsTook),
    ("unregistered_activity_invocation", Tells::Unregistered),
];

/// Requests that a user waits for, as Temporal's own alerts choose them (docs/best-practices/worker-alerting of
/// temporalio/documentation).
const USER_FACING: [&str; 5] = [
    "StartWorkflowExecution",
    "SignalWithStartWorkflowExecution",
    "SignalWorkflowExecution",
    "UpdateWorkflowExecution",
    "ExecuteMultiOperation",
];

/// Values of `failure_reason`.
const FAILURE_REASONS: [(&str, TaskFailure); 3] = [
    ("NonDeterminismError", TaskFailure::NonDeterminism),
    ("GrpcMessageTooLarge", TaskFailure::MessageTooLarge),
    ("WorkflowError", TaskFailure::WorkflowError),
];

/// What the SDK for Go calls itself: the only one that counts activities which nobody registered.
const GO: &str = "temporal_go";

/// Values of `worker_type`.
const WORKER_TYPES: [(&str, TaskType); 4] = [
    ("WorkflowWorker", TaskType::Workflow),
    ("ActivityWorker", TaskType::Activity),
    ("NexusWorker", TaskType::Nexus),
    ("LocalActivityWorker", TaskType::LocalActivity),
];

/// Values of `poller_type`. To a worker its ordinary and its sticky pollers are one loop.
const POLLER_TYPES: [(&str, TaskType); 5] = [
    ("workflow_task", TaskType::Workflow),
    ("sticky_workflow_task", TaskType::Workflow),
    ("workflow_sticky_task", TaskType::Workflow),
    ("activity_task", TaskType::Activity),
    ("nexus_task", TaskType::Nexus),
];

/// The statuses of gRPC: whatever way an SDK writes them, they become these.
const CODES: [&str; 16] = [
    "cancelled",
    "unknown",
    "invalid_argument",
    "deadline_exceeded",
    "not_found",
    "already_exists",
    "permission_denied",
    "resource_exhausted",
    "failed_precondition",
    "aborted",
    "out_of_range",
    "unimplemented",
    "internal",
    "unavailable",
    "data_loss",
    "unauthenticated",
];

/// Queues of one process that are kept.
const QUEUES: usize = 16;
/// Methods of one process that are told apart; there are about as many in the whole service.
const OPERATIONS: usize = 128;

/// What the families of one exposition say.
#[derive(Debug, Default)]
pub(super) struct Sdk {
    types: BTreeMap<TaskType, Of>,
    sticky_hits: Option<u64>,
    sticky_misses: Option<u64>,
    requests_failed: BTreeMap<FailedRequest, u64>,
    request_durations: Option<Histogram>,
    task_failures: BTreeMap<TaskFailure, u64>,
    unregistered: Option<u64>,
    is_go: bool,
    task_queues: Vec<Arc<str>>,
}

#[derive(Debug, Default)]
struct Of {
    available: Option<u64>,
    used: Option<u64>,
    pollers: Option<u64>,
    executed: Option<Durations>,
    failed: Option<u64>,
    waited: Option<Histogram>,
}

/// Takes in a family; true when it is one of the SDK's that we use.
pub(super) fn take(sdk: &mut Sdk, family: &Family<'_>, prefix: &str) -> bool {
    let Some(name) = family.name.strip_prefix(prefix) else { return false };
    let bare = ["_milliseconds", "_seconds", "_total"].iter().find_map(|end| name.strip_suffix(end)).unwrap_or(name);
    let Some((_, tells)) = FAMILIES.iter().find(|(known, _)| *known == bare) else { return false };
    sdk.family(family, *tells);
    true
}

impl Sdk {
    fn family(&mut self, family: &Family<'_>, tells: Tells) {
        let everything = |_: &Sample<'_>| true;
        let total = || figures::sum(family, figures::total(family), everything).and_then(figures::whole);
        match tells {
            Tells::Available => self.by_type(family, "worker_type", &WORKER_TYPES, |of| &mut of.available),
            Tells::Used => self.by_type(family, "worker_type", &WORKER_TYPES, |of| &mut of.used),
            Tells::Pollers => self.by_type(family, "poller_type", &POLLER_TYPES, |of| &mut of.pollers),
            Tells::Executed(of) => {
                let executed = figures::durations(family, figures::scale(family), everything);
                self.types.entry(of).or_default().executed = Some(executed);
            }
            Tells::Failed(of) => {
                self.types.entry(of).or_default().failed = total();
                if of == TaskType::Workflow {
                    self.reasons(family);
                }
            }
            Tells::Waited(of) => {
                self.types.entry(of).or_default().waited =
                    figures::durations(family, figures::scale(family), everything).histogram;
            }
            Tells::StickyHits => self.sticky_hits = total(),
            Tells::StickyMisses => self.sticky_misses = total(),
            Tells::RequestsFailed => self.requests(family),
            Tells::RequestsTook => {
                let waited_for = |sample: &Sample<'_>| USER_FACING.iter().any(|o| sample.label("operation") == Some(o));
                self.request_durations = figures::durations(family, figures::scale(family), waited_for).histogram;
            }
            Tells::Unregistered => self.unregistered = total(),
        }
    }

    fn by_type(
        &mut self,
        family: &Family<'_>,
        label: &str,
        words: &[(&str, TaskType)],
        figure: fn(&mut Of) -> &mut Option<u64>,
    ) {
        for (word, task_type) in words {
            let of_type = figures::sum(family, "", |sample| sample.label(label) == Some(*word));
            if let Some(value) = of_type.and_then(figures::whole) {
                let figure = figure(self.types.entry(*task_type).or_default());
                *figure = Some(figure.unwrap_or_default() + value);
            }
        }
        self.is_go |= family.samples.iter().any(|sample| sample.label("client_name") == Some(GO));
        for queue in family.samples.iter().filter_map(|sample| sample.label("task_queue")) {
            if self.task_queues.len() < QUEUES && !self.task_queues.iter().any(|known| **known == *queue) {
                self.task_queues.push(queue.into());
            }
        }
    }

    fn reasons(&mut self, family: &Family<'_>) {
        let suffix = figures::total(family);
        let known = |sample: &Sample<'_>| {
            let said = sample.label("failure_reason");
            FAILURE_REASONS
                .iter()
                .find(|(word, _)| said == Some(word))
                .map_or(TaskFailure::Other, |(_, reason)| *reason)
        };
        for reason in TaskFailure::ALL {
            let count = figures::sum(family, suffix, |sample| known(sample) == *reason).and_then(figures::whole);
            self.task_failures.insert(*reason, count.unwrap_or_default());
        }
    }

    fn requests(&mut self, family: &Family<'_>) {
        let suffix = figures::total(family);
        for sample in family.samples.iter().filter(|sample| sample.name.strip_prefix(family.name) == Some(suffix)) {
            let Some(count) = figures::whole(sample.value) else { continue };
            let operation = sample.label("operation").filter(|_| self.requests_failed.len() < OPERATIONS);
            let request = FailedRequest { operation: named(operation), code: code(sample.label("status_code")) };
            let all = self.requests_failed.entry(request).or_default();
            *all = all.saturating_add(count);
        }
    }

    /// Types, as a registry would report them. A type with slots that did nothing yet did 0: the SDKs show a counter
    /// only once it counted.
    pub(super) fn types(&self) -> Vec<TypeReport> {
        let report = |(task_type, of): (&TaskType, &Of)| TypeReport {
            task_type: *task_type,
            used: of.used,
            available: of.available,
            processed: of.finished(),
            failed: of.failed(),
            pollers: of.pollers,
            last_poll: None,
            stamps_empty_polls: false,
            proven: *task_type == TaskType::LocalActivity || of.works(),
        };
        self.types.iter().map(report).collect()
    }

    pub(super) fn tasks(&self) -> Vec<Done> {
        let done = |(task_type, of): (&TaskType, &Of)| Done {
            task_type: *task_type,
            finished: of.finished(),
            failed: of.failed(),
        };
        self.types.iter().map(done).filter(|done| done.finished.is_some()).collect()
    }

    /// Local activities run inside workflow tasks, which are counted already.
    pub(super) fn seconds(&self) -> Option<f64> {
        let own = self.types.iter().filter(|(task_type, _)| **task_type != TaskType::LocalActivity);
        let mut known = own.filter_map(|(_, of)| of.executed.as_ref()?.seconds).peekable();
        known.peek()?;
        Some(known.sum())
    }

    pub(super) fn durations(&self) -> Vec<(TaskType, Histogram)> {
        let of = |of: &Of| match &of.executed {
            Some(executed) => executed.histogram.clone(),
            None => of.serves().then(Histogram::default),
        };
        self.types.iter().filter_map(|(task_type, figures)| Some((*task_type, of(figures)?))).collect()
    }

    pub(super) fn schedule_to_start(&self) -> Vec<(TaskType, Histogram)> {
        let waits = |task_type: TaskType| task_type != TaskType::LocalActivity;
        let of = |of: &Of| of.waited.clone().or_else(|| of.serves().then(Histogram::default));
        let types = self.types.iter().filter(|(task_type, _)| waits(**task_type));
        types.filter_map(|(task_type, figures)| Some((*task_type, of(figures)?))).collect()
    }

    /// Hits and misses of the sticky cache. A worker that serves workflows and shows none had none.
    pub(super) fn sticky(&self) -> (Option<u64>, Option<u64>) {
        let none = self.serves(TaskType::Workflow).then_some(0);
        (self.sticky_hits.or(none), self.sticky_misses.or(none))
    }

    pub(super) fn requests_failed(&self) -> Vec<(FailedRequest, u64)> {
        self.requests_failed.iter().map(|(request, count)| (request.clone(), *count)).collect()
    }

    pub(super) fn request_durations(&self) -> Option<Histogram> {
        self.request_durations.clone()
    }

    /// Every reason, from 0: a count that is born at 1 is an increase that nobody sees.
    pub(super) fn task_failures(&self) -> Vec<(TaskFailure, u64)> {
        let counted = self.serves(TaskType::Workflow) || !self.task_failures.is_empty();
        let of = |reason: &TaskFailure| (*reason, self.task_failures.get(reason).copied().unwrap_or_default());
        if counted { TaskFailure::ALL.iter().map(of).collect() } else { Vec::new() }
    }

    /// From 0 where the SDK counts them at all.
    pub(super) fn unregistered_activities(&self) -> Option<u64> {
        self.unregistered.or((self.is_go && self.serves(TaskType::Activity)).then_some(0))
    }

    fn serves(&self, task_type: TaskType) -> bool {
        self.types.get(&task_type).is_some_and(Of::serves)
    }

    pub(super) fn task_queues(&self) -> &[Arc<str>] {
        &self.task_queues
    }

    pub(super) fn in_flight(&self) -> Option<u64> {
        let own = self.types.iter().filter(|(task_type, _)| **task_type != TaskType::LocalActivity);
        let mut used = own.filter_map(|(_, of)| of.used).peekable();
        used.peek()?;
        Some(used.sum())
    }
}

impl Of {
    const fn serves(&self) -> bool {
        self.used.is_some() || self.available.is_some()
    }

    /// It polls or has worked: some SDKs show slots for every type.
    fn works(&self) -> bool {
        [self.pollers, self.used, self.finished()].into_iter().flatten().any(|figure| figure > 0)
    }

    fn finished(&self) -> Option<u64> {
        let executed = self.executed.as_ref().and_then(|executed| executed.count);
        executed.or_else(|| self.serves().then_some(0))
    }

    fn failed(&self) -> Option<u64> {
        self.failed.or_else(|| self.finished().map(|_| 0))
    }
}

/// A method is a word; anything else is none that we know.
fn named(operation: Option<&str>) -> Arc<str> {
    const LONGEST: usize = 64;
    let word = |text: &&str| {
        !text.is_empty()
            && text.len() <= LONGEST
            && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
    };
    operation.filter(word).unwrap_or("other").into()
}

fn code(status: Option<&str>) -> &'static str {
    let fold = |text: &str| -> String {
        text.chars().filter(char::is_ascii_alphanumeric).map(|c| c.to_ascii_lowercase()).collect()
    };
    let status = fold(status.unwrap_or("unknown"));
    let status = if status == "canceled" { "cancelled" } else { &status };
    CODES.iter().find(|code| fold(code) == *status).copied().unwrap_or("other")
}
