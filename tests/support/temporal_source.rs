//! The Temporal source as the program makes it, for one test.

use std::time::Duration;

use worker_exporter::config::{self, Detail};
use worker_exporter::observe::temporal::TemporalSource;

pub(crate) fn source(settings: &config::TemporalSource, timeout: Duration) -> TemporalSource {
    let source = config::Source {
        name: "temporal".into(),
        fleet: None,
        timeout,
        minimum_interval: Duration::from_secs(2),
        maximum_interval: Duration::from_secs(30),
        match_host_pid: false,
        detail: Detail::Temporal(settings.clone()),
    };
    TemporalSource::connect(&source, settings)
}
