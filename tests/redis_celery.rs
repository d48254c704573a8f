//! The celery source on a real redis-server. The events are FAKE, written as Celery 5.7 writes them: a real worker sends
//! nothing broken, nothing huge, and not on demand. Real workers are in tests/real/test_celery.py.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]
#![allow(clippy::print_stderr, reason = "a skip must be seen")]

#[path = "support/redis.rs"]
mod server;

use std::sync::Arc;
use std::time::{Duration, Instant};

use server::{RedisServer, free_port};
use verdict::evidence::{Listing, QueueKey, QueueReport, Report, Scope};
use verdict::words::{Failure, TaskType};
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

async fn queue(source: &CelerySource, task_queue: &str) -> Result<QueueReport, Failure> {
    let key = QueueKey {
        source: "mail".into(),
        namespace: "".into(),
        task_queue: task_queue.into(),
        task_type: TaskType::Activity,
    };
    match source.look(&Scope::Queue(key)).await? {
        Report::Queue(report) => Ok(report),
        other => panic!("not a queue: {other:?}"),
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

fn send(server: &RedisServer, channel: &str, kind: &str, pid: u64, active: u64, processed: u64) {
    let said = serde_json::json!({
        "hostname": "w1@vm", "pid": pid, "freq": 2.0, "active": active, "processed": processed, "type": kind,
        "timestamp": 1_795_335_772.5, "sw_ident": "py-celery", "sw_ver": "5.7.0",
    });
    let event = serde_json::json!({"body": said.to_string(), "content-type": "application/json", "properties": {}});
    server.run::<u64, _>("PUBLISH", &[channel, &event.to_string()]);
}

const BEATS: &str = "/0.celeryev/worker.heartbeat";

#[tokio::test]
async fn what_workers_say_between_looks_is_heard_and_each_beat_moves_the_mark() {
    let Some(server) = RedisServer::start(&[]) else { return };
    let source = source(plain(&server));
    assert!(look(&source).await.unwrap().records.is_empty());
    send(&server, BEATS, "worker-heartbeat", 7, 2, 5);
    send(&server, "/0.celeryev/task.succeeded", "task-succeeded", 7, 0, 0);
    send(&server, "/1.celeryev/worker.heartbeat", "worker-heartbeat", 9, 0, 0);
    let listing = look(&source).await.unwrap();
    let [first] = &listing.records[..] else { panic!("{listing:?}") };
    assert_eq!((&*first.slot.key.fleet, &*first.slot.key.worker), ("mail", "w1@vm"));
    assert_eq!((first.numbers.tasks_total, first.numbers.in_flight), (Some(3), Some(2)));
    assert_eq!(first.beat.unwrap().declared, Some(Duration::from_secs(2)));
    assert_eq!((first.info.pid.as_deref(), first.alias.as_deref()), (Some("7"), Some("vm/7")));
    let still = look(&source).await.unwrap().records.remove(0);
    assert_eq!(still.beat.unwrap().mark, first.beat.unwrap().mark, "nothing was said since");
    // Where a transport sends all events to one channel.
    send(&server, "/0.celeryev", "worker-heartbeat", 7, 0, 5);
    let moved = look(&source).await.unwrap().records.remove(0);
    assert_ne!(moved.beat.unwrap().mark, first.beat.unwrap().mark);
    assert!(!moved.says.goodbye);
    send(&server, "/0.celeryev/worker.offline", "worker-offline", 7, 0, 5);
    assert!(look(&source).await.unwrap().records[0].says.goodbye);
}

#[tokio::test]
async fn a_broken_subscription_fails_the_look_and_is_made_again_at_once() {
    let Some(mut server) = RedisServer::start(&[]) else { return };
    let source = source(plain(&server));
    look(&source).await.unwrap();
    server.run::<i64, _>("CLIENT", &["KILL", "TYPE", "pubsub"]);
    assert_eq!(look(&source).await.unwrap_err(), Failure::Reset);
    send(&server, BEATS, "worker-heartbeat", 7, 0, 0);
    let listing = look(&source).await.unwrap();
    assert_eq!(
        (listing.records.len(), listing.reset),
        (1, false),
        "the server lived, and so did its workers' way to it"
    );

    server.kill();
    assert!(look(&source).await.is_err());
    let why = look(&source).await.unwrap_err();
    server.restart();
    let listing = until(&source, "back", Result::is_ok).await;
    assert_eq!((listing.records.len(), listing.reset), (1, true), "after {why}");
    assert!(!look(&source).await.unwrap().reset, "it is said once");
}

#[tokio::test]
async fn a_broker_that_stops_answering_is_a_failed_look_at_its_deadline() {
    let Some(server) = RedisServer::start(&[]) else { return };
    let source = source(plain(&server));
    look(&source).await.unwrap();
    server.run::<(), _>("CLIENT", &["PAUSE", "2500", "ALL"]);
    let before = Instant::now();
    assert_eq!(look(&source).await.unwrap_err(), Failure::Timeout);
    assert!(before.elapsed() < Duration::from_secs(2));
    assert!(until(&source, "back", Result::is_ok).await.reset, "its workers could not speak either");
    let nobody = source_at(free_port());
    assert_eq!(look(&nobody).await.unwrap_err(), Failure::Refused);
}

fn source_at(port: u16) -> CelerySource {
    source(config::CelerySource::at(format!("redis://127.0.0.1:{port}/0").parse().unwrap()))
}

#[tokio::test]
async fn what_is_no_event_is_counted_and_one_that_is_too_large_ends_the_connection() {
    let Some(server) = RedisServer::start(&[]) else { return };
    let source = source(plain(&server));
    look(&source).await.unwrap();
    for junk in ["", "{}", "\x01pickle"] {
        server.run::<u64, _>("PUBLISH", &[BEATS, junk]);
    }
    send(&server, BEATS, "worker-heartbeat", 7, 0, 0);
    let listing = look(&source).await.unwrap();
    assert_eq!(listing.records.len(), 1);
    assert_eq!(listing.unreadable, vec![("an event".into(), Failure::BodyInvalid); 3]);
    server.run::<u64, _>("PUBLISH", &[BEATS.to_owned(), "x".repeat(20 << 20)]);
    assert!(look(&source).await.is_err());
    send(&server, BEATS, "worker-heartbeat", 7, 0, 1);
    assert_eq!(look(&source).await.unwrap().records[0].numbers.tasks_total, Some(1));
}

#[tokio::test]
async fn queues_are_found_by_their_bindings_and_one_alone_is_served_by_all() {
    let Some(server) = RedisServer::start(&[]) else { return };
    let bind = |exchange: &str, queue: &str| {
        let member = format!("{queue}\x06\x16\x06\x16{queue}");
        server.run::<u64, _>("SADD", &[format!("_kombu.binding.{exchange}"), member]);
    };
    bind("celery", "celery");
    bind("celery.pidbox", "w1@vm.celery.pidbox");
    bind("celeryev", "celeryev.1f");
    let served = |listing: &Listing| listing.records[0].task_queues.clone();
    let alone = source(plain(&server));
    look(&alone).await.unwrap();
    send(&server, BEATS, "worker-heartbeat", 7, 0, 0);
    let listing = look(&alone).await.unwrap();
    assert_eq!((&*listing.queues, served(&listing)), (&[Arc::from("celery")][..], vec![Arc::from("celery")]));

    bind("celery", "mail");
    let (several, mut named) = (source(plain(&server)), plain(&server));
    named.server.queues = vec!["mail".into()];
    let named = source(named);
    look(&several).await.unwrap();
    look(&named).await.unwrap();
    send(&server, BEATS, "worker-heartbeat", 7, 0, 0);
    let listing = look(&several).await.unwrap();
    assert_eq!((listing.queues.len(), served(&listing).len()), (2, 0), "who serves which is not known");
    assert_eq!(served(&look(&named).await.unwrap()), [Arc::from("mail")]);
}

#[tokio::test]
async fn a_queue_is_all_its_priorities_and_a_head_too_large_costs_its_age_alone() {
    let Some(server) = RedisServer::start(&[]) else { return };
    let source = source(plain(&server));
    assert_eq!(queue(&source, "mail").await.unwrap(), QueueReport { backlog: Some(0), ..QueueReport::default() });
    let push = |list: &str, message: String| server.run::<u64, _>("LPUSH", &[list.to_owned(), message]);
    let message = |tag: &str| format!(r#"{{"body":"","properties":{{"delivery_tag":"{tag}"}}}}"#);
    for (list, tag) in [("mail", "a"), ("mail", "b"), ("mail\x06\x163", "c"), ("mail\x06\x169", "d"), ("other", "e")] {
        push(list, message(tag));
    }
    let report = queue(&source, "mail").await.unwrap();
    assert_eq!((report.backlog, report.backlog_age), (Some(4), Some(Duration::ZERO)));
    let give_up = Instant::now() + Duration::from_secs(10);
    while queue(&source, "mail").await.unwrap().backlog_age.unwrap() < Duration::from_millis(50) {
        assert!(Instant::now() < give_up, "the same heads do not age");
    }
    for list in ["mail", "mail\x06\x163", "mail\x06\x169"] {
        server.run::<redis::Value, _>("RPOP", &[list]);
    }
    assert!(queue(&source, "mail").await.unwrap().backlog_age.unwrap() < Duration::from_millis(50), "other heads");

    push("vast", "x".repeat(8 << 20));
    let report = queue(&source, "vast").await.unwrap();
    assert_eq!((report.backlog, report.backlog_age), (Some(1), None));
    assert_eq!(queue(&source, "vast").await.unwrap().backlog, Some(1));
    server.run::<u64, _>("SADD", &["a set", "x"]);
    assert_eq!(queue(&source, "a set").await.unwrap_err(), Failure::WrongType);
}

#[tokio::test]
async fn the_rights_that_the_documentation_asks_for_are_enough_and_fewer_are_said() {
    let Some(server) = RedisServer::start(&[]) else { return };
    server.run::<u64, _>("SADD", &["_kombu.binding.celery", "mail\x06\x16\x06\x16mail"]);
    let with = |user: &str, rules: &[&str]| {
        server.run::<(), _>("ACL", &[&["SETUSER", user, "on", ">pw", "resetchannels"], rules].concat());
        let mut celery = plain(&server);
        celery.server.username = Some(user.to_owned());
        celery.server.password = Some(Secret::held("pw"));
        source(celery)
    };
    let channels = ["&/0.celeryev", "&/0.celeryev/worker.*"];
    let keys = ["~mail*", "~_kombu.binding.*"];
    let commands = ["+ping", "+select", "+subscribe", "+psubscribe", "+llen", "+lindex", "+scan", "+smembers", "+info"];
    let documented = with("documented", &[&channels[..], &keys, &commands].concat());
    look(&documented).await.unwrap();
    send(&server, BEATS, "worker-heartbeat", 7, 0, 0);
    let listing = look(&documented).await.unwrap();
    assert_eq!((listing.records.len(), listing.queues.len()), (1, 1));
    assert_eq!(queue(&documented, "mail").await.unwrap().backlog, Some(0));

    let least = with("least", &[&channels[..], &["+ping", "+subscribe", "+psubscribe"]].concat());
    for _ in 0..2 {
        assert!(look(&least).await.unwrap().queues.is_empty());
    }
    let blind = with("blind", &[&channels[..], &commands, &["~mail*"]].concat());
    for _ in 0..2 {
        assert!(look(&blind).await.unwrap().queues.is_empty(), "it may list the bindings and not read them");
    }
    assert_eq!(queue(&blind, "other").await.unwrap_err(), Failure::PermissionDenied);
    let deaf = with("deaf", &["+ping", "+subscribe", "+psubscribe"]);
    assert_eq!(look(&deaf).await.unwrap_err(), Failure::PermissionDenied);
    let mut stranger = plain(&server);
    stranger.server.password = Some(Secret::held("wrong"));
    assert_eq!(look(&source(stranger)).await.unwrap_err(), Failure::Unauthenticated);
}
