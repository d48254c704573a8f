//! The worker's own metrics: one request, and the two figures that tell whether it makes progress.

use std::time::Duration;

use verdict::read::exposition::{self, Limits};
use verdict::words::Failure;

use super::OwnMetrics;
use super::progress::MetricsSeen;
use crate::observe::page::Page;

/// The text format before the other: it is the one that every library writes.
const ACCEPT: &str = "text/plain;version=0.0.4, application/openmetrics-text;version=1.0.0;q=0.5, */*;q=0.1";
/// Temporal's SDKs: long polls that came to an end, with a task or without. They end every minute on an idle queue.
const PROGRESS: &str = "temporal_long_request";
/// Temporal's SDKs: slots in use. A worker that has none free does not poll.
const BUSY: &str = "temporal_worker_task_slots_used";

/// The metrics of one worker.
#[derive(Debug)]
pub(super) struct Metrics {
    page: Page,
    progress: String,
    busy: Option<String>,
}

impl Metrics {
    /// Nothing is fetched yet.
    pub(super) fn new(own: OwnMetrics, timeout: Duration) -> Self {
        // What is named counts alone; where nothing is, a Temporal SDK is known by its names.
        let busy = own.busy.or_else(|| own.progress.is_none().then(|| BUSY.to_owned()));
        Self { page: Page::new(own.url, timeout), progress: own.progress.unwrap_or_else(|| PROGRESS.to_owned()), busy }
    }

    /// One look.
    pub(super) async fn look(&self) -> Result<MetricsSeen, Failure> {
        let (body, content_type) = self.page.fetch(ACCEPT).await?;
        figures(&body, content_type.as_deref(), &self.progress, self.busy.as_deref())
    }
}

/// Reads both figures: all series of a name together.
fn figures(
    body: &[u8],
    content_type: Option<&str>,
    progress: &str,
    busy: Option<&str>,
) -> Result<MetricsSeen, Failure> {
    let format = exposition::format_of(content_type).ok_or(Failure::BodyInvalid)?;
    let mut seen = MetricsSeen::default();
    let read = exposition::read(body, format, &Limits::default(), &mut |family| {
        for sample in family.samples.iter().filter(|sample| sample.value.is_finite()) {
            if is(sample.name, progress) {
                *seen.progress.get_or_insert(0.0) += sample.value;
            }
            if busy.is_some_and(|busy| is(sample.name, busy)) {
                *seen.busy.get_or_insert(0.0) += sample.value;
            }
        }
    });
    match read {
        Ok(()) => Ok(seen),
        Err(mistakes) => {
            let first = mistakes.first().map(ToString::to_string).unwrap_or_default();
            tracing::debug!(mistakes = mistakes.len(), first, "the worker's metrics cannot be read");
            Err(Failure::BodyInvalid)
        }
    }
}

/// A counter goes by its name with and without `_total`: which one a library writes, people do not remember.
fn is(sample: &str, wanted: &str) -> bool {
    let bare = |name: &'_ str| name.strip_suffix("_total").map_or(name.len(), str::len);
    sample == wanted || sample.get(..bare(sample)) == wanted.get(..bare(wanted))
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &[u8] = b"# TYPE temporal_long_request counter\n\
        temporal_long_request{operation=\"PollActivityTaskQueue\"} 3\n\
        temporal_long_request{operation=\"PollWorkflowTaskQueue\"} 4\n\
        # TYPE temporal_worker_task_slots_used gauge\n\
        temporal_worker_task_slots_used{worker_type=\"ActivityWorker\"} 2\n";

    #[test]
    fn all_series_of_a_name_count_together() {
        let seen = figures(TEXT, Some("text/plain"), PROGRESS, Some(BUSY));
        assert_eq!(seen, Ok(MetricsSeen { progress: Some(7.0), busy: Some(2.0) }));
    }

    #[test]
    fn a_counter_goes_by_its_name_with_and_without_total() {
        for (sample, wanted, same) in [
            ("loops_total", "loops_total", true),
            ("loops_total", "loops", true),
            ("loops", "loops_total", true),
            ("loops_created", "loops", false),
            ("loops_total_total", "loops", false),
        ] {
            assert_eq!(is(sample, wanted), same, "{sample} {wanted}");
        }
    }

    #[test]
    fn what_is_no_exposition_is_a_failed_look_and_a_missing_name_is_none() {
        assert_eq!(figures(b"<html>", Some("text/html"), "a", None), Err(Failure::BodyInvalid));
        assert_eq!(figures(b"a b c d\n", Some("text/plain"), "a", None), Err(Failure::BodyInvalid));
        assert_eq!(figures(TEXT, None, "nothing", None), Ok(MetricsSeen::default()));
    }
}
