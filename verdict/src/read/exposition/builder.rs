//! From lines to families: what belongs together, in which order, and what each kind allows.

use std::borrow::Cow;
use std::collections::BTreeSet;

use super::point::{self, Point};
use super::scan::{Wrong, quoted, wrong};
use super::{Family, Format, Kind, Label, Limits, MISTAKES, Mistake, Sample};

/// What tells one metric of a family from another.
type Group<'t> = Vec<(&'t str, Cow<'t, str>)>;

/// The family that is being read.
struct Open<'t> {
    family: Family<'t>,
    /// Its TYPE was read.
    typed: bool,
    /// Its metrics so far.
    groups: BTreeSet<Group<'t>>,
    /// The metric that is being read.
    group: Option<Group<'t>>,
    /// The time of its last sample.
    timestamp: Option<f64>,
    /// Its samples at that time: by name and labels.
    series: BTreeSet<(&'t str, Group<'t>)>,
    /// Its buckets at that time.
    point: Point,
    /// A counter shows its total.
    total: bool,
}

/// Puts lines together.
pub(super) struct Builder<'f, 't> {
    format: Format,
    limits: Limits,
    take: &'f mut dyn FnMut(Family<'t>),
    mistakes: Vec<Mistake>,
    line: usize,
    samples: usize,
    open: Option<Open<'t>>,
    /// Names that families before this one have, each with all its suffixes.
    names: BTreeSet<Cow<'t, str>>,
}

impl<'f, 't> Builder<'f, 't> {
    pub(super) fn new(format: Format, limits: Limits, take: &'f mut dyn FnMut(Family<'t>)) -> Self {
        Self { format, limits, take, mistakes: Vec::new(), line: 0, samples: 0, open: None, names: BTreeSet::new() }
    }

    pub(super) const fn limits(&self) -> &Limits {
        &self.limits
    }

    /// Goes on to the next line. False when there is enough: too many lines, a line too long, too many mistakes.
    pub(super) fn next_line(&mut self, line: &str) -> bool {
        if self.mistakes.len() >= MISTAKES {
            return false;
        }
        self.line += 1;
        let what = if self.line > self.limits.lines {
            format!("more than {} lines", self.limits.lines)
        } else if line.len() > self.limits.line_bytes {
            format!("a line of more than {} bytes", self.limits.line_bytes)
        } else if self.samples > self.limits.samples {
            format!("more than {} samples", self.limits.samples)
        } else {
            return true;
        };
        self.mistake(wrong(what, "a worker says less of itself: take labels with many values away"));
        false
    }

    pub(super) fn mistake(&mut self, wrong: Wrong) {
        self.mistakes.push(Mistake { line: self.line.max(1), what: wrong.what, hint: wrong.hint });
    }

    /// Closes the last family and says what is wrong.
    pub(super) fn finish(mut self) -> Result<(), Vec<Mistake>> {
        self.close();
        if self.mistakes.is_empty() {
            return Ok(());
        }
        self.mistakes.truncate(MISTAKES);
        Err(self.mistakes)
    }

    pub(super) fn kind(&mut self, name: &'t str, kind: Kind) -> Result<(), Wrong> {
        let open = self.metadata(name)?;
        if open.typed {
            return Err(twice("TYPE", name));
        }
        if !open.family.samples.is_empty() {
            return Err(behind(name));
        }
        open.typed = true;
        open.family.kind = kind;
        Ok(())
    }

    pub(super) fn unit(&mut self, name: &'t str, unit: &'t str) -> Result<(), Wrong> {
        let open = self.metadata(name)?;
        if open.family.unit.is_some() {
            return Err(twice("UNIT", name));
        }
        open.family.unit = Some(unit);
        // An empty unit is none.
        let fits = unit.is_empty() || name.strip_suffix(unit).is_some_and(|stem| stem.ends_with('_'));
        if fits {
            return Ok(());
        }
        let what = format!("the name {} does not end with _ and the unit {}", quoted(name), quoted(unit));
        Err(wrong(what, "write the unit at the end of the name, in front of _total: latency_seconds"))
    }

    pub(super) fn help(&mut self, name: &'t str, help: &'t str) -> Result<(), Wrong> {
        let open = self.metadata(name)?;
        if open.family.help.is_some() {
            return Err(twice("HELP", name));
        }
        open.family.help = Some(help);
        Ok(())
    }

    /// The family that a line of metadata belongs to.
    fn metadata(&mut self, name: &'t str) -> Result<&mut Open<'t>, Wrong> {
        if self.open.as_ref().is_none_or(|open| open.family.name != name) {
            self.begin(name);
        }
        let format = self.format;
        match &mut self.open {
            Some(open) if format == Format::OpenMetrics && !open.family.samples.is_empty() => Err(behind(name)),
            Some(open) => Ok(open),
            None => Err(wrong("a line without a family", "report this")),
        }
    }

    fn begin(&mut self, name: &'t str) {
        self.close();
        self.open = Some(Open {
            family: Family { name, kind: Kind::Unknown, unit: None, help: None, samples: Vec::new() },
            typed: false,
            groups: BTreeSet::new(),
            group: None,
            timestamp: None,
            series: BTreeSet::new(),
            point: Point::default(),
            total: false,
        });
    }

    /// One more sample.
    pub(super) fn sample(&mut self, sample: Sample<'t>) -> Result<(), Wrong> {
        self.samples += 1;
        let format = self.format;
        let suffix_in = |open: &Open<'t>| {
            let suffix = sample.name.strip_prefix(open.family.name)?;
            open.family.kind.suffixes(format).contains(&suffix).then_some(suffix)
        };
        let suffix = match self.open.as_ref().and_then(suffix_in) {
            Some(suffix) => suffix,
            // A name that nobody announced is a family of its own.
            None => {
                self.begin(sample.name);
                ""
            }
        };
        let Some(open) = &mut self.open else { return Ok(()) };
        let ended = open.enter(suffix, &sample, format);
        let fits = open.fits(suffix, &sample, format);
        open.family.samples.push(sample);
        ended.and(fits)
    }

    fn close(&mut self) {
        let Some(open) = self.open.take() else { return };
        let ended = open.end(self.format);
        if let Err(wrong) = ended {
            self.mistake(wrong);
        }
        let (name, kind) = (open.family.name, open.family.kind);
        if open.family.unit.is_some_and(|unit| !unit.is_empty()) && matches!(kind, Kind::Info | Kind::StateSet) {
            let what = format!("{} is of type {} and has a unit", quoted(name), kind.word());
            self.mistake(wrong(what, "these types have no unit"));
        }
        let own = kind.suffixes(self.format).iter().filter(|suffix| !suffix.is_empty());
        let names = own.map(|suffix| Cow::Owned(format!("{name}{suffix}"))).chain([Cow::Borrowed(name)]);
        let mut clash = None;
        for name in names {
            // In text 0.0.4 only lines of one name have to stand together.
            if self.names.contains(&name) && (self.format == Format::OpenMetrics || name == open.family.name) {
                clash = Some(quoted(&name));
            }
            self.names.insert(name);
        }
        if let Some(clash) = clash {
            self.mistake(wrong(
                format!("the name {clash} belongs to a family before"),
                "write everything of one family in one place, and give no two families names that meet",
            ));
        }
        (self.take)(open.family);
    }
}

fn behind(name: &str) -> Wrong {
    let what = format!("metadata of {} behind its samples", quoted(name));
    wrong(what, "write TYPE, UNIT and HELP in front of the samples")
}

fn twice(what: &str, name: &str) -> Wrong {
    wrong(format!("a second {what} of {}", quoted(name)), "each family has it once")
}

/// The labels that tell metrics apart, in order of their names.
fn group<'t>(labels: &[Label<'t>], without: Option<&str>) -> Group<'t> {
    let kept = labels.iter().filter(|label| Some(label.name) != without);
    let mut group: Group<'t> = kept.map(|label| (label.name, label.value.clone())).collect();
    group.sort_unstable();
    group
}

impl<'t> Open<'t> {
    const fn is_histogram(&self) -> bool {
        matches!(self.family.kind, Kind::Histogram | Kind::GaugeHistogram)
    }

    fn group_of(&self, suffix: &str, sample: &Sample<'t>) -> Group<'t> {
        let name = self.family.name;
        match (self.family.kind, suffix) {
            // What an info says is in its labels: its metrics cannot be told apart.
            (Kind::Info, _) => Vec::new(),
            (Kind::Summary, "") => group(&sample.labels, Some("quantile")),
            (Kind::StateSet, _) => group(&sample.labels, Some(name)),
            (Kind::Histogram | Kind::GaugeHistogram, "_bucket") => group(&sample.labels, Some("le")),
            _ => group(&sample.labels, None),
        }
    }

    /// Places a sample among the others: metrics stand together, time goes forward, nothing stands twice.
    fn enter(&mut self, suffix: &str, sample: &Sample<'t>, format: Format) -> Result<(), Wrong> {
        let group_now = self.group_of(suffix, sample);
        let mut result = Ok(());
        let same = self.group.as_ref() == Some(&group_now);
        if !same || self.timestamp != sample.timestamp {
            result = self.end(format);
            self.point = Point::default();
        }
        if same {
            self.forward(sample, format, &mut result);
            if self.timestamp != sample.timestamp {
                self.series.clear();
            }
        } else {
            if self.groups.contains(&group_now) {
                result = result.and(Err(wrong(
                    format!("samples of one metric of {} do not stand together", quoted(self.family.name)),
                    "write all samples with the same labels one behind the other",
                )));
            }
            self.groups.insert(group_now.clone());
            self.series.clear();
            self.total = false;
            self.group = Some(group_now);
        }
        self.timestamp = sample.timestamp;
        self.total |= suffix == "_total";
        let fresh = self.series.insert((sample.name, group(&sample.labels, None)));
        // Stamps finer than a number can be told apart may become one: that is no fault of who wrote them.
        if !fresh && (sample.timestamp.is_none() || format == Format::Text) {
            let what = format!("{} stands twice with the same labels", quoted(sample.name));
            result = result.and(Err(wrong(what, "write each sample once")));
        }
        result
    }

    fn forward(&self, sample: &Sample<'t>, format: Format, result: &mut Result<(), Wrong>) {
        let name = quoted(sample.name);
        let mistake = match (self.timestamp, sample.timestamp) {
            (None, Some(_)) | (Some(_), None) if format == Format::OpenMetrics => wrong(
                format!("some samples of {name} have a timestamp and some have none"),
                "give a timestamp to all samples of a metric, or to none",
            ),
            (Some(before), Some(now)) if now < before && self.family.kind != Kind::Info => {
                wrong(format!("the timestamps of {name} go backwards"), "write the older samples first")
            }
            _ => return,
        };
        if result.is_ok() {
            *result = Err(mistake);
        }
    }

    /// What no single line of a metric can show.
    fn end(&self, format: Format) -> Result<(), Wrong> {
        if self.group.is_none() {
            return Ok(());
        }
        let (name, kind) = (self.family.name, self.family.kind);
        if self.is_histogram() {
            return self.point.whole(kind, format, name);
        }
        if kind == Kind::Counter && format == Format::OpenMetrics && !self.total {
            let what = format!("the counter {} has no total", quoted(name));
            return Err(wrong(what, "write its value under the name that ends with _total"));
        }
        Ok(())
    }

    /// What the kind allows this sample to be.
    fn fits(&mut self, suffix: &str, sample: &Sample<'t>, format: Format) -> Result<(), Wrong> {
        let (kind, value) = (self.family.kind, sample.value);
        let name = quoted(sample.name);
        let counts = matches!(suffix, "_total" | "_bucket" | "_count" | "_gcount")
            || (suffix == "_sum" && format == Format::OpenMetrics);
        let refused = |what: &str, hint: &'static str| Err(wrong(format!("{name} {what}"), hint));
        if (counts || suffix == "_gsum") && value.is_nan() {
            return refused("counts and is NaN", "a counter begins at 0: leave the sample out until there is one");
        }
        if counts && value < 0.0 {
            return refused("counts and is negative", "a counter begins at 0 and never falls");
        }
        let whole = matches!(suffix, "_bucket" | "_count" | "_gcount") && format == Format::OpenMetrics;
        if whole && value.fract() != 0.0 {
            return refused("counts and is not a whole number", "what is counted comes in whole numbers");
        }
        if suffix == "_created" && !value.is_finite() {
            return refused("is no time", "it is when the counter began, in seconds since 1970");
        }
        match (kind, suffix) {
            (Kind::StateSet, _) => {
                if sample.label(self.family.name).is_none() {
                    return refused(
                        "has no label of its own name",
                        "each state of a stateset is the label of its name",
                    );
                }
                if value != 0.0 && value != 1.0 {
                    return refused("is neither 0 nor 1", "a state is on (1) or off (0)");
                }
            }
            (Kind::Info, _) if value != 1.0 => return refused("is an info and not 1", "its value is always 1"),
            (Kind::Summary, "") => {
                if sample.label("quantile").and_then(point::quantile).is_none() {
                    return refused("has no quantile from 0 to 1", "write quantile=\"0.99\"");
                }
                if value < 0.0 && format == Format::OpenMetrics {
                    return refused("is a quantile and negative", "a summary is of values that are not negative");
                }
            }
            _ => {}
        }
        if sample.exemplar.is_some() && !(suffix == "_bucket" || (kind == Kind::Counter && suffix == "_total")) {
            return refused("has an exemplar", "only buckets and totals of counters have exemplars");
        }
        if self.is_histogram() { self.point.take(suffix, sample) } else { Ok(()) }
    }
}
