//! Every path in ONE table: the router, the OpenAPI document and the reference page come from here.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, Method, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodRouter, get, post};
use futures_util::stream;

use super::api::schema::{self, Shape};
use super::api::{events, fleets, lifecycle, workers};
use super::negotiate::{Coding, coding, format};
use super::problem::Problem;
use super::site::Room;
use super::{openapi, page, runbooks};

/// One parameter.
pub(crate) struct Parameter {
    pub(crate) name: &'static str,
    pub(crate) place: Place,
    pub(crate) meaning: &'static str,
}

/// Where a parameter stands.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    Path,
    Query,
    /// In the query, any number of times.
    Repeated,
}

/// One path.
pub(crate) struct Route {
    pub(crate) method: &'static str,
    pub(crate) path: &'static str,
    pub(crate) summary: &'static str,
    pub(crate) parameters: &'static [Parameter],
    /// Media types of the good answer.
    pub(crate) media: &'static [&'static str],
    /// What is in it, where it is JSON.
    pub(crate) shape: Option<&'static Shape>,
    /// Bad answers that are particular to this path, and when they come.
    pub(crate) errors: &'static [(u16, &'static str)],
    pub(crate) handler: fn() -> MethodRouter<Arc<Room>>,
}

const JSON: &[&str] = &["application/json"];
const PLAIN: &[&str] = &["text/plain; charset=utf-8"];
const BAD_QUERY: (u16, &str) = (400, "An unknown parameter or a bad value; the detail lists the good ones.");

const FLEET: Parameter =
    Parameter { name: "fleet", place: Place::Repeated, meaning: "Only workers of this fleet. May be repeated." };
const STATE: Parameter =
    Parameter { name: "state", place: Place::Repeated, meaning: "Only workers in this state. May be repeated." };
const PROSE: &[&str] = &["text/html; charset=utf-8", "text/markdown; charset=utf-8", "text/plain; charset=utf-8"];

const LIMIT: Parameter =
    Parameter { name: "limit", place: Place::Query, meaning: "At most this many workers, 1 to 5000." };

/// Every path.
pub(crate) const ROUTES: &[Route] = &[
    Route {
        method: "GET",
        path: "/",
        summary: "The page: fleets, workers, queues and sources, refreshing itself.",
        parameters: &[FLEET, STATE, LIMIT],
        media: &["text/html; charset=utf-8"],
        shape: None,
        errors: &[BAD_QUERY],
        handler: || get(page::page),
    },
    Route {
        method: "GET",
        path: "/page.js",
        summary: "The script of the page.",
        parameters: &[],
        media: &["text/javascript; charset=utf-8"],
        shape: None,
        errors: &[],
        handler: || get(page::script),
    },
    Route {
        method: "GET",
        path: "/page.css",
        summary: "The style of the page.",
        parameters: &[],
        media: &["text/css; charset=utf-8"],
        shape: None,
        errors: &[],
        handler: || get(page::style),
    },
    Route {
        method: "GET",
        path: "/metrics",
        summary: "The metrics, in the format that Accept prefers; gzip by Accept-Encoding. --web.telemetry-path moves it.",
        parameters: &[],
        media: &[
            "application/openmetrics-text; version=1.0.0; charset=utf-8",
            "text/plain; version=0.0.4; charset=utf-8",
        ],
        shape: None,
        errors: &[],
        handler: || get(metrics),
    },
    Route {
        method: "GET",
        path: "/health/workers",
        summary: "All workers, page by page, with totals.",
        parameters: &[
            FLEET,
            STATE,
            LIMIT,
            Parameter { name: "cursor", place: Place::Query, meaning: "`next_cursor` of the previous page." },
        ],
        media: JSON,
        shape: Some(&schema::WORKER_LIST),
        errors: &[BAD_QUERY],
        handler: || get(workers::list),
    },
    Route {
        method: "GET",
        path: "/health/workers/{worker_id}",
        summary: "One worker: evidence by channel, every check and why, since when.",
        parameters: &[
            Parameter { name: "worker_id", place: Place::Path, meaning: "Its id, percent-encoded." },
            Parameter { name: "fleet", place: Place::Query, meaning: "Its fleet, where several fleets have this id." },
        ],
        media: JSON,
        shape: Some(&schema::WORKER_DETAIL),
        errors: &[
            BAD_QUERY,
            (404, "No worker has this id."),
            (409, "Several fleets have a worker of this id: add ?fleet=."),
        ],
        handler: || get(workers::one),
    },
    Route {
        method: "GET",
        path: "/health/fleets",
        summary: "All fleets, with their workers by state.",
        parameters: &[],
        media: JSON,
        shape: Some(&schema::FLEET_LIST),
        errors: &[BAD_QUERY],
        handler: || get(fleets::fleets),
    },
    Route {
        method: "GET",
        path: "/health/queues",
        summary: "All task queues.",
        parameters: &[],
        media: JSON,
        shape: Some(&schema::QUEUE_LIST),
        errors: &[BAD_QUERY],
        handler: || get(fleets::queues),
    },
    Route {
        method: "GET",
        path: "/health/sources",
        summary: "Our own sources: up, trusted, why not.",
        parameters: &[],
        media: JSON,
        shape: Some(&schema::SOURCE_LIST),
        errors: &[BAD_QUERY],
        handler: || get(fleets::sources),
    },
    Route {
        method: "GET",
        path: "/health/events",
        summary: "Server-sent events: one `change` per change of state, its data a Change. A reader that lags is dropped.",
        parameters: &[],
        media: &["text/event-stream"],
        shape: Some(&schema::CHANGE),
        errors: &[BAD_QUERY, (503, "As many streams are open as are allowed.")],
        handler: || get(events::events),
    },
    Route {
        method: "GET",
        path: "/runbooks/",
        summary: "The runbooks, one for each alert.",
        parameters: &[],
        media: PROSE,
        shape: None,
        errors: &[BAD_QUERY],
        handler: || get(runbooks::index),
    },
    Route {
        method: "GET",
        path: "/runbooks/{alert}",
        summary: "The runbook of an alert, with its labels filled in: a page, or Markdown where Accept prefers it.",
        parameters: runbooks::PARAMETERS,
        media: PROSE,
        shape: None,
        errors: &[BAD_QUERY, (404, "There is no runbook of this name.")],
        handler: || get(runbooks::one),
    },
    Route {
        method: "GET",
        path: "/config",
        summary: "The configuration in force, every secret replaced.",
        parameters: &[],
        media: &["text/yaml; charset=utf-8"],
        shape: None,
        errors: &[],
        handler: || get(lifecycle::config),
    },
    Route {
        method: "GET",
        path: "/-/healthy",
        summary: "The exporter runs.",
        parameters: &[],
        media: PLAIN,
        shape: None,
        errors: &[],
        handler: || get(lifecycle::healthy),
    },
    Route {
        method: "GET",
        path: "/-/ready",
        summary: "The exporter has a configuration, listens, and has tried every source once.",
        parameters: &[],
        media: PLAIN,
        shape: None,
        errors: &[(503, "Not yet; the reasons say what is awaited.")],
        handler: || get(lifecycle::ready),
    },
    Route {
        method: "POST",
        path: "/-/reload",
        summary: "Loads the configuration anew, as SIGHUP does.",
        parameters: &[],
        media: PLAIN,
        shape: None,
        errors: &[
            (403, "Off: start with --web.enable-lifecycle."),
            (500, "The configuration has mistakes, which the reasons list; the previous one stays in force."),
        ],
        handler: || post(lifecycle::reload),
    },
    Route {
        method: "GET",
        path: "/openapi.json",
        summary: "This description.",
        parameters: &[],
        media: JSON,
        shape: None,
        errors: &[],
        handler: || get(openapi::openapi),
    },
];

/// `GET /metrics`.
async fn metrics(State(room): State<Arc<Room>>, method: Method, headers: HeaderMap) -> Result<Response, Problem> {
    let (format, coding) = (format(&headers), coding(&headers));
    let site = &room.site;
    let body = room.metrics.body(&site.present, site.reload_status.load_full(), format, coding).await;
    let body = body.map_err(|_| {
        let detail = "The exposition could not be rendered. The exporter's log says more.";
        tracing::error!("the exposition could not be rendered");
        Problem::new(axum::http::StatusCode::INTERNAL_SERVER_ERROR, detail)
    })?;
    let length: usize = body.chunks.iter().map(bytes::Bytes::len).sum();
    let chunks = if method == Method::HEAD { Vec::new() } else { body.chunks };
    // Chunk by chunk: the shared part may be many megabytes, and is not copied for each scraper.
    let stream = stream::iter(chunks.into_iter().map(Ok::<_, std::convert::Infallible>));
    let mut response = Body::from_stream(stream).into_response();
    let answer = response.headers_mut();
    answer.insert(header::CONTENT_TYPE, HeaderValue::from_static(format.content_type()));
    answer.insert(header::CONTENT_LENGTH, length.into());
    answer.insert(header::VARY, HeaderValue::from_static("Accept, Accept-Encoding"));
    if coding == Coding::Gzip {
        answer.insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    }
    Ok(response)
}
