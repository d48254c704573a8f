//! `/runbooks/`: what to do, with the labels of the alert filled in. The values come with a link and from whoever named a
//! worker: the bundle writes them where they can do no harm, the template escapes them, and the page runs no script.

use std::sync::Arc;

use askama::Template;
use axum::extract::{Path, RawQuery, State as Shared};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{Html, IntoResponse, Response};
use url::Url;

use super::negotiate::{Prose, prose};
use super::problem::Problem;
use super::query::{Filter, Known};
use super::routes::{Parameter, Place};
use super::site::Room;
use crate::bundle::{self, Links, Runbook, Values};

/// Our style, and a form that asks for this page again.
const POLICY: &str =
    "default-src 'none'; style-src 'self'; img-src data:; form-action 'self'; base-uri 'none'; frame-ancestors 'none'";

const fn label(name: &'static str) -> Parameter {
    Parameter { name, place: Place::Query, meaning: "A label of the alert." }
}

/// The labels that can be filled in; a test compares them.
pub(super) const PARAMETERS: &[Parameter] = &[
    Parameter { name: "alert", place: Place::Path, meaning: "The name of the alert." },
    label("fleet"),
    label("worker"),
    label("source"),
    label("temporal_namespace"),
    label("task_queue"),
    label("task_type"),
    label("deployment"),
    label("build_id"),
    label("operation"),
    label("code"),
    label("instance"),
    label("job"),
];

#[derive(Template)]
#[template(path = "runbook.html")]
struct Page<'a> {
    base: &'a str,
    title: &'a str,
    /// The labels that it wants, with their values or nothing.
    labels: Vec<(&'static str, &'a str)>,
    /// HTML, made by [`bundle::page`].
    body: &'a str,
}

#[derive(Template)]
#[template(path = "runbooks.html")]
struct Index<'a> {
    base: &'a str,
    runbooks: &'a [Runbook],
}

/// `GET /runbooks/`.
pub(super) async fn index(
    Shared(room): Shared<Arc<Room>>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    Filter::read(query.as_deref(), Known(&[]))?;
    let runbooks: Vec<Runbook> = bundle::all().collect();
    let html = Index { base: &room.base, runbooks: &runbooks }.render();
    let markdown = || {
        let lines = runbooks.iter().map(|runbook| format!("- [{0}]({0}): {1}\n", runbook.name, runbook.meaning()));
        format!("# Runbooks\n\n{}", lines.collect::<String>())
    };
    answer(prose(&headers), markdown, html)
}

/// `GET /runbooks/{alert}`.
pub(super) async fn one(
    Shared(room): Shared<Arc<Room>>,
    Path(alert): Path<String>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let runbook = bundle::find(&alert).ok_or_else(|| {
        let detail = format!("There is no runbook of this name. {}/runbooks/ lists all.", room.base);
        Problem::new(StatusCode::NOT_FOUND, detail)
    })?;
    let mut values = Values::default();
    for (name, value) in url::form_urlencoded::parse(query.unwrap_or_default().as_bytes()) {
        values.set(&name, &value).map_err(|mistake| Problem::bad_request(format!("{mistake}.")))?;
    }
    let markdown = runbook.filled(&values, &links(&room, &headers));
    let query = values.query();
    let labels = runbook.labels().into_iter().map(|name| (name, values.get(name).unwrap_or_default())).collect();
    let body = bundle::page(&markdown, &query);
    let html = Page { base: &room.base, title: runbook.name, labels, body: &body }.render();
    answer(prose(&headers), || markdown, html)
}

fn answer(prose: Prose, markdown: impl FnOnce() -> String, html: askama::Result<String>) -> Result<Response, Problem> {
    let mut response = match prose {
        Prose::Html => {
            let html = html.map_err(|_| {
                let detail = "The page could not be rendered; ask for text/markdown.";
                Problem::new(StatusCode::INTERNAL_SERVER_ERROR, detail)
            })?;
            let mut response = Html(html).into_response();
            response.headers_mut().insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
            response
        }
        Prose::Markdown => ([(header::CONTENT_TYPE, "text/markdown; charset=utf-8")], markdown()).into_response(),
        Prose::Plain => ([(header::CONTENT_TYPE, "text/plain; charset=utf-8")], markdown()).into_response(),
    };
    response.headers_mut().insert(header::VARY, HeaderValue::from_static("Accept"));
    Ok(response)
}

/// Our own address, for commands: the external one, else the one by which this page was asked for. Grafana's is not known
/// here, so links to it are none.
fn links(room: &Room, headers: &HeaderMap) -> Links {
    let asked = || {
        let host = headers.get(header::HOST)?.to_str().ok()?;
        let is_host = host.chars().all(|c| c.is_ascii_alphanumeric() || ".-:[]".contains(c));
        is_host.then(|| Url::parse(&format!("http://{host}{}", room.base)).ok()).flatten()
    };
    let ours = room.site.web.external_url.clone().or_else(asked);
    Links::new(ours.as_ref(), None).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bundle::LABELS;

    #[test]
    fn the_parameters_are_the_labels_that_can_be_filled_in() {
        let query = PARAMETERS.iter().filter(|parameter| parameter.place == Place::Query);
        assert_eq!(query.map(|parameter| parameter.name).collect::<Vec<_>>(), LABELS);
    }
}
