//! The smallest parts: names, quoted values, numbers.

use std::borrow::Cow;

use super::{Format, Label, Limits};

/// What is wrong, and what to do.
#[derive(Debug)]
pub(super) struct Wrong {
    pub(super) what: String,
    pub(super) hint: &'static str,
}

pub(super) fn wrong(what: impl Into<String>, hint: &'static str) -> Wrong {
    Wrong { what: what.into(), hint }
}

/// What stands there, for a message: in quotes, its control characters escaped, never long.
pub(super) fn quoted(text: &str) -> String {
    const LONGEST: usize = 60;
    let mut short: String = text.chars().take(LONGEST).collect();
    if text.chars().nth(LONGEST).is_some() {
        short.push('…');
    }
    format!("{short:?}")
}

/// The rest of a line that is still to be read.
pub(super) struct Cursor<'t> {
    pub(super) rest: &'t str,
    format: Format,
}

impl<'t> Cursor<'t> {
    pub(super) const fn new(rest: &'t str, format: Format) -> Self {
        Self { rest, format }
    }

    /// Goes past `part` when it stands here.
    pub(super) fn eat(&mut self, part: char) -> bool {
        let rest = self.rest.strip_prefix(part);
        self.rest = rest.unwrap_or(self.rest);
        rest.is_some()
    }

    /// Blanks between the parts of a line, where the format allows them.
    pub(super) fn blanks(&mut self) {
        if self.format == Format::Text {
            self.rest = self.rest.trim_start_matches([' ', '\t']);
        }
    }

    /// What stands before the next blank.
    pub(super) fn word(&mut self) -> &'t str {
        let blank = |c: char| c == ' ' || (c == '\t' && self.format == Format::Text);
        let end = self.rest.find(blank).unwrap_or(self.rest.len());
        self.take(end)
    }

    fn take(&mut self, end: usize) -> &'t str {
        let (word, rest) = self.rest.split_at_checked(end).unwrap_or((self.rest, ""));
        self.rest = rest;
        word
    }

    /// A metric name; empty where none stands.
    pub(super) fn name(&mut self) -> &'t str {
        let end = self.rest.bytes().position(|byte| !is_name(byte, b':')).unwrap_or(self.rest.len());
        if self.rest.as_bytes().first().is_some_and(u8::is_ascii_digit) { "" } else { self.take(end) }
    }

    fn label_name(&mut self) -> &'t str {
        let end = self.rest.bytes().position(|byte| !is_name(byte, b'_')).unwrap_or(self.rest.len());
        if self.rest.as_bytes().first().is_some_and(u8::is_ascii_digit) { "" } else { self.take(end) }
    }

    /// `{a="b",c="d"}`; nothing where no brace stands.
    pub(super) fn labels(&mut self, limits: &Limits) -> Result<Vec<Label<'t>>, Wrong> {
        let mut labels: Vec<Label<'t>> = Vec::new();
        if !self.eat('{') {
            return Ok(labels);
        }
        self.blanks();
        while !self.eat('}') {
            let label = self.label(limits)?;
            if labels.iter().any(|other| other.name == label.name) {
                let what = format!("the label {} stands twice", quoted(label.name));
                return Err(wrong(what, "each label of a sample has a name of its own"));
            }
            labels.push(label);
            if labels.len() > limits.labels {
                return Err(wrong(format!("more than {} labels", limits.labels), "so many labels are a mistake"));
            }
            self.blanks();
            if self.eat(',') {
                self.blanks();
                // Text 0.0.4 lets a comma stand behind the last label.
                if self.rest.starts_with('}') && self.format == Format::OpenMetrics {
                    return Err(wrong("a comma behind the last label", "take the comma away"));
                }
            } else if !self.rest.starts_with('}') {
                return Err(wrong("labels do not end with `}`", "write {a=\"b\",c=\"d\"}: `,` between two labels"));
            }
        }
        Ok(labels)
    }

    fn label(&mut self, limits: &Limits) -> Result<Label<'t>, Wrong> {
        let name = self.label_name();
        if name.is_empty() {
            let what = format!("no label name at {}", quoted(self.rest));
            return Err(wrong(what, "a label name has letters, digits and _, and does not begin with a digit"));
        }
        if name == "__name__" {
            return Err(wrong("the label \"__name__\"", "write the name in front of the labels"));
        }
        self.blanks();
        if !self.eat('=') {
            return Err(wrong(format!("no `=` behind the label {}", quoted(name)), "write name=\"value\""));
        }
        self.blanks();
        if !self.eat('"') {
            let what = format!("the value of the label {} is not in double quotes", quoted(name));
            return Err(wrong(what, "write name=\"value\""));
        }
        let value = self.value(name)?;
        if name.len().max(value.len()) > limits.label_bytes {
            let what = format!("the label {} is longer than {} bytes", quoted(name), limits.label_bytes);
            return Err(wrong(what, "labels are short: move long text into a log"));
        }
        Ok(Label { name, value })
    }

    /// A quoted value, behind its first quote.
    fn value(&mut self, name: &str) -> Result<Cow<'t, str>, Wrong> {
        let open = || {
            let what = format!("the value of the label {} has no end", quoted(name));
            wrong(what, "end the value with \"; inside of it a quote is \\\"")
        };
        let mut end = None;
        let mut escaped = false;
        let mut escapes = false;
        for (at, byte) in self.rest.bytes().enumerate() {
            match byte {
                _ if escaped => escaped = false,
                b'\\' => (escaped, escapes) = (true, true),
                b'"' => {
                    end = Some(at);
                    break;
                }
                _ => {}
            }
        }
        let raw = self.take(end.ok_or_else(open)?);
        self.eat('"');
        if !escapes {
            return Ok(Cow::Borrowed(raw));
        }
        let mut value = String::with_capacity(raw.len());
        let mut letters = raw.chars();
        while let Some(letter) = letters.next() {
            match (letter, if letter == '\\' { letters.next() } else { None }) {
                ('\\', Some('n')) => value.push('\n'),
                ('\\', Some(escaped @ ('"' | '\\'))) => value.push(escaped),
                // OpenMetrics lets a backslash stand for itself in front of any other letter.
                ('\\', Some(other)) if self.format == Format::OpenMetrics => value.extend(['\\', other]),
                ('\\', other) => {
                    let what = format!("\\{} is no escape", other.map(String::from).unwrap_or_default());
                    return Err(wrong(what, "the escapes are \\n, \\\" and \\\\"));
                }
                (letter, _) => value.push(letter),
            }
        }
        Ok(Cow::Owned(value))
    }
}

const fn is_name(byte: u8, besides: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_' || byte == besides
}

/// A value: a decimal number, an infinity, or NaN.
pub(super) fn number(text: &str) -> Option<f64> {
    if let Some(real) = real(text) {
        return Some(real);
    }
    if text.eq_ignore_ascii_case("nan") {
        return Some(f64::NAN);
    }
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    let infinite = unsigned.eq_ignore_ascii_case("inf") || unsigned.eq_ignore_ascii_case("infinity");
    infinite.then(|| if text.starts_with('-') { f64::NEG_INFINITY } else { f64::INFINITY })
}

/// A decimal number: `1`, `-1.5`, `.5`, `2e-3`.
pub(super) fn real(text: &str) -> Option<f64> {
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    let (mantissa, exponent) = match unsigned.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, Some(exponent.strip_prefix(['+', '-']).unwrap_or(exponent))),
        None => (unsigned, None),
    };
    let (whole, part) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    let fine = digits(whole)
        && digits(part)
        && !(whole.is_empty() && part.is_empty())
        && exponent.is_none_or(|exponent| !exponent.is_empty() && digits(exponent));
    // What the digits say may be larger than any number: it is an infinity then, as everywhere.
    if fine { text.parse().ok() } else { None }
}
