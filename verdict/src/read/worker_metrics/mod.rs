//! A worker's own metrics: the families that tell of its work, by the names of the Temporal SDKs, by those of the usual
//! client libraries, and by names that the configuration gives.

mod figures;
mod series;
mod temporal;
#[cfg(test)]
mod tests;

use std::sync::Arc;

pub use self::series::{NoSeries, Series};

use self::temporal::Sdk;
use crate::evidence::{Info, Numbers, Observation, TypeReport};
use crate::histogram::Histogram;
use crate::read::exposition::{self, Family, Format, Limits, Mistake};
use crate::time::WallTime;
use crate::words::TaskType;
use crate::work::{Done, Work};

/// Names that a configuration gives. The series of each name are added up.
#[derive(Clone, Debug, PartialEq)]
pub struct Names {
    /// A counter that moves while it makes progress.
    pub progress: Vec<Series>,
    /// A gauge of what waits for it.
    pub waiting: Vec<Series>,
    /// A gauge of what it works on.
    pub in_flight: Vec<Series>,
    /// Counters of finished tasks, failed ones included.
    pub tasks: Vec<Series>,
    /// Counters of failed tasks.
    pub tasks_failed: Vec<Series>,
    /// A histogram of the durations of tasks, seconds.
    pub task_duration: Vec<Series>,
    /// A histogram of how long tasks waited, seconds.
    pub schedule_to_start: Vec<Series>,
    /// What the families of a Temporal SDK begin with; empty: they are not looked for.
    pub temporal_prefix: String,
}

impl Default for Names {
    fn default() -> Self {
        Self {
            progress: Vec::new(),
            waiting: Vec::new(),
            in_flight: Vec::new(),
            tasks: Vec::new(),
            tasks_failed: Vec::new(),
            task_duration: Vec::new(),
            schedule_to_start: Vec::new(),
            temporal_prefix: String::from("temporal_"),
        }
    }
}

/// A name of the configuration, or of what is understood anyway, and what was found under it.
#[derive(Clone, Debug, PartialEq)]
pub struct Use {
    /// What it is to us.
    pub what: &'static str,
    /// The name.
    pub name: String,
    /// The value; `None` where nothing of that name is there.
    pub value: Option<f64>,
}

/// What one exposition says.
#[derive(Debug)]
pub struct MetricsAnswer {
    /// Its numbers.
    pub numbers: Numbers,
    /// Its slots, pollers and counters by type.
    pub types: Vec<TypeReport>,
    /// What it did.
    pub work: Work,
    /// Start, host, process.
    pub info: Info,
    /// Queues that it names.
    pub task_queues: Vec<Arc<str>>,
    /// Families of an SDK that were used, and those of the configuration: what a person wants to see.
    pub uses: Vec<Use>,
    /// Families in all.
    pub families: usize,
    /// Samples in all.
    pub samples: usize,
}

/// Reads a whole exposition.
///
/// # Errors
/// Every mistake in it.
pub fn read(bytes: &[u8], format: Format, limits: &Limits, names: &Names) -> Result<MetricsAnswer, Vec<Mistake>> {
    let mut found = Found::new(names);
    exposition::read(bytes, format, limits, &mut |family| found.family(&family))?;
    Ok(found.answer())
}

/// One figure of the configuration.
struct Named<'n> {
    what: &'static str,
    series: &'n [Series],
    /// By series: `None` while nothing of its name was seen.
    values: Vec<Option<f64>>,
}

impl<'n> Named<'n> {
    fn new(what: &'static str, series: &'n [Series]) -> Self {
        Self { what, series, values: vec![None; series.len()] }
    }

    fn family(&mut self, family: &Family<'_>) {
        for (series, value) in self.series.iter().zip(&mut self.values) {
            let mut names: Vec<&str> = family.samples.iter().map(|sample| sample.name).collect();
            // A total and its creation take turns.
            names.sort_unstable();
            names.dedup();
            for name in names.iter().filter(|name| series.names(name)) {
                let suffix = name.strip_prefix(family.name).unwrap_or_default();
                let sum = figures::sum(family, suffix, |sample| series.fits(sample));
                *value = Some(value.unwrap_or_default() + sum.unwrap_or_default());
            }
            // A family that is announced and has no series yet has counted nothing.
            if family.samples.is_empty() && series.names(family.name) {
                value.get_or_insert(0.0);
            }
        }
    }

    /// All of them; `None` unless something of each name is there, since a part is not the whole.
    fn value(&self) -> Option<f64> {
        if self.values.is_empty() {
            return None;
        }
        self.values.iter().copied().sum()
    }

    fn whole(&self) -> Option<u64> {
        self.value().and_then(figures::whole)
    }

    fn uses(&self) -> impl Iterator<Item = Use> {
        let pairs = self.series.iter().zip(&self.values);
        pairs.map(|(series, value)| Use { what: self.what, name: series.to_string(), value: *value })
    }
}

/// A histogram of the configuration.
struct Timed<'n> {
    what: &'static str,
    series: &'n [Series],
    found: Option<Histogram>,
    uses: Vec<Use>,
}

impl<'n> Timed<'n> {
    const fn new(what: &'static str, series: &'n [Series]) -> Self {
        Self { what, series, found: None, uses: Vec::new() }
    }

    fn family(&mut self, family: &Family<'_>) {
        for series in self.series.iter().filter(|series| series.names(family.name)) {
            // Base units are seconds; another unit is in the name.
            let unit = family.unit.filter(|unit| !unit.is_empty()).unwrap_or(family.name);
            let scale = if unit.ends_with("milliseconds") || unit.ends_with("_ms") { 0.001 } else { 1.0 };
            let durations = figures::durations(family, scale, |sample| series.fits(sample));
            let histogram = match durations.histogram {
                Some(histogram) => histogram,
                None if family.samples.is_empty() => Histogram::default(),
                None => continue,
            };
            #[expect(clippy::cast_precision_loss, reason = "a figure for people")]
            let value = Some(histogram.count as f64);
            self.uses.push(Use { what: self.what, name: series.to_string(), value });
            self.found.get_or_insert_default().add(&histogram);
        }
    }

    fn uses(&self) -> impl Iterator<Item = Use> {
        let missing = self.series.iter().filter(|series| !self.uses.iter().any(|u| u.name == series.to_string()));
        let missing = missing.map(|series| Use { what: self.what, name: series.to_string(), value: None });
        self.uses.iter().cloned().chain(missing)
    }
}

struct Found<'n> {
    names: &'n Names,
    progress: Named<'n>,
    waiting: Named<'n>,
    in_flight: Named<'n>,
    tasks: Named<'n>,
    tasks_failed: Named<'n>,
    task_duration: Timed<'n>,
    schedule_to_start: Timed<'n>,
    sdk: Sdk,
    info: Info,
    memory: Option<u64>,
    uses: Vec<Use>,
    families: usize,
    samples: usize,
}

impl<'n> Found<'n> {
    fn new(names: &'n Names) -> Self {
        Self {
            names,
            progress: Named::new("progress", &names.progress),
            waiting: Named::new("waiting", &names.waiting),
            in_flight: Named::new("in_flight", &names.in_flight),
            tasks: Named::new("tasks", &names.tasks),
            tasks_failed: Named::new("tasks_failed", &names.tasks_failed),
            task_duration: Timed::new("task_duration", &names.task_duration),
            schedule_to_start: Timed::new("schedule_to_start", &names.schedule_to_start),
            sdk: Sdk::default(),
            info: Info::default(),
            memory: None,
            uses: Vec::new(),
            families: 0,
            samples: 0,
        }
    }

    fn family(&mut self, family: &Family<'_>) {
        self.families += 1;
        self.samples += family.samples.len();
        for named in
            [&mut self.progress, &mut self.waiting, &mut self.in_flight, &mut self.tasks, &mut self.tasks_failed]
        {
            named.family(family);
        }
        self.task_duration.family(family);
        self.schedule_to_start.family(family);
        let prefix = &self.names.temporal_prefix;
        if !prefix.is_empty() && temporal::take(&mut self.sdk, family, prefix) {
            let value = figures::sum(family, figures::total(family), |_| true)
                .or_else(|| figures::sum(family, "_count", |_| true));
            self.uses.push(Use { what: "temporal", name: family.name.to_owned(), value });
        }
        self.process(family);
    }

    /// What the usual client libraries say of the process.
    fn process(&mut self, family: &Family<'_>) {
        let what = match family.name {
            "process_start_time_seconds" => "start_time",
            "process_resident_memory_bytes" => "memory_bytes",
            "target" | "target_info" => return self.target(family),
            _ => return,
        };
        let Some(value) = figures::sum(family, "", |sample| sample.labels.is_empty()) else { return };
        match what {
            "start_time" => self.info.start_time = WallTime::from_seconds(value).filter(|_| value > 0.0),
            _ => self.memory = figures::whole(value),
        }
        self.uses.push(Use { what, name: family.name.to_owned(), value: Some(value) });
    }

    /// OpenTelemetry writes the resource into `target_info`.
    fn target(&mut self, family: &Family<'_>) {
        let Some(sample) = family.samples.last() else { return };
        let label = |name: &str| sample.label(name).filter(|value| !value.is_empty()).map(Arc::from);
        self.info.host = label("host_name");
        self.info.pid = label("process_pid");
        self.info.pod = label("k8s_pod_name");
    }

    fn answer(self) -> MetricsAnswer {
        let types = self.sdk.types();
        let own = || types.iter().filter(|report| report.task_type != TaskType::LocalActivity);
        let by_type = |of: fn(&TypeReport) -> Option<u64>| -> Option<u64> {
            own().next()?;
            own().map(of).sum()
        };
        let named = self.tasks.whole();
        let (tasks, seconds, mut durations) = match named {
            Some(finished) => {
                let failed = self.tasks_failed.whole();
                let done = Done { task_type: TaskType::Activity, finished: Some(finished), failed };
                (vec![done], self.task_duration.found.as_ref().map(|histogram| histogram.sum), Vec::new())
            }
            None => (self.sdk.tasks(), self.sdk.seconds(), self.sdk.durations()),
        };
        if let Some(histogram) = &self.task_duration.found {
            durations = vec![(TaskType::Activity, histogram.clone())];
        }
        let schedule_to_start = match &self.schedule_to_start.found {
            Some(histogram) => vec![(TaskType::Activity, histogram.clone())],
            None => self.sdk.schedule_to_start(),
        };
        let (sticky_hits, sticky_misses) = self.sdk.sticky();
        let numbers = Numbers {
            tasks_total: named.or_else(|| by_type(|report| report.processed)),
            tasks_failed: if named.is_some() { self.tasks_failed.whole() } else { by_type(|report| report.failed) },
            in_flight: self.in_flight.whole().or_else(|| self.sdk.in_flight()),
            waiting: self.waiting.whole(),
            // Only whether it moved matters, and a counter of seconds moves by less than one.
            progress: self.progress.value().map(f64::to_bits),
            task_seconds_total: seconds,
            memory_bytes: self.memory,
            ..Numbers::default()
        };
        let named = [&self.progress, &self.waiting, &self.in_flight, &self.tasks, &self.tasks_failed];
        let mut uses: Vec<Use> = named.into_iter().flat_map(Named::uses).collect();
        uses.extend(self.task_duration.uses().chain(self.schedule_to_start.uses()));
        uses.extend(self.uses);
        let work = Work {
            tasks,
            seconds,
            durations,
            schedule_to_start,
            sticky_hits,
            sticky_misses,
            requests_failed: self.sdk.requests_failed(),
            request_durations: self.sdk.request_durations(),
            task_failures: self.sdk.task_failures(),
            unregistered_activities: self.sdk.unregistered_activities(),
        };
        MetricsAnswer {
            numbers,
            types,
            work,
            info: self.info,
            task_queues: self.sdk.task_queues().to_vec(),
            uses,
            families: self.families,
            samples: self.samples,
        }
    }
}

impl MetricsAnswer {
    /// Puts it into the observation of its worker.
    pub fn put_into(self, observation: &mut Observation) {
        observation.numbers = self.numbers;
        observation.types = self.types;
        observation.info = self.info;
        observation.task_queues = self.task_queues;
        observation.work = Some(Box::new(self.work));
    }
}
