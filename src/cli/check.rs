//! `worker-exporter check FILE…`: every mistake of every file, in one run.

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use crate::config::{self, ProcessEnvironment, Settings};

/// Mistakes go to stderr, one line for each whole file to stdout. Exit: 0 when all are whole, else 2.
pub fn run(files: &[PathBuf]) -> ExitCode {
    let mut whole = true;
    for file in files {
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

/// `3 sources, 12 targets`.
fn summary(settings: &Settings) -> String {
    let targets =
        settings.sources.iter().filter_map(|source| source.detail.targets()).map(|targets| targets.fixed.len());
    format!("{}, {}", count(settings.sources.len(), "source"), count(targets.sum(), "target"))
}

fn count(number: usize, what: &str) -> String {
    format!("{number} {what}{}", if number == 1 { "" } else { "s" })
}
