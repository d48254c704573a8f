//! Configurations for the tests of `app`: HTTP workers at a port where nothing listens, so that a look ends at once.

use std::sync::Arc;
use std::time::Duration;

use verdict::rules::{Rulebook, SourceRules};
use verdict::words::SourceKind;

use crate::config::{Detail, HttpSource, HttpTarget, Settings, Source, WebSettings};

/// One worker for each source.
pub(super) fn settings(sources: &[&str]) -> Settings {
    let rules = |name: &&str| SourceRules {
        name: Arc::from(*name),
        kind: SourceKind::Http,
        namespace: "".into(),
        minimum_interval: Duration::from_secs(1),
        maximum_interval: Duration::from_secs(30),
        watch: Vec::new(),
    };
    Settings {
        rulebook: Arc::new(Rulebook { sources: sources.iter().map(rules).collect(), ..Rulebook::default() }),
        sources: sources.iter().map(|name| source(name)).collect(),
        concurrency: 8,
        shown: String::new(),
    }
}

fn source(name: &str) -> Source {
    let target = HttpTarget {
        id: "w-1".into(),
        fleet: name.into(),
        // The discard port: nothing listens there on a machine of this century.
        url: "http://127.0.0.1:9/health".parse().unwrap(),
        access: None,
    };
    Source {
        name: name.into(),
        fleet: None,
        timeout: Duration::from_secs(1),
        minimum_interval: Duration::from_secs(1),
        maximum_interval: Duration::from_secs(30),
        match_host_pid: false,
        detail: Detail::Http(HttpSource::of(vec![target])),
    }
}

/// Any free port of loopback.
pub(super) fn web() -> WebSettings {
    WebSettings {
        listen: vec!["127.0.0.1:0".parse().unwrap()],
        telemetry_path: "/metrics".into(),
        external_url: None,
        route_prefix: String::new(),
        enable_lifecycle: true,
    }
}
