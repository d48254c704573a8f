//! The numbers by which evidence is weighed. Every one is a default that a fleet may set.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;

use crate::evidence::QueueKey;
use crate::words::{SourceKind, TaskType};

/// Who is paged when a worker of the fleet dies.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Page {
    /// Each dead worker pages.
    #[default]
    Worker,
    /// Single workers do not page (autoscaled, spot); the fleet's alerts do.
    Fleet,
}

/// A warning and a critical threshold; the warning is the lower one.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Threshold {
    /// At or above it the check warns.
    pub warning: f64,
    /// At or above it the check is critical.
    pub critical: f64,
}

/// The rules of one fleet.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Rules {
    /// See [`Page`].
    pub page: Page,
    /// The team label of `worker_fleet_info`; may be empty.
    pub team: Arc<str>,
    /// How many workers the owner expects.
    pub expected_workers: Option<u64>,
    /// Cadence of the heartbeat, where the configuration knows it and the source does not declare it.
    pub heartbeat_interval: Option<Duration>,
    /// Cadences without a beat at which the heartbeat check warns, and at which it is critical.
    pub missed_beats: Threshold,
    /// Lifts the limits of the beat for a fleet that is quiet by design (`26h` for a job once a day).
    pub max_quiet: Option<Duration>,
    /// A new worker may be silent for this long, or three cadences if that is longer.
    pub start_grace: Duration,
    /// Draining for longer than this is stuck.
    pub drain_limit: Duration,
    /// A `down` worker keeps its series for this long. Longer than twice the longest `for:` of the rules that read it.
    pub tombstone: Duration,
    /// No task takes longer than this.
    pub longest_task: Duration,
    /// Time without its own progress while work waits, seconds.
    pub no_progress: Threshold,
    /// Used workflow slots and a flat counter for this long are a dead loop: a workflow task has a deadline of 10 s.
    pub workflow_flat: Duration,
    /// The head of a queue must be older than this for work to be waiting.
    pub waiting_age: Duration,
    /// Failed looks of its endpoint in a row after which it does not answer.
    pub reach_misses: u32,
    /// Error rate over five minutes, ratio.
    pub error_ratio: Threshold,
    /// Tasks in the window under which the error rate is not judged.
    pub minimum_tasks: u64,
    /// Mean duration of its tasks that is expected; twice that is a warning.
    pub expected_task_duration: Option<Duration>,
    /// CPU against its limit, five-minute mean, ratio.
    pub cpu: Threshold,
    /// Memory against its limit, ratio.
    pub memory: Threshold,
    /// GPU memory, ratio.
    pub gpu_memory: Threshold,
    /// Disk, ratio.
    pub disk: Threshold,
    /// A score under this is `degraded`.
    pub minimum_score: f64,
    /// Queues that the fleet's workers serve, where no source says so itself.
    pub queues: Vec<QueueKey>,
}

const fn threshold(warning: f64, critical: f64) -> Threshold {
    Threshold { warning, critical }
}

impl Default for Rules {
    fn default() -> Self {
        Self {
            page: Page::Worker,
            team: Arc::from(""),
            expected_workers: None,
            heartbeat_interval: None,
            missed_beats: threshold(2.0, 3.0),
            max_quiet: None,
            start_grace: Duration::from_secs(60),
            drain_limit: Duration::from_secs(30 * 60),
            tombstone: Duration::from_secs(15 * 60),
            longest_task: Duration::from_secs(6 * 3600),
            // A long poll of Temporal lasts 60 s: 65 s without one is late, two of them are missing at 130 s.
            no_progress: threshold(65.0, 130.0),
            workflow_flat: Duration::from_secs(30),
            waiting_age: Duration::from_secs(60),
            reach_misses: 3,
            error_ratio: threshold(0.05, 0.10),
            minimum_tasks: 20,
            expected_task_duration: None,
            cpu: threshold(0.90, 0.95),
            memory: threshold(0.85, 0.95),
            gpu_memory: threshold(0.85, 0.90),
            disk: threshold(0.85, 0.95),
            minimum_score: 0.7,
            queues: Vec::new(),
        }
    }
}

/// A source as the core needs to know it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SourceRules {
    /// Its configured name.
    pub name: Arc<str>,
    /// Its kind.
    pub kind: SourceKind,
    /// Temporal namespace, or empty.
    pub namespace: Arc<str>,
    /// The shortest interval between looks at one thing.
    pub minimum_interval: Duration,
    /// The longest, and the one that is used where no cadence is known.
    pub maximum_interval: Duration,
    /// Queues to watch though nobody polls them.
    pub watch: Vec<(Arc<str>, TaskType)>,
}

#[cfg(test)]
impl SourceRules {
    /// A source with the default intervals.
    pub(crate) fn test(name: &str, kind: SourceKind) -> Self {
        Self {
            name: Arc::from(name),
            kind,
            namespace: Arc::from(if kind == SourceKind::Temporal { "default" } else { "" }),
            minimum_interval: Duration::from_secs(2),
            maximum_interval: Duration::from_secs(30),
            watch: Vec::new(),
        }
    }
}

/// All rules that are in force.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Rulebook {
    /// For fleets that are not named.
    pub default: Rules,
    /// For fleets by name. These never vanish from the figures.
    pub fleets: HashMap<Arc<str>, Rules>,
    /// The sources, in the order of the configuration.
    pub sources: Vec<SourceRules>,
}

impl Rulebook {
    /// The rules of this fleet.
    #[must_use]
    pub fn of(&self, fleet: &str) -> &Rules {
        self.fleets.get(fleet).unwrap_or(&self.default)
    }
}
