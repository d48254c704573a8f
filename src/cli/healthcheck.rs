//! `healthcheck`: asks a running exporter whether it is ready.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use clap::Args;
use http_body_util::Empty;
use hyper::Request;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use url::Url;

use super::{Failed, runtime, say};
use crate::config::Tls;
use crate::observe::tls;

/// Orchestrators wait no longer for such a check by default.
const DEADLINE: Duration = Duration::from_secs(3);

#[derive(Clone, Debug, Args)]
pub(super) struct HealthcheckFlags {
    /// Where the exporter is, with its route prefix if it has one.
    #[arg(long, env = "WORKER_EXPORTER_URL", value_name = "URL", default_value = "http://127.0.0.1:10860")]
    url: Url,
    /// Authorities to trust instead of the system's, PEM; for `https`.
    #[arg(long = "tls.ca-file", env = "WORKER_EXPORTER_TLS_CA_FILE", value_name = "FILE")]
    ca_file: Option<PathBuf>,
    /// Certificate to show, where the exporter asks for one, PEM.
    #[arg(long = "tls.cert-file", env = "WORKER_EXPORTER_TLS_CERT_FILE", value_name = "FILE", requires = "key_file")]
    cert_file: Option<PathBuf>,
    /// Its key, PEM.
    #[arg(long = "tls.key-file", env = "WORKER_EXPORTER_TLS_KEY_FILE", value_name = "FILE", requires = "cert_file")]
    key_file: Option<PathBuf>,
    /// Name to verify, where it is not the host of the URL.
    #[arg(long = "tls.server-name", env = "WORKER_EXPORTER_TLS_SERVER_NAME", value_name = "NAME")]
    server_name: Option<String>,
    /// Verify nothing; for `https` on the same machine.
    #[arg(
        long = "tls.insecure-skip-verify",
        env = "WORKER_EXPORTER_TLS_INSECURE_SKIP_VERIFY",
        value_parser = clap::builder::FalseyValueParser::new()
    )]
    insecure_skip_verify: bool,
}

impl HealthcheckFlags {
    fn tls(&self) -> Tls {
        Tls {
            ca_file: self.ca_file.clone(),
            cert_file: self.cert_file.clone(),
            key_file: self.key_file.clone(),
            server_name: self.server_name.clone(),
            insecure_skip_verify: self.insecure_skip_verify,
            ..Tls::default()
        }
    }
}

pub(super) fn run(flags: &HealthcheckFlags) -> Result<(), Failed> {
    let url = ready_url(&flags.url)?;
    let tls = flags.tls();
    let asked = runtime()?.block_on(async { tokio::time::timeout(DEADLINE, connect(&url, &tls)).await });
    let status = match asked {
        Ok(Ok(status)) => status,
        Ok(Err(why)) => return Err(Failed::Run(format!("{url} does not answer: {why}"))),
        Err(_elapsed) => {
            return Err(Failed::Run(format!("{url} did not answer within {} s", DEADLINE.as_secs())));
        }
    };
    if status == 200 {
        say("ready");
        Ok(())
    } else {
        Err(Failed::Run(format!("not ready: {url} answers {status}")))
    }
}

fn ready_url(base: &Url) -> Result<Url, Failed> {
    if !["http", "https"].contains(&base.scheme()) || base.host_str().is_none() {
        return Err(Failed::Usage(format!(
            "--url {base} cannot be used\n  hint: write http://host:port or https://host:port"
        )));
    }
    let mut url = base.clone();
    let path = url.path().trim_end_matches('/').trim_end_matches("/-/ready").to_owned();
    url.set_path(&format!("{path}/-/ready"));
    url.set_query(None);
    url.set_fragment(None);
    Ok(url)
}

async fn connect(url: &Url, tls: &Tls) -> Result<u16, String> {
    let host = url.host_str().unwrap_or_default();
    let port = url.port_or_known_default().unwrap_or(80);
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    let stream = TcpStream::connect((bare, port)).await.map_err(|error| error.to_string())?;
    if url.scheme() == "http" {
        return ask(url, stream).await;
    }
    let name = tls::server_name(tls, host).map_err(|why| why.to_string())?;
    let config = tls::client(tls).map_err(|why| why.to_string())?;
    let stream = TlsConnector::from(Arc::new(config)).connect(name, stream).await.map_err(|error| error.to_string())?;
    ask(url, stream).await
}

async fn ask(url: &Url, stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static) -> Result<u16, String> {
    let host = url.host_str().unwrap_or_default();
    let port = url.port_or_known_default().unwrap_or(80);
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(|error| error.to_string())?;
    // Ends with the runtime of this command.
    tokio::spawn(connection);
    let request = Request::get(url.path())
        .header("Host", format!("{host}:{port}"))
        .header("User-Agent", concat!("worker-exporter/", env!("CARGO_PKG_VERSION")))
        .body(Empty::<Bytes>::new())
        .map_err(|error| error.to_string())?;
    let answer = sender.send_request(request).await.map_err(|error| error.to_string())?;
    Ok(answer.status().as_u16())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

    use super::*;

    #[test]
    fn the_path_of_readiness_is_appended_once() {
        for (given, asked) in [
            ("http://127.0.0.1:10860", "http://127.0.0.1:10860/-/ready"),
            ("http://h:1/", "http://h:1/-/ready"),
            ("https://h:1/", "https://h:1/-/ready"),
            ("http://h:1/workers/", "http://h:1/workers/-/ready"),
            ("http://h:1/workers/-/ready", "http://h:1/workers/-/ready"),
        ] {
            assert_eq!(ready_url(&given.parse().unwrap()).unwrap().as_str(), asked);
        }
    }

    #[test]
    fn another_scheme_is_bad_usage() {
        assert!(matches!(ready_url(&"ftp://h:1".parse().unwrap()), Err(Failed::Usage(_))));
    }
}
