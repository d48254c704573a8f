//! One call of `grpc.health.v1.Health/Check` over a fresh connection, within every limit.
//!
//! The messages are those of `tonic-health`, and the call is written out on top of hyper's HTTP/2: a client that is made
//! for services keeps connections, starts tasks of its own, and reads status details that a hostile worker can shape.

use std::future::Future;
use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::{BufMut, Bytes, BytesMut};
use futures_util::future::Either;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::client::conn::http2;
use hyper::header::{self, HeaderMap};
use hyper::{Method, Request, Response, Version};
use hyper_util::rt::TokioIo;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tonic_health::pb::{HealthCheckRequest, HealthCheckResponse};
use tonic_prost::prost::Message;
use url::{Position, Url};
use verdict::read::grpc::{self, NotServing};
use verdict::read::health::{self, HealthAnswer};
use verdict::words::Failure;

use crate::config::Access;
use crate::observe::fetch::{Fault, Keyring, USER_AGENT, credentials, open};

const METHOD: &str = "/grpc.health.v1.Health/Check";
/// The answer is two bytes in a frame of five; what is larger is no health answer.
const MAX_BODY: usize = 4 * 1024;
/// All headers of an answer together, bytes.
const HEADER_BYTES: u32 = 16 * 1024;
/// What the worker may send ahead, on one stream and on all.
const WINDOW: u32 = 64 * 1024;

/// The most time that a server may be told it has: the protocol allows eight digits.
const MOST_MILLIS: u128 = 99_999_999;

/// What is asked for.
pub(super) struct Call<'a> {
    /// Name of the service; empty is the server as a whole.
    pub(super) service: &'a str,
    pub(super) not_serving: NotServing,
    /// The total deadline, told to the server; the one who looks enforces it.
    pub(super) timeout: Duration,
}

impl Call<'_> {
    /// Asks once.
    pub(super) async fn of(&self, url: &Url, access: &Arc<Access>, keyring: &Keyring) -> Result<HealthAnswer, Fault> {
        let request = self.request(url, access)?;
        let stream = open(url, access, keyring, Instant::now() + self.timeout).await?;
        let tasks = Tasks::default();
        let _end = End(tasks.clone());
        let (mut sender, connection) = http2::Builder::new(tasks)
            .initial_stream_window_size(WINDOW)
            .initial_connection_window_size(WINDOW)
            .max_header_list_size(HEADER_BYTES)
            .handshake::<_, Full<Bytes>>(TokioIo::new(stream))
            .await
            .map_err(|error| Fault::of_http2(&error))?;
        let exchange = async move {
            let response = sender.send_request(request).await.map_err(|error| Fault::of_http2(&error))?;
            self.receive(response).await
        };
        let connection = pin!(connection);
        let exchange = pin!(exchange);
        match futures_util::future::select(exchange, connection).await {
            Either::Left((answer, _)) => answer,
            // The exchange was told what went wrong, and often less of it.
            Either::Right((ended, exchange)) => match (exchange.await, ended) {
                (Err(Fault::Worker(Failure::Reset)), Err(error)) => Err(Fault::of_http2(&error)),
                (answer, _) => answer,
            },
        }
    }

    fn request(&self, url: &Url, access: &Access) -> Result<Request<Full<Bytes>>, Fault> {
        let invalid = |_| Fault::Configuration(Failure::InvalidArgument);
        let message = HealthCheckRequest { service: self.service.to_owned() }.encode_to_vec();
        let mut body = BytesMut::with_capacity(message.len() + 5);
        body.put_u8(0);
        body.put_u32(u32::try_from(message.len()).unwrap_or(u32::MAX));
        body.put_slice(&message);
        let millis = self.timeout.as_millis().clamp(1, MOST_MILLIS);
        let mut request = Request::builder()
            .method(Method::POST)
            .version(Version::HTTP_2)
            .uri(format!("{}{METHOD}", &url[..Position::BeforePath]))
            .header(header::CONTENT_TYPE, "application/grpc")
            .header(header::TE, "trailers")
            .header(header::USER_AGENT, USER_AGENT)
            .header("grpc-timeout", format!("{millis}m"))
            .body(Full::new(body.freeze()))
            .map_err(invalid)?;
        credentials(request.headers_mut(), access)?;
        Ok(request)
    }

    async fn receive(&self, response: Response<Incoming>) -> Result<HealthAnswer, Fault> {
        let (head, body) = response.into_parts();
        let is_grpc =
            head.headers.get(header::CONTENT_TYPE).is_some_and(|kind| kind.as_bytes().starts_with(b"application/grpc"));
        if !is_grpc {
            // A proxy or a web server: its code tells whose fault it is, and a good one that nobody here speaks gRPC.
            return match head.status.as_u16() {
                200..=299 => Err(Fault::Worker(Failure::Protocol)),
                code => Ok(health::unread(code, Failure::BodyInvalid)),
            };
        }
        // Refused before there was an answer: the status stands in the headers, and no body follows.
        if let Some(status) = status(&head.headers) {
            return Ok(grpc::read(&status, None, self.not_serving));
        }
        let (body, trailers) = collect(body).await?;
        let status = trailers.as_ref().and_then(status).unwrap_or_default();
        let body = match body {
            Ok(body) => body,
            Err(failure) => return Ok(health::unread(200, failure)),
        };
        let message = grpc::message(&body).ok().and_then(|message| HealthCheckResponse::decode(message).ok());
        Ok(grpc::read(&status, message.map(|message| message.status), self.not_serving))
    }
}

/// The status as it is written. The other headers of a status, its text and details, are not read.
fn status(headers: &HeaderMap) -> Option<String> {
    headers.get("grpc-status").map(|value| value.to_str().unwrap_or_default().to_owned())
}

type Whole = (Result<Bytes, Failure>, Option<HeaderMap>);

/// The body up to the cap, and what stands behind it; the connection is dropped with what lies beyond the cap.
async fn collect(mut body: Incoming) -> Result<Whole, Fault> {
    let mut whole = BytesMut::new();
    let mut trailers = None;
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| Fault::of_http2(&error))?;
        match frame.into_data() {
            Ok(data) if whole.len() + data.len() > MAX_BODY => return Ok((Err(Failure::BodyTooLarge), None)),
            Ok(data) => whole.extend_from_slice(&data),
            Err(other) => trailers = other.into_trailers().ok(),
        }
    }
    Ok((Ok(whole.freeze()), trailers))
}

/// The tasks of one connection.
#[derive(Clone, Default)]
struct Tasks(Arc<Mutex<JoinSet<()>>>);

impl<F: Future<Output = ()> + Send + 'static> hyper::rt::Executor<F> for Tasks {
    fn execute(&self, task: F) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).spawn(task);
    }
}

/// They end with the look, whatever they wait for. They hold each other, so that nothing else would end them.
struct End(Tasks);

impl Drop for End {
    fn drop(&mut self) {
        self.0.0.lock().unwrap_or_else(PoisonError::into_inner).abort_all();
    }
}
