//! `/health` and `/ready` for one worker that has none, answered by a process beside it.
//!
//! `watch` looks, each piece of evidence in a task of its own; `judge` and what it is made of (`beat`, `process`,
//! `progress`, `registration`, `check`, `cause`) decide, pure; `board` brings both together; `answer` writes and `serve`
//! sends what comes of it; `child` starts the worker itself, where that is asked for.

mod answer;
mod beat;
mod board;
mod cause;
mod check;
mod child;
mod file;
mod judge;
mod locate;
mod metrics;
mod process;
mod progress;
mod registration;
mod serve;
#[cfg(test)]
mod tests;
mod watch;

use std::ffi::OsString;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};
use tokio::time::sleep;
use url::Url;
use verdict::read::worker_metrics::Series;

use self::beat::BeatWatch;
use self::board::Board;
use self::child::{Child, Event, Meaning};
use self::file::BeatPath;
use self::judge::Judge;
use self::locate::Locate;
pub use self::locate::Sought;
use self::process::ProcessWatch;
use self::progress::MetricsWatch;
use self::registration::TemporalWatch;
use crate::config;
use crate::observe::Clock;
use crate::observe::redis::OwnKey;
use crate::observe::temporal::OwnWorker;
pub use crate::observe::temporal::Whose;

/// A file costs nothing to look at; a beat of a second has its shortest limit after five.
const FILE_LOOKS: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(5));
/// A key costs a round trip.
const REDIS_LOOKS: (Duration, Duration) = (Duration::from_secs(2), Duration::from_secs(15));
/// One look at a local thing, or at Redis.
const TIMEOUT: Duration = Duration::from_secs(3);
/// After SIGTERM, while the worker's process still runs, it is asked for this often.
const LAST_LOOKS: Duration = Duration::from_millis(200);

/// What a sidecar is started with.
#[derive(Debug)]
pub struct Settings {
    /// Where it listens.
    pub listen: SocketAddr,
    /// The name of the worker in the answers.
    pub worker_id: Arc<str>,
    /// Liveness fails open for this long.
    pub start_grace: Duration,
    /// After SIGTERM it stays for as long as the worker's process, and no longer than this.
    pub drain_limit: Duration,
    /// The heartbeat file.
    pub file: Option<BeatFile>,
    /// The process, unless it is our child.
    pub process: Option<Sought>,
    /// The worker's own metrics.
    pub metrics: Option<OwnMetrics>,
    /// The key in Redis.
    pub redis: Option<BeatKey>,
    /// What to ask Temporal.
    pub temporal: Option<AskTemporal>,
    /// The worker itself, to be started by us.
    pub command: Vec<OsString>,
}

/// A heartbeat file.
#[derive(Debug)]
pub struct BeatFile {
    /// Where it is.
    pub path: PathBuf,
    /// How often it is written.
    pub interval: Option<Duration>,
    /// Lifts the limit of its silence.
    pub max_quiet: Option<Duration>,
}

/// The worker's own metrics.
#[derive(Debug)]
pub struct OwnMetrics {
    /// Where they are.
    pub url: Url,
    /// The counter of its progress.
    pub progress: Option<Series>,
    /// The gauge of what it has in hand.
    pub busy: Option<Series>,
    /// How long the counter may stand still.
    pub limit: Duration,
}

/// A heartbeat key.
#[derive(Debug)]
pub struct BeatKey {
    /// The server.
    pub server: config::RedisServer,
    /// The key.
    pub key: String,
    /// How often it is written.
    pub interval: Option<Duration>,
    /// Lifts the limit of its silence.
    pub max_quiet: Option<Duration>,
}

/// A namespace and the worker in it.
#[derive(Debug)]
pub struct AskTemporal {
    /// The namespace.
    pub source: config::TemporalSource,
    /// By what it is known.
    pub whose: Whose,
    /// The queues that it must serve.
    pub task_queues: Vec<Arc<str>>,
}

/// Why a sidecar cannot run.
#[derive(Debug, thiserror::Error)]
pub enum Broken {
    /// The address cannot be opened.
    #[error("cannot listen on {address}: {error}\n  hint: choose another address with --web.listen-address=:PORT")]
    Listen {
        /// Which.
        address: SocketAddr,
        /// What the system says.
        error: io::Error,
    },
    /// The worker cannot be started.
    #[error("the worker cannot be started: {command}: {error}\n  hint: {hint}")]
    Start {
        /// Its command.
        command: String,
        /// What the system says.
        error: io::Error,
        /// What to do next.
        hint: &'static str,
    },
    /// The system gives no event queue or signal.
    #[error("the system does not let this program start: {0}")]
    System(#[from] io::Error),
}

/// Runs until it is told to end or the worker that it started has ended. The exit code: that of the worker, else 0.
///
/// # Errors
/// See [`Broken`].
pub async fn run(settings: Settings) -> Result<u8, Broken> {
    let listener =
        serve::open(settings.listen).await.map_err(|error| Broken::Listen { address: settings.listen, error })?;
    let address = listener.local_addr()?;
    let mut child = if settings.command.is_empty() { None } else { Some(start(&settings.command)?) };
    let clock = Clock::start();
    let sought = child.as_ref().map(|child| Sought::Child(child.pid())).or(settings.process.clone());
    let locate = sought.map(|sought| Arc::new(Mutex::new(Locate::new(sought))));

    let mut judge = Judge::new(settings.start_grace);
    judge.process = locate.as_ref().map(|_| ProcessWatch::default());
    judge.file = settings.file.as_ref().map(|file| BeatWatch::new(file.interval, file.max_quiet, FILE_LOOKS));
    judge.metrics = settings
        .metrics
        .as_ref()
        .map(|own| MetricsWatch::new(own.progress.as_ref().map(ToString::to_string), own.limit));
    judge.redis = settings.redis.as_ref().map(|key| BeatWatch::new(key.interval, key.max_quiet, REDIS_LOOKS));
    judge.temporal = settings.temporal.as_ref().map(|ask| TemporalWatch::new(ask.task_queues.clone()));
    let queues = settings.temporal.as_ref().map(|ask| ask.task_queues.join(",")).filter(|queues| !queues.is_empty());
    let board = Arc::new(Board::new(clock, settings.worker_id, queues.map(Arc::from), judge));

    tracing::info!(%address, version = env!("CARGO_PKG_VERSION"), "listening");
    tokio::spawn(serve::serve(listener, Arc::clone(&board)));
    if let Some(locate) = &locate {
        tokio::spawn(watch::process(Arc::clone(&board), Arc::clone(locate)));
    }
    if let Some(file) = settings.file {
        tokio::spawn(watch::file(Arc::clone(&board), BeatPath::new(file.path)));
    }
    if let Some(own) = settings.metrics {
        tokio::spawn(watch::metrics(Arc::clone(&board), metrics::Metrics::new(own)));
    }
    if let Some(key) = settings.redis {
        let source =
            source("redis", REDIS_LOOKS, config::Detail::Redis(config::RedisSource::at(key.server.url.clone())));
        tokio::spawn(watch::redis(Arc::clone(&board), OwnKey::new(&source, &key.server, key.key)));
    }
    if let Some(ask) = settings.temporal {
        let named = ask.whose.identity.is_some() || ask.whose.pid.is_some();
        let worker = OwnWorker::connect(&ask.source);
        tokio::spawn(watch::temporal(Arc::clone(&board), worker, ask.whose, locate.filter(|_| !named)));
    }

    match &mut child {
        Some(child) => Ok(follow(child, &board).await),
        None => {
            beside(&board, settings.drain_limit).await?;
            Ok(0)
        }
    }
}

fn start(command: &[OsString]) -> Result<Child, Broken> {
    Child::start(command).map_err(|error| {
        let hint = match error.kind() {
            io::ErrorKind::NotFound => {
                "write the whole path, or see that it is in PATH and that its interpreter exists"
            }
            io::ErrorKind::PermissionDenied => "see that the file is executable for this user",
            _ => "try the same command in a shell",
        };
        let command = command.first().map(|program| program.to_string_lossy().into_owned()).unwrap_or_default();
        Broken::Start { command, error, hint }
    })
}

/// With a child: until it has ended.
async fn follow(child: &mut Child, board: &Board) -> u8 {
    tracing::info!(pid = child.pid(), "worker started");
    loop {
        match child.next().await {
            Event::Signalled(Meaning::Leave) => {
                let now = board.clock().now();
                board.with(|judge| judge.told_to_leave(now));
            }
            Event::Signalled(Meaning::Other) => {}
            Event::Ended(code) => {
                tracing::info!(code, "worker ended");
                return code;
            }
        }
    }
}

/// Beside the worker: until we are told to end. Where its process is known we stay for as long as it does, so that its
/// probes are answered while it drains; a second signal ends us at once.
async fn beside(board: &Board, drain_limit: Duration) -> io::Result<()> {
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    let now = board.clock().now();
    let stays = board.with(|judge| {
        judge.told_to_leave(now);
        judge.process.is_some()
    });
    if !stays {
        return Ok(());
    }
    tracing::info!("told to end: staying while the worker drains");
    let ended = async {
        while board.with(|judge| judge.process.as_ref().is_some_and(ProcessWatch::there)) {
            sleep(LAST_LOOKS).await;
        }
    };
    tokio::select! {
        () = ended => {}
        () = sleep(drain_limit) => tracing::warn!("the worker still runs after the drain limit"),
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    Ok(())
}

/// A source as a configuration would have it, for a reader that the exporter shares with us.
fn source(name: &str, looks: (Duration, Duration), detail: config::Detail) -> config::Source {
    config::Source {
        name: Arc::from(name),
        fleet: None,
        timeout: TIMEOUT,
        minimum_interval: looks.0,
        maximum_interval: looks.1,
        match_host_pid: false,
        detail,
    }
}
