//! The connection to one namespace: opened at the first look, re-opened when its certificates change or it hangs.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use secrecy::ExposeSecret;
use temporalio_protos::temporal::api::workflowservice::v1::workflow_service_client::WorkflowServiceClient;
use tonic::metadata::{Ascii, MetadataKey, MetadataMap, MetadataValue};
use tonic::transport::{Channel, Endpoint};
use tonic::{Request, Response, Status};
use verdict::words::Failure;

use super::failure::failure;
use super::tls::apply;
use crate::config;
use crate::observe::tls::{self, Files};

/// The wire client of the Temporal API.
pub(super) type Wire = WorkflowServiceClient<Channel>;

/// tonic's own limit is 4 MiB, which a thousand workers fill: the server sends each of them twice.
const LARGEST_ANSWER: usize = 64 << 20;
/// A look that waits longer for a connection has nothing left for the answer.
const CONNECT_WITHIN: Duration = Duration::from_secs(5);
/// Calls without an answer in a row after which the connection itself is suspected (a cut without a reset).
const HUNG_AFTER: u32 = 2;

/// One namespace's connection.
#[derive(Debug)]
pub(super) struct Client {
    source: String,
    settings: config::TemporalSource,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    open: Option<Open>,
    timeouts: u32,
    /// The complaint that was logged last: each is said once, not at every look.
    said: Option<String>,
}

#[derive(Debug)]
struct Open {
    wire: Wire,
    /// The TLS files and when each was last changed, as of the opening.
    files: Files,
}

/// What stands between us and a call, before anything was sent.
#[derive(Debug, thiserror::Error)]
pub(super) enum Unready {
    #[error("address `{0}` of the Temporal server is no `host:port`; correct `address`")]
    Address(String),
    #[error("TLS cannot be set up: {0}")]
    Tls(#[from] tls::Unusable),
    #[error("{what} cannot be read: {error}; check that the file exists and is readable")]
    Secret { what: String, error: std::io::Error },
    #[error("{0} cannot be sent as gRPC metadata: names are lower-case ASCII, values printable ASCII")]
    Metadata(String),
}

impl Unready {
    fn failure(&self) -> Failure {
        match self {
            Self::Address(_) => Failure::Dns,
            Self::Tls(_) => Failure::Tls,
            Self::Secret { .. } => Failure::Unauthenticated,
            Self::Metadata(_) => Failure::InvalidArgument,
        }
    }
}

impl Client {
    /// Opens nothing yet: the server may be away, and there may be no runtime.
    pub(super) fn new(source: &str, settings: config::TemporalSource) -> Self {
        Self { source: source.to_owned(), settings, state: Mutex::default() }
    }

    /// One call, answered within `within` or failed. Credentials are read anew, so that a rotated key needs no restart.
    pub(super) async fn call<Q, A, F>(
        &self,
        message: Q,
        within: Duration,
        send: impl FnOnce(Wire, Request<Q>) -> F,
    ) -> Result<A, Failure>
    where
        F: Future<Output = Result<Response<A>, Status>>,
    {
        let wire = self.ready(Self::wire)?;
        let mut request = Request::new(message);
        *request.metadata_mut() = self.ready(Self::metadata)?;
        // Nothing keeps us from asking any more; what the server then says is told by others.
        self.state.lock().unwrap_or_else(PoisonError::into_inner).said = None;
        // Tells the server too, so that it stops working on what nobody waits for.
        request.set_timeout(within);
        let answer = match tokio::time::timeout(within, Box::pin(send(wire, request))).await {
            Ok(Ok(answer)) => Ok(answer.into_inner()),
            Ok(Err(status)) => {
                tracing::debug!(source = self.source, code = ?status.code(), message = status.message(), "call failed");
                Err(failure(&status))
            }
            Err(_) => Err(Failure::Timeout),
        };
        self.note(answer.as_ref().err());
        answer
    }

    /// What keeps us from asking at all is in the log already.
    pub(super) fn has_complained(&self) -> bool {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).said.is_some()
    }

    fn ready<T>(&self, get: impl FnOnce(&Self) -> Result<T, Unready>) -> Result<T, Failure> {
        get(self).map_err(|unready| {
            let text = unready.to_string();
            let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
            if state.said.as_ref() != Some(&text) {
                tracing::error!(source = self.source, "{text}");
                state.said = Some(text);
            }
            unready.failure()
        })
    }

    /// A connection that was cut without a reset swallows every call until the kernel gives up, many minutes later.
    fn note(&self, failed: Option<&Failure>) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        match failed {
            None => {
                state.timeouts = 0;
            }
            Some(Failure::Timeout) => {
                state.timeouts += 1;
                if state.timeouts >= HUNG_AFTER {
                    state.timeouts = 0;
                    state.open = None;
                }
            }
            // The certificate may have been renewed behind the same path, at the same second.
            Some(Failure::Tls) => state.open = None,
            Some(_) => {}
        }
    }

    fn wire(&self) -> Result<Wire, Unready> {
        let files = self.settings.tls.as_ref().map(tls::files).unwrap_or_default();
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        match &state.open {
            Some(open) if open.files == files => Ok(open.wire.clone()),
            _ => {
                let wire = self.open()?;
                state.open = Some(Open { wire: wire.clone(), files });
                Ok(wire)
            }
        }
    }

    fn open(&self) -> Result<Wire, Unready> {
        let config::TemporalSource { address, tls, .. } = &self.settings;
        let scheme = if tls.is_some() { "https" } else { "http" };
        let mut endpoint = Endpoint::from_shared(format!("{scheme}://{address}"))
            .and_then(|endpoint| endpoint.user_agent(concat!("worker-exporter/", env!("CARGO_PKG_VERSION"))))
            .map_err(|_| Unready::Address(address.clone()))?
            .connect_timeout(CONNECT_WITHIN)
            // Finds a dead connection while a call waits on it. Never while idle: servers take that for abuse.
            .http2_keep_alive_interval(Duration::from_secs(30))
            .keep_alive_timeout(Duration::from_secs(10));
        if let Some(tls) = tls {
            endpoint = apply(endpoint, tls)?;
        }
        let wire = WorkflowServiceClient::new(endpoint.connect_lazy());
        Ok(wire.max_decoding_message_size(LARGEST_ANSWER))
    }

    fn metadata(&self) -> Result<MetadataMap, Unready> {
        let mut map = MetadataMap::new();
        for (name, secret) in &self.settings.metadata {
            let key = MetadataKey::<Ascii>::from_bytes(name.as_bytes())
                .map_err(|_| Unready::Metadata(format!("the name `{name}`")))?;
            map.insert(key, value(&format!("the value of `{name}`"), secret, "")?);
        }
        // Cloud routes by it when an API key is used; self-hosted servers ignore it.
        let namespace = MetadataValue::try_from(&*self.settings.namespace)
            .map_err(|_| Unready::Metadata(format!("the namespace `{}`", self.settings.namespace)))?;
        map.insert("temporal-namespace", namespace);
        if let Some(key) = &self.settings.api_key {
            map.insert("authorization", value("the API key", key, "Bearer ")?);
        }
        Ok(map)
    }
}

fn value(what: &str, secret: &config::Secret, prefix: &str) -> Result<MetadataValue<Ascii>, Unready> {
    let held = secret.reveal().map_err(|error| Unready::Secret { what: what.to_owned(), error })?;
    let mut value = MetadataValue::try_from(format!("{prefix}{}", held.expose_secret()))
        .map_err(|_| Unready::Metadata(what.to_owned()))?;
    // Keeps it out of debug output and out of HPACK's tables.
    value.set_sensitive(true);
    Ok(value)
}
