//! What the log says of a broker of Celery that fails: once per change. Every test here listens to the log, so that none
//! decides for another that nobody does.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]
#![allow(clippy::print_stderr, reason = "a skip must be seen")]

#[path = "support/log.rs"]
mod log;
#[path = "support/redis.rs"]
mod server;

use std::time::{Duration, Instant};

use server::{RedisServer, free_port};
use verdict::evidence::{Listing, Report, Scope};
use verdict::words::Failure;
use worker_exporter::config::{self, Detail, Secret};
use worker_exporter::observe::Observe;
use worker_exporter::observe::redis::celery::CelerySource;

fn source(celery: config::CelerySource) -> CelerySource {
    let source = config::Source {
        name: "mail".into(),
        fleet: None,
        // The first look listens for half of it.
        timeout: Duration::from_secs(1),
        minimum_interval: Duration::from_secs(2),
        maximum_interval: Duration::from_secs(30),
        match_host_pid: true,
        detail: Detail::Celery(celery.clone()),
    };
    CelerySource::new(&source, &celery)
}

fn plain(server: &RedisServer) -> config::CelerySource {
    config::CelerySource::at(server.url(0))
}

async fn look(source: &CelerySource) -> Result<Listing, Failure> {
    match source.look(&Scope::Listing).await? {
        Report::Listing(listing) => Ok(listing),
        other => panic!("not a listing: {other:?}"),
    }
}

/// Looks until it answers like this.
async fn until(source: &CelerySource, what: &str, is: impl Fn(&Result<Listing, Failure>) -> bool) -> Listing {
    let give_up = Instant::now() + Duration::from_secs(30);
    loop {
        let answer = look(source).await;
        if is(&answer) {
            return answer.unwrap_or_default();
        }
        assert!(Instant::now() < give_up, "not {what}, but {answer:?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// What the log says of the state of the broker.
fn told(log: &log::Log) -> Vec<String> {
    let about = |line: &&str| line.contains("Redis could not be read") || line.contains("Redis is read again");
    log.text().lines().filter(about).map(str::to_owned).collect()
}

#[tokio::test]
async fn a_broker_that_is_away_for_many_looks_is_said_once_and_so_is_its_return() {
    let Some(mut server) = RedisServer::start(&[]) else { return };
    let log = log::Log::default();
    let _guard = log.listen();
    let source = source(plain(&server));
    look(&source).await.unwrap();
    server.kill();
    until(&source, "refused", |answer| matches!(answer, Err(Failure::Refused))).await;
    let before = Instant::now();
    // Through several attempts and the pauses between them.
    while before.elapsed() < Duration::from_secs(5) {
        assert_eq!(look(&source).await.unwrap_err(), Failure::Refused);
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let lines = told(&log);
    assert_eq!(lines.iter().filter(|line| line.contains("reason=\"refused\"")).count(), 1, "{lines:#?}");
    server.restart();
    until(&source, "back", Result::is_ok).await;
    assert_eq!(told(&log).len(), lines.len() + 1, "{:#?}", told(&log));
}

#[tokio::test]
async fn a_sentinel_that_is_taken_for_the_broker_says_what_address_to_give_instead() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("sentinel.conf");
    std::fs::write(&file, format!("sentinel monitor jobs 127.0.0.1 {} 1\n", free_port())).unwrap();
    let Some(sentinel) = RedisServer::start_with(file.to_str(), &["--sentinel"]) else { return };
    for password in [None, Some(Secret::held("of the master"))] {
        let log = log::Log::default();
        let _guard = log.listen();
        let mut celery = plain(&sentinel);
        celery.server.password = password;
        let source = source(celery);
        for _ in 0..3 {
            assert_eq!(look(&source).await.unwrap_err(), Failure::Unimplemented);
        }
        let lines = told(&log);
        assert!(matches!(&lines[..], [line] if line.contains("this is a Sentinel")), "{lines:#?}");
    }
}
