//! What becomes of a look when a worker's own metrics misbehave, on real sockets. That they are read right is in
//! `verdict/src/read/`, on real workers in `tests/real/test_worker_metrics.py`.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test stops at the first surprise")]

#[allow(unused_imports, reason = "shared with the tests of HTTP")]
mod http_scene;
#[path = "support/log.rs"]
mod log;

use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use flate2::Compression;
use flate2::write::GzEncoder;
use http_scene::{LONG, SHORT, Scene, configured, known, look, request, rest};
use log::Log;
use tokio::io::AsyncWriteExt;
use tokio::sync::mpsc;
use verdict::evidence::{Observation, Reach, Scope};
use verdict::read::worker_metrics::{Names, Series};
use verdict::words::Failure;
use worker_exporter::config::{self, Access, Detail, Secret, Targets};
use worker_exporter::observe::Observe;
use worker_exporter::observe::metrics::MetricsSource;

const TEXT: &str = "text/plain; version=0.0.4";
/// Larger bodies are not read in these tests.
const CAP: usize = 64 * 1024;
/// Seven jobs.
const JOBS: &str = "# TYPE jobs_total counter\njobs_total 7\n";

fn source(url: &str, timeout: Duration, access: Access) -> MetricsSource {
    let names = Names { tasks: vec![Series::parse("jobs_total").unwrap()], ..Names::default() };
    let mut metrics = config::MetricsSource { targets: Targets::of(Vec::new(), "/metrics"), names, max_body: CAP };
    metrics.targets.access = Arc::new(access);
    MetricsSource::new(&configured(timeout, Detail::Metrics(metrics.clone())), &metrics, known(url))
}

async fn at(scene: &Scene, timeout: Duration) -> Observation {
    look(&source(&scene.url(), timeout, Access::default())).await.unwrap()
}

fn answer(head: &str, body: &[u8]) -> Vec<u8> {
    let head = format!("HTTP/1.1 {head}\r\nContent-Length: {}\r\n\r\n", body.len());
    [head.as_bytes(), body].concat()
}

fn ok(content_type: &str, body: &str) -> Vec<u8> {
    answer(&format!("200 OK\r\nContent-Type: {content_type}"), body.as_bytes())
}

fn gzip(parts: &[&[u8]]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    parts.iter().for_each(|part| encoder.write_all(part).unwrap());
    encoder.finish().unwrap()
}

fn packed(body: &[u8]) -> Vec<u8> {
    answer(&format!("200 OK\r\nContent-Type: {TEXT}\r\nContent-Encoding: gzip"), body)
}

fn missed(observation: &Observation) -> Option<Failure> {
    match observation.reach {
        Some(Reach::Missed(failure)) => Some(failure),
        _ => None,
    }
}

/// It answered, nothing of the answer was used, and nothing is held against the worker for it.
fn unused(observation: &Observation) -> Option<Failure> {
    assert!(matches!(observation.reach, Some(Reach::Answered { .. })), "{observation:?}");
    assert_eq!((observation.says.overall, observation.says.body), (None, None));
    assert_eq!((observation.numbers.tasks_total, &observation.work), (None, &None), "a part is not the whole");
    observation.says.unreadable
}

fn tasks(observation: &Observation) -> Option<u64> {
    assert!(matches!(observation.reach, Some(Reach::Answered { .. })), "{observation:?}");
    assert_eq!(observation.says.unreadable, None);
    observation.work.as_ref().and_then(|work| work.tasks.first()).and_then(|done| done.finished)
}

#[tokio::test]
async fn both_formats_are_asked_for_and_read_packed_or_not() {
    let (heard, mut requests) = mpsc::channel(1);
    let openmetrics = "# TYPE jobs counter\njobs_total 7\n# EOF\n";
    let scene = Scene::new(move |mut stream| {
        let heard = heard.clone();
        async move {
            let _ = heard.send(request(&mut stream).await).await;
            let _ = stream.write_all(&ok("application/openmetrics-text; version=1.0.0", openmetrics)).await;
        }
    })
    .await;
    let access = Access { bearer: Some(Secret::held("t0ken")), ..Access::default() };
    let seen = look(&source(&scene.url(), LONG, access)).await.unwrap();
    assert_eq!(tasks(&seen), Some(7));
    let head = requests.recv().await.unwrap().to_lowercase();
    for header in
        ["accept: application/openmetrics-text;version=1.0.0,", "accept-encoding: gzip", "authorization: bearer t0ken"]
    {
        assert!(head.contains(&format!("\r\n{header}")), "{header} in {head}");
    }

    for whole in [ok(TEXT, JOBS), packed(&gzip(&[JOBS.as_bytes()])), answer("200 OK", JOBS.as_bytes())] {
        assert_eq!(tasks(&at(&Scene::answering(whole).await, LONG).await), Some(7));
    }
}

#[tokio::test]
async fn a_small_body_that_unpacks_to_a_thousand_times_as_much_is_left_at_the_cap() {
    // Sixty mebibytes of comments, a kilobyte for each, within the cap as they come. Behind them stands what is no gzip:
    // whoever unpacked all of it would say so.
    let mebibyte = gzip(&[b"# ", &vec![b'x'; 1 << 20]]);
    let mut bomb = mebibyte.repeat(CAP / mebibyte.len() - 1);
    bomb.extend_from_slice(b"and this is no gzip");
    assert!(bomb.len() <= CAP && bomb.len() > CAP / 2);
    let seen = at(&Scene::answering(packed(&bomb)).await, LONG).await;
    assert_eq!(unused(&seen), Some(Failure::BodyTooLarge));
    // Packed once more it is no exposition, and is not unpacked a second time.
    let nested = gzip(&[&gzip(&[&vec![b'x'; 1 << 20]])]);
    assert_eq!(unused(&at(&Scene::answering(packed(&nested)).await, LONG).await), Some(Failure::BodyInvalid));
}

#[tokio::test]
async fn a_body_that_is_too_large_is_not_read_and_its_connection_closed() {
    let declared = format!("HTTP/1.1 200 OK\r\nContent-Type: {TEXT}\r\nContent-Length: 10000000000\r\n\r\n{JOBS}");
    assert_eq!(unused(&at(&Scene::answering(declared).await, LONG).await), Some(Failure::BodyTooLarge));

    let (closed, mut was_closed) = mpsc::channel(1);
    let endless = Scene::new(move |mut stream| {
        let closed = closed.clone();
        async move {
            request(&mut stream).await;
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n").await;
            let chunk = format!("{:x}\r\n{JOBS}\r\n", JOBS.len());
            while stream.write_all(chunk.as_bytes()).await.is_ok() {}
            let _ = closed.send(()).await;
        }
    })
    .await;
    assert_eq!(unused(&at(&endless, LONG).await), Some(Failure::BodyTooLarge));
    tokio::time::timeout(LONG, was_closed.recv()).await.unwrap().unwrap();
}

#[tokio::test]
async fn what_is_no_exposition_by_its_type_its_packing_or_its_lines_is_used_in_no_part() {
    let whole = gzip(&[JOBS.as_bytes()]);
    for (what, answer) in [
        ("JSON", ok("application/json", "{}")),
        ("a login page", ok("text/html", "<html>sign in</html>")),
        ("a format of old", ok("application/vnd.google.protobuf; encoding=delimited", "")),
        ("metrics under a wrong name", ok("application/json", JOBS)),
        ("half a gzip", packed(&whole[..whole.len() / 2])),
        ("no gzip at all", packed(JOBS.as_bytes())),
        ("packed as was not asked for", answer("200 OK\r\nContent-Encoding: br", b"\x8b\x00")),
        ("packed twice", answer("200 OK\r\nContent-Encoding: gzip, gzip", &whole)),
        ("a good line before a bad one", ok(TEXT, &format!("{JOBS}jobs_total{{ 8\n"))),
        ("no end of OpenMetrics", ok("application/openmetrics-text", "# TYPE jobs counter\njobs_total 7\n")),
        ("not UTF-8", answer(&format!("200 OK\r\nContent-Type: {TEXT}"), b"jobs_total 7\n\xff 1\n")),
    ] {
        let seen = at(&Scene::answering(answer).await, LONG).await;
        assert_eq!(unused(&seen), Some(Failure::BodyInvalid), "{what}");
    }
}

#[tokio::test]
async fn a_code_that_blames_us_is_our_misconfiguration_and_one_that_blames_its_metrics_is_not_held_against_the_worker()
{
    for (code, failure) in [
        ("401 Unauthorized", Failure::Unauthenticated),
        ("407 Proxy Authentication Required", Failure::Unauthenticated),
        ("403 Forbidden", Failure::PermissionDenied),
        ("404 Not Found", Failure::NotFound),
        ("302 Found\r\nLocation: /elsewhere", Failure::Redirect),
        ("308 Moved\r\nLocation: http://169.254.169.254/latest/meta-data/", Failure::Redirect),
    ] {
        // A body that would be a good exposition changes nothing.
        let scene = Scene::answering(answer(code, JOBS.as_bytes())).await;
        let seen = at(&scene, LONG).await;
        assert_eq!((seen.reach, &seen.work), (Some(Reach::Misconfigured(failure)), &None), "{code}");
        assert_eq!(scene.connections(), 1, "{code}: never followed");
    }
    for code in ["500 Internal Server Error", "503 Service Unavailable", "204 No Content", "206 Partial Content"] {
        let scene = Scene::answering(answer(code, JOBS.as_bytes())).await;
        assert_eq!(unused(&at(&scene, LONG).await), Some(Failure::HttpStatus), "{code}");
    }
    let busy = Scene::answering(answer("429 Too Many Requests", b"")).await;
    let failed = look(&source(&busy.url(), LONG, Access::default())).await;
    assert_eq!(failed.unwrap_err(), Failure::Throttled, "says nothing of the worker");
}

#[tokio::test]
async fn every_way_to_be_slow_ends_at_the_one_deadline() {
    let silence = Scene::new(|mut stream| async move { rest(&mut stream).await }).await;
    let head = dripping("HTTP/1.1 200 OK\r\nX: ").await;
    let body = dripping("HTTP/1.1 200 OK\r\nContent-Length: 4000\r\n\r\njobs_total 7\n").await;
    for scene in [silence, head, body] {
        let began = Instant::now();
        let seen = at(&scene, SHORT).await;
        assert_eq!((missed(&seen), &seen.work), (Some(Failure::Timeout), &None));
        assert!(began.elapsed() >= SHORT && began.elapsed() < LONG);
    }
}

/// Writes `first` and then a byte every 20 ms, for as long as it is listened to.
async fn dripping(first: &'static str) -> Scene {
    Scene::new(move |mut stream| async move {
        request(&mut stream).await;
        let _ = stream.write_all(first.as_bytes()).await;
        while stream.write_all(b"x").await.is_ok() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await
}

#[tokio::test]
async fn metrics_that_are_cut_off_in_the_middle_are_a_reset_and_no_part_of_them_is_used() {
    // Each is cut behind a line that would be whole.
    let declared = Scene::answering(format!("HTTP/1.1 200 OK\r\nContent-Length: 4000\r\n\r\n{JOBS}")).await;
    let chunked = format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{:x}\r\n{JOBS}\r\n", JOBS.len());
    let chunked = Scene::answering(chunked).await;
    let at_once = Scene::new(|_| async {}).await;
    let reset = Scene::new(|mut stream| async move {
        request(&mut stream).await;
        let _ = stream.write_all(format!("HTTP/1.1 200 OK\r\nContent-Length: 4000\r\n\r\n{JOBS}").as_bytes()).await;
        stream.set_zero_linger().unwrap();
    })
    .await;
    for (what, scene) in [("declared", declared), ("chunked", chunked), ("at once", at_once), ("reset", reset)] {
        let seen = at(&scene, LONG).await;
        assert_eq!((missed(&seen), &seen.work), (Some(Failure::Reset), &None), "{what}");
    }
    let ssh = Scene::answering("SSH-2.0-OpenSSH_9.2\r\n\r\n").await;
    assert_eq!(missed(&at(&ssh, LONG).await), Some(Failure::Protocol));
}

#[tokio::test]
async fn the_log_says_each_failure_once_with_the_line_that_is_wrong_and_no_secret() {
    let log = Log::default();
    let _guard = log.listen();
    // What it answers, one after the other; the last one again and again.
    let bad = ok(TEXT, &format!("{JOBS}# secret\njobs_total 8 soon\n"));
    let acts: Arc<[Vec<u8>]> = [
        bad.clone(),
        bad,
        answer("500 secret", b"secret"),
        ok(TEXT, JOBS),
        ok("text/html; secret", "secret"),
        packed(b"secret"),
        answer("302 Found\r\nLocation: http://secret/", b""),
    ]
    .into();
    let turn = Arc::new(AtomicUsize::new(0));
    let scene = Scene::new(move |mut stream| {
        let (acts, turn) = (Arc::clone(&acts), Arc::clone(&turn));
        async move {
            request(&mut stream).await;
            let at = turn.fetch_add(1, Ordering::SeqCst).min(acts.len() - 1);
            let _ = stream.write_all(&acts[at]).await;
            rest(&mut stream).await;
        }
    })
    .await;
    let access = Access { bearer: Some(Secret::held("secret")), ..Access::default() };
    let source = source(&scene.url(), LONG, access);
    for _ in 0..8 {
        let _ = look(&source).await;
    }
    let lines: Vec<String> =
        log.text().lines().filter(|line| line.contains("fleet=\"mail\"")).map(str::to_owned).collect();
    let expected = [
        ("WARN", "body_invalid", "metrics: line 4: "),
        ("WARN", "http_status", "metrics: "),
        ("INFO", "ok", "metrics answers again"),
        // No gzip after no exposition is the same failure, said already.
        ("WARN", "body_invalid", "metrics: its Content-Type is neither OpenMetrics nor text"),
        ("WARN", "redirect", "metrics: "),
    ];
    assert_eq!(lines.len(), expected.len(), "{lines:#?}");
    for (line, (level, reason, what)) in lines.iter().zip(expected) {
        for part in [level, "source=\"night\"", "worker=\"w-0\"", &format!("reason=\"{reason}\""), "duration=", what] {
            assert!(line.contains(part), "{part} in {line}");
        }
    }
    assert!(!log.text().contains("secret"), "{}", log.text());
}

#[tokio::test]
async fn metrics_list_nobody_and_know_no_queue() {
    let source = source("http://127.0.0.1:1/", LONG, Access::default());
    let other = Scope::Worker(verdict::evidence::WorkerKey::new("mail", "nobody"));
    assert_eq!(source.look(&other).await.unwrap_err(), Failure::NotFound);
    assert_eq!(source.look(&Scope::Listing).await.unwrap_err(), Failure::Unimplemented);
}
