//! Dramatiq: see `verdict/src/read/dramatiq.rs` for the layout.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use redis::Pipeline;
use redis::aio::MultiplexedConnection;
use verdict::evidence::QueueReport;
use verdict::read::dramatiq::{self, Broker};
use verdict::read::hash::Around;
use verdict::time::{Moment, WallTime};

use super::super::connect::Refusal;
use super::super::queue;
use super::{BATCH, FrameworkSource, Walk, head};

/// Ids are never taken out for certain, and every process that enqueues leaves one: the newest are enough.
const NEWEST: isize = 5000;
/// Dramatiq's own timeout.
const OFFLINE: Duration = Duration::from_secs(60);
/// No look adds more than this to a silence: what was not watched is not held against anybody.
const WATCHED: Duration = Duration::from_secs(30);
/// The queue of a broker that names none.
const DEFAULT: &str = "default";

/// What is remembered of the ids that were in the last look.
pub(super) type Brokers = HashMap<Arc<str>, Seen>;

/// See [`Brokers`].
#[derive(Debug, Clone, Copy)]
pub(super) struct Seen {
    beat: f64,
    looked: Moment,
    silent: Duration,
    /// It held a message once: it is a worker, and not a process that only enqueues.
    worker: bool,
}

impl FrameworkSource {
    pub(super) async fn dramatiq(&self, redis: &mut MultiplexedConnection) -> Result<Walk, Refusal> {
        let index = format!("{}:__heartbeats__", self.prefix);
        let newest: Vec<(Vec<u8>, f64)> =
            redis::cmd("ZREVRANGE").arg(&index).arg(0).arg(NEWEST - 1).arg("WITHSCORES").query_async(redis).await?;
        // What is no text is no id of Dramatiq's, and spoils no other.
        let text = |id: Vec<u8>| String::from_utf8(id).ok().filter(|id| !id.trim().is_empty());
        let newest: Vec<(String, f64)> = newest.into_iter().filter_map(|(id, beat)| Some((text(id)?, beat))).collect();
        let queues = self.dramatiq_queues();
        let mut brokers = Vec::with_capacity(newest.len());
        for batch in newest.chunks((BATCH / queues.len()).max(1)) {
            let mut pipe = Pipeline::new();
            for (id, _) in batch {
                for queue in &queues {
                    let acks = format!("{}:__acks__.{id}.{queue}", self.prefix);
                    pipe.cmd("SCARD").arg(&acks).cmd("SCARD").arg(format!("{acks}.DQ"));
                }
            }
            let counts: Vec<u64> = pipe.query_async(redis).await?;
            for ((id, beat), counts) in batch.iter().zip(counts.chunks(queues.len() * 2)) {
                let pairs = queues.iter().zip(counts.chunks(2));
                let holds = pairs.map(|(queue, counts)| (Arc::clone(queue), counts.first().copied().unwrap_or(0)));
                let delayed = counts.iter().skip(1).step_by(2).fold(0_u64, |sum, count| sum.saturating_add(*count));
                brokers.push(Broker {
                    id: id.as_str().into(),
                    beat: *beat,
                    holds: holds.collect(),
                    delayed,
                    offline: false,
                });
            }
        }
        self.tell_workers(&mut brokers);
        let around = Around { fleet: &self.fleet, ttl: None, now: WallTime::default() };
        let records = brokers.iter().map(|broker| dramatiq::worker(broker, &self.prefix, &around)).collect();
        Ok(Walk { records, queues, ..Walk::default() })
    }

    /// Leaves the workers, and says which of them went offline.
    fn tell_workers(&self, brokers: &mut Vec<Broker>) {
        let now = self.now();
        let mut before = self.brokers.lock().unwrap_or_else(PoisonError::into_inner);
        let mut seen = Brokers::new();
        brokers.retain_mut(|broker| {
            let last = before.get(&broker.id);
            let holds = broker.delayed > 0 || broker.holds.iter().any(|(_, count)| *count > 0);
            let still = last.filter(|last| last.beat.total_cmp(&broker.beat).is_eq());
            let silent = still.map_or(Duration::ZERO, |last| last.silent + now.since(last.looked).min(WATCHED));
            let worker = holds || last.is_some_and(|last| last.worker);
            seen.insert(Arc::clone(&broker.id), Seen { beat: broker.beat, looked: now, silent, worker });
            broker.offline = silent >= OFFLINE;
            worker
        });
        *before = seen;
    }

    fn dramatiq_queues(&self) -> Vec<Arc<str>> {
        if self.queues.is_empty() { vec![Arc::from(DEFAULT)] } else { self.queues.clone() }
    }

    /// A list of message ids, served at the left; when a message was made stands in it. One that was delayed or tried
    /// again is older than its wait.
    pub(super) async fn dramatiq_queue(
        &self,
        redis: &mut MultiplexedConnection,
        name: &str,
    ) -> Result<QueueReport, Refusal> {
        let key = format!("{}:{name}", self.prefix);
        let (mut report, head, now) = head(redis, &key, 0).await?;
        if let Some(id) = head {
            let message: Option<Vec<u8>> =
                redis::cmd("HGET").arg(format!("{key}.msgs")).arg(id).query_async(redis).await?;
            let stamp = message.and_then(|message| verdict::read::queue::stamp(&message));
            report.backlog_age = queue::age(stamp, now);
        }
        Ok(report)
    }
}
