//! THE table of keys: name, type, default, meaning, and the section where each stands.
//!
//! Parsing, defaults, hints and `docs/config.md` all come from here. A new key is one row, and the line of the
//! conversion that uses it.

use std::time::Duration;

/// A kind of section: a mapping with a closed set of keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Group {
    File,
    Global,
    Rules,
    Fleet,
    FleetQueue,
    Source,
    Targets,
    Http,
    Identity,
    Metrics,
    Grpc,
    Temporal,
    RedisServer,
    Redis,
    Celery,
    Process,
    ProcessWorker,
    Rq,
    Sidekiq,
    Dramatiq,
    HeartbeatFiles,
    HeartbeatFile,
    Target,
    Access,
    FileSd,
    HttpSd,
    DnsSd,
    BasicAuth,
    SecretRef,
    Tls,
    TaskQueue,
    Web,
    WebTls,
    WebHttp,
    WebRate,
}

impl Group {
    /// In the order of the reference page.
    pub(super) const ALL: &'static [Self] = &[
        Self::File,
        Self::Global,
        Self::Rules,
        Self::Fleet,
        Self::FleetQueue,
        Self::Source,
        Self::Targets,
        Self::Target,
        Self::FileSd,
        Self::HttpSd,
        Self::DnsSd,
        Self::Access,
        Self::BasicAuth,
        Self::Http,
        Self::Identity,
        Self::Metrics,
        Self::Grpc,
        Self::Temporal,
        Self::TaskQueue,
        Self::RedisServer,
        Self::Redis,
        Self::Celery,
        Self::Process,
        Self::ProcessWorker,
        Self::Rq,
        Self::Sidekiq,
        Self::Dramatiq,
        Self::HeartbeatFiles,
        Self::HeartbeatFile,
        Self::Tls,
        Self::SecretRef,
    ];

    /// Those of the file of `--web.config.file`, which is another one and has a page of its own.
    #[cfg(test)]
    pub(super) const WEB: &'static [Self] = &[Self::Web, Self::WebTls, Self::WebHttp, Self::WebRate];

    /// Whose keys it has besides its own.
    pub(super) const fn includes(self) -> &'static [Self] {
        match self {
            Self::Fleet => &[Self::Rules],
            Self::Http | Self::Grpc | Self::Metrics => &[Self::Source, Self::Targets, Self::Access],
            Self::Temporal | Self::Process | Self::HeartbeatFiles => &[Self::Source],
            Self::Redis | Self::Celery | Self::Rq | Self::Sidekiq | Self::Dramatiq => {
                &[Self::Source, Self::RedisServer]
            }
            Self::HttpSd => &[Self::Access],
            _ => &[],
        }
    }

    /// All its keys, in the order of the table.
    pub(super) fn keys(self) -> impl Iterator<Item = &'static Key> {
        KEYS.iter().filter(move |key| key.group == self || self.includes().contains(&key.group))
    }

    /// The key of this name.
    pub(super) fn key(self, name: &str) -> Option<&'static Key> {
        self.keys().find(|key| key.name == name)
    }

    /// How messages and the reference page call it.
    pub(super) const fn title(self) -> &'static str {
        match self {
            Self::File => "the file",
            Self::Global => "`global`",
            Self::Rules => "`defaults`",
            Self::Fleet => "a fleet",
            Self::FleetQueue => "a queue of a fleet",
            Self::Source => "a source",
            Self::Targets => "a source with targets",
            Self::Http => "a source of kind http",
            Self::Identity => "`identity`",
            Self::Metrics => "a source of kind metrics",
            Self::Grpc => "a source of kind grpc",
            Self::Temporal => "a source of kind temporal",
            Self::RedisServer => "a source on Redis",
            Self::Redis => "a source of kind redis",
            Self::Celery => "a source of kind celery",
            Self::Process => "a source of kind process",
            Self::ProcessWorker => "a worker of a source of kind process",
            Self::Rq => "a source of kind rq",
            Self::Sidekiq => "a source of kind sidekiq",
            Self::Dramatiq => "a source of kind dramatiq",
            Self::HeartbeatFiles => "a source of kind file",
            Self::HeartbeatFile => "a heartbeat file",
            Self::Target => "a target",
            Self::Access => "`access`",
            Self::FileSd => "`file_sd`",
            Self::HttpSd => "`http_sd`",
            Self::DnsSd => "`dns_sd`",
            Self::BasicAuth => "`basic_auth`",
            Self::SecretRef => "a reference to a secret",
            Self::Tls => "`tls`",
            Self::TaskQueue => "a task queue",
            Self::Web => "the web configuration",
            Self::WebTls => "`tls_server_config`",
            Self::WebHttp => "`http_server_config`",
            Self::WebRate => "`rate_limit`",
        }
    }

    /// One sentence for the reference page.
    pub(super) const fn about(self) -> &'static str {
        match self {
            Self::File => "The top level of the file.",
            Self::Global => "What holds for the whole program.",
            Self::Rules => {
                "The rules of every fleet that does not set its own, also of fleets that are not listed. \
                 Each of these keys may stand under a fleet, too."
            }
            Self::Fleet => "One entry of `fleets`. Every key of `defaults` may stand here, too.",
            Self::FleetQueue => {
                "One entry of `queues` of a fleet. These queues are watched even when nobody polls them."
            }
            Self::Source => "One entry of `sources`, of any kind.",
            Self::Targets => {
                "A source that asks each worker at an address: kinds `http`, `grpc` and `metrics`. Every key of \
                 `access` may stand here, too, for all targets."
            }
            Self::Metrics => {
                "The `/metrics` of each worker, in OpenMetrics or text 0.0.4. It has the keys of a source with targets, too. \
                 A name may have conditions: `jobs_total{queue=\"mail\",status!=\"ok\"}`; its series are added up."
            }
            Self::Http => "A health endpoint of each worker. It has the keys of a source with targets, too.",
            Self::Identity => {
                "Whose answer it is, so that another service that was given the address of a worker is not taken for it."
            }
            Self::Grpc => "The gRPC health service of each worker. It has the keys of a source with targets, too.",
            Self::Temporal => "A Temporal namespace: its workers and the queues that they poll.",
            Self::RedisServer => "What every source on a Redis server has: the connection, and queues to watch.",
            Self::Redis => "Heartbeat keys in Redis, found by SCAN. It has the keys of a source on Redis, too.",
            Self::Celery => {
                "Celery on a Redis broker: the events of its workers, and its queues. It has the keys of a source on Redis, too."
            }
            Self::Process => "Processes of this machine, which runs Linux.",
            Self::ProcessWorker => {
                "One entry of `workers`. Exactly one of `pid`, `pid_file`, `name`, `systemd_unit` and `cgroup` says where \
                 its process is."
            }
            Self::Rq => "The workers and queues of RQ. It has the keys of a source on Redis, too.",
            Self::Sidekiq => "The processes and queues of Sidekiq. It has the keys of a source on Redis, too.",
            Self::Dramatiq => {
                "The workers and queues of Dramatiq's Redis broker. It has the keys of a source on Redis, too; it keeps no \
                 list of its queues, so name them (without `queues`, `default` alone is watched)."
            }
            Self::HeartbeatFiles => "Heartbeat files, found by a pattern or named.",
            Self::HeartbeatFile => "One entry of `files`: a worker that is there whether or not its file is.",
            Self::Target => "One entry of `targets`.",
            Self::Access => "Credentials and TLS. Under a target they replace those of its source as a whole.",
            Self::FileSd => "Targets from Prometheus `file_sd` files in JSON or YAML, read again when they change.",
            Self::HttpSd => {
                "Targets from a server of Prometheus HTTP SD. Every key of `access` may stand here, too: those of the \
                 workers are not sent to it."
            }
            Self::DnsSd => "Targets from DNS. Loopback, link-local and other addresses of no worker are refused.",
            Self::BasicAuth => "Basic authentication.",
            Self::SecretRef => "Where the value of a header or of gRPC metadata comes from. Exactly one of the two.",
            Self::Tls => "TLS towards a source. Files are PEM.",
            Self::TaskQueue => {
                "A queue to watch though nobody polls it: zero pollers and a mistyped name become visible."
            }
            Self::Web => "The top level of the file of `--web.config.file`.",
            Self::WebTls => "TLS of our own listeners.",
            Self::WebHttp => "Our own web server.",
            Self::WebRate => "One token bucket over all requests but those to `/-/healthy` and `/-/ready`.",
        }
    }
}

/// What a value must be.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Kind {
    /// Any text that is not empty.
    Text,
    /// Text that becomes a label value: short, without control characters.
    Name,
    /// One of these words.
    Choice(&'static [&'static str]),
    /// `true` or `false`.
    Switch,
    /// A whole number.
    Whole { least: u64, most: u64 },
    /// A number.
    Number { least: f64, most: f64 },
    /// 0 to 1, or a percentage.
    Ratio,
    /// A duration.
    Span { least: Duration, why: &'static str },
    /// Bytes.
    Size { least: u64, most: u64 },
    /// `host:port`.
    HostPort,
    /// `http://` or `https://`.
    HttpUrl,
    /// `redis://` or `rediss://`.
    RedisUrl,
    /// A range of addresses.
    Network,
    /// A path of a URL.
    UrlPath,
    /// A JSON pointer.
    Pointer,
    /// The name of a Prometheus label.
    Label,
    /// A Redis key or a node name, with `{id}`.
    Pattern,
    /// The name of a metric, with or without conditions on its labels.
    Series,
    /// A path with `{id}`.
    PathPattern,
    /// A file that must be readable.
    File,
    /// A pattern of `file_sd` files.
    Glob,
    /// A file with a secret.
    SecretFile,
    /// A variable of the environment with a secret.
    SecretEnv,
    /// `warning` below `critical`.
    Limits(&'static Self),
    /// A nested section.
    Section(Group),
    /// One source: its `kind` decides on its keys.
    AnySource,
    /// A list.
    List(&'static Self),
    /// Header or metadata name → reference to a secret.
    Secrets,
    /// Our name → JSON pointer.
    Fields,
    /// User → bcrypt hash.
    Users,
    /// Name of a response header → its value.
    ResponseHeaders,
}

/// What holds when a key is left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Absent {
    /// It must be there.
    Required,
    /// Nothing.
    Nothing,
    /// This YAML.
    Value(&'static str),
    /// Something that the conversion knows; this says what.
    Says(&'static str),
}

/// One row.
#[derive(Clone, Copy, Debug)]
pub(super) struct Key {
    pub(super) group: Group,
    pub(super) name: &'static str,
    pub(super) kind: Kind,
    pub(super) absent: Absent,
    pub(super) meaning: &'static str,
}

const fn key(group: Group, name: &'static str, kind: Kind, absent: Absent, meaning: &'static str) -> Key {
    Key { group, name, kind, absent, meaning }
}

const fn at_least(seconds: u64, why: &'static str) -> Kind {
    Kind::Span { least: Duration::from_secs(seconds), why }
}

/// The longest `for:` of the rules that read `worker_up` or the state `down`.
pub(super) const LONGEST_FOR: Duration = Duration::from_secs(5 * 60);
const TOMBSTONE: Kind = Kind::Span {
    least: Duration::from_secs(2 * LONGEST_FOR.as_secs()),
    why: "a dead worker's series must outlive twice the longest `for:` (5m) of the alerts that read them, \
          or those alerts would never fire",
};

const SPAN: Kind = Kind::Span { least: Duration::from_millis(1), why: "it must last some time" };
const LOOK: Kind = Kind::Span { least: Duration::from_millis(10), why: "no look is complete that soon" };
const SERIES: Kind = List(&Kind::Series);
const COUNT: Kind = Kind::Whole { least: 1, most: 1_000_000 };
const CADENCES: Kind = Kind::Number { least: 1.0, most: 1000.0 };
/// A rate limit of no time is none.
const PAUSE: Kind = Kind::Span { least: Duration::ZERO, why: "0s switches it off" };
const TASK_TYPES: Kind = List(&Choice(&["workflow", "activity", "nexus"]));

use Absent::{Nothing, Required, Says, Value};
use Kind::{Choice, Limits, List, Ratio, Section, Switch, Text};

/// Go's names, those that we have and those that we refuse with a reason.
const CLIENT_AUTH: &[&str] = &[
    "NoClientCert",
    "RequestClientCert",
    "RequireAnyClientCert",
    "RequireClientCert",
    "VerifyClientCertIfGiven",
    "RequireAndVerifyClientCert",
];
const TLS_VERSIONS: &[&str] = &["TLS10", "TLS11", "TLS12", "TLS13"];

/// Every key of the files.
#[rustfmt::skip]
pub(super) const KEYS: &[Key] = &[
    key(Group::File, "global", Section(Group::Global), Value("{}"), "What holds for the whole program."),
    key(Group::File, "defaults", Section(Group::Rules), Value("{}"), "Rules of all fleets."),
    key(Group::File, "fleets", List(&Section(Group::Fleet)), Nothing, "Fleets with rules of their own. A fleet that is listed never vanishes from the figures."),
    key(Group::File, "sources", List(&Kind::AnySource), Required, "What shows the workers."),

    key(Group::Global, "look_timeout", LOOK, Value("5s"), "Total deadline of one look, for sources that set no `timeout`."),
    key(Group::Global, "concurrency", Kind::Whole { least: 1, most: 10_000 }, Value("200"), "At most this many looks at a time, over all sources."),

    key(Group::Rules, "page", Choice(&["worker", "fleet"]), Value("worker"), "Who pages: each dead worker, or only the fleet as a whole (autoscaled, spot)."),
    key(Group::Rules, "team", Kind::Name, Nothing, "The `team` label of `worker_fleet_info`, for routing."),
    key(Group::Rules, "heartbeat_interval", SPAN, Nothing, "Cadence of the heartbeat, where the source does not declare it. Otherwise it is learned."),
    key(Group::Rules, "missed_beats", Limits(&CADENCES), Value("{warning: 2, critical: 3}"), "Cadences without a beat."),
    key(Group::Rules, "max_quiet", SPAN, Nothing, "Lifts the limits of the beat for a fleet that is quiet by design: `26h` for a job once a day."),
    key(Group::Rules, "start_grace", at_least(1, "no worker starts sooner"), Value("1m"), "A new worker may be silent for this long, or for three cadences if that is longer."),
    key(Group::Rules, "drain_limit", at_least(1, "no worker drains sooner"), Value("30m"), "Draining for longer than this is stuck."),
    key(Group::Rules, "tombstone", TOMBSTONE, Value("15m"), "A `down` worker keeps its series for this long."),
    key(Group::Rules, "longest_task", at_least(1, "shorter tasks need no limit"), Value("6h"), "No task takes longer than this: all slots busy, or a pool that holds tasks, and nothing finished for longer is `saturated`."),
    key(Group::Rules, "no_progress", Limits(&SPAN), Value("{warning: 65s, critical: 130s}"), "Time without progress of its own while work waits."),
    key(Group::Rules, "workflow_flat", at_least(10, "a workflow task may take its deadline of 10s"), Value("30s"), "Used workflow slots with a flat counter for this long are a dead loop."),
    key(Group::Rules, "waiting_age", SPAN, Value("1m"), "The head of a queue must be older than this for work to be waiting."),
    key(Group::Rules, "reach_misses", Kind::Whole { least: 1, most: 100 }, Value("3"), "Failed looks in a row after which an endpoint does not answer."),
    key(Group::Rules, "error_ratio", Limits(&Ratio), Value("{warning: 5%, critical: 10%}"), "Failed tasks of all tasks, over five minutes."),
    key(Group::Rules, "minimum_tasks", COUNT, Value("20"), "Tasks in five minutes under which the error ratio is not judged."),
    key(Group::Rules, "expected_task_duration", SPAN, Nothing, "Mean duration of a task; twice that is a warning."),
    key(Group::Rules, "cpu", Limits(&Ratio), Value("{warning: 90%, critical: 95%}"), "CPU of its limit, mean of five minutes."),
    key(Group::Rules, "memory", Limits(&Ratio), Value("{warning: 85%, critical: 95%}"), "Memory of its limit."),
    key(Group::Rules, "gpu_memory", Limits(&Ratio), Value("{warning: 85%, critical: 90%}"), "GPU memory in use."),
    key(Group::Rules, "disk", Limits(&Ratio), Value("{warning: 85%, critical: 95%}"), "Disk in use."),
    key(Group::Rules, "minimum_score", Ratio, Value("0.7"), "A worker whose score is under this is `degraded`."),

    key(Group::Fleet, "name", Kind::Name, Required, "Unique name, the `fleet` label. Temporal workers without a configured fleet are in `<namespace>/<task_queue>`."),
    key(Group::Fleet, "expected_workers", Kind::Whole { least: 0, most: 1_000_000 }, Nothing, "How many workers there should be."),
    key(Group::Fleet, "queues", List(&Section(Group::FleetQueue)), Nothing, "Queues that its workers serve, where no source says so."),

    key(Group::FleetQueue, "source", Kind::Name, Required, "Name of the source: of kind temporal, or on Redis."),
    key(Group::FleetQueue, "task_queue", Kind::Name, Required, "Name of the queue."),
    key(Group::FleetQueue, "types", TASK_TYPES, Value("[workflow, activity]"), "Types of its tasks. A queue in Redis has one type, `activity`."),

    key(Group::Source, "name", Kind::Name, Required, "Unique name, the `source` label."),
    key(Group::Source, "kind", Choice(&["http", "grpc", "temporal", "redis", "rq", "sidekiq", "dramatiq", "celery", "process", "metrics", "file"]), Required, "How it shows its workers."),
    key(Group::Source, "fleet", Kind::Name, Says("Temporal: `<namespace>/<task_queue>`; else the source's name"), "Fleet of its workers. Must be listed under `fleets`."),
    key(Group::Source, "timeout", LOOK, Says("`global.look_timeout`"), "Total deadline of one look. Not longer than `maximum_interval`."),
    key(Group::Source, "minimum_interval", Kind::Span { least: Duration::from_millis(100), why: "a worker is not asked more often" }, Value("2s"), "Shortest interval between looks at one thing."),
    key(Group::Source, "maximum_interval", Kind::Span { least: Duration::from_millis(100), why: "a worker is not asked more often" }, Value("30s"), "Longest interval, and the one where no cadence is known."),
    key(Group::Source, "match", Choice(&["host_pid"]), Nothing, "`host_pid`: records with the same host and process id as in another source are the same worker."),

    key(Group::Targets, "targets", List(&Section(Group::Target)), Nothing, "Workers by address."),
    key(Group::Targets, "file_sd", Section(Group::FileSd), Nothing, "Workers from files."),
    key(Group::Targets, "http_sd", Section(Group::HttpSd), Nothing, "Workers from a web server."),
    key(Group::Targets, "dns_sd", Section(Group::DnsSd), Nothing, "Workers from DNS."),
    key(Group::Targets, "path", Kind::UrlPath, Says("`/health`; of kind metrics `/metrics`"), "Path for targets of `file_sd`, `http_sd` and `dns_sd`."),
    key(Group::Targets, "scheme", Choice(&["http", "https"]), Value("http"), "Scheme for targets of `file_sd`, `http_sd` and `dns_sd`."),
    key(Group::Targets, "worker_label", Kind::Label, Nothing, "Label of `file_sd` and `http_sd` that is the worker's id; its address when absent."),
    key(Group::Targets, "fleet_label", Kind::Label, Nothing, "Label of `file_sd` and `http_sd` that is the worker's fleet."),

    key(Group::Http, "fields", Kind::Fields, Nothing, "Where things stand in the body, beyond the names that are understood anyway: our name → JSON pointer (RFC 6901)."),
    key(Group::Http, "identity", Section(Group::Identity), Nothing, "What an answer must say of whose it is. An answer that does not is a stranger's, and no evidence of the worker."),
    key(Group::Http, "max_body", Kind::Size { least: 1024, most: 16 << 20 }, Value("64KiB"), "A larger body fails the look; bytes after decoding."),

    key(Group::Identity, "field", Kind::Pointer, Required, "Where it says so: a JSON pointer (RFC 6901) to a text or a whole number."),
    key(Group::Identity, "value", Text, Value("\"{id}\""), "What must stand there; `{id}` becomes the worker's id."),

    key(Group::Metrics, "progress", SERIES, Nothing, "Counters that move while it makes progress, such as the tokens of a GPU server."),
    key(Group::Metrics, "waiting", SERIES, Nothing, "Gauges of what waits for it."),
    key(Group::Metrics, "in_flight", SERIES, Nothing, "Gauges of what it works on."),
    key(Group::Metrics, "tasks", SERIES, Nothing, "Counters of finished tasks, failed ones included."),
    key(Group::Metrics, "tasks_failed", SERIES, Nothing, "Counters of failed tasks."),
    key(Group::Metrics, "task_duration", SERIES, Nothing, "Histograms of the durations of tasks."),
    key(Group::Metrics, "schedule_to_start", SERIES, Nothing, "Histograms of how long tasks waited before they began."),
    key(Group::Metrics, "sdk", Choice(&["temporal", "none"]), Value("temporal"), "`temporal`: families of a Temporal SDK are understood by their names."),
    key(Group::Metrics, "sdk_prefix", Kind::Label, Value("temporal_"), "What the names of the SDK begin with."),
    key(Group::Metrics, "max_body", Kind::Size { least: 1024, most: 64 << 20 }, Value("4MiB"), "A larger body fails the look; bytes after decoding."),

    key(Group::Grpc, "service", Text, Nothing, "Name of the service that is asked about; without one the server as a whole."),
    key(Group::Grpc, "not_serving", Choice(&["unhealthy", "draining"]), Value("unhealthy"), "What NOT_SERVING means: the worker is unwell, or it takes leave (servers that say it only when they shut down)."),

    key(Group::Target, "id", Kind::Name, Says("host and port of `url`"), "The worker's id, unique in its fleet. Stays the same over restarts."),
    key(Group::Target, "url", Kind::HttpUrl, Required, "Where it is asked. Redirects are not followed."),
    key(Group::Target, "fleet", Kind::Name, Says("the source's `fleet`"), "Its fleet. Must be listed under `fleets`."),
    key(Group::Target, "access", Section(Group::Access), Nothing, "Credentials and TLS of its own."),

    key(Group::FileSd, "files", List(&Kind::Glob), Required, "Files, `*` allowed in the last part; they end in .json, .yml or .yaml."),

    key(Group::HttpSd, "url", Kind::HttpUrl, Required, "Where the list is. Redirects are not followed."),
    key(Group::HttpSd, "refresh_interval", at_least(1, "a server of lists is not asked more often"), Value("1m"), "How often it is asked."),
    key(Group::HttpSd, "max_targets", COUNT, Value("10000"), "A longer list is not used; one over 16 MiB neither."),

    key(Group::DnsSd, "names", List(&Text), Required, "Names to ask for. One that ends with a dot is looked for as it stands."),
    key(Group::DnsSd, "type", Choice(&["A", "AAAA", "SRV"]), Value("A"), "Records to ask for. Of SRV the record gives the port."),
    key(Group::DnsSd, "port", Kind::Whole { least: 1, most: 65_535 }, Nothing, "Port of the workers, for A and AAAA."),
    key(Group::DnsSd, "refresh_interval", at_least(1, "names do not change more often"), Value("30s"), "How often they are asked for."),
    key(Group::DnsSd, "server", Kind::HostPort, Nothing, "Address and port of the server to ask, instead of those of the system."),

    key(Group::Access, "bearer_token_file", Kind::SecretFile, Nothing, "`Authorization: Bearer`, from a file that is read at each look."),
    key(Group::Access, "bearer_token_env", Kind::SecretEnv, Nothing, "The same, from the environment."),
    key(Group::Access, "basic_auth", Section(Group::BasicAuth), Nothing, "Basic authentication."),
    key(Group::Access, "headers", Kind::Secrets, Nothing, "Further headers."),
    key(Group::Access, "allowed_networks", List(&Kind::Network), Nothing, "Addresses that are asked although they are link-local, multicast, unspecified or, by DNS, loopback."),
    key(Group::Access, "tls", Section(Group::Tls), Nothing, "TLS for `https` targets."),

    key(Group::BasicAuth, "username", Text, Required, "User."),
    key(Group::BasicAuth, "password_file", Kind::SecretFile, Nothing, "File with the password."),
    key(Group::BasicAuth, "password_env", Kind::SecretEnv, Nothing, "Variable with the password."),

    key(Group::SecretRef, "file", Kind::SecretFile, Nothing, "File with the value, read when it is used."),
    key(Group::SecretRef, "env", Kind::SecretEnv, Nothing, "Variable with the value, read when the configuration is loaded."),

    key(Group::Tls, "ca_file", Kind::File, Nothing, "Trust these authorities instead of the system's."),
    key(Group::Tls, "cert_file", Kind::File, Nothing, "Client certificate chain; needs `key_file`."),
    key(Group::Tls, "key_file", Kind::File, Nothing, "Client key; needs `cert_file`."),
    key(Group::Tls, "server_name", Text, Nothing, "Name to verify and to send, where it is not the address's host."),
    key(Group::Tls, "insecure_skip_verify", Switch, Value("false"), "Verify nothing. Said in the log at each load."),

    key(Group::Temporal, "address", Kind::HostPort, Value("127.0.0.1:7233"), "Frontend of the server."),
    key(Group::Temporal, "namespace", Kind::Name, Value("default"), "Namespace."),
    key(Group::Temporal, "api_key_file", Kind::SecretFile, Nothing, "API key, from a file. Switches TLS on."),
    key(Group::Temporal, "api_key_env", Kind::SecretEnv, Nothing, "API key, from the environment. Switches TLS on."),
    key(Group::Temporal, "tls", Section(Group::Tls), Says("plaintext, or the system's authorities with an API key"), "TLS; `tls: {}` is TLS with the system's authorities."),
    key(Group::Temporal, "metadata", Kind::Secrets, Nothing, "Further gRPC metadata."),
    key(Group::Temporal, "profile", Kind::Name, Nothing, "Profile of `temporal.toml`, the file of Temporal's own tools; what is written here counts over it."),
    key(Group::Temporal, "profile_file", Kind::File, Says("`temporalio/temporal.toml` in the user's configuration folder"), "File of the profile. Without `profile` its profile `default`."),
    key(Group::Temporal, "task_queues", List(&Section(Group::TaskQueue)), Nothing, "Queues to watch though nobody polls them."),
    key(Group::Temporal, "requests_per_second", Kind::Number { least: 0.1, most: 1000.0 }, Value("5"), "Requests a second to this namespace, all together."),
    key(Group::Temporal, "timed_out_workflows", Switch, Value("false"), "Count the workflows that a timeout closed in the last five minutes: one more request a minute, to the visibility store."),

    key(Group::TaskQueue, "name", Kind::Name, Required, "Name of the queue."),
    key(Group::TaskQueue, "types", TASK_TYPES, Value("[workflow, activity]"), "Types of its tasks."),

    key(Group::Web, "tls_server_config", Section(Group::WebTls), Nothing, "TLS. Without it the listeners speak plain HTTP."),
    key(Group::Web, "http_server_config", Section(Group::WebHttp), Value("{}"), "HTTP/2 and headers of answers."),
    key(Group::Web, "basic_auth_users", Kind::Users, Nothing, "Users and the bcrypt hashes of their passwords. Without any, nobody is asked."),
    key(Group::Web, "rate_limit", Section(Group::WebRate), Nothing, "How many requests are answered."),

    key(Group::WebTls, "cert", Text, Nothing, "The certificate chain itself, PEM."),
    key(Group::WebTls, "cert_file", Kind::File, Nothing, "File with the certificate chain, PEM."),
    key(Group::WebTls, "key", Text, Nothing, "The key itself, PEM."),
    key(Group::WebTls, "key_file", Kind::File, Nothing, "File with the key, PEM."),
    key(Group::WebTls, "client_auth_type", Choice(CLIENT_AUTH), Value("NoClientCert"), "Whether clients must show a certificate."),
    key(Group::WebTls, "client_ca", Text, Nothing, "Authorities of client certificates themselves, PEM."),
    key(Group::WebTls, "client_ca_file", Kind::File, Nothing, "File with the authorities of client certificates, PEM."),
    key(Group::WebTls, "client_allowed_sans", List(&Text), Nothing, "Only clients whose certificate carries one of these names: DNS name, IP address or URI, letter for letter."),
    key(Group::WebTls, "min_version", Choice(TLS_VERSIONS), Value("TLS12"), "Oldest version that is spoken."),
    key(Group::WebTls, "max_version", Choice(TLS_VERSIONS), Value("TLS13"), "Newest version that is spoken."),
    key(Group::WebTls, "cipher_suites", List(&Text), Nothing, "Suites of TLS 1.2, by Go's names. Those of TLS 1.3 are always on."),
    key(Group::WebTls, "prefer_server_cipher_suites", Switch, Value("true"), "Of the suites that both sides have, the first of ours is taken, and not the client's."),
    key(Group::WebTls, "curve_preferences", List(&Text), Nothing, "Curves in the order of preference, by Go's names."),

    key(Group::WebHttp, "http2", Switch, Value("true"), "HTTP/2, with TLS only."),
    key(Group::WebHttp, "headers", Kind::ResponseHeaders, Nothing, "Headers that every answer carries."),

    key(Group::WebRate, "interval", PAUSE, Required, "A request more is allowed each time this has passed. `0s` is no limit."),
    key(Group::WebRate, "burst", Kind::Whole { least: 1, most: 1_000_000 }, Nothing, "So many requests may come at once."),

    key(Group::RedisServer, "address", Kind::RedisUrl, Required, "`redis://host:6379/0`, or `rediss://` for TLS. Without credentials."),
    key(Group::RedisServer, "username", Text, Nothing, "ACL user; needs a password."),
    key(Group::RedisServer, "password_file", Kind::SecretFile, Nothing, "File with the password."),
    key(Group::RedisServer, "password_env", Kind::SecretEnv, Nothing, "Variable with the password."),
    key(Group::RedisServer, "tls", Section(Group::Tls), Nothing, "TLS for `rediss://`."),
    key(Group::RedisServer, "queues", List(&Kind::Name), Nothing, "Queues to watch: with kind `redis` the keys of lists or streams, else the names that the framework uses. Those that a framework registers itself are watched anyway."),

    key(Group::Redis, "pattern", Kind::Pattern, Value("worker:{id}:heartbeat"), "Key of a heartbeat; `{id}` stands where the worker's id is."),

    key(Group::Celery, "pattern", Kind::Pattern, Says("every worker, its node name being its id"), "Node names, `{id}` standing where the id is: `mail@{id}` takes the workers of that name alone, whose hosts are their ids."),
    key(Group::Celery, "key_prefix", Text, Nothing, "`global_keyprefix` of the broker's transport options."),
    key(Group::Process, "workers", List(&Section(Group::ProcessWorker)), Required, "Workers by their processes."),
    key(Group::Process, "gpu", Switch, Value("true"), "Read NVIDIA GPUs, where this machine has a driver."),
    key(Group::Process, "host", Kind::Name, Says("this machine's own name"), "What other sources call this machine, for `match: host_pid`."),
    key(Group::Process, "proc", Text, Value("/proc"), "Where `/proc` of the machine is mounted."),
    key(Group::Process, "cgroups", Text, Value("/sys/fs/cgroup"), "Where its control groups are mounted."),

    key(Group::ProcessWorker, "id", Kind::Name, Required, "The worker's id, unique in its fleet. Stays the same over restarts."),
    key(Group::ProcessWorker, "fleet", Kind::Name, Says("the source's `fleet`"), "Its fleet. Must be listed under `fleets`."),
    key(Group::ProcessWorker, "pid", Kind::Whole { least: 1, most: 4_194_304 }, Nothing, "Its process id, for a process that somebody else keeps under it."),
    key(Group::ProcessWorker, "pid_file", Text, Nothing, "File with its process id; read at each look, and need not be there yet."),
    key(Group::ProcessWorker, "name", Text, Nothing, "Name of its process or of its program; `*` stands for anything, `?` for one letter."),
    key(Group::ProcessWorker, "args", Text, Nothing, "With `name`: its arguments, joined by blanks, contain this; `*` and `?` as there."),
    key(Group::ProcessWorker, "instances", Kind::Whole { least: 1, most: 1000 }, Nothing, "With `name`: so many processes of it are workers, `id`, `id~2`, `id~3` and so on. 1 when absent."),
    key(Group::ProcessWorker, "systemd_unit", Text, Nothing, "Name of its unit; `.service` may be left out."),
    key(Group::ProcessWorker, "cgroup", Text, Nothing, "Path of its control group, as `/proc/PID/cgroup` shows it."),

    key(Group::Rq, "prefix", Text, Value("rq"), "What its keys begin with (`RQ_KEY_PREFIX`), without the colon."),

    key(Group::Sidekiq, "prefix", Text, Nothing, "What its keys begin with where redis-namespace is in use, without the colon."),

    key(Group::Dramatiq, "prefix", Text, Value("dramatiq"), "The broker's `namespace`."),

    key(Group::HeartbeatFiles, "paths", List(&Kind::PathPattern), Nothing, "Paths of heartbeat files; `{id}` stands where the worker's id is, once, and `*` for anything within one other name."),
    key(Group::HeartbeatFiles, "files", List(&Section(Group::HeartbeatFile)), Nothing, "Workers whose files have no pattern."),

    key(Group::HeartbeatFile, "id", Kind::Name, Required, "The worker's id, unique in its fleet."),
    key(Group::HeartbeatFile, "path", Text, Required, "Its file, which need not be there yet."),
    key(Group::HeartbeatFile, "fleet", Kind::Name, Says("the source's `fleet`"), "Its fleet. Must be listed under `fleets`."),
];
