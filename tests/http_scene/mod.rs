//! Scenes on loopback: servers that make exactly one fault. They are FAKES, plain sockets written by hand, since no
//! real server can be made to drip bytes, lie about its length or reset in the middle of a body.
#![allow(
    dead_code,
    unreachable_pub,
    clippy::unwrap_used,
    clippy::panic,
    reason = "each test file uses its part; a test stops at a surprise"
)]

use std::collections::HashMap;
use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use verdict::evidence::{Observation, Report, Scope, WorkerKey};
use verdict::words::Failure;
use worker_exporter::config::{self, Access, Detail, HttpTarget};
use worker_exporter::observe::Observe;
use worker_exporter::observe::http::HttpSource;
use worker_exporter::observe::targets::Known;

/// The deadline of a look that is meant to run out. Every wait in the tests is bounded by a multiple of it.
pub const SHORT: Duration = Duration::from_millis(300);
/// The deadline of a look that is meant to end by itself: generous, the machine may be busy.
pub const LONG: Duration = Duration::from_secs(20);

/// A server with one script for every connection.
pub struct Scene {
    pub address: SocketAddr,
    connections: Arc<AtomicUsize>,
    task: tokio::task::JoinHandle<()>,
}

impl Drop for Scene {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Scene {
    pub async fn new<F>(script: impl Fn(TcpStream) -> F + Send + 'static) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let connections = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&connections);
        let task = tokio::spawn(async move {
            loop {
                match listener.accept().await {
                    Ok((stream, _)) => {
                        count.fetch_add(1, Ordering::SeqCst);
                        tokio::spawn(script(stream));
                    }
                    // One test takes every descriptor of the process, the scene's too.
                    Err(_) => tokio::time::sleep(Duration::from_millis(10)).await,
                }
            }
        });
        Self { address, connections, task }
    }

    /// Reads the request, answers these bytes, and closes.
    pub async fn answering(answer: impl Into<Vec<u8>>) -> Self {
        let answer: Arc<[u8]> = answer.into().into();
        Self::new(move |mut stream| {
            let answer = Arc::clone(&answer);
            async move {
                request(&mut stream).await;
                let _ = stream.write_all(&answer).await;
                let _ = stream.shutdown().await;
                rest(&mut stream).await;
            }
        })
        .await
    }

    pub fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }

    pub fn url(&self) -> String {
        format!("http://{}/health", self.address)
    }
}

/// The request's head, as text.
pub async fn request(stream: &mut (impl AsyncReadExt + Unpin)) -> String {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") && stream.read(&mut byte).await.is_ok_and(|count| count == 1) {
        head.push(byte[0]);
    }
    String::from_utf8_lossy(&head).into_owned()
}

/// Reads until the other side closes, so that our closing is no reset.
pub async fn rest(stream: &mut (impl AsyncReadExt + Unpin)) {
    let mut waste = [0; 1024];
    while stream.read(&mut waste).await.is_ok_and(|count| count > 0) {}
}

/// A whole answer with this body.
pub fn ok(content_type: &str, body: &str) -> String {
    format!("HTTP/1.1 200 OK\r\nContent-Type: {content_type}\r\nContent-Length: {}\r\n\r\n{body}", body.len())
}

/// The worker at this address.
pub fn known(url: &str) -> Known {
    let key = key();
    let target = HttpTarget {
        id: Arc::clone(&key.worker),
        fleet: Arc::clone(&key.fleet),
        url: url.parse().unwrap(),
        access: None,
    };
    Arc::new(ArcSwap::from_pointee(HashMap::from([(key, target)])))
}

/// A source with one worker.
pub fn source(url: &str, timeout: Duration, access: Access) -> HttpSource {
    let targets = known(url);
    let mut settings = config::HttpSource { max_body: 4096, ..config::HttpSource::of(Vec::new()) };
    settings.targets.access = Arc::new(access);
    HttpSource::new(&configured(timeout, Detail::Http(settings.clone())), &settings, targets)
}

/// A source with this deadline, and all else as it is where nothing is written.
pub fn configured(timeout: Duration, detail: Detail) -> config::Source {
    config::Source {
        name: "night".into(),
        fleet: None,
        timeout,
        minimum_interval: Duration::from_secs(2),
        maximum_interval: LONG,
        match_host_pid: false,
        detail,
    }
}

pub fn key() -> WorkerKey {
    WorkerKey::new("mail", "w-0")
}

/// One look, with a bound of its own far beyond the deadline: a look that does not end is a failed test.
pub async fn look(source: &impl Observe) -> Result<Observation, Failure> {
    let scope = Scope::Worker(key());
    match tokio::time::timeout(3 * LONG, source.look(&scope)).await.unwrap_or_else(|_| panic!("the look never ended")) {
        Ok(Report::Worker(observation)) => Ok(*observation),
        Ok(other) => panic!("{other:?}"),
        Err(failure) => Err(failure),
    }
}

/// One look at this address without credentials.
pub async fn at(url: &str, timeout: Duration) -> Observation {
    look(&source(url, timeout, Access::default())).await.unwrap()
}
