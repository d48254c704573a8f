//! The same telling in the shapes that real frameworks give it.

use serde_json::{Value, json};
use verdict::time::WallTime;

use super::lives::{Telling, Word, whole};

/// How a fleet's workers write their health.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shape {
    /// Spring Boot Actuator, numbers under its components.
    Spring,
    /// What people write by hand in FastAPI.
    FastApi,
    /// The draft of `application/health+json`.
    HealthJson,
    /// `alive` and `last_heartbeat`, with GPU figures.
    Gpu,
    /// `alive` and `last_heartbeat`.
    Alive,
}

impl Shape {
    /// Its content type.
    pub(crate) fn content_type(self) -> &'static str {
        match self {
            Self::Spring => "application/vnd.spring-boot.actuator.v3+json",
            Self::HealthJson => "application/health+json",
            Self::FastApi | Self::Gpu | Self::Alive => "application/json",
        }
    }

    /// The status code and the body. `started` is when the demo did.
    pub(crate) fn write(self, worker: &Names<'_>, telling: &Telling, started: WallTime) -> (u16, Value) {
        let stamp = telling.beat.map(|beat| WallTime::from_seconds(started.seconds() + beat).unwrap_or_default());
        let iso = stamp.and_then(|at| jiff::Timestamp::from_microsecond(at.micros()).ok()).map(|at| at.to_string());
        let epoch = stamp.map_or(0.0, WallTime::seconds);
        match self {
            Self::Spring => {
                let status = match telling.word {
                    Word::Healthy => "UP",
                    Word::Unhealthy => "DOWN",
                    Word::Draining | Word::Starting => "OUT_OF_SERVICE",
                };
                let mut details = numbers(worker, telling, started);
                details["last_heartbeat"] = json!(iso);
                let worker = json!({"status": status, "details": details});
                let broker = json!({"status": "UP", "details": {"version": "3.13.1"}});
                (200, json!({"status": status, "components": {"worker": worker, "broker": broker}}))
            }
            Self::FastApi => {
                let (status, worker_word) = match telling.word {
                    Word::Healthy => ("healthy", "running"),
                    Word::Unhealthy => ("UNHEALTHY", "running"),
                    Word::Draining => ("draining", "draining"),
                    Word::Starting => ("starting", "starting"),
                };
                let mut body = numbers(worker, telling, started);
                body["status"] = json!(status);
                body["worker"] = json!(worker_word);
                body["task_queue"] = json!(worker.fleet);
                body["last_heartbeat"] = json!(epoch);
                (200, body)
            }
            Self::HealthJson => {
                let (code, status) = match telling.word {
                    Word::Healthy | Word::Draining => (200, "pass"),
                    Word::Starting => (200, "warn"),
                    Word::Unhealthy => (503, "fail"),
                };
                let mut body = numbers(worker, telling, started);
                body["status"] = json!(status);
                body["version"] = json!("1");
                body["serviceId"] = json!(worker.id);
                body["last_heartbeat"] = json!(iso);
                body["checks"] = json!({
                    "queue:depth": [{"observedValue": telling.waiting, "observedUnit": "tasks", "status": "pass"}],
                });
                (code, body)
            }
            // Exactly what a worker says whose loop never started.
            Self::Gpu | Self::Alive if telling.beat.is_none() => (200, json!({"alive": false, "last_heartbeat": 0.0})),
            Self::Gpu | Self::Alive => {
                let mut body = numbers(worker, telling, started);
                body["alive"] = json!(true);
                body["last_heartbeat"] = json!(epoch);
                body["status"] = json!(match telling.word {
                    Word::Healthy => "ready",
                    Word::Unhealthy => "UNHEALTHY",
                    Word::Draining => "draining",
                    Word::Starting => "starting",
                });
                if self == Self::Gpu {
                    let busy = if telling.model_loaded { 35.0 + telling.cpu_percent } else { 2.0 };
                    body["model_loaded"] = json!(telling.model_loaded);
                    body["gpu_utilization"] = json!(busy);
                    body["gpu_memory_percent"] = json!(if telling.model_loaded { 61.5 } else { 24.0 });
                }
                (200, body)
            }
        }
    }
}

/// Who a simulated worker is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Names<'a> {
    /// Its fleet.
    pub(crate) fleet: &'a str,
    /// Its id.
    pub(crate) id: &'a str,
    /// Its number among all.
    pub(crate) number: u32,
    /// The version that it runs.
    pub(crate) release: u64,
}

/// What a worker of the demo may use.
const MEMORY_LIMIT: u32 = 512 * 1024 * 1024;

/// The documented names.
fn numbers(worker: &Names<'_>, telling: &Telling, started: WallTime) -> Value {
    json!({
        "build_id": format!("2.{}.0", worker.release),
        "started_at": (started.seconds() + telling.born).round(),
        "pid": 1000 + u64::from(worker.number) * 97 + telling.incarnation,
        "host": format!("{}-{}", worker.fleet, worker.number),
        "uptime_seconds": telling.age.floor(),
        "tasks_total": telling.tasks_total,
        "tasks_failed": telling.tasks_failed,
        "in_flight": telling.in_flight,
        "waiting": telling.waiting,
        "cpu_percent": telling.cpu_percent,
        "memory_percent": telling.memory_percent,
        "memory_bytes": whole(f64::from(MEMORY_LIMIT) * telling.memory_percent / 100.0),
        "memory_limit_bytes": MEMORY_LIMIT,
        "disk_percent": telling.disk_percent,
    })
}
