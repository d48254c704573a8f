//! A mapping of the file after it was held against the table: only known keys, each of its type.

use std::collections::BTreeMap;
use std::time::Duration;

use url::Url;

use super::keys::{Absent, Group, Key, Kind};
use super::mistake::Place;

/// A value of the right type.
#[derive(Clone, Debug)]
pub(super) enum Value {
    Text(String),
    Switch(bool),
    Whole(u64),
    Number(f64),
    Span(Duration),
    Url(Url),
    /// `warning` and `critical`, as far as they are written; durations in seconds.
    Limits {
        warning: Option<f64>,
        critical: Option<f64>,
    },
    Section(Section),
    List(Vec<Field>),
    /// Free names.
    Entries(Vec<(String, Field)>),
}

/// A value and its place.
#[derive(Clone, Debug)]
pub(super) struct Field {
    pub(super) place: Place,
    pub(super) value: Value,
}

/// A mapping with known keys.
#[derive(Clone, Debug)]
pub(super) struct Section {
    pub(super) group: Group,
    pub(super) place: Place,
    pub(super) fields: BTreeMap<&'static str, Field>,
    /// Keys that are written, and wrong: nobody may say besides that they are missing.
    pub(super) faulty: Vec<String>,
}

impl Section {
    pub(super) fn new(group: Group, place: Place) -> Self {
        Self { group, place, fields: BTreeMap::new(), faulty: Vec::new() }
    }

    /// Takes from `parent` what is not written here; of limits each half.
    pub(super) fn inherit(&mut self, parent: &Self) {
        for key in self.group.keys() {
            let Some(above) = parent.fields.get(key.name) else { continue };
            match (self.fields.get_mut(key.name).map(|field| &mut field.value), &above.value) {
                (None, value) => {
                    let field = Field { place: self.place.clone(), value: value.clone() };
                    self.fields.insert(key.name, field);
                }
                (
                    Some(Value::Limits { warning, critical }),
                    Value::Limits { warning: above_warning, critical: above_critical },
                ) => {
                    *warning = warning.or(*above_warning);
                    *critical = critical.or(*above_critical);
                }
                (Some(Value::Section(own)), Value::Section(above)) => own.inherit(above),
                _ => {}
            }
        }
    }

    pub(super) fn set(&mut self, name: &'static str, value: Value) {
        let place = self.at(name);
        self.fields.insert(name, Field { place, value });
    }

    /// Where this key stands; the section's place when it is not written.
    pub(super) fn at(&self, name: &str) -> Place {
        self.fields.get(name).map_or(&self.place, |field| &field.place).clone()
    }

    /// Where the one of two keys that is written stands.
    pub(super) fn at_either(&self, one: &str, other: &str) -> Place {
        self.at(if self.has(one) { one } else { other })
    }

    pub(super) fn has(&self, name: &str) -> bool {
        self.get(name).is_some()
    }

    fn get(&self, name: &str) -> Option<&Value> {
        // A name that is not in the table would silently be nothing for ever.
        debug_assert!(self.group.key(name).is_some(), "{name} is not a key of {:?}", self.group);
        self.fields.get(name).map(|field| &field.value)
    }

    // What was missing or wrong has been said already, so that a stand-in does here: the result is thrown away.

    pub(super) fn text(&self, name: &str) -> &str {
        self.find_text(name).unwrap_or_default()
    }

    pub(super) fn find_text(&self, name: &str) -> Option<&str> {
        if let Some(Value::Text(text)) = self.get(name) { Some(text) } else { None }
    }

    pub(super) fn switch(&self, name: &str) -> bool {
        matches!(self.get(name), Some(Value::Switch(true)))
    }

    pub(super) fn whole(&self, name: &str) -> u64 {
        self.find_whole(name).unwrap_or_default()
    }

    pub(super) fn find_whole(&self, name: &str) -> Option<u64> {
        if let Some(Value::Whole(number)) = self.get(name) { Some(*number) } else { None }
    }

    pub(super) fn number(&self, name: &str) -> f64 {
        if let Some(Value::Number(number)) = self.get(name) { *number } else { 0.0 }
    }

    pub(super) fn span(&self, name: &str) -> Duration {
        self.find_span(name).unwrap_or_default()
    }

    pub(super) fn find_span(&self, name: &str) -> Option<Duration> {
        if let Some(Value::Span(span)) = self.get(name) { Some(*span) } else { None }
    }

    pub(super) fn find_url(&self, name: &str) -> Option<&Url> {
        if let Some(Value::Url(url)) = self.get(name) { Some(url) } else { None }
    }

    pub(super) fn limits(&self, name: &str) -> (f64, f64) {
        match self.get(name) {
            Some(Value::Limits { warning: Some(warning), critical: Some(critical) }) => (*warning, *critical),
            _ => (0.0, 1.0),
        }
    }

    pub(super) fn section(&self, name: &str) -> Option<&Self> {
        if let Some(Value::Section(section)) = self.get(name) { Some(section) } else { None }
    }

    pub(super) fn section_mut(&mut self, name: &str) -> Option<&mut Self> {
        match self.fields.get_mut(name) {
            Some(Field { value: Value::Section(section), .. }) => Some(section),
            _ => None,
        }
    }

    pub(super) fn list(&self, name: &str) -> &[Field] {
        if let Some(Value::List(items)) = self.get(name) { items } else { &[] }
    }

    /// The texts of a list.
    pub(super) fn texts(&self, name: &str) -> impl Iterator<Item = &str> {
        self.list(name).iter().filter_map(|item| if let Value::Text(text) = &item.value { Some(&**text) } else { None })
    }

    /// The sections of a list.
    pub(super) fn sections(&self, name: &str) -> impl Iterator<Item = &Self> {
        self.list(name).iter().filter_map(
            |item| {
                if let Value::Section(section) = &item.value { Some(section) } else { None }
            },
        )
    }

    /// See [`Self::sections`].
    pub(super) fn sections_mut(&mut self, name: &str) -> impl Iterator<Item = &mut Self> {
        let items: &mut [Field] = match self.fields.get_mut(name) {
            Some(Field { value: Value::List(items), .. }) => items,
            _ => &mut [],
        };
        items.iter_mut().filter_map(
            |item| {
                if let Value::Section(section) = &mut item.value { Some(section) } else { None }
            },
        )
    }

    pub(super) fn entries(&self, name: &str) -> &[(String, Field)] {
        if let Some(Value::Entries(entries)) = self.get(name) { entries } else { &[] }
    }
}

impl Key {
    /// The YAML of its default.
    pub(super) const fn default(&self) -> Option<&'static str> {
        if let Absent::Value(yaml) = self.absent { Some(yaml) } else { None }
    }
}

impl Kind {
    /// The type, for messages and the reference page.
    pub(super) fn says(self) -> String {
        match self {
            Self::Text | Self::Name => "text".to_owned(),
            Self::Choice(words) => format!("`{}`", words.join("` or `")),
            Self::Switch => "`true` or `false`".to_owned(),
            Self::Whole { .. } => "whole number".to_owned(),
            Self::Number { .. } => "number".to_owned(),
            Self::Ratio => "ratio".to_owned(),
            Self::Span { .. } => "duration".to_owned(),
            Self::Size { .. } => "size".to_owned(),
            Self::HostPort => "`host:port`".to_owned(),
            Self::HttpUrl | Self::RedisUrl => "URL".to_owned(),
            Self::Network => "network".to_owned(),
            Self::UrlPath => "path of a URL".to_owned(),
            Self::Pointer => "JSON pointer".to_owned(),
            Self::Label => "label name".to_owned(),
            Self::Pattern => "name with `{id}`".to_owned(),
            Self::Series => "metric name".to_owned(),
            Self::PathPattern => "path with `{id}`".to_owned(),
            Self::File | Self::SecretFile => "file".to_owned(),
            Self::Glob => "file pattern".to_owned(),
            Self::SecretEnv => "environment variable".to_owned(),
            Self::Limits(kind) => format!("`warning` and `critical`, each a {}", kind.says()),
            Self::Section(group) => format!("mapping: {}", group.title()),
            Self::AnySource => "mapping: a source".to_owned(),
            Self::List(kind) => format!("list of: {}", kind.says()),
            Self::Secrets => "mapping of names to `file` or `env`".to_owned(),
            Self::Fields => "mapping of field names to JSON pointers".to_owned(),
            Self::Users => "mapping of users to bcrypt hashes".to_owned(),
            Self::ResponseHeaders => "mapping of header names to text".to_owned(),
        }
    }

    /// What could be written, for hints.
    pub(super) fn example(self) -> String {
        match self {
            Self::Text | Self::Name => {
                "write text; put it in quotes when it looks like a number, true or null".to_owned()
            }
            Self::Choice(words) => format!("write {}", words.join(" or ")),
            Self::Switch => "write true or false".to_owned(),
            Self::Whole { least, most } => format!("write a whole number from {least} to {most}"),
            Self::Number { least, most } => format!("write a number from {least} to {most}"),
            Self::Ratio => "write a ratio from 0 to 1, such as 0.9, or a percentage, such as 90%".to_owned(),
            Self::Span { .. } => "write a duration with its unit, such as 15s, 5m or 1h30m".to_owned(),
            Self::Size { .. } => "write bytes, or a size such as 64KiB".to_owned(),
            Self::HostPort => "write host:port, such as temporal.example.com:7233, without http:// in front".to_owned(),
            Self::HttpUrl => "write the whole address, such as http://host:8080/health".to_owned(),
            Self::RedisUrl => "write redis://host:6379/0, or rediss:// for TLS".to_owned(),
            Self::Network => "write a range of addresses, such as 169.254.10.0/24, or one address".to_owned(),
            Self::UrlPath => "write a path that begins with /, such as /health".to_owned(),
            Self::Pointer => {
                "begin with / and put / between the steps, such as /metrics/jobs; ~ is ~0, / in a name is ~1".to_owned()
            }
            Self::Label => "write the name of a label, such as worker_id".to_owned(),
            Self::Pattern => "write a key such as worker:{id}:heartbeat".to_owned(),
            Self::Series => {
                "write a name such as jobs_total, or in single quotes one with labels: 'jobs_total{queue=\"mail\"}'"
                    .to_owned()
            }
            Self::PathPattern => "write a path such as /run/workers/{id}.beat".to_owned(),
            Self::File | Self::SecretFile => "write the path of a file".to_owned(),
            Self::Glob => "write a path such as targets/*.yml".to_owned(),
            Self::SecretEnv => "write the name of a variable, such as API_KEY, without $ in front".to_owned(),
            Self::Limits(_) => "write {warning: …, critical: …}, one of the two is enough".to_owned(),
            Self::Section(group) => {
                format!("it has the keys {}", group.keys().map(|key| key.name).collect::<Vec<_>>().join(", "))
            }
            Self::AnySource => "it needs at least a name and a kind".to_owned(),
            Self::List(_) => "write a list: [a, b], or one `- ` line for each entry".to_owned(),
            Self::Secrets => "write for each name {file: PATH} or {env: VARIABLE}".to_owned(),
            Self::Fields => "write for each field a JSON pointer, such as tasks_total: /metrics/jobs".to_owned(),
            Self::Users => "write for each user a bcrypt hash, as `htpasswd -nBC 10 USER` prints it".to_owned(),
            Self::ResponseHeaders => "write for each header its value, such as X-Frame-Options: deny".to_owned(),
        }
    }
}
