//! Heartbeats on a node of a cluster.
//!
//! A node lists the keys that it holds, and answers for those whose slot it serves. While a slot is on its way to another
//! node the old one sends us there for a key that has left already (ASK), and the new one back for a key that has come
//! already (MOVED) unless we say ASKING. So a key can be gone from here while its worker lives: it is told to the ledger
//! as moved, which is neither expired nor a death.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use redis::aio::MultiplexedConnection;
use redis::{Pipeline, RedisError, RedisResult, Value};
use verdict::words::Failure;

use super::connect::Refusal;
use super::{BATCH, RedisSource, Walk};

/// A cluster that is resharded moves slots for hours: one line in this time says so.
const SAID: Duration = Duration::from_secs(600);

/// Whether a key is asked for that its slot's owner may not have yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Asking {
    Yes,
    No,
}

impl Asking {
    /// What stands before each command.
    pub(super) fn before(self, pipe: &mut Pipeline) -> &mut Pipeline {
        match self {
            Self::Yes => pipe.cmd("ASKING"),
            Self::No => pipe,
        }
    }

    /// The answers to the commands themselves.
    pub(super) fn answers(self, all: Vec<RedisResult<Value>>) -> impl Iterator<Item = RedisResult<Value>> {
        let (first, step) = match self {
            Self::Yes => (1, 2),
            Self::No => (0, 1),
        };
        all.into_iter().skip(first).step_by(step)
    }
}

/// What the log was told of keys that moved away.
#[derive(Debug, Default)]
pub(super) struct Moves(Mutex<Option<Instant>>);

impl Moves {
    /// True where it was not said lately.
    fn is_news(&self, now: Instant) -> bool {
        let mut said = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let news = said.is_none_or(|at| now.saturating_duration_since(at) >= SAID);
        if news {
            *said = Some(now);
        }
        news
    }
}

/// The node says that another one has this key.
pub(super) fn sends_elsewhere(error: &RedisError) -> bool {
    matches!(error.code(), Some("MOVED" | "ASK"))
}

/// How many masters have slots, by the answer to CLUSTER INFO.
pub(super) fn masters(info: &str) -> Option<u64> {
    info.lines().find_map(|line| line.trim().strip_prefix("cluster_size:")?.parse().ok())
}

impl RedisSource {
    /// Asks again for keys that are on their way to this node, and finds out which of those that it had are gone to
    /// another. Asks nothing of a server that is no node of a cluster.
    pub(super) async fn follow(&self, redis: &mut MultiplexedConnection, walk: &mut Walk) -> Result<(), Refusal> {
        let elsewhere = std::mem::take(&mut walk.elsewhere);
        if elsewhere.is_empty() && !walk.server.cluster {
            return Ok(());
        }
        for batch in elsewhere.chunks(BATCH) {
            self.read(redis, batch, Asking::Yes, walk).await?;
        }
        if walk.found.is_empty() && walk.unreadable.is_empty() && !walk.moved.is_empty() {
            // Neither a slot on its way, nor one key of many: a replica that was not told that we only read.
            let why = "the node lists heartbeats and sends us to another node for all of them: name a master, or allow \
                       ACL SETUSER … +readonly +asking";
            return Err(Refusal { failure: Failure::ClusterDown, why: why.to_owned() });
        }
        let missing = {
            let memory = self.memory.lock().unwrap_or_else(PoisonError::into_inner);
            let known = walk.found.iter().map(|found| found.key.as_slice());
            memory.missing(known.chain(walk.moved.iter().map(Vec::as_slice)))
        };
        for batch in missing.chunks(BATCH) {
            let mut pipe = Pipeline::with_capacity(batch.len());
            for key in batch {
                pipe.cmd("PTTL").arg(key.as_slice());
            }
            pipe.ignore_errors();
            let answers: Vec<RedisResult<Value>> = pipe.query_async(redis).await?;
            let gone = batch.iter().zip(answers).filter(|(_, answer)| answer.as_ref().is_err_and(sends_elsewhere));
            walk.moved.extend(gone.map(|(key, _)| key.clone()));
        }
        if !walk.moved.is_empty() && self.moves.is_news(Instant::now()) {
            tracing::info!(
                source = self.links.name(),
                heartbeats = walk.moved.len(),
                "heartbeats moved to another node of the cluster with their slots; their workers are seen where a source \
                 of the same fleet reads that node",
            );
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_masters_of_a_cluster_are_counted() {
        let text = "cluster_state:ok\r\ncluster_known_nodes:6\r\ncluster_size:3\r\n";
        assert_eq!(masters(text), Some(3));
        assert_eq!(masters("cluster_size:many\r\n"), None);
        assert_eq!(masters(""), None);
    }

    #[test]
    fn what_moves_for_hours_is_said_once_in_ten_minutes() {
        let (moves, now) = (Moves::default(), Instant::now());
        assert!(moves.is_news(now));
        assert!(!moves.is_news(now + Duration::from_secs(599)));
        assert!(moves.is_news(now + Duration::from_secs(600)));
    }

    #[test]
    fn of_what_was_asked_with_asking_the_answers_to_it_are_left_out() {
        let all = || [1, 2, 3, 4].map(|n| Ok(Value::Int(n))).into();
        assert_eq!(Asking::Yes.answers(all()).map(Result::unwrap).collect::<Vec<_>>(), [Value::Int(2), Value::Int(4)]);
        assert_eq!(Asking::No.answers(all()).count(), 4);
    }
}
