//! What Dramatiq's Redis broker keeps of the processes that use it.
//!
//! The layout is that of Dramatiq 2.2.1 (`dramatiq/brokers/redis.py`, `dramatiq/brokers/redis/dispatch.lua`). Under the
//! namespace `dramatiq`:
//!
//! - `dramatiq:__heartbeats__`: a sorted set of broker ids, scored with the milliseconds of the last command; a worker's
//!   consumers send one about each second, and a process that only enqueues when it does so. Ids are random and new at
//!   each start; one that is silent for 60 s (`heartbeat_timeout`) is offline, and is taken out by chance.
//! - `dramatiq:__acks__.<id>.<queue>`: a set of the messages that it has fetched and not finished. A clean end gives
//!   them back, and leaves the heartbeat.
//! - `dramatiq:<queue>`: a list of message ids, filled at the right and served at the left; `dramatiq:<queue>.msgs`: a
//!   hash of the messages, JSON with `message_timestamp` in milliseconds.

use std::sync::Arc;
use std::time::Duration;

use super::hash::Around;
use crate::evidence::{Beat, Hands, Info, Mark, Numbers, Observation, Says, Upkeep};
use crate::time::WallTime;

/// Dramatiq's own `heartbeat_timeout`. Beats come far more often, but a cadence of seconds is promised nowhere.
const BEAT: Duration = Duration::from_secs(60);

/// One broker id at one look.
#[derive(Clone, Debug, PartialEq)]
pub struct Broker {
    /// Its id.
    pub id: Arc<str>,
    /// Its score: milliseconds.
    pub beat: f64,
    /// How many messages of which queues it holds.
    pub holds: Vec<(Arc<str>, u64)>,
    /// Messages that it keeps until they are due.
    pub delayed: u64,
    /// It has been silent for longer than Dramatiq's own timeout, as far as we watched.
    pub offline: bool,
}

/// Reads one worker. The caller has told it from a process that only enqueues.
#[must_use]
pub fn worker(broker: &Broker, namespace: &str, around: &Around<'_>) -> Observation {
    // Nothing of it stays over a restart but that it is one of so many.
    let mut worker = Observation::new(Arc::clone(&broker.id), around.shared(namespace));
    let beat = WallTime::from_seconds(broker.beat / 1000.0).filter(|_| broker.beat > 0.0);
    worker.beat = Some(Beat {
        mark: beat.map(Mark::stamp),
        stamp: beat,
        declared: Some(BEAT),
        own_answer: false,
        on_trial: false,
    });
    worker.upkeep = Upkeep::Promised;
    let held = broker.holds.iter().map(|(_, count)| count).fold(0_u64, |sum, count| sum.saturating_add(*count));
    // A clean end gives back what it held; who dies idle looks the same, and loses nothing.
    worker.says = Says { goodbye: broker.offline && held == 0 && broker.delayed == 0, ..Says::default() };
    worker.hands = match (held, beat) {
        (0, _) => Some(Hands::Empty),
        (_, Some(beat)) => Some(Hands::Full(Mark::stamp(beat))),
        (_, None) => None,
    };
    worker.numbers = Numbers { in_flight: Some(held), ..Numbers::default() };
    worker.info = Info { instance: Some(Arc::clone(&broker.id)), sdk_name: Some("dramatiq".into()), ..Info::default() };
    worker.task_queues =
        broker.holds.iter().filter(|(_, count)| *count > 0).map(|(queue, _)| Arc::clone(queue)).collect();
    worker
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use proptest::prelude::*;

    use super::*;

    fn broker(held: u64, offline: bool) -> Broker {
        let holds = vec![(Arc::from("mail"), held), (Arc::from("bulk"), 0)];
        Broker { id: Arc::from("3f2a"), beat: 1_764_000_000_500.0, holds, delayed: 0, offline }
    }

    fn read(broker: &Broker) -> Observation {
        let fleet = Arc::from("mailers");
        worker(broker, "dramatiq", &Around { fleet: &fleet, ttl: None, now: WallTime::default() })
    }

    #[test]
    fn a_worker_that_holds_messages_serves_their_queues_and_is_busy() {
        let w = read(&broker(3, false));
        assert_eq!((&*w.slot.key.worker, w.slot.exclusive, w.upkeep), ("dramatiq", false, Upkeep::Promised));
        assert_eq!(w.task_queues.iter().map(|q| &**q).collect::<Vec<_>>(), ["mail"]);
        assert_eq!((w.numbers.in_flight, w.says.goodbye), (Some(3), false));
        let at = WallTime::from_micros(1_764_000_000_500_000);
        assert_eq!((w.beat.unwrap().stamp, w.hands), (Some(at), Some(Hands::Full(Mark::stamp(at)))));
        assert_eq!(w.beat.unwrap().declared, Some(BEAT));
    }

    #[test]
    fn who_is_offline_and_holds_nothing_left_and_who_holds_something_did_not() {
        assert!(read(&broker(0, true)).says.goodbye);
        assert!(!read(&broker(1, true)).says.goodbye);
        assert!(!read(&Broker { delayed: 1, ..broker(0, true) }).says.goodbye);
        assert_eq!((read(&broker(0, false)).says.goodbye, read(&broker(0, false)).hands), (false, Some(Hands::Empty)));
    }

    #[test]
    fn a_score_that_is_no_time_is_no_beat() {
        for beat in [0.0, -1.0, f64::NAN, f64::INFINITY, 1e300] {
            let w = read(&Broker { beat, ..broker(2, false) });
            assert_eq!((w.beat.unwrap().mark, w.hands), (None, None), "{beat}");
        }
    }

    proptest! {
        #[test]
        fn no_score_makes_it_panic(beat in any::<f64>(), held in any::<u64>()) {
            let _ = read(&Broker { beat, holds: vec![("a".into(), held), ("b".into(), u64::MAX)], ..broker(0, true) });
        }
    }
}
