//! The command line: one file per command, and one table of the flags that they share.

mod address;
mod bundle;
pub mod check;
mod demo;
mod explain;
mod exposition;
mod flags;
mod healthcheck;
mod load;
mod probe;
mod runbook;
mod serve;
mod sidecar;

use std::io::Write;
use std::process::ExitCode;

use clap::error::ErrorKind;
use clap::{Parser, Subcommand};

/// How a command failed, with what is said about it.
#[derive(Debug)]
enum Failed {
    /// Exit code 1.
    Run(String),
    /// Exit code 2: bad usage or bad configuration.
    Usage(String),
}

#[derive(Debug, Parser)]
#[command(
    name = "worker-exporter",
    version,
    about = "Answers for every background worker: is it still taking work, and if not, why?",
    after_help = "Every flag can be set in the environment: --web.listen-address is WORKER_EXPORTER_WEB_LISTEN_ADDRESS. \
                  A flag counts over the environment, the environment over the file.",
    args_conflicts_with_subcommands = true
)]
struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    serve: serve::ServeFlags,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Runs the exporter (the default). Without a config file it watches what TEMPORAL_* points at.
    Serve(serve::ServeFlags),
    /// The same program on a fleet simulated in this process; nothing else to install.
    Demo(demo::DemoFlags),
    /// Validates configuration files, or with --metrics expositions: every mistake, with its place and a hint.
    Check(check::CheckFlags),
    /// Looks at one configured worker now and prints evidence, checks, score, state and reason.
    Probe(probe::ProbeFlags),
    /// Prints what to do about an alert, with its labels filled in; without a name it lists all.
    Runbook(runbook::RunbookFlags),
    /// Writes alerts, dashboards and runbooks of exactly this version into a folder, with links filled in.
    Bundle(bundle::BundleFlags),
    /// Gives one worker that has none a /health and a /ready; can also start the worker itself.
    Sidecar(Box<sidecar::SidecarFlags>),
    /// Asks a running exporter whether it is ready; for images without a shell.
    Healthcheck(healthcheck::HealthcheckFlags),
}

/// The sidecar as a program of its own. What only the exporter needs is not in it, and so not in the memory beside each
/// worker: the pages of a program that one touches bring their neighbours along.
#[derive(Debug, Parser)]
#[command(
    name = "worker-exporter-sidecar",
    version,
    about = "Gives one worker that has none a /health and a /ready; can also start the worker itself."
)]
struct SidecarAlone {
    #[command(flatten)]
    flags: sidecar::SidecarFlags,
}

/// Parses the arguments and runs the command. Exit: 0 done, 1 failed, 2 bad usage or bad config.
pub fn run() -> ExitCode {
    let arguments = match parsed::<Arguments>() {
        Ok(arguments) => arguments,
        Err(code) => return code,
    };
    let outcome = match arguments.command.unwrap_or(Command::Serve(arguments.serve)) {
        Command::Serve(flags) => serve::run(&flags),
        Command::Demo(flags) => demo::run(&flags),
        Command::Check(flags) => return check::run(&flags),
        Command::Probe(flags) => probe::run(&flags),
        Command::Runbook(flags) => runbook::run(&flags),
        Command::Bundle(flags) => bundle::run(&flags),
        Command::Sidecar(flags) => {
            sidecar::become_alone();
            return ended(sidecar::run(*flags));
        }
        Command::Healthcheck(flags) => healthcheck::run(&flags),
    };
    ended(outcome.map(|()| 0))
}

/// The same flags, the same answers and the same exit codes as `worker-exporter sidecar`.
pub fn run_sidecar() -> ExitCode {
    match parsed::<SidecarAlone>() {
        Ok(alone) => ended(sidecar::run(alone.flags)),
        Err(code) => code,
    }
}

fn parsed<Wanted: Parser>() -> Result<Wanted, ExitCode> {
    // Before anything can ask for TLS; it can only fail when it was done already.
    let _ = rustls::crypto::ring::default_provider().install_default();
    Wanted::try_parse().map_err(|error| {
        // A reader of the help that has gone is no failure.
        let _ = error.print();
        let asked_for = matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion);
        if asked_for { ExitCode::SUCCESS } else { ExitCode::from(2) }
    })
}

fn ended(outcome: Result<u8, Failed>) -> ExitCode {
    let (text, code) = match outcome {
        Ok(code) => return ExitCode::from(code),
        Err(Failed::Run(text)) => (text, 1),
        Err(Failed::Usage(text)) => (text, 2),
    };
    say_error(&format!("worker-exporter: {text}"));
    ExitCode::from(code)
}

/// One line to standard output. Unlike `println!` it does not panic when the reader has gone.
fn say(line: &str) {
    let _ = writeln!(std::io::stdout().lock(), "{line}");
}

/// One line to standard error.
fn say_error(line: &str) {
    let _ = writeln!(std::io::stderr().lock(), "{line}");
}

/// The runtime of the web server and of waiting; looks have their own.
fn runtime() -> Result<tokio::runtime::Runtime, Failed> {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .map_err(|error| Failed::Run(format!("the system does not let this program start: {error}")))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

    use clap::CommandFactory;

    use super::*;

    fn parse(line: &str) -> Result<Arguments, clap::Error> {
        Arguments::try_parse_from(line.split_whitespace())
    }

    #[test]
    fn the_table_of_flags_is_sound() {
        Arguments::command().debug_assert();
        SidecarAlone::command().debug_assert();
    }

    #[test]
    fn serve_is_what_happens_when_no_command_is_given() {
        let arguments = parse("worker-exporter --config.file=a.yml --web.listen-address=:1").unwrap();
        assert!(arguments.command.is_none());
        assert_eq!(arguments.serve.config.file, Some("a.yml".into()));
        let Some(Command::Serve(flags)) = parse("worker-exporter serve --config.file a.yml").unwrap().command else {
            panic!("serve");
        };
        assert_eq!(flags.config.file, Some("a.yml".into()));
    }

    #[test]
    fn addresses_to_listen_on_can_be_repeated() {
        let arguments = parse("worker-exporter --web.listen-address=:1 --web.listen-address=[::1]:2").unwrap();
        assert_eq!(arguments.serve.web.listen_address, [":1", "[::1]:2"]);
    }

    #[test]
    fn flags_that_are_not_built_are_refused() {
        for flag in ["--web.enable-actions", "--storage.path=x", "--shard=1"] {
            let error = parse(&format!("worker-exporter {flag}")).unwrap_err();
            assert_eq!(error.exit_code(), 2, "{flag}");
        }
    }

    #[test]
    fn check_wants_a_file() {
        assert_eq!(parse("worker-exporter check").unwrap_err().exit_code(), 2);
    }

    #[test]
    fn every_flag_has_its_twin_in_the_environment() {
        let command = Arguments::command();
        for command in std::iter::once(&command).chain(command.get_subcommands()) {
            for argument in command.get_arguments() {
                let Some(long) = argument.get_long() else { continue };
                if ["help", "version", "fleet", "explain", "metrics", "format", "progress", "set", "force"]
                    .contains(&long)
                {
                    continue;
                }
                // A sidecar shares its environment with a worker and stands beside an exporter: its flags are its own.
                let own = command.get_name() == "sidecar" && !long.starts_with("log.");
                let prefix = if own { "WORKER_EXPORTER_SIDECAR" } else { "WORKER_EXPORTER" };
                let twin = format!("{prefix}_{}", long.to_uppercase().replace(['.', '-'], "_"));
                assert_eq!(argument.get_env().and_then(std::ffi::OsStr::to_str), Some(twin.as_str()), "--{long}");
            }
        }
    }
}
