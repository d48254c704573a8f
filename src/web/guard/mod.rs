//! Who may ask, and how often: users and the rate limit of the web configuration, in front of every path but two.
//!
//! `/-/healthy` and `/-/ready` stay open, since whoever starts and restarts us has no password; so they say nothing but
//! yes or no.

mod bucket;
mod passwords;
mod seldom;
#[cfg(test)]
mod tests;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
use axum::Router;
use axum::extract::{Request, State};
use axum::http::{HeaderName, HeaderValue, Method, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use tokio::time::Instant;

pub use seldom::Seldom;

use self::bucket::Bucket;
use self::passwords::{Answer, Passwords};
use super::problem::Problem;
use super::site;
use crate::config::{WebConfig, WebSettings};

/// Between two lines in the log about wrong passwords.
const SELDOM: Duration = Duration::from_secs(60);

#[derive(Debug)]
struct Guard {
    config: Arc<ArcSwap<WebConfig>>,
    open: Vec<String>,
    bucket: Mutex<Bucket>,
    passwords: Passwords,
    refused: Seldom,
}

/// Puts what `config` says, now and later, in front of `router`.
///
/// # Errors
/// When the system gives no random numbers.
pub fn guarded(router: Router, config: Arc<ArcSwap<WebConfig>>, web: &WebSettings) -> std::io::Result<Router> {
    let telemetry = site::telemetry_path(web);
    let prefix = site::tidy(&web.route_prefix);
    // Metrics that somebody put under one of these paths are no answer for everybody.
    let open = ["/-/healthy", "/-/ready"].into_iter().filter(|path| **path != *telemetry);
    let guard = Guard {
        config,
        open: open.map(|path| format!("{prefix}{path}")).collect(),
        bucket: Mutex::default(),
        passwords: Passwords::new()?,
        refused: Seldom::every(SELDOM),
    };
    Ok(router.layer(middleware::from_fn_with_state(Arc::new(guard), stand)))
}

async fn stand(State(guard): State<Arc<Guard>>, request: Request, next: Next) -> Response {
    let config = guard.config.load_full();
    let mut response = guard.answer(&config, request, next).await;
    let headers = response.headers_mut();
    headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    headers.entry(header::X_CONTENT_TYPE_OPTIONS).or_insert(HeaderValue::from_static("nosniff"));
    for (name, value) in &config.headers {
        if let (Ok(name), Ok(value)) = (HeaderName::try_from(name), HeaderValue::try_from(value)) {
            headers.insert(name, value);
        }
    }
    response
}

impl Guard {
    async fn answer(&self, config: &WebConfig, request: Request, next: Next) -> Response {
        let path = request.uri().path();
        if (request.method() == Method::GET || request.method() == Method::HEAD) && self.open.iter().any(|p| p == path)
        {
            let answer = next.run(request).await;
            // Names of sources stand in the reasons of one that is not ready yet.
            return if config.users.is_empty() || answer.status().is_success() { answer } else { not_ready(&answer) };
        }
        if let Some(rate) = config.rate {
            let taken = self.bucket.lock().unwrap_or_else(PoisonError::into_inner).take(rate, Instant::now());
            if let Err(wait) = taken {
                return later("More requests came than `rate_limit` of the web configuration allows.", wait);
            }
        }
        if config.users.is_empty() {
            return next.run(request).await;
        }
        let Some((user, password)) = credentials(&request) else { return unauthorized() };
        match self.passwords.check(&config.users, &user, &password).await {
            Answer::Right => next.run(request).await,
            Answer::Wrong => {
                if let Some(times) = self.refused.now(Instant::now()) {
                    tracing::warn!(times, "requests with a wrong user or password were refused");
                }
                unauthorized()
            }
            Answer::Busy(wait) => later("Too many passwords wait to be checked.", wait),
        }
    }
}

/// User and password of `Authorization: Basic`.
fn credentials(request: &Request) -> Option<(String, Vec<u8>)> {
    let value = request.headers().get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, pair) = value.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let pair = STANDARD.decode(pair.trim()).ok()?;
    let colon = pair.iter().position(|byte| *byte == b':')?;
    let (user, password) = pair.split_at(colon);
    Some((String::from_utf8(user.to_vec()).ok()?, password.get(1..)?.to_vec()))
}

fn unauthorized() -> Response {
    let detail = "A user and its password are needed (basic authentication).";
    let mut response = Problem::new(StatusCode::UNAUTHORIZED, detail).into_response();
    let challenge = HeaderValue::from_static("Basic realm=\"worker-exporter\", charset=\"UTF-8\"");
    response.headers_mut().insert(header::WWW_AUTHENTICATE, challenge);
    response
}

fn later(detail: &str, wait: Duration) -> Response {
    let mut response = Problem::new(StatusCode::TOO_MANY_REQUESTS, detail).into_response();
    // Whole seconds, and never "at once".
    let seconds = wait.as_secs().saturating_add(u64::from(wait.subsec_nanos() > 0)).max(1);
    response.headers_mut().insert(header::RETRY_AFTER, seconds.into());
    response
}

fn not_ready(answer: &Response) -> Response {
    let detail = "Not ready. Whoever has a password finds the reasons at /health/sources.";
    Problem::new(answer.status(), detail).into_response()
}
