//! Queues in Redis: lists and streams, read from a real redis-server.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

#[path = "support/log.rs"]
mod log;
#[path = "support/redis.rs"]
mod server;

use std::time::Duration;

use server::RedisServer;
use verdict::evidence::{QueueKey, QueueReport, Report, Scope};
use verdict::words::{Failure, TaskType};
use worker_exporter::config::{self, Detail};
use worker_exporter::observe::Observe;
use worker_exporter::observe::redis::RedisSource;

fn source(server: &RedisServer) -> RedisSource {
    let redis = config::RedisSource::at(server.url(0));
    let source = config::Source {
        name: "jobs".into(),
        fleet: None,
        timeout: Duration::from_secs(20),
        minimum_interval: Duration::from_secs(2),
        maximum_interval: Duration::from_secs(30),
        match_host_pid: false,
        detail: Detail::Redis(redis.clone()),
    };
    RedisSource::new(&source, &redis)
}

async fn look(source: &RedisSource, task_queue: &str) -> Result<QueueReport, Failure> {
    let key = QueueKey {
        source: "jobs".into(),
        namespace: "".into(),
        task_queue: task_queue.into(),
        task_type: TaskType::Activity,
    };
    match source.look(&Scope::Queue(key)).await? {
        Report::Queue(report) => Ok(report),
        other => panic!("not a queue: {other:?}"),
    }
}

fn seconds(report: &QueueReport) -> f64 {
    report.backlog_age.unwrap_or_else(|| panic!("no age: {report:?}")).as_secs_f64()
}

/// The server's clock, seconds.
fn now(server: &RedisServer) -> u64 {
    server.run::<(u64, u64), _>("TIME", &[] as &[&str]).0
}

#[tokio::test]
async fn a_list_tells_its_depth_and_the_age_of_an_element_that_carries_its_stamp_at_either_end() {
    let Some(server) = RedisServer::start(&[]) else { return };
    let source = source(&server);
    assert_eq!(look(&source, "mail").await.unwrap(), QueueReport { backlog: Some(0), ..QueueReport::default() });
    let job = |age: u64| format!("{{\"jid\":\"{age}\",\"enqueued_at\":{}}}", now(&server) - age);
    for (push, key) in [("LPUSH", "mail"), ("RPUSH", "post")] {
        server.run::<u64, _>(push, &[key, &job(90), &job(50), &job(10)]);
        let report = look(&source, key).await.unwrap();
        assert_eq!(report.backlog, Some(3));
        assert!((90.0..100.0).contains(&seconds(&report)), "{report:?}");
    }
}

#[tokio::test]
async fn elements_without_a_stamp_or_from_the_future_have_no_age_and_their_marks_tell_what_moved() {
    let Some(server) = RedisServer::start(&[]) else { return };
    let source = source(&server);
    server.run::<u64, _>("RPUSH", &["plain", "job-1", "job-2"]);
    let first = look(&source, "plain").await.unwrap();
    assert_eq!(first.backlog_age, None);
    assert_eq!(look(&source, "plain").await.unwrap(), first);
    server.run::<u64, _>("RPUSH", &["plain", "job-3"]);
    let more = look(&source, "plain").await.unwrap();
    assert_eq!((more.ends[0], more.ends[1] == first.ends[1]), (first.ends[0], false));
    let future = format!("{{\"enqueued_at\":{}}}", now(&server) + 7200);
    server.run::<u64, _>("RPUSH", &["ahead", &future]);
    assert_eq!(look(&source, "ahead").await.unwrap().backlog_age, None);
}

#[tokio::test]
async fn a_stream_waits_with_what_its_slowest_group_was_not_given_and_its_ids_tell_the_age() {
    let Some(server) = RedisServer::start(&[]) else { return };
    let source = source(&server);
    let id = |age: u64| format!("{}-0", (now(&server) - age) * 1000);
    let ids = [id(300), id(200), id(100)];
    for id in &ids {
        server.run::<String, _>("XADD", &["events", id.as_str(), "f", "v"]);
    }
    let all = look(&source, "events").await.unwrap();
    assert_eq!(all.backlog, Some(3), "without a group all of it waits");
    assert!((300.0..310.0).contains(&seconds(&all)), "{all:?}");
    for group in ["fast", "slow"] {
        server.run::<(), _>("XGROUP", &["CREATE", "events", group, "0"]);
    }
    let read = |group: &str, count: &str| {
        server.run::<redis::Value, _>("XREADGROUP", &["GROUP", group, "w", "COUNT", count, "STREAMS", "events", ">"]);
    };
    read("fast", "9");
    read("slow", "2");
    let slow = look(&source, "events").await.unwrap();
    assert_eq!(slow.backlog, Some(1), "what was delivered does not wait, acknowledged or not");
    assert!((100.0..110.0).contains(&seconds(&slow)), "{slow:?}");
    read("slow", "9");
    let none = look(&source, "events").await.unwrap();
    assert_eq!((none.backlog, none.backlog_age, none.ends), (Some(0), None, [None; 2]));
}

#[tokio::test]
async fn a_group_that_does_not_know_its_lag_still_shows_that_work_waits() {
    let Some(server) = RedisServer::start(&[]) else { return };
    let source = source(&server);
    for id in ["1-0", "2-0", "3-0", "4-0"] {
        server.run::<String, _>("XADD", &["events", id, "f", "v"]);
    }
    server.run::<(), _>("XGROUP", &["CREATE", "events", "g", "2-0"]);
    // A deleted entry in what is still to come: from then on the server answers nil.
    server.run::<u64, _>("XDEL", &["events", "3-0"]);
    let report = look(&source, "events").await.unwrap();
    assert_eq!((report.backlog, report.ends[0].is_some()), (None, true), "{report:?}");
}

#[tokio::test]
async fn a_key_of_another_type_fails_its_own_look_and_no_other() {
    let Some(server) = RedisServer::start(&[]) else { return };
    let source = source(&server);
    server.set("cache", "x", &[]);
    server.run::<u64, _>("RPUSH", &["mail", "job"]);
    let log = log::Log::default();
    let _guard = log.listen();
    for _ in 0..3 {
        assert_eq!(look(&source, "cache").await.unwrap_err(), Failure::WrongType);
        assert_eq!(look(&source, "mail").await.unwrap().backlog, Some(1));
        source.look(&Scope::Listing).await.unwrap();
    }
    let said: Vec<_> = log.text().lines().filter(|line| line.contains("WARN")).map(str::to_owned).collect();
    assert_eq!(said.len(), 1, "said once, however often the others are well: {said:#?}");
    assert!(said[0].contains("reason=\"wrong_type\"") && said[0].contains("cache"), "{said:#?}");
}

#[tokio::test]
async fn a_head_larger_than_a_look_may_receive_fails_that_look_before_it_fills_our_memory() {
    let Some(server) = RedisServer::start(&[]) else { return };
    let source = source(&server);
    server.run::<u64, _>("RPUSH", &["large".as_bytes(), &vec![b'x'; 8 << 20]]);
    server.run::<u64, _>("RPUSH", &["mail", "job"]);
    for _ in 0..2 {
        assert_eq!(look(&source, "large").await.unwrap_err(), Failure::BodyTooLarge);
        assert_eq!(look(&source, "mail").await.unwrap().backlog, Some(1), "the next look has a connection of its own");
    }
}
