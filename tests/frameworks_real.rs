//! Sidekiq and Dramatiq as they lie in Redis: their data, written in their real layout into a real redis-server, and read
//! back. RQ is read from real workers, in `tests/real/test_rq.py`.
//!
//! The layouts are those of sidekiq/sidekiq 7 (`lib/sidekiq/launcher.rb`, `lib/sidekiq/client.rb`) and of Dramatiq 2.2.1
//! (`dramatiq/brokers/redis/dispatch.lua`). No Ruby is needed here, and what is written is the same at each run.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

#[path = "support/redis.rs"]
mod server;

use std::time::Duration;

use server::RedisServer;
use verdict::evidence::{Hands, Listing, Observation, QueueKey, QueueReport, Report, Scope};
use verdict::words::{Failure, TaskType};
use worker_exporter::config::{self, Detail, Framework, RedisServer as Configured};
use worker_exporter::observe::Observe;
use worker_exporter::observe::redis::framework::FrameworkSource;

fn source(server: &RedisServer, framework: Framework, prefix: &str, queues: &[&str]) -> FrameworkSource {
    let queues = queues.iter().map(|queue| (*queue).into()).collect();
    let framework = config::FrameworkSource {
        server: Configured { queues, ..Configured::at(server.url(0)) },
        framework,
        prefix: prefix.to_owned(),
    };
    let source = config::Source {
        name: "jobs".into(),
        fleet: Some("orders".into()),
        timeout: Duration::from_secs(20),
        minimum_interval: Duration::from_secs(2),
        maximum_interval: Duration::from_secs(30),
        match_host_pid: true,
        detail: Detail::Framework(framework.clone()),
    };
    FrameworkSource::new(&source, &framework)
}

async fn look(source: &FrameworkSource) -> Listing {
    match source.look(&Scope::Listing).await.unwrap() {
        Report::Listing(listing) => listing,
        other => panic!("not a listing: {other:?}"),
    }
}

async fn queue(source: &FrameworkSource, task_queue: &str) -> QueueReport {
    let key = QueueKey {
        source: "jobs".into(),
        namespace: "".into(),
        task_queue: task_queue.into(),
        task_type: TaskType::Activity,
    };
    match source.look(&Scope::Queue(key)).await.unwrap() {
        Report::Queue(report) => report,
        other => panic!("not a queue: {other:?}"),
    }
}

fn record<'l>(listing: &'l Listing, id: &str) -> &'l Observation {
    let found = listing.records.iter().find(|record| &*record.record == id);
    found.unwrap_or_else(|| panic!("no record {id:?} in {:?}", listing.records))
}

fn age(report: &QueueReport) -> u64 {
    report.backlog_age.unwrap_or_else(|| panic!("no age: {report:?}")).as_secs()
}

/// The server's clock, seconds.
fn now(server: &RedisServer) -> u64 {
    server.run::<(u64, u64), _>("TIME", &[] as &[&str]).0
}

/// One beat of a Sidekiq process.
fn beat(server: &RedisServer, namespace: &str, identity: &str, busy: &str, quiet: &str) {
    let pid = identity.split(':').nth(1).unwrap();
    let info = format!(
        "{{\"hostname\":\"app-1\",\"started_at\":1764000000.5,\"pid\":{pid},\"tag\":\"orders\",\"concurrency\":5,\
         \"queues\":[\"mail\",\"bulk\"],\"labels\":[],\"identity\":\"{identity}\"}}"
    );
    let key = format!("{namespace}{identity}");
    let at = format!("{}.25", now(server));
    server.run::<u64, _>("SADD", &[format!("{namespace}processes").as_str(), identity]);
    let fields = ["info", &info, "busy", busy, "beat", &at, "rtt_us", "90", "quiet", quiet, "rss", "51200"];
    server.run::<u64, _>("HSET", &[&[key.as_str()][..], &fields[..]].concat());
    server.run::<u64, _>("EXPIRE", &[key.as_str(), "60"]);
}

#[tokio::test]
async fn sidekiq_processes_are_read_from_their_own_index_with_what_they_hold_and_serve() {
    let Some(server) = RedisServer::start(&[]) else { return };
    beat(&server, "", "app-1:11:aaaaaaaaaaaa", "3", "false");
    beat(&server, "", "app-1:12:bbbbbbbbbbbb", "0", "true");
    // Killed long ago: Sidekiq leaves the name until another process cleans up.
    server.run::<u64, _>("SADD", &["processes", "app-1:13:cccccccccccc"]);
    server.run::<u64, _>("SADD", &["queues", "mail", "bulk"]);
    let source = source(&server, Framework::Sidekiq, "", &[]);
    let listing = look(&source).await;
    assert_eq!((listing.records.len(), listing.unreadable.len(), listing.queues.len()), (2, 0, 2));
    let busy = record(&listing, "app-1:11:aaaaaaaaaaaa");
    assert_eq!((busy.numbers.in_flight, busy.types[0].available, busy.says.goodbye), (Some(3), Some(2), false));
    assert_eq!((busy.alias.as_deref(), &*busy.slot.key.worker), (Some("app-1/11"), "app-1/orders"));
    assert!(busy.expires_in.is_some_and(|left| left <= Duration::from_secs(60)), "{busy:?}");
    let quiet = record(&listing, "app-1:12:bbbbbbbbbbbb");
    assert_eq!((quiet.hands, quiet.says.goodbye), (Some(Hands::Empty), true));
    let calls: String = server.run("INFO", &["commandstats"]);
    assert!(!calls.contains("cmdstat_keys:") && !calls.contains("cmdstat_scan:"), "{calls}");
}

#[tokio::test]
async fn a_sidekiq_process_that_ends_cleanly_says_goodbye_and_one_that_expires_does_not() {
    let Some(server) = RedisServer::start(&[]) else { return };
    let (ends, dies) = ("app-1:11:aaaaaaaaaaaa", "app-2:12:bbbbbbbbbbbb");
    beat(&server, "", ends, "0", "false");
    beat(&server, "", dies, "1", "false");
    let source = source(&server, Framework::Sidekiq, "", &[]);
    look(&source).await;
    // clear_heartbeat takes the name out and leaves the hash.
    server.run::<u64, _>("SREM", &["processes", ends]);
    server.run::<u64, _>("DEL", &[dies]);
    let listing = look(&source).await;
    assert_eq!(listing.records.len(), 1);
    assert!(record(&listing, ends).says.goodbye);
    server.run::<u64, _>("DEL", &[ends]);
    assert!(look(&source).await.records.is_empty());
    beat(&server, "", ends, "0", "false");
    assert!(!record(&look(&source).await, ends).says.goodbye, "it was not gone after all");
}

#[tokio::test]
async fn a_sidekiq_queue_is_served_at_the_right_and_its_jobs_carry_seconds_or_milliseconds() {
    let Some(server) = RedisServer::start(&[]) else { return };
    let source = source(&server, Framework::Sidekiq, "", &[]);
    let at = now(&server);
    let seven = |age: u64| format!("{{\"class\":\"Mail\",\"jid\":\"{age}\",\"enqueued_at\":{}.5}}", at - age);
    let eight = |age: u64| format!("{{\"class\":\"Mail\",\"jid\":\"{age}\",\"enqueued_at\":{}}}", (at - age) * 1000);
    server.run::<u64, _>("LPUSH", &["queue:mail", &seven(90), &seven(20)]);
    server.run::<u64, _>("LPUSH", &["queue:bulk", &eight(300), &eight(20)]);
    let (mail, bulk) = (queue(&source, "mail").await, queue(&source, "bulk").await);
    assert_eq!((mail.backlog, bulk.backlog), (Some(2), Some(2)));
    assert!((89..100).contains(&age(&mail)) && (300..310).contains(&age(&bulk)), "{mail:?} {bulk:?}");
    assert_eq!(queue(&source, "none").await, QueueReport { backlog: Some(0), ..QueueReport::default() });
}

#[tokio::test]
async fn sidekiq_behind_a_namespace_is_read_there_and_nowhere_else() {
    let Some(server) = RedisServer::start(&[]) else { return };
    beat(&server, "shop:", "app-1:11:aaaaaaaaaaaa", "0", "false");
    beat(&server, "", "app-1:12:bbbbbbbbbbbb", "0", "false");
    server.run::<u64, _>("LPUSH", &["shop:queue:mail", "{}"]);
    let source = source(&server, Framework::Sidekiq, "shop", &[]);
    let listing = look(&source).await;
    assert_eq!(listing.records.len(), 1);
    record(&listing, "app-1:11:aaaaaaaaaaaa");
    assert_eq!(queue(&source, "mail").await.backlog, Some(1));
}

#[tokio::test]
async fn a_record_of_another_type_is_counted_and_the_others_stand() {
    let Some(server) = RedisServer::start(&[]) else { return };
    beat(&server, "", "app-1:11:aaaaaaaaaaaa", "0", "false");
    server.run::<u64, _>("SADD", &["processes", "odd"]);
    server.set("odd", "x", &[]);
    let listing = look(&source(&server, Framework::Sidekiq, "", &[])).await;
    assert_eq!((listing.records.len(), listing.unreadable.as_slice()), (1, &[("odd".into(), Failure::WrongType)][..]));
}

#[tokio::test]
async fn a_flush_of_everything_is_a_reset_and_so_is_another_server() {
    let Some(mut server) = RedisServer::start(&[]) else { return };
    beat(&server, "", "app-1:11:aaaaaaaaaaaa", "0", "false");
    let source = source(&server, Framework::Sidekiq, "", &[]);
    assert!(!look(&source).await.reset);
    assert!(!look(&source).await.reset);
    server.run::<(), _>("FLUSHALL", &[] as &[&str]);
    let flushed = look(&source).await;
    assert!(flushed.reset && flushed.records.is_empty(), "{flushed:?}");
    server.restart();
    assert!(source.look(&Scope::Listing).await.is_err(), "the connection broke with the server");
    assert!(look(&source).await.reset);
}

/// A command of a broker: every one of them is a heartbeat.
fn command(server: &RedisServer, id: &str) {
    let (seconds, micros) = server.run::<(u64, u64), _>("TIME", &[] as &[&str]);
    let millis = (seconds * 1000 + micros / 1000).to_string();
    server.run::<u64, _>("ZADD", &["dramatiq:__heartbeats__", &millis, id]);
}

#[tokio::test]
async fn a_dramatiq_worker_is_told_from_a_process_that_only_enqueues_by_what_it_once_held() {
    let Some(server) = RedisServer::start(&[]) else { return };
    let source = source(&server, Framework::Dramatiq, "dramatiq", &["default", "mail"]);
    command(&server, "worker");
    command(&server, "web");
    // Somebody else's, or nobody's: they are no workers, and hide none.
    server.run::<u64, _>("ZADD", &["dramatiq:__heartbeats__".as_bytes(), b"1", b"\xff\xfe", b"1", b""]);
    assert!(look(&source).await.records.is_empty(), "neither held a message yet");
    server.run::<u64, _>("SADD", &["dramatiq:__acks__.worker.mail", "m1", "m2"]);
    let listing = look(&source).await;
    assert_eq!(listing.records.len(), 1);
    let worker = record(&listing, "worker");
    assert_eq!(worker.numbers.in_flight, Some(2));
    assert_eq!(worker.task_queues.iter().map(|queue| &**queue).collect::<Vec<_>>(), ["mail"]);
    assert_eq!(listing.queues.iter().map(|queue| &**queue).collect::<Vec<_>>(), ["default", "mail"]);
    server.run::<u64, _>("DEL", &["dramatiq:__acks__.worker.mail"]);
    let idle = look(&source).await;
    assert_eq!(record(&idle, "worker").hands, Some(Hands::Empty), "it stays a worker");
}

#[tokio::test]
async fn a_dramatiq_queue_is_served_at_the_left_and_its_messages_tell_their_age() {
    let Some(server) = RedisServer::start(&[]) else { return };
    let source = source(&server, Framework::Dramatiq, "dramatiq", &[]);
    assert_eq!(queue(&source, "default").await.backlog, Some(0));
    for (id, old) in [("m1", 120), ("m2", 5)] {
        let at = (now(&server) - old) * 1000;
        let message = format!("{{\"queue_name\":\"default\",\"message_id\":\"{id}\",\"message_timestamp\":{at}}}");
        server.run::<u64, _>("HSET", &["dramatiq:default.msgs", id, &message]);
        server.run::<u64, _>("RPUSH", &["dramatiq:default", id]);
    }
    let report = queue(&source, "default").await;
    assert_eq!(report.backlog, Some(2));
    assert!((120..130).contains(&age(&report)), "{report:?}");
    // Another encoder than JSON: the message has no age that we could read, and its id still tells whether it moves.
    server.run::<u64, _>("HSET", &["dramatiq:default.msgs", "m1", "pickled"]);
    let report = queue(&source, "default").await;
    assert_eq!((report.backlog_age, report.ends[0].is_some()), (None, true));
}
