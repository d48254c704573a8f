//! `/health/events`: one server-sent event per change of state.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::{RawQuery, State as Shared};
use axum::http::StatusCode;
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures_util::stream;
use serde_json::{Value, json};
use tokio::sync::{OwnedSemaphorePermit, broadcast};
use verdict::ledger::Change;

use crate::web::problem::Problem;
use crate::web::query::{Filter, Known};
use crate::web::site::Room;

/// Often enough for the usual proxy, which closes a silent connection after a minute or half of one.
const KEEP_ALIVE: Duration = Duration::from_secs(15);
/// When a reader whose connection broke shall come back.
const RETRY: Duration = Duration::from_secs(2);

/// `GET /health/events`. A reader that is too slow to keep up is dropped: it comes back and reads the list anew, which
/// is better than events with holes.
pub(crate) async fn events(Shared(room): Shared<Arc<Room>>, RawQuery(query): RawQuery) -> Result<Response, Problem> {
    Filter::read(query.as_deref(), Known(&[]))?;
    let permit = Arc::clone(&room.streams).try_acquire_owned().map_err(|_| {
        let detail = "As many event streams are open as are allowed. Close one, or read /health/workers instead.";
        Problem::new(StatusCode::SERVICE_UNAVAILABLE, detail)
    })?;
    // The first event sets the client's retry time, and shows that the stream is open before anything changes.
    let state = State { receiver: room.site.changes.subscribe(), _permit: permit, greeted: Greeted::No };
    let events = stream::unfold(state, |mut state| async move {
        if matches!(state.greeted, Greeted::No) {
            state.greeted = Greeted::Yes;
            return Some((
                Ok::<_, Infallible>(Event::default().retry(RETRY).comment("changes of state follow")),
                state,
            ));
        }
        // An error is a closed channel (we stop) or a reader that lags.
        let change = state.receiver.recv().await.ok()?;
        Some((Ok(Event::default().event("change").data(message(&change).to_string())), state))
    });
    Ok(Sse::new(events).keep_alive(KeepAlive::new().interval(KEEP_ALIVE)).into_response())
}

struct State {
    receiver: broadcast::Receiver<Arc<Change>>,
    _permit: OwnedSemaphorePermit,
    greeted: Greeted,
}

enum Greeted {
    No,
    Yes,
}

/// What one event says.
pub(super) fn message(change: &Change) -> Value {
    json!({
        "worker_id": change.key.worker,
        "fleet": change.key.fleet,
        "from": change.from,
        "to": change.to,
        "reason": change.reason,
        "detail": change.detail,
        "timestamp": change.at,
    })
}
