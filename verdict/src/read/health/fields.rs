//! Numbers, stamps and names inside a JSON body: the documented names in one table, or JSON pointers.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::{Map, Value};

use crate::evidence::{Beat, Info, Mark, Numbers};
use crate::read::fold;
use crate::read::numbers::NUMBERS;
use crate::read::stamp::{self, Stamp};
use crate::time::WallTime;

/// Where things stand in the body, beyond the documented names: our name → JSON pointer (RFC 6901).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Fields {
    pointers: BTreeMap<String, String>,
    /// Where it says who it is.
    identity: Option<String>,
}

impl Fields {
    /// From the configuration. Names that are not in [`Fields::names`] are never asked for.
    #[must_use]
    pub fn new(pointers: BTreeMap<String, String>) -> Self {
        Self { pointers, identity: None }
    }

    /// The same, and where the answer says who gives it.
    #[must_use]
    pub fn with_identity(self, pointer: Option<String>) -> Self {
        Self { identity: pointer, ..self }
    }

    /// Who the body says that it is of.
    pub(super) fn identity(&self, body: &Value) -> Option<Arc<str>> {
        body.pointer(self.identity.as_deref()?).and_then(word)
    }

    /// Every name that a pointer can be given for, with what it means.
    pub fn meanings() -> impl Iterator<Item = (&'static str, &'static str)> {
        NAMES.iter().copied().chain(NUMBERS.iter().map(|number| (number.name, number.meaning)))
    }

    /// Every name that a pointer can be given for.
    pub fn names() -> impl Iterator<Item = &'static str> {
        Self::meanings().map(|(name, _)| name)
    }

    /// `None`: no pointer is configured. `Some(None)`: one is, and nothing stands there.
    pub(super) fn point<'a>(&self, name: &str, body: &'a Value) -> Option<Option<&'a Value>> {
        self.pointers.get(name).map(|pointer| body.pointer(pointer))
    }
}

/// Everything but the numbers.
const NAMES: &[(&str, &str)] = &[
    ("status", "What the answer says as a whole: a word or true/false."),
    ("alive", "Whether its loop lives."),
    ("last_heartbeat", "When its loop last beat: ISO 8601, or seconds or milliseconds since 1970."),
    ("last_activity", "When it last worked: an old one is an idle worker."),
    ("task_queue", "The queue that it serves, or a list of queues."),
    ("host", "The host that it runs on."),
    ("pid", "Its process."),
    ("started_at", "When it started: tells one incarnation from the next."),
    ("build_id", "The version that runs."),
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
    fn find(&self, names: &[impl AsRef<str>]) -> Option<&'a Value> {
        std::iter::once(&self.top)
            .chain(&self.inside)
            .find_map(|level| names.iter().find_map(|name| level.get(name.as_ref()).copied()))
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
        for number in NUMBERS {
            let value = match self.fields.point(number.name, self.body) {
                Some(None) => {
                    self.invalid = true;
                    continue;
                }
                Some(found) => found,
                None => self.find(&number.names().map(|name| name.replace('_', "")).collect::<Vec<_>>()),
            };
            self.invalid |= value.is_some_and(|value| !number.take(value, &mut numbers));
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
