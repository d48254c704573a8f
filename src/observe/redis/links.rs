//! The connections of one source to its Redis, and what every kind of source on Redis does alike: a look under one
//! deadline and with a cap, a connection that is kept only while all goes well, a complaint that is said once.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use redis::RedisResult;
use redis::aio::MultiplexedConnection;
use verdict::words::Failure;

use super::cluster;
use super::connect::{self, Refusal};
use super::failure;
use super::memory::{self, Server};
use super::meter::{Allowance, TooLarge};
use crate::config;

/// Looks at queues run beside a listing; more connections than this are not kept for them.
const KEPT: usize = 4;
/// Errors of so many queues are remembered; more begin anew.
const COMPLAINTS: usize = 1000;
/// What one look may receive. A listing of 200,000 heartbeats of a kilobyte fits.
pub(super) const LISTING: usize = 256 << 20;
/// What a look at one queue may receive: its head comes whole, whatever somebody put there.
pub(super) const QUEUE: usize = 4 << 20;

/// Whether we may ask. Each refused command lands in the server's ACL log, so it is not repeated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Permission {
    Allowed,
    Refused,
}

/// A connection, and what the server was found to refuse on it.
pub(super) struct Link {
    pub(super) redis: MultiplexedConnection,
    allowance: Allowance,
    info: Permission,
    cluster_info: Permission,
    /// A replica of a cluster was told that we only read.
    reads_replica: bool,
}

/// See the module.
#[derive(Debug)]
pub(super) struct Links {
    name: Arc<str>,
    timeout: Duration,
    server: config::RedisServer,
    idle: Mutex<Vec<Link>>,
    /// What stands in the log, by what was looked at: the error that its last look came to.
    complaints: Mutex<BTreeMap<String, String>>,
    /// The masters of the cluster, as it stands in the log.
    masters: AtomicU64,
}

impl std::fmt::Debug for Link {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Link").field("info", &self.info).finish_non_exhaustive()
    }
}

impl Links {
    pub(super) fn new(source: &config::Source, server: &config::RedisServer) -> Self {
        if server.tls.insecure_skip_verify {
            tracing::warn!(
                source = &*source.name,
                "insecure_skip_verify: the Redis server's certificate is not verified; anybody can answer in its place"
            );
        }
        Self {
            name: Arc::clone(&source.name),
            timeout: source.timeout,
            server: server.clone(),
            idle: Mutex::default(),
            complaints: Mutex::default(),
            masters: AtomicU64::new(1),
        }
    }

    /// A connection for one look, which may receive so many bytes. [`Self::done`] keeps it only if all went well: after any
    /// failure, and when a look is dropped half way, the next one resolves, connects and authenticates anew. That is how
    /// a failover is followed.
    pub(super) async fn take(&self, bytes: usize) -> Result<Link, Refusal> {
        let held = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let link = match held {
            Some(link) => link,
            None => {
                let allowance = Allowance::default();
                allowance.fill(bytes);
                let redis = connect::open(&self.server, allowance.clone()).await?;
                Link {
                    redis,
                    allowance,
                    info: Permission::Allowed,
                    cluster_info: Permission::Allowed,
                    reads_replica: false,
                }
            }
        };
        link.allowance.fill(bytes);
        Ok(link)
    }

    /// The source's name.
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// Keeps no connection: the next look opens one.
    pub(super) fn forget(&self) {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    fn give(&self, link: Link) {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        if idle.len() < KEPT {
            idle.push(link);
        }
    }

    /// What a look on this connection came to: an allowance that was used up has its own reason.
    pub(super) fn done<T>(&self, link: Link, done: Result<T, Refusal>) -> Result<T, Refusal> {
        match done {
            Ok(done) => {
                self.give(link);
                Ok(done)
            }
            Err(_) if link.allowance.exceeded() => {
                Err(Refusal { failure: Failure::BodyTooLarge, why: TooLarge.to_string() })
            }
            Err(refusal) => Err(refusal),
        }
    }

    /// Lets a look at `what` (a queue; nothing: the workers) run until the deadline. Ours as well as the envelope's, so
    /// that a dropped connection is a certainty and not a courtesy. What failed is complained of once, however many looks
    /// come to the same.
    pub(super) async fn bounded<T>(
        &self,
        what: &str,
        look: impl Future<Output = Result<T, Refusal>>,
    ) -> Result<T, Failure> {
        let refusal = match tokio::time::timeout(self.timeout, look).await {
            Ok(Ok(done)) => {
                self.content(what);
                return Ok(done);
            }
            Ok(Err(refusal)) => refusal,
            Err(_) => Refusal { failure: Failure::Timeout, why: Failure::Timeout.meaning().to_owned() },
        };
        Err(self.complain(what, refusal))
    }

    /// All went well: the next complaint about it is news again.
    fn content(&self, what: &str) {
        let mut complaints = self.complaints.lock().unwrap_or_else(PoisonError::into_inner);
        if complaints.remove(what).is_some() && complaints.is_empty() {
            tracing::info!(source = &*self.name, url = %self.server.url, reason = "ok", "Redis is read again");
        }
    }

    fn complain(&self, what: &str, refusal: Refusal) -> Failure {
        let mut complaints = self.complaints.lock().unwrap_or_else(PoisonError::into_inner);
        // A server that is away is away for every queue.
        let known = complaints.values().any(|why| *why == refusal.why);
        if complaints.len() >= COMPLAINTS {
            complaints.clear();
        }
        complaints.insert(what.to_owned(), refusal.why.clone());
        drop(complaints);
        if !known {
            tracing::warn!(
                source = &*self.name, url = %self.server.url, reason = refusal.failure.word(), error = refusal.why,
                "Redis could not be read",
            );
        }
        refusal.failure
    }

    /// Which server this is, and whether what it holds is what the workers wrote. Without the right to ask there is no
    /// telling a restart from an empty list, nor a replica that is cut off from workers that died; the rest stands.
    pub(super) async fn identify(&self, link: &mut Link) -> Result<Server, Refusal> {
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
        if server.sentinel {
            return Err(Refusal { failure: Failure::Unimplemented, why: connect::SENTINEL.to_owned() });
        }
        if server.cut_off {
            // By default it goes on serving what it had: every heartbeat in it stands still, and no worker died.
            let why = "a replica whose link to its master is down: what it holds is old".to_owned();
            return Err(Refusal { failure: Failure::ReadOnly, why });
        }
        if server.cluster {
            self.ask_cluster(link).await?;
            if server.replica && !link.reads_replica {
                // Refused, it sends us elsewhere for each key, and that is told there.
                let _: RedisResult<()> = redis::cmd("READONLY").query_async(&mut link.redis).await;
                link.reads_replica = true;
            }
        }
        Ok(server)
    }

    /// Says of how many masters this is one: once, and again when there are more or fewer.
    fn tell_masters(&self, masters: Option<u64>) {
        let Some(masters) = masters else { return };
        if self.masters.swap(masters, Ordering::Relaxed) != masters && masters > 1 {
            tracing::info!(
                source = &*self.name, url = %self.server.url, masters,
                "this is one node of a cluster: it shows the keys of its own slots and no others. Give each master a \
                 source of its own, all of the same fleet",
            );
        }
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
            Ok(text) => {
                self.tell_masters(cluster::masters(&text));
                Ok(())
            }
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
}
