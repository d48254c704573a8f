//! Sources: rq, sidekiq, dramatiq. Frameworks that keep their workers and queues in Redis, read without a change in any
//! worker.
//!
//! One look reads the framework's own index of workers, never the key space, and then their records in batches. What
//! the records mean is read in `verdict/src/read/`; here is how they are found, and what one look has to remember for
//! the next: names that left the index while their records live on.

mod dramatiq;
mod rq;
mod sidekiq;

use std::collections::{HashMap, HashSet};
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use redis::aio::MultiplexedConnection;
use redis::{Pipeline, RedisResult, Value};
use verdict::evidence::{Listing, Mark, Observation, QueueKey, QueueReport, Report, Scope};
use verdict::read::hash::{Around, Hash};
use verdict::time::{Moment, WallTime};
use verdict::words::Failure;

use super::connect::Refusal;
use super::links::{self, Link, Links};
use super::memory::{Memory, Server, Sighting};
use super::queue::{self, Time};
use super::{failure, pattern};
use crate::config::{self, Framework};
use crate::observe::Observe;

/// Records read in one round trip.
const BATCH: usize = 200;
/// More workers than this in one index are not workers.
const MAX_WORKERS: usize = 50_000;
/// More registered queues than this are not watched: each is looked at by itself.
const MAX_QUEUES: usize = 500;
/// A name that left the index is still looked for this long: its record tells whether it ended, or was forgotten.
const REMEMBERED: Duration = Duration::from_secs(900);

/// The workers and queues of one framework. Nothing happens before the first look, so it never fails to be made.
#[derive(Debug)]
pub struct FrameworkSource {
    name: Arc<str>,
    fleet: Arc<str>,
    links: Links,
    framework: Framework,
    prefix: String,
    queues: Vec<Arc<str>>,
    host_pid: bool,
    born: Instant,
    memory: Mutex<Memory>,
    known: Mutex<HashMap<Vec<u8>, Moment>>,
    brokers: Mutex<dramatiq::Brokers>,
}

/// What one walk brought.
#[derive(Default)]
struct Walk {
    records: Vec<Observation>,
    sightings: Vec<(Vec<u8>, Sighting)>,
    unreadable: Vec<(Arc<str>, Failure)>,
    queues: Vec<Arc<str>>,
}

/// One record, as it was found.
struct Found {
    /// Its entry in the index.
    entry: Vec<u8>,
    /// The index holds it now.
    listed: bool,
    hash: Hash,
    sighting: Sighting,
    /// The server's clock.
    now: WallTime,
}

impl Found {
    fn around<'a>(&self, fleet: &'a Arc<str>) -> Around<'a> {
        Around { fleet, ttl: self.sighting.ttl, now: self.now }
    }
}

impl FrameworkSource {
    /// The source `source`, whose particulars are `framework`.
    #[must_use]
    pub fn new(source: &config::Source, framework: &config::FrameworkSource) -> Self {
        Self {
            name: Arc::clone(&source.name),
            fleet: Arc::clone(source.fleet.as_ref().unwrap_or(&source.name)),
            links: Links::new(source, &framework.server),
            framework: framework.framework,
            prefix: framework.prefix.clone(),
            queues: framework.server.queues.clone(),
            host_pid: source.match_host_pid,
            born: Instant::now(),
            memory: Mutex::default(),
            known: Mutex::default(),
            brokers: Mutex::default(),
        }
    }

    fn now(&self) -> Moment {
        Moment::after_start(self.born.elapsed())
    }

    async fn list(&self) -> Result<Listing, Failure> {
        let walk = self.links.bounded("", async {
            let mut link = self.links.take(links::LISTING).await?;
            let walk = self.walk(&mut link).await;
            self.links.done(link, walk)
        });
        let (server, mut walk) = walk.await?;
        if self.host_pid {
            for record in &mut walk.records {
                let named = record.info.host.as_ref().zip(record.info.pid.as_ref());
                record.alias = named.map(|(host, pid)| Arc::from(format!("{host}/{pid}")));
            }
        }
        let mut memory = self.memory.lock().unwrap_or_else(PoisonError::into_inner);
        let reset = memory.lost(&server, self.now(), walk.sightings.iter().map(|(key, _)| key.as_slice()));
        memory.replace(server, walk.sightings.into_iter());
        if walk.queues.len() > MAX_QUEUES {
            tracing::warn!(
                source = &*self.name,
                queues = walk.queues.len(),
                "more queues are registered than are watched; those beyond are left out, unless a worker serves them"
            );
            walk.queues.truncate(MAX_QUEUES);
        }
        Ok(Listing {
            records: walk.records,
            reset,
            heartbeats: true,
            unreadable: walk.unreadable,
            queues: walk.queues,
            ..Listing::default()
        })
    }

    async fn walk(&self, link: &mut Link) -> Result<(Server, Walk), Refusal> {
        let server = self.links.identify(link).await?;
        let redis = &mut link.redis;
        let walk = match self.framework {
            Framework::Rq => self.rq(redis).await?,
            Framework::Sidekiq => self.sidekiq(redis).await?,
            Framework::Dramatiq => self.dramatiq(redis).await?,
        };
        Ok((server, walk))
    }

    async fn queue(&self, key: &QueueKey) -> Result<QueueReport, Failure> {
        let look = self.links.bounded(&key.task_queue, async {
            let mut link = self.links.take(links::QUEUE).await?;
            let report = match self.framework {
                Framework::Rq => self.rq_queue(&mut link.redis, &key.task_queue).await,
                Framework::Sidekiq => self.sidekiq_queue(&mut link.redis, &key.task_queue).await,
                Framework::Dramatiq => self.dramatiq_queue(&mut link.redis, &key.task_queue).await,
            };
            self.links.done(link, report)
        });
        look.await
    }

    /// The records of all entries of the index, and of those that left it of late. `key` makes the key of an entry's
    /// record.
    async fn records(
        &self,
        redis: &mut MultiplexedConnection,
        index: &str,
        key: impl Fn(&[u8]) -> Vec<u8>,
        walk: &mut Walk,
    ) -> Result<Vec<Found>, Refusal> {
        let listed = members(redis, index, MAX_WORKERS).await?;
        let now = self.now();
        let left: Vec<Vec<u8>> = {
            let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
            known.extend(listed.iter().map(|entry| (entry.clone(), now)));
            known.retain(|_, seen| now.since(*seen) < REMEMBERED);
            known.keys().filter(|entry| !listed.contains(*entry)).cloned().collect()
        };
        let entries: Vec<(Vec<u8>, bool)> =
            listed.into_iter().map(|entry| (entry, true)).chain(left.into_iter().map(|entry| (entry, false))).collect();
        let mut found = Vec::new();
        for batch in entries.chunks(BATCH) {
            let mut pipe = Pipeline::new();
            pipe.cmd("TIME");
            for (entry, _) in batch {
                let key = key(entry);
                pipe.cmd("HGETALL").arg(key.as_slice()).cmd("PTTL").arg(key.as_slice());
            }
            pipe.ignore_errors();
            let sent = self.now();
            let answers: Vec<RedisResult<Value>> = pipe.query_async(redis).await?;
            let received = self.now();
            let mut answers = answers.into_iter();
            let now = clock(answers.next())?;
            for (entry, listed) in batch {
                let (Some(fields), Some(ttl)) = (answers.next(), answers.next()) else { return Err(fewer()) };
                let pairs = match fields {
                    Ok(fields) => pairs(fields),
                    Err(error) => match failure::of(&error) {
                        reason @ (Failure::WrongType | Failure::PermissionDenied) => {
                            walk.unreadable.push((pattern::name(entry.get(..256).unwrap_or(entry)), reason));
                            continue;
                        }
                        _ => return Err(error.into()),
                    },
                };
                let ttl = match ttl? {
                    Value::Int(millis) => u64::try_from(millis).ok().map(Duration::from_millis),
                    _ => None,
                };
                let sighting = Sighting { sent, received, ttl };
                let hash = Hash::of(pairs);
                if !hash.is_empty() {
                    walk.sightings.push((entry.clone(), sighting));
                    found.push(Found { entry: entry.clone(), listed: *listed, hash, sighting, now });
                }
            }
        }
        let denied = |(_, failure): &(Arc<str>, Failure)| *failure == Failure::PermissionDenied;
        if found.is_empty() && !walk.unreadable.is_empty() && walk.unreadable.iter().all(denied) {
            let why = "the user may not read the records that it may list: it needs HGETALL and PTTL on them";
            return Err(Refusal { failure: Failure::PermissionDenied, why: why.to_owned() });
        }
        Ok(found)
    }
}

/// All members of a set, each once, in steps.
async fn members(redis: &mut MultiplexedConnection, key: &str, most: usize) -> Result<HashSet<Vec<u8>>, Refusal> {
    let mut all = HashSet::new();
    let mut cursor = 0_u64;
    // Each step brings some; a cursor that never comes back to 0 ends here.
    for _ in 0..=most {
        let mut step = redis::cmd("SSCAN");
        step.arg(key).arg(cursor).arg("COUNT").arg(1000);
        let (next, names): (u64, Vec<Vec<u8>>) = step.query_async(redis).await?;
        all.extend(names);
        if all.len() > most {
            break;
        }
        if next == 0 {
            return Ok(all);
        }
        cursor = next;
    }
    Err(Refusal { failure: Failure::Paging, why: format!("more than {most} names in {key:?}") })
}

/// Names of queues in a set, without what stands in front of each, in order.
async fn queue_names(redis: &mut MultiplexedConnection, key: &str, before: &str) -> Result<Vec<Arc<str>>, Refusal> {
    let all = members(redis, key, MAX_WORKERS).await?;
    let name = |entry: Vec<u8>| String::from_utf8(entry).ok()?.strip_prefix(before).map(Arc::from);
    let mut names: Vec<Arc<str>> = all.into_iter().filter_map(name).collect();
    names.sort();
    Ok(names)
}

/// Depth of a list that is served at `end`, its head, and the server's clock, all of one moment.
async fn head(
    redis: &mut MultiplexedConnection,
    key: &str,
    end: i64,
) -> Result<(QueueReport, Option<Vec<u8>>, WallTime), Refusal> {
    let mut pipe = Pipeline::new();
    pipe.atomic().cmd("LLEN").arg(key).cmd("LINDEX").arg(key).arg(end).cmd("TIME");
    let (depth, head, time): (u64, Option<Vec<u8>>, Time) = pipe.query_async(redis).await?;
    let report = QueueReport {
        backlog: Some(depth),
        ends: [head.as_ref().map(|head| Mark::bytes(head)), None],
        ..QueueReport::default()
    };
    Ok((report, head, queue::server_time(time)))
}

/// The answer of TIME in a pipeline.
fn clock(answer: Option<RedisResult<Value>>) -> Result<WallTime, Refusal> {
    let time: Time = redis::from_redis_value(answer.ok_or_else(fewer)??).map_err(redis::RedisError::from)?;
    Ok(queue::server_time(time))
}

fn fewer() -> Refusal {
    Refusal { failure: Failure::Protocol, why: "fewer answers than questions".to_owned() }
}

/// The fields of HGETALL.
fn pairs(answer: Value) -> Vec<(Vec<u8>, Vec<u8>)> {
    let bytes = |value: Value| if let Value::BulkString(bytes) = value { bytes } else { Vec::new() };
    match answer {
        Value::Array(items) => {
            let mut items = items.into_iter().map(bytes);
            std::iter::from_fn(|| Some((items.next()?, items.next()?))).collect()
        }
        Value::Map(items) => items.into_iter().map(|(name, value)| (bytes(name), bytes(value))).collect(),
        _ => Vec::new(),
    }
}

impl Observe for FrameworkSource {
    fn look<'a>(&'a self, scope: &'a Scope) -> Pin<Box<dyn Future<Output = Result<Report, Failure>> + Send + 'a>> {
        Box::pin(async move {
            match scope {
                Scope::Listing => self.list().await.map(Report::Listing),
                Scope::Queue(key) => self.queue(key).await.map(Report::Queue),
                // Records are read all together; nobody asks for less.
                Scope::Worker(_) => Err(Failure::Unimplemented),
            }
        })
    }
}
