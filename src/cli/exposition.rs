//! `worker-exporter check --metrics FILE…`: reads a file as the answer of a worker's `/metrics` would be read.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use clap::ValueEnum;
use verdict::read::exposition::{Format, Limits};
use verdict::read::worker_metrics::{self, MetricsAnswer, Names, Series};

use super::{say, say_error};

/// A larger file is no exposition of one worker.
const LARGEST: u64 = 64 * 1024 * 1024;
/// The name that stands for standard input.
const STDIN: &str = "-";

/// How the file is to be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum As {
    /// Text where the name ends in .prom, else OpenMetrics. A worker's Content-Type says it; a file has none.
    Auto,
    /// OpenMetrics 1.0.
    Openmetrics,
    /// Prometheus text 0.0.4.
    Text,
}

impl As {
    fn format(self, file: &Path) -> Format {
        let text = match self {
            // Half an OpenMetrics file looks like text, so what is in it must not decide.
            Self::Auto => file.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("prom")),
            Self::Openmetrics => false,
            Self::Text => true,
        };
        if text { Format::Text } else { Format::OpenMetrics }
    }
}

/// Reads one file: what would be used of it to stdout, every mistake to stderr. True when there is none.
pub(super) fn check(file: &Path, how: As, progress: &[Series]) -> bool {
    let name = file.display();
    let bytes = match bytes(file) {
        Ok(bytes) => bytes,
        Err(error) => {
            say_error(&format!("{name}: {error}\n    hint: check the path and the permissions"));
            return false;
        }
    };
    let names = Names { progress: progress.to_vec(), ..Names::default() };
    match worker_metrics::read(&bytes, how.format(file), &Limits::default(), &names) {
        Ok(answer) => {
            say(&format!("{name}: ok, {} families, {} samples", answer.families, answer.samples));
            told(&answer).iter().for_each(|line| say(&format!("    {line}")));
            true
        }
        Err(mistakes) => {
            mistakes.iter().for_each(|mistake| say_error(&format!("{name}: {mistake}")));
            false
        }
    }
}

fn bytes(file: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let mut read = |from: &mut dyn Read| from.take(LARGEST + 1).read_to_end(&mut bytes);
    if file.as_os_str() == STDIN {
        read(&mut io::stdin().lock())?;
    } else {
        read(&mut File::open(file)?)?;
    }
    if u64::try_from(bytes.len()).is_ok_and(|length| length > LARGEST) {
        return Err(io::Error::other("it is larger than 64 MiB"));
    }
    Ok(bytes)
}

/// What is used, one line each.
fn told(answer: &MetricsAnswer) -> Vec<String> {
    let mut lines: Vec<String> = answer
        .uses
        .iter()
        .map(|used| match used.value {
            Some(value) => format!("{} from {}: {value}", used.what, used.name),
            None => format!("{} from {}: not there", used.what, used.name),
        })
        .collect();
    let number = |value: Option<u64>| value.map_or_else(|| String::from("unknown"), |value| value.to_string());
    for of in &answer.types {
        lines.push(format!(
            "{}: slots used {}, available {}, pollers {}",
            of.task_type,
            number(of.used),
            number(of.available),
            number(of.pollers)
        ));
    }
    for done in &answer.work.tasks {
        let (finished, failed) = (number(done.finished), number(done.failed));
        lines.push(format!("{} tasks: {finished} finished, {failed} of them failed", done.task_type));
    }
    for (what, histograms) in [("took", &answer.work.durations), ("waited", &answer.work.schedule_to_start)] {
        for (task_type, histogram) in histograms.iter().filter(|(_, histogram)| histogram.count > 0) {
            lines.push(format!("{} {task_type} tasks {what} {:.3} s in all", histogram.count, histogram.sum));
        }
    }
    for (request, count) in &answer.work.requests_failed {
        lines.push(format!("{count} requests {} failed with {}", request.operation, request.code));
    }
    if let Some(took) = &answer.work.request_durations {
        lines.push(format!("{} requests that a user waits for took {:.3} s in all", took.count, took.sum));
    }
    for (reason, count) in answer.work.task_failures.iter().filter(|(_, count)| *count > 0) {
        lines.push(format!("{count} workflow tasks failed for {reason}"));
    }
    if let Some(count) = answer.work.unregistered_activities {
        lines.push(format!("{count} calls of activities that it does not know"));
    }
    if lines.is_empty() {
        lines.push(String::from(
            "nothing of it is understood by its name: name its counters in a source of kind metrics (docs/worker-metrics.md)",
        ));
    }
    lines
}
