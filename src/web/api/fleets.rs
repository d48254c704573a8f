//! `/health/fleets`, `/health/queues`, `/health/sources`.

use std::sync::Arc;

use axum::Json;
use axum::extract::{RawQuery, State as Shared};
use serde_json::{Map, Value, json};
use verdict::evidence::QueueKey;
use verdict::snapshot::{FleetView, QueueView, Snapshot, SourceView, VersionView};
use verdict::words::{State, TaskType};

use crate::web::problem::Problem;
use crate::web::query::{Filter, Known};
use crate::web::site::Room;

/// `GET /health/fleets`.
pub(crate) async fn fleets(Shared(room): Shared<Arc<Room>>, RawQuery(query): RawQuery) -> Result<Json<Value>, Problem> {
    Filter::read(query.as_deref(), Known(&[]))?;
    Ok(Json(fleets_of(&room.site.present.load())))
}

/// `GET /health/queues`.
pub(crate) async fn queues(Shared(room): Shared<Arc<Room>>, RawQuery(query): RawQuery) -> Result<Json<Value>, Problem> {
    Filter::read(query.as_deref(), Known(&[]))?;
    Ok(Json(queues_of(&room.site.present.load())))
}

/// `GET /health/sources`.
pub(crate) async fn sources(
    Shared(room): Shared<Arc<Room>>,
    RawQuery(query): RawQuery,
) -> Result<Json<Value>, Problem> {
    Filter::read(query.as_deref(), Known(&[]))?;
    Ok(Json(sources_of(&room.site.present.load())))
}

pub(super) fn fleets_of(snapshot: &Snapshot) -> Value {
    let fleets: Vec<Value> = snapshot.fleets.iter().map(fleet).collect();
    json!({ "timestamp": snapshot.taken_wall, "fleets": fleets })
}

pub(super) fn queues_of(snapshot: &Snapshot) -> Value {
    let queues: Vec<Value> = snapshot.queues.iter().map(queue).collect();
    json!({ "timestamp": snapshot.taken_wall, "queues": queues })
}

pub(super) fn sources_of(snapshot: &Snapshot) -> Value {
    let sources: Vec<Value> = snapshot.sources.iter().map(source).collect();
    json!({
        "timestamp": snapshot.taken_wall,
        "observer_trusted": snapshot.observer_trusted,
        "late_ticks": snapshot.late_ticks,
        "leftover_records": snapshot.leftover_records,
        "sources": sources,
    })
}

fn by_word<V: Into<Value>>(pairs: impl Iterator<Item = (&'static str, V)>) -> Map<String, Value> {
    pairs.map(|(word, value)| (word.to_owned(), value.into())).collect()
}

fn by_type(counts: &[(TaskType, u64)]) -> Map<String, Value> {
    by_word(counts.iter().map(|(task_type, count)| (task_type.word(), *count)))
}

fn key(key: &QueueKey) -> Value {
    json!({
        "source": key.source, "temporal_namespace": key.namespace, "task_queue": key.task_queue,
        "task_type": key.task_type,
    })
}

fn fleet(fleet: &FleetView) -> Value {
    let slots = fleet
        .slots
        .iter()
        .map(|(task_type, used, available)| (task_type.word(), json!({ "used": used, "available": available })));
    json!({
        "fleet": fleet.fleet,
        "page": fleet.page,
        "team": fleet.team,
        "workers": by_word(State::ALL.iter().map(|state| (state.word(), fleet.count(*state)))),
        "expected_workers": fleet.expected_workers,
        "tasks_completed": by_type(&fleet.tasks_completed),
        "tasks_failed": by_type(&fleet.tasks_failed),
        "slots": by_word(slots),
        "queues": fleet.queues.iter().map(key).collect::<Vec<_>>(),
        "sources": fleet.sources,
    })
}

fn queue(queue: &QueueView) -> Value {
    let mut object = key(&queue.key);
    let more = json!({
        "backlog_tasks": queue.backlog,
        "backlog_age_seconds": queue.backlog_age_seconds,
        "add_rate": queue.add_rate,
        "dispatch_rate": queue.dispatch_rate,
        "rate_limited": queue.rate_limited,
        "pollers": queue.pollers,
        "pollers_incomplete": queue.pollers_incomplete,
        "waiting": queue.waiting,
        "expected": queue.expected,
        "workers": {
            "polling": queue.workers_polling, "full": queue.workers_full, "silent": queue.workers_silent,
        },
        "last_success": queue.last_success,
        "failure": queue.failure,
        "versions": queue.versions.iter().map(version).collect::<Vec<_>>(),
        "issues": queue.issues,
    });
    if let (Some(object), Value::Object(more)) = (object.as_object_mut(), more) {
        object.extend(more);
    }
    object
}

fn version(view: &VersionView) -> Value {
    json!({
        "deployment": view.version.deployment,
        "build_id": view.version.build_id,
        "status": view.status,
        "ramp_ratio": view.ramp_ratio,
        "pollers": view.pollers,
        "backlog_tasks": view.backlog,
        "backlog_age_seconds": view.backlog_age_seconds,
    })
}

fn source(source: &SourceView) -> Value {
    json!({
        "source": source.source,
        "kind": source.kind,
        "up": source.up,
        "trusted": source.trusted,
        "failure": source.failure,
        "failure_meaning": source.failure.map(verdict::words::Failure::meaning),
        "last_success": source.last_success,
        "requests": source.requests,
        "throttled": source.throttled,
        "errors": by_word(source.errors.iter().map(|(failure, count)| (failure.word(), *count))),
        "mean_duration_seconds": mean(source),
        "workers": source.workers,
        "workflows_timed_out": source.timed_out,
        "note": source.note,
    })
}

#[expect(clippy::cast_precision_loss, reason = "a number of looks fits in 53 bits")]
fn mean(source: &SourceView) -> Option<f64> {
    let durations = &source.durations;
    (durations.count > 0).then(|| durations.sum / durations.count as f64)
}
