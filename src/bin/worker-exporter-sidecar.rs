//! The sidecar as a program of its own: arguments → run. No logic here.

use std::process::ExitCode;

fn main() -> ExitCode {
    worker_exporter::cli::run_sidecar()
}
