#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may stop at what it did not expect")]

use axum::body::Body;
use axum::routing::{get, post};
use http_body_util::BodyExt as _;
use tower::ServiceExt as _;

use super::*;
use crate::config::parse_web;

/// Of the password "right", at the lowest cost: the tests are about who is asked, not about bcrypt.
const HASH: &str = "$2b$04$cRnv/ah8JS4ZtVz8OFe7Xu5ZxgzOB1fFQm92X68726f/ea..u4ka2";

fn config(text: &str) -> Arc<ArcSwap<WebConfig>> {
    let config = parse_web(text.as_bytes(), "web.yml", std::path::Path::new(""));
    Arc::new(ArcSwap::from_pointee(config.unwrap_or_else(|mistakes| panic!("{mistakes}"))))
}

fn users() -> String {
    format!("basic_auth_users: {{me: {HASH}}}")
}

fn web(telemetry_path: &str) -> WebSettings {
    WebSettings {
        listen: Vec::new(),
        telemetry_path: telemetry_path.to_owned(),
        external_url: None,
        route_prefix: "/p".to_owned(),
        enable_lifecycle: false,
    }
}

/// Every path says "in", but readiness, which tells what nobody outside should know.
fn site(config: &Arc<ArcSwap<WebConfig>>) -> Router {
    let unready = || async { (StatusCode::SERVICE_UNAVAILABLE, "source \"payroll\" has not been tried yet") };
    let router = Router::new()
        .route("/p/-/healthy", get(|| async { "in" }))
        .route("/p/-/ready", get(unready).post(|| async { "in" }))
        .route("/p/-/reload", post(|| async { "in" }))
        .fallback(|| async { "in" });
    guarded(router, Arc::clone(config), &web("/metrics")).unwrap()
}

async fn ask(router: &Router, method: &str, path: &str, authorization: Option<&str>) -> Response {
    let mut request = axum::http::Request::builder().method(method).uri(path);
    if let Some(value) = authorization {
        request = request.header("Authorization", value);
    }
    router.clone().oneshot(request.body(Body::empty()).unwrap()).await.unwrap()
}

fn basic(pair: &str) -> String {
    format!("Basic {}", STANDARD.encode(pair))
}

async fn status(router: &Router, path: &str, pair: &str) -> u16 {
    ask(router, "GET", path, Some(&basic(pair))).await.status().as_u16()
}

async fn text(response: Response) -> String {
    String::from_utf8(response.into_body().collect().await.unwrap().to_bytes().to_vec()).unwrap()
}

#[tokio::test]
async fn without_users_everybody_is_let_in() {
    let router = site(&config("{}"));
    assert_eq!(ask(&router, "GET", "/p/metrics", None).await.status(), 200);
    assert!(text(ask(&router, "GET", "/p/-/ready", None).await).await.contains("payroll"));
}

#[tokio::test]
async fn with_users_every_path_and_method_but_two_asks_for_a_password() {
    let router = site(&config(&users()));
    for path in
        ["/p/metrics", "/p/", "/", "/p/config", "/p/health/events", "/p/-/ready/", "/p/-//ready", "/-/ready", "/x"]
    {
        let refused = ask(&router, "GET", path, None).await;
        assert_eq!(refused.status(), 401, "{path}");
        assert!(refused.headers()["www-authenticate"].to_str().unwrap().starts_with("Basic realm="), "{path}");
        assert_eq!(refused.headers()["content-type"], "application/problem+json", "{path}");
        assert_eq!(status(&router, path, "me:right").await, 200, "{path}");
    }
    for (method, path) in [("POST", "/p/-/reload"), ("POST", "/p/-/ready"), ("DELETE", "/p/-/healthy")] {
        assert_eq!(ask(&router, method, path, None).await.status(), 401, "{method} {path}");
    }
    for method in ["GET", "HEAD"] {
        assert_eq!(ask(&router, method, "/p/-/healthy", None).await.status(), 200);
    }
}

#[tokio::test]
async fn what_is_open_names_nobody() {
    let router = site(&config(&users()));
    let answer = ask(&router, "GET", "/p/-/ready", None).await;
    assert_eq!(answer.status(), 503);
    assert!(!text(answer).await.contains("payroll"));
}

#[tokio::test]
async fn metrics_under_an_open_path_are_not_open() {
    let router = Router::new().fallback(|| async { "in" });
    let router = guarded(router, config(&users()), &web("/-/ready")).unwrap();
    assert_eq!(ask(&router, "GET", "/p/-/ready", None).await.status(), 401);
    assert_eq!(ask(&router, "GET", "/p/-/healthy", None).await.status(), 200);
}

#[tokio::test]
async fn only_the_right_pair_opens() {
    let router = site(&config(&users()));
    for pair in ["me:wrong", "you:right", "me:", ":right", "me", "me:right ", "ME:right"] {
        assert_eq!(status(&router, "/p/metrics", pair).await, 401, "{pair}");
    }
    for value in ["", "Basic", "Basic ", "Basic %%%", "Bearer right", "Basic /w=="] {
        assert_eq!(ask(&router, "GET", "/p/metrics", Some(value)).await.status(), 401, "{value}");
    }
    assert_eq!(
        ask(&router, "GET", "/p/metrics", Some(&basic("me:right").replace("Basic", "bAsIc"))).await.status(),
        200
    );
}

#[tokio::test]
async fn a_password_that_was_right_is_asked_for_anew_when_its_hash_changes() {
    let config = config(&users());
    let router = site(&config);
    assert_eq!(status(&router, "/p/metrics", "me:right").await, 200);
    // The hash of "changeit".
    let other = "basic_auth_users: {me: $2b$10$iKvisSgW.d58CviMkJSJUe5CxJJzg5mHnZ0UM5Utoi41Cm8N5dL/C}";
    config.store(self::config(other).load_full());
    assert_eq!(status(&router, "/p/metrics", "me:right").await, 401);
    config.store(self::config("basic_auth_users: {}").load_full());
    assert_eq!(ask(&router, "GET", "/p/metrics", None).await.status(), 200, "no users, nobody is asked");
}

#[tokio::test]
async fn who_guesses_waits_and_who_is_known_does_not() {
    let users = config(&users()).load_full();
    let passwords = Arc::new(Passwords::new().unwrap());
    assert_eq!(passwords.check(&users.users, "me", b"right").await, Answer::Right);
    // Far more guesses at once than may wait.
    let guesses: Vec<_> = (0..200_u32)
        .map(|guess| {
            let (users, passwords) = (Arc::clone(&users), Arc::clone(&passwords));
            tokio::spawn(async move { passwords.check(&users.users, "me", &guess.to_be_bytes()).await })
        })
        .collect();
    tokio::task::yield_now().await;
    assert_eq!(passwords.check(&users.users, "me", b"right").await, Answer::Right, "remembered, so it does not wait");
    let mut busy = 0;
    for guess in guesses {
        match guess.await.unwrap() {
            Answer::Busy(_) => busy += 1,
            answer => assert_eq!(answer, Answer::Wrong),
        }
    }
    assert!(busy >= 150, "{busy} of 200 were told to come again");
}

#[tokio::test]
async fn a_name_that_nobody_has_costs_as_much_as_a_wrong_password() {
    // Hashes of different cost: the time must not tell them apart either. 9 is 32 times the work of 4.
    let nine = bcrypt::hash("other", 9).unwrap();
    let users = config(&format!("basic_auth_users: {{cheap: {HASH}, dear: {nine}}}")).load_full();
    let mut shortest = std::collections::BTreeMap::new();
    for _ in 0..5 {
        for name in ["cheap", "dear", "nobody"] {
            let hash = users.users.get(name).cloned();
            let began = std::time::Instant::now();
            assert!(!passwords::compare(hash.as_ref(), 9, b"wrong"));
            let took = began.elapsed();
            shortest.entry(name).and_modify(|least: &mut Duration| *least = took.min(*least)).or_insert(took);
        }
    }
    let (least, most) = (shortest.values().min().unwrap(), shortest.values().max().unwrap());
    // The shortest of five runs; without the equal work they would differ by a factor of 30.
    assert!(*most < *least * 3, "{shortest:?}");
}

#[tokio::test]
async fn more_requests_than_the_limit_are_told_when_to_come_again_and_probes_are_not_counted() {
    let router = site(&config("rate_limit: {interval: 1h, burst: 2}"));
    for expected in [200, 200, 429, 429] {
        let answer = ask(&router, "GET", "/p/metrics", None).await;
        assert_eq!(answer.status(), expected);
        if expected == 429 {
            let after: u64 = answer.headers()["retry-after"].to_str().unwrap().parse().unwrap();
            assert!((1..=3600).contains(&after), "{after}");
            assert_eq!(answer.headers()["content-type"], "application/problem+json");
        }
        assert_eq!(ask(&router, "GET", "/p/-/healthy", None).await.status(), 200);
    }
}

#[tokio::test]
async fn the_configured_headers_are_on_every_answer() {
    let headers = "http_server_config: {headers: {X-Frame-Options: deny}}";
    let router = site(&config(&format!("{}\n{headers}", users())));
    for path in ["/p/metrics", "/p/-/healthy"] {
        assert_eq!(ask(&router, "GET", path, None).await.headers()["x-frame-options"], "deny", "{path}");
    }
}
