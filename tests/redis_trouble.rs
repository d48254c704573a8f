//! What a real redis-server goes through: it loads, fails over, loses its cluster, holds a million keys and huge values.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]
#![allow(clippy::print_stderr, reason = "a skip must be seen")]

#[path = "support/beats.rs"]
mod beats;
#[path = "support/log.rs"]
mod log;
#[path = "support/redis.rs"]
mod server;

use std::time::{Duration, Instant};

use beats::{look, plain, source, source_of, worker};
use server::RedisServer;
use verdict::evidence::Listing;
use verdict::words::Failure;
use worker_exporter::config::{self, Secret, Tls};
use worker_exporter::observe::redis::RedisSource;

/// Looks until it answers like this.
async fn until(source: &RedisSource, what: &str, is: impl Fn(&Result<Listing, Failure>) -> bool) -> Listing {
    let give_up = Instant::now() + Duration::from_secs(30);
    loop {
        let answer = look(source).await;
        if is(&answer) {
            return answer.unwrap_or_default();
        }
        assert!(Instant::now() < give_up, "not {what}, but {:?}", answer.map(|listing| listing.records.len()));
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// A figure of INFO.
fn figure(server: &RedisServer, section: &str, name: &str) -> u64 {
    let text: String = server.run("INFO", &[section]);
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':')).expect("INFO has it");
    line.trim().parse().unwrap()
}

#[tokio::test]
async fn a_server_that_loads_its_data_says_so_and_is_read_when_it_is_done() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path().display().to_string();
    // A millisecond for each key, and the server answers in between: seconds of loading from a small file.
    let Some(mut server) = RedisServer::start(&[
        "--dir",
        &folder,
        "--dbfilename",
        "dump.rdb",
        "--enable-debug-command",
        "yes",
        "--key-load-delay",
        "1000",
        "--loading-process-events-interval-bytes",
        "1024",
    ]) else {
        return;
    };
    server.set("worker:a:heartbeat", "1", &[]);
    server.run::<(), _>("DEBUG", &["POPULATE", "1500"]);
    server.run::<(), &str>("SAVE", &[]);
    let source = source(plain(server.url(0)));
    look(&source).await.unwrap();
    server.restart();
    // The standing connection broke with the old server.
    until(&source, "loading", |answer| matches!(answer, Err(Failure::Loading))).await;
    let listing = until(&source, "loaded", Result::is_ok).await;
    assert_eq!((listing.records.len(), listing.reset), (1, true), "it may have lost what was written last");
}

#[tokio::test]
async fn after_a_failover_a_replica_is_read_while_its_master_lives_and_no_longer() {
    let Some(mut master) = RedisServer::start(&["--requirepass", "pw"]) else { return };
    let Some(server) = RedisServer::start(&["--masterauth", "pw", "--repl-timeout", "2"]) else { return };
    server.set("worker:a:heartbeat", "1", &[]);
    let source = source(plain(server.url(0)));
    look(&source).await.unwrap();
    // Demoted behind our back, by whoever rules the failover. Its data is replaced by the new master's.
    let master_port = master.port.to_string();
    server.run::<(), _>("REPLICAOF", &["127.0.0.1", &master_port]);
    let listing = until(&source, "synchronised", Result::is_ok).await;
    assert!(listing.records.is_empty(), "the new master has no heartbeats yet");
    let written: redis::RedisResult<()> = {
        let client = redis::Client::open(server.url(0).as_str()).unwrap();
        redis::cmd("SET").arg("worker:a:heartbeat").arg("2").query(&mut client.get_connection().unwrap())
    };
    assert_eq!(written.unwrap_err().code(), Some("READONLY"), "it is one that only reads now");
    // Its heartbeats no longer move, and it says nothing of that unless it is asked.
    master.kill();
    until(&source, "cut off", |answer| matches!(answer, Err(Failure::ReadOnly))).await;
    server.run::<(), _>("REPLICAOF", &["NO", "ONE"]);
    look(&source).await.expect("promoted, it is asked again");
}

#[tokio::test]
async fn a_cluster_that_serves_no_slots_is_down_even_where_it_lists_an_empty_database() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path().display().to_string();
    let Some(server) = RedisServer::start(&["--cluster-enabled", "yes", "--dir", &folder]) else { return };
    let source = source(plain(server.url(0)));
    assert_eq!(look(&source).await.unwrap_err(), Failure::ClusterDown);
    server.run::<(), _>("CLUSTER", &["ADDSLOTSRANGE", "0", "16383"]);
    until(&source, "up", Result::is_ok).await;
    server.set("worker:a:heartbeat", "1", &[]);
    worker(&look(&source).await.unwrap(), "a");
    server.run::<(), _>("CLUSTER", &["DELSLOTSRANGE", "0", "16383"]);
    until(&source, "down", |answer| matches!(answer, Err(Failure::ClusterDown))).await;

    // Who may not ask after the cluster is told by the keys, where there are any.
    server.run::<(), _>("ACL", &["SETUSER", "few", "on", ">pw", "~*", "+scan", "+getrange", "+pttl", "+info"]);
    let (username, password) = (Some("few".to_owned()), Some(Secret::held("pw")));
    let few = beats::source(config::RedisServer { username, password, ..plain(server.url(0)) });
    assert_eq!(look(&few).await.unwrap_err(), Failure::ClusterDown);
}

#[tokio::test]
async fn rights_that_are_taken_away_fail_the_look_and_given_back_are_used() {
    let Some(server) = RedisServer::start(&[]) else { return };
    server.set("worker:a:heartbeat", "1", &[]);
    let acl = |rules: &[&str]| server.run::<(), _>("ACL", &[&["SETUSER", "exporter"], rules].concat());
    acl(&["on", ">pw", "~worker:*", "+scan", "+getrange", "+pttl", "+info"]);
    let (username, password) = (Some("exporter".to_owned()), Some(Secret::held("pw")));
    let source = source(config::RedisServer { username, password, ..plain(server.url(0)) });
    worker(&look(&source).await.unwrap(), "a");
    for (taken, given) in [("-scan", "+scan"), ("-getrange", "+getrange"), ("resetkeys", "~worker:*")] {
        acl(&[taken]);
        assert_eq!(look(&source).await.unwrap_err(), Failure::PermissionDenied, "{taken}");
        acl(&[given]);
        assert!(!look(&source).await.unwrap().reset, "{given}");
    }
    // A user who is deleted is thrown out.
    server.run::<i64, _>("ACL", &["DELUSER", "exporter"]);
    until(&source, "refused", |answer| matches!(answer, Err(Failure::Unauthenticated))).await;
}

#[tokio::test]
async fn fifty_heartbeats_among_a_million_keys_are_found_without_stopping_the_server() {
    let Some(server) = RedisServer::start(&["--enable-debug-command", "yes"]) else { return };
    server.run::<(), _>("DEBUG", &["POPULATE", "1000000", "cache", "8"]);
    for id in 0..50 {
        server.set(format!("worker:{id}:heartbeat"), "1764000000", &["EX", "600"]);
    }
    // Slower than this in the server itself is written down by it, in microseconds.
    server.run::<(), _>("CONFIG", &["SET", "slowlog-log-slower-than", "50000"]);
    server.run::<(), _>("SLOWLOG", &["RESET"]);
    let before = Instant::now();
    let listing = look(&source(plain(server.url(0)))).await.unwrap();
    eprintln!("a walk over a million keys took {:?}", before.elapsed());
    assert_eq!((listing.records.len(), listing.unreadable.len()), (50, 0));
    let slow: redis::Value = server.run("SLOWLOG", &["GET"]);
    assert_eq!(slow, redis::Value::Array(Vec::new()), "no command kept the others waiting");
    let calls: String = server.run("INFO", &["commandstats"]);
    assert!(calls.contains("cmdstat_scan:calls=100") && !calls.contains("cmdstat_keys:"), "{calls}");

    let everything = beats::patterned("cache:{id}", plain(server.url(0)), Duration::from_secs(20));
    assert_eq!(look(&everything).await.unwrap_err(), Failure::Paging, "a million workers are none");
}

#[tokio::test]
async fn a_walk_that_takes_longer_than_its_deadline_is_given_up_at_it() {
    let Some(server) = RedisServer::start(&["--enable-debug-command", "yes"]) else { return };
    server.run::<(), _>("DEBUG", &["POPULATE", "200000", "cache", "8"]);
    let hurried = source_of(plain(server.url(0)), Duration::from_millis(10));
    let before = Instant::now();
    assert_eq!(look(&hurried).await.unwrap_err(), Failure::Timeout);
    assert!(before.elapsed() < Duration::from_secs(2), "{:?}", before.elapsed());
}

#[tokio::test]
async fn of_a_value_of_64_mib_hardly_more_than_is_allowed_is_fetched() {
    let Some(server) = RedisServer::start(&[]) else { return };
    server.run::<u64, _>("SETRANGE", &["worker:vast:heartbeat", "67108863", "x"]);
    server.set("worker:good:heartbeat", "1764000000", &[]);
    let before = figure(&server, "stats", "total_net_output_bytes");
    let listing = look(&source(plain(server.url(0)))).await.unwrap();
    let sent = figure(&server, "stats", "total_net_output_bytes") - before;
    assert_eq!(&*listing.unreadable, [("worker:vast:heartbeat".into(), Failure::BodyTooLarge)]);
    worker(&listing, "good");
    assert!(sent < 256 * 1024, "{sent} bytes were sent for a value that is not read");
}

#[tokio::test]
async fn a_source_that_verifies_nothing_says_so_once_when_it_is_loaded() {
    let log = log::Log::default();
    let _guard = log.listen();
    let url: url::Url = "rediss://127.0.0.1:1".parse().unwrap();
    source(config::RedisServer { tls: Tls { insecure_skip_verify: true, ..Tls::default() }, ..plain(url.clone()) });
    source(plain(url));
    let said: Vec<_> =
        log.text().lines().filter(|line| line.contains("insecure_skip_verify")).map(str::to_owned).collect();
    assert!(matches!(&said[..], [line] if line.contains("WARN") && line.contains("beats")), "{said:?}");
}
