//! One line with a value, in either format.

use super::scan::{Cursor, Wrong, number, quoted, real, wrong};
use super::{Exemplar, Format, Limits, Sample};

/// The most characters that the labels of an exemplar may have, names and values together.
const EXEMPLAR: usize = 128;

const SHAPE: &str = "a sample is name{label=\"value\"} value timestamp, with one space between";

/// `name{labels} value timestamp # {labels} value timestamp`
pub(super) fn sample<'t>(line: &'t str, format: Format, limits: &Limits) -> Result<Sample<'t>, Wrong> {
    let mut cursor = Cursor::new(line, format);
    let name = named(&mut cursor, limits)?;
    cursor.blanks();
    let braced = cursor.rest.starts_with('{');
    let labels = cursor.labels(limits)?;
    match format {
        Format::OpenMetrics => separator(&mut cursor, name)?,
        // Nothing has to stand between the labels and the value; blanks may.
        Format::Text if !braced && cursor.rest.len() + name.len() == line.len() => {
            return Err(if cursor.rest.is_empty() { no_value(name) } else { bad_name(line) });
        }
        Format::Text => cursor.blanks(),
    }
    let value = cursor.word();
    if value.is_empty() {
        return Err(no_value(name));
    }
    let value = number(value).ok_or_else(|| {
        let what = format!("{} is not a number", quoted(value));
        wrong(what, "a value is a decimal number, +Inf, -Inf or NaN")
    })?;
    let (timestamp, exemplar) = match format {
        Format::OpenMetrics => rest(&mut cursor, limits)?,
        Format::Text => (milliseconds(&mut cursor)?, None),
    };
    Ok(Sample { name, labels, value, timestamp, exemplar })
}

/// A metric name of a length that is allowed.
pub(super) fn named<'t>(cursor: &mut Cursor<'t>, limits: &Limits) -> Result<&'t str, Wrong> {
    let line = cursor.rest;
    let name = cursor.name();
    if name.is_empty() {
        return Err(bad_name(line));
    }
    if name.len() > limits.label_bytes {
        let what = format!("a name is longer than {} bytes", limits.label_bytes);
        return Err(wrong(what, "names are short"));
    }
    Ok(name)
}

fn bad_name(line: &str) -> Wrong {
    let what = if line.starts_with('\u{feff}') {
        String::from("a byte order mark")
    } else {
        format!("no metric name at {}", quoted(line))
    };
    wrong(what, "a line begins with # or a name of letters, digits, _ and :, which does not begin with a digit")
}

fn no_value(name: &str) -> Wrong {
    wrong(format!("no value behind {}", quoted(name)), SHAPE)
}

fn separator(cursor: &mut Cursor<'_>, name: &str) -> Result<(), Wrong> {
    if cursor.rest.is_empty() {
        return Err(no_value(name));
    }
    if cursor.eat(' ') {
        return Ok(());
    }
    Err(wrong(format!("no space in front of {}", quoted(cursor.rest)), SHAPE))
}

/// What stands behind the value in OpenMetrics.
fn rest<'t>(cursor: &mut Cursor<'t>, limits: &Limits) -> Result<(Option<f64>, Option<Exemplar<'t>>), Wrong> {
    let mut at = None;
    if cursor.rest.is_empty() {
        return Ok((None, None));
    }
    cursor.eat(' ');
    if !cursor.rest.starts_with('#') {
        at = Some(timestamp(cursor)?);
        if cursor.rest.is_empty() {
            return Ok((at, None));
        }
        cursor.eat(' ');
    }
    Ok((at, Some(exemplar(cursor, limits)?)))
}

fn timestamp(cursor: &mut Cursor<'_>) -> Result<f64, Wrong> {
    let word = cursor.word();
    real(word).filter(|at| at.is_finite()).ok_or_else(|| {
        let what = if word.is_empty() {
            String::from("a space without anything behind it")
        } else {
            format!("{} is not a timestamp", quoted(word))
        };
        wrong(what, "a timestamp is a decimal number of seconds; leave it and its space out where there is none")
    })
}

fn exemplar<'t>(cursor: &mut Cursor<'t>, limits: &Limits) -> Result<Exemplar<'t>, Wrong> {
    const EXAMPLE: &str = "an exemplar is # {trace_id=\"1\"} value timestamp, with one space between";
    let begins = cursor.eat('#') && cursor.eat(' ') && cursor.rest.starts_with('{');
    if !begins {
        return Err(wrong(format!("no exemplar at {}", quoted(cursor.rest)), EXAMPLE));
    }
    let labels = cursor.labels(limits)?;
    let length: usize = labels.iter().map(|l| l.name.chars().count() + l.value.chars().count()).sum();
    if length > EXEMPLAR {
        let what = format!("the labels of an exemplar have {length} characters");
        return Err(wrong(what, "names and values together may have 128"));
    }
    if !cursor.eat(' ') {
        return Err(wrong("no value behind the labels of an exemplar", EXAMPLE));
    }
    let word = cursor.word();
    let value = number(word)
        .ok_or_else(|| wrong(format!("the value of an exemplar, {}, is not a number", quoted(word)), EXAMPLE))?;
    let mut at = None;
    if cursor.eat(' ') {
        at = Some(timestamp(cursor)?);
    }
    if cursor.rest.is_empty() {
        return Ok(Exemplar { labels, value, timestamp: at });
    }
    Err(wrong(format!("{} behind an exemplar", quoted(cursor.rest)), EXAMPLE))
}

/// The timestamp of text 0.0.4: whole milliseconds.
fn milliseconds(cursor: &mut Cursor<'_>) -> Result<Option<f64>, Wrong> {
    cursor.blanks();
    if cursor.rest.is_empty() {
        return Ok(None);
    }
    let word = cursor.word();
    cursor.blanks();
    let at = word.parse::<i64>().ok().filter(|_| cursor.rest.is_empty());
    #[expect(clippy::cast_precision_loss, reason = "milliseconds of our age fit")]
    let at = at.map(|at| at as f64 / 1000.0);
    at.map(Some).ok_or_else(|| {
        let what = format!("{} is not a timestamp", quoted(if cursor.rest.is_empty() { word } else { cursor.rest }));
        wrong(what, "behind the value stands nothing, or one whole number of milliseconds")
    })
}
