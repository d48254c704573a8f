//! One connection to Redis: resolved, opened, encrypted, authenticated anew each time.
//!
//! The sockets are ours and not the library's, so that each step has its own reason when it fails (name, route,
//! refusal, certificate, credentials), and so that a failover behind a name is followed at the next look.

use std::pin::Pin;
use std::sync::Arc;

use redis::aio::{MultiplexedConnection, PubSub};
use redis::{AsyncConnectionConfig, Cmd, ProtocolVersion, RedisConnectionInfo, RedisResult};
use secrecy::{ExposeSecret, SecretString};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpStream, lookup_host};
use tokio_rustls::TlsConnector;
use verdict::words::Failure;

use super::failure;
use super::memory;
use super::meter::{Allowance, Metered};
use crate::config::{RedisServer, Secret};
use crate::observe::tls;

/// The first line of an answer is never longer than this, from whomever it comes.
const MAX_LINE: usize = 512;
/// The port of Redis, where the address names none.
const PORT: u16 = 6379;
/// What to do where a Sentinel answers.
pub(super) const SENTINEL: &str = "this is a Sentinel, which holds no keys: give the address of the master that it \
                                   watches, a name that follows the master, or each server as a source of the same fleet";

/// What a connection runs over.
trait Socket: AsyncRead + AsyncWrite + Send {}

impl<S: AsyncRead + AsyncWrite + Send> Socket for S {}

/// A failure with what the log should say of it; the word alone goes further.
#[derive(Debug, Clone)]
pub(super) struct Refusal {
    pub(super) failure: Failure,
    pub(super) why: String,
}

impl Refusal {
    fn new(failure: Failure, why: impl Into<String>) -> Self {
        Self { failure, why: why.into() }
    }
}

impl From<redis::RedisError> for Refusal {
    fn from(error: redis::RedisError) -> Self {
        Self::new(failure::of(&error), error.to_string())
    }
}

impl From<tls::Unusable> for Refusal {
    fn from(why: tls::Unusable) -> Self {
        Self::new(Failure::Tls, why.to_string())
    }
}

/// Opens a connection that is ready for commands and receives no more than `allowance`. The caller bounds it in time.
pub(super) async fn open(config: &RedisServer, allowance: Allowance) -> Result<MultiplexedConnection, Refusal> {
    let mut connection = speak(socket(config, allowance).await?).await?;
    match greet(config, &mut connection).await {
        Ok(()) => Ok(connection),
        Err(refusal) => Err(unless_sentinel(&mut connection, refusal).await),
    }
}

/// A Sentinel has no databases, and seldom the password of the servers that it watches: what it refuses is not the fault.
async fn unless_sentinel(connection: &mut MultiplexedConnection, refusal: Refusal) -> Refusal {
    let asked: RedisResult<String> = redis::cmd("INFO").arg("server").query_async(connection).await;
    match asked {
        Ok(text) if memory::read_info(&text).sentinel => Refusal::new(Failure::Unimplemented, SENTINEL),
        _ => refusal,
    }
}

/// Opens a connection that is ready to subscribe. A message larger than `allowance` ends it.
pub(super) async fn subscriber(config: &RedisServer, allowance: Allowance) -> Result<PubSub, Refusal> {
    let mut info = RedisConnectionInfo::default().set_protocol(ProtocolVersion::RESP2).set_skip_set_lib_name();
    if let Some(password) = &config.password {
        info = info.set_password(reveal(password)?.expose_secret());
        if let Some(username) = &config.username {
            info = info.set_username(username);
        }
    }
    match PubSub::new(&info, socket(config, allowance.clone()).await?).await {
        Ok(subscriber) => Ok(subscriber),
        // The library closes it, so that it cannot be asked what it is.
        Err(error) if config.password.is_some() => Err(match open(config, allowance).await {
            Err(refusal) if refusal.failure == Failure::Unimplemented => refusal,
            _ => error.into(),
        }),
        Err(error) => Err(error.into()),
    }
}

/// The database that the address names.
pub(super) fn database(config: &RedisServer) -> &str {
    match config.url.path().trim_matches('/') {
        "" => "0",
        db => db,
    }
}

/// A connection over which a Redis has answered, encrypted where the address says so.
async fn socket(config: &RedisServer, allowance: Allowance) -> Result<Pin<Box<dyn Socket>>, Refusal> {
    let host = config.url.host_str().unwrap_or("127.0.0.1").trim_start_matches('[').trim_end_matches(']');
    let stream = dial(host, config.url.port().unwrap_or(PORT)).await?;
    let mut socket: Pin<Box<dyn Socket>> = if config.url.scheme() == "rediss" {
        // Made anew for each connection, so that a rotated file needs no restart.
        let client = tls::client(&config.tls)?;
        let name = tls::server_name(&config.tls, host)?;
        let stream = TlsConnector::from(Arc::new(client)).connect(name, stream).await;
        let stream = stream.map_err(|error| Refusal::new(failure::of_io(&error), format!("TLS handshake: {error}")))?;
        Box::pin(Metered::new(stream, allowance))
    } else {
        Box::pin(Metered::new(stream, allowance))
    };
    ping(&mut socket).await?;
    Ok(socket)
}

async fn dial(host: &str, port: u16) -> Result<TcpStream, Refusal> {
    let addresses = lookup_host((host, port))
        .await
        .map_err(|error| Refusal::new(Failure::Dns, format!("{host} does not resolve: {error}")))?;
    let mut last = Refusal::new(Failure::Dns, format!("{host} resolves to no address"));
    for address in addresses {
        match TcpStream::connect(address).await {
            Ok(stream) => {
                // Our requests are small and we wait for their answers.
                let _ = stream.set_nodelay(true);
                return Ok(stream);
            }
            Err(error) => last = Refusal::new(failure::of_io(&error), format!("{address}: {error}")),
        }
    }
    Err(last)
}

/// Sends one PING and reads its answer ourselves. The library tells of a peer that is no Redis, and of one that refuses
/// our client certificate after the handshake (so it is in TLS 1.3), only as of a broken pipe.
async fn ping<S>(stream: &mut S) -> Result<(), Refusal>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let broken = |error: std::io::Error| Refusal::new(failure::of_io(&error), format!("first PING: {error}"));
    stream.write_all(b"PING\r\n").await.map_err(broken)?;
    stream.flush().await.map_err(broken)?;
    let mut line = Vec::new();
    while !line.ends_with(b"\n") {
        let byte = stream.read_u8().await.map_err(broken)?;
        line.push(byte);
        if !matches!(line.first(), Some(b'+' | b'-')) || line.len() > MAX_LINE {
            return Err(Refusal::new(Failure::Protocol, "what listens there does not speak Redis"));
        }
    }
    let line = String::from_utf8_lossy(&line);
    let Some(error) = line.trim_end().strip_prefix('-') else { return Ok(()) };
    let (code, detail) = error.split_once(' ').unwrap_or((error, ""));
    match (code, failure::of_code(code, detail)) {
        // Credentials come next, and PING need not be among our rights.
        ("NOAUTH" | "NOPERM", _) => Ok(()),
        (_, failure) => Err(Refusal::new(failure, error)),
    }
}

async fn speak<S>(stream: S) -> Result<MultiplexedConnection, Refusal>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    // Nothing is sent by the library itself: a proxy or an old server may refuse HELLO and CLIENT SETINFO.
    let info = RedisConnectionInfo::default().set_protocol(ProtocolVersion::RESP2).set_skip_set_lib_name();
    // The deadline of the look is the only one.
    let config = AsyncConnectionConfig::new().set_response_timeout(None).set_connection_timeout(None);
    let (connection, driver) = MultiplexedConnection::new_with_config(&info, stream, config).await?;
    // It ends by itself when the last handle is dropped.
    tokio::spawn(driver);
    Ok(connection)
}

async fn greet(config: &RedisServer, connection: &mut MultiplexedConnection) -> Result<(), Refusal> {
    if let Some(password) = &config.password {
        let password = reveal(password)?;
        let mut auth = Cmd::new();
        auth.arg("AUTH");
        if let Some(username) = &config.username {
            auth.arg(username);
        }
        auth.arg(password.expose_secret());
        auth.exec_async(connection).await?;
    }
    match database(config) {
        "0" => {}
        db => redis::cmd("SELECT").arg(db).exec_async(connection).await?,
    }
    Ok(())
}

fn reveal(password: &Secret) -> Result<SecretString, Refusal> {
    password
        .reveal()
        .map_err(|error| Refusal::new(Failure::Local, format!("the password ({password:?}) cannot be read: {error}")))
}
