//! One way to write a closed set of words: an enum whose every value has a word and a meaning in ONE table.
//!
//! The same word is log field, metric label, API value and documentation.

/// Declares a closed set: the enum, its words, its meanings and the list of all.
macro_rules! words {
    ($(#[$meta:meta])* pub enum $name:ident { $($(#[$vmeta:meta])* $variant:ident = $word:literal: $meaning:literal,)+ }) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize)]
        pub enum $name {
            $($(#[$vmeta])* #[doc = $meaning] #[serde(rename = $word)] $variant,)+
        }

        impl $name {
            /// Every value, in the order of the table.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)+];

            /// The word that logs, labels, the API and the documentation use.
            #[must_use]
            pub const fn word(self) -> &'static str {
                match self { $(Self::$variant => $word,)+ }
            }

            /// One sentence on what it means, for help texts and reference pages.
            #[must_use]
            pub const fn meaning(self) -> &'static str {
                match self { $(Self::$variant => $meaning,)+ }
            }

            /// The value with this word.
            #[must_use]
            pub fn from_word(word: &str) -> Option<Self> {
                Self::ALL.iter().copied().find(|value| value.word() == word)
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(self.word())
            }
        }
    };
}

words! {
    /// Why a look did not bring what it was sent for. A closed set: no error text ever becomes a label.
    pub enum Failure {
        Timeout = "timeout": "No complete answer before the deadline of the look.",
        Refused = "refused": "The host answered, and nothing listens on that port.",
        Reset = "reset": "The connection was closed or reset before the answer was complete.",
        Unreachable = "unreachable": "No route to the host or network.",
        Dns = "dns": "The host name did not resolve.",
        Tls = "tls": "The TLS handshake failed: certificate, name, protocol version or client certificate.",
        Protocol = "protocol": "What answered does not speak the protocol.",
        HeaderLimit = "header_limit": "The answer's headers are larger than allowed.",
        BodyTooLarge = "body_too_large": "The answer's body is larger than allowed.",
        BodyInvalid = "body_invalid": "The body is not what its content type or shape says.",
        FieldInvalid = "field_invalid": "A field of the record has a value of the wrong type or range.",
        Redirect = "redirect": "A redirect, which is never followed: configure the final address.",
        Stranger = "stranger": "What answered does not say that it is the one that was asked for.",
        NotFound = "not_found": "The path, namespace or key that the configuration names does not exist.",
        HttpStatus = "http_status": "An HTTP status code that says neither healthy nor unhealthy.",
        Unauthenticated = "unauthenticated": "Our credentials were refused (HTTP 401 or 407, Redis AUTH, gRPC Unauthenticated).",
        PermissionDenied = "permission_denied": "Our credentials lack a right (HTTP 403, Redis NOPERM, gRPC PermissionDenied).",
        Throttled = "throttled": "The source asks us to slow down (ResourceExhausted, 429).",
        Unavailable = "unavailable": "The source answers that it cannot serve now (gRPC Unavailable).",
        Unimplemented = "unimplemented": "The source does not know this request: an older version.",
        InvalidArgument = "invalid_argument": "The source refused our request as invalid.",
        Internal = "internal": "The source failed inside.",
        WrongType = "wrong_type": "The Redis key holds another type than the heartbeat that was expected, or the path is no file.",
        Loading = "loading": "Redis is loading its data set.",
        ReadOnly = "read_only": "Redis is a read-only or disconnected replica (READONLY, MASTERDOWN).",
        ClusterDown = "cluster_down": "The Redis cluster does not serve this slot (CLUSTERDOWN, MOVED, ASK).",
        Paging = "paging": "The pages of a listing do not end.",
        Late = "late": "The previous look was still running when this one was due, so it was skipped.",
        Local = "local": "Our own machine failed us: file descriptors, local ports, memory.",
    }
}

impl Failure {
    /// True when the fault is our configuration or our rights: never evidence against a worker.
    #[must_use]
    pub const fn is_misconfiguration(self) -> bool {
        matches!(
            self,
            Self::Unauthenticated
                | Self::PermissionDenied
                | Self::Redirect
                | Self::Stranger
                | Self::NotFound
                | Self::InvalidArgument
                | Self::Unimplemented
                | Self::WrongType
        )
    }

    /// True when our own machine or schedule is at fault: it says nothing about the other side.
    #[must_use]
    pub const fn is_our_own(self) -> bool {
        matches!(self, Self::Late | Self::Local)
    }

    /// True when a host demonstrably answered, so that the way there is not cut.
    #[must_use]
    pub const fn proves_the_way(self) -> bool {
        !matches!(self, Self::Timeout | Self::Unreachable | Self::Dns | Self::Late | Self::Local)
    }
}

words! {
    /// Why a workflow task failed, as the SDKs of Temporal count it. A task that fails is a mistake in code or in a
    /// deployment; a workflow that fails for a reason of its own is none.
    pub enum TaskFailure {
        NonDeterminism = "non_determinism": "The code does not do again what the history of the workflow says that it did.",
        MessageTooLarge = "message_too_large": "What the task would send is larger than a message may be.",
        WorkflowError = "workflow_error": "The code of the workflow broke off, or the worker does not know its type.",
        Other = "other": "Another reason, or none that the SDK names.",
    }
}

words! {
    /// Where a version of the workers of a queue stands in its deployment.
    pub enum VersionStatus {
        Current = "current": "New work goes to it.",
        Ramping = "ramping": "A share of the new work goes to it.",
        Draining = "draining": "No new work goes to it; workflows that are pinned to it still run.",
        Drained = "drained": "No new work goes to it, and nothing that is pinned to it runs.",
        Inactive = "inactive": "No work goes to it: never current nor ramping, or workers without a version beside a current one.",
        Created = "created": "Known to the server, and never polled for.",
        Unknown = "unknown": "The server did not say, or its word is a new one.",
    }
}

words! {
    /// The seven states of a worker.
    pub enum State {
        Unknown = "unknown": "Nothing can be said: its sources fail, or have not been looked at yet.",
        Starting = "starting": "Found, and no beat or work was seen yet, inside its start grace.",
        Healthy = "healthy": "It takes work, or would if there were any.",
        Degraded = "degraded": "It works, with a critical check or a lost channel.",
        Stuck = "stuck": "It has free capacity, work waits, and it takes none.",
        Draining = "draining": "It said goodbye and finishes what it has.",
        Down = "down": "It is gone, or says itself that it no longer works.",
    }
}

words! {
    /// What a state comes down to, in the status API.
    pub enum Status {
        Healthy = "healthy": "Nothing to do.",
        Warning = "warning": "Look at it in working hours.",
        Critical = "critical": "Look at it now.",
        Unknown = "unknown": "Nothing can be said.",
    }
}

words! {
    /// Why a worker is in its state.
    pub enum Reason {
        Ok = "ok": "Every known check passes.",
        Warning = "warning": "A check warns; none is critical.",
        NotLookedAt = "not_looked_at": "No look at it has finished yet.",
        SourceFailed = "source_failed": "The sources that show it have failed for longer than its warning limit.",
        SourceSilent = "source_silent": "All workers of a source fell silent at once and nothing speaks for the source: we may be cut off.",
        Misconfigured = "misconfigured": "We are refused, sent elsewhere or answered by another (401, 403, 407, redirect, 404, stranger): our configuration is at fault.",
        FullOrGone = "full_or_gone": "It sends no heartbeats and polls no more: an activity worker whose slots are all busy looks the same.",
        AwaitingBeat = "awaiting_beat": "Found; its first beat, work or answer is awaited.",
        Restarted = "restarted": "A newer incarnation took its slot; its first beat is awaited.",
        ShuttingDown = "shutting_down": "It said that it is shutting down or takes no new work.",
        DrainStuck = "drain_stuck": "It has been draining for longer than its limit.",
        Exited = "exited": "Its process is gone.",
        OomKilled = "oom_killed": "Its process was killed for memory.",
        PodFailed = "pod_failed": "Its pod failed.",
        PodDeleted = "pod_deleted": "Its pod was deleted.",
        LoopDead = "loop_dead": "It says itself that its loop is dead, or the stamp in its own answer no longer moves.",
        NeverBeat = "never_beat": "It never beat, worked or answered, or was never there, within its start grace.",
        Stale = "stale": "Its heartbeat no longer moves.",
        Timeout = "timeout": "It no longer answers in time.",
        Refused = "refused": "Nothing listens at its address any more.",
        Tls = "tls": "Its TLS handshake fails.",
        Unreachable = "unreachable": "It cannot be reached: its connections break, or its host name or route is gone.",
        Gone = "gone": "Its record disappeared without a goodbye.",
        CorrelatedLoss = "correlated_loss": "At least three workers and half of its source were lost together; the source itself lives.",
        HeartbeatLost = "heartbeat_lost": "Its heartbeat stopped, but it still works or answers.",
        EndpointLost = "endpoint_lost": "It no longer answers, but still beats or works.",
        NotPolling = "not_polling": "Work waits and it has free slots, but it does not poll.",
        TasksNotProcessed = "tasks_not_processed": "It holds workflow tasks past their deadline and processes none: its loop is blocked.",
        NoProgress = "no_progress": "Work waits, it has nothing in flight, and its progress counter is flat.",
        Overdue = "overdue": "The task that it holds has outlived its own time limit, by which a living worker ends it: what runs it is stopped or blocked.",
        Saturated = "saturated": "All its slots are busy, or its pool holds tasks, and nothing finished for longer than its longest task.",
        Flapping = "flapping": "Its state changed more than four times in ten minutes.",
        Unhealthy = "unhealthy": "Its own health answer says unhealthy.",
        Contradiction = "contradiction": "The code and the body of its health answer disagree.",
        CheckHeartbeat = "heartbeat": "The heartbeat check is critical.",
        CheckProgress = "progress": "The progress check is critical.",
        CheckQueueConnection = "queue_connection": "The queue server does not see it poll.",
        CheckProbe = "probe": "The probe check is critical.",
        CheckTaskPerformance = "task_performance": "Too many of its tasks fail.",
        CheckResources = "resources": "It is close to its CPU, memory or GPU memory limit.",
        CheckDiskSpace = "disk_space": "Its disk is almost full.",
        CheckModelLoading = "model_loading": "Its model failed to load.",
        CheckProcess = "process": "Its process is stopped, or hangs in the kernel: it is there and does nothing.",
        LowScore = "low_score": "No check is critical, but its score is under 0.7.",
    }
}

words! {
    /// The checks of a worker, each a small pure function.
    pub enum Check {
        Heartbeat = "heartbeat": "Its beat moves within its limits.",
        Progress = "progress": "It makes progress of its own while work waits.",
        QueueConnection = "queue_connection": "The queue server sees it poll.",
        Probe = "probe": "Its endpoint answers in time, and says healthy.",
        TaskPerformance = "task_performance": "Error rate and mean duration of its tasks over five minutes.",
        Resources = "resources": "CPU, memory and GPU memory against their limits.",
        DiskSpace = "disk_space": "Free space on its disk.",
        ModelLoading = "model_loading": "Its model is loaded.",
        Process = "process": "Its process is there and can run.",
    }
}

words! {
    /// The kinds of task queue of a worker.
    pub enum TaskType {
        Workflow = "workflow": "Workflow tasks.",
        Activity = "activity": "Activity tasks, and the jobs of other frameworks.",
        Nexus = "nexus": "Nexus tasks.",
        LocalActivity = "local_activity": "Local activities, which have slots but no queue.",
    }
}

words! {
    /// The kinds of source.
    pub enum SourceKind {
        Http = "http": "A health endpoint of each worker.",
        Grpc = "grpc": "The gRPC health service of each worker.",
        Temporal = "temporal": "The worker registry and the task queues of a Temporal namespace.",
        Redis = "redis": "Heartbeat keys in Redis.",
        Celery = "celery": "The events and the queues of Celery workers, on a Redis broker.",
        Process = "process": "Processes of this host.",
        Rq = "rq": "The workers and queues of RQ, in Redis.",
        Sidekiq = "sidekiq": "The processes and queues of Sidekiq, in Redis.",
        Dramatiq = "dramatiq": "The workers and queues of Dramatiq, in Redis.",
        Metrics = "metrics": "A worker's own metrics, in the formats of Prometheus.",
        File = "file": "Heartbeat files.",
    }
}

impl SourceKind {
    /// True when the configuration or discovery says who its workers are and each is looked at by itself; false when the
    /// source lists them.
    #[must_use]
    pub const fn looks_at_each(self) -> bool {
        matches!(self, Self::Http | Self::Grpc | Self::Metrics | Self::Process)
    }

    /// It tells who polls which queue.
    #[must_use]
    pub const fn sees_polls(self) -> bool {
        matches!(self, Self::Temporal)
    }

    /// The queues that its workers name are queues that it can look at.
    #[must_use]
    pub const fn names_queues(self) -> bool {
        match self {
            Self::Temporal | Self::Celery | Self::Rq | Self::Sidekiq | Self::Dramatiq => true,
            // The names in a heartbeat are the worker's own; which keys are queues is for the configuration to say.
            Self::Http | Self::Grpc | Self::Redis | Self::Process | Self::Metrics | Self::File => false,
        }
    }
}

words! {
    /// The four kinds of channel by which a worker shows itself.
    pub enum ChannelKind {
        Beat = "beat": "Moves when the record of its heartbeat changes.",
        Work = "work": "Moves when something was done: a counter rose, a poll succeeded.",
        Reach = "reach": "Moves when it answers us in time.",
        Host = "host": "Moves while the thing it lives in exists.",
    }
}
