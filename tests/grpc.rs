//! What becomes of a look when a worker's gRPC health service misbehaves, on real sockets.
//!
//! The servers are FAKES on bare HTTP/2: no real one can be made to cut a frame, leave out its status or send details
//! that are no base64. A real server is in `tests/real/test_grpc.py`.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test stops at the first surprise")]

#[allow(unused_imports, reason = "shared with the tests of HTTP")]
mod http_scene;
#[path = "support/log.rs"]
mod log;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use bytes::Bytes;
use http_scene::{LONG, SHORT, Scene, configured, key, rest};
use hyper::header::{HeaderMap, HeaderValue};
use hyper::{Request, Response};
use rcgen::{CertificateParams, KeyPair};
use rustls_pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio_rustls::TlsAcceptor;
use verdict::evidence::{Observation, Reach, Report, Said, Scope};
use verdict::read::grpc::NotServing;
use verdict::words::Failure;
use worker_exporter::config::{self, Access, Detail, HttpTarget, Secret, Targets, Tls};
use worker_exporter::observe::Observe;
use worker_exporter::observe::grpc::GrpcSource;
use worker_exporter::observe::targets::Known;

fn source(url: &str, timeout: Duration, change: impl FnOnce(&mut config::GrpcSource)) -> GrpcSource {
    let key = key();
    let (id, fleet) = (Arc::clone(&key.worker), Arc::clone(&key.fleet));
    let target = HttpTarget { id, fleet, url: url.parse().unwrap(), access: None };
    let known: Known = Arc::new(ArcSwap::from_pointee(HashMap::from([(key, target)])));
    let targets = Targets::of(Vec::new(), "/");
    let mut settings = config::GrpcSource { targets, service: String::new(), not_serving: NotServing::Unhealthy };
    change(&mut settings);
    GrpcSource::new(&configured(timeout, Detail::Grpc(settings.clone())), &settings, known)
}

async fn look(source: &GrpcSource) -> Result<Observation, Failure> {
    let scope = Scope::Worker(key());
    match tokio::time::timeout(3 * LONG, source.look(&scope)).await.unwrap_or_else(|_| panic!("the look never ended")) {
        Ok(Report::Worker(observation)) => Ok(*observation),
        Ok(other) => panic!("{other:?}"),
        Err(failure) => Err(failure),
    }
}

async fn at(scene: &Scene, timeout: Duration) -> Observation {
    look(&source(&format!("http://{}", scene.address), timeout, |_| {})).await.unwrap()
}

/// One answer: a head, what follows it, and what stands at its end.
#[derive(Clone)]
struct Answer {
    code: u16,
    content_type: &'static str,
    headers: Vec<(&'static str, &'static str)>,
    body: Vec<u8>,
    trailers: Option<Vec<(&'static str, &'static str)>>,
}

fn map(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
    pairs.iter().map(|(name, value)| (name.parse().unwrap(), HeaderValue::from_static(value))).collect()
}

/// A frame with this message.
fn frame(message: &[u8]) -> Vec<u8> {
    [&[0], u32::try_from(message.len()).unwrap().to_be_bytes().as_slice(), message].concat()
}

/// An answer with this serving status.
fn serving(status: u8) -> Answer {
    let trailers = Some(vec![("grpc-status", "0")]);
    Answer { code: 200, content_type: "application/grpc", headers: vec![], body: frame(&[8, status]), trailers }
}

/// Refused with this code, in the headers alone.
fn refused(code: &'static str) -> Answer {
    let headers = vec![("grpc-status", code), ("grpc-message", "no%20"), ("grpc-status-details-bin", "!no base64!")];
    Answer { headers, body: vec![], trailers: None, ..serving(1) }
}

/// Serves this answer to whoever asks, and tells what was asked.
async fn serve(answer: Answer) -> (Scene, mpsc::UnboundedReceiver<Request<Vec<u8>>>) {
    let (asked, asks) = mpsc::unbounded_channel();
    let scene = Scene::new(move |stream| {
        let (answer, asked) = (answer.clone(), asked.clone());
        async move { converse(stream, answer, asked).await }
    })
    .await;
    (scene, asks)
}

async fn converse(stream: TcpStream, answer: Answer, asked: mpsc::UnboundedSender<Request<Vec<u8>>>) {
    let Ok(mut connection) = h2::server::handshake(stream).await else { return };
    while let Some(Ok((request, mut respond))) = connection.accept().await {
        let (answer, asked) = (answer.clone(), asked.clone());
        tokio::spawn(async move {
            let (head, mut body) = request.into_parts();
            let mut whole = Vec::new();
            while let Some(Ok(data)) = body.data().await {
                whole.extend_from_slice(&data);
            }
            let _ = asked.send(Request::from_parts(head, whole));
            let mut response = Response::builder().status(answer.code).header("content-type", answer.content_type);
            response.headers_mut().unwrap().extend(map(&answer.headers));
            let ends = answer.body.is_empty() && answer.trailers.is_none();
            let Ok(mut stream) = respond.send_response(response.body(()).unwrap(), ends) else { return };
            if ends {
                return;
            }
            let _ = stream.send_data(Bytes::from(answer.body), answer.trailers.is_none());
            if let Some(trailers) = answer.trailers {
                let _ = stream.send_trailers(map(&trailers));
            }
        });
    }
}

async fn answered(answer: Answer) -> Observation {
    let (scene, _asks) = serve(answer).await;
    at(&scene, LONG).await
}

fn missed(observation: &Observation) -> Option<Failure> {
    match observation.reach {
        Some(Reach::Missed(failure)) => Some(failure),
        _ => None,
    }
}

fn said(observation: &Observation) -> (Option<Said>, Option<Failure>) {
    assert!(matches!(observation.reach, Some(Reach::Answered { .. })), "{observation:?}");
    (observation.says.overall, observation.says.unreadable)
}

#[tokio::test]
async fn the_serving_status_says_how_the_worker_is() {
    assert_eq!(said(&answered(serving(1)).await), (Some(Said::Up), None));
    assert_eq!(said(&answered(serving(2)).await), (Some(Said::Down), None));
    assert_eq!(said(&answered(serving(0)).await), (Some(Said::Transient), None));
    assert_eq!(said(&answered(serving(9)).await), (Some(Said::Transient), Some(Failure::FieldInvalid)));
    let (scene, _asks) = serve(serving(2)).await;
    let url = format!("http://{}", scene.address);
    let leaving = look(&source(&url, LONG, |source| source.not_serving = NotServing::Draining)).await.unwrap();
    assert!(leaving.says.goodbye);
}

#[tokio::test]
async fn a_code_says_whose_fault_it_is_and_details_that_are_no_base64_break_nothing() {
    for (code, failure) in [
        ("3", Failure::InvalidArgument),
        ("5", Failure::NotFound),
        ("7", Failure::PermissionDenied),
        ("12", Failure::Unimplemented),
        ("16", Failure::Unauthenticated),
    ] {
        let seen = answered(refused(code)).await;
        assert_eq!(seen.reach, Some(Reach::Misconfigured(failure)), "{code}");
        // The same behind an empty body.
        let late = Answer { trailers: Some(refused(code).headers), headers: vec![], ..refused(code) };
        assert_eq!(answered(late).await.reach, seen.reach, "{code}");
    }
    assert_eq!(said(&answered(refused("14")).await), (Some(Said::Down), Some(Failure::Unavailable)));
    assert_eq!(said(&answered(refused("13")).await), (Some(Said::Down), Some(Failure::Internal)));
    let (scene, _asks) = serve(refused("8")).await;
    let throttled = look(&source(&format!("http://{}", scene.address), LONG, |_| {})).await;
    assert_eq!(throttled.map(|_| ()), Err(Failure::Throttled));
}

#[tokio::test]
async fn however_a_service_fails_it_is_one_line_with_its_word_and_no_secret_and_one_more_when_it_answers() {
    for (answer, word) in [
        (refused("5"), "not_found"),
        (refused("12"), "unimplemented"),
        (refused("16"), "unauthenticated"),
        (refused("14"), "unavailable"),
        (Answer { body: frame(&vec![0; 5 << 20]), ..serving(1) }, "body_too_large"),
        (Answer { body: vec![0, 0, 0, 0, 9, 8], ..serving(1) }, "body_invalid"),
    ] {
        let log = log::Log::default();
        let _guard = log.listen();
        let (ill, well) = (answer, serving(1));
        let now = Arc::new(ArcSwap::from_pointee(ill));
        let answers = Arc::clone(&now);
        let (asked, _asks) = mpsc::unbounded_channel();
        let scene = Scene::new(move |stream| {
            let (answer, asked) = (answers.load().as_ref().clone(), asked.clone());
            async move { converse(stream, answer, asked).await }
        })
        .await;
        let headers = vec![("x-key".into(), Secret::held("canary"))];
        let access = Access { headers, ..Access::default() };
        let source = source(&format!("http://{}", scene.address), LONG, |source| source.targets.access = access.into());
        for _ in 0..3 {
            let _ = look(&source).await;
        }
        let told = |log: &log::Log| {
            log.text().lines().filter(|line| line.contains("worker=\"w-0\"")).map(str::to_owned).collect()
        };
        let lines: Vec<String> = told(&log);
        assert_eq!(lines.len(), 1, "{word}: {lines:#?}");
        assert!(lines[0].contains("WARN") && lines[0].contains(&format!("reason=\"{word}\"")), "{word}: {lines:#?}");
        now.store(Arc::new(well));
        for _ in 0..2 {
            let _ = look(&source).await;
        }
        let lines: Vec<String> = told(&log);
        assert!(
            lines.len() == 2 && lines[1].contains("INFO") && lines[1].contains("reason=\"ok\""),
            "{word}: {lines:#?}"
        );
        assert!(!log.text().contains("canary"), "{}", log.text());
    }
}

#[tokio::test]
async fn the_call_is_a_health_check_of_the_service_with_our_credentials() {
    let (scene, mut asks) = serve(serving(1)).await;
    let asking = source(&format!("http://{}", scene.address), LONG, |source| {
        source.service = "mail".to_owned();
        let bearer = Some(Secret::held("t0ken".to_owned()));
        source.targets.access = Arc::new(Access { bearer, ..Access::default() });
    });
    look(&asking).await.unwrap();
    let request = asks.recv().await.unwrap();
    assert_eq!((request.method().as_str(), request.uri().path()), ("POST", "/grpc.health.v1.Health/Check"));
    assert_eq!(request.uri().authority().unwrap().as_str(), scene.address.to_string());
    let header = |name: &str| request.headers().get(name).unwrap().to_str().unwrap();
    assert_eq!((header("content-type"), header("te")), ("application/grpc", "trailers"));
    assert_eq!((header("authorization"), header("grpc-timeout")), ("Bearer t0ken", "20000m"));
    assert_eq!(*request.body(), frame(b"\x0a\x04mail"));
}

#[tokio::test]
async fn what_speaks_no_http2_is_told_from_what_does_not_answer() {
    let writes = |bytes: &'static [u8]| {
        Scene::new(move |mut stream| async move {
            let _ = stream.write_all(bytes).await;
            rest(&mut stream).await;
        })
    };
    let old = writes(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\nConnection: close\r\n\r\n").await;
    assert_eq!(missed(&at(&old, LONG).await), Some(Failure::Protocol));
    let noise = writes(b"+PONG\r\n-ERR unknown command 'PRI', with args beginning with: '*'\r\n").await;
    assert_eq!(missed(&at(&noise, LONG).await), Some(Failure::Protocol));
    let closes = Scene::new(|_stream| async {}).await;
    assert_eq!(missed(&at(&closes, LONG).await), Some(Failure::Reset));
    let silent = Scene::new(|mut stream| async move { rest(&mut stream).await }).await;
    assert_eq!(missed(&at(&silent, SHORT).await), Some(Failure::Timeout));
    let gone = Scene::new(|_stream| async {}).await;
    let address = gone.address;
    drop(gone);
    let source = source(&format!("http://{address}"), LONG, |_| {});
    let refused = async {
        // The listener closes when its task is dropped.
        while missed(&look(&source).await.unwrap()) != Some(Failure::Refused) {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(LONG, refused).await.unwrap();
}

#[tokio::test]
async fn a_web_server_over_http2_is_no_grpc_and_its_code_tells_whose_fault_it_is() {
    let page =
        |code| Answer { code, content_type: "text/html", body: b"<html>".to_vec(), trailers: None, ..serving(1) };
    assert_eq!(missed(&answered(page(200)).await), Some(Failure::Protocol));
    for (code, failure) in [
        (401, Failure::Unauthenticated),
        (403, Failure::PermissionDenied),
        (302, Failure::Redirect),
        (404, Failure::NotFound),
    ] {
        assert_eq!(answered(page(code)).await.reach, Some(Reach::Misconfigured(failure)), "{code}");
    }
    assert_eq!(said(&answered(page(503)).await), (Some(Said::Down), Some(Failure::BodyInvalid)));
}

#[tokio::test]
async fn an_answer_that_is_cut_packed_or_huge_is_degraded_and_one_without_a_status_is_down() {
    let body = |body: Vec<u8>| Answer { body, ..serving(1) };
    let degraded = |failure| (Some(Said::Degraded), Some(failure));
    for bad in [vec![0, 0], vec![0, 0, 0, 0, 9, 8, 1], vec![1, 0, 0, 0, 2, 8, 1], frame(b"\xff\xff\xff\xff\xff")] {
        assert_eq!(said(&answered(body(bad)).await), degraded(Failure::BodyInvalid));
    }
    let huge = frame(&vec![0; 5 << 20]);
    assert_eq!(said(&answered(body(huge)).await), degraded(Failure::BodyTooLarge));
    let bare = Answer { trailers: None, ..serving(1) };
    assert_eq!(said(&answered(bare).await), (Some(Said::Down), Some(Failure::Internal)));
}

#[tokio::test]
async fn every_way_to_be_slow_ends_at_the_deadline_and_the_connection_with_it() {
    // Shakes hands and never answers; answers the head and never the rest.
    let stalling = |head: bool| {
        let (closed, closes) = mpsc::unbounded_channel();
        let scene = Scene::new(move |stream| {
            let closed = closed.clone();
            async move {
                let mut connection = h2::server::handshake(stream).await.unwrap();
                let Some(Ok((_request, mut respond))) = connection.accept().await else { panic!("no request") };
                let response = Response::builder().header("content-type", "application/grpc").body(()).unwrap();
                let _stream = head.then(|| respond.send_response(response, false).unwrap());
                // Ends when the other side has closed.
                while connection.accept().await.is_some_and(|next| next.is_ok()) {}
                let _ = closed.send(());
            }
        });
        async move { (scene.await, closes) }
    };
    for head in [false, true] {
        let (scene, mut closes) = stalling(head).await;
        let began = Instant::now();
        assert_eq!(missed(&at(&scene, SHORT).await), Some(Failure::Timeout));
        assert!(began.elapsed() >= SHORT && began.elapsed() < LONG);
        tokio::time::timeout(LONG, closes.recv()).await.unwrap().unwrap();
    }
}

#[tokio::test]
async fn a_server_that_turns_us_away_has_reset_us_and_one_that_asks_for_calm_convicts_nobody() {
    let ending = |reason: h2::Reason| {
        Scene::new(move |stream| async move {
            let mut connection = h2::server::handshake(stream).await.unwrap();
            if let Some(Ok((_request, mut respond))) = connection.accept().await {
                respond.send_reset(reason);
            }
            while connection.accept().await.is_some_and(|next| next.is_ok()) {}
        })
    };
    assert_eq!(missed(&at(&ending(h2::Reason::REFUSED_STREAM).await, LONG).await), Some(Failure::Reset));
    assert_eq!(missed(&at(&ending(h2::Reason::HTTP_1_1_REQUIRED).await, LONG).await), Some(Failure::Protocol));
    let calm = ending(h2::Reason::ENHANCE_YOUR_CALM).await;
    let calmed = look(&source(&format!("http://{}", calm.address), LONG, |_| {})).await;
    assert_eq!(calmed.map(|_| ()), Err(Failure::Throttled));
}

/// One frame of HTTP/2.
fn raw(kind: u8, flags: u8, stream: u8, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    [&length[1..], &[kind, flags, 0, 0, 0, stream], payload].concat()
}

#[tokio::test]
async fn floods_of_frames_end_at_the_latest_at_the_deadline_and_going_away_is_a_reset() {
    const SETTINGS: u8 = 4;
    const HEADERS: u8 = 1;
    const CONTINUATION: u8 = 9;
    const PING: u8 = 6;
    const GOAWAY: u8 = 7;
    // What is sent once, and what is sent for as long as anybody listens.
    let floods = |first: Vec<u8>, each: Vec<u8>| {
        Scene::new(move |mut stream| {
            let (first, each) = (first.clone(), each.clone());
            async move {
                let (mut reading, mut writing) = stream.split();
                let flood = async {
                    let _ = writing.write_all(&raw(SETTINGS, 0, 0, &[])).await;
                    let _ = writing.write_all(&first).await;
                    while !each.is_empty() && writing.write_all(&each).await.is_ok() {}
                };
                tokio::join!(flood, rest(&mut reading));
            }
        })
    };
    // A header of one octet with its index; the head is never ended.
    let endless = floods(raw(HEADERS, 0, 1, &[0x88]), raw(CONTINUATION, 0, 1, &[0x0f; 64])).await;
    let began = Instant::now();
    let seen = missed(&at(&endless, SHORT).await);
    assert!(matches!(seen, Some(Failure::Timeout | Failure::Protocol | Failure::Reset)), "{seen:?}");
    let pings = floods(Vec::new(), raw(PING, 0, 0, &[7; 8])).await;
    assert_eq!(missed(&at(&pings, SHORT).await), Some(Failure::Timeout));
    assert!(began.elapsed() < LONG);
    // The last stream that is served is none, and nothing was wrong.
    let leaving = floods(raw(GOAWAY, 0, 0, &[0; 8]), Vec::new()).await;
    assert_eq!(missed(&at(&leaving, LONG).await), Some(Failure::Reset));
}

/// A worker behind TLS that speaks `protocols`, and serves.
async fn secured(protocols: &[&[u8]]) -> Scene {
    let key = KeyPair::generate().unwrap();
    let certificate = CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap().self_signed(&key).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut server = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(
            vec![certificate.der().clone()],
            PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der())),
        )
        .unwrap();
    server.alpn_protocols = protocols.iter().map(|protocol| protocol.to_vec()).collect();
    let acceptor = TlsAcceptor::from(Arc::new(server));
    Scene::new(move |stream| {
        let acceptor = acceptor.clone();
        async move {
            let Ok(stream) = acceptor.accept(stream).await else { return };
            let mut connection = h2::server::handshake(stream).await.unwrap();
            while let Some(Ok((_request, mut respond))) = connection.accept().await {
                let response = Response::builder().header("content-type", "application/grpc").body(()).unwrap();
                let mut stream = respond.send_response(response, false).unwrap();
                stream.send_data(Bytes::from(frame(&[8, 1])), false).unwrap();
                stream.send_trailers(map(&[("grpc-status", "0")])).unwrap();
            }
        }
    })
    .await
}

#[tokio::test]
async fn behind_tls_http2_is_offered_and_a_server_that_does_not_speak_it_is_told_apart() {
    let ask = async |scene: &Scene| {
        let tls = Tls { insecure_skip_verify: true, ..Tls::default() };
        let access = Arc::new(Access { tls, ..Access::default() });
        let url = format!("https://{}", scene.address);
        look(&source(&url, LONG, |source| source.targets.access = access)).await.unwrap()
    };
    assert_eq!(said(&ask(&secured(&[b"h2"]).await).await), (Some(Said::Up), None));
    // Says nothing of what it speaks, and speaks it.
    assert_eq!(said(&ask(&secured(&[]).await).await), (Some(Said::Up), None));
    assert_eq!(missed(&ask(&secured(&[b"http/1.1"]).await).await), Some(Failure::Protocol));
    let untrusted = secured(&[b"h2"]).await;
    let strict = source(&format!("https://{}", untrusted.address), LONG, |_| {});
    assert_eq!(missed(&look(&strict).await.unwrap()), Some(Failure::Tls));
}
