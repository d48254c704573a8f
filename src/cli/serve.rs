//! `serve`: runs the exporter.

use clap::{ArgAction, Args};
use tokio_util::sync::CancellationToken;

use super::flags::{ConfigFlags, LogFlags, WebFlags};
use super::{Failed, load, runtime};
use crate::app::{App, Launch, Watched};
use crate::logging;

#[derive(Clone, Debug, Args)]
pub(super) struct ServeFlags {
    #[command(flatten)]
    pub(super) config: ConfigFlags,
    /// Take a changed configuration file by itself; `false` waits for SIGHUP or `POST /-/reload`.
    #[arg(
        long = "config.watch",
        env = "WORKER_EXPORTER_CONFIG_WATCH",
        value_name = "BOOL",
        default_value = "true",
        action = ArgAction::Set
    )]
    pub(super) watch: bool,
    #[command(flatten)]
    pub(super) web: WebFlags,
    #[command(flatten)]
    pub(super) log: LogFlags,
}

pub(super) fn run(flags: &ServeFlags) -> Result<(), Failed> {
    let web = flags.web.settings(":10860")?;
    let door = flags.web.door()?;
    let watch = flags.config.file.clone().filter(|_| flags.watch).map(Watched::now);
    let (settings, load) = load::first(&flags.config)?;
    let _log = logging::start(flags.log.level, flags.log.format, logging::LINES);
    let runtime = runtime()?;
    runtime.block_on(async {
        let sources = settings.sources.len();
        let app = App::start(Launch { settings, load, watch, web, door })
            .await
            .map_err(|broken| Failed::Run(broken.to_string()))?;
        for address in app.addresses() {
            tracing::info!(%address, sources, version = env!("CARGO_PKG_VERSION"), "listening");
        }
        app.run(CancellationToken::new()).await.map_err(|broken| Failed::Run(broken.to_string()))
    })?;
    // A look of DNS that hangs in the system must not hold up the end.
    runtime.shutdown_background();
    Ok(())
}
