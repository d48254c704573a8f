//! `/health/workers` and `/health/workers/{worker_id}`.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, RawQuery, State as Shared};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use serde_json::{Value, json};
use verdict::evidence::Info;
use verdict::snapshot::{ChannelView, CheckView, Snapshot, WorkerView};
use verdict::time::WallTime;
use verdict::words::{Reason, State, Status, TaskType};

use crate::web::problem::Problem;
use crate::web::query::{DEFAULT_LIMIT, Filter, Known, cursor};
use crate::web::site::Room;

/// The list.
#[derive(Debug, Serialize)]
struct List<'a> {
    total_workers: usize,
    healthy_workers: usize,
    warning_workers: usize,
    critical_workers: usize,
    unknown_workers: usize,
    timestamp: WallTime,
    workers: Vec<Brief<'a>>,
    next_cursor: Option<String>,
}

/// One worker of the list.
#[derive(Debug, Serialize)]
struct Brief<'a> {
    worker_id: &'a str,
    fleet: &'a str,
    status: Status,
    state: State,
    reason: Reason,
    since: WallTime,
    health_score: Option<f64>,
    last_check: Option<WallTime>,
    last_heartbeat: Option<WallTime>,
    issues: &'a [String],
    metrics: Value,
}

/// The numbers of a worker; those that are not known are left out.
fn metrics(worker: &WorkerView) -> Value {
    let mut metrics = json!(worker.numbers);
    if let Some(object) = metrics.as_object_mut() {
        let counters = [("tasks_total", worker.tasks_total), ("tasks_failed", worker.tasks_failed_total)];
        for (name, value) in counters {
            if let Some(value) = value {
                object.insert(name.to_owned(), value.into());
            }
        }
    }
    metrics
}

fn brief(worker: &WorkerView) -> Brief<'_> {
    Brief {
        worker_id: &worker.key.worker,
        fleet: &worker.key.fleet,
        status: worker.status,
        state: worker.state,
        reason: worker.reason,
        since: worker.since,
        health_score: worker.score,
        last_check: worker.last_check,
        last_heartbeat: worker.last_heartbeat,
        issues: &worker.issues,
        metrics: metrics(worker),
    }
}

/// `GET /health/workers`. The totals are of all workers that the filter takes, not of this page.
pub(crate) async fn list(Shared(room): Shared<Arc<Room>>, RawQuery(query): RawQuery) -> Result<Response, Problem> {
    let filter = Filter::read(query.as_deref(), Known(&["fleet", "state", "limit", "cursor"]))?;
    let snapshot = room.site.present.load_full();
    Ok(Json(listed(&snapshot, &filter)).into_response())
}

fn listed<'a>(snapshot: &'a Snapshot, filter: &Filter) -> List<'a> {
    let taken: Vec<&WorkerView> = snapshot.workers.iter().filter(|worker| filter.takes(worker)).collect();
    let of = |status: Status| taken.iter().filter(|worker| worker.status == status).count();
    let mut rest = taken.iter().filter(|worker| filter.after.as_ref().is_none_or(|after| worker.key > *after));
    let page: Vec<&WorkerView> = rest.by_ref().take(filter.limit.unwrap_or(DEFAULT_LIMIT)).copied().collect();
    let more = rest.next().is_some();
    List {
        total_workers: taken.len(),
        healthy_workers: of(Status::Healthy),
        warning_workers: of(Status::Warning),
        critical_workers: of(Status::Critical),
        unknown_workers: of(Status::Unknown),
        timestamp: snapshot.taken_wall,
        next_cursor: page.last().filter(|_| more).map(|last| cursor(&last.key)),
        workers: page.into_iter().map(brief).collect(),
    }
}

/// `GET /health/workers/{worker_id}`.
pub(crate) async fn one(
    Shared(room): Shared<Arc<Room>>,
    Path(id): Path<String>,
    RawQuery(query): RawQuery,
) -> Result<Response, Problem> {
    let filter = Filter::read(query.as_deref(), Known(&["fleet"]))?;
    let snapshot = room.site.present.load_full();
    let mut found = snapshot.workers.iter().filter(|worker| *worker.key.worker == *id && filter.takes(worker));
    match (found.next(), found.next()) {
        (Some(worker), None) => Ok(Json(detail(worker)).into_response()),
        (None, _) => Err(Problem::new(
            StatusCode::NOT_FOUND,
            format!("No worker has the id {id:?}. {}/health/workers lists those that are known.", room.base),
        )),
        (Some(_), Some(_)) => {
            let all = snapshot.workers.iter().filter(|worker| *worker.key.worker == *id && filter.takes(worker));
            let fleets = all.map(|worker| worker.key.fleet.to_string()).collect();
            let detail = format!("Several fleets have a worker {id:?}. Add ?fleet= with one of them.");
            Err(Problem::new(StatusCode::CONFLICT, detail).fleets(fleets))
        }
    }
}

/// All that is known of a worker, under the names of the API.
#[derive(Debug, Serialize)]
struct Detail<'a> {
    #[serde(flatten)]
    brief: Brief<'a>,
    reason_meaning: &'static str,
    heartbeat_interval_seconds: Option<f64>,
    last_progress: Option<WallTime>,
    clock_skew_seconds: Option<f64>,
    certificate_not_after: Option<WallTime>,
    state_changes: u64,
    restarts: u64,
    shared_cause: Option<&'a str>,
    would_change: &'a [String],
    checks: &'a [CheckView],
    channels: &'a [ChannelView],
    types: Vec<Type>,
    task_queues: &'a [Arc<str>],
    info: &'a Info,
    sources: &'a [Arc<str>],
    notes: &'a [Arc<str>],
}

/// Slots, pollers and counters of one type.
#[derive(Debug, Serialize)]
struct Type {
    task_type: TaskType,
    slots_used: Option<u64>,
    slots_available: Option<u64>,
    processed: Option<u64>,
    failed: Option<u64>,
    pollers: Option<u64>,
    last_successful_poll: Option<WallTime>,
}

fn detail(worker: &WorkerView) -> Detail<'_> {
    let types = worker.types.iter().map(|t| Type {
        task_type: t.task_type,
        slots_used: t.used,
        slots_available: t.available,
        processed: t.processed,
        failed: t.failed,
        pollers: t.pollers,
        last_successful_poll: t.last_poll,
    });
    Detail {
        brief: brief(worker),
        reason_meaning: worker.reason.meaning(),
        heartbeat_interval_seconds: worker.heartbeat_interval.map(|interval| interval.as_secs_f64()),
        last_progress: worker.last_progress,
        clock_skew_seconds: worker.clock_skew,
        certificate_not_after: worker.certificate,
        state_changes: worker.changes,
        restarts: worker.restarts,
        shared_cause: worker.shared_cause.as_deref(),
        would_change: &worker.would_change,
        checks: &worker.checks,
        channels: &worker.channels,
        types: types.collect(),
        task_queues: &worker.task_queues,
        info: &worker.info,
        sources: &worker.sources,
        notes: &worker.notes,
    }
}
