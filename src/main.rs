//! Arguments → config → run. No logic here.

use std::process::ExitCode;

fn main() -> ExitCode {
    worker_exporter::cli::run()
}
