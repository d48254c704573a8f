//! How the table is written: prometheus-client writes OpenMetrics and escapes the label values; [`Lines`] stands
//! between it and the body, leaves out families without a series, and turns OpenMetrics into text 0.0.4 line by line.

use std::fmt::{self, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeLabelSet, LabelSetEncoder, MetricEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::{Registry, Unit as ClientUnit};
use verdict::snapshot::{BOUNDS, Histogram, Snapshot};

use super::Live;
use super::table::{FAMILIES, Family, Fill, Kind, WORKER_SERIES};
use crate::web::negotiate::Format;

/// A value of a series.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Value<'a> {
    Int(u64),
    Float(f64),
    Histogram(&'a Histogram),
}

impl From<u64> for Value<'_> {
    fn from(value: u64) -> Self {
        Self::Int(value)
    }
}

impl From<f64> for Value<'_> {
    fn from(value: f64) -> Self {
        Self::Float(value)
    }
}

impl From<bool> for Value<'_> {
    fn from(value: bool) -> Self {
        Self::Int(u64::from(value))
    }
}

/// Takes the series of one family, one after the other. `rest` are the label values after those of the subject, in the
/// order of the family's label names.
pub(crate) trait Sink {
    fn put(&mut self, rest: &[&str], value: Value<'_>);
}

/// Only counts, so that the share of a worker is kept by whole families.
struct Counter(u64);

impl Sink for Counter {
    fn put(&mut self, _rest: &[&str], _value: Value<'_>) {
        self.0 += 1;
    }
}

/// Writes into the exposition.
struct Writer<'a, 'e> {
    family: &'static Family,
    subject: &'a [&'a str],
    encoder: &'a mut MetricEncoder<'e>,
    written: u64,
    result: fmt::Result,
}

impl Sink for Writer<'_, '_> {
    fn put(&mut self, rest: &[&str], value: Value<'_>) {
        // What is not a number is unknown, and unknown is absent.
        if matches!(value, Value::Float(number) if !number.is_finite()) || self.result.is_err() {
            return;
        }
        self.written += 1;
        let labels = Labels { names: self.family.labels, subject: self.subject, rest };
        self.result = match self.family.kind {
            // An info has the value 1; the library wants its labels here, and writes a stray comma elsewhere.
            Kind::Info => self.encoder.encode_info(&labels),
            kind if self.family.labels.is_empty() => series(kind, self.encoder, value),
            kind => self.encoder.encode_family(&labels).and_then(|mut encoder| series(kind, &mut encoder, value)),
        };
    }
}

fn series(kind: Kind, encoder: &mut MetricEncoder<'_>, value: Value<'_>) -> fmt::Result {
    match (kind, value) {
        (Kind::Counter, Value::Int(value)) => encoder.encode_counter::<NoLabelSet, _, f64>(&value, None),
        (Kind::Counter, Value::Float(value)) => encoder.encode_counter::<NoLabelSet, _, f64>(&value, None),
        (Kind::Gauge, Value::Int(value)) => encoder.encode_gauge(&value),
        (Kind::Gauge, Value::Float(value)) => encoder.encode_gauge(&value),
        (Kind::Histogram, Value::Histogram(histogram)) => {
            let bounds = BOUNDS.into_iter().chain([f64::INFINITY]);
            let buckets: Vec<(f64, u64)> = bounds.zip(histogram.buckets).collect();
            encoder.encode_histogram::<NoLabelSet>(histogram.sum, histogram.count, &buckets, None)
        }
        (Kind::Gauge | Kind::Counter, Value::Histogram(_)) | (Kind::Histogram | Kind::Info, _) => Err(fmt::Error),
    }
}

struct Labels<'a> {
    names: &'static [&'static str],
    subject: &'a [&'a str],
    rest: &'a [&'a str],
}

impl EncodeLabelSet for Labels<'_> {
    fn encode(&self, encoder: &mut LabelSetEncoder<'_>) -> fmt::Result {
        let values = self.subject.iter().chain(self.rest);
        // An empty label is the same as none.
        for (name, value) in self.names.iter().zip(values).filter(|(_, value)| !value.is_empty()) {
            let mut label = encoder.encode_label();
            let mut key = label.encode_label_key()?;
            key.write_str(name)?;
            let mut written = key.encode_label_value()?;
            written.write_str(value)?;
            written.finish()?;
        }
        Ok(())
    }
}

/// The most series that one family has of one worker: a score for each check, or two kinds of slot for four types. Below
/// that distance from the limit nothing needs to be counted beforehand.
const WIDEST_FAMILY: u64 = 9;

/// The shared part: workers, fleets, queues.
#[derive(Debug)]
struct Shared {
    snapshot: Arc<Snapshot>,
    dropped: Arc<AtomicU64>,
}

impl Collector for Shared {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let mut used = vec![0_u64; self.snapshot.workers.len()];
        for family in FAMILIES {
            if matches!(family.fill, Fill::Source(_) | Fill::Exporter(_)) {
                continue;
            }
            describe(&mut encoder, family, |metric| match family.fill {
                Fill::Worker(fill) => {
                    for (worker, used) in self.snapshot.workers.iter().zip(&mut used) {
                        // The rows of the table stand in the order of their worth: the last ones yield. A family is
                        // left out whole, since half of one would add up to something false.
                        if *used + WIDEST_FAMILY > WORKER_SERIES {
                            let mut counter = Counter(0);
                            fill(worker, &mut counter);
                            if *used + counter.0 > WORKER_SERIES {
                                self.dropped.fetch_add(counter.0, Ordering::Relaxed);
                                continue;
                            }
                        }
                        let subject = [&*worker.key.fleet, &*worker.key.worker];
                        *used += write(family, &subject, metric, |sink| fill(worker, sink))?;
                    }
                    Ok(())
                }
                Fill::Fleet(fill) => {
                    self.snapshot.fleets.iter().try_for_each(|fleet| {
                        write(family, &[&fleet.fleet], metric, |sink| fill(fleet, sink)).map(drop)
                    })
                }
                Fill::Queue(fill) => self.snapshot.queues.iter().try_for_each(|queue| {
                    let key = &queue.key;
                    let subject = [&*key.source, &*key.namespace, &*key.task_queue, key.task_type.word()];
                    write(family, &subject, metric, |sink| fill(queue, sink)).map(drop)
                }),
                Fill::Source(_) | Fill::Exporter(_) => Ok(()),
            })?;
        }
        Ok(())
    }
}

/// The part that is rendered at each scrape.
#[derive(Debug)]
struct Own {
    live: Live,
}

impl Collector for Own {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        for family in FAMILIES {
            match family.fill {
                Fill::Source(fill) => describe(&mut encoder, family, |metric| {
                    self.live.snapshot.sources.iter().try_for_each(|source| {
                        write(family, &[&source.source], metric, |sink| fill(source, sink)).map(drop)
                    })
                })?,
                Fill::Exporter(fill) => describe(&mut encoder, family, |metric| {
                    write(family, &[], metric, |sink| fill(&self.live, sink)).map(drop)
                })?,
                Fill::Worker(_) | Fill::Fleet(_) | Fill::Queue(_) => {}
            }
        }
        Ok(())
    }
}

fn describe(
    encoder: &mut DescriptorEncoder<'_>,
    family: &'static Family,
    body: impl FnOnce(&mut MetricEncoder<'_>) -> fmt::Result,
) -> fmt::Result {
    let unit = family.unit.map(|unit| ClientUnit::Other(unit.suffix().to_owned()));
    let kind = match family.kind {
        Kind::Gauge => MetricType::Gauge,
        Kind::Counter => MetricType::Counter,
        Kind::Info => MetricType::Info,
        Kind::Histogram => MetricType::Histogram,
    };
    body(&mut encoder.encode_descriptor(family.base(), family.help, unit.as_ref(), kind)?)
}

/// Writes the series of one subject; returns how many there are.
fn write(
    family: &'static Family,
    subject: &[&str],
    encoder: &mut MetricEncoder<'_>,
    fill: impl FnOnce(&mut dyn Sink),
) -> Result<u64, fmt::Error> {
    let mut writer = Writer { family, subject, encoder, written: 0, result: Ok(()) };
    fill(&mut writer);
    writer.result.map(|()| writer.written)
}

/// Writes the part that all scrapers of a snapshot share; returns how many series were left out.
pub(super) fn shared(out: &mut dyn Write, format: Format, snapshot: Arc<Snapshot>) -> Result<u64, fmt::Error> {
    let dropped = Arc::new(AtomicU64::new(0));
    collect(out, format, Box::new(Shared { snapshot, dropped: Arc::clone(&dropped) }))?;
    Ok(dropped.load(Ordering::Relaxed))
}

/// Writes the exporter's own part, and the end.
pub(super) fn own(out: &mut dyn Write, format: Format, live: Live) -> fmt::Result {
    collect(out, format, Box::new(Own { live }))?;
    match format {
        Format::OpenMetrics => out.write_str("# EOF\n"),
        Format::Text => Ok(()),
    }
}

fn collect(out: &mut dyn Write, format: Format, collector: Box<dyn Collector>) -> fmt::Result {
    let mut registry = Registry::default();
    registry.register_collector(collector);
    prometheus_client::encoding::text::encode_registry(&mut Lines::new(out, format), &registry)
}

/// Passes lines on. Descriptors wait until their first series comes: a family without one is not written.
struct Lines<'a> {
    out: &'a mut dyn Write,
    format: Format,
    /// What is known of the current line: nothing yet, a comment, a series.
    line: Line,
    /// The comment that is being read.
    comment: String,
    /// Finished comments of the family, already in the right form.
    pending: String,
    help: String,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Line {
    Start,
    Comment,
    Series,
}

impl<'a> Lines<'a> {
    fn new(out: &'a mut dyn Write, format: Format) -> Self {
        let (comment, pending, help) = Default::default();
        Self { out, format, line: Line::Start, comment, pending, help }
    }

    /// A whole comment was read.
    fn finish_comment(&mut self) {
        let line = std::mem::take(&mut self.comment);
        let mut words = line.splitn(4, ' ').skip(1);
        let (keyword, name, rest) =
            (words.next().unwrap_or_default(), words.next().unwrap_or_default(), words.next().unwrap_or_default());
        match keyword {
            // HELP waits for TYPE, which decides about the name.
            "HELP" => {
                self.pending.clear();
                rest.clone_into(&mut self.help);
            }
            "TYPE" => {
                let (suffix, kind) = match (self.format, rest) {
                    (Format::Text, "counter") => ("_total", "counter"),
                    (Format::Text, "info") => ("_info", "gauge"),
                    _ => ("", rest),
                };
                let help = &self.help;
                self.pending = format!("# HELP {name}{suffix} {help}\n# TYPE {name}{suffix} {kind}\n");
            }
            "UNIT" if self.format == Format::OpenMetrics => {
                self.pending.push_str(&line);
                self.pending.push('\n');
            }
            _ => {}
        }
    }
}

impl Write for Lines<'_> {
    fn write_str(&mut self, mut text: &str) -> fmt::Result {
        while let Some(first) = text.as_bytes().first() {
            if self.line == Line::Start {
                self.line = if *first == b'#' { Line::Comment } else { Line::Series };
                if self.line == Line::Series && !self.pending.is_empty() {
                    self.out.write_str(&self.pending)?;
                    self.pending.clear();
                }
            }
            let end = text.find('\n');
            let (now, later) = end.map_or((text, ""), |at| text.split_at(at + 1));
            match self.line {
                Line::Comment => self.comment.push_str(now.trim_end_matches('\n')),
                Line::Start | Line::Series => self.out.write_str(now)?,
            }
            if end.is_some() {
                if self.line == Line::Comment {
                    self.finish_comment();
                }
                self.line = Line::Start;
            }
            text = later;
        }
        Ok(())
    }
}
