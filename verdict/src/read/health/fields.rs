//! Numbers, stamps and names inside a JSON body: the documented names in one table, or JSON pointers.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::{Map, Value};

use super::words::fold;
use crate::evidence::{Beat, Info, Mark, Model, Numbers};
use crate::read::stamp::{self, Stamp};
use crate::time::WallTime;

/// Where things stand in the body, beyond the documented names: our name → JSON pointer (RFC 6901).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Fields {
    pointers: BTreeMap<String, String>,
}

impl Fields {
    /// From the configuration. Names that are not in [`Fields::names`] are never asked for.
    #[must_use]
    pub fn new(pointers: BTreeMap<String, String>) -> Self {
        Self { pointers }
    }

    /// Every name that a pointer can be given for.
    pub fn names() -> impl Iterator<Item = &'static str> {
        ["status", "alive", "last_heartbeat", "last_activity", "task_queue", "host", "pid", "started_at", "build_id"]
            .into_iter()
            .chain(NUMBERS.iter().map(|number| number.name))
    }

    /// `None`: no pointer is configured. `Some(None)`: one is, and nothing stands there.
    pub(super) fn point<'a>(&self, name: &str, body: &'a Value) -> Option<Option<&'a Value>> {
        self.pointers.get(name).map(|pointer| body.pointer(pointer))
    }
}

/// How a number is written, and what makes it a base unit.
#[derive(Clone, Copy)]
enum Written {
    /// A whole number of things.
    Count,
    /// Bytes.
    Bytes,
    /// Mebibytes.
    Mebibytes,
    /// 0 to 100.
    Percent,
    /// 0 to 1.
    Ratio,
    /// Percent of one core: more than 100 on several.
    CorePercent,
    /// Percent, or a ratio where it is written with a point and at most 1.0 (`0.87`).
    PercentOrRatio,
    /// Seconds.
    Seconds,
    /// `true`, `false`, "loading", "failed".
    Model,
}

/// One number: our name, the other names that are understood for it, how it is written, and where it goes.
struct Row {
    name: &'static str,
    also: &'static [&'static str],
    written: Written,
    put: fn(&mut Numbers, Reading),
}

/// A number in base units.
#[derive(Clone, Copy)]
enum Reading {
    Whole(u64),
    Real(f64),
    Model(Model),
}

impl Reading {
    fn whole(self) -> Option<u64> {
        if let Self::Whole(value) = self { Some(value) } else { None }
    }

    fn real(self) -> Option<f64> {
        if let Self::Real(value) = self { Some(value) } else { None }
    }
}

macro_rules! rows {
    ($($name:literal $also:tt $written:ident $field:ident.$kind:ident;)+) => {
        &[$(Row {
            name: $name,
            also: &$also,
            written: Written::$written,
            put: |numbers, reading| {
                // The first name that is there wins, so `cpu_percent` before `cpu_ratio`.
                if numbers.$field.is_none() { numbers.$field = rows!(@$kind reading); }
            },
        },)+]
    };
    (@whole $reading:ident) => { $reading.whole() };
    (@real $reading:ident) => { $reading.real() };
    (@model $reading:ident) => { if let Reading::Model(model) = $reading { Some(model) } else { None } };
}

/// The documented numbers. `docs/http.md` lists them for users.
#[rustfmt::skip]
const NUMBERS: &[Row] = rows![
    "tasks_total" ["total_tasks", "tasks_processed", "processed", "processed_total", "jobs_processed", "jobs_total"] Count tasks_total.whole;
    "tasks_failed" ["tasks_failed_total", "failed_tasks", "jobs_failed"] Count tasks_failed.whole;
    "in_flight" ["inflight", "tasks_in_flight", "active_tasks", "running_tasks", "active_jobs", "current_tasks"] Count in_flight.whole;
    "waiting" ["queue_depth", "queue_size", "queue_length", "pending_tasks", "backlog"] Count waiting.whole;
    "progress" ["progress_total", "progress_counter"] Count progress.whole;
    "task_seconds_total" ["task_duration_seconds_total"] Seconds task_seconds_total.real;
    "cpu_percent" ["cpu_usage_percent"] CorePercent cpu_ratio.real;
    "cpu_ratio" ["cpu_usage_ratio"] Ratio cpu_ratio.real;
    "memory_bytes" ["rss_bytes", "memory_rss_bytes", "memory_used_bytes"] Bytes memory_bytes.whole;
    "memory_mb" ["rss_mb", "memory_used_mb"] Mebibytes memory_bytes.whole;
    "memory_limit_bytes" [] Bytes memory_limit_bytes.whole;
    "memory_percent" ["memory_usage_percent"] Percent memory_ratio.real;
    "memory_ratio" ["memory_usage_ratio"] Ratio memory_ratio.real;
    "host_cpu_percent" [] Percent host_cpu_ratio.real;
    "host_memory_percent" [] Percent host_memory_ratio.real;
    "disk_percent" ["disk_usage_percent"] Percent disk_ratio.real;
    "disk_ratio" ["disk_usage_ratio"] Ratio disk_ratio.real;
    "gpu_utilization" ["gpu_percent", "gpu_utilization_percent"] PercentOrRatio gpu_ratio.real;
    "gpu_memory_percent" ["gpu_memory_usage_percent"] Percent gpu_memory_ratio.real;
    "gpu_memory_ratio" ["gpu_memory_usage_ratio"] Ratio gpu_memory_ratio.real;
    "model_loaded" ["model_status", "model_state"] Model model.model;
];

/// Where else than at the top the documented names are looked for.
const INSIDE: &[&str] = &["metrics", "stats", "data", "details"];

/// Names of a heartbeat, folded, in order of trust.
const BEATS: &[&str] =
    &["lastheartbeat", "lastheartbeatat", "heartbeat", "heartbeatat", "lastbeat", "beat", "lastseen", "checkedat"];

/// Names of a stamp that may be a heartbeat or only the time of the answer: believed once it has moved.
const TRIALS: &[&str] = &["timestamp", "time", "updatedat"];

/// Names of the last piece of work: not a heartbeat, an idle worker has an old one.
const ACTIVITIES: &[&str] = &["lastactivity", "lastactivityat", "lasttaskat", "lastjobat", "lasttasktime"];

/// Names of the start.
const STARTS: &[&str] = &["startedat", "starttime", "startedon", "processstarttime"];

/// A body, with its keys folded once.
pub(super) struct Sheet<'a> {
    body: &'a Value,
    fields: &'a Fields,
    top: BTreeMap<String, &'a Value>,
    inside: Vec<BTreeMap<String, &'a Value>>,
    /// A field had a value of the wrong type or range.
    pub(super) invalid: bool,
}

fn folded(map: &Map<String, Value>) -> BTreeMap<String, &Value> {
    map.iter().map(|(key, value)| (fold(key), value)).collect()
}

impl<'a> Sheet<'a> {
    pub(super) fn new(body: &'a Value, fields: &'a Fields) -> Self {
        let top = body.as_object().map(folded).unwrap_or_default();
        let inside = INSIDE.iter().filter_map(|name| top.get(*name)?.as_object()).map(folded).collect();
        Self { body, fields, top, inside, invalid: false }
    }

    /// The first of these names, at the top before inside.
    fn find(&self, names: &[&str]) -> Option<&'a Value> {
        std::iter::once(&self.top)
            .chain(&self.inside)
            .find_map(|level| names.iter().find_map(|name| level.get(*name).copied()))
    }

    /// By pointer where there is one, else by name.
    fn named(&mut self, name: &str, names: &[&str]) -> Option<&'a Value> {
        match self.fields.point(name, self.body) {
            Some(found) => {
                self.invalid |= found.is_none();
                found
            }
            None => self.find(names),
        }
    }

    /// All numbers.
    pub(super) fn numbers(&mut self) -> Numbers {
        let mut numbers = Numbers::default();
        for row in NUMBERS {
            let value = match self.fields.point(row.name, self.body) {
                Some(None) => {
                    self.invalid = true;
                    continue;
                }
                Some(found) => found,
                None => {
                    // `progress` alone is more often a percentage than a counter: only by pointer or a clearer name.
                    let own = (row.name != "progress").then_some(&row.name);
                    let names: Vec<_> = own.into_iter().chain(row.also).map(|name| name.replace('_', "")).collect();
                    self.find(&names.iter().map(String::as_str).collect::<Vec<_>>())
                }
            };
            let Some(value) = value else { continue };
            // Null is how a number that is not known is written; everything else that is no number is a fault.
            if value.is_null() {
                continue;
            }
            match read(row.written, value) {
                Some(reading) => (row.put)(&mut numbers, reading),
                None => self.invalid = true,
            }
        }
        numbers
    }

    /// The heartbeat, if there is a place for one. `alive` is what the answer says of its loop.
    pub(super) fn beat(&mut self, alive: Option<bool>) -> Option<Beat> {
        let beat = |mark, stamp, on_trial| Beat { mark, stamp, declared: None, own_answer: true, on_trial };
        let empty = beat(None, None, false);
        let found = match self.fields.point("last_heartbeat", self.body) {
            // By pointer any value will do that changes: a counter of loops is a fine heartbeat.
            Some(found) => {
                return Some(match (stamp::json(found), found) {
                    (Stamp::At(time), _) => beat(Some(Mark::stamp(time)), Some(time), false),
                    (Stamp::Never, _) | (_, None) => empty,
                    (Stamp::Invalid, Some(value)) => beat(Some(Mark::bytes(value.to_string().as_bytes())), None, false),
                });
            }
            None => self.find(BEATS),
        };
        match found {
            // `heartbeat: true` or `{…}` is another thing by the same name.
            Some(Value::Bool(_) | Value::Object(_) | Value::Array(_)) => {}
            Some(value) => match stamp::json(Some(value)) {
                Stamp::At(time) => return Some(beat(Some(Mark::stamp(time)), Some(time), false)),
                Stamp::Never => return Some(empty),
                Stamp::Invalid => self.invalid = true,
            },
            // It says that its loop is dead and gives no stamp at all: it never beat.
            None if alive == Some(false) => return Some(empty),
            None => {}
        }
        // A trial stamp that is none is no fault: `time` is often a duration.
        let time = stamp::json(Some(self.find(TRIALS)?)).time()?;
        Some(beat(Some(Mark::stamp(time)), Some(time), true))
    }

    /// When it last did something.
    pub(super) fn last_activity(&mut self) -> Option<WallTime> {
        let value = self.named("last_activity", ACTIVITIES)?;
        let read = stamp::json(Some(value));
        self.invalid |= read == Stamp::Invalid;
        read.time()
    }

    /// The queues that it names.
    pub(super) fn task_queues(&mut self) -> Vec<Arc<str>> {
        let names: Vec<&str> = match self.named("task_queue", &["taskqueue", "taskqueues", "queue", "queues"]) {
            Some(Value::String(name)) => vec![name],
            Some(Value::Array(items)) => items.iter().filter_map(Value::as_str).collect(),
            _ => return Vec::new(),
        };
        let mut queues: Vec<Arc<str>> = Vec::new();
        for name in names {
            // A queue's state under the same name ("queue": "ok") is not its name.
            if is_name(name) && super::words::meaning(name).is_none() && !queues.iter().any(|queue| **queue == *name) {
                queues.push(Arc::from(name));
            }
        }
        queues.truncate(32);
        queues
    }

    /// Host, process, version and start.
    pub(super) fn info(&mut self) -> Info {
        let host = self.named("host", &["hostname", "host"]).and_then(word);
        let pid = self.named("pid", &["pid", "processid"]).and_then(word);
        let build_id = self.named("build_id", &["buildid", "releaseid", "version"]).and_then(word);
        let start_time = self.named("started_at", STARTS).and_then(|value| stamp::json(Some(value)).time());
        // The start tells one incarnation from the next; a pid alone may come again.
        let instance = match (start_time, &pid) {
            (Some(start), Some(pid)) => Some(Arc::from(format!("{pid}@{}", start.micros()))),
            (Some(start), None) => Some(Arc::from(start.micros().to_string())),
            (None, Some(pid)) => Some(Arc::clone(pid)),
            (None, None) => None,
        };
        let pod = self.find(&["pod", "podname"]).and_then(word);
        Info { host, pod, pid, instance, build_id, start_time, ..Info::default() }
    }
}

fn is_name(text: &str) -> bool {
    !text.is_empty() && text.len() <= 200 && !text.chars().any(char::is_control)
}

/// A short text or a whole number, as text.
fn word(value: &Value) -> Option<Arc<str>> {
    match value {
        Value::String(text) if is_name(text) => Some(Arc::from(text.as_str())),
        Value::Number(number) if number.is_u64() => Some(Arc::from(number.to_string())),
        _ => None,
    }
}

fn read(written: Written, value: &Value) -> Option<Reading> {
    let whole = || value.as_u64().or_else(|| value.as_f64().and_then(integral));
    let real = |most: f64| value.as_f64().filter(|value| (0.0..=most).contains(value));
    let percent = |most: f64| real(most).map(|value| value / 100.0);
    Some(match written {
        Written::Count | Written::Bytes => Reading::Whole(whole()?),
        Written::Mebibytes => Reading::Whole(integral((value.as_f64()? * 1_048_576.0).round())?),
        Written::Percent => Reading::Real(percent(100.0)?),
        Written::CorePercent => Reading::Real(percent(102_400.0)?),
        Written::Ratio => Reading::Real(real(1.0)?),
        Written::PercentOrRatio if value.is_f64() && real(1.0).is_some() => Reading::Real(real(1.0)?),
        Written::PercentOrRatio => Reading::Real(percent(100.0)?),
        Written::Seconds => Reading::Real(real(f64::MAX)?),
        Written::Model => Reading::Model(model(value)?),
    })
}

/// A float that is a whole number: `3.0` as JavaScript and Lua write 3.
fn integral(value: f64) -> Option<u64> {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "the range was just checked")]
    ((0.0..=9_007_199_254_740_992.0).contains(&value) && value.fract() == 0.0).then_some(value as u64)
}

fn model(value: &Value) -> Option<Model> {
    match value {
        Value::Bool(true) => Some(Model::Loaded),
        Value::Bool(false) => Some(Model::Loading),
        Value::String(word) => match fold(word).as_str() {
            "loaded" | "ready" | "ok" | "true" => Some(Model::Loaded),
            "loading" | "pending" | "initializing" | "starting" | "notloaded" | "false" => Some(Model::Loading),
            "failed" | "error" | "fail" => Some(Model::Failed),
            _ => None,
        },
        _ => None,
    }
}
