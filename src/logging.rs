//! Where our own log lines go: to standard error, as logfmt or JSON, through a queue of their own, so that a blocked
//! pipe loses lines instead of stopping the program.

use std::io;

use clap::ValueEnum;
use tracing_appender::non_blocking::{NonBlockingBuilder, WorkerGuard};
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Layer, Registry};

/// Lines that may wait for the pipe, where a fleet is watched: some 10 MB at most.
pub const LINES: usize = 16_384;
/// Where one worker is watched. The queue takes its place when it is made, 32 bytes for each line that may come.
pub const FEW_LINES: usize = 256;

/// How a line is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// `ts=… level=info msg=…`
    Logfmt,
    /// One object a line.
    Json,
}

/// What is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Level {
    /// Faults only.
    Error,
    /// And what should be looked at.
    Warn,
    /// And what happens.
    Info,
    /// And how.
    Debug,
    /// Everything.
    Trace,
}

impl From<Level> for LevelFilter {
    fn from(level: Level) -> Self {
        match level {
            Level::Error => Self::ERROR,
            Level::Warn => Self::WARN,
            Level::Info => Self::INFO,
            Level::Debug => Self::DEBUG,
            Level::Trace => Self::TRACE,
        }
    }
}

/// Starts logging; so many `lines` may wait for the pipe. Those that do are written when the guard is dropped.
pub fn start(level: Level, format: Format, lines: usize) -> WorkerGuard {
    let (writer, guard) = NonBlockingBuilder::default().buffered_lines_limit(lines).lossy(true).finish(io::stderr());
    let filter = targets(level);
    let written: Box<dyn Layer<Registry> + Send + Sync> = match format {
        Format::Logfmt => Box::new(tracing_logfmt::builder().with_target(false).layer().with_writer(writer)),
        Format::Json => {
            Box::new(tracing_subscriber::fmt::layer().json().flatten_event(true).with_target(false).with_writer(writer))
        }
    };
    // A second start in one process (a test) keeps the first.
    let _ = tracing_subscriber::registry().with(written.with_filter(filter)).try_init();
    guard
}

/// Libraries below us talk at length of every connection: they stay at warnings, or below what is asked for.
fn targets(level: Level) -> Targets {
    let ours = LevelFilter::from(level);
    let theirs = ours.min(LevelFilter::WARN);
    Targets::new().with_default(theirs).with_target("worker_exporter", ours).with_target("verdict", ours)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn libraries_never_say_more_than_warnings_and_never_more_than_we() {
        use tracing::Level as Said;
        let all = targets(Level::Trace);
        assert!(all.would_enable("worker_exporter::web", &Said::TRACE) && all.would_enable("verdict", &Said::TRACE));
        assert!(all.would_enable("hyper", &Said::WARN) && !all.would_enable("hyper", &Said::INFO));
        let few = targets(Level::Error);
        assert!(few.would_enable("verdict", &Said::ERROR) && !few.would_enable("verdict", &Said::WARN));
        assert!(few.would_enable("hyper", &Said::ERROR) && !few.would_enable("hyper", &Said::WARN));
    }
}
