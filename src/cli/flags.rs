//! The flags that several commands share, and what becomes of them.

use std::path::PathBuf;

use clap::{ArgAction, Args};
use url::Url;
use verdict::read::worker_metrics::Series;

use super::{Failed, address};
use crate::config::WebSettings;
use crate::door::Door;
use crate::logging::{Format, Level};

/// Where the configuration is.
#[derive(Clone, Debug, Default, Args)]
pub(super) struct ConfigFlags {
    /// Configuration file. Without one, what the TEMPORAL_* environment points at is watched.
    #[arg(long = "config.file", env = "WORKER_EXPORTER_CONFIG_FILE", value_name = "FILE")]
    pub(super) file: Option<PathBuf>,
}

/// Our own log.
#[derive(Clone, Copy, Debug, Args)]
pub(super) struct LogFlags {
    /// What is logged, to standard error.
    #[arg(long = "log.level", env = "WORKER_EXPORTER_LOG_LEVEL", value_enum, default_value = "info")]
    pub(super) level: Level,
    /// How it is written.
    #[arg(long = "log.format", env = "WORKER_EXPORTER_LOG_FORMAT", value_enum, default_value = "logfmt")]
    pub(super) format: Format,
}

/// Our own web server.
#[derive(Clone, Debug, Args)]
pub(super) struct WebFlags {
    /// Address to listen on: `:PORT`, `host:port` or `[::1]:port`. Can be repeated.
    #[arg(
        long = "web.listen-address",
        env = "WORKER_EXPORTER_WEB_LISTEN_ADDRESS",
        value_name = "ADDRESS",
        value_delimiter = ',',
        action = ArgAction::Append
    )]
    pub(super) listen_address: Vec<String>,
    /// Path of the metrics.
    #[arg(
        long = "web.telemetry-path",
        env = "WORKER_EXPORTER_WEB_TELEMETRY_PATH",
        value_name = "PATH",
        default_value = "/metrics"
    )]
    telemetry_path: String,
    /// File with TLS, users and the rate limit of the listeners, in the format that Prometheus' exporters share.
    #[arg(long = "web.config.file", env = "WORKER_EXPORTER_WEB_CONFIG_FILE", value_name = "FILE")]
    config_file: Option<PathBuf>,
    /// The URL under which the world reaches this program, for links.
    #[arg(long = "web.external-url", env = "WORKER_EXPORTER_WEB_EXTERNAL_URL", value_name = "URL")]
    external_url: Option<Url>,
    /// Prefix of every path; by default the path of the external URL.
    #[arg(long = "web.route-prefix", env = "WORKER_EXPORTER_WEB_ROUTE_PREFIX", value_name = "PREFIX")]
    route_prefix: Option<String>,
    /// Allow `POST /-/reload`.
    #[arg(
        long = "web.enable-lifecycle",
        env = "WORKER_EXPORTER_WEB_ENABLE_LIFECYCLE",
        value_parser = clap::builder::FalseyValueParser::new()
    )]
    enable_lifecycle: bool,
}

impl WebFlags {
    /// The way in.
    pub(super) fn door(&self) -> Result<Door, Failed> {
        let Some(file) = &self.config_file else { return Ok(Door::open()) };
        Door::load(file).map_err(|mistakes| {
            let (count, noun) =
                (mistakes.list().len(), if mistakes.list().len() == 1 { "mistake" } else { "mistakes" });
            Failed::Usage(format!("the web configuration has {count} {noun}\n{mistakes}"))
        })
    }

    /// Checked and filled in. `default_listen` is what is listened on when nothing is said.
    pub(super) fn settings(&self, default_listen: &str) -> Result<WebSettings, Failed> {
        let written: Vec<&str> = if self.listen_address.is_empty() {
            vec![default_listen]
        } else {
            self.listen_address.iter().map(String::as_str).collect()
        };
        let mut listen = Vec::with_capacity(written.len());
        for text in written {
            let address = address::parse(text).map_err(Failed::Usage)?;
            if !listen.contains(&address) {
                listen.push(address);
            }
        }
        if !self.telemetry_path.starts_with('/') || self.telemetry_path.len() < 2 {
            return Err(Failed::Usage(format!(
                "--web.telemetry-path is {:?}\n  hint: write a path that begins with a slash and is not the page itself, such as /metrics",
                self.telemetry_path
            )));
        }
        let prefix = match (&self.route_prefix, &self.external_url) {
            (Some(prefix), _) => prefix.as_str(),
            (None, Some(url)) => url.path(),
            (None, None) => "",
        };
        let prefix = prefix.trim_matches('/');
        Ok(WebSettings {
            listen,
            telemetry_path: self.telemetry_path.clone(),
            external_url: self.external_url.clone(),
            route_prefix: if prefix.is_empty() { String::new() } else { format!("/{prefix}") },
            enable_lifecycle: self.enable_lifecycle,
        })
    }
}

/// Which samples are meant.
pub(super) fn series(text: &str) -> Result<Series, &'static str> {
    Series::parse(text).map_err(|_| "write a name, such as jobs_total, or one with labels: jobs_total{queue=\"mail\"}")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Line {
        #[command(flatten)]
        web: WebFlags,
    }

    fn settings(line: &str) -> Result<WebSettings, Failed> {
        let words = std::iter::once("worker-exporter").chain(line.split_whitespace());
        Line::try_parse_from(words).unwrap().web.settings(":10860")
    }

    #[test]
    fn the_default_is_every_address_of_the_machine() {
        let web = settings("").unwrap();
        assert_eq!(web.listen, ["[::]:10860".parse().unwrap()]);
        assert_eq!(web.telemetry_path, "/metrics");
        assert_eq!(web.route_prefix, "");
        assert!(!web.enable_lifecycle);
    }

    #[test]
    fn the_prefix_is_the_path_of_the_external_url_unless_it_is_given() {
        assert_eq!(settings("--web.external-url=https://example.org/workers/").unwrap().route_prefix, "/workers");
        let both = settings("--web.external-url=https://example.org/workers --web.route-prefix=/").unwrap();
        assert_eq!(both.route_prefix, "");
        assert_eq!(settings("--web.route-prefix=a/b/").unwrap().route_prefix, "/a/b");
    }

    #[test]
    fn the_same_address_twice_is_opened_once() {
        assert_eq!(settings("--web.listen-address=:1 --web.listen-address=[::]:1").unwrap().listen.len(), 1);
    }

    #[test]
    fn a_telemetry_path_without_a_slash_is_bad_usage() {
        assert!(matches!(settings("--web.telemetry-path=metrics"), Err(Failed::Usage(_))));
        assert!(matches!(settings("--web.telemetry-path=/"), Err(Failed::Usage(_))));
    }
}
