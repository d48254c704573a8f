//! Holds a tree against the table: every unknown key, missing key and wrong value becomes a mistake, and reading goes on.

use std::path::{Path, PathBuf};
use std::time::Duration;

use saphyr::Scalar;
use url::Url;

use super::Environment;
use super::keys::{Absent, FIELD_NAMES, Group, KEYS, Kind};
use super::mistake::{Mistake, Place};
use super::quantity::{self, SpanError, show_span};
use super::section::{Field, Section, Value};
use super::tree::{Data, Key as NodeKey, Node, quoted};

/// Words in a key that say: its value is a secret.
const SECRET_WORDS: [&str; 8] =
    ["password", "passwd", "secret", "token", "api_key", "apikey", "credential", "authorization"];
/// A label value, a word in a log line: longer names are somebody's mistake.
const LONGEST_NAME: usize = 255;

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
        let kinds = [Group::Http, Group::Temporal, Group::Redis];
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
        let value = match (kind, &node.data) {
            (Kind::Section(group), Data::Map(_)) => self.section(group, node).map(Value::Section),
            (Kind::AnySource, Data::Map(_)) => self.section(source_group(node), node).map(Value::Section),
            (Kind::List(kind), Data::List(items)) => Some(Value::List(self.items(key, *kind, items))),
            (Kind::Limits(kind), Data::Map(entries)) => Some(self.limits(key, *kind, node, entries)),
            (Kind::Secrets, Data::Map(entries)) => Some(self.secrets(key, entries)),
            (Kind::Fields, Data::Map(entries)) => Some(self.pointers(entries)),
            (Kind::Section(_) | Kind::AnySource | Kind::Limits(_) | Kind::Secrets | Kind::Fields, _) => {
                return self.wrong(key, kind, "a mapping", node);
            }
            (Kind::List(_), _) => return self.wrong(key, kind, "a list", node),
            (_, Data::Scalar { .. }) => return self.scalar(key, kind, node),
            _ => {
                let says = kind.says();
                return self.wrong(key, kind, &says, node);
            }
        };
        value
    }

    fn wrong<T>(&mut self, key: &str, kind: Kind, wanted: &str, node: &Node) -> Option<T> {
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
        let names: Vec<&str> = FIELD_NAMES.iter().map(|(name, _)| *name).collect();
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
                        "begin with / and put / between the steps, such as /metrics/jobs; ~ is ~0, / in a name is ~1",
                    );
                }
            } else {
                let reason = format!("\"{}\" must be a JSON pointer, not {}", name.name, node.shape());
                self.say(node.place.clone(), reason, Kind::Fields.example());
            }
        }
        Value::Entries(read)
    }

    fn scalar(&mut self, key: &str, kind: Kind, node: &Node) -> Option<Value> {
        let Some(scalar) = node.scalar() else { return self.wrong(key, kind, &kind.says(), node) };
        let written = node.written();
        if matches!(scalar, Scalar::Null) {
            return self.wrong(key, kind, &kind.says(), node);
        }
        match kind {
            Kind::Switch => match scalar {
                Scalar::Boolean(on) => Some(Value::Switch(on)),
                _ => self.odd(key, kind, node),
            },
            Kind::Whole { least, most } => match scalar {
                Scalar::Integer(number) => self.whole(key, kind, node, number, least..=most),
                _ => self.odd(key, kind, node),
            },
            Kind::Number { least, most } => match number(&scalar) {
                Some(number) if (least..=most).contains(&number) => Some(Value::Number(number)),
                Some(_) => self.out_of_range(key, kind, node),
                None => self.odd(key, kind, node),
            },
            Kind::Ratio => match number(&scalar).or_else(|| quantity::ratio(written)) {
                Some(ratio) if (0.0..=1.0).contains(&ratio) => Some(Value::Number(ratio)),
                Some(ratio) if (1.0..=100.0).contains(&ratio) && !written.ends_with('%') => {
                    let reason = format!("\"{key}\" is {written}, and a ratio lies between 0 and 1");
                    self.say(node.place.clone(), reason, format!("write {written}% if you mean percent"));
                    None
                }
                Some(_) => self.out_of_range(key, kind, node),
                None => self.odd(key, kind, node),
            },
            Kind::Span { least, why } => self.span(key, kind, node, least, why),
            Kind::Size { least, most } => match quantity::size(written) {
                Some(size) if (least..=most).contains(&size) => Some(Value::Whole(size)),
                Some(_) => {
                    let reason = format!("\"{key}\" is {written}, which is impossible");
                    let (least, most) = (quantity::show_size(least), quantity::show_size(most));
                    self.say(node.place.clone(), reason, format!("write a size from {least} to {most}"));
                    None
                }
                None => self.odd(key, kind, node),
            },
            _ => match scalar {
                Scalar::String(text) => self.text(key, kind, node.place.clone(), text.trim()),
                _ => self.wrong(key, kind, &kind.says(), node),
            },
        }
    }

    /// A scalar of the wrong type where no secret can belong, so that it may be shown.
    fn odd<T>(&mut self, key: &str, kind: Kind, node: &Node) -> Option<T> {
        let reason = format!("\"{key}\" must be {}, not {}", article(&kind.says()), quoted(node.written()));
        self.say(node.place.clone(), reason, kind.example());
        None
    }

    fn out_of_range<T>(&mut self, key: &str, kind: Kind, node: &Node) -> Option<T> {
        self.say(node.place.clone(), format!("\"{key}\" is {}, which is impossible", node.written()), kind.example());
        None
    }

    fn whole(
        &mut self,
        key: &str,
        kind: Kind,
        node: &Node,
        number: i64,
        range: std::ops::RangeInclusive<u64>,
    ) -> Option<Value> {
        match u64::try_from(number) {
            Ok(number) if range.contains(&number) => Some(Value::Whole(number)),
            _ => self.out_of_range(key, kind, node),
        }
    }

    fn span(&mut self, key: &str, kind: Kind, node: &Node, least: Duration, why: &str) -> Option<Value> {
        let written = node.written();
        let (reason, hint) = match quantity::span(written) {
            Ok(span) if span >= least => return Some(Value::Span(span)),
            Ok(span) if span.is_zero() => (
                format!("\"{key}\" is zero, which is impossible"),
                format!("write {} or more: {why}", show_span(least)),
            ),
            Ok(span) => (
                format!("\"{key}\" is {}, shorter than {}", show_span(span), show_span(least)),
                format!("write {} or more: {why}", show_span(least)),
            ),
            Err(SpanError::Negative) => {
                (format!("\"{key}\" is {written}, and time does not run backwards"), kind.example())
            }
            Err(SpanError::TooLong) => (
                format!("\"{key}\" is {written}, longer than a year"),
                format!("write {} or less", show_span(quantity::LONGEST)),
            ),
            Err(SpanError::NoUnit) if written.bytes().all(|byte| byte.is_ascii_digit()) => {
                (format!("\"{key}\" is {written} without a unit"), format!("write {written}s if you mean seconds"))
            }
            Err(SpanError::NoUnit | SpanError::Malformed) => return self.odd(key, kind, node),
        };
        self.say(node.place.clone(), reason, hint);
        None
    }

    /// Text of every kind. Values are repeated only where no secret can hide.
    pub(super) fn text(&mut self, key: &str, kind: Kind, place: Place, text: &str) -> Option<Value> {
        let fine = Some(Value::Text(text.to_owned()));
        let wrong: (String, String) = match kind {
            _ if text.is_empty() => (format!("\"{key}\" is empty"), kind.example()),
            Kind::Name if text.chars().count() > LONGEST_NAME || text.chars().any(char::is_control) => (
                format!("\"{key}\" cannot be a label"),
                format!("write at most {LONGEST_NAME} characters without line ends"),
            ),
            Kind::Choice(words) if !words.contains(&text) => {
                let hint = nearest(&text.to_lowercase(), words)
                    .map_or_else(|| kind.example(), |near| format!("did you mean \"{near}\"?"));
                (format!("\"{key}\" is {}, which is none of {}", quoted(text), words.join(", ")), hint)
            }
            Kind::HostPort => match host_port(text) {
                Ok(()) => return fine,
                Err(reason) => (format!("\"{key}\" {reason}"), kind.example()),
            },
            Kind::HttpUrl => return self.url(key, kind, place, text, &["http", "https"]),
            Kind::RedisUrl => return self.url(key, kind, place, text, &["redis", "rediss"]),
            Kind::UrlPath if !text.starts_with('/') || text.contains(['#', ' ']) => {
                (format!("\"{key}\" is not a path of a URL"), kind.example())
            }
            Kind::UrlPath if query_secret(text.split_once('?').map_or("", |(_, query)| query)) => {
                (format!("\"{key}\" holds a secret in clear"), SECRET_IN_QUERY.to_owned())
            }
            Kind::Label if !is_identifier(text) => {
                (format!("\"{key}\" is {}, which is not a label name", quoted(text)), kind.example())
            }
            Kind::Pattern => match text.matches("{id}").count() {
                1 if text == "{id}" => (
                    format!("\"{key}\" would take every key of the database for a worker"),
                    "put something fixed around {id}, such as worker:{id}:heartbeat".to_owned(),
                ),
                1 => return fine,
                count => (format!("\"{key}\" has {{id}} {count} times instead of once"), kind.example()),
            },
            Kind::Glob if ![".json", ".yml", ".yaml"].iter().any(|end| text.ends_with(end)) => {
                (format!("\"{key}\" has {}, which ends in neither .json, .yml nor .yaml", quoted(text)), kind.example())
            }
            Kind::Glob if text.rsplit_once('/').is_some_and(|(folder, _)| folder.contains(['*', '?', '['])) => (
                format!("\"{key}\" has {}, with a wildcard in a folder's name", quoted(text)),
                "wildcards belong into the last part of the path".to_owned(),
            ),
            Kind::File => match self.unreadable(kind, text) {
                None => return fine,
                Some(why) => (format!("cannot read {} of \"{key}\": {why}", quoted(text)), self.where_paths_start()),
            },
            Kind::SecretFile => match self.unreadable(kind, text) {
                None => return fine,
                // The path is not repeated: people write the secret itself here.
                Some(why) => {
                    let hint = format!("this key takes the path of a file; {}", self.where_paths_start());
                    (format!("cannot read the file of \"{key}\": {why}"), hint)
                }
            },
            Kind::SecretEnv if !is_identifier(text) => {
                (format!("\"{key}\" is not the name of an environment variable"), kind.example())
            }
            Kind::SecretEnv => {
                let state = match self.env.variable(text) {
                    Some(value) if !value.is_empty() => return fine,
                    Some(_) => "is empty",
                    None => "is not set",
                };
                // Repeated only when it looks like a variable, for the same reason.
                if text.chars().any(|c| c.is_ascii_lowercase()) {
                    let hint = "this key takes the name of a variable, such as API_KEY, and not the secret itself";
                    (format!("the environment variable of \"{key}\" {state}"), hint.to_owned())
                } else {
                    (
                        format!("environment variable {text} {state}"),
                        format!("set {text} where the exporter starts, or use the `_file` form of this key"),
                    )
                }
            }
            _ => return fine,
        };
        self.say(place, wrong.0, wrong.1);
        None
    }

    fn url(&mut self, key: &str, kind: Kind, place: Place, text: &str, schemes: &[&str]) -> Option<Value> {
        let (reason, hint) = match Url::parse(text) {
            Err(error) => (format!("\"{key}\" is not a URL: {error}"), kind.example()),
            Ok(url) if !url.username().is_empty() || url.password().is_some() => {
                let into = if kind == Kind::RedisUrl { "`username:`" } else { "`basic_auth:` with `username:`" };
                (
                    format!("\"{key}\" holds credentials in clear"),
                    format!("take user:password@ out of it; write {into} and `password_file:` or `password_env:`"),
                )
            }
            // `host:8080` parses as a URL of scheme `host`.
            Ok(url) if !schemes.contains(&url.scheme()) => {
                (format!("\"{key}\" has a scheme other than {}", schemes.join(" and ")), kind.example())
            }
            Ok(url) if url.host_str().is_none_or(str::is_empty) => (format!("\"{key}\" has no host"), kind.example()),
            Ok(url) if url.port() == Some(0) => (format!("\"{key}\" has port 0"), kind.example()),
            Ok(url) if query_secret(url.query().unwrap_or_default()) => {
                (format!("\"{key}\" holds a secret in clear"), SECRET_IN_QUERY.to_owned())
            }
            Ok(url) if kind == Kind::RedisUrl && !is_database(url.path()) => {
                (format!("\"{key}\" has a path that is not the number of a database"), kind.example())
            }
            Ok(url) => return Some(Value::Url(url)),
        };
        self.say(place, reason, hint);
        None
    }

    /// Where a path of the file leads.
    pub(super) fn path(&self, text: &str) -> PathBuf {
        self.base.join(text)
    }

    fn where_paths_start(&self) -> String {
        if self.base.as_os_str().is_empty() {
            "relative paths start at the working directory".to_owned()
        } else {
            format!("relative paths start at the folder of the file, {}", self.base.display())
        }
    }

    fn unreadable(&self, kind: Kind, text: &str) -> Option<String> {
        let path = self.path(text);
        if path.is_dir() {
            return Some("it is a folder".to_owned());
        }
        match std::fs::read(&path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Some("there is no such file".to_owned()),
            Err(error) => Some(error.kind().to_string()),
            Ok(content) if content.iter().all(u8::is_ascii_whitespace) => Some("it is empty".to_owned()),
            Ok(content) if kind == Kind::SecretFile && std::str::from_utf8(&content).is_err() => {
                Some("it is not text".to_owned())
            }
            Ok(_) => None,
        }
    }
}

const SECRET_IN_QUERY: &str = "send it as a header: bearer_token_file, or headers with {file: PATH} or {env: VARIABLE}";

/// Which keys a source has. Without a kind that is known: those of all, so that only the kind is at fault.
fn source_group(node: &Node) -> Group {
    match node.entry("kind").map(Node::written) {
        Some("http") => Group::Http,
        Some("temporal") => Group::Temporal,
        Some("redis") => Group::Redis,
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

fn article(says: &str) -> String {
    let bare = says.starts_with(['`', 'a', 't']) && !says.starts_with("ratio") || says.starts_with("a ");
    if bare || says.starts_with("bytes") {
        says.to_owned()
    } else if says.starts_with(['e', 'i', 'o']) {
        format!("an {says}")
    } else {
        format!("a {says}")
    }
}

#[expect(clippy::cast_precision_loss, reason = "numbers of a configuration are far below 2^53")]
fn number(scalar: &Scalar<'_>) -> Option<f64> {
    match scalar {
        Scalar::Integer(number) => Some(*number as f64),
        Scalar::FloatingPoint(number) => Some(number.into_inner()),
        _ => None,
    }
}

fn host_port(text: &str) -> Result<(), &'static str> {
    if text.contains("://") {
        return Err("has a scheme in front");
    }
    if text.contains(['@', '/', ' ', '?', '#']) {
        return Err("is not host:port");
    }
    let Some((host, port)) = text.rsplit_once(':') else { return Err("has no port") };
    let bracketed = host.starts_with('[') && host.ends_with(']');
    if host.is_empty() || (host.contains(':') && !bracketed) {
        return Err("is not host:port");
    }
    match port.parse::<u16>() {
        Ok(1..) => Ok(()),
        _ => Err("has a port outside 1 to 65535"),
    }
}

fn is_header(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte))
}

/// The name of a Prometheus label or of an environment variable: the same rule for both.
fn is_identifier(name: &str) -> bool {
    !name.starts_with(|c: char| c.is_ascii_digit())
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

fn is_database(path: &str) -> bool {
    let number = path.strip_prefix('/').unwrap_or(path);
    number.is_empty() || number.parse::<u16>().is_ok()
}

fn is_pointer(text: &str) -> bool {
    text.starts_with('/') && text.split('~').skip(1).all(|rest| rest.starts_with(['0', '1']))
}

fn query_secret(query: &str) -> bool {
    url::form_urlencoded::parse(query.as_bytes()).any(|(name, _)| {
        let name = name.to_lowercase();
        SECRET_WORDS.iter().any(|word| name.contains(word)) || name == "key"
    })
}
