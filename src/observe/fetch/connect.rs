//! From an address to a connected stream.

use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use rustls_pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::Instant;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use url::{Host, Url};
use verdict::words::Failure;

use super::fault::Fault;
use super::keyring::Keyring;
use super::resolve::{self, Unresolved};
use crate::config::{Access, Network, refused};
use crate::observe::tls;

/// Addresses of one name that are tried. A name with hundreds of records is not a worker.
const ADDRESSES: usize = 8;

/// A connection, plain or not.
pub(in crate::observe) enum Stream {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

/// Connects to the address, with TLS where it says so, by the deadline.
pub(in crate::observe) async fn open(
    url: &Url,
    access: &Arc<Access>,
    keyring: &Keyring,
    deadline: Instant,
) -> Result<Stream, Fault> {
    // Our own mistake is found before the worker is bothered.
    let secured = match url.scheme() {
        "https" => Some(keyring.prepare(url, access)?),
        "http" => None,
        _ => return Err(Fault::Configuration(Failure::InvalidArgument)),
    };
    let stream = tcp(url, deadline, &access.allowed).await?;
    match secured {
        Some((config, name)) => shake_hands(stream, config, name).await,
        None => Ok(Stream::Plain(stream)),
    }
}

/// Connects, trying each address of the name within the deadline.
///
/// Here, of the very addresses that are connected to, is where forbidden ones are refused: a name that is resolved again
/// may lead elsewhere.
async fn tcp(url: &Url, deadline: Instant, allowed: &[Network]) -> Result<TcpStream, Fault> {
    let port = url.port_or_known_default().ok_or(Fault::Configuration(Failure::InvalidArgument))?;
    let addresses: Vec<SocketAddr> = match url.host() {
        Some(Host::Ipv4(ip)) => vec![SocketAddr::new(IpAddr::V4(ip), port)],
        Some(Host::Ipv6(ip)) => vec![SocketAddr::new(IpAddr::V6(ip), port)],
        Some(Host::Domain(name)) => {
            named(name, deadline).await?.iter().take(ADDRESSES).map(|ip| SocketAddr::new(*ip, port)).collect()
        }
        None => return Err(Fault::Configuration(Failure::InvalidArgument)),
    };
    if let Some((ip, why)) = addresses.iter().find_map(|socket| Some((socket.ip(), refused(socket.ip(), allowed)?))) {
        let host = url.host_str().unwrap_or_default();
        let what = format!("{host} leads to {ip}, which is not asked: {why}; `allowed_networks` would allow it");
        return Err(Fault::Unusable(Failure::InvalidArgument, what));
    }
    let mut last = Fault::Worker(Failure::Dns);
    for (at, address) in addresses.iter().enumerate() {
        // Each gets an equal share of what is left, so that a dead first address does not eat the deadline.
        let left = u32::try_from(addresses.len() - at).unwrap_or(1);
        let share = deadline.saturating_duration_since(Instant::now()) / left;
        last = match tokio::time::timeout(share.max(Duration::from_millis(1)), TcpStream::connect(address)).await {
            Ok(Ok(stream)) => {
                let _ = stream.set_nodelay(true);
                return Ok(stream);
            }
            Ok(Err(error)) => Fault::of_io(&error),
            Err(_) => Fault::Worker(Failure::Timeout),
        };
        if matches!(last, Fault::Own(_)) {
            break;
        }
    }
    Err(last)
}

/// The addresses of a name.
///
/// It takes half of the time at most: the other half is the worker's, so that a slow resolver is not taken for a slow
/// worker.
async fn named(name: &str, deadline: Instant) -> Result<Arc<[IpAddr]>, Fault> {
    let now = Instant::now();
    let given_up = now + deadline.saturating_duration_since(now) / 2;
    let found = tokio::time::timeout_at(given_up, resolve::SYSTEM.resolve(name)).await;
    let silent = |why: &str| {
        Fault::Unresolved(format!(
            "{name} was not resolved ({why}): our resolver failed, which tells nothing of the worker"
        ))
    };
    match found {
        Ok(Ok(found)) => Ok(found),
        Ok(Err(Unresolved::NoSuchName)) => Err(Fault::Worker(Failure::Dns)),
        Ok(Err(Unresolved::NoAnswer(why))) => Err(silent(&why)),
        Ok(Err(Unresolved::Own)) => Err(Fault::Own(Failure::Local)),
        Err(_) => Err(silent("no answer in time")),
    }
}

/// Shakes hands over TLS.
async fn shake_hands(
    stream: TcpStream,
    config: Arc<rustls::ClientConfig>,
    name: ServerName<'static>,
) -> Result<Stream, Fault> {
    match TlsConnector::from(config).connect(name, stream).await {
        Ok(stream) => {
            // A session that is resumed is not verified again, and still has its certificate.
            if let Some(certificate) = stream.get_ref().1.peer_certificates().and_then(<[_]>::first) {
                tls::witness(certificate);
            }
            Ok(Stream::Tls(Box::new(stream)))
        }
        Err(error) if speaks_otherwise(&error) => Err(Fault::Worker(Failure::Protocol)),
        // Whatever breaks inside the handshake but our own machine is the handshake's failure.
        Err(error) => Err(match Fault::of_io(&error) {
            Fault::Worker(Failure::Protocol) => Fault::Worker(Failure::Tls),
            other => other,
        }),
    }
}

/// It told us that it does not speak what we offered (ALPN).
fn speaks_otherwise(error: &std::io::Error) -> bool {
    let inner = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
    matches!(inner, Some(rustls::Error::AlertReceived(rustls::AlertDescription::NoApplicationProtocol)))
}

impl AsyncRead for Stream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<std::io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_read(cx, buf),
            Self::Tls(stream) => Pin::new(stream).poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<std::io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_write(cx, buf),
            Self::Tls(stream) => Pin::new(stream).poll_write(cx, buf),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_flush(cx),
            Self::Tls(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::Tls(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }
}
