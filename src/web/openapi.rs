//! `/openapi.json`, made from the table of paths and the table of shapes: it can say nothing that is not served.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use serde_json::{Map, Value, json};

use super::api::schema::{PROBLEM, SHAPES, Type};
use super::query::MAXIMUM_LIMIT;
use super::routes::{Parameter, Place, ROUTES, Route};
use super::site::{Room, telemetry_path};

/// `GET /openapi.json`.
pub(super) async fn openapi(State(room): State<Arc<Room>>) -> Json<Value> {
    let web = &room.site.web;
    let server = web.external_url.as_ref().map_or_else(
        || format!("{}/", room.base),
        |url| {
            let mut url = url.clone();
            // A user name in the address is nobody's business; it cannot fail on http addresses.
            let _ = url.set_username("");
            let _ = url.set_password(None);
            url.to_string()
        },
    );
    Json(document(&server, &telemetry_path(web)))
}

/// The whole document.
pub(super) fn document(server: &str, telemetry_path: &str) -> Value {
    let mut paths = Map::new();
    for route in ROUTES {
        let path = if route.path == "/metrics" { telemetry_path } else { route.path };
        let item = json!({ route.method.to_lowercase(): operation(route) });
        paths.insert(path.to_owned(), item);
    }
    let schemas: Map<String, Value> = SHAPES.iter().map(|shape| (shape.name.to_owned(), shape.schema())).collect();
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "worker-exporter",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "Is each background worker still taking work, and if not, why?",
            "license": { "name": "Apache-2.0", "identifier": "Apache-2.0" },
        },
        "servers": [{ "url": server.trim_end_matches('/').to_owned() + "/" }],
        "paths": paths,
        "components": { "schemas": schemas },
    })
}

fn operation(route: &Route) -> Value {
    let parameters: Vec<Value> = route.parameters.iter().map(parameter).collect();
    let schema = route.shape.map_or_else(|| json!({}), |shape| Type::Object(shape).schema());
    let content: Map<String, Value> = route
        .media
        .iter()
        .map(|media| {
            // An event stream is text; its events carry the shape.
            let schema = if *media == "text/event-stream" { json!({ "type": "string" }) } else { schema.clone() };
            ((*media).to_owned(), json!({ "schema": schema }))
        })
        .collect();
    let mut responses = Map::new();
    responses.insert("200".to_owned(), json!({ "description": route.summary, "content": content }));
    for (status, when) in route.errors {
        let content = json!({ super::problem::MEDIA_TYPE: { "schema": Type::Object(&PROBLEM).schema() } });
        responses.insert(status.to_string(), json!({ "description": when, "content": content }));
    }
    json!({ "summary": route.summary, "parameters": parameters, "responses": responses })
}

fn parameter(parameter: &Parameter) -> Value {
    use verdict::words::State;
    let one = match parameter.name {
        "state" => Type::Word("State", || State::ALL.iter().map(|state| state.word()).collect()).schema(),
        "limit" => json!({ "type": "integer", "minimum": 1, "maximum": MAXIMUM_LIMIT }),
        _ => json!({ "type": "string" }),
    };
    let schema = if parameter.place == Place::Repeated { json!({ "type": "array", "items": one }) } else { one };
    json!({
        "name": parameter.name,
        "in": if parameter.place == Place::Path { "path" } else { "query" },
        "required": parameter.place == Place::Path,
        "description": parameter.meaning,
        "schema": schema,
    })
}
