//! The worker's own metrics, through the reader that the exporter has for them, and the two figures that tell whether it
//! makes progress.

use std::collections::HashMap;
use std::sync::Arc;

use arc_swap::ArcSwap;
use verdict::evidence::{Observation, Reach, Report, Scope, WorkerKey};
use verdict::read::worker_metrics::{Names, Series};
use verdict::words::Failure;

use super::judge::METRICS_INTERVAL;
use super::progress::MetricsSeen;
use super::{OwnMetrics, source};
use crate::config::{self, HttpTarget, Targets};
use crate::observe::Observe;
use crate::observe::metrics::MetricsSource;

/// Temporal's SDKs: long polls that came to an end, with a task or without. They end every minute on an idle queue.
const PROGRESS: &str = "temporal_long_request";
/// Temporal's SDKs: slots in use. A worker that has none free does not poll.
const BUSY: &str = "temporal_worker_task_slots_used";
/// An exposition of one worker is some hundred kilobytes at most.
const MAX_BODY: usize = 8 * 1024 * 1024;

/// The metrics of one worker.
pub(super) struct Metrics {
    source: MetricsSource,
    worker: Scope,
}

impl Metrics {
    /// Nothing is fetched yet.
    pub(super) fn new(own: OwnMetrics) -> Self {
        let key = WorkerKey::new("sidecar", "worker");
        let target = HttpTarget {
            id: Arc::clone(&key.worker),
            fleet: Arc::clone(&key.fleet),
            url: own.url.clone(),
            access: None,
        };
        let known = Arc::new(ArcSwap::from_pointee(HashMap::from([(key.clone(), target)])));
        let metrics = config::MetricsSource {
            targets: Targets::of(Vec::new(), config::MetricsSource::PATH),
            names: names(own),
            max_body: MAX_BODY,
        };
        let source = source("metrics", (METRICS_INTERVAL, METRICS_INTERVAL), config::Detail::Metrics(metrics.clone()));
        Self { source: MetricsSource::new(&source, &metrics, known), worker: Scope::Worker(key) }
    }

    /// One look.
    pub(super) async fn look(&self) -> Result<MetricsSeen, Failure> {
        match self.source.look(&self.worker).await {
            Ok(Report::Worker(observation)) => seen(&observation),
            Ok(Report::Listing(_) | Report::Queue(_)) => Err(Failure::Internal),
            // Who refuses to answer so often is there.
            Err(Failure::Throttled) => {
                Ok(MetricsSeen { unreadable: Some(Failure::Throttled), ..MetricsSeen::default() })
            }
            Err(failure) => Err(failure),
        }
    }
}

/// What is named counts alone; where nothing is, a Temporal SDK is known by its names.
fn names(own: OwnMetrics) -> Names {
    let known = |name: &str| Series::parse(name).ok();
    let busy = if own.progress.is_some() { own.busy } else { own.busy.or_else(|| known(BUSY)) };
    Names {
        progress: Vec::from_iter(own.progress.or_else(|| known(PROGRESS))),
        in_flight: Vec::from_iter(busy),
        temporal_prefix: String::new(),
        ..Names::default()
    }
}

fn seen(observation: &Observation) -> Result<MetricsSeen, Failure> {
    match observation.reach {
        Some(Reach::Missed(failure) | Reach::Misconfigured(failure)) => Err(failure),
        Some(Reach::Answered { .. }) | None => Ok(MetricsSeen {
            progress: observation.numbers.progress,
            busy: observation.numbers.in_flight,
            unreadable: observation.says.unreadable,
        }),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use verdict::read::exposition::{Format, Limits};
    use verdict::read::worker_metrics;

    use super::*;

    const TEXT: &[u8] = b"# TYPE temporal_long_request counter\n\
        temporal_long_request{operation=\"PollActivityTaskQueue\"} 3\n\
        temporal_long_request{operation=\"PollWorkflowTaskQueue\"} 4\n\
        # TYPE temporal_worker_task_slots_used gauge\n\
        temporal_worker_task_slots_used{worker_type=\"ActivityWorker\"} 2\n\
        # TYPE turns_total counter\n\
        turns_total 5\n";

    fn figures(progress: Option<&str>) -> (Option<u64>, Option<u64>) {
        let url = "http://127.0.0.1/metrics".parse().unwrap();
        let progress = progress.map(|name| Series::parse(name).unwrap());
        let names = names(OwnMetrics { url, progress, busy: None, limit: METRICS_INTERVAL });
        let numbers = worker_metrics::read(TEXT, Format::Text, &Limits::default(), &names).unwrap().numbers;
        (numbers.progress, numbers.in_flight)
    }

    #[test]
    fn a_temporal_sdk_is_known_by_its_names_and_all_series_of_a_name_count_together() {
        assert_eq!(figures(None), (Some(7.0_f64.to_bits()), Some(2)));
    }

    #[test]
    fn what_is_named_counts_alone_and_goes_with_and_without_total() {
        for name in ["turns", "turns_total"] {
            assert_eq!(figures(Some(name)), (Some(5.0_f64.to_bits()), None), "{name}");
        }
        assert_eq!(figures(Some("nothing")), (None, None));
    }
}
