//! What the program needs to know, made only by the checked conversion in this folder.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use url::Url;
use verdict::read::grpc::NotServing;
use verdict::read::worker_metrics::Names;
use verdict::rules::Rulebook;
use verdict::words::{SourceKind, TaskType};

use super::network::Network;
use super::secret::Secret;

/// A whole, valid configuration.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The rules of the fleets, as the core takes them.
    pub rulebook: Arc<Rulebook>,
    /// The sources, in the order of the file.
    pub sources: Vec<Source>,
    /// At most this many looks at a time, over all sources.
    pub concurrency: usize,
    /// What `/config` shows: the file with every secret replaced, or what zero config amounts to, as YAML.
    pub shown: String,
}

/// One configured source.
#[derive(Debug, Clone, PartialEq)]
pub struct Source {
    /// Unique name; the `source` label.
    pub name: Arc<str>,
    /// The fleet of its workers, where it is configured.
    pub fleet: Option<Arc<str>>,
    /// Total deadline of one look.
    pub timeout: Duration,
    /// Shortest interval between looks at one thing.
    pub minimum_interval: Duration,
    /// Longest interval, and the one where no cadence is known.
    pub maximum_interval: Duration,
    /// Join records with those of other sources by host and process id (`match: host_pid`).
    pub match_host_pid: bool,
    /// What is particular to its kind.
    pub detail: Detail,
}

impl Source {
    /// Its kind.
    pub fn kind(&self) -> SourceKind {
        match &self.detail {
            Detail::Http(_) => SourceKind::Http,
            Detail::Grpc(_) => SourceKind::Grpc,
            Detail::Temporal(_) => SourceKind::Temporal,
            Detail::Redis(_) => SourceKind::Redis,
            Detail::Celery(_) => SourceKind::Celery,
            Detail::Process(_) => SourceKind::Process,
            Detail::Framework(of) => of.framework.kind(),
            Detail::Metrics(_) => SourceKind::Metrics,
            Detail::File(_) => SourceKind::File,
        }
    }
}

/// What is particular to a kind of source.
#[derive(Debug, Clone, PartialEq)]
pub enum Detail {
    /// Health endpoints.
    Http(HttpSource),
    /// gRPC health services.
    Grpc(GrpcSource),
    /// A Temporal namespace.
    Temporal(TemporalSource),
    /// Heartbeat keys in Redis.
    Redis(RedisSource),
    /// Celery on a Redis broker.
    Celery(CelerySource),
    /// Processes of this machine.
    Process(ProcessSource),
    /// A framework that keeps its workers in Redis.
    Framework(FrameworkSource),
    /// Workers' own metrics.
    Metrics(MetricsSource),
    /// Heartbeat files.
    File(FileSource),
}

impl Detail {
    /// The targets of a source that asks each worker at an address; `None` for one that lists its own workers.
    #[must_use]
    pub const fn targets(&self) -> Option<&Targets> {
        match self {
            Self::Http(http) => Some(&http.targets),
            Self::Grpc(grpc) => Some(&grpc.targets),
            Self::Metrics(metrics) => Some(&metrics.targets),
            Self::Temporal(_)
            | Self::Redis(_)
            | Self::Framework(_)
            | Self::Celery(_)
            | Self::Process(_)
            | Self::File(_) => None,
        }
    }

    /// See [`Self::targets`].
    pub const fn targets_mut(&mut self) -> Option<&mut Targets> {
        match self {
            Self::Http(http) => Some(&mut http.targets),
            Self::Grpc(grpc) => Some(&mut grpc.targets),
            Self::Metrics(metrics) => Some(&mut metrics.targets),
            Self::Temporal(_)
            | Self::Redis(_)
            | Self::Framework(_)
            | Self::Celery(_)
            | Self::Process(_)
            | Self::File(_) => None,
        }
    }
}

impl Detail {
    /// The Redis server that a source reads; `None` for one that reads none.
    #[must_use]
    pub const fn server(&self) -> Option<&RedisServer> {
        match self {
            Self::Redis(redis) => Some(&redis.server),
            Self::Celery(celery) => Some(&celery.server),
            Self::Framework(of) => Some(&of.server),
            Self::Http(_) | Self::Grpc(_) | Self::Metrics(_) | Self::Temporal(_) | Self::Process(_) | Self::File(_) => {
                None
            }
        }
    }

    /// See [`Self::server`].
    pub const fn server_mut(&mut self) -> Option<&mut RedisServer> {
        match self {
            Self::Redis(redis) => Some(&mut redis.server),
            Self::Celery(celery) => Some(&mut celery.server),
            Self::Framework(of) => Some(&mut of.server),
            Self::Http(_) | Self::Grpc(_) | Self::Metrics(_) | Self::Temporal(_) | Self::Process(_) | Self::File(_) => {
                None
            }
        }
    }
}

/// Workers by address, and how they are reached.
#[derive(Debug, Clone, PartialEq)]
pub struct Targets {
    /// Targets written in the file.
    pub fixed: Vec<HttpTarget>,
    /// Globs of Prometheus `file_sd` files, re-read on change.
    pub file_sd: Vec<PathBuf>,
    /// A server of Prometheus HTTP SD.
    pub http_sd: Option<HttpSd>,
    /// Names whose DNS records are workers.
    pub dns_sd: Option<DnsSd>,
    /// Path for targets that name none (file_sd gives `host:port`).
    pub path: String,
    /// Scheme for targets that name none.
    pub https: bool,
    /// Which label of file_sd is the worker's id; `__address__` when absent.
    pub worker_label: Option<String>,
    /// Which label of file_sd is the worker's fleet.
    pub fleet_label: Option<String>,
    /// Credentials and TLS for all targets that have none of their own.
    pub access: Arc<Access>,
}

impl Targets {
    /// Whether it finds workers besides those that are written in the file.
    #[must_use]
    pub const fn has_lists(&self) -> bool {
        !self.file_sd.is_empty() || self.http_sd.is_some() || self.dns_sd.is_some()
    }

    /// Leaves only those that are written in the file.
    pub fn forget_lists(&mut self) {
        self.file_sd.clear();
        (self.http_sd, self.dns_sd) = (None, None);
    }

    /// These targets, and for the rest what a configuration means that says nothing of it. `path` is for those that
    /// name none.
    #[must_use]
    pub fn of(fixed: Vec<HttpTarget>, path: &str) -> Self {
        Self {
            fixed,
            file_sd: Vec::new(),
            http_sd: None,
            dns_sd: None,
            path: path.to_owned(),
            https: false,
            worker_label: None,
            fleet_label: None,
            access: Arc::default(),
        }
    }
}

/// A server of target groups.
#[derive(Debug, Clone, PartialEq)]
pub struct HttpSd {
    /// Where it is.
    pub url: Url,
    /// How often it is asked.
    pub refresh: Duration,
    /// A longer list is not used.
    pub most: usize,
    /// How it is reached: its own credentials, never those of the workers.
    pub access: Arc<Access>,
}

/// Names whose DNS records are workers.
#[derive(Debug, Clone, PartialEq)]
pub struct DnsSd {
    /// All of them.
    pub names: Vec<String>,
    /// Which records.
    pub record: DnsRecord,
    /// Port of the workers, where the record has none.
    pub port: u16,
    /// How often they are asked for.
    pub refresh: Duration,
    /// The server to ask, instead of those of the system.
    pub server: Option<SocketAddr>,
}

/// A type of DNS record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DnsRecord {
    /// Addresses of IPv4.
    A,
    /// Addresses of IPv6.
    Aaaa,
    /// Names and ports.
    Srv,
}

/// Health endpoints over HTTP.
#[derive(Debug, Clone, PartialEq)]
pub struct HttpSource {
    /// Who is asked.
    pub targets: Targets,
    /// Where numbers and states stand in the body, beyond the documented names: our name → JSON pointer.
    pub fields: BTreeMap<String, String>,
    /// What an answer must say of whose it is.
    pub identity: Option<Identity>,
    /// Body larger than this fails the look, bytes after decoding.
    pub max_body: usize,
}

impl HttpSource {
    /// Path of targets that name none.
    pub const PATH: &str = "/health";

    /// These targets, and for the rest what a configuration means that says nothing of it.
    #[must_use]
    pub fn of(targets: Vec<HttpTarget>) -> Self {
        let targets = Targets::of(targets, Self::PATH);
        Self { targets, fields: BTreeMap::new(), identity: None, max_body: 64 * 1024 }
    }
}

/// What an answer must say of whose it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// Where: a JSON pointer.
    pub field: String,
    /// What must stand there; `{id}` stands for the worker's id.
    pub value: String,
}

impl Identity {
    /// What the answer of this worker must say.
    #[must_use]
    pub fn of(&self, worker: &str) -> String {
        self.value.replace("{id}", worker)
    }
}

/// Workers' own metrics.
#[derive(Debug, Clone, PartialEq)]
pub struct MetricsSource {
    /// Who is asked.
    pub targets: Targets,
    /// What stands under which name, beyond what is understood anyway.
    pub names: Names,
    /// A larger body fails the look, bytes after decoding.
    pub max_body: usize,
}

impl MetricsSource {
    /// Path of targets that name none.
    pub const PATH: &str = "/metrics";
}

/// Health services over gRPC.
#[derive(Debug, Clone, PartialEq)]
pub struct GrpcSource {
    /// Who is asked. Only scheme, host and port of an address count.
    pub targets: Targets,
    /// Name of the service; empty is the server as a whole.
    pub service: String,
    /// What NOT_SERVING means.
    pub not_serving: NotServing,
}

/// One worker at an address.
#[derive(Debug, Clone, PartialEq)]
pub struct HttpTarget {
    /// Worker id in its fleet.
    pub id: Arc<str>,
    /// Its fleet.
    pub fleet: Arc<str>,
    /// Address. Printed without userinfo; userinfo itself is refused by the configuration.
    pub url: Url,
    /// Its own credentials.
    pub access: Option<Arc<Access>>,
}

/// Credentials and TLS of an HTTP target.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Access {
    /// `Authorization: Bearer`, re-read on each look when it is a file.
    pub bearer: Option<Secret>,
    /// Basic authentication.
    pub basic: Option<(String, Secret)>,
    /// Further headers.
    pub headers: Vec<(String, Secret)>,
    /// Addresses that are asked although they are refused otherwise.
    pub allowed: Vec<Network>,
    /// TLS.
    pub tls: Tls,
}

/// TLS towards a source. All paths are re-read when they change.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Tls {
    /// Trust these authorities instead of the system's.
    pub ca_file: Option<PathBuf>,
    /// Client certificate chain, PEM.
    pub cert_file: Option<PathBuf>,
    /// Client key, PEM.
    pub key_file: Option<PathBuf>,
    /// The same, in memory (the `TEMPORAL_TLS_*_DATA` environment).
    pub ca_data: Option<Secret>,
    /// See `ca_data`.
    pub cert_data: Option<Secret>,
    /// See `ca_data`.
    pub key_data: Option<Secret>,
    /// Name to verify and to send, where it is not the address's host.
    pub server_name: Option<String>,
    /// Verify nothing. Said in the log at each load.
    pub insecure_skip_verify: bool,
}

/// A Temporal namespace.
#[derive(Debug, Clone, PartialEq)]
pub struct TemporalSource {
    /// `host:port`.
    pub address: String,
    /// Namespace.
    pub namespace: Arc<str>,
    /// API key, sent as `Authorization: Bearer`.
    pub api_key: Option<Secret>,
    /// TLS; `None` is plaintext.
    pub tls: Option<Tls>,
    /// Further gRPC metadata.
    pub metadata: Vec<(String, Secret)>,
    /// Queues to watch though nobody polls them: zero pollers and a mistyped name must be visible.
    pub task_queues: Vec<(Arc<str>, TaskType)>,
    /// Requests a second to this namespace, all together.
    pub requests_per_second: f64,
    /// Count the workflows that a timeout closed.
    pub timed_out_workflows: bool,
}

/// A Redis server, for every kind of source that reads one.
#[derive(Debug, Clone, PartialEq)]
pub struct RedisServer {
    /// `redis://` or `rediss://`, without credentials.
    pub url: Url,
    /// ACL user.
    pub username: Option<String>,
    /// Password.
    pub password: Option<Secret>,
    /// TLS for `rediss://`.
    pub tls: Tls,
    /// Queues to watch, beyond those that are registered there.
    pub queues: Vec<Arc<str>>,
}

impl RedisServer {
    /// The server at this address, and for the rest what a configuration means that says nothing of it.
    #[must_use]
    pub fn at(url: Url) -> Self {
        Self { url, username: None, password: None, tls: Tls::default(), queues: Vec::new() }
    }
}

/// Heartbeat keys in Redis.
#[derive(Debug, Clone, PartialEq)]
pub struct RedisSource {
    /// Where.
    pub server: RedisServer,
    /// Key pattern with `{id}` where the worker's id stands: `worker:{id}:heartbeat`.
    pub pattern: String,
}

impl RedisSource {
    /// Heartbeats at this address, under the pattern that a configuration means that names none.
    #[must_use]
    pub fn at(url: Url) -> Self {
        Self { server: RedisServer::at(url), pattern: "worker:{id}:heartbeat".to_owned() }
    }
}

/// Heartbeat files.
#[derive(Debug, Clone, PartialEq)]
pub struct FileSource {
    /// Paths with `{id}` where the worker's id stands, and `*` for anything within another name.
    pub paths: Vec<PathBuf>,
    /// Workers by name.
    pub files: Vec<HeartbeatFile>,
}

/// The heartbeat file of one worker.
#[derive(Debug, Clone, PartialEq)]
pub struct HeartbeatFile {
    /// Worker id in its fleet.
    pub id: Arc<str>,
    /// Its fleet.
    pub fleet: Arc<str>,
    /// Where it is, or will be.
    pub path: PathBuf,
}

/// Celery on a Redis broker.
#[derive(Debug, Clone, PartialEq)]
pub struct CelerySource {
    /// The broker.
    pub server: RedisServer,
    /// Node name of a worker with `{id}` where its id stands. Workers of other names belong to somebody else.
    pub pattern: String,
    /// `global_keyprefix` of the transport.
    pub key_prefix: String,
}

impl CelerySource {
    /// A broker at this address, and for the rest what a configuration means that says nothing of it.
    #[must_use]
    pub fn at(url: Url) -> Self {
        Self { server: RedisServer::at(url), pattern: "{id}".to_owned(), key_prefix: String::new() }
    }
}

/// Processes of this machine.
#[derive(Debug, Clone, PartialEq)]
pub struct ProcessSource {
    /// Who is looked at.
    pub workers: Vec<ProcessWorker>,
    /// GPUs are read, too.
    pub gpu: bool,
    /// What other sources call this machine, where they do not use its own name.
    pub host: Option<Arc<str>>,
    /// Where its processes are shown: `/proc`.
    pub proc: PathBuf,
    /// Where its control groups are shown: `/sys/fs/cgroup`.
    pub cgroups: PathBuf,
}

/// One worker by its process.
#[derive(Debug, Clone, PartialEq)]
pub struct ProcessWorker {
    /// Worker id in its fleet.
    pub id: Arc<str>,
    /// Its fleet.
    pub fleet: Arc<str>,
    /// How it is found.
    pub locate: Locate,
}

/// How the process of a worker is found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Locate {
    /// By its id.
    Pid(u32),
    /// By the id in a file.
    PidFile(PathBuf),
    /// By its name and its arguments.
    Name {
        /// Its name, or the name of its program; `*` and `?` stand for other letters.
        name: String,
        /// What its arguments must contain.
        arguments: Option<String>,
        /// Which of the processes with this name it is.
        slot: usize,
        /// How many of them are workers.
        of: usize,
    },
    /// By the control group of a systemd unit.
    Unit(String),
    /// By the path of its control group.
    Cgroup(String),
}

/// The frameworks that keep their workers and queues in Redis.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Framework {
    /// RQ.
    Rq,
    /// Sidekiq.
    Sidekiq,
    /// Dramatiq, with its Redis broker.
    Dramatiq,
}

impl Framework {
    /// The kind of its sources.
    #[must_use]
    pub const fn kind(self) -> SourceKind {
        match self {
            Self::Rq => SourceKind::Rq,
            Self::Sidekiq => SourceKind::Sidekiq,
            Self::Dramatiq => SourceKind::Dramatiq,
        }
    }
}

/// The workers and queues of a framework.
#[derive(Debug, Clone, PartialEq)]
pub struct FrameworkSource {
    /// Where.
    pub server: RedisServer,
    /// Whose.
    pub framework: Framework,
    /// What its keys begin with; may be empty.
    pub prefix: String,
}

/// Command-line settings of `serve`, flag over environment over default.
#[derive(Debug, Clone)]
pub struct WebSettings {
    /// Addresses to listen on.
    pub listen: Vec<SocketAddr>,
    /// Path of the metrics.
    pub telemetry_path: String,
    /// How the world reaches us, for links.
    pub external_url: Option<Url>,
    /// Prefix of every path.
    pub route_prefix: String,
    /// `POST /-/reload` is allowed.
    pub enable_lifecycle: bool,
}
