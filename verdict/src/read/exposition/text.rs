//! Text 0.0.4, line by line.

use super::builder::Builder;
use super::line;
use super::scan::{Cursor, Wrong, quoted, wrong};
use super::{Format, Kind};

/// Reads the whole text into `builder`.
pub(super) fn read<'t>(text: &'t str, builder: &mut Builder<'_, 't>) {
    let mut lines = text.split('\n').peekable();
    while let Some(whole) = lines.next() {
        let last = lines.peek().is_none();
        if whole.is_empty() && last {
            break;
        }
        if !builder.next_line(whole) {
            return;
        }
        if last {
            builder.mistake(wrong(
                "the last line has no line end",
                "end every line with a line feed: an exposition that was cut off would look the same",
            ));
            return;
        }
        let line = whole.trim_matches([' ', '\t']);
        let read = match line.bytes().next() {
            None => Ok(()),
            Some(b'#') => metadata(line, builder),
            Some(_) => line::sample(line, Format::Text, builder.limits()).and_then(|s| builder.sample(s)),
        };
        if let Err(wrong) = read {
            builder.mistake(wrong);
        }
    }
}

/// `# HELP name text`, `# TYPE name kind`; everything else behind # is a comment.
fn metadata<'t>(line: &'t str, builder: &mut Builder<'_, 't>) -> Result<(), Wrong> {
    let mut cursor = Cursor::new(line, Format::Text);
    cursor.eat('#');
    cursor.blanks();
    let word = cursor.word();
    if !matches!(word, "HELP" | "TYPE") {
        return Ok(());
    }
    cursor.blanks();
    let name = line::named(&mut cursor, builder.limits())?;
    let blank = cursor.rest.starts_with([' ', '\t']);
    if !blank && !cursor.rest.is_empty() {
        let what = format!("{} is not a metric name", quoted(line));
        return Err(wrong(what, "a name has letters, digits, _ and :, and does not begin with a digit"));
    }
    cursor.blanks();
    if word == "HELP" {
        return builder.help(name, cursor.rest);
    }
    let kind = Kind::of_word(cursor.rest, Format::Text).ok_or_else(|| {
        let what = format!("{} is not a type", quoted(cursor.rest));
        wrong(what, "the types are counter, gauge, histogram, summary and untyped")
    })?;
    builder.kind(name, kind)
}
