//! What a worker did since it started, as one source counts it.

use std::sync::Arc;

use crate::evidence::Observation;
use crate::histogram::Histogram;
use crate::words::{TaskFailure, TaskType};

/// Tasks of one type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Done {
    /// Which.
    pub task_type: TaskType,
    /// Finished since it started, failed ones included.
    pub finished: Option<u64>,
    /// Failed since it started.
    pub failed: Option<u64>,
}

/// A request of a worker that failed: what it asked for, and how it failed.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FailedRequest {
    /// The method.
    pub operation: Arc<str>,
    /// The status, one of a closed set.
    pub code: &'static str,
}

/// What was done since the worker started. Every figure only grows until it starts again.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Work {
    /// Tasks by type.
    pub tasks: Vec<Done>,
    /// Seconds spent in the tasks of `tasks`, local activities left out.
    pub seconds: Option<f64>,
    /// How long tasks took, by type.
    pub durations: Vec<(TaskType, Histogram)>,
    /// How long tasks waited before a worker began them, by type.
    pub schedule_to_start: Vec<(TaskType, Histogram)>,
    /// Workflow tasks that found their workflow in the cache.
    pub sticky_hits: Option<u64>,
    /// Workflow tasks that did not.
    pub sticky_misses: Option<u64>,
    /// Requests to its server that failed.
    pub requests_failed: Vec<(FailedRequest, u64)>,
    /// How long requests took that a user waits for: starts, signals, updates.
    pub request_durations: Option<Histogram>,
    /// Workflow tasks that failed: every reason, also those that never came up; empty where nobody counts them.
    pub task_failures: Vec<(TaskFailure, u64)>,
    /// Activities that were called for and that the worker does not know.
    pub unregistered_activities: Option<u64>,
}

impl Work {
    /// What an observation counts; `None` when it counts nothing.
    #[must_use]
    pub fn of(observation: &Observation) -> Option<Self> {
        if let Some(work) = &observation.work {
            return Some(Self::clone(work));
        }
        let (types, n) = (&observation.types, &observation.numbers);
        let by_type = types.iter().map(|t| Done { task_type: t.task_type, finished: t.processed, failed: t.failed });
        let mut tasks: Vec<_> = by_type.filter(Done::counts).collect();
        // A framework without types has jobs, which are activities to us.
        let whole = Done { task_type: TaskType::Activity, finished: n.tasks_total, failed: n.tasks_failed };
        if tasks.is_empty() && whole.counts() {
            tasks.push(whole);
        }
        (!tasks.is_empty()).then(|| Self { tasks, seconds: n.task_seconds_total, ..Self::default() })
    }
}

impl Done {
    const fn counts(&self) -> bool {
        self.finished.is_some() || self.failed.is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evidence::{Slot, WorkerKey};

    fn observed() -> Observation {
        Observation::new("r", Slot { key: WorkerKey::new("f", "w"), exclusive: true })
    }

    #[test]
    fn a_framework_without_types_counts_activities() {
        let mut o = observed();
        assert_eq!(Work::of(&o), None, "it counts nothing");
        o.numbers.tasks_failed = Some(1);
        let failed = Done { task_type: TaskType::Activity, finished: None, failed: Some(1) };
        assert_eq!(Work::of(&o), Some(Work { tasks: vec![failed], ..Work::default() }), "failures alone");
        o.numbers = crate::evidence::Numbers { tasks_total: Some(7), task_seconds_total: Some(2.5), ..o.numbers };
        let done = Done { task_type: TaskType::Activity, finished: Some(7), failed: Some(1) };
        assert_eq!(Work::of(&o), Some(Work { tasks: vec![done], seconds: Some(2.5), ..Work::default() }));
    }

    #[test]
    fn what_it_measured_itself_wins() {
        let mut o = observed();
        o.numbers.tasks_total = Some(7);
        let own = Work { sticky_hits: Some(3), ..Work::default() };
        o.work = Some(Box::new(own.clone()));
        assert_eq!(Work::of(&o), Some(own));
    }
}
