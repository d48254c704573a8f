#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may stop at what it did not expect")]

mod runbooks;

use std::sync::Arc;

use arc_swap::ArcSwap;
use axum::Router;
use axum::body::Body;
use axum::http::{HeaderMap, Method, Request, StatusCode};
use http_body_util::BodyExt as _;
use serde_json::Value;
use tokio::sync::{broadcast, mpsc, oneshot};
use tower::ServiceExt as _;
use verdict::evidence::WorkerKey;
use verdict::ledger::Change;
use verdict::rules::Rulebook;
use verdict::snapshot::Snapshot;
use verdict::words::{Reason, State};

use super::api::schema::{Field, Null, SHAPES, Shape, Type};
use super::{ReloadStatus, Site, openapi, router, sample};
use crate::config::{Settings, WebSettings};
use crate::fleet::Clock;

/// The room over a snapshot made by hand, without a listener.
struct House {
    site: Arc<Site>,
    reloads: mpsc::Receiver<oneshot::Sender<Result<(), String>>>,
}

fn house(snapshot: Snapshot, change: impl FnOnce(&mut WebSettings)) -> House {
    let (reload, reloads) = mpsc::channel(1);
    let mut web = WebSettings {
        listen: Vec::new(),
        telemetry_path: "/metrics".to_owned(),
        external_url: None,
        route_prefix: "/".to_owned(),
        enable_lifecycle: false,
    };
    change(&mut web);
    let settings = Settings {
        rulebook: Arc::new(Rulebook::default()),
        sources: Vec::new(),
        concurrency: 8,
        shown: "sources: []\n".to_owned(),
    };
    let site = Site {
        present: Arc::new(ArcSwap::from_pointee(snapshot)),
        changes: broadcast::channel(4).0,
        settings: Arc::new(ArcSwap::from_pointee(settings)),
        reload,
        reload_status: Arc::new(ArcSwap::from_pointee(ReloadStatus { successful: true, last_success: None })),
        ready: Arc::new(|| true),
        web,
        clock: Clock::start(),
    };
    House { site: Arc::new(site), reloads }
}

fn app(snapshot: Snapshot) -> Router {
    router(house(snapshot, |_| {}).site)
}

async fn send(app: &Router, method: Method, path: &str, headers: &[(&str, &str)]) -> (StatusCode, HeaderMap, String) {
    let mut request = Request::builder().method(method).uri(path);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let response = app.clone().oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
    let (parts, body) = response.into_parts();
    let bytes = body.collect().await.unwrap().to_bytes();
    (parts.status, parts.headers, String::from_utf8_lossy(&bytes).into_owned())
}

async fn get(app: &Router, path: &str) -> (StatusCode, HeaderMap, String) {
    send(app, Method::GET, path, &[]).await
}

async fn json(app: &Router, path: &str) -> Value {
    let (status, headers, body) = get(app, path).await;
    assert_eq!(status, StatusCode::OK, "{path}: {body}");
    assert_eq!(headers["content-type"], "application/json", "{path}");
    serde_json::from_str(&body).unwrap()
}

async fn problem(app: &Router, method: Method, path: &str, expected: u16) -> Value {
    let (status, headers, body) = send(app, method, path, &[]).await;
    assert_eq!(status.as_u16(), expected, "{path}: {body}");
    assert_eq!(headers["content-type"], "application/problem+json", "{path}");
    let problem: Value = serde_json::from_str(&body).unwrap();
    assert_eq!(problem["status"], expected, "{path}");
    assert!(problem["detail"].as_str().is_some_and(|detail| detail.len() > 10), "{path}: {body}");
    problem
}

#[tokio::test]
async fn the_content_types_of_the_metrics_are_exactly_what_prometheus_knows() {
    let app = app(sample::night());
    let open = "application/openmetrics-text;version=1.0.0";
    let (_, headers, body) = send(&app, Method::GET, "/metrics", &[("accept", open)]).await;
    assert_eq!(headers["content-type"], "application/openmetrics-text; version=1.0.0; charset=utf-8");
    assert_eq!(headers["content-length"], body.len().to_string().as_str());
    assert!(body.ends_with("# EOF\n"));
    let (_, headers, _) = get(&app, "/metrics").await;
    assert_eq!(headers["content-type"], "text/plain; version=0.0.4; charset=utf-8");
    assert!(!headers.contains_key("content-encoding"));
    let (_, headers, _) = send(&app, Method::GET, "/metrics", &[("accept-encoding", "gzip")]).await;
    assert_eq!(headers["content-encoding"], "gzip");
}

#[tokio::test]
async fn the_list_has_totals_of_all_and_goes_on_where_the_cursor_stands() {
    let snapshot = sample::night();
    let all = snapshot.workers.len();
    let app = app(snapshot);
    let whole = json(&app, "/health/workers").await;
    assert_eq!(whole["total_workers"], all);
    let statuses = ["healthy_workers", "warning_workers", "critical_workers", "unknown_workers"];
    let sum: u64 = statuses.iter().map(|name| whole[name].as_u64().unwrap()).sum();
    assert_eq!(sum, all as u64);
    assert_eq!(whole["next_cursor"], Value::Null);

    let (mut seen, mut path) = (Vec::new(), "/health/workers?limit=3".to_owned());
    loop {
        let page = json(&app, &path).await;
        assert_eq!(page["total_workers"], all, "totals are of all pages");
        seen.extend(page["workers"].as_array().unwrap().clone());
        let Some(cursor) = page["next_cursor"].as_str() else { break };
        let cursor: String = url::form_urlencoded::byte_serialize(cursor.as_bytes()).collect();
        path = format!("/health/workers?limit=3&cursor={cursor}");
    }
    assert_eq!(Value::from(seen), whole["workers"]);

    let down = json(&app, "/health/workers?state=down&fleet=mail").await;
    assert_eq!(down["total_workers"], 1);
    assert_eq!(down["workers"][0]["worker_id"], "mail-3");
    assert_eq!(down["workers"][0]["status"], "critical");
}

#[tokio::test]
async fn a_worker_of_any_name_is_found_by_its_encoded_name() {
    let app = app(sample::night());
    let path = format!("/health/workers/{}", super::api::encode(sample::NAUGHTY));
    let worker = json(&app, &path).await;
    assert_eq!(worker["worker_id"], sample::NAUGHTY);
    assert_eq!(worker["state"], "down");
    let full = json(&app, "/health/workers/nightly").await;
    assert_eq!(full["metrics"]["tasks_total"], 12_345);
    assert_eq!(full["heartbeat_interval_seconds"], 1.0);
}

#[tokio::test]
async fn an_id_that_two_fleets_share_needs_the_fleet() {
    let workers = ["a", "b"].map(|fleet| sample::worker(fleet, "w-1", State::Healthy, Reason::Ok)).to_vec();
    let app = app(Snapshot { workers, ..Snapshot::default() });
    let conflict = problem(&app, Method::GET, "/health/workers/w-1", 409).await;
    assert_eq!(conflict["fleets"], serde_json::json!(["a", "b"]));
    assert_eq!(json(&app, "/health/workers/w-1?fleet=b").await["fleet"], "b");
    problem(&app, Method::GET, "/health/workers/w-1?fleet=c", 404).await;
    problem(&app, Method::GET, "/health/workers/w-2", 404).await;
}

#[tokio::test]
async fn every_error_is_a_problem_that_says_what_to_do() {
    let app = app(sample::night());
    problem(&app, Method::GET, "/nowhere", 404).await;
    problem(&app, Method::POST, "/health/workers", 405).await;
    problem(&app, Method::GET, "/-/reload", 405).await;
    problem(&app, Method::GET, "/health/workers?limit=0", 400).await;
    problem(&app, Method::GET, "/health/workers?cursor=x", 400).await;
    problem(&app, Method::GET, "/health/fleets?fleet=x", 400).await;
    problem(&app, Method::POST, "/-/reload", 403).await;
    let states = problem(&app, Method::GET, "/health/workers?state=dead", 400).await;
    assert!(State::ALL.iter().all(|state| states["detail"].as_str().unwrap().contains(state.word())), "{states}");
    let (_, headers, _) = send(&app, Method::POST, "/health/workers", &[]).await;
    assert_eq!(headers["allow"], "GET,HEAD");
    let huge = "x".repeat(5000);
    let request = Request::post("/-/reload").header("content-length", "5000").body(Body::from(huge)).unwrap();
    let response = app.clone().oneshot(request).await.unwrap();
    assert_eq!(response.status(), StatusCode::PAYLOAD_TOO_LARGE);
    assert_eq!(response.headers()["content-type"], "application/problem+json");
}

#[tokio::test]
async fn head_answers_like_get_without_a_body() {
    let app = app(sample::night());
    for path in ["/", "/metrics", "/health/workers", "/config", "/-/healthy", "/openapi.json", "/page.js"] {
        let (status, headers, body) = send(&app, Method::HEAD, path, &[]).await;
        assert_eq!((status, body.as_str()), (StatusCode::OK, ""), "{path}");
        assert_ne!(headers["content-length"], "0", "{path}");
    }
}

#[tokio::test]
async fn ready_waits_and_says_for_what() {
    let mut snapshot = sample::night();
    snapshot.sources[0].up = None;
    let mut site = Arc::into_inner(house(snapshot, |_| {}).site).unwrap();
    site.ready = Arc::new(|| false);
    let app = router(Arc::new(site));
    let problem = problem(&app, Method::GET, "/-/ready", 503).await;
    assert!(problem["reasons"][0].as_str().unwrap().contains("probes"), "{problem}");
    assert_eq!(get(&app, "/-/healthy").await.0, StatusCode::OK);
    assert_eq!(get(&self::app(sample::night()), "/-/ready").await.0, StatusCode::OK);
}

#[tokio::test]
async fn reload_tells_success_and_every_mistake_and_refuses_other_sites() {
    let House { site, mut reloads } = house(sample::night(), |web| web.enable_lifecycle = true);
    let app = router(site);
    let owner = tokio::spawn(async move {
        let answers = [Ok(()), Err("line 1: no\n\nline 2: nor this\n".to_owned())];
        for answer in answers {
            reloads.recv().await.unwrap().send(answer).unwrap();
        }
    });
    assert_eq!(send(&app, Method::POST, "/-/reload", &[]).await.0, StatusCode::OK);
    let mistakes = problem(&app, Method::POST, "/-/reload", 500).await;
    assert_eq!(mistakes["reasons"], serde_json::json!(["line 1: no", "line 2: nor this"]));
    owner.await.unwrap();
    // The owner is gone: told, not waited for.
    problem(&app, Method::POST, "/-/reload", 500).await;
    let cross = send(&app, Method::POST, "/-/reload", &[("sec-fetch-site", "cross-site")]).await;
    assert_eq!(cross.0, StatusCode::FORBIDDEN);
}

#[tokio::test]
async fn the_page_lets_no_name_out_and_forbids_what_it_does_not_bring() {
    let app = app(sample::night());
    let (status, headers, html) = get(&app, "/").await;
    assert_eq!(status, StatusCode::OK);
    assert!(!html.contains("<script>alert"), "a worker's name became a script");
    assert!(html.contains("&#60;script&#62;alert(1)"));
    assert!(headers["content-security-policy"].to_str().unwrap().starts_with("default-src 'none'; script-src 'self'"));
    assert_eq!(headers["x-content-type-options"], "nosniff");
    assert_eq!(headers["referrer-policy"], "no-referrer");
    assert!(!html.contains("style=") && !html.contains("onclick"), "the policy forbids inline code");
    assert!(!headers.contains_key("access-control-allow-origin"));
    let first = html.find("class=\"badge down\"").unwrap();
    assert!(first < html.find("class=\"badge stuck\"").unwrap(), "the worst stands first");
    assert!(html.find("class=\"badge stuck\"").unwrap() < html.find("class=\"badge healthy\"").unwrap());
}

#[tokio::test]
async fn the_page_shows_what_is_asked_for() {
    let app = app(sample::night());
    let (_, _, html) = get(&app, "/?fleet=gpu&state=unknown").await;
    assert!(html.contains("gpu-2") && !html.contains("gpu-1") && !html.contains("mail-3"));
    let (_, _, html) = get(&app, "/?limit=1").await;
    assert_eq!(html.matches("class=\"badge down\"").count(), 1);
    assert!(html.contains("more workers"));
    problem(&app, Method::GET, "/?state=dead", 400).await;
}

#[tokio::test]
async fn an_empty_house_says_that_it_knows_nobody_rather_than_that_all_is_well() {
    let (status, _, html) = get(&app(Snapshot { observer_trusted: true, ..Snapshot::default() }), "/").await;
    assert_eq!(status, StatusCode::OK);
    assert!(html.contains("No workers are known") && !html.contains("take work"));
}

#[tokio::test]
async fn all_paths_stand_under_the_prefix_and_links_begin_as_the_world_sees_us() {
    let site = house(sample::night(), |web| {
        web.route_prefix = "inner/".to_owned();
        web.telemetry_path = "/scrape".to_owned();
        web.external_url = Some("https://user:hunter2@example.org/outer/".parse().unwrap());
    });
    let app = router(site.site);
    for path in ["/inner/", "/inner/scrape", "/inner/health/workers", "/inner/-/healthy"] {
        assert_eq!(get(&app, path).await.0, StatusCode::OK, "{path}");
    }
    problem(&app, Method::GET, "/inner/metrics", 404).await;
    problem(&app, Method::GET, "/health/workers", 404).await;
    assert_eq!(get(&app, "/").await.1["location"], "/outer/");
    let (_, _, html) = get(&app, "/inner/").await;
    assert!(html.contains("href=\"/outer/page.css\"") && html.contains("href=\"/outer/scrape\""));
    let openapi = get(&app, "/inner/openapi.json").await.2;
    assert!(!openapi.contains("hunter2") && openapi.contains("https://example.org/outer/"));
}

#[tokio::test]
async fn each_change_is_one_event_and_a_reader_that_lags_is_dropped() {
    let House { site, .. } = house(sample::night(), |_| {});
    let app = router(Arc::clone(&site));
    let change = |worker: &str| {
        Arc::new(Change {
            key: WorkerKey::new("mail", worker),
            from: Some(State::Healthy),
            to: Some(State::Down),
            reason: Reason::Stale,
            detail: "no heartbeat\nfor 5 s".to_owned(),
            at: sample::NOW,
        })
    };
    let request = Request::get("/health/events").body(Body::empty()).unwrap();
    let response = app.clone().oneshot(request).await.unwrap();
    assert_eq!(response.headers()["content-type"], "text/event-stream");
    let mut body = response.into_body();
    let mut next = async || {
        let frame = body.frame().await?.unwrap();
        Some(String::from_utf8(frame.into_data().unwrap().to_vec()).unwrap())
    };
    assert!(next().await.unwrap().contains("retry: 2000"));
    site.changes.send(change("mail-1")).unwrap();
    let event = next().await.unwrap();
    let data = event.lines().find_map(|line| line.strip_prefix("data: ")).unwrap();
    assert!(event.contains("event: change\n"), "{event}");
    let data: Value = serde_json::from_str(data).unwrap();
    same_fields(&super::api::schema::CHANGE, &data);
    assert_eq!((&data["worker_id"], &data["to"]), (&"mail-1".into(), &"down".into()));
    for at in 0..10 {
        site.changes.send(change(&at.to_string())).unwrap();
    }
    assert_eq!(next().await, None, "the stream has a hole and must end");
}

#[tokio::test]
async fn event_streams_are_bounded_and_a_closed_one_makes_room() {
    let app = app(Snapshot::default());
    let open = async || {
        let request = Request::get("/health/events").body(Body::empty()).unwrap();
        app.clone().oneshot(request).await.unwrap()
    };
    let mut held = Vec::new();
    loop {
        let response = open().await;
        if response.status() == StatusCode::SERVICE_UNAVAILABLE {
            break;
        }
        held.push(response);
        assert!(held.len() < 1000, "nothing bounds them");
    }
    held.pop();
    assert_eq!(open().await.status(), StatusCode::OK);
}

/// Every name of a shape is in the value, of the right type, and no other; all the way down.
fn same_fields(shape: &Shape, value: &Value) {
    let object = value.as_object().unwrap_or_else(|| panic!("{} is no object: {value}", shape.name));
    for name in object.keys() {
        assert!(shape.fields.iter().any(|field| field.name == name), "{}.{name} is not in the table", shape.name);
    }
    for field in shape.fields {
        match object.get(field.name) {
            None => assert!(field.null == Null::Absent, "{}.{} is missing", shape.name, field.name),
            Some(Value::Null) => assert!(field.null == Null::Unknown, "{}.{} is null", shape.name, field.name),
            Some(value) => same_type(shape, field, field.kind, value),
        }
    }
}

fn same_type(shape: &Shape, field: &Field, kind: Type, value: &Value) {
    let right = match kind {
        Type::Text => value.is_string(),
        Type::Number | Type::Time | Type::Ratio => value.is_number(),
        Type::Integer => value.is_u64(),
        Type::Boolean => value.is_boolean(),
        Type::Word(_, words) => value.as_str().is_some_and(|word| words().contains(&word)),
        Type::Object(inner) => {
            same_fields(inner, value);
            true
        }
        Type::List(of) => {
            let list = value.as_array();
            list.into_iter().flatten().for_each(|value| same_type(shape, field, *of, value));
            list.is_some()
        }
        Type::Map(of) => {
            let map = value.as_object();
            map.into_iter().flat_map(serde_json::Map::values).for_each(|value| same_type(shape, field, *of, value));
            map.is_some()
        }
    };
    assert!(right, "{}.{}: {value}", shape.name, field.name);
}

#[tokio::test]
async fn the_answers_have_the_shapes_that_are_documented() {
    use super::api::schema;
    let app = app(sample::night());
    for (path, shape) in [
        ("/health/workers", &schema::WORKER_LIST),
        ("/health/workers/nightly", &schema::WORKER_DETAIL),
        ("/health/workers/mail-3", &schema::WORKER_DETAIL),
        ("/health/fleets", &schema::FLEET_LIST),
        ("/health/queues", &schema::QUEUE_LIST),
        ("/health/sources", &schema::SOURCE_LIST),
    ] {
        same_fields(shape, &json(&app, path).await);
    }
    same_fields(&schema::PROBLEM, &problem(&app, Method::GET, "/nowhere", 404).await);
}

#[tokio::test]
async fn the_openapi_document_names_every_path_that_answers_and_no_shape_that_is_not_there() {
    let app = app(sample::night());
    let document = json(&app, "/openapi.json").await;
    assert_eq!(document, openapi::document("/", "/metrics"));
    let text = document.to_string();
    for reference in text.split("\"#/components/schemas/").skip(1) {
        let name = reference.split('"').next().unwrap();
        assert!(SHAPES.iter().any(|shape| shape.name == name), "{name} is not defined");
    }
    for (path, item) in document["paths"].as_object().unwrap() {
        for method in item.as_object().unwrap().keys() {
            let real = path.replace("{worker_id}", "nightly");
            let method: Method = method.to_uppercase().parse().unwrap();
            if path == "/health/events" {
                continue; // It does not end; it has its own test.
            }
            let (status, headers, _) = send(&app, method.clone(), &real, &[]).await;
            let answers = &item[method.as_str().to_lowercase()]["responses"];
            let answer = &answers[status.as_str()];
            let media = headers["content-type"].to_str().unwrap();
            assert!(answer["content"].get(media).is_some(), "{method} {path} answers {status} {media}");
        }
    }
}
