//! The source of heartbeats, as a test makes and asks it.

#![allow(clippy::panic, reason = "a test fails by panicking")]
#![allow(dead_code, reason = "each test uses its part")]

use std::time::Duration;

use verdict::evidence::{Listing, Observation, Report, Scope};
use verdict::words::Failure;
use worker_exporter::config::{self, Detail, Tls};
use worker_exporter::observe::Observe;
use worker_exporter::observe::redis::RedisSource;

/// What a configuration says, with everything at its plainest.
pub(crate) fn plain(url: url::Url) -> config::RedisSource {
    config::RedisSource {
        url,
        username: None,
        password: None,
        pattern: "worker:{id}:heartbeat".to_owned(),
        tls: Tls::default(),
    }
}

/// A source of these particulars, with this deadline.
pub(crate) fn source_of(redis: config::RedisSource, timeout: Duration) -> RedisSource {
    let source = config::Source {
        name: "beats".into(),
        fleet: Some("mail".into()),
        timeout,
        minimum_interval: Duration::from_secs(2),
        maximum_interval: Duration::from_secs(30),
        match_host_pid: true,
        detail: Detail::Redis(redis.clone()),
    };
    RedisSource::new(&source, &redis)
}

/// A source of these particulars.
pub(crate) fn source(redis: config::RedisSource) -> RedisSource {
    source_of(redis, Duration::from_secs(20))
}

/// One look at all heartbeats.
pub(crate) async fn look(source: &RedisSource) -> Result<Listing, Failure> {
    match source.look(&Scope::Listing).await? {
        Report::Listing(listing) => Ok(listing),
        other => panic!("not a listing: {other:?}"),
    }
}

/// The record of this worker.
pub(crate) fn worker<'l>(listing: &'l Listing, id: &str) -> &'l Observation {
    let found = listing.records.iter().find(|record| &*record.slot.key.worker == id);
    found.unwrap_or_else(|| panic!("no worker {id:?} in {:?}", listing.records))
}
