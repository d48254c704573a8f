//! Connections: accept, shake hands, serve. Each has a task and a deadline of its own, so none holds up another.

use std::io::{self, ErrorKind};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper::server::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::time::Instant;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::Door;
use crate::web::Seldom;

/// A handshake takes two round trips; who needs longer is not there, or holds the connection on purpose.
const HANDSHAKE: Duration = Duration::from_secs(10);
/// The head of a request, and the wait for the next one on a kept connection: longer than scrapes are apart by default.
const HEAD: Duration = Duration::from_secs(75);
/// The head of a request, bytes. Nobody has so much to say to us.
const HEAD_BYTES: usize = 64 * 1024;
/// Requests at a time on one connection of HTTP/2.
const STREAMS: u32 = 64;
/// An HTTP/2 connection that does not answer a ping in this time is dead.
const PING: Duration = Duration::from_secs(30);
/// Between complaints of one kind.
const SELDOM: Duration = Duration::from_secs(60);

/// What the connections of all listeners share: the limit on their number.
#[derive(Debug)]
pub struct Connections {
    places: Arc<Semaphore>,
    full: Seldom,
    failed: Seldom,
    refused: Seldom,
}

impl Connections {
    /// As many as half of the file descriptors that looks leave to us; `descriptors` is the limit of the process.
    #[must_use]
    pub fn within(descriptors: Option<usize>) -> Self {
        let places = descriptors.map_or(512, |limit| (limit / 8).clamp(32, 512));
        Self {
            places: Arc::new(Semaphore::new(places)),
            full: Seldom::every(SELDOM),
            failed: Seldom::every(SELDOM),
            refused: Seldom::every(SELDOM),
        }
    }
}

/// Serves `router` on `listener` until `stop`; then answers under way may finish.
pub async fn serve(
    listener: TcpListener,
    router: Router,
    door: Arc<Door>,
    connections: Arc<Connections>,
    stop: CancellationToken,
) {
    let tasks = TaskTracker::new();
    loop {
        let Some(Ok(place)) = stop.run_until_cancelled(place(&connections)).await else { break };
        let stream = match stop.run_until_cancelled(listener.accept()).await {
            None => break,
            Some(Ok((stream, _))) => stream,
            Some(Err(error)) => {
                pause(&connections, &error).await;
                continue;
            }
        };
        let connection = one(stream, router.clone(), Arc::clone(&door), Arc::clone(&connections), stop.clone());
        tasks.spawn(async move {
            connection.await;
            drop(place);
        });
    }
    drop(listener);
    tasks.close();
    tasks.wait().await;
}

/// A place for one more connection. Those that find none wait in the system's queue.
async fn place(connections: &Connections) -> Result<tokio::sync::OwnedSemaphorePermit, tokio::sync::AcquireError> {
    if connections.places.available_permits() == 0
        && let Some(times) = connections.full.now(Instant::now())
    {
        tracing::warn!(times, "as many connections are open as are allowed; further ones wait");
    }
    Arc::clone(&connections.places).acquire_owned().await
}

/// A connection that was given up before we took it is nothing; without descriptors, waiting is all there is to do.
async fn pause(connections: &Connections, error: &io::Error) {
    if matches!(
        error.kind(),
        ErrorKind::ConnectionAborted
            | ErrorKind::ConnectionReset
            | ErrorKind::ConnectionRefused
            | ErrorKind::Interrupted
    ) {
        return;
    }
    if let Some(times) = connections.refused.now(Instant::now()) {
        tracing::warn!(%error, times, "a connection cannot be accepted");
    }
    tokio::time::sleep(Duration::from_millis(100)).await;
}

async fn one(
    stream: TcpStream,
    router: Router,
    door: Arc<Door>,
    connections: Arc<Connections>,
    stop: CancellationToken,
) {
    let _ = stream.set_nodelay(true);
    door.knock.notify_one();
    let Some(tls) = door.tls.load().as_ref().clone() else {
        return over_http1(stream, router, stop).await;
    };
    let shaken = tokio::time::timeout(HANDSHAKE, TlsAcceptor::from(tls).accept(stream));
    let stream = match stop.run_until_cancelled(shaken).await {
        None => return,
        Some(Ok(Ok(stream))) => stream,
        Some(Ok(Err(error))) => return complain(&connections, &error.to_string()),
        Some(Err(_elapsed)) => return complain(&connections, "it took too long"),
    };
    if stream.get_ref().1.alpn_protocol() == Some(b"h2") {
        over_http2(stream, router, stop).await;
    } else {
        over_http1(stream, router, stop).await;
    }
}

/// Scanners and plain HTTP at a TLS port are everyday, so the log hears of it now and then, and with how often it was.
fn complain(connections: &Connections, error: &str) {
    if let Some(times) = connections.failed.now(Instant::now()) {
        tracing::debug!(error, times, "TLS handshakes have failed; this was the last");
    }
}

async fn over_http1(stream: impl AsyncRead + AsyncWrite + Unpin, router: Router, stop: CancellationToken) {
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD)
        .max_buf_size(HEAD_BYTES)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(router));
    let mut connection = pin!(connection);
    tokio::select! {
        // How a connection ends is the client's business.
        _ = connection.as_mut() => return,
        () = stop.cancelled() => connection.as_mut().graceful_shutdown(),
    }
    let _ = connection.await;
}

async fn over_http2(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    router: Router,
    stop: CancellationToken,
) {
    let connection = http2::Builder::new(TokioExecutor::new())
        .timer(TokioTimer::new())
        .keep_alive_interval(PING)
        .keep_alive_timeout(PING)
        .max_concurrent_streams(STREAMS)
        .max_header_list_size(16 * 1024)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(router));
    let mut connection = pin!(connection);
    tokio::select! {
        _ = connection.as_mut() => return,
        () = stop.cancelled() => connection.as_mut().graceful_shutdown(),
    }
    let _ = connection.await;
}
