//! `/`: the page. Worst first; every state as a colour, a shape and a word; every time relative, with the absolute one
//! in its title. Worker names are an attacker's input: the template escapes them, and links encode them.

mod show;
mod view;

use std::sync::Arc;

use askama::Template as _;
use axum::extract::{RawQuery, State as Shared};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{Html, IntoResponse, Response};

use super::problem::Problem;
use super::query::{Filter, Known};
use super::site::Room;

/// Only what the page brings itself: its style, its script, its own address for fetching, an empty icon.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src data:; \
     form-action 'self'; base-uri 'none'; frame-ancestors 'none'";

/// `GET /`.
pub(super) async fn page(Shared(room): Shared<Arc<Room>>, RawQuery(query): RawQuery) -> Result<Response, Problem> {
    let filter = Filter::read(query.as_deref(), Known(&["fleet", "state", "limit"]))?;
    let snapshot = room.site.present.load_full();
    let telemetry = super::site::telemetry_path(&room.site.web);
    let page = view::Page::new(&snapshot, &filter, &room.base, &telemetry, room.site.clock.wall());
    let html = page.render().map_err(|_| {
        Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "The page could not be rendered; /health/workers has the same.")
    })?;
    let mut response = Html(html).into_response();
    response.headers_mut().insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
    Ok(response)
}

/// `GET /page.js`.
pub(super) async fn script() -> Response {
    ([(header::CONTENT_TYPE, "text/javascript; charset=utf-8")], include_str!("page.js")).into_response()
}

/// `GET /page.css`.
pub(super) async fn style() -> Response {
    ([(header::CONTENT_TYPE, "text/css; charset=utf-8")], include_str!("page.css")).into_response()
}
