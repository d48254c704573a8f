//! What a real redis-server goes through: it loads, fails over, loses its cluster, sleeps, runs out of memory, holds a
//! million keys and huge values; and what the log says of it.
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
async fn of_a_value_of_512_mib_hardly_more_than_is_allowed_is_fetched() {
    let Some(server) = RedisServer::start(&[]) else { return };
    // The largest that Redis takes: half a gigabyte of memory, in the server alone and as long as this test lasts.
    server.run::<u64, _>("SETRANGE", &["worker:vast:heartbeat", "536870911", "x"]);
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

/// What the log says of the state of Redis.
fn told(log: &log::Log) -> Vec<String> {
    let about = |line: &&str| line.contains("Redis could not be read") || line.contains("Redis is read again");
    log.text().lines().filter(about).map(str::to_owned).collect()
}

#[tokio::test]
async fn a_server_that_sleeps_is_said_once_and_so_is_its_return_while_another_is_read_as_ever() {
    let Some(server) = RedisServer::start(&["--enable-debug-command", "yes"]) else { return };
    let Some(other) = RedisServer::start(&[]) else { return };
    for server in [&server, &other] {
        server.set("worker:a:heartbeat", "1", &[]);
    }
    let log = log::Log::default();
    let _guard = log.listen();
    let (asleep, well) = (source_of(plain(server.url(0)), Duration::from_millis(400)), source(plain(other.url(0))));
    look(&asleep).await.unwrap();
    let client = redis::Client::open(server.url(0).as_str()).unwrap();
    let sleeping = std::thread::spawn(move || {
        let mut connection = client.get_connection().unwrap();
        redis::cmd("DEBUG").arg("SLEEP").arg("2.5").query::<()>(&mut connection).unwrap();
    });
    until(&asleep, "asleep", |answer| matches!(answer, Err(Failure::Timeout))).await;
    for _ in 0..2 {
        assert_eq!(look(&asleep).await.unwrap_err(), Failure::Timeout);
        worker(&look(&well).await.unwrap(), "a");
    }
    sleeping.join().unwrap();
    until(&asleep, "awake", Result::is_ok).await;
    look(&asleep).await.unwrap();
    let told = told(&log);
    assert_eq!(told.len(), 2, "{told:#?}");
    assert!(told[0].contains("WARN") && told[0].contains("reason=\"timeout\""), "{told:#?}");
    assert!(told[1].contains("INFO") && told[1].contains("source=\"beats\""), "{told:#?}");
}

#[tokio::test]
async fn each_way_to_refuse_us_is_one_line_with_its_word_and_no_secret_while_another_is_read_as_ever() {
    let Some(well) = RedisServer::start(&[]) else { return };
    well.set("worker:a:heartbeat", "1", &[]);
    well.run::<(), _>("ACL", &["SETUSER", "blind", "on", ">s3cret", "~*", "+ping", "+info"]);
    let Some(locked) = RedisServer::start(&["--requirepass", "right"]) else { return };
    let dead = server::free_port();
    let secret = || Some(Secret::held("s3cret"));
    let nowhere: url::Url = format!("redis://127.0.0.1:{dead}").parse().unwrap();
    let blind = Some("blind".to_owned());
    let other = source(plain(well.url(0)));
    for (server, failure) in [
        (plain(nowhere), Failure::Refused),
        (plain("redis://no-such-host.invalid:6379".parse().unwrap()), Failure::Dns),
        (config::RedisServer { password: secret(), ..plain(locked.url(0)) }, Failure::Unauthenticated),
        (config::RedisServer { username: blind, password: secret(), ..plain(well.url(0)) }, Failure::PermissionDenied),
        (plain(well.url(99)), Failure::NotFound),
    ] {
        let log = log::Log::default();
        let _guard = log.listen();
        let bad = source(server);
        for _ in 0..3 {
            assert_eq!(look(&bad).await.unwrap_err(), failure);
            worker(&look(&other).await.unwrap(), "a");
        }
        let told = told(&log);
        assert_eq!(told.len(), 1, "{failure}: {told:#?}");
        let word = format!("reason=\"{}\"", failure.word());
        assert!(told[0].contains("WARN") && told[0].contains(&word), "{failure}: {told:#?}");
        assert!(!log.text().contains("s3cret"), "{}", log.text());
    }
}

#[tokio::test]
async fn a_server_without_memory_is_read_and_a_heartbeat_that_it_evicts_is_back_with_the_next_beat() {
    let Some(server) = RedisServer::start(&[]) else { return };
    server.set("worker:a:heartbeat", "1", &["EX", "600"]);
    server.set("worker:kept:heartbeat", "1", &[]);
    let source = source(plain(server.url(0)));
    look(&source).await.unwrap();
    let set = |name: &str, value: &str| server.run::<(), _>("CONFIG", &["SET", name, value]);
    // Nothing may be written any more, and reading goes on.
    set("maxmemory", "1");
    worker(&look(&source).await.unwrap(), "a");
    // Whatever can expire is thrown out for what is to be written.
    set("maxmemory-policy", "volatile-lru");
    let client = redis::Client::open(server.url(0).as_str()).unwrap();
    let refused: redis::RedisResult<()> =
        redis::cmd("SET").arg("x").arg("y").query(&mut client.get_connection().unwrap());
    assert_eq!(refused.unwrap_err().code(), Some("OOM"));
    assert!(figure(&server, "stats", "evicted_keys") >= 1);
    let listing = look(&source).await.unwrap();
    assert_eq!((listing.records.len(), listing.reset), (1, false), "the others stand");
    set("maxmemory", "0");
    server.set("worker:a:heartbeat", "2", &["EX", "600"]);
    worker(&look(&source).await.unwrap(), "a");
}
