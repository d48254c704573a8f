//! Source: redis. Heartbeat keys, found by SCAN and read in batches.
//!
//! One look is one walk over the keys of the pattern, then `GETRANGE` and `PTTL` for each. Never KEYS, which stops the
//! server; never a whole value of unknown size. Redis is single-threaded and not ours: it serves the workers first.

mod connect;
mod failure;
mod memory;
mod pattern;

use std::collections::HashSet;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use redis::aio::MultiplexedConnection;
use redis::{RedisResult, Value};
use verdict::evidence::{Beat, Listing, Observation, Report, Scope, Slot, WorkerKey};
use verdict::read::heartbeat;
use verdict::time::Moment;
use verdict::words::Failure;

use self::connect::Refusal;
use self::memory::{Memory, Server, Sighting};
use self::pattern::Pattern;
use crate::config;
use crate::observe::Observe;

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
    name: Arc<str>,
    fleet: Arc<str>,
    timeout: Duration,
    aliases: Aliases,
    config: config::RedisSource,
    pattern: Pattern,
    born: Instant,
    connection: Mutex<Option<Link>>,
    memory: Mutex<Memory>,
    complaint: Mutex<Option<String>>,
}

/// Whether records are joined with those of other sources by host and process id.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Aliases {
    None,
    HostPid,
}

/// A connection, and what the server was found to refuse on it.
struct Link {
    redis: MultiplexedConnection,
    info: Permission,
    cluster_info: Permission,
}

impl std::fmt::Debug for Link {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Link").field("info", &self.info).finish_non_exhaustive()
    }
}

/// Whether we may ask. Each refused command lands in the server's ACL log, so it is not repeated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Permission {
    Allowed,
    Refused,
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
}

impl RedisSource {
    /// The source `source`, whose particulars are `redis`.
    #[must_use]
    pub fn new(source: &config::Source, redis: &config::RedisSource) -> Self {
        if redis.tls.insecure_skip_verify {
            tracing::warn!(
                source = &*source.name,
                "insecure_skip_verify: the Redis server's certificate is not verified; anybody can answer in its place"
            );
        }
        Self {
            name: Arc::clone(&source.name),
            fleet: Arc::clone(source.fleet.as_ref().unwrap_or(&source.name)),
            timeout: source.timeout,
            aliases: if source.match_host_pid { Aliases::HostPid } else { Aliases::None },
            pattern: Pattern::new(&redis.pattern),
            config: redis.clone(),
            born: Instant::now(),
            connection: Mutex::new(None),
            memory: Mutex::default(),
            complaint: Mutex::default(),
        }
    }

    fn now(&self) -> Moment {
        Moment::after_start(self.born.elapsed())
    }

    /// One look at all heartbeats. The connection is kept only if all went well: after any failure, and when the look is
    /// dropped half way, the next one resolves, connects and authenticates anew. That is how a failover is followed.
    async fn list(&self) -> Result<Listing, Failure> {
        // Ours as well as the envelope's, so that a dropped connection is a certainty and not a courtesy.
        let walk = tokio::time::timeout(self.timeout, async {
            let held = self.connection.lock().unwrap_or_else(PoisonError::into_inner).take();
            let mut link = match held {
                Some(link) => link,
                None => Link {
                    redis: connect::open(&self.config).await?,
                    info: Permission::Allowed,
                    cluster_info: Permission::Allowed,
                },
            };
            let walk = self.walk(&mut link).await?;
            *self.connection.lock().unwrap_or_else(PoisonError::into_inner) = Some(link);
            Ok(walk)
        });
        match walk.await {
            Ok(Ok(walk)) => {
                *self.complaint.lock().unwrap_or_else(PoisonError::into_inner) = None;
                Ok(self.conclude(walk))
            }
            Ok(Err(refusal)) => Err(self.complain(refusal)),
            Err(_) => Err(Failure::Timeout),
        }
    }

    /// Says once why; the same complaint is not repeated at each look.
    fn complain(&self, refusal: Refusal) -> Failure {
        let mut last = self.complaint.lock().unwrap_or_else(PoisonError::into_inner);
        if last.as_ref() != Some(&refusal.why) {
            tracing::warn!(
                source = &*self.name, url = %self.config.url, reason = refusal.failure.word(), error = refusal.why,
                "Redis could not be read",
            );
            *last = Some(refusal.why);
        }
        refusal.failure
    }

    async fn walk(&self, link: &mut Link) -> Result<Walk, Refusal> {
        let server = self.identify(link).await?;
        let (keys, unreadable) = self.scan(&mut link.redis).await?;
        let mut walk = Walk { server, found: Vec::with_capacity(keys.len()), unreadable };
        for batch in keys.chunks(BATCH) {
            self.read(&mut link.redis, batch, &mut walk).await?;
        }
        let denied = |(_, failure): &(Arc<str>, Failure)| *failure == Failure::PermissionDenied;
        if walk.found.is_empty() && !walk.unreadable.is_empty() && walk.unreadable.iter().all(denied) {
            let why = "the user may not read the keys that it may list: it needs GETRANGE and PTTL on the pattern";
            return Err(Refusal { failure: Failure::PermissionDenied, why: why.to_owned() });
        }
        Ok(walk)
    }

    /// Which server this is, and whether what it holds is what the workers wrote. Without the right to ask there is no
    /// telling a restart from an empty list, nor a replica that is cut off from workers that died; the rest stands.
    async fn identify(&self, link: &mut Link) -> Result<Server, Refusal> {
        if link.info == Permission::Refused {
            return Ok(Server::default());
        }
        let mut pipe = redis::Pipeline::new();
        for section in ["server", "commandstats", "replication"] {
            pipe.cmd("INFO").arg(section);
        }
        pipe.ignore_errors();
        let answers: Vec<RedisResult<String>> = pipe.query_async(&mut link.redis).await?;
        let mut text = String::new();
        for answer in answers {
            match answer {
                Ok(part) => text.push_str(&part),
                Err(error) => {
                    let reason = failure::of(&error);
                    if !matches!(reason, Failure::PermissionDenied | Failure::Unimplemented | Failure::Internal) {
                        return Err(error.into());
                    }
                    link.info = Permission::Refused;
                    tracing::info!(
                        source = &*self.name,
                        reason = reason.word(),
                        "the user may not run INFO, so a restarted Redis cannot be told from workers that left, nor a \
                         replica without its master from workers that died; allow it with ACL SETUSER … +info",
                    );
                    return Ok(Server::default());
                }
            }
        }
        let server = memory::read_info(&text);
        if server.cut_off {
            // By default it goes on serving what it had: every heartbeat in it stands still, and no worker died.
            let why = "a replica whose link to its master is down: what it holds is old".to_owned();
            return Err(Refusal { failure: Failure::ReadOnly, why });
        }
        if server.cluster {
            self.ask_cluster(link).await?;
        }
        Ok(server)
    }

    /// A node of a cluster that is down lists its keys all the same, and an empty one lists nothing.
    async fn ask_cluster(&self, link: &mut Link) -> Result<(), Refusal> {
        if link.cluster_info == Permission::Refused {
            return Ok(());
        }
        let answer: RedisResult<String> = redis::cmd("CLUSTER").arg("INFO").query_async(&mut link.redis).await;
        match answer {
            Ok(text) if text.lines().any(|line| line.trim() == "cluster_state:fail") => {
                let why = "the cluster is down (cluster_state:fail)".to_owned();
                Err(Refusal { failure: Failure::ClusterDown, why })
            }
            Ok(_) => Ok(()),
            Err(error) if failure::of(&error) == Failure::PermissionDenied => {
                link.cluster_info = Permission::Refused;
                tracing::info!(
                    source = &*self.name,
                    "the user may not run CLUSTER INFO, so a cluster that is down and empty looks like one without \
                     workers; allow it with ACL SETUSER … +cluster|info",
                );
                Ok(())
            }
            Err(error) => Err(error.into()),
        }
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

    async fn read(&self, redis: &mut MultiplexedConnection, batch: &[Vec<u8>], walk: &mut Walk) -> Result<(), Refusal> {
        let mut pipe = redis::Pipeline::with_capacity(batch.len() * 2);
        for key in batch {
            // One byte more than is allowed tells the large from the largest that fits.
            pipe.cmd("GETRANGE").arg(key.as_slice()).arg(0).arg(MAX_VALUE);
            pipe.cmd("PTTL").arg(key.as_slice());
        }
        pipe.ignore_errors();
        let sent = self.now();
        let answers: Vec<RedisResult<Value>> = pipe.query_async(redis).await?;
        let received = self.now();
        let mut answers = answers.into_iter();
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
        Listing { records, retention: None, reset, heartbeats: true, unreadable: walk.unreadable }
    }

    fn observation(&self, memory: &Memory, found: &Found) -> Option<Observation> {
        let id = self.pattern.id(&found.key)?;
        let reading = heartbeat::read(&found.value);
        let slot = Slot { key: WorkerKey::new(Arc::clone(&self.fleet), id), exclusive: true };
        let mut observation = Observation::new(pattern::name(&found.key), slot);
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
    pattern::name(key.get(..256).unwrap_or(key))
}

/// What the server holds under a key.
enum Entry {
    Held {
        value: Vec<u8>,
        ttl: Option<Duration>,
    },
    /// It expired or was deleted since it was listed.
    Vanished,
    Unreadable(Failure),
}

/// Reads the two answers about one key. What concerns this key alone spares the others; the rest fails the look.
fn entry(value: RedisResult<Value>, ttl: RedisResult<Value>) -> Result<Entry, Refusal> {
    if let Some(error) = [&value, &ttl].into_iter().find_map(|answer| answer.as_ref().err()) {
        return match failure::of(error) {
            reason @ (Failure::WrongType | Failure::PermissionDenied) => Ok(Entry::Unreadable(reason)),
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
                // Keys are read all together; nobody asks for less.
                Scope::Worker(_) | Scope::Queue(_) => Err(Failure::Unimplemented),
            }
        })
    }
}
