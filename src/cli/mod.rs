//! The command line: one file per command.

pub mod check;

use std::process::ExitCode;

/// Parses the arguments and runs the command. Exit: 0 done, 1 failed, 2 bad usage or bad config.
pub fn run() -> ExitCode {
    ExitCode::SUCCESS
}
