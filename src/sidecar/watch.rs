//! The looks: each piece of evidence has a task of its own, so that one that hangs holds up no other.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::sleep;

use super::beat::BeatSeen;
use super::board::Board;
use super::file::BeatPath;
use super::judge::{METRICS_INTERVAL, PROCESS_INTERVAL};
use super::locate::Locate;
use super::metrics::Metrics;
use crate::observe::redis::OwnKey;
use crate::observe::temporal::{OwnWorker, Whose};

/// A look at Temporal, all its questions together.
const TEMPORAL_TIMEOUT: Duration = Duration::from_secs(5);

/// Looks at the process for ever.
pub(super) async fn process(board: Arc<Board>, locate: Arc<Mutex<Locate>>) {
    loop {
        let seen = locate.lock().unwrap_or_else(PoisonError::into_inner).look();
        let now = board.clock().now();
        board.with(|judge| {
            if let Some(process) = &mut judge.process {
                process.look(now, PROCESS_INTERVAL, seen);
            }
        });
        sleep(PROCESS_INTERVAL).await;
    }
}

/// Looks at the heartbeat file for ever.
pub(super) async fn file(board: Arc<Board>, path: BeatPath) {
    loop {
        let outcome = path.look().await;
        let (now, wall) = (board.clock().now(), board.clock().wall());
        let interval = board.with(|judge| {
            judge.file.as_mut().map(|file| {
                file.look(now, wall, outcome);
                file.interval()
            })
        });
        let Some(interval) = interval else { return };
        sleep(interval).await;
    }
}

/// Looks at the key in Redis for ever.
pub(super) async fn redis(board: Arc<Board>, key: OwnKey) {
    loop {
        let outcome = key.look().await.map(|found| match found {
            Some((beat, says)) => BeatSeen::of(Some(beat), says),
            None => BeatSeen::default(),
        });
        let (now, wall) = (board.clock().now(), board.clock().wall());
        let interval = board.with(|judge| {
            judge.redis.as_mut().map(|redis| {
                redis.look(now, wall, outcome);
                redis.interval()
            })
        });
        let Some(interval) = interval else { return };
        sleep(interval).await;
    }
}

/// Looks at the worker's own metrics for ever.
pub(super) async fn metrics(board: Arc<Board>, metrics: Metrics) {
    loop {
        let outcome = metrics.look().await;
        let (now, wall) = (board.clock().now(), board.clock().wall());
        board.with(|judge| {
            if let Some(watch) = &mut judge.metrics {
                watch.look(now, wall, METRICS_INTERVAL, outcome);
            }
        });
        sleep(METRICS_INTERVAL).await;
    }
}

/// Asks Temporal about the worker for ever.
pub(super) async fn temporal(board: Arc<Board>, worker: OwnWorker, whose: Whose, locate: Option<Arc<Mutex<Locate>>>) {
    let mut interval = Duration::ZERO;
    loop {
        let wanted = board.with(|judge| judge.temporal.as_ref().map(super::registration::TemporalWatch::wanted));
        let Some(wanted) = wanted else { return };
        let mut outcome = worker.look(&whose, &wanted, TEMPORAL_TIMEOUT).await;
        if let (Ok(seen), Some(locate)) = (&mut outcome, &locate) {
            let locate = locate.lock().unwrap_or_else(PoisonError::into_inner);
            // A pid that is not one of ours is that of a neighbour, or of who was here before. An SDK that reports none is
            // known by its host alone.
            seen.workers.retain(|seen| {
                let pid = seen.info.pid.as_deref().and_then(|pid| pid.parse().ok());
                pid.is_none_or(|pid| locate.is_ours(pid))
            });
        }
        let (now, wall) = (board.clock().now(), board.clock().wall());
        let next = board.with(|judge| {
            judge.temporal.as_mut().map(|temporal| {
                temporal.look(now, wall, interval, outcome);
                temporal.interval(now)
            })
        });
        let Some(next) = next else { return };
        interval = next;
        sleep(interval).await;
    }
}
