//! A strict reader of what a program says of itself for Prometheus: OpenMetrics 1.0 and text 0.0.4.
//!
//! Strict, because what is nearly right is read differently by everybody: a bucket that is out of order or a counter that
//! is not one would become a wrong figure of ours. Every mistake is told with its line, what it is, and what to do.
//!
//! It goes through the text line by line and hands out one family after the other; names and label values are borrowed
//! from the text wherever they hold no escape.

mod builder;
mod line;
mod openmetrics;
mod point;
mod scan;
mod text;

#[cfg(test)]
mod tests;

use std::borrow::Cow;
use std::fmt;

use self::builder::Builder;

/// Mistakes that are told of one exposition; after so many, nobody reads on.
const MISTAKES: usize = 100;

/// The two formats.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// OpenMetrics 1.0.
    OpenMetrics,
    /// Prometheus text 0.0.4.
    Text,
}

/// What a family is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Goes up and down.
    Gauge,
    /// Only goes up.
    Counter,
    /// Counts by upper bounds.
    Histogram,
    /// Counts by upper bounds that go up and down.
    GaugeHistogram,
    /// Quantiles, sum and count.
    Summary,
    /// Labels that tell something, of the value 1.
    Info,
    /// Which of some states is on.
    StateSet,
    /// Nobody said.
    Unknown,
}

impl Kind {
    /// The kind with this word in a TYPE line of `format`.
    #[must_use]
    pub fn of_word(word: &str, format: Format) -> Option<Self> {
        Some(match (word, format) {
            ("gauge", _) => Self::Gauge,
            ("counter", _) => Self::Counter,
            ("histogram", _) => Self::Histogram,
            ("summary", _) => Self::Summary,
            ("untyped", Format::Text) | ("unknown", Format::OpenMetrics) => Self::Unknown,
            ("gaugehistogram", Format::OpenMetrics) => Self::GaugeHistogram,
            ("info", Format::OpenMetrics) => Self::Info,
            ("stateset", Format::OpenMetrics) => Self::StateSet,
            _ => return None,
        })
    }

    /// The word for it.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Gauge => "gauge",
            Self::Counter => "counter",
            Self::Histogram => "histogram",
            Self::GaugeHistogram => "gaugehistogram",
            Self::Summary => "summary",
            Self::Info => "info",
            Self::StateSet => "stateset",
            Self::Unknown => "unknown",
        }
    }

    /// What may stand behind the family's name in the name of a sample.
    const fn suffixes(self, format: Format) -> &'static [&'static str] {
        match (self, format) {
            (Self::Counter, Format::OpenMetrics) => &["_total", "_created"],
            (Self::Histogram, Format::OpenMetrics) => &["_bucket", "_count", "_sum", "_created"],
            (Self::GaugeHistogram, _) => &["_bucket", "_gcount", "_gsum"],
            (Self::Summary, Format::OpenMetrics) => &["", "_count", "_sum", "_created"],
            (Self::Info, _) => &["_info"],
            (Self::Histogram, Format::Text) => &["_bucket", "_count", "_sum"],
            (Self::Summary, Format::Text) => &["", "_count", "_sum"],
            (Self::Gauge | Self::StateSet | Self::Unknown | Self::Counter, _) => &[""],
        }
    }
}

/// One label.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Label<'t> {
    /// Its name.
    pub name: &'t str,
    /// Its value, without escapes.
    pub value: Cow<'t, str>,
}

/// An example of what a bucket or a counter counted.
#[derive(Clone, Debug, PartialEq)]
pub struct Exemplar<'t> {
    /// Its labels, 128 characters at most.
    pub labels: Vec<Label<'t>>,
    /// Its value.
    pub value: f64,
    /// When, seconds.
    pub timestamp: Option<f64>,
}

/// One line with a value.
#[derive(Clone, Debug, PartialEq)]
pub struct Sample<'t> {
    /// The whole name, with its suffix.
    pub name: &'t str,
    /// Its labels, in their order.
    pub labels: Vec<Label<'t>>,
    /// Its value.
    pub value: f64,
    /// When, seconds.
    pub timestamp: Option<f64>,
    /// An example.
    pub exemplar: Option<Exemplar<'t>>,
}

impl Sample<'_> {
    /// The value of a label.
    #[must_use]
    pub fn label(&self, name: &str) -> Option<&str> {
        self.labels.iter().find(|label| label.name == name).map(|label| &*label.value)
    }
}

/// One family: its metadata and its samples.
#[derive(Clone, Debug, PartialEq)]
pub struct Family<'t> {
    /// Its name, without any suffix of its samples.
    pub name: &'t str,
    /// What it is.
    pub kind: Kind,
    /// Its unit.
    pub unit: Option<&'t str>,
    /// What it means, as it stands there.
    pub help: Option<&'t str>,
    /// Its samples, in their order.
    pub samples: Vec<Sample<'t>>,
}

/// What is wrong in a line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mistake {
    /// Counted from 1.
    pub line: usize,
    /// What is wrong.
    pub what: String,
    /// What to do.
    pub hint: &'static str,
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: {}\n    hint: {}", self.line, self.what, self.hint)
    }
}

/// The most that is taken in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Lines.
    pub lines: usize,
    /// Bytes of a line.
    pub line_bytes: usize,
    /// Samples.
    pub samples: usize,
    /// Labels of a sample.
    pub labels: usize,
    /// Bytes of a name or of the value of a label.
    pub label_bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { lines: 200_000, line_bytes: 64 * 1024, samples: 100_000, labels: 64, label_bytes: 8 * 1024 }
    }
}

/// Reads bytes: hands each family to `take`, in their order.
///
/// # Errors
/// Every mistake, up to a hundred. What was handed out before is then not to be used.
pub fn read<'t>(
    bytes: &'t [u8],
    format: Format,
    limits: &Limits,
    take: &mut dyn FnMut(Family<'t>),
) -> Result<(), Vec<Mistake>> {
    let text = match std::str::from_utf8(bytes) {
        Ok(text) => text,
        Err(error) => {
            let before = bytes.get(..error.valid_up_to()).unwrap_or_default();
            #[expect(clippy::naive_bytecount, reason = "once, for a message")]
            let line = before.iter().filter(|byte| **byte == b'\n').count() + 1;
            let what = String::from("these bytes are not UTF-8");
            return Err(vec![Mistake { line, what, hint: "write the exposition in UTF-8" }]);
        }
    };
    let mut builder = Builder::new(format, *limits, take);
    match format {
        Format::OpenMetrics => openmetrics::read(text, &mut builder),
        Format::Text => text::read(text, &mut builder),
    }
    builder.finish()
}

/// Whether `content_type` names one of the formats. `None`: it names something else.
#[must_use]
pub fn format_of(content_type: Option<&str>) -> Option<Format> {
    let Some(content_type) = content_type else { return Some(Format::Text) };
    let media = content_type.split(';').next().unwrap_or_default().trim();
    if media.eq_ignore_ascii_case("application/openmetrics-text") {
        Some(Format::OpenMetrics)
    } else if media.is_empty() || media.eq_ignore_ascii_case("text/plain") {
        Some(Format::Text)
    } else {
        None
    }
}
