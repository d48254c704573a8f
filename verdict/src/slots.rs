//! Identity: which record is which worker. A record is an incarnation (an instance key); a worker is the stable slot it fills.
//!
//! Several living records may claim one slot name (two Temporal workers on one host): the later ones get an ordinal,
//! `name~2`. A record that comes while another holds the slot is either its successor or its neighbour, and only time
//! tells: if the holder moves again, both live; if it falls silent, it was replaced. Until then the newcomer waits unseen.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use crate::channel::Channel;
use crate::evidence::{Mark, Observation, WorkerKey};
use crate::time::{Moment, WallTime};

/// Where a record stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// It is the present incarnation of this worker.
    Holds(WorkerKey),
    /// It waits: the successor or the neighbour of whoever holds the slot.
    Waits,
    /// Replaced, left, tombstoned, or already dead at first sight: it comes back only when it changes.
    Buried,
}

/// What is remembered of a record.
#[derive(Clone, Debug)]
pub struct Record {
    /// Slot that it claims.
    pub claims: WorkerKey,
    /// Where it stands.
    pub place: Place,
    /// First seen.
    pub found: Moment,
    /// Its beat, as the source showed it last.
    pub mark: Option<Mark>,
    /// Its own stamp.
    pub stamp: Option<WallTime>,
    /// When it started, by its own clock.
    pub started: Option<WallTime>,
    /// Its host.
    pub host: Option<Arc<str>>,
    /// The name it polls under.
    pub identity: Option<Arc<str>>,
    /// The interval that it declares.
    pub declared: Option<Duration>,
    /// The last listing that had it.
    pub listed: Moment,
    /// It was dead at first sight: nobody's worker.
    pub leftover: bool,
    /// It was in the last listing.
    pub present: bool,
    /// When it last moved.
    pub moved: Option<Moment>,
    /// The look before that, which still showed it as it was: it moved after this.
    pub moved_after: Option<Moment>,
    /// Its beat while it waits, to be handed over with the slot.
    pub beat: Option<Channel>,
}

impl Record {
    /// At first sight.
    #[must_use]
    pub fn new(observation: &Observation, now: Moment) -> Self {
        Self {
            claims: observation.slot.key.clone(),
            place: Place::Waits,
            found: now,
            mark: observation.beat.and_then(|b| b.mark),
            stamp: observation.beat.and_then(|b| b.stamp),
            started: observation.info.start_time,
            host: observation.info.host.clone(),
            identity: observation.identity.clone(),
            declared: observation.beat.and_then(|b| b.declared),
            listed: now,
            leftover: false,
            present: true,
            moved: None,
            moved_after: None,
            beat: None,
        }
    }

    /// Takes in what a later look shows; true when its beat moved.
    pub fn look(&mut self, observation: &Observation, now: Moment) -> bool {
        let mark = observation.beat.and_then(|b| b.mark);
        let moved = mark.is_some() && mark != self.mark;
        if moved {
            self.mark = mark;
            self.stamp = observation.beat.and_then(|b| b.stamp).or(self.stamp);
            self.moved = Some(now);
            self.moved_after = Some(self.listed);
        }
        self.listed = now;
        self.present = true;
        moved
    }

    /// It moved for sure after this moment. That we saw it move later is not enough: with a minute between beats, the last
    /// beat before a death is often seen after the successor.
    #[must_use]
    pub fn moved_since(&self, moment: Moment) -> bool {
        self.moved_after.is_some_and(|after| after >= moment)
    }

    /// Both stamp with the same clock, and this one beat after `newer` had started: neighbours, not successors.
    #[must_use]
    pub fn outlived_start_of(&self, newer: &Self) -> bool {
        self.host.is_some()
            && self.host == newer.host
            && self.stamp.zip(newer.started).is_some_and(|(stamp, started)| stamp > started)
    }
}

/// The records of one source, by record.
pub type Records = HashMap<Arc<str>, Record>;

/// The name of the `n`-th worker that claims a slot.
#[must_use]
pub fn ordinal(claims: &WorkerKey, n: usize) -> WorkerKey {
    match n {
        0 | 1 => claims.clone(),
        n => WorkerKey::new(claims.fleet.clone(), format!("{}~{n}", claims.worker)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wall(second: i64) -> WallTime {
        WallTime::from_micros(second * 1_000_000)
    }

    #[test]
    fn who_beat_after_another_had_started_on_its_host_is_a_neighbour() {
        let record = |host: &str, stamp: i64, started: i64| {
            let mut o =
                Observation::new("r", crate::evidence::Slot { key: WorkerKey::new("f", "w"), exclusive: false });
            o.info.host = Some(host.into());
            o.info.start_time = Some(wall(started));
            Record { stamp: Some(wall(stamp)), ..Record::new(&o, Moment::START) }
        };
        let newer = record("a", 0, 100);
        assert!(record("a", 101, 0).outlived_start_of(&newer));
        assert!(!record("a", 100, 0).outlived_start_of(&newer), "its last beat may be of that very second");
        assert!(!record("a", 99, 0).outlived_start_of(&newer));
        assert!(!record("b", 101, 0).outlived_start_of(&newer), "another clock");
    }
}
