//! One channel of one worker: has it moved, and if not, for how much *watched* time?
//!
//! Silence is not age. It grows only over looks that succeeded and showed no change, each by the time since the previous
//! successful look and at most by one look interval. So an outage of a source, a throttled look or a pause of our own adds
//! nothing, and nobody is convicted for it. All of it on our monotonic clock.

use std::time::Duration;

use crate::cadence::Cadence;
use crate::evidence::Mark;
use crate::time::{Moment, WallTime};
use crate::words::{ChannelKind, Failure, TaskType};

/// What exactly moves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum What {
    /// The heartbeat.
    Beat,
    /// It answers.
    Reach,
    /// Its process is there, and can run.
    Host,
    /// The counter of finished tasks.
    Tasks,
    /// The counter that is named as its progress.
    Progress,
    /// It holds work, or has just let go of some.
    Hands,
    /// A stamp of its last activity.
    Activity,
    /// Its own stamp of the last successful poll of this type.
    Polls(TaskType),
    /// Its counter of processed tasks of this type.
    Processed(TaskType),
    /// The queue server's stamp of its last poll of this type.
    Access(TaskType),
}

impl What {
    /// The kind of channel.
    #[must_use]
    pub const fn kind(self) -> ChannelKind {
        match self {
            Self::Beat => ChannelKind::Beat,
            Self::Reach => ChannelKind::Reach,
            Self::Host => ChannelKind::Host,
            _ => ChannelKind::Work,
        }
    }
}

impl std::fmt::Display for What {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Beat => f.write_str("heartbeat"),
            Self::Reach => f.write_str("endpoint"),
            Self::Host => f.write_str("process"),
            Self::Tasks => f.write_str("task counter"),
            Self::Hands => f.write_str("work in hand"),
            Self::Progress => f.write_str("progress counter"),
            Self::Activity => f.write_str("last activity"),
            Self::Polls(t) => write!(f, "own {t} poll stamp"),
            Self::Processed(t) => write!(f, "processed {t} tasks"),
            Self::Access(t) => write!(f, "{t} poll at the server"),
        }
    }
}

/// One channel.
#[derive(Clone, Debug)]
pub struct Channel {
    /// When a look first showed it.
    pub found: Moment,
    /// The last successful look.
    pub looked: Moment,
    /// Watched time without a move.
    pub silent: Duration,
    /// When it last moved: ours, both clocks.
    pub moved: Option<(Moment, WallTime)>,
    /// How often it moved.
    pub moves: u64,
    /// Moves while the worker's beat was late: work that goes on without a beat.
    pub moves_without_beat: u32,
    /// Its rhythm.
    pub cadence: Cadence,
    /// The worker's own stamp.
    pub stamp: Option<WallTime>,
    /// The stamp stands in the worker's own answer.
    pub own_answer: bool,
    /// Not believed before it has moved.
    pub on_trial: bool,
    /// Misses in a row (reach).
    pub misses: u32,
    /// Why the last look missed or failed.
    pub failure: Option<Failure>,
    /// Its record outlived its promise and expired.
    pub expired: bool,
    mark: Option<Mark>,
    /// A look since the last move showed no change: the gap is resolved, not an artefact of our own rhythm.
    resolved: bool,
    /// Every look since the last move succeeded, so that its gap may teach.
    unbroken: bool,
}

impl Channel {
    /// True when a look that shows this would be a move.
    #[must_use]
    pub fn moves_to(&self, mark: Option<Mark>) -> bool {
        mark.is_some() && mark != self.mark
    }

    /// First sight, which is not a move.
    #[must_use]
    pub fn found(now: Moment, mark: Option<Mark>) -> Self {
        Self {
            found: now,
            looked: now,
            silent: Duration::ZERO,
            moved: None,
            moves: 0,
            moves_without_beat: 0,
            cadence: Cadence::default(),
            stamp: None,
            own_answer: false,
            on_trial: false,
            misses: 0,
            failure: None,
            expired: false,
            mark,
            resolved: false,
            unbroken: true,
        }
    }

    /// A look succeeded and shows `mark`; `None` means that the record is missing or empty. True when it moved.
    pub fn look(
        &mut self,
        now: Moment,
        wall: WallTime,
        interval: Duration,
        mark: Option<Mark>,
        stamp: Option<WallTime>,
    ) -> bool {
        let since = now.since(self.looked);
        self.looked = now;
        self.failure = None;
        let moved = mark.is_some() && mark != self.mark;
        if !moved {
            self.silent += watched(since, interval);
            self.resolved = true;
            return false;
        }
        if let Some((gap, aliased)) = self.gap(now, stamp)
            && self.may_learn(gap, aliased)
        {
            self.cadence.learn(gap, interval, aliased);
        }
        self.mark = mark;
        self.stamp = stamp.or(self.stamp);
        self.silent = Duration::ZERO;
        self.expired = false;
        self.resolved = false;
        self.unbroken = true;
        self.moved = Some((now, wall));
        self.moves += 1;
        true
    }

    /// A look failed: nothing is learnt from the gap it lies in, and nothing is added to the silence.
    pub fn blinded(&mut self, failure: Failure) {
        self.failure = Some(failure);
        self.unbroken = false;
    }

    /// It answered, or its process is there.
    pub fn answered(&mut self, now: Moment, wall: WallTime) {
        self.looked = now;
        self.silent = Duration::ZERO;
        self.moved = Some((now, wall));
        self.moves += 1;
        self.misses = 0;
        self.failure = None;
    }

    /// It did not answer.
    pub fn missed(&mut self, now: Moment, interval: Duration, failure: Failure) {
        self.silent += watched(now.since(self.looked), interval);
        self.looked = now;
        self.misses = self.misses.saturating_add(1);
        self.failure = Some(failure);
    }

    /// Starts its silence anew: what was not watched is not held against it.
    pub fn rearm(&mut self, now: Moment) {
        self.silent = Duration::ZERO;
        self.expired = false;
        self.misses = 0;
        self.looked = self.looked.max(now);
        self.unbroken = false;
    }

    /// It has been seen to move, or is not on trial.
    #[must_use]
    pub const fn believed(&self) -> bool {
        !self.on_trial || self.moves > 0
    }

    /// The source has a place for it, and the place was always empty.
    #[must_use]
    pub const fn never(&self) -> bool {
        self.mark.is_none() && self.moves == 0
    }

    /// The gap that ends now, by the worker's own stamps where they are, else by our receipt; and whether looks were too
    /// rare to see it.
    fn gap(&self, now: Moment, stamp: Option<WallTime>) -> Option<(Duration, bool)> {
        let own = self.stamp.zip(stamp).and_then(|(before, after)| after.since(before)).filter(|gap| !gap.is_zero());
        let gap = own.or_else(|| Some(now.since(self.moved?.0)))?;
        self.unbroken.then_some((gap, !self.resolved))
    }

    /// A stamp that is new at every look says only that it moves at least that often. In a store it is still a beat, and
    /// looking faster converges on it. In an answer it may be made for us alone: believing it would make us ask ever faster.
    const fn may_learn(&self, gap: Duration, aliased: bool) -> bool {
        !(aliased && self.own_answer) || (!self.on_trial && gap.as_secs() >= 10)
    }
}

/// What a look adds to a silence. One that comes a few milliseconds early was on time: limits are whole numbers of looks,
/// and a sum just short of one would wait for another look.
fn watched(since: Duration, interval: Duration) -> Duration {
    if since >= interval.mul_f64(0.95) { interval } else { since }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::Rules;

    const S: Duration = Duration::from_secs(1);

    fn at(seconds: u64) -> (Moment, WallTime) {
        (
            Moment::after_start(Duration::from_secs(seconds)),
            WallTime::from_micros(i64::try_from(seconds).unwrap_or(0) * 1_000_000),
        )
    }

    fn look(channel: &mut Channel, seconds: u64, interval: Duration, stamp: u64) -> bool {
        let (now, wall) = at(seconds);
        let stamp = at(stamp).1;
        channel.look(now, wall, interval, Some(Mark::stamp(stamp)), Some(stamp))
    }

    fn found(stamp: u64) -> Channel {
        let mut c = Channel::found(at(0).0, Some(Mark::stamp(at(stamp).1)));
        c.stamp = Some(at(stamp).1);
        c
    }

    #[test]
    fn first_sight_is_not_a_move() {
        let c = found(7);
        assert_eq!((c.moves, c.moved), (0, None));
    }

    #[test]
    fn silence_is_the_sum_of_watched_gaps_and_a_late_look_adds_at_most_one_interval() {
        let mut c = found(7);
        assert!(!look(&mut c, 2, 2 * S, 7));
        assert!(!look(&mut c, 4, 2 * S, 7));
        assert_eq!(c.silent, 4 * S);
        assert!(!look(&mut c, 124, 2 * S, 7));
        assert_eq!(c.silent, 6 * S, "two minutes that nobody watched count as one interval");
    }

    #[test]
    fn looks_that_come_milliseconds_early_add_up_to_whole_intervals() {
        let mut c = found(7);
        for millis in [1998, 3997, 5995] {
            let now = Moment::after_start(Duration::from_millis(millis));
            c.look(now, at(0).1, 2 * S, Some(Mark::stamp(at(7).1)), Some(at(7).1));
        }
        assert_eq!(c.silent, 6 * S);
    }

    #[test]
    fn failed_looks_add_nothing_and_their_gap_teaches_nothing() {
        let mut c = found(1);
        c.blinded(Failure::Timeout);
        assert!(look(&mut c, 100, 2 * S, 99));
        assert_eq!(c.cadence.value(&Rules::default()), None);
        assert!(look(&mut c, 102, 2 * S, 101));
        assert_eq!(c.cadence.value(&Rules::default()), Some(2 * S));
    }

    #[test]
    fn a_missing_record_is_a_look_without_a_change() {
        let mut c = found(1);
        let (now, wall) = at(2);
        assert!(!c.look(now, wall, 2 * S, None, None));
        assert_eq!(c.silent, 2 * S);
    }

    #[test]
    fn a_stamp_made_for_each_answer_does_not_make_us_ask_faster() {
        let mut c = found(0);
        c.own_answer = true;
        c.on_trial = true;
        for t in 1..20 {
            assert!(look(&mut c, t * 30, 30 * S, t * 30));
        }
        assert_eq!(c.cadence.value(&Rules::default()), None);
    }

    #[test]
    fn a_stamp_in_an_answer_that_stands_still_between_looks_teaches_its_cadence() {
        let mut c = found(0);
        c.own_answer = true;
        c.on_trial = true;
        for t in 1..9 {
            look(&mut c, t * 5, 5 * S, t * 5 / 10 * 10);
        }
        assert_eq!(c.cadence.value(&Rules::default()), Some(10 * S));
    }

    #[test]
    fn rearming_forgets_silence_and_misses_but_not_what_was_learnt() {
        let mut c = found(1);
        c.missed(at(2).0, 2 * S, Failure::Timeout);
        c.missed(at(4).0, 2 * S, Failure::Timeout);
        c.rearm(at(130).0);
        assert_eq!((c.silent, c.misses, c.moves), (Duration::ZERO, 0, 0));
    }

    #[test]
    fn each_thing_that_moves_has_its_kind_and_its_name() {
        use ChannelKind::{Beat, Host, Reach, Work};
        let of = |what: What| (what.kind(), what.to_string());
        assert_eq!(of(What::Beat), (Beat, "heartbeat".to_owned()));
        assert_eq!(of(What::Reach), (Reach, "endpoint".to_owned()));
        assert_eq!(of(What::Host), (Host, "process".to_owned()));
        assert_eq!(of(What::Polls(TaskType::Activity)), (Work, "own activity poll stamp".to_owned()));
        assert_eq!(of(What::Access(TaskType::Workflow)), (Work, "workflow poll at the server".to_owned()));
    }

    #[test]
    fn an_answer_is_a_move_that_ends_misses_and_silence_and_a_miss_adds_to_both() {
        let mut c = Channel::found(at(0).0, None);
        for (seconds, misses) in [(2, 1), (4, 2)] {
            c.missed(at(seconds).0, 2 * S, Failure::Refused);
            assert_eq!((c.silent, c.misses, c.failure), (Duration::from_secs(seconds), misses, Some(Failure::Refused)));
        }
        for (seconds, moves) in [(6, 1), (8, 2)] {
            let (now, wall) = at(seconds);
            c.answered(now, wall);
            assert_eq!((c.silent, c.misses, c.failure), (Duration::ZERO, 0, None));
            assert_eq!((c.moves, c.moved, c.looked), (moves, Some((now, wall)), now));
        }
    }

    #[test]
    fn what_is_on_trial_is_believed_once_it_moved_and_all_else_at_once() {
        let mut c = found(1);
        assert!(c.believed());
        c.on_trial = true;
        assert!(!c.believed());
        assert!(look(&mut c, 2, 2 * S, 2));
        assert_eq!((c.believed(), c.moves), (true, 1));
        assert!(look(&mut c, 4, 2 * S, 4));
        assert_eq!((c.believed(), c.moves), (true, 2));
    }

    #[test]
    fn a_place_that_is_filled_without_a_move_was_not_always_empty() {
        assert!(!found(1).never());
        let mut emptied = found(1);
        assert!(look(&mut emptied, 2, 2 * S, 2));
        let (now, wall) = at(4);
        emptied.look(now, wall, 2 * S, None, None);
        assert!(!emptied.never(), "it was filled once");
    }

    #[test]
    fn a_stamp_in_an_answer_that_is_new_at_every_look_teaches_from_ten_seconds_on() {
        for (gap, taught) in [(9, None), (10, Some(10 * S))] {
            let mut c = found(0);
            c.own_answer = true;
            for t in 1..4 {
                assert!(look(&mut c, t * gap, S, t * gap));
            }
            assert_eq!(c.cadence.value(&Rules::default()), taught, "{gap} s");
        }
    }

    #[test]
    fn the_first_stamp_in_an_empty_place_is_a_beat() {
        let mut c = Channel::found(at(0).0, None);
        assert!(c.never());
        assert!(look(&mut c, 2, 2 * S, 2));
        assert!(!c.never());
    }
}
