//! What the web room is given, and the router over it.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use axum::Router;
use axum::extract::{Request, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::get;
use tokio::sync::{Semaphore, broadcast, mpsc, oneshot};
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::limit::RequestBodyLimitLayer;
use tower_http::timeout::TimeoutLayer;
use verdict::ledger::Change;
use verdict::time::WallTime;

use super::metrics::Metrics;
use super::problem::{self, Problem};
use super::routes::ROUTES;
use crate::config::{Settings, WebSettings};
use crate::fleet::{Clock, Present};

/// Asks for a reload; the answer is the list of mistakes, if there are any.
pub type Reload = mpsc::Sender<oneshot::Sender<Result<(), String>>>;

/// How the last load of the configuration went.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ReloadStatus {
    /// The last attempt succeeded.
    pub successful: bool,
    /// When one last succeeded.
    pub last_success: Option<WallTime>,
}

/// Everything that is shown and served.
pub struct Site {
    /// The present.
    pub present: Present,
    /// Each change of state.
    pub changes: broadcast::Sender<Arc<Change>>,
    /// The configuration in force.
    pub settings: Arc<ArcSwap<Settings>>,
    /// Where a reload is asked for.
    pub reload: Reload,
    /// How the last one went.
    pub reload_status: Arc<ArcSwap<ReloadStatus>>,
    /// The start is over: configuration loaded, listeners open, every source tried once.
    pub ready: Arc<dyn Fn() -> bool + Send + Sync>,
    /// The command line's share.
    pub web: WebSettings,
    /// The clock.
    pub clock: Clock,
}

impl fmt::Debug for Site {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Site").field("web", &self.web).finish_non_exhaustive()
    }
}

/// What the handlers share.
#[derive(Debug)]
pub(super) struct Room {
    pub(super) site: Arc<Site>,
    pub(super) metrics: Metrics,
    /// What links begin with: the path of the external address, else the route prefix; no slash at the end.
    pub(super) base: String,
    /// Bounds the event streams, each of which holds a connection for as long as the reader likes.
    pub(super) streams: Arc<Semaphore>,
}

/// The most event streams at a time.
const STREAMS: usize = 64;
/// An answer that is not begun by then is given up.
const ANSWER_LIMIT: Duration = Duration::from_secs(30);
/// No request to us carries anything worth reading.
const BODY_LIMIT: usize = 4096;

/// `/x`, or nothing: a leading slash and none at the end, whatever was written.
pub(super) fn tidy(prefix: &str) -> String {
    let prefix = prefix.trim_matches('/');
    if prefix.is_empty() { String::new() } else { format!("/{prefix}") }
}

/// The telemetry path under which axum would not panic, whatever was written.
pub(super) fn telemetry_path(web: &WebSettings) -> String {
    let path = tidy(&web.telemetry_path);
    if path.is_empty() || path.contains(['{', '}', ':', '*', '?', '#']) { "/metrics".to_owned() } else { path }
}

/// Everything that is served, on any listener.
pub fn router(site: Arc<Site>) -> Router {
    let prefix = tidy(&site.web.route_prefix);
    let base = site.web.external_url.as_ref().map_or_else(|| prefix.clone(), |url| tidy(url.path()));
    let telemetry = telemetry_path(&site.web);
    let room = Arc::new(Room {
        metrics: Metrics::new(site.clock),
        base: base.clone(),
        streams: Arc::new(Semaphore::new(STREAMS)),
        site,
    });
    let mut router = Router::new();
    for route in ROUTES {
        let path = if route.path == "/metrics" { telemetry.as_str() } else { route.path };
        // A telemetry path that is also another path wins: it was asked for.
        if path == route.path && path == telemetry && route.path != "/metrics" {
            continue;
        }
        router = router.route(&format!("{prefix}{path}"), (route.handler)());
    }
    if !prefix.is_empty() {
        let home = format!("{base}/");
        let redirect = move || std::future::ready(Redirect::to(&home));
        router = router.route("/", get(redirect.clone())).route(&prefix, get(redirect));
    }
    router
        .fallback(not_found)
        .method_not_allowed_fallback(|| std::future::ready(StatusCode::METHOD_NOT_ALLOWED))
        .layer(TimeoutLayer::with_status_code(StatusCode::SERVICE_UNAVAILABLE, ANSWER_LIMIT))
        .layer(RequestBodyLimitLayer::new(BODY_LIMIT))
        .layer(CatchPanicLayer::new())
        .layer(middleware::from_fn_with_state(Arc::clone(&room), finish))
        .with_state(room)
}

async fn not_found(State(room): State<Arc<Room>>) -> Response {
    let detail = format!("There is nothing here. {}/openapi.json lists what can be asked.", room.base);
    Problem::new(StatusCode::NOT_FOUND, detail).into_response()
}

/// The last hand on every answer: the form of errors, and the headers that keep a browser from guessing.
async fn finish(State(_): State<Arc<Room>>, request: Request, next: Next) -> Response {
    let mut response = problem::cover(next.run(request).await);
    let headers = response.headers_mut();
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    headers.entry(header::CONTENT_SECURITY_POLICY).or_insert(HeaderValue::from_static("default-src 'none'"));
    response
}
