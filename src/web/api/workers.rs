//! `/health/workers` and `/health/workers/{worker_id}`.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, RawQuery, State as Shared};
use axum::http::StatusCode;
use serde::Serialize;
use serde_json::{Value, json};
use verdict::snapshot::{Snapshot, WorkerView};
use verdict::time::WallTime;
use verdict::words::{Reason, State, Status};

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
pub(crate) async fn list(Shared(room): Shared<Arc<Room>>, RawQuery(query): RawQuery) -> Result<Json<Value>, Problem> {
    let filter = Filter::read(query.as_deref(), Known(&["fleet", "state", "limit", "cursor"]))?;
    let snapshot = room.site.present.load_full();
    Ok(Json(json!(listed(&snapshot, &filter))))
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
) -> Result<Json<Value>, Problem> {
    let filter = Filter::read(query.as_deref(), Known(&["fleet"]))?;
    let snapshot = room.site.present.load_full();
    let mut found = snapshot.workers.iter().filter(|worker| *worker.key.worker == *id && filter.takes(worker));
    match (found.next(), found.next()) {
        (Some(worker), None) => Ok(Json(detail(worker))),
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
pub(super) fn detail(worker: &WorkerView) -> Value {
    let types: Vec<Value> = worker
        .types
        .iter()
        .map(|t| {
            json!({
                "task_type": t.task_type, "slots_used": t.used, "slots_available": t.available,
                "processed": t.processed, "failed": t.failed, "pollers": t.pollers,
                "last_successful_poll": t.last_poll,
            })
        })
        .collect();
    let more = json!({
        "reason_meaning": worker.reason.meaning(),
        "state_changes": worker.changes,
        "restarts": worker.restarts,
        "checks": worker.checks,
        "would_change": worker.would_change,
        "channels": worker.channels,
        "sources": worker.sources,
        "info": worker.info,
        "types": types,
        "task_queues": worker.task_queues,
        "heartbeat_interval_seconds": worker.heartbeat_interval.map(|interval| interval.as_secs_f64()),
        "last_progress": worker.last_progress,
        "clock_skew_seconds": worker.clock_skew,
        "shared_cause": worker.shared_cause,
    });
    let mut whole = json!(brief(worker));
    if let (Some(whole), Value::Object(more)) = (whole.as_object_mut(), more) {
        whole.extend(more);
    }
    whole
}
