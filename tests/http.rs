//! What becomes of a look when a worker's health endpoint misbehaves, on real sockets.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test stops at the first surprise")]

mod http_scene;

use std::sync::Arc;
use std::time::{Duration, Instant};

use http_scene::{LONG, SHORT, Scene, at, configured, known, look, ok, request, rest, source};
use tokio::io::AsyncWriteExt;
use tokio::sync::mpsc;
use verdict::evidence::{Observation, Reach, Said, Says, Scope};
use verdict::words::Failure;
use worker_exporter::config::{self, Access, Detail, Secret};
use worker_exporter::observe::Observe;
use worker_exporter::observe::http::HttpSource;

fn missed(observation: &Observation) -> Option<Failure> {
    match observation.reach {
        Some(Reach::Missed(failure)) => Some(failure),
        _ => None,
    }
}

#[tokio::test]
async fn a_healthy_answer_is_up_and_tells_how_long_it_took() {
    let body = r#"{"alive":true,"last_heartbeat":1795323894,"tasks_total":7,"task_queue":"mail"}"#;
    let scene = Scene::answering(ok("application/json", body)).await;
    let seen = at(&scene.url(), LONG).await;
    let Some(Reach::Answered { took, deadline }) = seen.reach else { panic!("{seen:?}") };
    assert!(took > Duration::ZERO && took < deadline && deadline == LONG);
    assert_eq!(seen.says.overall, Some(Said::Up));
    assert_eq!(seen.numbers.tasks_total, Some(7));
    assert_eq!(seen.info.host.as_deref(), Some("127.0.0.1"));
    assert!(seen.beat.unwrap().mark.is_some());
    assert!(seen.slot.exclusive);
}

#[tokio::test]
async fn every_way_to_be_slow_ends_at_the_one_deadline() {
    // Nothing at all; a byte of the head now and then; a byte of the body now and then; headers without end.
    let silence = Scene::new(|mut stream| async move { rest(&mut stream).await }).await;
    let head = dripping("HTTP/1.1 200 OK\r\nContent-Length: 2\r\nX: ", "x").await;
    let body = dripping("HTTP/1.1 200 OK\r\nContent-Length: 4000\r\n\r\n", "x").await;
    let headers = dripping("HTTP/1.1 200 OK\r\n", "A: b\r\n").await;
    for scene in [silence, head, body, headers] {
        let began = Instant::now();
        let seen = at(&scene.url(), SHORT).await;
        assert_eq!(missed(&seen), Some(Failure::Timeout));
        assert!(began.elapsed() >= SHORT && began.elapsed() < LONG);
    }
}

/// Writes `first` and then `drop` every 20 ms, for as long as it is listened to: each read succeeds, the whole never ends.
async fn dripping(first: &'static str, drop: &'static str) -> Scene {
    Scene::new(move |mut stream| async move {
        request(&mut stream).await;
        let _ = stream.write_all(first.as_bytes()).await;
        while stream.write_all(drop.as_bytes()).await.is_ok() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await
}

#[tokio::test]
async fn a_body_without_end_is_left_at_the_cap_and_its_connection_closed() {
    let (closed, mut was_closed) = mpsc::channel(1);
    let endless = Scene::new(move |mut stream| {
        let closed = closed.clone();
        async move {
            request(&mut stream).await;
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n").await;
            let chunk = format!("400\r\n{}\r\n", "x".repeat(0x400));
            while stream.write_all(chunk.as_bytes()).await.is_ok() {}
            let _ = closed.send(()).await;
        }
    })
    .await;
    let seen = at(&endless.url(), LONG).await;
    assert!(matches!(seen.reach, Some(Reach::Answered { .. })), "{seen:?}");
    assert_eq!(seen.says.unreadable, Some(Failure::BodyTooLarge));
    assert_eq!(seen.says.overall, Some(Said::Degraded));
    tokio::time::timeout(LONG, was_closed.recv()).await.unwrap().unwrap();
}

#[tokio::test]
async fn a_huge_declared_length_is_refused_before_it_is_read() {
    let scene = Scene::answering("HTTP/1.1 200 OK\r\nContent-Length: 10000000000\r\n\r\nx").await;
    assert_eq!(at(&scene.url(), LONG).await.says.unreadable, Some(Failure::BodyTooLarge));
    let bad = Scene::answering("HTTP/1.1 503 No\r\nContent-Length: 10000000000\r\n\r\nx").await;
    assert_eq!(at(&bad.url(), LONG).await.says.overall, Some(Said::Down));
}

#[tokio::test]
async fn a_compressed_body_is_not_unpacked() {
    let head =
        "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Encoding: gzip\r\nContent-Length: 2\r\n\r\n{}";
    let seen = at(&Scene::answering(head).await.url(), LONG).await;
    assert_eq!((seen.says.unreadable, seen.says.overall), (Some(Failure::BodyInvalid), Some(Said::Degraded)));
}

#[tokio::test]
async fn headers_beyond_the_limit_are_their_own_reason() {
    let many: String = (0..10_000).map(|at| format!("x-{at}: y\r\n")).collect();
    let large = format!("x: {}\r\n", "y".repeat(1 << 20));
    let hundred_and_one: String = (0..101).map(|at| format!("x-{at}: y\r\n")).collect();
    for headers in [many, large, hundred_and_one] {
        let scene = Scene::answering(format!("HTTP/1.1 200 OK\r\n{headers}Content-Length: 2\r\n\r\nOK")).await;
        assert_eq!(missed(&at(&scene.url(), LONG).await), Some(Failure::HeaderLimit));
    }
}

#[tokio::test]
async fn a_broken_connection_is_a_reset_wherever_it_breaks() {
    let at_once = Scene::new(|_| async {}).await;
    let after_request = Scene::answering("").await;
    let in_the_head = Scene::answering("HTTP/1.1 200 OK\r\nContent-Le").await;
    let in_the_body = Scene::answering("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf").await;
    let rst = Scene::new(|mut stream| async move {
        request(&mut stream).await;
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf").await;
        stream.set_zero_linger().unwrap();
    })
    .await;
    for (what, scene) in
        [("at once", at_once), ("request", after_request), ("head", in_the_head), ("body", in_the_body), ("rst", rst)]
    {
        assert_eq!(missed(&at(&scene.url(), LONG).await), Some(Failure::Reset), "{what}");
    }
}

#[tokio::test]
async fn what_speaks_no_http_is_a_protocol_failure() {
    for garbage in ["SSH-2.0-OpenSSH_9.2\r\n\r\n", "\0\u{1}\u{2}garbage\r\n\r\n", "-ERR unknown command 'GET'\r\n"] {
        let scene = Scene::answering(garbage).await;
        assert_eq!(missed(&at(&scene.url(), LONG).await), Some(Failure::Protocol), "{garbage:?}");
    }
}

#[tokio::test]
async fn nobody_listening_and_no_such_name_are_told_apart() {
    let gone = Scene::answering("").await.url();
    // The scene is dropped: its task is gone as soon as the runtime gets to it.
    let refused = tokio::time::timeout(LONG, async {
        loop {
            let seen = missed(&at(&gone, LONG).await);
            if seen != Some(Failure::Reset) {
                return seen;
            }
        }
    });
    assert_eq!(refused.await.unwrap(), Some(Failure::Refused));
    // A label of 64 characters cannot exist, so no resolver is asked and the test needs no network.
    let nowhere = format!("http://{}.invalid/", "a".repeat(64));
    assert_eq!(missed(&at(&nowhere, LONG).await), Some(Failure::Dns));
}

#[tokio::test]
async fn a_refusal_or_a_redirect_is_our_misconfiguration_and_is_never_followed() {
    for (code, failure) in [
        ("401 Unauthorized", Failure::Unauthenticated),
        ("403 Forbidden", Failure::PermissionDenied),
        ("407 Proxy Authentication Required", Failure::Unauthenticated),
        ("404 Not Found", Failure::NotFound),
        ("302 Found\r\nLocation: /elsewhere", Failure::Redirect),
        ("301 Moved\r\nLocation: http://169.254.169.254/latest/meta-data/", Failure::Redirect),
    ] {
        let scene = Scene::answering(format!("HTTP/1.1 {code}\r\nContent-Length: 0\r\n\r\n")).await;
        assert_eq!(at(&scene.url(), LONG).await.reach, Some(Reach::Misconfigured(failure)), "{code}");
        assert_eq!(scene.connections(), 1, "{code}");
    }
}

#[tokio::test]
async fn whoever_else_answers_at_the_address_of_a_worker_is_not_taken_for_it() {
    let mut http = config::HttpSource::of(Vec::new());
    http.identity = Some(config::Identity { field: "/worker".into(), value: "mail/{id}".into() });
    let body = |worker: &str| ok("application/json", &format!(r#"{{"status":"ok","worker":"{worker}"}}"#));
    let down = ok("application/json", r#"{"alive":false,"worker":"shop/w-0"}"#).replace("200 OK", "503 No");
    let stranger = Some(Reach::Misconfigured(Failure::Stranger));
    for (answer, reach) in [
        (body("mail/w-0"), None),
        (body("mail/w-1"), stranger),
        (body("w-0"), stranger),
        (down, stranger),
        (ok("text/plain", "OK"), stranger),
        ("HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n".to_owned(), stranger),
        (ok("text/html", "<html>a page of nobody</html>"), stranger),
    ] {
        let scene = Scene::answering(answer.clone()).await;
        let source = HttpSource::new(&configured(LONG, Detail::Http(http.clone())), &http, known(&scene.url()));
        let seen = look(&source).await.unwrap();
        match reach {
            None => assert_eq!(seen.says.overall, Some(Said::Up), "{answer}"),
            Some(_) => assert_eq!((seen.reach, seen.says.clone()), (reach, Says::default()), "{answer}"),
        }
    }
}

#[tokio::test]
async fn too_many_requests_fails_the_look_and_says_nothing_of_the_worker() {
    let scene = Scene::answering("HTTP/1.1 429 Too Many Requests\r\nContent-Length: 0\r\n\r\n").await;
    let failed = look(&source(&scene.url(), LONG, Access::default())).await;
    assert_eq!(failed.unwrap_err(), Failure::Throttled);
}

#[tokio::test]
async fn informational_answers_before_the_answer_do_not_matter() {
    let flood = "HTTP/1.1 103 Early Hints\r\n\r\n".repeat(50);
    let scene = Scene::answering(format!("{flood}{}", ok("text/plain", "OK"))).await;
    assert_eq!(at(&scene.url(), LONG).await.says.overall, Some(Said::Up));
}

#[tokio::test]
async fn a_second_answer_smuggled_behind_the_first_is_thrown_away() {
    let scene = Scene::answering(ok("text/plain", "OK") + &ok("text/plain", "DOWN")).await;
    for looks in 1..=2 {
        assert_eq!(at(&scene.url(), LONG).await.says.overall, Some(Said::Up));
        assert_eq!(scene.connections(), looks, "each look has a connection of its own");
    }
}

#[tokio::test]
async fn the_request_says_who_asks_and_carries_the_credentials_as_they_are_now() {
    let (heard, mut requests) = mpsc::channel(8);
    let scene = Scene::new(move |mut stream| {
        let heard = heard.clone();
        async move {
            let _ = heard.send(request(&mut stream).await).await;
            let _ = stream.write_all(ok("text/plain", "OK").as_bytes()).await;
        }
    })
    .await;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("token");
    std::fs::write(&file, "first\n").unwrap();
    let access = Access {
        bearer: Some(Secret::File(file.clone())),
        headers: vec![("X-Key".into(), Secret::held("k"))],
        ..Access::default()
    };
    let url = format!("{}?deep=1", scene.url());
    let source = source(&url, LONG, access);

    look(&source).await.unwrap();
    let first = requests.recv().await.unwrap().to_lowercase();
    assert!(first.starts_with("get /health?deep=1 http/1.1\r\n"), "{first}");
    for header in [
        format!("host: {}", scene.address),
        concat!("user-agent: worker-exporter/", env!("CARGO_PKG_VERSION")).into(),
        "accept-encoding: identity".into(),
        "connection: close".into(),
        "authorization: bearer first".into(),
        "x-key: k".into(),
    ] {
        assert!(first.contains(&format!("\r\n{header}\r\n")), "{header} in {first}");
    }

    std::fs::write(&file, "second").unwrap();
    look(&source).await.unwrap();
    assert!(requests.recv().await.unwrap().to_lowercase().contains("authorization: bearer second\r\n"));

    std::fs::remove_file(&file).unwrap();
    let seen = look(&source).await.unwrap();
    assert_eq!(seen.reach, Some(Reach::Misconfigured(Failure::Unauthenticated)));
    assert_eq!(scene.connections(), 2, "without its credential the request is not sent");
}

#[tokio::test]
async fn basic_authentication_is_sent() {
    let (heard, mut requests) = mpsc::channel(1);
    let scene = Scene::new(move |mut stream| {
        let heard = heard.clone();
        async move {
            let _ = heard.send(request(&mut stream).await).await;
        }
    })
    .await;
    let access = Access { basic: Some(("user".into(), Secret::held("pass"))), ..Access::default() };
    look(&source(&scene.url(), LONG, access)).await.unwrap();
    assert!(requests.recv().await.unwrap().contains("Basic dXNlcjpwYXNz\r\n"));
}

#[tokio::test]
async fn a_hanging_worker_does_not_slow_the_look_at_another() {
    let hang = Scene::new(|mut stream| async move { rest(&mut stream).await }).await;
    let well = Scene::answering(ok("text/plain", "OK")).await;
    let hanging = Arc::new(source(&hang.url(), LONG, Access::default()));
    let look_at_it = tokio::spawn(async move { look(&*hanging).await });
    for _ in 0..20 {
        assert_eq!(at(&well.url(), LONG).await.says.overall, Some(Said::Up));
    }
    assert!(!look_at_it.is_finished());
    look_at_it.abort();
}

#[tokio::test]
async fn a_worker_that_discovery_dropped_and_a_foreign_scope_fail_the_look() {
    let source = source("http://127.0.0.1:1/", LONG, Access::default());
    let other = Scope::Worker(verdict::evidence::WorkerKey::new("mail", "nobody"));
    assert_eq!(source.look(&other).await.unwrap_err(), Failure::NotFound);
    assert_eq!(source.look(&Scope::Listing).await.unwrap_err(), Failure::Unimplemented);
}
