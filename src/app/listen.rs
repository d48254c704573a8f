//! Opens the addresses to listen on.

use std::io::{self, ErrorKind};
use std::net::{Ipv4Addr, SocketAddr};

use tokio::net::TcpListener;

use super::Broken;

/// Opens every address, or says which one cannot be opened and what to do.
pub(super) async fn open(addresses: &[SocketAddr]) -> Result<Vec<TcpListener>, Broken> {
    let mut open = Vec::with_capacity(addresses.len());
    for address in addresses {
        let listener = bind(*address).await;
        open.push(listener.map_err(|error| Broken::Listen { address: *address, advice: advice(&error), error })?);
    }
    Ok(open)
}

/// `[::]` takes IPv4 too. Where a machine has no IPv6 at all, IPv4 alone is meant.
async fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    match TcpListener::bind(address).await {
        Err(error) if address.is_ipv6() && address.ip().is_unspecified() && !is_taken(&error) => {
            tracing::debug!(%error, "no IPv6 here, listening on IPv4 only");
            TcpListener::bind((Ipv4Addr::UNSPECIFIED, address.port())).await
        }
        outcome => outcome,
    }
}

fn is_taken(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::AddrInUse | ErrorKind::PermissionDenied)
}

fn advice(error: &io::Error) -> &'static str {
    match error.kind() {
        ErrorKind::AddrInUse => {
            "another program listens there, perhaps another worker-exporter: stop it, or choose another address with --web.listen-address=:PORT"
        }
        ErrorKind::PermissionDenied => {
            "ports under 1024 need a privilege: choose a higher one with --web.listen-address=:PORT"
        }
        ErrorKind::AddrNotAvailable => {
            "this machine has no such address: choose one of its own, or :PORT for all, with --web.listen-address"
        }
        _ => "choose another address with --web.listen-address",
    }
}
