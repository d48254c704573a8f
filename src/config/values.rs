//! Scalars against their kind: numbers, durations, addresses, files, references to secrets.
//!
//! A message repeats the value only where no secret can hide in it.

use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

use saphyr::Scalar;
use url::Url;
use verdict::read::worker_metrics::Series;

use super::keys::Kind;
use super::mistake::Place;
use super::network::Network;
use super::quantity::{self, SpanError, show_span};
use super::reader::{Reader, SECRET_WORDS, article, is_pointer, nearest};
use super::section::Value;
use super::tree::{Node, quoted};

/// A label value, a word in a log line: longer names are somebody's mistake.
const LONGEST_NAME: usize = 255;

impl Reader<'_> {
    pub(super) fn scalar(&mut self, key: &str, kind: Kind, node: &Node) -> Option<Value> {
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

    fn whole(&mut self, key: &str, kind: Kind, node: &Node, number: i64, range: RangeInclusive<u64>) -> Option<Value> {
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
            Kind::Pointer if !is_pointer(text) => {
                (format!("\"{key}\" is {}, which is not a JSON pointer", quoted(text)), kind.example())
            }
            Kind::Network if text.parse::<Network>().is_err() => {
                (format!("\"{key}\" has {}, which is not a network", quoted(text)), kind.example())
            }
            Kind::Label if !is_identifier(text) => {
                (format!("\"{key}\" is {}, which is not a label name", quoted(text)), kind.example())
            }
            Kind::Series if Series::parse(text).is_err() => {
                (format!("\"{key}\" has {}, which is not a metric name", quoted(text)), kind.example())
            }
            Kind::Pattern => match text.matches("{id}").count() {
                1 if text == "{id}" => (
                    format!("\"{key}\" would take every key of the database for a worker"),
                    "put something fixed around {id}, such as worker:{id}:heartbeat".to_owned(),
                ),
                1 => return fine,
                count => (format!("\"{key}\" has {{id}} {count} times instead of once"), kind.example()),
            },
            Kind::PathPattern => match path_pattern(text) {
                Ok(()) => return fine,
                Err(reason) => (format!("\"{key}\" has {}, {reason}", quoted(text)), kind.example()),
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

#[expect(clippy::cast_precision_loss, reason = "numbers of a configuration are far below 2^53")]
fn number(scalar: &Scalar<'_>) -> Option<f64> {
    match scalar {
        Scalar::Integer(number) => Some(*number as f64),
        Scalar::FloatingPoint(number) => Some(number.into_inner()),
        _ => None,
    }
}

fn path_pattern(text: &str) -> Result<(), &'static str> {
    let wildcards = |name: &str| name.matches("{id}").count() + name.matches('*').count();
    match text.matches("{id}").count() {
        0 => Err("which has no {id} where the worker's id stands"),
        1 if text.split('/').any(|name| wildcards(name) > 1) => Err("with two wildcards in one name"),
        1 => Ok(()),
        _ => Err("which has {id} more than once"),
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

/// The name of a Prometheus label or of an environment variable: the same rule for both.
fn is_identifier(name: &str) -> bool {
    !name.starts_with(|c: char| c.is_ascii_digit())
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

fn is_database(path: &str) -> bool {
    let number = path.strip_prefix('/').unwrap_or(path);
    number.is_empty() || number.parse::<u16>().is_ok()
}

fn query_secret(query: &str) -> bool {
    url::form_urlencoded::parse(query.as_bytes()).any(|(name, _)| {
        let name = name.to_lowercase();
        SECRET_WORDS.iter().any(|word| name.contains(word)) || name == "key"
    })
}
