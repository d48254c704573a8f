//! Holds a tree against the table: unknown and missing keys and wrong values become mistakes, and reading goes on.

use std::path::Path;

use saphyr::Scalar;
use verdict::read::health::Fields;

use super::Environment;
use super::keys::{Absent, Group, KEYS, Kind};
use super::mistake::{Mistake, Place};
use super::section::{Field, Section, Value};
use super::tree::{Data, Key as NodeKey, Node, quoted};

/// Words in a key that say: its value is a secret.
pub(super) const SECRET_WORDS: [&str; 8] =
    ["password", "passwd", "secret", "token", "api_key", "apikey", "credential", "authorization"];

/// What reading needs of the world, and what it found to be wrong.
pub(super) struct Reader<'a> {
    pub(super) env: &'a dyn Environment,
    /// Relative paths start here: the folder of the file.
    pub(super) base: &'a Path,
    pub(super) mistakes: Vec<Mistake>,
}

impl Section {
    /// Every default of the table.
    pub(super) fn defaults(group: Group) -> Self {
        let mut reader = Reader { env: &|_: &str| None, base: Path::new(""), mistakes: Vec::new() };
        let mut section = Self::new(group, Place::File);
        for key in group.keys() {
            let Some(yaml) = key.default() else { continue };
            let node = super::tree::read(yaml, &mut reader.mistakes);
            let value = node.and_then(|node| reader.value(key.name, key.kind, &node));
            debug_assert!(reader.mistakes.is_empty(), "default of {}: {:?}", key.name, reader.mistakes);
            if let Some(value) = value {
                section.fields.insert(key.name, Field { place: Place::File, value });
            }
        }
        section
    }
}

impl Reader<'_> {
    pub(super) fn say(&mut self, place: Place, reason: impl Into<String>, hint: impl Into<String>) {
        self.mistakes.push(Mistake { place, reason: reason.into(), hint: hint.into() });
    }

    /// Reads a mapping against the keys of `group`.
    pub(super) fn section(&mut self, group: Group, node: &Node) -> Option<Section> {
        let Data::Map(entries) = &node.data else { return None };
        let mut section = Section::new(group, node.place.clone());
        for (name, node) in entries {
            match group.key(&name.name) {
                Some(key) => {
                    if let Some(value) = self.value(key.name, key.kind, node) {
                        section.fields.insert(key.name, Field { place: node.place.clone(), value });
                    } else {
                        section.faulty.push(name.name.clone());
                    }
                }
                None => {
                    self.unknown(group, name);
                    section.faulty.extend(secret_stem(group, &name.name).map(|stem| format!("{stem}_file")));
                }
            }
        }
        for key in group.keys().filter(|key| key.absent == Absent::Required && node.entry(key.name).is_none()) {
            self.say(
                node.place.clone(),
                format!("{} needs the key \"{}\"", group.title(), key.name),
                format!("add `{}:`. {}", key.name, key.meaning),
            );
        }
        if group == Group::Tls {
            self.certificate_with_key(node);
        }
        Some(section)
    }

    fn certificate_with_key(&mut self, tls: &Node) {
        for (present, absent) in [("cert_file", "key_file"), ("key_file", "cert_file")] {
            if let (Some(present_at), None) = (tls.entry(present), tls.entry(absent)) {
                let reason = format!("\"{present}\" without \"{absent}\"");
                self.say(present_at.place.clone(), reason, format!("add `{absent}:`"));
            }
        }
    }

    fn unknown(&mut self, group: Group, key: &NodeKey) {
        let name = key.name.as_str();
        let lower = name.to_lowercase();
        let kinds = [
            Group::Http,
            Group::Grpc,
            Group::Temporal,
            Group::Redis,
            Group::Rq,
            Group::Sidekiq,
            Group::Dramatiq,
            Group::Celery,
            Group::Process,
            Group::Metrics,
            Group::HeartbeatFiles,
        ];
        if group == Group::Source && kinds.iter().any(|kind| kind.key(name).is_some()) {
            // Its kind is missing or unknown; that is said, and what belongs to which kind cannot be.
            return;
        }
        if let Some(stem) = secret_stem(group, &lower) {
            return self.say(
                key.place.clone(),
                format!("{} holds a secret in clear", quoted(name)),
                format!("write {stem}_file: PATH or {stem}_env: VARIABLE instead"),
            );
        }
        let here: Vec<&str> = group.keys().map(|key| key.name).collect();
        let elsewhere = || KEYS.iter().find(|key| key.name == name).map(|key| key.group.title());
        let hint = if name == "<<" {
            "merge keys are not supported: write the keys out, or use `defaults`".to_owned()
        } else if SECRET_WORDS.iter().any(|word| lower.contains(word)) {
            "secrets go into keys that end in _file or _env".to_owned()
        } else if let Some(title) = elsewhere() {
            format!("that is a key of {title}; {} has the keys {}", group.title(), here.join(", "))
        } else if let Some(near) = nearest(&lower, &here) {
            format!("did you mean \"{near}\"?")
        } else {
            format!("{} has the keys {}", group.title(), here.join(", "))
        };
        self.say(key.place.clone(), format!("unknown key {}", quoted(name)), hint);
    }

    /// Reads one value. `None` when it is wrong, which has then been said.
    pub(super) fn value(&mut self, key: &str, kind: Kind, node: &Node) -> Option<Value> {
        match (kind, &node.data) {
            (Kind::Section(group), Data::Map(_)) => self.section(group, node).map(Value::Section),
            (Kind::AnySource, Data::Map(_)) => self.section(source_group(node), node).map(Value::Section),
            (Kind::List(kind), Data::List(items)) => Some(Value::List(self.items(key, *kind, items))),
            (Kind::Limits(kind), Data::Map(entries)) => Some(self.limits(key, *kind, node, entries)),
            (Kind::Secrets, Data::Map(entries)) => Some(self.secrets(key, entries)),
            (Kind::Fields, Data::Map(entries)) => Some(self.pointers(entries)),
            (Kind::Users, Data::Map(entries)) => Some(self.users(entries)),
            (Kind::ResponseHeaders, Data::Map(entries)) => Some(self.response_headers(entries)),
            (
                Kind::Section(_)
                | Kind::AnySource
                | Kind::Limits(_)
                | Kind::Secrets
                | Kind::Fields
                | Kind::Users
                | Kind::ResponseHeaders,
                _,
            ) => self.wrong(key, kind, "a mapping", node),
            (Kind::List(_), _) => self.wrong(key, kind, "a list", node),
            (_, Data::Scalar { .. }) => self.scalar(key, kind, node),
            _ => self.wrong(key, kind, &kind.says(), node),
        }
    }

    pub(super) fn wrong<T>(&mut self, key: &str, kind: Kind, wanted: &str, node: &Node) -> Option<T> {
        self.say(
            node.place.clone(),
            format!("\"{key}\" must be {}, not {}", article(wanted), node.shape()),
            kind.example(),
        );
        None
    }

    fn items(&mut self, key: &str, kind: Kind, items: &[Node]) -> Vec<Field> {
        let read = |node: &Node| {
            let value = self.value(key, kind, node)?;
            Some(Field { place: node.place.clone(), value })
        };
        items.iter().filter_map(read).collect()
    }

    fn limits(&mut self, key: &str, kind: Kind, node: &Node, entries: &[(NodeKey, Node)]) -> Value {
        for (name, _) in entries {
            if !["warning", "critical"].contains(&name.name.as_str()) {
                let reason = format!("unknown key {}", quoted(&name.name));
                self.say(name.place.clone(), reason, format!("\"{key}\" has the keys warning and critical"));
            }
        }
        let mut half = |name: &str| match self.value(&format!("{key}.{name}"), kind, node.entry(name)?)? {
            Value::Number(number) => Some(number),
            Value::Span(span) => Some(span.as_secs_f64()),
            _ => None,
        };
        Value::Limits { warning: half("warning"), critical: half("critical") }
    }

    /// Names to references; a name is a header's or that of gRPC metadata.
    fn secrets(&mut self, key: &str, entries: &[(NodeKey, Node)]) -> Value {
        let mut read = Vec::new();
        for (name, node) in entries {
            if !is_header(&name.name) {
                // Not repeated: a whole `Name: value` in quotes ends up here.
                self.say(
                    name.place.clone(),
                    format!("a name under \"{key}\" is not a valid header name"),
                    "a name has letters, digits and -, such as X-Tenant; its value is {file: PATH} or {env: VARIABLE}",
                );
            } else if matches!(node.data, Data::Scalar { .. }) {
                self.say(
                    node.place.clone(),
                    format!("{} holds a secret in clear", quoted(&name.name)),
                    format!("write {}: {{file: PATH}} or {{env: VARIABLE}}", name.name),
                );
            } else if let Some(value) = self.value(&name.name, Kind::Section(Group::SecretRef), node) {
                read.push((name.name.clone(), Field { place: node.place.clone(), value }));
            }
        }
        Value::Entries(read)
    }

    fn pointers(&mut self, entries: &[(NodeKey, Node)]) -> Value {
        let names: Vec<&str> = Fields::names().collect();
        let mut read = Vec::new();
        for (name, node) in entries {
            if !names.contains(&name.name.as_str()) {
                let hint = nearest(&name.name.to_lowercase(), &names).map_or_else(
                    || format!("the fields are {}", names.join(", ")),
                    |near| format!("did you mean \"{near}\"?"),
                );
                self.say(name.place.clone(), format!("unknown field {}", quoted(&name.name)), hint);
            } else if let Some(Scalar::String(pointer)) = node.scalar() {
                if is_pointer(&pointer) {
                    let value = Value::Text(pointer.into_owned());
                    read.push((name.name.clone(), Field { place: node.place.clone(), value }));
                } else {
                    self.say(
                        node.place.clone(),
                        format!("{} is not a JSON pointer", quoted(&pointer)),
                        Kind::Pointer.example(),
                    );
                }
            } else {
                let reason = format!("\"{}\" must be a JSON pointer, not {}", name.name, node.shape());
                self.say(node.place.clone(), reason, Kind::Fields.example());
            }
        }
        Value::Entries(read)
    }
}

/// Which keys a source has. Without a kind that is known: those of all, so that only the kind is at fault.
fn source_group(node: &Node) -> Group {
    match node.entry("kind").map(Node::written) {
        Some("http") => Group::Http,
        Some("grpc") => Group::Grpc,
        Some("temporal") => Group::Temporal,
        Some("redis") => Group::Redis,
        Some("celery") => Group::Celery,
        Some("process") => Group::Process,
        Some("rq") => Group::Rq,
        Some("sidekiq") => Group::Sidekiq,
        Some("dramatiq") => Group::Dramatiq,
        Some("metrics") => Group::Metrics,
        Some("file") => Group::HeartbeatFiles,
        _ => Group::Source,
    }
}

/// `password` where there is a `password_file`.
fn secret_stem(group: Group, name: &str) -> Option<&'static str> {
    let stems = || group.keys().filter_map(|key| key.name.strip_suffix("_env"));
    let stem = stems().find(|stem| *stem == name || name.strip_suffix("_value") == Some(stem));
    // `token` for `bearer_token`, `auth_token` for `bearer_token`, `apikey` for `api_key`.
    stem.or_else(|| {
        let word = SECRET_WORDS.iter().find(|word| name.replace('-', "_").contains(**word))?;
        if group.key(name).is_some() || name.ends_with("_file") || name.ends_with("_env") {
            return None;
        }
        stems().find(|stem| {
            stem.contains(word)
                || stem.replace('_', "") == **word
                || (*word == "authorization" && *stem == "bearer_token")
        })
    })
}

/// The candidate that was most likely meant.
pub(super) fn nearest<'c>(name: &str, candidates: &[&'c str]) -> Option<&'c str> {
    candidates
        .iter()
        .map(|candidate| (strsim::jaro_winkler(name, candidate), *candidate))
        .filter(|(likeness, _)| *likeness > 0.84)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, candidate)| candidate)
}

/// `a number`, `an environment variable`; nothing before text, a word in code, or what has its article.
pub(super) fn article(says: &str) -> String {
    match says.split(' ').next().unwrap_or_default() {
        "a" | "text" => says.to_owned(),
        word if word.starts_with('`') => says.to_owned(),
        "environment" => format!("an {says}"),
        _ => format!("a {says}"),
    }
}

fn is_header(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte))
}

pub(super) fn is_pointer(text: &str) -> bool {
    text.starts_with('/') && text.split('~').skip(1).all(|rest| rest.starts_with(['0', '1']))
}
