//! A queue in Redis: how much waits in it, and since when its head waits.
//!
//! Depth and head come in one transaction, so that they are of one moment. The age of a head is the server's clock minus
//! the stamp that the element carries, where it carries one. Where it does not, the element itself is a mark: the
//! ledger watches for how long the same one is next.

use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::{Pipeline, Value};
use verdict::evidence::{Mark, QueueReport};
use verdict::read::queue;
use verdict::time::WallTime;
use verdict::words::Failure;

use super::connect::Refusal;

/// An element of a list, when there is one.
type Element = Option<Vec<u8>>;
/// The answer of TIME: seconds and microseconds.
pub(super) type Time = (i64, i64);

/// Looks at the list or stream under `key`. No key is an empty queue: Redis keeps no empty list.
pub(super) async fn look(redis: &mut MultiplexedConnection, key: &str) -> Result<QueueReport, Refusal> {
    let kind: String = redis::cmd("TYPE").arg(key).query_async(redis).await?;
    match kind.as_str() {
        "none" => Ok(empty()),
        "list" => list(redis, key).await,
        "stream" => stream(redis, key).await,
        other => Err(Refusal {
            failure: Failure::WrongType,
            why: format!("the queue {key:?} is a {other}, neither a list nor a stream"),
        }),
    }
}

/// Nothing waits.
pub(super) fn empty() -> QueueReport {
    QueueReport { backlog: Some(0), ..QueueReport::default() }
}

/// The age of something that waits since `stamp`, by the server's clock. A stamp of the future is of a wrong clock, and
/// says nothing.
pub(super) fn age(stamp: Option<WallTime>, now: WallTime) -> Option<Duration> {
    now.since(stamp?)
}

/// The server's clock.
pub(super) fn server_time((seconds, micros): Time) -> WallTime {
    WallTime::from_micros(seconds.saturating_mul(1_000_000).saturating_add(micros))
}

/// A list of which nobody says at which end it is served: both ends may be the head.
async fn list(redis: &mut MultiplexedConnection, key: &str) -> Result<QueueReport, Refusal> {
    let mut pipe = Pipeline::new();
    pipe.atomic().cmd("LLEN").arg(key).cmd("LINDEX").arg(key).arg(0).cmd("LINDEX").arg(key).arg(-1).cmd("TIME");
    let (depth, left, right, time): (u64, Element, Element, Time) = pipe.query_async(redis).await?;
    let ends = [left, right];
    let stamp = ends.iter().flatten().filter_map(|element| queue::stamp(element)).min();
    Ok(QueueReport {
        backlog: Some(depth),
        backlog_age: age(stamp, server_time(time)),
        ends: ends.map(|element| element.map(|element| Mark::bytes(&element))),
        ..QueueReport::default()
    })
}

/// A stream keeps what was served. What waits is what its groups have not been given yet; without a group, all of it.
async fn stream(redis: &mut MultiplexedConnection, key: &str) -> Result<QueueReport, Refusal> {
    let mut pipe = Pipeline::new();
    pipe.cmd("XINFO").arg("GROUPS").arg(key).cmd("XLEN").arg(key).cmd("TIME");
    let (groups, length, time): (Value, u64, Time) = pipe.query_async(redis).await?;
    let now = server_time(time);
    let mut worst: Option<QueueReport> = None;
    for group in groups_of(&groups) {
        let mut report = undelivered(redis, key, &format!("({}", group.delivered), now).await?;
        // Before Redis 7, and after XDEL, a group does not know its lag: that something waits is known all the same.
        report.backlog = if report.ends == [None; 2] { Some(0) } else { group.lag };
        worst = Some(match worst {
            Some(worst) if worst.backlog_age >= report.backlog_age => worst,
            _ => report,
        });
    }
    match worst {
        Some(report) => Ok(report),
        None => Ok(QueueReport { backlog: Some(length), ..undelivered(redis, key, "-", now).await? }),
    }
}

/// The first entry after `start`. Its id begins with the milliseconds at which the server took it.
async fn undelivered(
    redis: &mut MultiplexedConnection,
    key: &str,
    start: &str,
    now: WallTime,
) -> Result<QueueReport, Refusal> {
    let found: Value = redis::cmd("XRANGE").arg(key).arg(start).arg("+").arg("COUNT").arg(1).query_async(redis).await?;
    let id = items(&found).first().and_then(|entry| text(items(entry).first()?));
    let millis = id.as_deref().and_then(|id| id.split('-').next()?.parse::<i64>().ok());
    let stamp = millis.map(|millis| WallTime::from_micros(millis.saturating_mul(1000)));
    Ok(QueueReport {
        backlog_age: age(stamp, now),
        ends: [id.map(|id| Mark::bytes(id.as_bytes())), None],
        ..QueueReport::default()
    })
}

struct Group {
    /// The last entry that it was given.
    delivered: String,
    /// Entries that it was not given yet, where the server knows.
    lag: Option<u64>,
}

/// The answer of `XINFO GROUPS`: for each group its fields, name and value in turn.
fn groups_of(answer: &Value) -> Vec<Group> {
    let group = |fields: &Value| {
        let mut group = Group { delivered: String::new(), lag: None };
        for pair in items(fields).chunks(2) {
            match (pair.first().and_then(text).as_deref(), pair.get(1)) {
                (Some("last-delivered-id"), Some(id)) => group.delivered = text(id)?,
                (Some("lag"), Some(Value::Int(lag))) => group.lag = u64::try_from(*lag).ok(),
                _ => {}
            }
        }
        (!group.delivered.is_empty()).then_some(group)
    };
    items(answer).iter().filter_map(group).collect()
}

fn items(value: &Value) -> &[Value] {
    if let Value::Array(items) = value { items } else { &[] }
}

fn text(value: &Value) -> Option<String> {
    match value {
        Value::BulkString(bytes) => String::from_utf8(bytes.clone()).ok(),
        Value::SimpleString(text) => Some(text.clone()),
        _ => None,
    }
}
