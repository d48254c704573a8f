//! Errors, all as `application/problem+json` (RFC 9457), with what to do next in the detail.

use axum::Json;
use axum::body::Body;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;

/// The media type.
pub(crate) const MEDIA_TYPE: &str = "application/problem+json";

/// One problem.
#[derive(Debug, Serialize)]
pub(crate) struct Problem {
    #[serde(rename = "type")]
    kind: &'static str,
    title: &'static str,
    status: u16,
    detail: String,
    /// Each thing that is wrong, where there may be several.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    reasons: Vec<String>,
    /// The fleets to choose from, where an id is ambiguous.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    fleets: Vec<String>,
}

impl Problem {
    pub(crate) fn new(status: StatusCode, detail: impl Into<String>) -> Self {
        Self {
            kind: "about:blank",
            title: status.canonical_reason().unwrap_or("Error"),
            status: status.as_u16(),
            detail: detail.into(),
            reasons: Vec::new(),
            fleets: Vec::new(),
        }
    }

    pub(crate) fn bad_request(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, detail)
    }

    pub(crate) fn reasons(self, reasons: Vec<String>) -> Self {
        Self { reasons, ..self }
    }

    pub(crate) fn fleets(self, fleets: Vec<String>) -> Self {
        Self { fleets, ..self }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let mut response = (status, Json(self)).into_response();
        response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(MEDIA_TYPE));
        response
    }
}

/// Gives every error that a layer below made in its own words the form of a problem.
pub(crate) fn cover(response: Response) -> Response {
    let status = response.status();
    let is_problem = response.headers().get(header::CONTENT_TYPE).is_some_and(|value| value == MEDIA_TYPE);
    if !(status.is_client_error() || status.is_server_error()) || is_problem {
        return response;
    }
    let detail = match status {
        StatusCode::METHOD_NOT_ALLOWED => "This path knows other methods: see the Allow header.",
        StatusCode::PAYLOAD_TOO_LARGE => "No request to the exporter needs a body of this size.",
        StatusCode::SERVICE_UNAVAILABLE => "The answer took too long to make. Try again.",
        StatusCode::INTERNAL_SERVER_ERROR => "The exporter failed to answer. Its log says more.",
        _ => "The request cannot be answered. /openapi.json lists what can be asked.",
    };
    let (mut parts, _) = response.into_parts();
    parts.headers.remove(header::CONTENT_LENGTH);
    let (problem, body) = Problem::new(status, detail).into_response().into_parts();
    parts.headers.extend(problem.headers);
    Response::from_parts(parts, Body::new(body))
}
