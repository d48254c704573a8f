//! Every metric family, in ONE table: name, kind, unit, help, labels, stability, and how it is filled. The exposition,
//! the reference page and the tests come from here. A new metric is one row.
//!
//! Order matters: the rows of a worker stand in the order of their worth, and the last ones yield where a worker would
//! have more than [`WORKER_SERIES`] series.

use verdict::evidence::TypeReport;
use verdict::snapshot::{FleetView, QueueView, SourceView, VersionView, WorkerView};
use verdict::words::{Failure, State, TaskType};

use super::Live;
use super::write::{Sink, Value};

/// The most series that one worker may have.
pub const WORKER_SERIES: u64 = 40;

/// The kinds of family.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Goes up and down.
    Gauge,
    /// Only rises.
    Counter,
    /// Always 1; the labels tell.
    Info,
    /// Distribution over the fixed bounds.
    Histogram,
}

impl Kind {
    /// The word for it in documentation.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Gauge => "gauge",
            Self::Counter => "counter",
            Self::Info => "info",
            Self::Histogram => "histogram",
        }
    }
}

/// The units, all of them base units.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// Seconds.
    Seconds,
    /// Bytes.
    Bytes,
    /// 0 to 1.
    Ratio,
}

impl Unit {
    /// What a name of this unit ends in (before `_total`).
    #[must_use]
    pub const fn suffix(self) -> &'static str {
        match self {
            Self::Seconds => "seconds",
            Self::Bytes => "bytes",
            Self::Ratio => "ratio",
        }
    }
}

/// What may be built on a family.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stability {
    /// Name, labels and meaning stay within a major version.
    Stable,
    /// May still change; the changelog says so.
    Experimental,
}

impl Stability {
    /// The word for it in documentation.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Stable => "stable",
            Self::Experimental => "experimental",
        }
    }
}

/// How a family is filled: what it has series of, and by which function.
#[derive(Clone, Copy)]
pub(crate) enum Fill {
    Worker(fn(&WorkerView, &mut dyn Sink)),
    Fleet(fn(&FleetView, &mut dyn Sink)),
    Queue(fn(&QueueView, &mut dyn Sink)),
    Source(fn(&SourceView, &mut dyn Sink)),
    Exporter(fn(&Live, &mut dyn Sink)),
}

/// One row.
#[derive(Clone, Copy)]
pub struct Family {
    /// The name as a query says it, with every suffix but those of a histogram.
    pub name: &'static str,
    /// Kind.
    pub kind: Kind,
    /// Unit, where there is one.
    pub unit: Option<Unit>,
    /// Help text: no quote, backslash or line end, so that it needs no escaping in either format.
    pub help: &'static str,
    /// Label names, those of the subject first.
    pub labels: &'static [&'static str],
    /// Stability.
    pub stability: Stability,
    /// How it is filled.
    pub(crate) fill: Fill,
}

impl Family {
    /// The name without the suffixes that the encoder adds.
    #[must_use]
    pub fn base(&self) -> &'static str {
        let suffix = match self.kind {
            Kind::Counter => "_total",
            Kind::Info => "_info",
            Kind::Gauge | Kind::Histogram => "",
        };
        let base = self.name.strip_suffix(suffix).unwrap_or(self.name);
        let unit = self.unit.and_then(|unit| base.strip_suffix(unit.suffix()));
        unit.and_then(|base| base.strip_suffix('_')).unwrap_or(base)
    }

    /// What it has series of, for the reference page.
    #[must_use]
    pub fn subject(&self) -> &'static str {
        match self.fill {
            Fill::Worker(_) => "worker",
            Fill::Fleet(_) => "fleet",
            Fill::Queue(_) => "queue",
            Fill::Source(_) | Fill::Exporter(_) => "exporter",
        }
    }
}

impl std::fmt::Debug for Family {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Family").field("name", &self.name).finish_non_exhaustive()
    }
}

const fn row(
    name: &'static str,
    kind: Kind,
    unit: Option<Unit>,
    labels: &'static [&'static str],
    fill: Fill,
    help: &'static str,
) -> Family {
    Family { name, kind, unit, help, labels, stability: Stability::Stable, fill }
}

const fn experimental(family: Family) -> Family {
    Family { stability: Stability::Experimental, ..family }
}

const WORKER: &[&str] = &["fleet", "worker"];
const WORKER_TYPE: &[&str] = &["fleet", "worker", "task_type"];
const FLEET: &[&str] = &["fleet"];
const QUEUE: &[&str] = &["source", "temporal_namespace", "task_queue", "task_type"];
const VERSION: &[&str] =
    &["source", "temporal_namespace", "task_queue", "task_type", "deployment", "build_id", "status"];
const SOURCE: &[&str] = &["source"];
const NAMESPACE: &[&str] = &["source", "temporal_namespace"];
const SOURCE_KIND: &[&str] = &["source", "kind"];

fn put<'a>(sink: &mut dyn Sink, value: Option<impl Into<Value<'a>>>) {
    if let Some(value) = value {
        sink.put(&[], value.into());
    }
}

/// The reports of a worker, each type once: a second series of the same labels would fail the whole scrape.
fn types(worker: &WorkerView) -> impl Iterator<Item = &TypeReport> {
    let of = &worker.types;
    of.iter().enumerate().filter(|(at, t)| of.iter().take(*at).all(|e| e.task_type != t.task_type)).map(|(_, t)| t)
}

fn up(worker: &WorkerView, sink: &mut dyn Sink) {
    let up = match worker.state {
        State::Healthy | State::Degraded | State::Stuck | State::Draining => Some(true),
        State::Down => Some(false),
        State::Unknown | State::Starting => None,
    };
    put(sink, up);
}

fn fleet_tasks(fleet: &FleetView, sink: &mut dyn Sink) {
    for task_type in TaskType::ALL {
        let of = |counts: &[(TaskType, u64)]| counts.iter().find(|(t, _)| t == task_type).map(|(_, n)| *n);
        let (completed, failed) = (of(&fleet.tasks_completed), of(&fleet.tasks_failed));
        // Both outcomes from the first sight of the type, so that the first failure is an increase from 0.
        let known = fleet.slots.iter().any(|(t, ..)| t == task_type)
            || fleet.queues.iter().any(|queue| queue.task_type == *task_type);
        if known || completed.is_some() || failed.is_some() {
            sink.put(&[task_type.word(), "completed"], completed.unwrap_or(0).into());
            sink.put(&[task_type.word(), "failed"], failed.unwrap_or(0).into());
        }
    }
}

fn versions(queue: &QueueView, sink: &mut dyn Sink, value: fn(&VersionView) -> Option<Value<'static>>) {
    for view in &queue.versions {
        if let Some(value) = value(view) {
            sink.put(&[&view.version.deployment, &view.version.build_id, view.status.word()], value);
        }
    }
}

fn source_errors(source: &SourceView, sink: &mut dyn Sink) {
    for reason in Failure::ALL {
        let count = source.errors.iter().find(|(failure, _)| failure == reason).map_or(0, |(_, n)| *n);
        sink.put(&[reason.word()], count.into());
    }
}

#[expect(clippy::cast_precision_loss, reason = "counts of workers and files fit in 53 bits")]
fn count(value: usize) -> f64 {
    value as f64
}

/// Every family.
pub const FAMILIES: &[Family] = &{
    use Fill::{Exporter, Fleet, Queue, Source, Worker};
    use Kind::{Counter, Gauge, Histogram, Info};
    use Unit::{Bytes, Ratio, Seconds};
    [
        // Workers.
        row(
            "worker_up",
            Gauge,
            None,
            WORKER,
            Worker(up),
            "1 while the worker is healthy, degraded, stuck or draining, 0 while it is down; absent while unknown or starting.",
        ),
        row(
            "worker_state",
            Gauge,
            None,
            &["fleet", "worker", "state"],
            Worker(|w, s| State::ALL.iter().for_each(|state| s.put(&[state.word()], (w.state == *state).into()))),
            "Exactly one of the seven states is 1.",
        ),
        row(
            "worker_state_reason",
            Gauge,
            None,
            &["fleet", "worker", "reason"],
            Worker(|w, s| s.put(&[w.reason.word()], 1_u64.into())),
            "1 for the reason of the state.",
        ),
        row(
            "worker_state_since_timestamp_seconds",
            Gauge,
            Some(Seconds),
            WORKER,
            Worker(|w, s| s.put(&[], w.since.seconds().into())),
            "Since when the worker is in its state.",
        ),
        row(
            "worker_state_changes_total",
            Counter,
            None,
            WORKER,
            Worker(|w, s| s.put(&[], w.changes.into())),
            "Changes of state, those to and from unknown left out.",
        ),
        row(
            "worker_restarts_total",
            Counter,
            None,
            WORKER,
            Worker(|w, s| s.put(&[], w.restarts.into())),
            "Incarnations of the worker after the first that was seen.",
        ),
        row(
            "worker_health_score",
            Gauge,
            None,
            WORKER,
            Worker(|w, s| put(s, w.score)),
            "Weighted mean of the known checks, 0 to 1; absent while nothing is known.",
        ),
        row(
            "worker_check_score",
            Gauge,
            None,
            &["fleet", "worker", "check"],
            Worker(|w, s| {
                use verdict::snapshot::Finding::{Critical, Pass, Warning};
                for check in &w.checks {
                    let score = match check.finding {
                        Some(Pass) => 1.0,
                        Some(Warning) => 0.5,
                        Some(Critical) => 0.0,
                        None => continue,
                    };
                    s.put(&[check.check.word()], score.into());
                }
            }),
            "1 passes, 0.5 warns, 0 is critical; a check that is not known has no series.",
        ),
        row(
            "worker_info",
            Info,
            None,
            &["fleet", "worker", "host", "pod", "pid", "sdk_name", "sdk_version", "build_id", "deployment", "source"],
            Worker(|w, s| {
                let i = &w.info;
                let named = [&i.host, &i.pod, &i.pid, &i.sdk_name, &i.sdk_version, &i.build_id, &i.deployment];
                let [host, pod, pid, sdk, version, build, deployment] = named.map(|v| v.as_deref().unwrap_or_default());
                s.put(&[host, pod, pid, sdk, version, build, deployment, &w.sources.join(",")], 1_u64.into());
            }),
            "Names and versions of the worker's present incarnation, and the sources that show it.",
        ),
        row(
            "worker_last_heartbeat_timestamp_seconds",
            Gauge,
            Some(Seconds),
            WORKER,
            Worker(|w, s| put(s, w.last_heartbeat.map(|t| t.seconds()))),
            "When its last heartbeat was received, by our clock; absent if it never beat.",
        ),
        row(
            "worker_heartbeat_interval_seconds",
            Gauge,
            Some(Seconds),
            WORKER,
            Worker(|w, s| put(s, w.heartbeat_interval.map(|d| d.as_secs_f64()))),
            "The heartbeat interval that its limits come from: declared, then learned.",
        ),
        row(
            "worker_last_progress_timestamp_seconds",
            Gauge,
            Some(Seconds),
            WORKER,
            Worker(|w, s| put(s, w.last_progress.map(|t| t.seconds()))),
            "When it last made progress of its own, by our clock.",
        ),
        row(
            "worker_tasks_total",
            Counter,
            None,
            WORKER,
            Worker(|w, s| put(s, w.tasks_total)),
            "Tasks finished, failed ones included, over all incarnations that were seen.",
        ),
        row(
            "worker_tasks_failed_total",
            Counter,
            None,
            WORKER,
            Worker(|w, s| put(s, w.tasks_failed_total)),
            "Tasks failed, over all incarnations that were seen.",
        ),
        row(
            "worker_tasks_in_flight",
            Gauge,
            None,
            WORKER,
            Worker(|w, s| put(s, w.numbers.in_flight)),
            "Tasks it works on.",
        ),
        row(
            "worker_slots",
            Gauge,
            None,
            &["fleet", "worker", "task_type", "slot"],
            Worker(|w, s| {
                for t in types(w) {
                    if let Some(used) = t.used {
                        s.put(&[t.task_type.word(), "used"], used.into());
                    }
                    if let Some(available) = t.available {
                        s.put(&[t.task_type.word(), "available"], available.into());
                    }
                }
            }),
            "Slots for tasks, used and available; available is absent where they are unbounded.",
        ),
        row(
            "worker_pollers",
            Gauge,
            None,
            WORKER_TYPE,
            Worker(|w, s| {
                for t in types(w) {
                    if let Some(pollers) = t.pollers {
                        s.put(&[t.task_type.word()], pollers.into());
                    }
                }
            }),
            "Pollers at work.",
        ),
        row(
            "worker_start_time_seconds",
            Gauge,
            Some(Seconds),
            WORKER,
            Worker(|w, s| put(s, w.info.start_time.map(|t| t.seconds()))),
            "When its present incarnation started, by its own clock.",
        ),
        row(
            "worker_clock_skew_seconds",
            Gauge,
            Some(Seconds),
            WORKER,
            Worker(|w, s| put(s, w.clock_skew)),
            "Its clock minus ours, as far as a heartbeat shows.",
        ),
        row(
            "worker_certificate_not_after_timestamp_seconds",
            Gauge,
            Some(Seconds),
            WORKER,
            Worker(|w, s| put(s, w.certificate.map(|t| t.seconds()))),
            "Until when the certificate is valid that its endpoint shows; absent without TLS.",
        ),
        row(
            "worker_cpu_usage_ratio",
            Gauge,
            Some(Ratio),
            WORKER,
            Worker(|w, s| put(s, w.numbers.cpu_ratio)),
            "Its own CPU in use, of its limit.",
        ),
        row(
            "worker_memory_bytes",
            Gauge,
            Some(Bytes),
            WORKER,
            Worker(|w, s| put(s, w.numbers.memory_bytes)),
            "Its own memory in use.",
        ),
        row(
            "worker_memory_limit_bytes",
            Gauge,
            Some(Bytes),
            WORKER,
            Worker(|w, s| put(s, w.numbers.memory_limit_bytes)),
            "Its memory limit.",
        ),
        row(
            "worker_gpu_memory_usage_ratio",
            Gauge,
            Some(Ratio),
            WORKER,
            Worker(|w, s| put(s, w.numbers.gpu_memory_ratio)),
            "GPU memory in use.",
        ),
        row(
            "worker_gpu_utilization_ratio",
            Gauge,
            Some(Ratio),
            WORKER,
            Worker(|w, s| put(s, w.numbers.gpu_ratio)),
            "GPU in use.",
        ),
        row(
            "worker_disk_usage_ratio",
            Gauge,
            Some(Ratio),
            WORKER,
            Worker(|w, s| put(s, w.numbers.disk_ratio)),
            "Its disk in use.",
        ),
        row(
            "worker_host_cpu_usage_ratio",
            Gauge,
            Some(Ratio),
            WORKER,
            Worker(|w, s| put(s, w.numbers.host_cpu_ratio)),
            "CPU in use on its host: shown, not judged.",
        ),
        row(
            "worker_host_memory_usage_ratio",
            Gauge,
            Some(Ratio),
            WORKER,
            Worker(|w, s| put(s, w.numbers.host_memory_ratio)),
            "Memory in use on its host: shown, not judged.",
        ),
        // Fleets.
        row(
            "worker_fleet_info",
            Info,
            None,
            &["fleet", "page", "team"],
            Fleet(|f, s| {
                let page = match f.page {
                    verdict::rules::Page::Worker => "worker",
                    verdict::rules::Page::Fleet => "fleet",
                };
                s.put(&[page, &f.team], 1_u64.into());
            }),
            "The fleet, who is paged for it, and its team.",
        ),
        row(
            "worker_fleet_workers",
            Gauge,
            None,
            &["fleet", "state"],
            Fleet(|f, s| State::ALL.iter().for_each(|state| s.put(&[state.word()], f.count(*state).into()))),
            "Workers of the fleet by state.",
        ),
        row(
            "worker_fleet_expected_workers",
            Gauge,
            None,
            FLEET,
            Fleet(|f, s| put(s, f.expected_workers)),
            "Workers that the owner expects; absent where nobody said.",
        ),
        row(
            "worker_fleet_tasks_total",
            Counter,
            None,
            &["fleet", "task_type", "outcome"],
            Fleet(fleet_tasks),
            "Tasks of the fleet by outcome since the exporter started; survives its workers.",
        ),
        row(
            "worker_task_duration_seconds",
            Histogram,
            Some(Seconds),
            &["fleet", "task_type"],
            Fleet(|f, s| f.work.durations.iter().for_each(|(t, h)| s.put(&[t.word()], Value::Histogram(h)))),
            "How long tasks of the fleet took, since the exporter started, as its workers measure it; survives them.",
        ),
        row(
            "worker_schedule_to_start_seconds",
            Histogram,
            Some(Seconds),
            &["fleet", "task_type"],
            Fleet(|f, s| f.work.schedule_to_start.iter().for_each(|(t, h)| s.put(&[t.word()], Value::Histogram(h)))),
            "How long tasks of the fleet waited before a worker began them, as its workers measure it.",
        ),
        row(
            "worker_sticky_cache_hits_total",
            Counter,
            None,
            FLEET,
            Fleet(|f, s| put(s, f.work.sticky_hits)),
            "Workflow tasks that found their workflow in the cache of their worker.",
        ),
        row(
            "worker_sticky_cache_misses_total",
            Counter,
            None,
            FLEET,
            Fleet(|f, s| put(s, f.work.sticky_misses)),
            "Workflow tasks that did not find their workflow in the cache of their worker, and replayed it.",
        ),
        row(
            "worker_requests_failed_total",
            Counter,
            None,
            &["fleet", "operation", "code"],
            Fleet(|f, s| {
                for (operation, code, count) in &f.work.requests_failed {
                    s.put(&[operation, code], (*count).into());
                }
            }),
            "Requests of workers of the fleet to their server that failed, by method and status.",
        ),
        row(
            "worker_request_duration_seconds",
            Histogram,
            Some(Seconds),
            FLEET,
            Fleet(|f, s| f.work.request_durations.iter().for_each(|h| s.put(&[], Value::Histogram(h)))),
            "How long requests took that a user waits for (starts, signals, updates), as clients in the fleet measure it.",
        ),
        row(
            "worker_workflow_task_failures_total",
            Counter,
            None,
            &["fleet", "reason"],
            Fleet(|f, s| f.work.task_failures.iter().for_each(|(why, n)| s.put(&[why.word()], (*n).into()))),
            "Workflow tasks of the fleet that failed, by the reason that the SDK names; absent where no worker counts them.",
        ),
        row(
            "worker_unregistered_activities_total",
            Counter,
            None,
            FLEET,
            Fleet(|f, s| put(s, f.work.unregistered_activities)),
            "Calls of activities that the worker does not know; only the SDK for Go counts them.",
        ),
        row(
            "worker_fleet_slots",
            Gauge,
            None,
            &["fleet", "task_type", "slot"],
            Fleet(|f, s| {
                for (task_type, used, available) in &f.slots {
                    s.put(&[task_type.word(), "used"], (*used).into());
                    if let Some(available) = available {
                        s.put(&[task_type.word(), "available"], (*available).into());
                    }
                }
            }),
            "Slots of the fleet, used and available; available is absent where they are unbounded.",
        ),
        row(
            "worker_fleet_queue_info",
            Info,
            None,
            &["fleet", "source", "temporal_namespace", "task_queue", "task_type"],
            Fleet(|f, s| {
                for queue in &f.queues {
                    s.put(&[&queue.source, &queue.namespace, &queue.task_queue, queue.task_type.word()], 1_u64.into());
                }
            }),
            "A queue that workers of the fleet serve: the join between fleets and queues.",
        ),
        row(
            "worker_fleet_source_info",
            Info,
            None,
            &["fleet", "source"],
            Fleet(|f, s| f.sources.iter().for_each(|source| s.put(&[source], 1_u64.into()))),
            "A source that shows workers of the fleet.",
        ),
        // Queues.
        row(
            "task_queue_backlog_tasks",
            Gauge,
            None,
            QUEUE,
            Queue(|q, s| put(s, q.backlog)),
            "Tasks that wait, about, as the queue server counts them.",
        ),
        row(
            "task_queue_backlog_age_seconds",
            Gauge,
            Some(Seconds),
            QUEUE,
            Queue(|q, s| put(s, q.backlog_age_seconds)),
            "Age of the head of the queue, as the queue server gives it.",
        ),
        row(
            "task_queue_add_rate",
            Gauge,
            None,
            QUEUE,
            Queue(|q, s| put(s, q.add_rate)),
            "Tasks added a second, as the queue server averages them (about 30 s).",
        ),
        row(
            "task_queue_dispatch_rate",
            Gauge,
            None,
            QUEUE,
            Queue(|q, s| put(s, q.dispatch_rate)),
            "Tasks dispatched a second, as the queue server averages them (about 30 s).",
        ),
        row(
            "task_queue_pollers",
            Gauge,
            None,
            QUEUE,
            Queue(|q, s| put(s, q.pollers)),
            "Pollers that the queue server lists.",
        ),
        row(
            "task_queue_pollers_incomplete",
            Gauge,
            None,
            QUEUE,
            Queue(|q, s| put(s, q.pollers_incomplete)),
            "1 while more may poll than were seen: a list is cut at 1,000, or the request budget left partitions out. Who was \
             not seen is then not held to be silent.",
        ),
        row(
            "task_queue_rate_limited",
            Gauge,
            None,
            QUEUE,
            Queue(|q, s| put(s, q.rate_limited)),
            "1 while the queue server holds tasks back for a rate limit.",
        ),
        row(
            "task_queue_workers",
            Gauge,
            None,
            &["source", "temporal_namespace", "task_queue", "task_type", "condition"],
            Queue(|q, s| {
                s.put(&["polling"], q.workers_polling.into());
                s.put(&["full"], q.workers_full.into());
                s.put(&["silent"], q.workers_silent.into());
            }),
            "Workers that serve the queue: those that poll, those whose slots are all busy, those that are silent.",
        ),
        row(
            "task_queue_last_success_timestamp_seconds",
            Gauge,
            Some(Seconds),
            QUEUE,
            Queue(|q, s| put(s, q.last_success.map(|t| t.seconds()))),
            "When a look at the queue last succeeded, by our clock.",
        ),
        row(
            "task_queue_version_pollers",
            Gauge,
            None,
            VERSION,
            Queue(|q, s| versions(q, s, |v| v.pollers.map(Into::into))),
            "Pollers of one version of the workers that the queue server lists, less those whose worker is down or said goodbye; 0 for a version that is given tasks and that nobody polls for.",
        ),
        experimental(row(
            "task_queue_version_backlog_tasks",
            Gauge,
            None,
            VERSION,
            Queue(|q, s| versions(q, s, |v| v.backlog.map(Into::into))),
            "Tasks that wait for one version of the workers, about; part of the tasks of the queue, never to be added to them.",
        )),
        experimental(row(
            "task_queue_version_backlog_age_seconds",
            Gauge,
            Some(Seconds),
            VERSION,
            Queue(|q, s| versions(q, s, |v| v.backlog_age_seconds.map(Into::into))),
            "Age of the head of the tasks that wait for one version of the workers, as the queue server gives it.",
        )),
        // The exporter, rendered at scrape time.
        row(
            "worker_exporter_build_info",
            Info,
            None,
            &["version"],
            Exporter(|_, s| s.put(&[env!("CARGO_PKG_VERSION")], 1_u64.into())),
            "The exporter's version.",
        ),
        row(
            "worker_exporter_snapshot_timestamp_seconds",
            Gauge,
            Some(Seconds),
            &[],
            Exporter(|l, s| s.put(&[], l.snapshot.taken_wall.seconds().into())),
            "When the snapshot was taken that this exposition shows.",
        ),
        row(
            "worker_exporter_observer_trusted",
            Gauge,
            None,
            &[],
            Exporter(|l, s| s.put(&[], l.snapshot.observer_trusted.into())),
            "0 while our own loop cannot be believed.",
        ),
        experimental(row(
            "worker_exporter_late_ticks_total",
            Counter,
            None,
            &[],
            Exporter(|l, s| s.put(&[], l.snapshot.late_ticks.into())),
            "Ticks of our own loop that came more than five seconds late.",
        )),
        row(
            "worker_exporter_workers_tracked",
            Gauge,
            None,
            &[],
            Exporter(|l, s| s.put(&[], count(l.snapshot.workers.len()).into())),
            "Workers that are watched, those that are down included.",
        ),
        row(
            "worker_exporter_leftover_records",
            Gauge,
            None,
            &[],
            Exporter(|l, s| s.put(&[], l.snapshot.leftover_records.into())),
            "Records that were already dead at first sight and are not counted as workers.",
        ),
        row(
            "worker_exporter_series_dropped_total",
            Counter,
            None,
            &["reason"],
            Exporter(|l, s| s.put(&["worker_limit"], l.series_dropped.into())),
            "Series left out of expositions because a worker had more than its share of 40.",
        ),
        row(
            "temporal_workflows_timed_out",
            Gauge,
            None,
            NAMESPACE,
            Source(|v, s| {
                if let Some(count) = v.timed_out {
                    s.put(&[&v.namespace], count.into());
                }
            }),
            "Workflows that a timeout closed in the last five minutes, where the source counts them (timed_out_workflows); absent while that is not known.",
        ),
        row(
            "worker_exporter_source_up",
            Gauge,
            None,
            SOURCE_KIND,
            Source(|v, s| {
                if let Some(up) = v.up {
                    s.put(&[v.kind.word()], up.into());
                }
            }),
            "1 while looks at the source succeed; absent before the first. Dead workers do not make it 0.",
        ),
        row(
            "worker_exporter_source_trusted",
            Gauge,
            None,
            SOURCE,
            Source(|v, s| s.put(&[], v.trusted.into())),
            "0 while the evidence of the source is held back because its workers fell silent together.",
        ),
        row(
            "worker_exporter_source_failure",
            Gauge,
            None,
            &["source", "kind", "reason"],
            Source(|v, s| {
                if let Some(failure) = v.failure {
                    s.put(&[v.kind.word(), failure.word()], 1_u64.into());
                }
            }),
            "1 for the reason for which the source fails, while it fails.",
        ),
        row(
            "worker_exporter_source_last_success_timestamp_seconds",
            Gauge,
            Some(Seconds),
            SOURCE,
            Source(|v, s| put(s, v.last_success.map(|t| t.seconds()))),
            "When a look at the source last succeeded, by our clock.",
        ),
        row(
            "worker_exporter_source_errors_total",
            Counter,
            None,
            &["source", "reason"],
            Source(source_errors),
            "Failed looks and missed answers by reason.",
        ),
        row(
            "worker_exporter_source_requests_total",
            Counter,
            None,
            SOURCE,
            Source(|v, s| s.put(&[], v.requests.into())),
            "Looks at the source.",
        ),
        row(
            "worker_exporter_source_throttled_total",
            Counter,
            None,
            SOURCE,
            Source(|v, s| s.put(&[], v.throttled.into())),
            "Looks that the source asked us to slow down for.",
        ),
        row(
            "worker_probe_duration_seconds",
            Histogram,
            Some(Seconds),
            SOURCE,
            Source(|v, s| s.put(&[], Value::Histogram(&v.durations))),
            "Durations of the looks at the source.",
        ),
        row(
            "worker_exporter_config_last_reload_successful",
            Gauge,
            None,
            &[],
            Exporter(|l, s| s.put(&[], l.reload.successful.into())),
            "1 if the last attempt to load the configuration succeeded.",
        ),
        row(
            "worker_exporter_config_last_reload_success_timestamp_seconds",
            Gauge,
            Some(Seconds),
            &[],
            Exporter(|l, s| put(s, l.reload.last_success.map(|t| t.seconds()))),
            "When the configuration was last loaded with success.",
        ),
        row(
            "process_cpu_seconds_total",
            Counter,
            Some(Seconds),
            &[],
            Exporter(|l, s| put(s, l.process.map(|p| p.cpu_seconds))),
            "User and system CPU time spent.",
        ),
        row(
            "process_resident_memory_bytes",
            Gauge,
            Some(Bytes),
            &[],
            Exporter(|l, s| put(s, l.process.map(|p| p.resident_bytes))),
            "Resident memory.",
        ),
        row(
            "process_virtual_memory_bytes",
            Gauge,
            Some(Bytes),
            &[],
            Exporter(|l, s| put(s, l.process.map(|p| p.virtual_bytes))),
            "Virtual memory.",
        ),
        row(
            "process_start_time_seconds",
            Gauge,
            Some(Seconds),
            &[],
            Exporter(|l, s| put(s, l.process.map(|p| p.start_time))),
            "Start of the process.",
        ),
        row(
            "process_open_fds",
            Gauge,
            None,
            &[],
            Exporter(|l, s| put(s, l.process.and_then(|p| p.open_fds).map(count))),
            "Open file descriptors.",
        ),
        row(
            "process_max_fds",
            Gauge,
            None,
            &[],
            Exporter(|l, s| put(s, l.process.and_then(|p| p.max_fds).map(count))),
            "The most file descriptors that may be open.",
        ),
    ]
};
