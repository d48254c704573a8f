//! `worker-exporter check FILE…`: every mistake of every file, in one run; with `--metrics` of what workers say, with
//! `--web.config.file` of that one as well.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use verdict::read::worker_metrics::Series;

use super::exposition::{self, As};
use super::flags::series;
use crate::config::{self, ProcessEnvironment, Settings};
use crate::door::Door;

/// Flags of `check`.
#[derive(Debug, clap::Args)]
pub struct CheckFlags {
    /// Files to validate; with --metrics, - is standard input.
    #[arg(required_unless_present = "web_config_file", value_name = "FILE")]
    files: Vec<PathBuf>,
    /// Web configuration to validate as well.
    #[arg(long = "web.config.file", env = "WORKER_EXPORTER_WEB_CONFIG_FILE", value_name = "FILE")]
    web_config_file: Option<PathBuf>,
    /// The files are expositions: they are read as a worker's /metrics would be, and what would be used is printed.
    #[arg(long)]
    metrics: bool,
    /// How an exposition is read.
    #[arg(long, value_enum, default_value = "auto", requires = "metrics")]
    format: As,
    /// A counter that would be its progress, such as jobs_total{queue="mail"}.
    #[arg(long, value_name = "SERIES", requires = "metrics", value_parser = series)]
    progress: Vec<Series>,
}

impl CheckFlags {
    /// To validate these configuration files.
    #[must_use]
    pub const fn of(files: Vec<PathBuf>) -> Self {
        Self { files, web_config_file: None, metrics: false, format: As::Auto, progress: Vec::new() }
    }
}

/// Mistakes go to stderr, one line for each whole file to stdout. Exit: 0 when all are whole, else 2.
pub fn run(flags: &CheckFlags) -> ExitCode {
    let mut whole = flags.web_config_file.as_deref().is_none_or(web);
    for file in &flags.files {
        if flags.metrics {
            whole &= exposition::check(file, flags.format, &flags.progress);
            continue;
        }
        // A closed pipe is no reason to answer otherwise: the exit code is the answer.
        match config::load(file, &ProcessEnvironment) {
            Ok(settings) => {
                let _ = writeln!(std::io::stdout(), "{}: ok, {}", file.display(), summary(&settings));
            }
            Err(mistakes) => {
                whole = false;
                let _ = writeln!(std::io::stderr(), "{mistakes}");
            }
        }
    }
    if whole { ExitCode::SUCCESS } else { ExitCode::from(2) }
}

/// The same for a file of `--web.config.file`, with the files that it names.
fn web(file: &Path) -> bool {
    match Door::load(file) {
        Ok(door) => {
            let config = door.config().load_full();
            let tls = if door.is_tls() { "TLS" } else { "plain HTTP" };
            let users = count(config.users.len(), "user");
            let _ = writeln!(std::io::stdout(), "{}: ok, {tls}, {users}", file.display());
            true
        }
        Err(mistakes) => {
            let _ = writeln!(std::io::stderr(), "{mistakes}");
            false
        }
    }
}

/// `3 sources, 12 targets`.
fn summary(settings: &Settings) -> String {
    let targets =
        settings.sources.iter().filter_map(|source| source.detail.targets()).map(|targets| targets.fixed.len());
    format!("{}, {}", count(settings.sources.len(), "source"), count(targets.sum(), "target"))
}

fn count(number: usize, what: &str) -> String {
    format!("{number} {what}{}", if number == 1 { "" } else { "s" })
}
