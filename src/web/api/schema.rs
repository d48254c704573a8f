//! What the answers are made of: one table per shape, from which the OpenAPI document and the reference page come. A
//! test compares them with real answers, name by name.

use serde_json::{Map, Value, json};
use verdict::words::{ChannelKind, Check, Failure, Reason, SourceKind, State, Status, TaskType, VersionStatus};

/// The type of a field.
#[derive(Clone, Copy)]
pub(crate) enum Type {
    Text,
    Number,
    Integer,
    Boolean,
    /// Seconds since 1970.
    Time,
    Ratio,
    /// One of a closed set of words.
    Word(&'static str, fn() -> Vec<&'static str>),
    Object(&'static Shape),
    List(&'static Type),
    /// Names to values of this type.
    Map(&'static Type),
}

/// Whether a field may be `null`, which is: not known.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Null {
    Never,
    Unknown,
    /// The field itself is left out.
    Absent,
}

/// One field.
pub(crate) struct Field {
    pub(crate) name: &'static str,
    pub(crate) kind: Type,
    pub(crate) null: Null,
    pub(crate) meaning: &'static str,
}

/// One shape.
pub(crate) struct Shape {
    pub(crate) name: &'static str,
    pub(crate) fields: &'static [Field],
}

const fn field(name: &'static str, kind: Type, meaning: &'static str) -> Field {
    Field { name, kind, null: Null::Never, meaning }
}

const fn maybe(name: &'static str, kind: Type, meaning: &'static str) -> Field {
    Field { name, kind, null: Null::Unknown, meaning }
}

const fn optional(name: &'static str, kind: Type, meaning: &'static str) -> Field {
    Field { name, kind, null: Null::Absent, meaning }
}

macro_rules! word {
    ($set:ident) => {
        Type::Word(stringify!($set), || $set::ALL.iter().map(|value| value.word()).collect())
    };
}

const TEXT: Type = Type::Text;
const TIME: Type = Type::Time;

macro_rules! shapes {
    ($($id:ident $name:literal [$($field:expr),+ $(,)?])+) => {
        $(pub(crate) static $id: Shape = Shape { name: $name, fields: &[$($field),+] };)+
        /// Every shape.
        pub(crate) const SHAPES: &[&Shape] = &[$(&$id),+];
    };
}

shapes! {
    WORKER_LIST "WorkerList" [
        field("total_workers", Type::Integer, "Workers that the filter takes, on all pages."),
        field("healthy_workers", Type::Integer, "Of these, with status healthy."),
        field("warning_workers", Type::Integer, "Of these, with status warning."),
        field("critical_workers", Type::Integer, "Of these, with status critical."),
        field("unknown_workers", Type::Integer, "Of these, with status unknown."),
        field("timestamp", TIME, "When the snapshot was taken."),
        field("workers", Type::List(&Type::Object(&WORKER)), "This page, sorted by fleet and worker."),
        maybe("next_cursor", TEXT, "Send it back as `cursor` for the next page; null on the last."),
    ]
    WORKER "Worker" [
        field("worker_id", TEXT, "Its id, unique in its fleet."),
        field("fleet", TEXT, "Its fleet."),
        field("status", word!(Status), "What the state comes down to."),
        field("state", word!(State), "Its state."),
        field("reason", word!(Reason), "Why it is in this state."),
        field("since", TIME, "Since when."),
        maybe("health_score", Type::Ratio, "Weighted mean of the known checks."),
        maybe("last_check", TIME, "When a look last told something of it."),
        maybe("last_heartbeat", TIME, "When its last heartbeat was received, by our clock."),
        field("issues", Type::List(&TEXT), "One sentence for each thing that is wrong, the gravest first."),
        field("metrics", Type::Object(&WORKER_METRICS), "Its numbers; what is not known is left out."),
    ]
    WORKER_METRICS "WorkerMetrics" [
        optional("tasks_total", Type::Integer, "Tasks finished, failed ones included, over all incarnations."),
        optional("tasks_failed", Type::Integer, "Tasks failed, over all incarnations."),
        optional("in_flight", Type::Integer, "Tasks it works on."),
        optional("waiting", Type::Integer, "Tasks that wait for it."),
        optional("cpu_ratio", Type::Ratio, "Its own CPU, of its limit."),
        optional("memory_bytes", Type::Integer, "Its own memory."),
        optional("memory_limit_bytes", Type::Integer, "Its memory limit."),
        optional("memory_ratio", Type::Ratio, "Its own memory, of its limit."),
        optional("host_cpu_ratio", Type::Ratio, "CPU of its host: shown, not judged."),
        optional("host_memory_ratio", Type::Ratio, "Memory of its host: shown, not judged."),
        optional("disk_ratio", Type::Ratio, "Its disk in use."),
        optional("gpu_ratio", Type::Ratio, "GPU in use."),
        optional("gpu_memory_ratio", Type::Ratio, "GPU memory in use."),
        optional("model", Type::Word("Model", || vec!["loaded", "loading", "failed"]), "Whether its model is ready."),
    ]
    WORKER_DETAIL "WorkerDetail" [
        field("worker_id", TEXT, "Its id, unique in its fleet."),
        field("fleet", TEXT, "Its fleet."),
        field("status", word!(Status), "What the state comes down to."),
        field("state", word!(State), "Its state."),
        field("reason", word!(Reason), "Why it is in this state."),
        field("reason_meaning", TEXT, "The reason in a sentence."),
        field("since", TIME, "Since when."),
        maybe("health_score", Type::Ratio, "Weighted mean of the known checks."),
        maybe("last_check", TIME, "When a look last told something of it."),
        maybe("last_heartbeat", TIME, "When its last heartbeat was received, by our clock."),
        maybe("heartbeat_interval_seconds", Type::Number, "The cadence in use."),
        maybe("last_progress", TIME, "When it last made progress of its own, by our clock."),
        maybe("clock_skew_seconds", Type::Number, "Its clock minus ours."),
        maybe("certificate_not_after", TIME, "Until when the certificate is valid that its endpoint shows."),
        field("issues", Type::List(&TEXT), "One sentence for each thing that is wrong, the gravest first."),
        field("would_change", Type::List(&TEXT), "What would change the state."),
        field("checks", Type::List(&Type::Object(&CHECK)), "Every known check."),
        field("channels", Type::List(&Type::Object(&CHANNEL)), "The evidence, by channel."),
        field("metrics", Type::Object(&WORKER_METRICS), "Its numbers; what is not known is left out."),
        field("types", Type::List(&Type::Object(&TYPE)), "Slots, pollers and counters by task type."),
        field("task_queues", Type::List(&TEXT), "Queues it serves."),
        field("info", Type::Object(&INFO), "Names and versions of its present incarnation."),
        field("sources", Type::List(&TEXT), "Sources that show it."),
        field("notes", Type::List(&TEXT), "What its sources tell beside the figures, for people."),
        field("state_changes", Type::Integer, "Changes of state, those to and from unknown left out."),
        field("restarts", Type::Integer, "Incarnations after the first that was seen."),
        maybe("shared_cause", TEXT, "What it shares with the workers that fell silent with it."),
    ]
    CHECK "Check" [
        field("check", word!(Check), "Which."),
        maybe("finding", Type::Word("Finding", || vec!["pass", "warning", "critical"]), "What it found; null is unknown."),
        field("weight", Type::Number, "Its weight in the score."),
        field("why", TEXT, "Why, with the figures."),
    ]
    CHANNEL "Channel" [
        field("source", TEXT, "The source that shows it."),
        field("kind", word!(ChannelKind), "What kind of evidence."),
        field("what", TEXT, "What exactly moves, for people."),
        field("silent_seconds", Type::Number, "Silence that counts: failed looks add nothing."),
        field("warning_seconds", Type::Number, "Warning limit."),
        field("critical_seconds", Type::Number, "Critical limit."),
        maybe("last_moved", TIME, "When it last moved, by our clock."),
        field("moves", Type::Integer, "How often it moved."),
        field("misses", Type::Integer, "Missed answers in a row."),
        maybe("failure", word!(Failure), "Why the last look failed or missed."),
        maybe("said", Type::Word("Said", || vec!["up", "transient", "degraded", "down"]), "What its answer says as a whole."),
    ]
    TYPE "TaskTypeReport" [
        field("task_type", word!(TaskType), "Which."),
        maybe("slots_used", Type::Integer, "Slots in use."),
        maybe("slots_available", Type::Integer, "Free slots; null where unbounded or unknown."),
        maybe("processed", Type::Integer, "Tasks processed since it started."),
        maybe("failed", Type::Integer, "Tasks failed since it started."),
        maybe("pollers", Type::Integer, "Pollers at work."),
        maybe("last_successful_poll", TIME, "Its own stamp of the last successful poll."),
    ]
    INFO "Info" [
        maybe("host", TEXT, "Host name."),
        maybe("pod", TEXT, "Pod name."),
        maybe("pid", TEXT, "Process id."),
        maybe("instance", TEXT, "What tells one incarnation from the next."),
        maybe("sdk_name", TEXT, "SDK name."),
        maybe("sdk_version", TEXT, "SDK version."),
        maybe("build_id", TEXT, "Build id of its deployment."),
        maybe("deployment", TEXT, "Worker deployment."),
        maybe("start_time", TIME, "When it started, by its own clock."),
    ]
    FLEET_LIST "FleetList" [
        field("timestamp", TIME, "When the snapshot was taken."),
        field("fleets", Type::List(&Type::Object(&FLEET)), "All fleets, sorted by name."),
    ]
    FLEET "Fleet" [
        field("fleet", TEXT, "Its name."),
        field("page", Type::Word("Page", || vec!["worker", "fleet"]), "Who is paged."),
        field("team", TEXT, "Its team, may be empty."),
        field("workers", Type::Map(&Type::Integer), "Workers by state, all seven."),
        maybe("expected_workers", Type::Integer, "Workers that the owner expects."),
        field("tasks_completed", Type::Map(&Type::Integer), "By task type, since the exporter started."),
        field("tasks_failed", Type::Map(&Type::Integer), "By task type, since the exporter started."),
        field("slots", Type::Map(&Type::Object(&SLOTS)), "By task type."),
        field("queues", Type::List(&Type::Object(&QUEUE_KEY)), "Queues that its workers serve."),
        field("sources", Type::List(&TEXT), "Sources that show its workers."),
    ]
    SLOTS "Slots" [
        field("used", Type::Integer, "Slots in use."),
        maybe("available", Type::Integer, "Free slots; null where unbounded."),
    ]
    QUEUE_KEY "QueueKey" [
        field("source", TEXT, "The source that watches it."),
        field("temporal_namespace", TEXT, "Temporal namespace, or empty."),
        field("task_queue", TEXT, "Its name."),
        field("task_type", word!(TaskType), "Type of its tasks."),
    ]
    QUEUE_LIST "QueueList" [
        field("timestamp", TIME, "When the snapshot was taken."),
        field("queues", Type::List(&Type::Object(&QUEUE)), "All queues."),
    ]
    QUEUE "Queue" [
        field("source", TEXT, "The source that watches it."),
        field("temporal_namespace", TEXT, "Temporal namespace, or empty."),
        field("task_queue", TEXT, "Its name."),
        field("task_type", word!(TaskType), "Type of its tasks."),
        maybe("backlog_tasks", Type::Integer, "Tasks that wait, about."),
        maybe("backlog_age_seconds", Type::Number, "Age of its head, as the server gives it."),
        maybe("add_rate", Type::Number, "Tasks added a second."),
        maybe("dispatch_rate", Type::Number, "Tasks dispatched a second."),
        maybe("rate_limited", Type::Boolean, "Held back for a rate limit."),
        maybe("pollers", Type::Integer, "Pollers that the server lists."),
        maybe("pollers_incomplete", Type::Boolean, "More may poll than were seen."),
        field("waiting", Type::Boolean, "Work has been waiting at three looks in a row."),
        field("expected", Type::Boolean, "Named in the configuration."),
        field("workers", Type::Object(&QUEUE_WORKERS), "Workers that serve it."),
        maybe("last_success", TIME, "When a look at it last succeeded."),
        maybe("failure", word!(Failure), "Why the last look failed, while it fails."),
        field("versions", Type::List(&Type::Object(&VERSION)), "Its workers by version, where versions are in use."),
        field("issues", Type::List(&TEXT), "What is wrong with it, one sentence each."),
    ]
    VERSION "Version" [
        field("deployment", TEXT, "The deployment; empty for workers without a version."),
        field("build_id", TEXT, "The build id; empty for workers without a version."),
        field("status", word!(VersionStatus), "Where the version stands."),
        maybe("ramp_ratio", Type::Ratio, "The share of new work that it is given while it ramps."),
        maybe("pollers", Type::Integer, "Its pollers, less those whose worker is down or said goodbye."),
        maybe("backlog_tasks", Type::Integer, "Tasks that wait for it, about."),
        maybe("backlog_age_seconds", Type::Number, "Age of the head of those tasks."),
    ]
    QUEUE_WORKERS "QueueWorkers" [
        field("polling", Type::Integer, "Those that poll."),
        field("full", Type::Integer, "Those whose slots are all busy."),
        field("silent", Type::Integer, "Those that are silent."),
    ]
    SOURCE_LIST "SourceList" [
        field("timestamp", TIME, "When the snapshot was taken."),
        field("observer_trusted", Type::Boolean, "False while our own loop cannot be believed."),
        field("late_ticks", Type::Integer, "Ticks of our own loop that came more than five seconds late."),
        field("leftover_records", Type::Integer, "Records that were already dead at first sight."),
        field("sources", Type::List(&Type::Object(&SOURCE)), "All sources, in the order of the configuration."),
    ]
    SOURCE "Source" [
        field("source", TEXT, "Its configured name."),
        field("kind", word!(SourceKind), "Its kind."),
        maybe("up", Type::Boolean, "Looks at it succeed; null before the first."),
        field("trusted", Type::Boolean, "Its evidence is believed."),
        maybe("failure", word!(Failure), "Why it fails, while it fails."),
        maybe("failure_meaning", TEXT, "The same in a sentence."),
        maybe("last_success", TIME, "When a look last succeeded, by our clock."),
        field("requests", Type::Integer, "Looks so far."),
        field("throttled", Type::Integer, "Looks that it asked us to slow down for."),
        field("errors", Type::Map(&Type::Integer), "Failed looks and missed answers, by reason."),
        maybe("mean_duration_seconds", Type::Number, "Mean duration of the looks."),
        field("workers", Type::Integer, "Workers that it shows."),
        maybe("workflows_timed_out", Type::Integer, "Workflows of its namespace that a timeout closed in the last five minutes; null where that is not counted."),
        maybe("note", TEXT, "What holds its evidence back, for people."),
    ]
    CHANGE "Change" [
        field("worker_id", TEXT, "Whose."),
        field("fleet", TEXT, "Of which fleet."),
        maybe("from", word!(State), "State before; null when the worker is new."),
        maybe("to", word!(State), "State now; null when the worker left."),
        field("reason", word!(Reason), "Why."),
        field("detail", TEXT, "One sentence for people."),
        field("timestamp", TIME, "When."),
    ]
    PROBLEM "Problem" [
        field("type", TEXT, "Always about:blank: the status says what kind of problem it is."),
        field("title", TEXT, "The status in words."),
        field("status", Type::Integer, "The HTTP status."),
        field("detail", TEXT, "What is wrong, and what to do next."),
        optional("reasons", Type::List(&TEXT), "Each thing that is wrong."),
        optional("fleets", Type::List(&TEXT), "The fleets to choose from, where an id is ambiguous."),
    ]
}

impl Type {
    /// As JSON schema.
    pub(crate) fn schema(self) -> Value {
        match self {
            Self::Text => json!({ "type": "string" }),
            Self::Number => json!({ "type": "number" }),
            Self::Integer => json!({ "type": "integer", "minimum": 0 }),
            Self::Boolean => json!({ "type": "boolean" }),
            Self::Time => json!({ "type": "number", "description": "seconds since 1970" }),
            Self::Ratio => json!({ "type": "number", "minimum": 0 }),
            Self::Word(_, words) => json!({ "type": "string", "enum": words() }),
            Self::Object(shape) => json!({ "$ref": format!("#/components/schemas/{}", shape.name) }),
            Self::List(of) => json!({ "type": "array", "items": of.schema() }),
            Self::Map(of) => json!({ "type": "object", "additionalProperties": of.schema() }),
        }
    }

    /// For the reference page.
    pub(crate) fn prose(self) -> String {
        match self {
            Self::Text => "text".to_owned(),
            Self::Number => "number".to_owned(),
            Self::Integer => "integer".to_owned(),
            Self::Boolean => "boolean".to_owned(),
            Self::Time => "seconds since 1970".to_owned(),
            Self::Ratio => "ratio, 0 to 1".to_owned(),
            Self::Word(name, _) => format!("word of {name}"),
            Self::Object(shape) => format!("[{}](#{})", shape.name, shape.name.to_lowercase()),
            Self::List(of) => format!("list of {}", of.prose()),
            Self::Map(of) => format!("map to {}", of.prose()),
        }
    }
}

impl Shape {
    /// As JSON schema.
    pub(crate) fn schema(&self) -> Value {
        let properties: Map<String, Value> = self
            .fields
            .iter()
            .map(|field| {
                let schema = match field.null {
                    Null::Unknown => json!({ "anyOf": [field.kind.schema(), { "type": "null" }] }),
                    Null::Never | Null::Absent => field.kind.schema(),
                };
                // A reference may not have neighbours in older readers; one element of allOf says the same.
                let mut schema = if schema.get("$ref").is_some() { json!({ "allOf": [schema] }) } else { schema };
                if let Some(schema) = schema.as_object_mut() {
                    schema.insert("description".to_owned(), field.meaning.into());
                }
                (field.name.to_owned(), schema)
            })
            .collect();
        let required: Vec<&str> = self.fields.iter().filter(|f| f.null != Null::Absent).map(|f| f.name).collect();
        json!({ "type": "object", "properties": properties, "required": required })
    }
}
