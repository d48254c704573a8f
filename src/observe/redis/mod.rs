//! Source: redis. Heartbeat keys, found by SCAN and read in batches.
//!
//! One look is one walk over the keys of the pattern, then `GETRANGE` and `PTTL` for each. Never KEYS, which stops the
//! server; never a whole value of unknown size. Redis is single-threaded and not ours: it serves the workers first.

pub mod celery;
mod cluster;
mod connect;
mod failure;
pub mod framework;
mod links;
mod memory;
mod meter;
mod own;
mod pattern;
mod queue;

use std::collections::HashSet;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use redis::aio::MultiplexedConnection;
use redis::{RedisResult, Value};
use verdict::evidence::{Beat, Listing, Observation, QueueKey, QueueReport, Report, Scope, Slot, WorkerKey};
use verdict::read::heartbeat;
use verdict::time::Moment;
use verdict::words::Failure;

pub use self::own::OwnKey;

use self::cluster::{Asking, Moves};
use self::connect::Refusal;
use self::links::{Link, Links};
use self::memory::{Memory, Server, Sighting};
use self::pattern::Pattern;
use crate::config;
use crate::observe::Observe;
use crate::observe::legible::legible;

/// Asked of each step of SCAN: a fraction of a millisecond of the server's time.
const SCAN_COUNT: usize = 1000;
/// More steps than this: a database of about a hundred million keys, or a cursor that never comes back to 0.
const MAX_STEPS: usize = 100_000;
/// More heartbeats than this are not heartbeats: the pattern matches something else.
const MAX_KEYS: usize = 200_000;
/// Keys read in one round trip.
const BATCH: usize = 500;
/// A heartbeat larger than this is not read.
const MAX_VALUE: usize = 64 * 1024;

/// A Redis that holds heartbeats. Nothing happens before the first look, so it never fails to be made.
#[derive(Debug)]
pub struct RedisSource {
    fleet: Arc<str>,
    aliases: Aliases,
    links: Links,
    pattern: Pattern,
    born: Instant,
    memory: Mutex<Memory>,
    moves: Moves,
}

/// Whether records are joined with those of other sources by host and process id.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Aliases {
    None,
    HostPid,
}

/// One key, read.
struct Found {
    key: Vec<u8>,
    value: Vec<u8>,
    sighting: Sighting,
}

/// Everything one walk brought.
#[derive(Default)]
struct Walk {
    server: Server,
    found: Vec<Found>,
    unreadable: Vec<(Arc<str>, Failure)>,
    /// Keys that the node lists and sends us elsewhere for.
    elsewhere: Vec<Vec<u8>>,
    /// Keys that another node of the cluster has by now.
    moved: Vec<Vec<u8>>,
}

impl RedisSource {
    /// The source `source`, whose particulars are `redis`.
    #[must_use]
    pub fn new(source: &config::Source, redis: &config::RedisSource) -> Self {
        Self {
            fleet: Arc::clone(source.fleet.as_ref().unwrap_or(&source.name)),
            links: Links::new(source, &redis.server),
            aliases: if source.match_host_pid { Aliases::HostPid } else { Aliases::None },
            pattern: Pattern::new(&redis.pattern),
            born: Instant::now(),
            memory: Mutex::default(),
            moves: Moves::default(),
        }
    }

    fn now(&self) -> Moment {
        Moment::after_start(self.born.elapsed())
    }

    /// One look at all heartbeats.
    async fn list(&self) -> Result<Listing, Failure> {
        let walk = self.links.bounded("", async {
            let mut link = self.links.take(links::LISTING).await?;
            let walk = self.walk(&mut link).await;
            self.links.done(link, walk)
        });
        Ok(self.conclude(walk.await?))
    }

    /// One look at one of the configured queues.
    async fn queue(&self, key: &QueueKey) -> Result<QueueReport, Failure> {
        let look = self.links.bounded(&key.task_queue, async {
            let mut link = self.links.take(links::QUEUE).await?;
            let report = queue::look(&mut link.redis, &key.task_queue).await;
            self.links.done(link, report)
        });
        look.await
    }

    async fn walk(&self, link: &mut Link) -> Result<Walk, Refusal> {
        let server = self.links.identify(link).await?;
        let (keys, unreadable) = self.scan(&mut link.redis).await?;
        let found = Vec::with_capacity(keys.len());
        let mut walk = Walk { server, found, unreadable, ..Walk::default() };
        for batch in keys.chunks(BATCH) {
            self.read(&mut link.redis, batch, Asking::No, &mut walk).await?;
        }
        self.follow(&mut link.redis, &mut walk).await?;
        let denied = |(_, failure): &(Arc<str>, Failure)| *failure == Failure::PermissionDenied;
        if walk.found.is_empty() && !walk.unreadable.is_empty() && walk.unreadable.iter().all(denied) {
            let why = "the user may not read the keys that it may list: it needs GETRANGE and PTTL on the pattern";
            return Err(Refusal { failure: Failure::PermissionDenied, why: why.to_owned() });
        }
        Ok(walk)
    }

    /// All keys of the pattern, each once, and those whose name is no worker's.
    async fn scan(
        &self,
        redis: &mut MultiplexedConnection,
    ) -> Result<(Vec<Vec<u8>>, Vec<(Arc<str>, Failure)>), Refusal> {
        let glob = self.pattern.glob();
        let mut keys = HashSet::new();
        let mut cursor = 0_u64;
        for _ in 0..MAX_STEPS {
            let mut step = redis::cmd("SCAN");
            step.arg(cursor).arg("MATCH").arg(glob.as_slice()).arg("COUNT").arg(SCAN_COUNT);
            let (next, names): (u64, Vec<Vec<u8>>) = step.query_async(redis).await?;
            keys.extend(names);
            if keys.len() > MAX_KEYS {
                let why = format!("more than {MAX_KEYS} keys match the pattern; make it narrower");
                return Err(Refusal { failure: Failure::Paging, why });
            }
            if next == 0 {
                let (good, bad): (Vec<_>, Vec<_>) = keys.into_iter().partition(|key| self.pattern.id(key).is_some());
                return Ok((good, bad.iter().map(|key| (shortened(key), Failure::FieldInvalid)).collect()));
            }
            cursor = next;
        }
        let why = format!("SCAN did not end after {MAX_STEPS} steps; give heartbeats a database of their own");
        Err(Refusal { failure: Failure::Paging, why })
    }

    async fn read(
        &self,
        redis: &mut MultiplexedConnection,
        batch: &[Vec<u8>],
        asking: Asking,
        walk: &mut Walk,
    ) -> Result<(), Refusal> {
        let mut pipe = redis::Pipeline::with_capacity(batch.len() * 4);
        for key in batch {
            // One byte more than is allowed tells the large from the largest that fits.
            asking.before(&mut pipe).cmd("GETRANGE").arg(key.as_slice()).arg(0).arg(MAX_VALUE);
            asking.before(&mut pipe).cmd("PTTL").arg(key.as_slice());
        }
        pipe.ignore_errors();
        let sent = self.now();
        let answers: Vec<RedisResult<Value>> = pipe.query_async(redis).await?;
        let received = self.now();
        let mut answers = asking.answers(answers);
        for key in batch {
            let (Some(value), Some(ttl)) = (answers.next(), answers.next()) else {
                let why = "fewer answers than questions".to_owned();
                return Err(Refusal { failure: Failure::Protocol, why });
            };
            match entry(value, ttl)? {
                Entry::Held { value, .. } if value.len() > MAX_VALUE => {
                    walk.unreadable.push((shortened(key), Failure::BodyTooLarge));
                }
                Entry::Held { value, ttl } => {
                    walk.found.push(Found { key: key.clone(), value, sighting: Sighting { sent, received, ttl } });
                }
                Entry::Unreadable(failure) => walk.unreadable.push((shortened(key), failure)),
                Entry::Vanished => {}
                Entry::Elsewhere => match asking {
                    Asking::No => walk.elsewhere.push(key.clone()),
                    Asking::Yes => walk.moved.push(key.clone()),
                },
            }
        }
        Ok(())
    }

    /// From what was read to evidence, against what the last look left behind.
    fn conclude(&self, walk: Walk) -> Listing {
        let mut memory = self.memory.lock().unwrap_or_else(PoisonError::into_inner);
        let reset = memory.lost(&walk.server, self.now(), walk.found.iter().map(|found| found.key.as_slice()));
        let records = walk.found.iter().filter_map(|found| self.observation(&memory, found)).collect();
        memory.replace(walk.server, walk.found.into_iter().map(|found| (found.key, found.sighting)));
        let moved = walk.moved.iter().map(|key| legible(key)).collect();
        Listing { records, reset, heartbeats: true, unreadable: walk.unreadable, moved, ..Listing::default() }
    }

    fn observation(&self, memory: &Memory, found: &Found) -> Option<Observation> {
        let id = self.pattern.id(&found.key)?;
        let reading = heartbeat::read(&found.value);
        let slot = Slot { key: WorkerKey::new(Arc::clone(&self.fleet), id), exclusive: true };
        let mut observation = Observation::new(legible(&found.key), slot);
        observation.beat = Some(Beat {
            mark: reading.mark(&found.value, memory.refreshes(&found.key, &found.sighting)),
            stamp: reading.stamp,
            declared: reading.declared,
            // It stands in a store: its freezing says nothing about a web server in front of it.
            own_answer: false,
            // The key's own name promises a heartbeat.
            on_trial: false,
        });
        if let (Aliases::HostPid, Some(host), Some(pid)) = (self.aliases, &reading.info.host, &reading.info.pid) {
            observation.alias = Some(Arc::from(format!("{host}/{pid}")));
        }
        observation.says = reading.says;
        observation.numbers = reading.numbers;
        observation.info = reading.info;
        observation.task_queues = reading.task_queues;
        observation.expires_in = found.sighting.ttl;
        Some(observation)
    }
}

/// A key for the log, at a length that can be read.
fn shortened(key: &[u8]) -> Arc<str> {
    legible(key.get(..256).unwrap_or(key))
}

/// What the server holds under a key.
enum Entry {
    Held {
        value: Vec<u8>,
        ttl: Option<Duration>,
    },
    /// It expired or was deleted since it was listed.
    Vanished,
    /// Another node of the cluster has it.
    Elsewhere,
    Unreadable(Failure),
}

/// Reads the two answers about one key. What concerns this key alone spares the others; the rest fails the look.
fn entry(value: RedisResult<Value>, ttl: RedisResult<Value>) -> Result<Entry, Refusal> {
    if let Some(error) = [&value, &ttl].into_iter().find_map(|answer| answer.as_ref().err()) {
        return match failure::of(error) {
            reason @ (Failure::WrongType | Failure::PermissionDenied) => Ok(Entry::Unreadable(reason)),
            _ if cluster::sends_elsewhere(error) => Ok(Entry::Elsewhere),
            _ => Err(error.clone().into()),
        };
    }
    match (value, ttl) {
        (_, Ok(Value::Int(-2))) => Ok(Entry::Vanished),
        (Ok(Value::BulkString(value)), Ok(Value::Int(ttl))) => {
            Ok(Entry::Held { value, ttl: u64::try_from(ttl).ok().map(Duration::from_millis) })
        }
        _ => {
            Err(Refusal { failure: Failure::Protocol, why: "an answer of another kind than was asked for".to_owned() })
        }
    }
}

impl Observe for RedisSource {
    fn look<'a>(&'a self, scope: &'a Scope) -> Pin<Box<dyn Future<Output = Result<Report, Failure>> + Send + 'a>> {
        Box::pin(async move {
            match scope {
                Scope::Listing => self.list().await.map(Report::Listing),
                Scope::Queue(key) => self.queue(key).await.map(Report::Queue),
                // Keys are read all together; nobody asks for less.
                Scope::Worker(_) => Err(Failure::Unimplemented),
            }
        })
    }
}
