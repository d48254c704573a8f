//! Our own failure: what is remembered of a source, and the gate that holds convictions when a whole source falls silent.

use std::sync::Arc;
use std::time::Duration;

use crate::rules::SourceRules;
use crate::snapshot::Histogram;
use crate::time::{Moment, WallTime};
use crate::words::Failure;

/// Fewer workers than this are never held: a fleet of one or two is judged like any other.
const GATE_WORKERS: usize = 3;
/// The gate holds at least this long, else twice the critical limit.
const GATE_HOLD: Duration = Duration::from_secs(60);
/// After an outage or a reset of a source its workers get this long, or a critical limit, to come back to it.
pub const SETTLE: Duration = Duration::from_secs(60);

/// Whether looks of one kind succeed.
#[derive(Clone, Copy, Debug)]
pub struct Health {
    /// When it became known.
    pub since: Moment,
    /// The last look that succeeded.
    pub success: Option<(Moment, WallTime)>,
    /// Why the last look failed; `None` when it succeeded.
    pub failing: Option<Failure>,
}

impl Health {
    /// Nothing looked at yet.
    #[must_use]
    pub const fn new(now: Moment) -> Self {
        Self { since: now, success: None, failing: None }
    }

    /// A look ended.
    pub const fn ended(&mut self, now: Moment, wall: WallTime, failure: Option<Failure>) {
        if failure.is_none() {
            self.success = Some((now, wall));
        }
        self.failing = failure;
    }

    /// We were suspended: the time in which nobody looked does not count.
    pub fn rearm(&mut self, now: Moment) {
        self.since = now;
        if let Some((at, _)) = &mut self.success {
            *at = now;
        }
    }

    /// The last look succeeded, and the next is not overdue: whatever the limits are, something can be said.
    #[must_use]
    pub fn fresh(&self, now: Moment, interval: Duration) -> bool {
        self.failing.is_none() && self.success.is_some_and(|(at, _)| now.since(at) <= interval * 2)
    }

    /// Nothing can be said any more: looks fail for longer than `limit`, or none comes. Never on one failed look.
    #[must_use]
    pub fn blind(&self, now: Moment, limit: Duration, interval: Duration) -> bool {
        let elapsed = now.since(self.success.map_or(self.since, |(at, _)| at));
        (self.failing.is_some() && elapsed > limit) || elapsed > limit + interval * 2
    }
}

/// What the gate says of a worker that would be convicted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ruling {
    /// Judge it by itself.
    Open,
    /// Its state holds.
    Hold,
    /// It was lost together with others, while its source lives: `down`, for this shared cause.
    Convict(Arc<str>),
    /// Nothing speaks for the source: `unknown`.
    Blind,
}

/// One worker as the gate sees it.
#[derive(Clone, Debug)]
pub struct Member {
    /// It is silent or missing now.
    pub fallen: bool,
    /// When it last moved.
    pub moved: Moment,
    /// Evidence that the way to it is open and it is gone all the same (refused; its pollers are gone too).
    pub proof: bool,
    /// All that is against it is that nothing came back.
    pub only_silence: bool,
    /// Its critical limit.
    pub critical: Duration,
    /// Candidates for a shared cause: (name, value).
    pub traits: Vec<(&'static str, Arc<str>)>,
}

/// Holds convictions when at least three workers and half of a source fall silent together.
#[derive(Clone, Debug, Default)]
pub struct Gate {
    closed: Option<Closed>,
    /// Convicted together until then: laggards share the cause.
    cohort: Option<(Moment, Arc<str>)>,
}

#[derive(Clone, Debug)]
struct Closed {
    since: Moment,
    hold: Duration,
    lives: bool,
    blind: bool,
    cause: Arc<str>,
}

impl Gate {
    /// Weighs the members anew. Called while a conviction is pending, and while the gate is closed.
    /// True when it has just closed: look at once, once more.
    pub fn weigh(&mut self, now: Moment, members: &[Member]) -> bool {
        let first = members.iter().filter(|m| m.fallen).map(|m| m.moved).min();
        // Those that fell together: within one critical limit of the first. Who fell long ago fell alone.
        let last = members.iter().filter(|m| m.fallen).map(|m| m.moved).max();
        let together: Vec<_> =
            members.iter().filter(|m| m.fallen && last.is_some_and(|last| last.since(m.moved) <= m.critical)).collect();
        let many = together.len() >= GATE_WORKERS && together.len() * 2 >= members.len();
        if !many || first.is_none() {
            self.closed = None;
            return false;
        }
        let just_closed = self.closed.is_none();
        let closed = self.closed.get_or_insert_with(|| Closed {
            since: now,
            hold: together.iter().map(|m| m.critical * 2).max().unwrap_or_default().max(GATE_HOLD),
            lives: false,
            blind: false,
            cause: cause(&together),
        });
        closed.lives |= members.iter().any(|m| !m.fallen && m.moved > closed.since);
        closed.blind = !closed.lives
            && now.since(closed.since) >= closed.hold
            && together.iter().all(|m| m.only_silence && !m.proof);
        just_closed
    }

    /// What it says of one member that would be convicted.
    #[must_use]
    pub fn ruling(&mut self, now: Moment, member: &Member) -> Ruling {
        let Some(closed) = &self.closed else {
            return match &self.cohort {
                Some((until, cause)) if now < *until => Ruling::Convict(cause.clone()),
                _ => Ruling::Open,
            };
        };
        if closed.blind && !member.proof {
            return Ruling::Blind;
        }
        if closed.lives || member.proof || now.since(closed.since) >= closed.hold {
            let cause = closed.cause.clone();
            self.cohort = Some((now + closed.hold, cause.clone()));
            return Ruling::Convict(cause);
        }
        Ruling::Hold
    }

    /// Open: the evidence of this source is believed.
    #[must_use]
    pub fn trusted(&self) -> bool {
        self.closed.as_ref().is_none_or(|c| c.lives)
    }

    /// Past its hold, and nothing speaks for the source.
    #[must_use]
    pub fn blind(&self) -> bool {
        self.closed.as_ref().is_some_and(|c| c.blind)
    }

    /// For people.
    #[must_use]
    pub fn note(&self) -> Option<String> {
        let closed = self.closed.as_ref()?;
        Some(if closed.blind {
            String::from(
                "every worker fell silent at once and nothing speaks for the source: we may be cut off from it",
            )
        } else {
            format!(
                "at least half of its workers fell silent at once ({}): their states hold while it is looked at again",
                closed.cause
            )
        })
    }
}

/// What the fallen share, the most telling first.
fn cause(fallen: &[&Member]) -> Arc<str> {
    let Some(first) = fallen.first() else { return Arc::from("nothing in common") };
    let shared: Vec<_> = first
        .traits
        .iter()
        .filter(|t| fallen.iter().all(|m| m.traits.contains(t)))
        .map(|(name, value)| format!("{name} {value}"))
        .collect();
    Arc::from(if shared.is_empty() { String::from("only their source") } else { shared.join(", ") })
}

/// What is remembered of one source.
#[derive(Clone, Debug)]
pub struct Source {
    /// Its rules.
    pub rules: SourceRules,
    /// Its listing, or all its looks at single workers together.
    pub health: Health,
    /// The gate.
    pub gate: Gate,
    /// When the gate was last weighed.
    pub weighed: Option<Moment>,
    /// Its workers have until then to come back to it.
    pub settling: Option<Moment>,
    /// Looks so far.
    pub requests: u64,
    /// Throttled looks.
    pub throttled: u64,
    /// By reason.
    pub errors: std::collections::BTreeMap<Failure, u64>,
    /// Durations of looks.
    pub durations: Histogram,
    /// The server has heartbeats on, as far as a listing showed.
    pub heartbeats: Option<bool>,
    /// Successful listings so far.
    pub listings: u64,
    /// Workflows that a timeout closed in the five minutes before the last listing.
    pub timed_out: Option<u64>,
}

impl Source {
    /// A source that was just configured.
    #[must_use]
    pub fn new(rules: SourceRules, now: Moment) -> Self {
        Self {
            rules,
            health: Health::new(now),
            gate: Gate::default(),
            weighed: None,
            settling: None,
            requests: 0,
            throttled: 0,
            errors: std::collections::BTreeMap::new(),
            durations: Histogram::default(),
            heartbeats: None,
            listings: 0,
            timed_out: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Moment {
        Moment::after_start(Duration::from_secs(seconds))
    }

    fn fallen(moved: u64) -> Member {
        Member {
            fallen: true,
            moved: at(moved),
            proof: false,
            only_silence: true,
            critical: Duration::from_secs(10),
            traits: vec![("host", Arc::from("a"))],
        }
    }

    fn living(moved: u64) -> Member {
        Member { fallen: false, ..fallen(moved) }
    }

    #[test]
    fn two_fallen_or_less_than_half_are_never_held() {
        let mut gate = Gate::default();
        assert!(!gate.weigh(at(100), &[fallen(90), fallen(90)]));
        assert_eq!(gate.ruling(at(100), &fallen(90)), Ruling::Open);
        let few: Vec<_> = (0..3).map(|_| fallen(90)).chain((0..4).map(|_| living(99))).collect();
        assert!(!gate.weigh(at(100), &few));
    }

    #[test]
    fn three_that_are_half_are_held_then_blind_when_nothing_speaks() {
        let mut gate = Gate::default();
        let all: Vec<_> = (0..3).map(|_| fallen(90)).chain((0..3).map(|_| living(90))).collect();
        assert!(gate.weigh(at(100), &all));
        assert_eq!(gate.ruling(at(100), &fallen(90)), Ruling::Hold);
        assert!(!gate.trusted());
        assert!(!gate.weigh(at(159), &all));
        assert_eq!(gate.ruling(at(159), &fallen(90)), Ruling::Hold);
        gate.weigh(at(160), &all);
        assert_eq!(gate.ruling(at(160), &fallen(90)), Ruling::Blind);
    }

    #[test]
    fn another_that_moves_after_it_closed_proves_the_source() {
        let mut gate = Gate::default();
        gate.weigh(at(100), &[fallen(90), fallen(90), fallen(90), living(95)]);
        gate.weigh(at(102), &[fallen(90), fallen(90), fallen(90), living(101)]);
        assert_eq!(gate.ruling(at(102), &fallen(90)), Ruling::Convict(Arc::from("host a")));
        assert!(gate.trusted());
    }

    #[test]
    fn a_refused_connection_proves_the_way_for_the_one_that_refused() {
        let mut gate = Gate::default();
        let refused = Member { proof: true, only_silence: false, ..fallen(90) };
        gate.weigh(at(100), &[refused.clone(), refused.clone(), fallen(90)]);
        assert_eq!(gate.ruling(at(100), &fallen(90)), Ruling::Hold);
        assert!(matches!(gate.ruling(at(100), &refused), Ruling::Convict(_)));
    }

    #[test]
    fn a_listing_that_goes_on_answering_speaks_for_itself_after_the_hold() {
        let mut gate = Gate::default();
        let frozen = Member { only_silence: false, ..fallen(90) };
        gate.weigh(at(100), &vec![frozen.clone(); 3]);
        assert_eq!(gate.ruling(at(159), &frozen), Ruling::Hold);
        gate.weigh(at(160), &vec![frozen.clone(); 3]);
        assert!(matches!(gate.ruling(at(160), &frozen), Ruling::Convict(_)));
    }

    #[test]
    fn those_that_fell_long_before_fell_alone() {
        let mut gate = Gate::default();
        assert!(!gate.weigh(at(100), &[fallen(10), fallen(90), fallen(90), living(99)]));
    }

    #[test]
    fn it_opens_when_they_come_back() {
        let mut gate = Gate::default();
        gate.weigh(at(100), &vec![fallen(90); 4]);
        gate.weigh(at(110), &[fallen(90), living(105), living(105), living(105)]);
        assert!(gate.trusted());
        assert_eq!(gate.ruling(at(110), &fallen(90)), Ruling::Open);
    }

    #[test]
    fn blindness_needs_failing_looks_past_the_limit_or_none_at_all() {
        let (limit, interval) = (Duration::from_secs(20), Duration::from_secs(5));
        let mut health = Health::new(at(0));
        health.ended(at(10), WallTime::default(), None);
        health.ended(at(15), WallTime::default(), Some(Failure::Timeout));
        assert!(!health.blind(at(30), limit, interval));
        assert!(health.blind(at(31), limit, interval));
        health.ended(at(31), WallTime::default(), None);
        assert!(!health.blind(at(61), limit, interval));
        assert!(health.blind(at(62), limit, interval), "nobody looked for too long");
    }

    #[test]
    fn a_look_is_fresh_for_two_intervals_and_never_after_a_failure() {
        let (interval, wall) = (Duration::from_secs(10), WallTime::default());
        let mut health = Health::new(at(0));
        assert!(!health.fresh(at(0), interval), "before the first");
        health.ended(at(5), wall, None);
        assert!(health.fresh(at(5), interval) && health.fresh(at(25), interval));
        assert!(!health.fresh(at(26), interval));
        health.ended(at(10), wall, Some(Failure::Timeout));
        assert!(!health.fresh(at(10), interval));
    }

    #[test]
    fn a_gate_is_blind_once_it_held_for_a_minute_and_nothing_spoke() {
        let mut gate = Gate::default();
        let all = [fallen(90), fallen(90), fallen(90)];
        for (now, blind) in [(100, false), (159, false), (160, true)] {
            gate.weigh(at(now), &all);
            assert_eq!(gate.blind(), blind, "at {now}");
        }
    }

    #[test]
    fn who_moved_in_the_moment_in_which_it_closed_proves_nothing_and_a_moment_later_does() {
        for (moved, trusted) in [(100, false), (101, true)] {
            let mut gate = Gate::default();
            let all = |moved| vec![fallen(90), fallen(90), fallen(90), living(moved)];
            gate.weigh(at(100), &all(99));
            assert!(!gate.trusted());
            gate.weigh(at(102), &all(moved));
            assert_eq!(gate.trusted(), trusted, "moved at {moved}");
        }
    }

    #[test]
    fn who_falls_within_the_hold_of_a_conviction_shares_its_cause_and_not_a_moment_later() {
        let mut gate = Gate::default();
        gate.weigh(at(100), &[fallen(90), fallen(90), fallen(90), living(99)]);
        gate.weigh(at(102), &[fallen(90), fallen(90), fallen(90), living(102)]);
        let shared = gate.ruling(at(110), &fallen(90));
        assert!(matches!(shared, Ruling::Convict(_)), "{shared:?}");
        gate.weigh(at(120), &[living(119)]);
        assert_eq!(gate.ruling(at(169), &fallen(150)), shared);
        assert_eq!(gate.ruling(at(170), &fallen(150)), Ruling::Open);
    }

    #[test]
    fn a_closed_gate_says_why_and_a_blind_one_that_nothing_speaks() {
        let mut gate = Gate::default();
        assert_eq!(gate.note(), None);
        let all = [fallen(90), fallen(90), fallen(90)];
        gate.weigh(at(100), &all);
        assert!(gate.note().is_some_and(|note| note.contains("at least half")), "{:?}", gate.note());
        gate.weigh(at(160), &all);
        assert!(gate.note().is_some_and(|note| note.contains("nothing speaks")), "{:?}", gate.note());
    }
}
