//! Redis heartbeats, read from a real redis-server.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]
#![allow(clippy::print_stderr, reason = "a skip must be seen")]

#[path = "support/beats.rs"]
mod beats;
#[path = "support/redis.rs"]
mod server;

use std::collections::HashSet;
use std::io::{Read, Write};
use std::process::Command;
use std::time::{Duration, Instant};

use beats::{look, patterned, plain, source, source_of, worker};
use server::{RedisServer, free_port};
use verdict::evidence::Listing;
use verdict::time::WallTime;
use verdict::words::Failure;
use worker_exporter::config::{self, Secret, Tls};

#[tokio::test]
async fn twenty_thousand_heartbeats_among_as_many_other_keys_are_each_seen_once() {
    let Some(server) = RedisServer::start(&[]) else { return };
    let script = "for i = 1, 20000 do \
                    redis.call('SET', 'worker:' .. i .. ':heartbeat', '1764000000', 'EX', 600) \
                    redis.call('SET', 'cache:' .. i, 'x') \
                  end return 1";
    server.run::<i64, _>("EVAL", &[script, "0"]);
    let listing = look(&source(plain(server.url(0)))).await.unwrap();
    let names: HashSet<_> = listing.records.iter().map(|record| record.record.clone()).collect();
    assert_eq!((listing.records.len(), names.len(), listing.unreadable.len()), (20_000, 20_000, 0));
    let calls: String = server.run("INFO", &["commandstats"]);
    assert!(calls.contains("cmdstat_scan:") && !calls.contains("cmdstat_keys:"), "{calls}");
}

#[tokio::test]
async fn epoch_iso_and_json_heartbeats_carry_the_workers_own_stamp() {
    let Some(server) = RedisServer::start(&[]) else { return };
    server.set("worker:epoch:heartbeat", "1764000000.5", &[]);
    server.set("worker:iso:heartbeat", "2025-11-24T16:00:00.5+00:00", &[]);
    let json = r#"{"timestamp":1764000000500,"status":"draining","host":"a1","pid":7,"interval":10,"queue":"mail"}"#;
    server.set("worker:json:heartbeat", json, &[]);
    server.set("worker:odd:heartbeat", "alive!", &[]);
    let listing = look(&source(plain(server.url(0)))).await.unwrap();
    for id in ["epoch", "iso", "json"] {
        let stamp = worker(&listing, id).beat.unwrap().stamp;
        assert_eq!(stamp, Some(WallTime::from_micros(1_764_000_000_500_000)), "{id}");
    }
    let json = worker(&listing, "json");
    assert!(json.says.goodbye);
    assert_eq!(json.beat.unwrap().declared, Some(Duration::from_secs(10)));
    assert_eq!(json.alias.as_deref(), Some("a1/7"));
    assert_eq!((&*json.slot.key.fleet, &*json.record), ("mail", "worker:json:heartbeat"));
    let odd = worker(&listing, "odd").beat.unwrap();
    assert!(odd.stamp.is_none() && odd.mark.is_some());
}

#[tokio::test]
async fn a_record_tells_when_it_would_expire_so_that_a_deletion_is_told_from_silence() {
    let Some(server) = RedisServer::start(&[]) else { return };
    server.set("worker:mortal:heartbeat", "1", &["EX", "60"]);
    server.set("worker:brief:heartbeat", "1", &["PX", "300"]);
    server.set("worker:ghost:heartbeat", "1", &[]);
    let source = source(plain(server.url(0)));
    let listing = look(&source).await.unwrap();
    let left = worker(&listing, "mortal").expires_in.unwrap();
    assert!(left > Duration::from_secs(50) && left <= Duration::from_secs(60), "{left:?}");
    assert!(worker(&listing, "brief").expires_in.unwrap() <= Duration::from_millis(300));
    assert_eq!(worker(&listing, "ghost").expires_in, None);
    server.run::<i64, _>("DEL", &["worker:mortal:heartbeat"]);
    let give_up = Instant::now() + Duration::from_secs(10);
    loop {
        let listing = look(&source).await.unwrap();
        assert!(!listing.reset && !listing.records.iter().any(|r| &*r.slot.key.worker == "mortal"));
        if listing.records.len() == 1 {
            break;
        }
        assert!(Instant::now() < give_up, "the brief key does not expire");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test]
async fn a_constant_value_beats_by_its_expiry_and_only_when_it_is_written() {
    let Some(server) = RedisServer::start(&[]) else { return };
    server.set("worker:a:heartbeat", "1", &["EX", "30"]);
    server.set("worker:b:heartbeat", "1", &["EX", "30"]);
    let source = source(plain(server.url(0)));
    let mark = |listing: &Listing, id| worker(listing, id).beat.unwrap().mark;
    let before = look(&source).await.unwrap();
    let give_up = Instant::now() + Duration::from_secs(10);
    loop {
        server.set("worker:a:heartbeat", "1", &["EX", "30"]);
        let now = look(&source).await.unwrap();
        assert_eq!(mark(&before, "b"), mark(&now, "b"), "nobody wrote b");
        if mark(&before, "a") != mark(&now, "a") {
            break;
        }
        assert!(Instant::now() < give_up, "the new expiry of a was never seen");
        // The expiry moves by as much as has passed, less the doubt about clocks and answers.
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test]
async fn credentials_are_needed_checked_and_read_anew() {
    let Some(server) = RedisServer::start(&["--requirepass", "right"]) else { return };
    assert_eq!(look(&source(plain(server.url(0)))).await.unwrap_err(), Failure::Unauthenticated);
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), "wrong\n").unwrap();
    let password = Some(Secret::File(file.path().to_owned()));
    let source = source(config::RedisServer { password, ..plain(server.url(0)) });
    assert_eq!(look(&source).await.unwrap_err(), Failure::Unauthenticated);
    std::fs::write(file.path(), "right\n").unwrap();
    assert!(look(&source).await.unwrap().records.is_empty());
    assert!(!format!("{source:?}").contains("right"), "a secret is never printed");
    std::fs::remove_file(file.path()).unwrap();
    look(&source).await.expect("a standing connection needs no password");
}

#[tokio::test]
async fn a_user_without_rights_is_told_apart_from_one_who_lacks_only_info() {
    let Some(server) = RedisServer::start(&[]) else { return };
    server.set("worker:a:heartbeat", "1764000000", &[]);
    let database = |user: &str, rules: &[&str], db: u8| {
        let words = [&["SETUSER", user, "on", ">pw"], rules].concat();
        server.run::<(), _>("ACL", &words);
        let (username, password) = (Some(user.to_owned()), Some(Secret::held("pw")));
        source(config::RedisServer { username, password, ..plain(server.url(db)) })
    };
    let with = |user: &str, rules: &[&str]| database(user, rules, 0);
    let blind = with("blind", &["~*", "+ping", "+info"]);
    assert_eq!(look(&blind).await.unwrap_err(), Failure::PermissionDenied);
    let elsewhere = with("elsewhere", &["~other:*", "+scan", "+getrange", "+pttl"]);
    assert_eq!(look(&elsewhere).await.unwrap_err(), Failure::PermissionDenied);
    let enough = with("enough", &["~worker:*", "+scan", "+getrange", "+pttl"]);
    for _ in 0..2 {
        let listing = look(&enough).await.unwrap();
        assert_eq!((listing.records.len(), listing.reset), (1, false));
    }
    // The rights that docs/redis.md asks for, in another database.
    let documented = ["~worker:*", "+scan", "+getrange", "+pttl", "+info", "+select"];
    assert!(look(&database("documented", &documented, 2)).await.unwrap().records.is_empty());
    let denials: Vec<redis::Value> = server.run("ACL", &["LOG"]);
    assert!(format!("{denials:?}").contains("info"), "the one refused INFO is in the server's log: {denials:?}");
}

#[tokio::test]
async fn keys_of_another_kind_or_size_are_said_to_be_unreadable_and_the_others_stand() {
    let Some(server) = RedisServer::start(&[]) else { return };
    server.set("worker:good:heartbeat", "1764000000", &[]);
    server.run::<i64, _>("HSET", &["worker:hash:heartbeat", "last", "1764000000"]);
    server.set("worker:largest:heartbeat", vec![b'x'; 64 * 1024], &[]);
    server.set("worker:huge:heartbeat", vec![b'x'; 64 * 1024 + 1], &[]);
    server.set("worker:enormous:heartbeat", vec![b'x'; 20 << 20], &[]);
    server.set("worker::heartbeat", "1764000000", &[]);
    server.set("worker:empty:heartbeat", "", &[]);
    let listing = look(&source(plain(server.url(0)))).await.unwrap();
    let mut bad: Vec<_> = listing.unreadable.iter().map(|(key, failure)| (&**key, *failure)).collect();
    bad.sort_unstable();
    let expected = [
        ("worker::heartbeat", Failure::FieldInvalid),
        ("worker:enormous:heartbeat", Failure::BodyTooLarge),
        ("worker:hash:heartbeat", Failure::WrongType),
        ("worker:huge:heartbeat", Failure::BodyTooLarge),
    ];
    assert_eq!(bad, expected);
    assert_eq!(listing.records.len(), 3);
    assert!(worker(&listing, "empty").beat.unwrap().mark.is_some());
}

#[tokio::test]
async fn names_that_are_not_utf8_are_workers_too_and_never_the_same_one() {
    let Some(server) = RedisServer::start(&[]) else { return };
    server.set(b"worker:\xff\x01:heartbeat", "1", &[]);
    server.set(b"worker:\xfe\x01:heartbeat", "1", &[]);
    server.set("worker:grün:heartbeat", "1", &[]);
    let listing = look(&source(plain(server.url(0)))).await.unwrap();
    let ids: HashSet<_> = listing.records.iter().map(|record| record.slot.key.worker.clone()).collect();
    assert_eq!(ids.len(), 3, "{ids:?}");
    worker(&listing, "grün");
}

#[tokio::test]
async fn glob_characters_of_the_pattern_match_only_themselves_and_the_database_is_the_paths() {
    let Some(server) = RedisServer::start(&[]) else { return };
    server.set("w[1]:a:beat", "1", &[]);
    server.set("w1:b:beat", "1", &[]);
    let of = |db| patterned("w[1]:{id}:beat", plain(server.url(db)), Duration::from_secs(20));
    let listing = look(&of(0)).await.unwrap();
    assert_eq!(listing.records.len(), 1);
    worker(&listing, "a");
    assert!(look(&of(3)).await.unwrap().records.is_empty());
    assert_eq!(look(&source(plain(server.url(99)))).await.unwrap_err(), Failure::NotFound);
}

#[tokio::test]
async fn a_server_that_pauses_times_out_and_is_read_again_afterwards() {
    let Some(server) = RedisServer::start(&[]) else { return };
    server.set("worker:a:heartbeat", "1", &[]);
    let source = source_of(plain(server.url(0)), Duration::from_millis(400));
    look(&source).await.unwrap();
    server.run::<(), _>("CLIENT", &["PAUSE", "1500", "ALL"]);
    assert_eq!(look(&source).await.unwrap_err(), Failure::Timeout);
    let give_up = Instant::now() + Duration::from_secs(20);
    while look(&source).await.is_err() {
        assert!(Instant::now() < give_up, "it is not read again after the pause");
    }
}

#[tokio::test]
async fn a_server_that_is_killed_and_comes_back_empty_is_said_to_have_been_reset() {
    let Some(mut server) = RedisServer::start(&[]) else { return };
    server.set("worker:a:heartbeat", "1", &[]);
    let source = source(plain(server.url(0)));
    assert!(!look(&source).await.unwrap().reset);
    assert!(!look(&source).await.unwrap().reset);
    server.kill();
    assert_eq!(look(&source).await.unwrap_err(), Failure::Reset, "on the standing connection");
    assert_eq!(look(&source).await.unwrap_err(), Failure::Refused, "on a new one");
    server.restart();
    let listing = look(&source).await.unwrap();
    assert_eq!((listing.records.len(), listing.reset), (0, true));
    assert!(!look(&source).await.unwrap().reset, "it is said once");
}

#[tokio::test]
async fn a_flush_is_a_reset_and_a_flush_of_another_database_is_not() {
    let Some(server) = RedisServer::start(&[]) else { return };
    for id in ["a", "b", "c"] {
        server.set(format!("worker:{id}:heartbeat"), "1", &["EX", "60"]);
    }
    let source = source(plain(server.url(0)));
    look(&source).await.unwrap();
    server.run::<i64, _>("EVAL", &["redis.call('SELECT', 5) redis.call('FLUSHDB') return 1", "0"]);
    let listing = look(&source).await.unwrap();
    assert_eq!((listing.records.len(), listing.reset), (3, false));
    server.run::<(), &str>("FLUSHALL", &[]);
    let listing = look(&source).await.unwrap();
    assert_eq!((listing.records.len(), listing.reset), (0, true));
}

#[tokio::test]
async fn a_replica_that_lost_its_master_says_so() {
    let dead = free_port().to_string();
    let Some(server) = RedisServer::start(&["--replicaof", "127.0.0.1", &dead, "--replica-serve-stale-data", "no"])
    else {
        return;
    };
    assert_eq!(look(&source(plain(server.url(0)))).await.unwrap_err(), Failure::ReadOnly);
}

#[tokio::test]
async fn what_is_not_redis_or_not_there_is_told_apart() {
    let nobody = source(plain(format!("redis://127.0.0.1:{}", free_port()).parse().unwrap()));
    assert_eq!(look(&nobody).await.unwrap_err(), Failure::Refused);
    let nameless = source(plain("redis://no-such-host.invalid:6379".parse().unwrap()));
    assert_eq!(look(&nameless).await.unwrap_err(), Failure::Dns);
    // A fake, because no Redis answers like a web server.
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let _ = stream.read(&mut [0; 1024]);
        let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\nconnection: close\r\n\r\n");
    });
    let web = source(plain(format!("redis://127.0.0.1:{port}").parse().unwrap()));
    assert_eq!(look(&web).await.unwrap_err(), Failure::Protocol);
}

/// An authority, a server certificate for 127.0.0.1 and a client certificate, made by openssl.
fn certificates(folder: &std::path::Path) -> bool {
    let script = "set -e; \
        openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout ca.key -out ca.pem -subj /CN=ca; \
        printf 'subjectAltName=IP:127.0.0.1,DNS:beats.test\nbasicConstraints=CA:FALSE\n' > v3.ext; \
        for name in server client; do \
          openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout $name.key -out $name.csr -subj /CN=$name; \
          openssl x509 -req -in $name.csr -CA ca.pem -CAkey ca.key -CAcreateserial -extfile v3.ext -out $name.pem; \
        done";
    let done = Command::new("sh").args(["-c", script]).current_dir(folder).output();
    let done = done.is_ok_and(|output| output.status.success());
    assert!(done || std::env::var("CI").as_deref() != Ok("true"), "openssl must be installed on CI");
    if !done {
        eprintln!("SKIPPED: openssl cannot make certificates here");
    }
    done
}

#[tokio::test]
async fn tls_verifies_the_server_and_shows_a_client_certificate() {
    let folder = tempfile::tempdir().unwrap();
    if !certificates(folder.path()) {
        return;
    }
    let at = |name: &str| folder.path().join(name);
    let text = |name: &str| at(name).display().to_string();
    let port = free_port().to_string();
    let Some(_server) = RedisServer::start(&[
        "--tls-port",
        &port,
        "--tls-cert-file",
        &text("server.pem"),
        "--tls-key-file",
        &text("server.key"),
        "--tls-ca-cert-file",
        &text("ca.pem"),
        "--tls-auth-clients",
        "yes",
    ]) else {
        return;
    };
    let url: url::Url = format!("rediss://127.0.0.1:{port}").parse().unwrap();
    let with = |tls: Tls| source(config::RedisServer { tls, ..plain(url.clone()) });
    let good = Tls {
        ca_file: Some(at("ca.pem")),
        cert_file: Some(at("client.pem")),
        key_file: Some(at("client.key")),
        ..Tls::default()
    };
    look(&with(good.clone())).await.expect("authority and client certificate fit");
    look(&with(Tls { server_name: Some("beats.test".to_owned()), ..good.clone() })).await.expect("another name of it");
    look(&with(Tls { ca_file: None, insecure_skip_verify: true, ..good.clone() })).await.expect("nothing is verified");
    for (wrong, why) in [
        (Tls { ca_file: None, ..good.clone() }, "an authority that the system does not know"),
        (Tls { server_name: Some("other.test".to_owned()), ..good.clone() }, "another name"),
        (Tls { cert_file: None, key_file: None, ..good.clone() }, "no client certificate"),
        (Tls { key_file: Some(at("server.key")), ..good.clone() }, "another key"),
        (Tls { ca_file: Some(at("missing.pem")), ..good.clone() }, "a file that is not there"),
    ] {
        assert_eq!(look(&with(wrong)).await.unwrap_err(), Failure::Tls, "{why}");
    }
}
