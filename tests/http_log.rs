//! What the log says of a failing endpoint: once per change, with the reason's word, and never a secret or a body; and
//! that a neighbour of the same source is seen as ever, however an endpoint fails.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test stops at the first surprise")]

mod http_scene;
#[path = "support/log.rs"]
mod log;

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use arc_swap::ArcSwap;
use http_scene::{LONG, SHORT, Scene, configured, known, look, ok, request, rest, source};
use log::Log;
use tokio::io::AsyncWriteExt;
use verdict::evidence::{Report, Said, Scope, WorkerKey};
use verdict::words::Failure;
use worker_exporter::config::{self, Access, Detail, HttpTarget, Secret};
use worker_exporter::observe::Observe;
use worker_exporter::observe::http::HttpSource;

fn complaints(log: &Log) -> Vec<String> {
    log.text().lines().filter(|line| line.contains("health endpoint")).map(str::to_owned).collect()
}

#[tokio::test]
async fn a_failing_endpoint_is_told_once_per_change_and_no_secret_with_it() {
    let log = Log::default();
    let _guard = log.listen();

    let well = Arc::new(AtomicBool::new(false));
    let is_well = Arc::clone(&well);
    let scene = Scene::new(move |mut stream| {
        let is_well = Arc::clone(&is_well);
        async move {
            // An endpoint that repeats whatever it is sent, credentials and all.
            let echo = request(&mut stream).await;
            let answer = if is_well.load(Ordering::SeqCst) {
                ok("text/plain", "OK")
            } else {
                format!("HTTP/1.1 401 Unauthorized\r\nContent-Length: {}\r\n\r\n{echo}", echo.len())
            };
            let _ = stream.write_all(answer.as_bytes()).await;
            rest(&mut stream).await;
        }
    })
    .await;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("token");
    std::fs::write(&file, "canary-one").unwrap();
    let access = Access {
        bearer: Some(Secret::File(file.clone())),
        headers: vec![("X-Key".into(), Secret::held("canary-two"))],
        ..Access::default()
    };
    let source = source(&format!("{}?key=canary-three", scene.url()), LONG, access);

    let mut seen = String::new();
    for _ in 0..3 {
        seen += &format!("{:?}", look(&source).await);
    }
    let lines = complaints(&log);
    assert_eq!(lines.len(), 1, "{lines:?}");
    for field in
        ["WARN", "source=\"night\"", "fleet=\"mail\"", "worker=\"w-0\"", "reason=\"unauthenticated\"", "duration="]
    {
        assert!(lines[0].contains(field), "{field} in {lines:?}");
    }

    well.store(true, Ordering::SeqCst);
    for _ in 0..2 {
        seen += &format!("{:?}", look(&source).await);
    }
    assert_eq!(complaints(&log).len(), 2);
    assert!(
        complaints(&log)[1].contains("INFO") && complaints(&log)[1].contains("answers again"),
        "{:?}",
        complaints(&log)
    );

    std::fs::remove_file(&file).unwrap();
    seen += &format!("{:?}", look(&source).await);
    assert_eq!(complaints(&log).len(), 3);
    assert!(complaints(&log)[2].contains(&*file.to_string_lossy()), "the file is named: {:?}", complaints(&log));

    assert!(!log.text().contains("canary"), "{}", log.text());
    assert!(!seen.contains("canary"), "{seen}");
}

/// A source with a worker at each of these addresses.
fn neighbours(workers: &[(&str, &str)]) -> HttpSource {
    let known = workers.iter().map(|(id, url)| {
        let key = WorkerKey::new("mail", *id);
        let (id, fleet) = (Arc::clone(&key.worker), Arc::clone(&key.fleet));
        (key, HttpTarget { id, fleet, url: url.parse().unwrap(), access: None })
    });
    let known = Arc::new(ArcSwap::from_pointee(known.collect::<HashMap<_, _>>()));
    let settings = config::HttpSource { max_body: 4096, ..config::HttpSource::of(Vec::new()) };
    HttpSource::new(&configured(SHORT, Detail::Http(settings.clone())), &settings, known)
}

async fn is_up(source: &HttpSource, worker: &str) -> bool {
    match source.look(&Scope::Worker(WorkerKey::new("mail", worker))).await {
        Ok(Report::Worker(seen)) => seen.says.overall == Some(Said::Up),
        _ => false,
    }
}

#[tokio::test]
async fn a_stranger_at_the_address_of_a_worker_is_one_line_without_its_answer() {
    let log = Log::default();
    let _guard = log.listen();
    let scene = Scene::answering(ok("application/json", r#"{"status":"ok","worker":"canary"}"#)).await;
    let mut http = config::HttpSource::of(Vec::new());
    http.identity = Some(config::Identity { field: "/worker".into(), value: "{id}".into() });
    let source = HttpSource::new(&configured(LONG, Detail::Http(http.clone())), &http, known(&scene.url()));
    for _ in 0..3 {
        look(&source).await.unwrap();
    }
    let lines = complaints(&log);
    assert_eq!(lines.len(), 1, "{lines:?}");
    for part in ["WARN", "worker=\"w-0\"", "reason=\"stranger\""] {
        assert!(lines[0].contains(part), "{part} in {lines:?}");
    }
    assert!(!log.text().contains("canary"), "{lines:?}");
}

/// A server that answers these bytes and then says nothing more, with the connection open.
async fn stalling(answer: &'static str) -> String {
    let scene = Scene::new(move |mut stream| async move {
        request(&mut stream).await;
        let _ = stream.write_all(answer.as_bytes()).await;
        rest(&mut stream).await;
    });
    kept(scene.await)
}

async fn answering(answer: impl Into<Vec<u8>>) -> String {
    kept(Scene::answering(answer).await)
}

/// Its address; it lives until the test ends.
fn kept(scene: Scene) -> String {
    let url = scene.url();
    std::mem::forget(scene);
    url
}

#[tokio::test]
async fn however_an_endpoint_fails_it_is_one_line_with_its_word_and_its_neighbour_is_seen_as_ever() {
    let status = |status: &str| format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n");
    let headers: String = (0..101).map(|at| format!("x-{at}: y\r\n")).collect();
    let nowhere = format!("http://{}.invalid/", "a".repeat(64));
    let plain = kept(
        Scene::new(|mut stream| async move {
            let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n").await;
            rest(&mut stream).await;
        })
        .await,
    );
    let faults: Vec<(&str, String, Failure)> = vec![
        ("accepts and says nothing", stalling("").await, Failure::Timeout),
        ("stops in the head", stalling("HTTP/1.1 200 OK\r\nX: ").await, Failure::Timeout),
        ("stops in the body", stalling("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nOK").await, Failure::Timeout),
        ("nobody listens", "http://127.0.0.1:1/".to_owned(), Failure::Refused),
        ("no such name", nowhere, Failure::Dns),
        ("breaks off", answering("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nOK").await, Failure::Reset),
        ("speaks SSH", answering("SSH-2.0-OpenSSH_9.2\r\n\r\n").await, Failure::Protocol),
        ("speaks no TLS", plain.replace("http:", "https:"), Failure::Tls),
        ("too many headers", answering(format!("HTTP/1.1 200 OK\r\n{headers}\r\n")).await, Failure::HeaderLimit),
        ("too large", answering("HTTP/1.1 200 OK\r\nContent-Length: 4097\r\n\r\n").await, Failure::BodyTooLarge),
        ("packed", answering("HTTP/1.1 200 OK\r\nContent-Encoding: br\r\n\r\nOK").await, Failure::BodyInvalid),
        ("half a JSON", answering(ok("application/json", "{\"status\":\"o")).await, Failure::BodyInvalid),
        ("a login page", answering(ok("text/html", "<html>sign in</html>")).await, Failure::BodyInvalid),
        ("an empty body of JSON", answering(ok("application/json", "")).await, Failure::BodyInvalid),
        ("a status that is a number", answering(ok("application/json", "{\"status\":7}")).await, Failure::FieldInvalid),
        (
            "an impossible number",
            answering(ok("application/json", "{\"status\":\"ok\",\"tasks_total\":NaN}")).await,
            Failure::FieldInvalid,
        ),
        (
            "a heartbeat that is none",
            answering(ok("application/json", "{\"status\":\"ok\",\"last_heartbeat\":\"yesterday\"}")).await,
            Failure::FieldInvalid,
        ),
        ("unauthorized", answering(status("401 No")).await, Failure::Unauthenticated),
        ("forbidden", answering(status("403 No")).await, Failure::PermissionDenied),
        ("not found", answering(status("404 No")).await, Failure::NotFound),
        ("elsewhere", answering(status("302 Found\r\nLocation: /x")).await, Failure::Redirect),
        ("to a file", answering(status("302 Found\r\nLocation: file:///etc/passwd")).await, Failure::Redirect),
        ("asked too much", answering(status("429 Slow")).await, Failure::Throttled),
        ("a forbidden address", "http://169.254.169.254/latest/".to_owned(), Failure::InvalidArgument),
        ("the same as IPv6", "http://[::ffff:169.254.169.254]/".to_owned(), Failure::InvalidArgument),
        ("the same as a number", "http://2852039166/".to_owned(), Failure::InvalidArgument),
        ("the same in hexadecimal", "http://0xa9fea9fe/".to_owned(), Failure::InvalidArgument),
    ];
    let well = Scene::answering(ok("text/plain", "OK")).await;
    for (what, url, failure) in faults {
        let log = Log::default();
        let _guard = log.listen();
        let source = neighbours(&[("bad", &url), ("well", &well.url())]);
        let before = well.connections();
        for looks in 1..=2 {
            assert!(!is_up(&source, "bad").await || failure == Failure::FieldInvalid, "{what}");
            assert!(is_up(&source, "well").await, "{what}");
            assert_eq!(well.connections(), before + looks, "{what}");
        }
        let lines = complaints(&log);
        assert_eq!(lines.len(), 1, "{what}: {lines:?}");
        for part in ["WARN", "worker=\"bad\"", &format!("reason=\"{}\"", failure.word()), "duration="] {
            assert!(lines[0].contains(part), "{what}: {part} in {lines:?}");
        }
    }
}
