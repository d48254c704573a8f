//! Addresses to listen on, as Prometheus programs write them.

use std::net::{Ipv6Addr, SocketAddr, ToSocketAddrs};

/// `:PORT` is every address of the machine, IPv4 and IPv6; a host name is its first address, IPv4 before IPv6.
pub(super) fn parse(text: &str) -> Result<SocketAddr, String> {
    if let Some(port) = text.strip_prefix(':') {
        let port = port.parse().map_err(|_| wrong(text, "its port is not a number from 0 to 65535"))?;
        return Ok(SocketAddr::from((Ipv6Addr::UNSPECIFIED, port)));
    }
    if let Ok(address) = text.parse() {
        return Ok(address);
    }
    if !text.contains(':') {
        return Err(wrong(text, "it has no port"));
    }
    let found: Vec<SocketAddr> = text.to_socket_addrs().map_err(|error| wrong(text, &error.to_string()))?.collect();
    let first = found.iter().find(|address| address.is_ipv4()).or_else(|| found.first());
    first.copied().ok_or_else(|| wrong(text, "the name has no address"))
}

fn wrong(text: &str, why: &str) -> String {
    format!(
        "--web.listen-address {text:?} cannot be used: {why}\n  hint: write :10860, 127.0.0.1:10860, localhost:10860 or [::1]:10860"
    )
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

    use super::*;

    #[test]
    fn every_way_to_write_an_address_is_understood() {
        for (text, address) in [
            (":10860", "[::]:10860"),
            ("127.0.0.1:80", "127.0.0.1:80"),
            ("[::1]:9000", "[::1]:9000"),
            ("0.0.0.0:0", "0.0.0.0:0"),
            ("localhost:7", "127.0.0.1:7"),
        ] {
            assert_eq!(parse(text).unwrap(), address.parse().unwrap(), "{text}");
        }
    }

    #[test]
    fn what_is_not_an_address_says_how_to_write_one() {
        for text in ["", "10860", ":http", ":70000", "localhost", "::1:x"] {
            let error = parse(text).unwrap_err();
            assert!(error.contains("hint: write :10860"), "{text}: {error}");
        }
    }
}
