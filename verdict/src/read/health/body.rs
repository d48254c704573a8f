//! What a JSON body says of the worker as a whole and of its parts.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::words::{self, Phase};
use crate::evidence::Said;
use crate::read::fold;

/// Names under which the state of the whole stands, folded, in order.
const STATUS: &[&str] = &[
    "status",
    "state",
    "outcome",
    "health",
    "healthy",
    "ok",
    "ready",
    "isalive",
    "alive",
    "live",
    "ishealthy",
    "isready",
];

/// Those that speak of the loop and not only of the web server.
const ALIVE: &[&str] = &["alive", "isalive", "live"];

/// Names under which parts stand, folded: each entry with a state is one.
const CONTAINERS: &[&str] = &["checks", "components", "entries", "results", "services", "dependencies"];

/// The same, but these hold other things as well (a disk's size, a build's date), so less in them is taken for a part.
const LOOSE_CONTAINERS: &[&str] = &["details", "info", "error", "data"];

/// Parts that people write beside the state without any container.
const BESIDE: &[&str] = &[
    "worker",
    "workers",
    "consumer",
    "consumers",
    "scheduler",
    "queue",
    "broker",
    "redis",
    "rabbitmq",
    "kafka",
    "temporal",
    "db",
    "database",
    "postgres",
    "mysql",
    "mongo",
    "mongodb",
    "cache",
    "storage",
];

/// Names that an entry of a list goes by.
const NAMES: &[&str] = &["name", "CheckID", "id", "componentId", "key", "component"];

/// Longest name of a part that is kept, in characters.
const LONGEST_NAME: usize = 64;

/// What was found.
#[derive(Debug, Default)]
pub(super) struct Claim {
    /// The worst of what stands under the names of the whole.
    pub(super) said: Option<Said>,
    /// Something stood there, and no word of it is known.
    pub(super) unrecognised: bool,
    /// Something of the wrong type stood there.
    pub(super) invalid: bool,
    /// `alive`, where it is given.
    pub(super) alive: Option<bool>,
    /// It is starting.
    pub(super) starting: bool,
    /// It said goodbye.
    pub(super) goodbye: bool,
    /// Every part with a state; of one name the worst.
    pub(super) parts: BTreeMap<String, Said>,
    /// The body is a list of Consul checks, where 429 is how a warning is said.
    pub(super) consul: bool,
}

/// What the whole body says.
pub(super) fn claim(body: &Value) -> Claim {
    let mut claim = Claim::default();
    match body {
        Value::Object(map) => {
            claim.object(map);
            if claim.said.is_none() && !claim.unrecognised {
                claim.flat(map);
            }
        }
        Value::Array(items) => claim.list(items),
        Value::Bool(_) | Value::String(_) => claim.whole("status", body),
        Value::Null | Value::Number(_) => claim.unrecognised = true,
    }
    claim
}

/// What one value says, by a pointer of the configuration.
pub(super) fn pointed(value: Option<&Value>, claim: &mut Claim) {
    claim.said = None;
    claim.unrecognised = false;
    match value {
        Some(value) => claim.whole("status", value),
        None => (claim.unrecognised, claim.invalid) = (true, true),
    }
}

/// The alive flag, by a pointer of the configuration.
pub(super) fn pointed_alive(value: Option<&Value>, claim: &mut Claim) {
    claim.alive = None;
    match value {
        Some(value) => claim.whole("alive", value),
        None => claim.invalid = true,
    }
}

impl Claim {
    /// Everything that an object says of what it describes.
    fn object(&mut self, map: &Map<String, Value>) {
        for (key, value) in map {
            let key = fold(key);
            if STATUS.contains(&key.as_str()) {
                self.whole(&key, value);
            }
        }
        for (key, value) in map {
            let folded = fold(key);
            match folded.as_str() {
                "failures" => self.failures(value),
                name if CONTAINERS.contains(&name) => self.container(value, name == "checks", ""),
                name if LOOSE_CONTAINERS.contains(&name) => self.loose(value, ""),
                name if BESIDE.contains(&name) => self.loose_part(key, value, ""),
                _ => {}
            }
        }
        // One unknown word beside a known one is not worth a word.
        self.unrecognised &= self.said.is_none();
    }

    /// What stands under one of the names of the whole.
    fn whole(&mut self, key: &str, value: &Value) {
        let said = match value {
            Value::Bool(good) => Some(if *good { Said::Up } else { Said::Down }),
            Value::String(word) => match fold(word).as_str() {
                // Docker: no check is declared, so nothing is said.
                "none" => return,
                // Docker: a check is declared and never ran.
                "" => Some(Said::Transient),
                _ => words::leading(word).map(|meaning| {
                    self.starting |= meaning.phase == Phase::Starting;
                    self.goodbye |= meaning.phase == Phase::Goodbye;
                    meaning.said
                }),
            },
            Value::Number(number) => match (key, number.as_u64()) {
                ("status" | "state", Some(200..=299)) => Some(Said::Up),
                ("status" | "state", Some(500..=599)) => Some(Said::Down),
                ("status" | "state" | "outcome" | "health", _) => None,
                (_, Some(1)) => Some(Said::Up),
                (_, Some(0)) => Some(Said::Down),
                // `ready: 3` counts something.
                _ => return,
            },
            Value::Object(inner) if matches!(key, "status" | "state" | "health") => {
                let mut nested = Self::default();
                nested.object(inner);
                self.absorb(nested);
                return;
            }
            Value::Null | Value::Array(_) | Value::Object(_) => None,
        };
        if said.is_none() {
            self.unrecognised = true;
            self.invalid |= !value.is_string();
        }
        if ALIVE.contains(&key) {
            self.alive = match said {
                Some(Said::Up) => Some(self.alive.unwrap_or(true)),
                Some(Said::Down) => Some(false),
                _ => self.alive,
            };
        }
        self.said = self.said.max(said);
    }

    fn absorb(&mut self, nested: Self) {
        self.said = self.said.max(nested.said);
        self.unrecognised |= nested.unrecognised;
        self.invalid |= nested.invalid;
        self.starting |= nested.starting;
        self.goodbye |= nested.goodbye;
        self.alive = match (self.alive, nested.alive) {
            (Some(a), Some(b)) => Some(a && b),
            (a, b) => a.or(b),
        };
        for (name, said) in nested.parts {
            self.part(name, said);
        }
    }

    /// A list at the top: Consul's services and checks, `docker inspect`.
    fn list(&mut self, items: &[Value]) {
        for (at, item) in items.iter().enumerate() {
            let Value::Object(map) = item else {
                self.invalid = true;
                continue;
            };
            self.consul |= map.contains_key("CheckID") || map.contains_key("Checks");
            if map.contains_key("CheckID") {
                self.child(&name_of(map, at), item, "");
            } else {
                let mut nested = Self::default();
                nested.object(map);
                self.absorb(nested);
            }
        }
        // An empty list of checks is not a healthy worker: for Consul it is a service that nobody knows.
        self.unrecognised |= self.said.is_none() && self.parts.is_empty();
    }

    /// A container whose every entry is a part.
    fn container(&mut self, value: &Value, must_be_one: bool, under: &str) {
        match value {
            Value::Object(map) => map.iter().for_each(|(name, part)| self.child(name, part, under)),
            Value::Array(items) => {
                for (at, part) in items.iter().enumerate() {
                    match part {
                        Value::Object(map) => self.child(&name_of(map, at), part, under),
                        _ => self.invalid = true,
                    }
                }
            }
            Value::Null => {}
            _ => self.invalid |= must_be_one,
        }
    }

    /// A container that holds other things too.
    fn loose(&mut self, value: &Value, under: &str) {
        if let Value::Object(map) = value {
            map.iter().for_each(|(name, part)| self.loose_part(name, part, under));
        }
    }

    fn loose_part(&mut self, name: &str, value: &Value, under: &str) {
        match value {
            Value::Object(map) if map.keys().any(|key| STATUS.contains(&fold(key).as_str())) => {
                self.child(name, value, under);
            }
            // `db: false` beside a state is a part; `exists: false` or `last_job: "failed"` inside `details` is a detail.
            _ if !BESIDE.contains(&fold(name).as_str()) => {}
            Value::Bool(good) => self.part(format!("{under}{name}"), if *good { Said::Up } else { Said::Down }),
            // `"worker": "running"` is a part, `"worker": "mail-7"` is a name.
            Value::String(word) => {
                if let Some(meaning) = words::meaning(word) {
                    self.part(format!("{under}{name}"), meaning.said);
                }
            }
            _ => {}
        }
    }

    /// One part, with the parts inside it.
    fn child(&mut self, name: &str, value: &Value, under: &str) {
        let name = format!("{under}{}", clean(name));
        let mut inner = Self::default();
        match value {
            Value::Object(map) => {
                inner.object(map);
                if inner.unrecognised {
                    inner.said = Some(Said::Transient);
                }
            }
            // RFC health+json: one name, several measurements.
            Value::Array(items) => {
                for item in items {
                    let mut one = Self::default();
                    match item {
                        Value::Object(map) => one.object(map),
                        _ => one.invalid = true,
                    }
                    inner.absorb(one);
                }
            }
            Value::Bool(_) => inner.whole("status", value),
            // Free text under a part's name (hellofresh, heptio) is no fault of type.
            Value::String(word) => inner.said = words::leading(word).map(|meaning| meaning.said),
            Value::Null => {}
            Value::Number(_) => inner.invalid = true,
        }
        self.invalid |= inner.invalid;
        if let Some(said) = inner.said {
            self.part(name.clone(), said);
        }
        for (below, said) in inner.parts {
            self.part(format!("{name}/{below}"), said);
        }
    }

    /// hellofresh/health-go: whatever is listed has failed, and its value is an error text.
    fn failures(&mut self, value: &Value) {
        if let Value::Object(map) = value {
            map.iter().filter(|(_, text)| !text.is_null()).for_each(|(name, _)| self.part(clean(name), Said::Down));
        }
    }

    /// A map of parts and nothing else: Dropwizard, django-health-check, heptiolabs, a Celery ping.
    fn flat(&mut self, map: &Map<String, Value>) {
        let texts = map.values().all(Value::is_string);
        let flags = map.values().all(Value::is_boolean) && map.values().any(|flag| *flag == Value::Bool(true));
        let known = map.values().any(|value| value.as_str().and_then(words::leading).is_some());
        for (name, value) in map {
            match value {
                Value::Object(_) => self.loose_part(name, value, ""),
                Value::Bool(_) if flags => self.child(name, value, ""),
                Value::String(text) => match words::leading(text) {
                    Some(meaning) => self.part(clean(name), meaning.said),
                    None if texts && (known || !is_prose(name)) && tells_of_an_error(text) => {
                        self.part(clean(name), Said::Down);
                    }
                    None => {}
                },
                _ => {}
            }
        }
    }

    fn part(&mut self, name: String, said: Said) {
        let worst = self.parts.entry(name).or_insert(said);
        *worst = (*worst).max(said);
    }
}

fn is_prose(name: &str) -> bool {
    matches!(fold(name).as_str(), "message" | "msg" | "description" | "detail" | "note")
}

/// heptiolabs/healthcheck writes the error's text and nothing else.
fn tells_of_an_error(text: &str) -> bool {
    let text = text.to_ascii_lowercase();
    ["error", "fail", "refused", "timeout", "timed out", "unreachable", "unavailable", "cannot", "unable", "exception"]
        .iter()
        .any(|word| text.contains(word))
        && !text.starts_with("no ")
}

fn name_of(map: &Map<String, Value>, at: usize) -> String {
    NAMES.iter().find_map(|key| map.get(*key)?.as_str()).map_or_else(|| format!("check {}", at + 1), clean)
}

/// A name that can be shown: bounded, and without control characters. Escaping is the business of who shows it.
fn clean(name: &str) -> String {
    name.chars().filter(|c| !c.is_control()).take(LONGEST_NAME).collect()
}
