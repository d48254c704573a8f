//! `sidecar`: `/health` and `/ready` for one worker that has none.

use std::ffi::OsString;
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use clap::builder::NonEmptyStringValueParser;
use url::Url;
use verdict::read::worker_metrics::Series;

use super::flags::{LogFlags, series};
use super::{Failed, address, load};
use crate::config::{self, Detail, RedisServer, Secret, TemporalSource, Tls};
use crate::logging;
use crate::sidecar::{self, AskTemporal, BeatFile, BeatKey, OwnMetrics, Settings, Sought, Whose};

#[derive(Clone, Debug, Args)]
#[command(after_help = "One piece of evidence at least, or the worker itself after `--`:\n\n  \
    --heartbeat-file=/run/worker/beat\n  \
    --temporal -- python worker.py\n\n\
    Every flag can be set in the environment: --heartbeat-file is WORKER_EXPORTER_SIDECAR_HEARTBEAT_FILE.")]
pub(super) struct SidecarFlags {
    /// Address to listen on: `:PORT`, `host:port` or `[::1]:port`.
    #[arg(
        long = "web.listen-address",
        env = "WORKER_EXPORTER_SIDECAR_WEB_LISTEN_ADDRESS",
        value_name = "ADDRESS",
        default_value = ":8001"
    )]
    listen_address: String,
    /// Name of the worker in the answers; by default its Temporal identity, else the host name.
    #[arg(long, env = "WORKER_EXPORTER_SIDECAR_WORKER", value_name = "NAME", value_parser = NonEmptyStringValueParser::new())]
    worker: Option<String>,
    /// Task queue that it must serve. Can be repeated.
    #[arg(
        long = "task-queue",
        env = "WORKER_EXPORTER_SIDECAR_TASK_QUEUE",
        value_name = "QUEUE",
        value_delimiter = ',',
        value_parser = NonEmptyStringValueParser::new()
    )]
    task_queue: Vec<String>,
    /// For so long after its own start the sidecar calls the worker alive whatever it sees.
    #[arg(
        long = "start-grace",
        env = "WORKER_EXPORTER_SIDECAR_START_GRACE",
        value_name = "DURATION",
        default_value = "60s",
        value_parser = duration
    )]
    start_grace: Duration,
    /// After SIGTERM the sidecar stays while the worker's process does, and no longer than this.
    #[arg(
        long = "drain-limit",
        env = "WORKER_EXPORTER_SIDECAR_DRAIN_LIMIT",
        value_name = "DURATION",
        default_value = "30s",
        value_parser = duration
    )]
    drain_limit: Duration,
    #[command(flatten)]
    file: FileFlags,
    #[command(flatten)]
    process: ProcessFlags,
    #[command(flatten)]
    metrics: MetricsFlags,
    #[command(flatten)]
    redis: RedisFlags,
    #[command(flatten)]
    temporal: TemporalFlags,
    #[command(flatten)]
    log: LogFlags,
    /// The worker itself, to be started: its signals are passed on, and its exit code is the sidecar's.
    #[arg(last = true, value_name = "COMMAND")]
    command: Vec<OsString>,
}

#[derive(Clone, Debug, Args)]
struct FileFlags {
    /// File that the worker touches or writes.
    #[arg(long = "heartbeat-file", env = "WORKER_EXPORTER_SIDECAR_HEARTBEAT_FILE", value_name = "PATH")]
    heartbeat_file: Option<PathBuf>,
    /// How often it is written. Without this the interval is learnt.
    #[arg(
        long = "heartbeat-file.interval",
        env = "WORKER_EXPORTER_SIDECAR_HEARTBEAT_FILE_INTERVAL",
        value_name = "DURATION",
        value_parser = duration,
        requires = "heartbeat_file"
    )]
    heartbeat_file_interval: Option<Duration>,
    /// It may be silent for this long, whatever the interval.
    #[arg(
        long = "heartbeat-file.max-quiet",
        env = "WORKER_EXPORTER_SIDECAR_HEARTBEAT_FILE_MAX_QUIET",
        value_name = "DURATION",
        value_parser = duration,
        requires = "heartbeat_file"
    )]
    heartbeat_file_max_quiet: Option<Duration>,
}

#[derive(Clone, Debug, Args)]
struct ProcessFlags {
    /// File with the worker's process id. The PID namespace must be shared.
    #[arg(
        long = "process.pid-file",
        env = "WORKER_EXPORTER_SIDECAR_PROCESS_PID_FILE",
        value_name = "PATH",
        conflicts_with_all = ["process_match", "command"]
    )]
    process_pid_file: Option<PathBuf>,
    /// Text in the worker's command line; of several processes the oldest is taken.
    #[arg(
        long = "process.match",
        env = "WORKER_EXPORTER_SIDECAR_PROCESS_MATCH",
        value_name = "TEXT",
        value_parser = NonEmptyStringValueParser::new(),
        conflicts_with = "command"
    )]
    process_match: Option<String>,
}

#[derive(Clone, Debug, Args)]
struct MetricsFlags {
    /// The worker's own Prometheus metrics.
    #[arg(
        long = "metrics.url",
        env = "WORKER_EXPORTER_SIDECAR_METRICS_URL",
        value_name = "URL",
        value_parser = web_url
    )]
    metrics_url: Option<Url>,
    /// Counter that moves as long as the worker's loop runs, idle or not.
    #[arg(
        long = "metrics.progress",
        env = "WORKER_EXPORTER_SIDECAR_METRICS_PROGRESS",
        value_name = "NAME",
        value_parser = series,
        requires = "metrics_url"
    )]
    metrics_progress: Option<Series>,
    /// Gauge of the tasks in hand: while it is not 0 the counter may stand still.
    #[arg(
        long = "metrics.busy",
        env = "WORKER_EXPORTER_SIDECAR_METRICS_BUSY",
        value_name = "NAME",
        value_parser = series,
        requires = "metrics_progress"
    )]
    metrics_busy: Option<Series>,
    /// The counter may stand still for this long.
    #[arg(
        long = "metrics.limit",
        env = "WORKER_EXPORTER_SIDECAR_METRICS_LIMIT",
        value_name = "DURATION",
        default_value = "10m",
        value_parser = duration
    )]
    metrics_limit: Duration,
}

#[derive(Clone, Debug, Args)]
struct RedisFlags {
    /// Redis that holds the worker's heartbeat: `redis://host:port/db` or `rediss://…`.
    #[arg(
        long = "redis.url",
        env = "WORKER_EXPORTER_SIDECAR_REDIS_URL",
        value_name = "URL",
        value_parser = redis_url,
        requires = "redis_key"
    )]
    redis_url: Option<Url>,
    /// The key.
    #[arg(
        long = "redis.key",
        env = "WORKER_EXPORTER_SIDECAR_REDIS_KEY",
        value_name = "KEY",
        value_parser = NonEmptyStringValueParser::new(),
        requires = "redis_url"
    )]
    redis_key: Option<String>,
    /// ACL user.
    #[arg(
        long = "redis.username",
        env = "WORKER_EXPORTER_SIDECAR_REDIS_USERNAME",
        value_name = "NAME",
        requires = "redis_password_file"
    )]
    redis_username: Option<String>,
    /// File that holds the password.
    #[arg(
        long = "redis.password-file",
        env = "WORKER_EXPORTER_SIDECAR_REDIS_PASSWORD_FILE",
        value_name = "PATH",
        requires = "redis_url"
    )]
    redis_password_file: Option<PathBuf>,
    /// Authorities to trust instead of the system's.
    #[arg(
        long = "redis.ca-file",
        env = "WORKER_EXPORTER_SIDECAR_REDIS_CA_FILE",
        value_name = "PATH",
        requires = "redis_url"
    )]
    redis_ca_file: Option<PathBuf>,
    /// How often the key is written. Without this the interval is learnt.
    #[arg(
        long = "redis.interval",
        env = "WORKER_EXPORTER_SIDECAR_REDIS_INTERVAL",
        value_name = "DURATION",
        value_parser = duration,
        requires = "redis_url"
    )]
    redis_interval: Option<Duration>,
    /// It may be silent for this long, whatever the interval.
    #[arg(
        long = "redis.max-quiet",
        env = "WORKER_EXPORTER_SIDECAR_REDIS_MAX_QUIET",
        value_name = "DURATION",
        value_parser = duration,
        requires = "redis_url"
    )]
    redis_max_quiet: Option<Duration>,
}

#[derive(Clone, Debug, Args)]
struct TemporalFlags {
    /// Ask the Temporal server that TEMPORAL_* points at about this worker. The next three flags imply it.
    #[arg(long, env = "WORKER_EXPORTER_SIDECAR_TEMPORAL", value_parser = clap::builder::FalseyValueParser::new())]
    temporal: bool,
    /// Identity of the worker. Without it, it is known by its host and its process.
    #[arg(
        long = "temporal.identity",
        env = "WORKER_EXPORTER_SIDECAR_TEMPORAL_IDENTITY",
        value_name = "IDENTITY",
        value_parser = NonEmptyStringValueParser::new()
    )]
    temporal_identity: Option<String>,
    /// Host of the worker, as it says itself; by default the sidecar's own host name, which in a pod is the same.
    #[arg(
        long = "temporal.host",
        env = "WORKER_EXPORTER_SIDECAR_TEMPORAL_HOST",
        value_name = "NAME",
        value_parser = NonEmptyStringValueParser::new()
    )]
    temporal_host: Option<String>,
    /// Process id of the worker, as it says itself.
    #[arg(long = "temporal.pid", env = "WORKER_EXPORTER_SIDECAR_TEMPORAL_PID", value_name = "PID")]
    temporal_pid: Option<u32>,
}

/// Goes on as the program that is the sidecar alone, where that lies beside this one; returns where it does not. The process
/// stays the same, and takes a third less memory.
pub(super) fn become_alone() {
    let Ok(own) = std::env::current_exe() else { return };
    let alone = own.with_file_name("worker-exporter-sidecar");
    if alone.is_file() {
        // The first is this program, the second the word that asked for a sidecar. What goes wrong here goes on as it is.
        let _ = std::process::Command::new(alone).args(std::env::args_os().skip(2)).exec();
    }
}

/// Exit code: that of the worker, where the sidecar started it.
pub(super) fn run(flags: SidecarFlags) -> Result<u8, Failed> {
    let log = flags.log;
    let settings = settings(flags)?;
    let _log = logging::start(log.level, log.format, logging::FEW_LINES);
    // One thread: a probe every few seconds is all there is to do.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Failed::Run(format!("the system does not let this program start: {error}")))?;
    let outcome = runtime.block_on(sidecar::run(settings)).map_err(|broken| Failed::Run(broken.to_string()));
    // A look at a file that hangs must not hold up the end.
    runtime.shutdown_background();
    outcome
}

fn settings(flags: SidecarFlags) -> Result<Settings, Failed> {
    let process = match (flags.process.process_pid_file, flags.process.process_match) {
        (Some(path), _) => Some(Sought::PidFile(path)),
        (None, Some(text)) => Some(Sought::Match(text)),
        (None, None) => None,
    };
    let host = || sysinfo::System::host_name().unwrap_or_else(|_| "localhost".to_owned());
    let task_queues: Vec<Arc<str>> = flags.task_queue.into_iter().map(Arc::from).collect();
    let identity = flags.temporal.temporal_identity.clone();
    let temporal = temporal(flags.temporal, task_queues, host)?;
    let file = flags.file.heartbeat_file.map(|path| BeatFile {
        path,
        interval: flags.file.heartbeat_file_interval,
        max_quiet: flags.file.heartbeat_file_max_quiet,
    });
    let metrics = flags.metrics.metrics_url.map(|url| OwnMetrics {
        url,
        progress: flags.metrics.metrics_progress,
        busy: flags.metrics.metrics_busy,
        limit: flags.metrics.metrics_limit,
    });
    let redis = redis(flags.redis);
    let any = file.is_some() || process.is_some() || metrics.is_some() || redis.is_some() || temporal.is_some();
    if !any && flags.command.is_empty() {
        return Err(Failed::Usage(
            "a sidecar needs evidence of its worker\n  hint: name one of --heartbeat-file, --process.pid-file, \
             --process.match, --metrics.url, --redis.url and --temporal, or start the worker: worker-exporter sidecar \
             -- COMMAND"
                .to_owned(),
        ));
    }
    Ok(Settings {
        listen: address::parse(&flags.listen_address).map_err(Failed::Usage)?,
        worker_id: Arc::from(flags.worker.or(identity).unwrap_or_else(host)),
        start_grace: flags.start_grace,
        drain_limit: flags.drain_limit,
        file,
        process,
        metrics,
        redis,
        temporal,
        command: flags.command,
    })
}

fn temporal(
    flags: TemporalFlags,
    task_queues: Vec<Arc<str>>,
    host: impl Fn() -> String,
) -> Result<Option<AskTemporal>, Failed> {
    let TemporalFlags { temporal, temporal_identity: identity, temporal_host, temporal_pid: pid } = flags;
    if !temporal && identity.is_none() && temporal_host.is_none() && pid.is_none() {
        return Ok(None);
    }
    // An identity is enough; where there is none, a process id means nothing without its host.
    let host = temporal_host.or_else(|| identity.is_none().then(host));
    let whose = Whose { identity: identity.map(Arc::from), host: host.map(Arc::from), pid };
    Ok(Some(AskTemporal { source: environment()?, whose, task_queues }))
}

fn environment() -> Result<TemporalSource, Failed> {
    let source = load::environment()?.sources.into_iter().find_map(|source| match source.detail {
        Detail::Temporal(temporal) => Some(temporal),
        _ => None,
    });
    source.ok_or_else(|| Failed::Usage("the TEMPORAL_* environment names no server".to_owned()))
}

fn redis(flags: RedisFlags) -> Option<BeatKey> {
    let (url, key) = flags.redis_url.zip(flags.redis_key)?;
    let server = RedisServer {
        username: flags.redis_username,
        password: flags.redis_password_file.map(Secret::File),
        tls: Tls { ca_file: flags.redis_ca_file, ..Tls::default() },
        ..RedisServer::at(url)
    };
    Some(BeatKey { server, key, interval: flags.redis_interval, max_quiet: flags.redis_max_quiet })
}

fn duration(text: &str) -> Result<Duration, String> {
    match config::duration(text) {
        Ok(span) if span.is_zero() => Err("it must be longer than 0s".to_owned()),
        outcome => outcome,
    }
}

fn web_url(text: &str) -> Result<Url, String> {
    address_of(text, &["http", "https"], "http://127.0.0.1:9000/metrics")
}

fn redis_url(text: &str) -> Result<Url, String> {
    address_of(text, &["redis", "rediss"], "redis://127.0.0.1:6379/0")
}

/// The text itself is not repeated beyond what the parser of the flags shows: userinfo is refused before it is used.
fn address_of(text: &str, schemes: &[&str], example: &str) -> Result<Url, String> {
    let url = Url::parse(text).map_err(|error| format!("{error}; write {example}"))?;
    if !schemes.contains(&url.scheme()) || url.host_str().is_none_or(str::is_empty) {
        return Err(format!("write {example}"));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err("credentials do not belong into an address".to_owned());
    }
    Ok(url)
}
