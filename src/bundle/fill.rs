//! Puts the labels of an alert into its runbook. A value comes from whoever named a worker, so in each place it is written
//! the way that place wants: quoted for the shell, escaped for PromQL, percent-encoded in an address; and nowhere else.

use std::fmt;

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

/// The labels that may be filled in: those that alerts carry.
pub const LABELS: &[&str] = &[
    "fleet",
    "worker",
    "source",
    "temporal_namespace",
    "task_queue",
    "task_type",
    "deployment",
    "build_id",
    "operation",
    "code",
    "instance",
    "job",
];

/// The longest value: no name in Temporal or Redis that a worker could have is longer.
const LONGEST: usize = 1000;

/// A label that cannot be filled in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Mistake {
    /// No alert has it.
    Unknown(String),
    /// Its value is too long to be one.
    TooLong(&'static str),
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unknown(name) => {
                let name: String = name.chars().filter(|c| !c.is_control()).take(60).collect();
                write!(f, "unknown label {name:?}: the labels are {}", LABELS.join(", "))
            }
            Self::TooLong(name) => write!(f, "the value of {name} is longer than {LONGEST} bytes"),
        }
    }
}

/// Values of labels.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Values(Vec<(&'static str, String)>);

impl Values {
    /// Sets one; an empty value counts as not given, as forms send it. The last one counts.
    pub fn set(&mut self, name: &str, value: &str) -> Result<(), Mistake> {
        let known =
            LABELS.iter().copied().find(|known| *known == name).ok_or_else(|| Mistake::Unknown(name.to_owned()))?;
        if value.len() > LONGEST {
            return Err(Mistake::TooLong(known));
        }
        self.0.retain(|(other, _)| *other != known);
        if !value.is_empty() {
            // A line end would end the line of a command; other control characters would steer a terminal.
            let value = value.chars().map(|c| if c.is_control() { char::REPLACEMENT_CHARACTER } else { c }).collect();
            self.0.push((known, value));
        }
        Ok(())
    }

    /// The value of a label.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(known, _)| *known == name).map(|(_, value)| value.as_str())
    }

    /// All that are set.
    pub fn iter(&self) -> impl Iterator<Item = (&'static str, &str)> {
        self.0.iter().map(|(name, value)| (*name, value.as_str()))
    }

    /// As a query, for a link to another runbook: `?fleet=a`, or nothing.
    #[must_use]
    pub fn query(&self) -> String {
        let pairs: Vec<String> = self.iter().map(|(name, value)| format!("{name}={}", encoded(value))).collect();
        if pairs.is_empty() { String::new() } else { format!("?{}", pairs.join("&")) }
    }
}

/// Where a line stands.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    Prose,
    Shell,
    Query,
    OtherCode,
}

/// The text with the values in it.
pub(super) fn fill(text: &str, values: &Values) -> String {
    let mut filled = String::with_capacity(text.len() + 256);
    let mut place = Place::Prose;
    for line in text.split_inclusive('\n') {
        if let Some(language) = line.trim_start().strip_prefix("```") {
            place = match (place, language.trim_end()) {
                (Place::Prose, "sh") => Place::Shell,
                (Place::Prose, "promql") => Place::Query,
                (Place::Prose, _) => Place::OtherCode,
                _ => Place::Prose,
            };
            filled.push_str(line);
            continue;
        }
        match place {
            Place::Prose => filled.push_str(&links(line, values)),
            Place::Shell => filled.push_str(&assignment(line, values)),
            Place::Query => filled.push_str(&variables(line, values, in_promql)),
            Place::OtherCode => filled.push_str(line),
        }
    }
    filled
}

/// The labels that a text wants: those that its shell blocks leave open.
pub(super) fn open_labels(text: &str) -> Vec<&'static str> {
    let mut open: Vec<&'static str> = Vec::new();
    for label in text.lines().filter_map(open_label) {
        if !open.contains(&label) {
            open.push(label);
        }
    }
    open
}

/// `FLEET=''` → `fleet`.
fn open_label(line: &str) -> Option<&'static str> {
    let (name, rest) = line.split_once('=')?;
    if !rest.starts_with("''") {
        return None;
    }
    LABELS.iter().copied().find(|label| label.to_ascii_uppercase() == name)
}

/// `FLEET=''` → `FLEET='orders'`.
fn assignment(line: &str, values: &Values) -> String {
    let Some(value) = open_label(line).and_then(|label| values.get(label)) else { return line.to_owned() };
    // Inside single quotes nothing means anything but the quote itself.
    line.replacen("''", &format!("'{}'", value.replace('\'', "'\\''")), 1)
}

/// `(https://…?var-fleet=$FLEET)` → `(https://…?var-fleet=orders)`.
fn links(line: &str, values: &Values) -> String {
    let mut filled = String::new();
    let mut rest = line;
    while let Some(begin) = rest.find("](") {
        let (before, link) = rest.split_at(begin + 2);
        let end = link.find(')').unwrap_or(link.len());
        let (link, after) = link.split_at(end);
        filled.push_str(before);
        filled.push_str(&variables(link, values, encoded));
        rest = after;
    }
    filled + rest
}

/// Inside double quotes of PromQL.
fn in_promql(value: &str) -> String {
    value.replace('\\', "\\\\").replace('"', "\\\"")
}

fn encoded(value: &str) -> String {
    utf8_percent_encode(value, NON_ALPHANUMERIC).to_string()
}

/// Each `$NAME` of a label that is set by its value, written as `write` says. What was put in is not looked at again.
fn variables(text: &str, values: &Values, write: impl Fn(&str) -> String) -> String {
    let mut filled = String::new();
    let mut rest = text;
    while let Some(at) = rest.find('$') {
        let (before, behind) = rest.split_at(at);
        let name = behind.get(1..).unwrap_or_default();
        let end = name.find(|c: char| !(c.is_ascii_uppercase() || c == '_')).unwrap_or(name.len());
        let (name, after) = name.split_at(end);
        filled.push_str(before);
        match values.get(&name.to_ascii_lowercase()).filter(|_| !name.is_empty()) {
            Some(value) => filled.push_str(&write(value)),
            None => {
                filled.push('$');
                filled.push_str(name);
            }
        }
        rest = after;
    }
    filled + rest
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may stop at what it did not expect")]

    use std::process::Command;

    use proptest::prelude::*;

    use super::*;

    const TEXT: &str = "FLEET='' in prose stays\n[x](https://g/d/w?var-fleet=$FLEET&var-worker=$WORKER) $FLEET\n\n```sh\nFLEET=''   # a label\n\
                        OTHER=''\necho \"$FLEET\"\n```\n\n```promql\nup{fleet=\"$FLEET\", worker=\"$WORKER\"}\n```\n\n```text\n$FLEET\n```\n";

    fn filled(fleet: &str) -> String {
        let mut values = Values::default();
        values.set("fleet", fleet).unwrap();
        fill(TEXT, &values)
    }

    #[test]
    fn a_value_stands_in_assignments_queries_and_addresses_and_nowhere_else() {
        let expected = "FLEET='' in prose stays\n[x](https://g/d/w?var-fleet=a%20b&var-worker=$WORKER) $FLEET\n\n```sh\nFLEET='a b'   # a label\n\
                        OTHER=''\necho \"$FLEET\"\n```\n\n```promql\nup{fleet=\"a b\", worker=\"$WORKER\"}\n```\n\n```text\n$FLEET\n```\n";
        assert_eq!(filled("a b"), expected);
    }

    #[test]
    fn nothing_that_is_not_a_label_and_nothing_endless_is_taken() {
        let mut values = Values::default();
        assert_eq!(values.set("path", "x"), Err(Mistake::Unknown("path".to_owned())));
        assert_eq!(values.set("fleet", &"x".repeat(1001)), Err(Mistake::TooLong("fleet")));
        values.set("fleet", "a").unwrap();
        values.set("fleet", "").unwrap();
        assert_eq!(values, Values::default());
    }

    #[test]
    fn a_query_of_values_can_be_read_back() {
        let mut values = Values::default();
        values.set("fleet", "a&b=c").unwrap();
        values.set("worker", "host/queue ☃").unwrap();
        let query = values.query();
        let read: Vec<(String, String)> =
            url::form_urlencoded::parse(query.trim_start_matches('?').as_bytes()).into_owned().collect();
        assert_eq!(read, [("fleet".into(), "a&b=c".into()), ("worker".into(), "host/queue ☃".into())]);
    }

    /// What a shell makes of the filled block.
    fn in_a_shell(value: &str) -> String {
        let text = filled(value);
        let block = text.split("```sh\n").nth(1).unwrap().split("\n```").next().unwrap().replace("echo", "printf %s");
        let done = Command::new("sh").arg("-c").arg(block).output().unwrap();
        String::from_utf8(done.stdout).unwrap()
    }

    #[test]
    fn a_shell_reads_the_value_and_runs_nothing_of_it() {
        for value in [
            "w-1",
            "it's",
            "'; touch /tmp/pwned; '",
            "$(id)",
            "`id`",
            "a\\",
            "\"",
            "''",
            "# no comment",
            "$FLEET",
            "```",
        ] {
            assert_eq!(in_a_shell(value), value);
        }
        assert_eq!(in_a_shell("a\nid\u{1b}[2J"), "a\u{fffd}id\u{fffd}[2J");
    }

    proptest! {
        #[test]
        fn no_value_leaves_its_line_or_its_quotes(value in "\\PC{0,40}|[\"'\\\\$`\n\r\t(){}#&;]{0,20}") {
            let text = filled(&value);
            prop_assert_eq!(text.lines().count(), TEXT.lines().count());
            // The query still has exactly its four quotes that are not escaped.
            let query = text.lines().find(|line| line.starts_with("up{")).unwrap();
            let mut quotes = 0;
            let mut chars = query.chars();
            while let Some(c) = chars.next() {
                match c {
                    '\\' => { chars.next(); }
                    '"' => quotes += 1,
                    _ => {}
                }
            }
            prop_assert_eq!(quotes, 4);
            // An address has no character that ends a link.
            let link = text.lines().nth(1).unwrap().split("](").nth(1).unwrap();
            prop_assert!(link.ends_with("$FLEET") && link.matches(')').count() == 1 && !link.split(')').next().unwrap().contains(' '));
        }
    }
}
