//! `healthcheck`: asks a running exporter whether it is ready.

use std::time::Duration;

use bytes::Bytes;
use clap::Args;
use http_body_util::Empty;
use hyper::Request;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use url::Url;

use super::{Failed, runtime, say};

/// Orchestrators wait no longer for such a check by default.
const DEADLINE: Duration = Duration::from_secs(3);

#[derive(Clone, Debug, Args)]
pub(super) struct HealthcheckFlags {
    /// Where the exporter is, with its route prefix if it has one.
    #[arg(long, env = "WORKER_EXPORTER_URL", value_name = "URL", default_value = "http://127.0.0.1:10860")]
    url: Url,
}

pub(super) fn run(flags: &HealthcheckFlags) -> Result<(), Failed> {
    let url = ready_url(&flags.url)?;
    let asked = runtime()?.block_on(async { tokio::time::timeout(DEADLINE, ask(&url)).await });
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
    if base.scheme() != "http" || base.host_str().is_none() {
        return Err(Failed::Usage(format!("--url {base} cannot be used\n  hint: write http://host:port")));
    }
    let mut url = base.clone();
    let path = url.path().trim_end_matches('/').trim_end_matches("/-/ready").to_owned();
    url.set_path(&format!("{path}/-/ready"));
    url.set_query(None);
    url.set_fragment(None);
    Ok(url)
}

async fn ask(url: &Url) -> Result<u16, String> {
    let host = url.host_str().unwrap_or_default();
    let port = url.port_or_known_default().unwrap_or(80);
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    let stream = TcpStream::connect((bare, port)).await.map_err(|error| error.to_string())?;
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
            ("http://h:1/workers/", "http://h:1/workers/-/ready"),
            ("http://h:1/workers/-/ready", "http://h:1/workers/-/ready"),
        ] {
            assert_eq!(ready_url(&given.parse().unwrap()).unwrap().as_str(), asked);
        }
    }

    #[test]
    fn another_scheme_is_bad_usage() {
        assert!(matches!(ready_url(&"https://h:1".parse().unwrap()), Err(Failed::Usage(_))));
    }
}
