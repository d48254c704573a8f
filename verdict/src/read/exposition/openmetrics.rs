//! OpenMetrics 1.0, line by line.

use super::builder::Builder;
use super::line;
use super::scan::{Wrong, quoted, wrong};
use super::{Format, Kind};

const EOF: &str = "# EOF";

/// Reads the whole text into `builder`.
pub(super) fn read<'t>(text: &'t str, builder: &mut Builder<'_, 't>) {
    let mut ended = false;
    let mut lines = text.split('\n').peekable();
    while let Some(line) = lines.next() {
        // What stands behind the last line end is no line.
        if line.is_empty() && lines.peek().is_none() {
            break;
        }
        if !builder.next_line(line) {
            return;
        }
        if ended {
            let what = format!("{} behind # EOF", quoted(line));
            builder.mistake(wrong(what, "# EOF is the last line"));
            return;
        }
        if line == EOF {
            ended = true;
            continue;
        }
        let read = match line.bytes().next() {
            None => Err(wrong("an empty line", "OpenMetrics has no empty lines: take it away")),
            Some(b'#') => metadata(line, builder),
            Some(_) => line::sample(line, Format::OpenMetrics, builder.limits()).and_then(|s| builder.sample(s)),
        };
        if let Err(wrong) = read {
            builder.mistake(wrong);
        }
    }
    if !ended {
        let what = "no # EOF at the end";
        builder.mistake(wrong(
            what,
            "end with the line `# EOF`, so that half an exposition is never taken for a whole one; \
             is it text 0.0.4, read it with `--format text`",
        ));
    }
}

/// `# TYPE name kind`, `# UNIT name unit`, `# HELP name text`
fn metadata<'t>(line: &'t str, builder: &mut Builder<'_, 't>) -> Result<(), Wrong> {
    const SHAPE: &str = "the lines that begin with # are `# TYPE name kind`, `# UNIT name unit`, `# HELP name text` and \
                         `# EOF`, with one space between; there are no comments";
    let parts = || {
        let (word, rest) = line.strip_prefix("# ")?.split_once(' ')?;
        let (name, value) = rest.split_once(' ')?;
        Some((word, name, value))
    };
    let (word, name, value) = parts().ok_or_else(|| wrong(format!("{} is no such line", quoted(line)), SHAPE))?;
    let mut cursor = super::scan::Cursor::new(name, Format::OpenMetrics);
    line::named(&mut cursor, builder.limits())?;
    if !cursor.rest.is_empty() {
        let what = format!("{} is not a metric name", quoted(name));
        return Err(wrong(what, "a name has letters, digits, _ and :, and does not begin with a digit"));
    }
    match word {
        "TYPE" => {
            let kind = Kind::of_word(value, Format::OpenMetrics).ok_or_else(|| {
                let what = format!("{} is not a type", quoted(value));
                let hint = "the types are counter, gauge, histogram, gaugehistogram, summary, info, stateset and \
                            unknown, without anything behind them";
                wrong(what, hint)
            })?;
            builder.kind(name, kind)
        }
        "UNIT" => builder.unit(name, value),
        "HELP" => builder.help(name, value),
        _ => Err(wrong(format!("{} is no such line", quoted(line)), SHAPE)),
    }
}
