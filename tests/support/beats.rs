//! The source of heartbeats, as a test makes and asks it.

#![allow(clippy::panic, reason = "a test fails by panicking")]
#![allow(dead_code, reason = "each test uses its part")]

use std::time::Duration;

use verdict::evidence::{Listing, Observation, Report, Scope};
use verdict::words::Failure;
use worker_exporter::config::{self, Detail};
use worker_exporter::observe::Observe;
use worker_exporter::observe::redis::RedisSource;

/// What a configuration says of the server, with everything at its plainest.
pub(crate) fn plain(url: url::Url) -> config::RedisServer {
    config::RedisServer::at(url)
}

/// Heartbeats under this pattern, with this deadline.
pub(crate) fn patterned(pattern: &str, server: config::RedisServer, timeout: Duration) -> RedisSource {
    let redis = config::RedisSource { server, pattern: pattern.to_owned() };
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

/// Heartbeats under the pattern that a configuration means that names none, with this deadline.
pub(crate) fn source_of(server: config::RedisServer, timeout: Duration) -> RedisSource {
    patterned("worker:{id}:heartbeat", server, timeout)
}

/// The same, with time enough.
pub(crate) fn source(server: config::RedisServer) -> RedisSource {
    source_of(server, Duration::from_secs(20))
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
