//! One request and its answer, within every limit: no redirects, no kept connection, no body larger than allowed.

use std::future::Future;
use std::io::Read;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::{Bytes, BytesMut};
use flate2::read::MultiGzDecoder;
use http_body_util::{BodyExt, Empty};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper::header::{self, HeaderMap, HeaderName, HeaderValue};
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use secrecy::ExposeSecret;
use tokio::time::Instant;
use url::{Position, Url};
use verdict::words::Failure;

use super::connect;
use super::fault::Fault;
use super::keyring::Keyring;
use crate::config::{Access, Secret};

/// All headers of an answer together, bytes.
const HEADER_BYTES: usize = 16 * 1024;
/// Headers of an answer.
const HEADERS: usize = 100;
/// How we name ourselves.
pub(in crate::observe) const USER_AGENT: &str = concat!("worker-exporter/", env!("CARGO_PKG_VERSION"));

/// A whole answer.
pub(in crate::observe) struct Answer {
    pub(in crate::observe) code: u16,
    pub(in crate::observe) content_type: Option<String>,
    /// The body, or why it was not read.
    pub(in crate::observe) body: Result<Bytes, Failure>,
}

/// How a body may be packed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::observe) enum Encoding {
    /// Not at all.
    Identity,
    /// As it is, or by gzip.
    Gzip,
}

impl Encoding {
    const fn accept(self) -> &'static str {
        match self {
            Self::Identity => "identity",
            Self::Gzip => "gzip",
        }
    }
}

/// What is asked for, and how much of it.
pub(in crate::observe) struct Ask {
    /// The Accept header.
    pub(in crate::observe) accept: &'static str,
    /// Which encoding of the body we take.
    pub(in crate::observe) encoding: Encoding,
    /// A larger body is not read, as it comes and as it is unpacked.
    pub(in crate::observe) max_body: usize,
    /// How long the addresses of a name may be tried, all together. The one who looks bounds the whole.
    pub(in crate::observe) timeout: Duration,
}

impl Ask {
    /// Asks once, over a fresh connection.
    pub(in crate::observe) async fn of(
        &self,
        url: &Url,
        access: &Arc<Access>,
        keyring: &Keyring,
    ) -> Result<Answer, Fault> {
        let deadline = Instant::now() + self.timeout;
        let request = self.request(url, access)?;
        let stream = connect::open(url, access, keyring, deadline).await?;
        let (mut sender, connection) = http1::Builder::new()
            .max_buf_size(HEADER_BYTES)
            .max_headers(HEADERS)
            .handshake::<_, Empty<Bytes>>(TokioIo::new(stream))
            .await
            .map_err(|error| Fault::of_http(&error))?;
        let exchange = async move {
            let response = sender.send_request(request).await.map_err(|error| Fault::of_http(&error))?;
            self.receive(response).await
        };
        drive(connection, exchange).await
    }

    async fn receive(&self, response: Response<Incoming>) -> Result<Answer, Fault> {
        let headers = response.headers();
        let text = |name: HeaderName| headers.get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
        let code = response.status().as_u16();
        let content_type = text(header::CONTENT_TYPE);
        let packed = match headers.get(header::CONTENT_ENCODING).map(HeaderValue::as_bytes) {
            None | Some(b"" | b"identity") => Some(Encoding::Identity),
            Some(b"gzip" | b"x-gzip") if self.encoding == Encoding::Gzip => Some(Encoding::Gzip),
            // We did not ask for it. Who packs all the same is not unpacked.
            Some(_) => None,
        };
        let declared = text(header::CONTENT_LENGTH).and_then(|length| length.parse::<usize>().ok());
        let body = match packed {
            None => Err(Failure::BodyInvalid),
            Some(_) if declared.is_some_and(|length| length > self.max_body) => Err(Failure::BodyTooLarge),
            Some(packed) => match collect(response.into_body(), self.max_body).await? {
                Ok(body) if packed == Encoding::Gzip => unpack(&body, self.max_body),
                body => body,
            },
        };
        Ok(Answer { code, content_type, body })
    }

    fn request(&self, url: &Url, access: &Access) -> Result<Request<Empty<Bytes>>, Fault> {
        let host = url.host_str().ok_or(Fault::Configuration(Failure::InvalidArgument))?;
        let host = match url.port() {
            Some(port) => format!("{host}:{port}"),
            None => host.to_owned(),
        };
        let mut request = Request::get(&url[Position::BeforePath..Position::AfterQuery])
            .header(header::HOST, host)
            .header(header::USER_AGENT, USER_AGENT)
            .header(header::ACCEPT, self.accept)
            .header(header::ACCEPT_ENCODING, self.encoding.accept())
            .header(header::CONNECTION, "close")
            .body(Empty::new())
            .map_err(|_| Fault::Configuration(Failure::InvalidArgument))?;
        credentials(request.headers_mut(), access)?;
        Ok(request)
    }
}

/// Unpacks up to the cap: a small body may unpack to gigabytes.
fn unpack(packed: &[u8], max_body: usize) -> Result<Bytes, Failure> {
    let mut body = Vec::new();
    let most = u64::try_from(max_body).unwrap_or(u64::MAX).saturating_add(1);
    MultiGzDecoder::new(packed).take(most).read_to_end(&mut body).map_err(|_| Failure::BodyInvalid)?;
    if body.len() > max_body { Err(Failure::BodyTooLarge) } else { Ok(body.into()) }
}

/// Runs the connection inside this very future: when the look ends, so does everything of it, and no task is left.
async fn drive<T>(
    connection: impl Future<Output = hyper::Result<()>>,
    exchange: impl Future<Output = Result<T, Fault>>,
) -> Result<T, Fault> {
    let mut connection = pin!(connection);
    let mut exchange = pin!(exchange);
    let mut open = true;
    std::future::poll_fn(|cx| {
        // What goes wrong in the connection, the exchange is told as well.
        open = open && connection.as_mut().poll(cx).is_pending();
        exchange.as_mut().poll(cx)
    })
    .await
}

/// The body up to the cap; the connection is dropped with what lies beyond it.
async fn collect(mut body: Incoming, max_body: usize) -> Result<Result<Bytes, Failure>, Fault> {
    let mut whole = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| Fault::of_http(&error))?;
        if let Some(data) = frame.data_ref() {
            if whole.len() + data.len() > max_body {
                return Ok(Err(Failure::BodyTooLarge));
            }
            whole.extend_from_slice(data);
        }
    }
    Ok(Ok(whole.freeze()))
}

/// Puts in what we are configured to show of ourselves.
pub(in crate::observe) fn credentials(headers: &mut HeaderMap, access: &Access) -> Result<(), Fault> {
    for (name, secret) in &access.headers {
        let name = HeaderName::try_from(name.as_str()).map_err(|_| Fault::Configuration(Failure::InvalidArgument))?;
        headers.insert(name, hidden(reveal(secret)?.expose_secret())?);
    }
    if let Some((user, password)) = &access.basic {
        let pair = STANDARD.encode(format!("{user}:{}", reveal(password)?.expose_secret()));
        headers.insert(header::AUTHORIZATION, hidden(&format!("Basic {pair}"))?);
    }
    if let Some(token) = &access.bearer {
        headers.insert(header::AUTHORIZATION, hidden(&format!("Bearer {}", reveal(token)?.expose_secret()))?);
    }
    Ok(())
}

/// A header value that no debug output shows.
fn hidden(value: &str) -> Result<HeaderValue, Fault> {
    let mut value = HeaderValue::try_from(value).map_err(|_| Fault::Configuration(Failure::Unauthenticated))?;
    value.set_sensitive(true);
    Ok(value)
}

/// A credential that cannot be read is our fault, not the worker's. The error names the file, never its content.
fn reveal(secret: &Secret) -> Result<secrecy::SecretString, Fault> {
    secret.reveal().map_err(|error| match secret {
        Secret::File(path) => {
            let what = format!("the secret file {} cannot be read: {}", path.display(), error.kind());
            Fault::Unusable(Failure::Unauthenticated, what)
        }
        Secret::Held(_) => Fault::Configuration(Failure::Unauthenticated),
    })
}
