//! `/-/healthy`, `/-/ready`, `/-/reload`, `/config`: the exporter itself.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::State as Shared;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use tokio::sync::oneshot;

use crate::web::problem::Problem;
use crate::web::site::Room;

/// A reload that has not finished by then is told as failed; it may still come into force.
const RELOAD_LIMIT: Duration = Duration::from_secs(20);

/// `GET /-/healthy`.
pub(crate) async fn healthy() -> &'static str {
    "worker-exporter is healthy.\n"
}

/// `GET /-/ready`.
pub(crate) async fn ready(Shared(room): Shared<Arc<Room>>) -> Result<&'static str, Problem> {
    if (room.site.ready)() {
        return Ok("worker-exporter is ready.\n");
    }
    let snapshot = room.site.present.load();
    let untried = snapshot.sources.iter().filter(|source| source.up.is_none());
    let mut reasons: Vec<String> =
        untried.map(|source| format!("source {:?} has not been tried yet", &*source.source)).collect();
    if reasons.is_empty() {
        reasons.push("the start is not finished".to_owned());
    }
    Err(Problem::new(StatusCode::SERVICE_UNAVAILABLE, "Not ready yet; ready at the latest 30 s after the start.")
        .reasons(reasons))
}

/// `POST /-/reload`.
pub(crate) async fn reload(Shared(room): Shared<Arc<Room>>, headers: HeaderMap) -> Result<&'static str, Problem> {
    if !room.site.web.enable_lifecycle {
        let detail = "Reload over HTTP is off. Start with --web.enable-lifecycle, or send SIGHUP.";
        return Err(Problem::new(StatusCode::FORBIDDEN, detail));
    }
    // A page of another site must not make a browser inside the network do this.
    if headers.get("sec-fetch-site").is_some_and(|site| site != "same-origin" && site != "none") {
        return Err(Problem::new(StatusCode::FORBIDDEN, "A page of another site may not reload the exporter."));
    }
    let (answer, outcome) = oneshot::channel();
    let asked = async {
        room.site.reload.send(answer).await.ok()?;
        outcome.await.ok()
    };
    match tokio::time::timeout(RELOAD_LIMIT, asked).await {
        Ok(Some(Ok(()))) => Ok("The configuration was reloaded.\n"),
        Ok(Some(Err(mistakes))) => {
            let reasons = mistakes.lines().filter(|line| !line.trim().is_empty()).map(str::to_owned).collect();
            let detail = "The configuration has mistakes; the previous one stays in force.";
            Err(Problem::new(StatusCode::INTERNAL_SERVER_ERROR, detail).reasons(reasons))
        }
        Ok(None) => Err(Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "The exporter is stopping.")),
        Err(_) => Err(Problem::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "The reload did not finish in 20 s. The log and worker_exporter_config_last_reload_successful tell how it ended.",
        )),
    }
}

/// `GET /config`.
pub(crate) async fn config(Shared(room): Shared<Arc<Room>>) -> Response {
    let shown = room.site.settings.load().shown.clone();
    ([(header::CONTENT_TYPE, "text/yaml; charset=utf-8")], shown).into_response()
}
