//! How often something moves, and for how long it may be silent. Deadlines for the verdict; no phi, no magic.

use std::collections::VecDeque;
use std::time::Duration;

use crate::rules::{Rules, SourceRules};

/// Gaps that are remembered: enough for a median that one pause cannot move.
const GAPS: usize = 32;
/// So many shorter gaps in a row outdate what was learnt before them.
const OUTDATED: usize = 3;
/// No limit is ever shorter than these, however fast the beat: schedulers and networks stall for seconds.
const SHORTEST: Limits = Limits { warning: Duration::from_millis(2500), critical: Duration::from_secs(5) };
/// Where no cadence is declared or learned.
const UNKNOWN: Limits = Limits { warning: Duration::from_secs(30), critical: Duration::from_secs(60) };
/// A recent gap this many times over is still no silence: pauses come in families.
const WIDENING: f64 = 1.5;

/// How long a silence may last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// From here on the check warns.
    pub warning: Duration,
    /// From here on the channel is silent.
    pub critical: Duration,
}

/// What is known of the rhythm of one channel.
#[derive(Clone, Debug, Default)]
pub struct Cadence {
    declared: Option<Duration>,
    gaps: VecDeque<Duration>,
    /// Median and largest of the gaps: asked a thousand times for each time that a gap is learnt.
    median: Option<Duration>,
    largest: Duration,
    /// What is declared is a promise: nothing is learnt.
    promised: bool,
    /// Aliased gaps in a row that were shorter than what was learnt.
    shorter: usize,
}

impl Cadence {
    /// The source declares this interval.
    pub fn declare(&mut self, interval: Option<Duration>) {
        if interval.is_some_and(|i| !i.is_zero()) {
            self.declared = interval;
        }
    }

    /// What is declared holds, however often it moves: a framework that beats at each task beats seldom without any.
    pub fn promise(&mut self) {
        if !self.promised {
            *self = Self { promised: true, declared: self.declared, ..Self::default() };
        }
    }

    /// A gap between two moves was seen, while looks came each `interval`. A gap that fits what is declared, allowing
    /// for looks that skip beats, teaches the declared value. An `aliased` gap, in which no look saw it at rest, is only
    /// an upper bound: when a few of them are below what was learnt, what was learnt is outdated.
    pub fn learn(&mut self, gap: Duration, interval: Duration, aliased: bool) {
        if self.promised {
            return;
        }
        // Looks that came too seldom to see it at rest skipped beats: such a gap says nothing against what is declared.
        let fits = |declared: &Duration| gap >= declared.mul_f64(0.75) && (aliased || gap <= *declared + interval);
        let gap = self.declared.filter(fits).unwrap_or(gap);
        // One short gap is the beat that follows a pause; a few in a row are another rhythm.
        let shorter = aliased && self.known().is_some_and(|known| gap < known);
        self.shorter = if shorter { self.shorter + 1 } else { 0 };
        if self.shorter >= OUTDATED {
            self.shorter = 0;
            self.gaps.drain(..self.gaps.len().saturating_sub(OUTDATED - 1));
        }
        if self.gaps.len() == GAPS {
            self.gaps.pop_front();
        }
        self.gaps.push_back(gap);
        let mut sorted: Vec<_> = self.gaps.iter().copied().collect();
        sorted.sort_unstable();
        self.median = sorted.get(sorted.len() / 2).copied();
        self.largest = sorted.last().copied().unwrap_or_default();
    }

    /// The interval in use: the median of the gaps, else what is declared, else what the rules say.
    #[must_use]
    pub fn value(&self, rules: &Rules) -> Option<Duration> {
        self.known().or(rules.heartbeat_interval)
    }

    fn known(&self) -> Option<Duration> {
        self.median.or(self.declared)
    }

    /// How often to look at something with this rhythm: every half cadence, within the bounds of its source.
    #[must_use]
    pub fn look_interval(&self, rules: &Rules, source: &SourceRules) -> Duration {
        let half = self.value(rules).map_or(source.maximum_interval, |cadence| cadence / 2);
        half.min(source.maximum_interval).max(source.minimum_interval)
    }

    /// How long a silence of this channel may last, when it is looked at each `interval`.
    #[must_use]
    pub fn limits(&self, rules: &Rules, interval: Duration) -> Limits {
        self.limits_at(self.value(rules), rules, rules.max_quiet.unwrap_or_default(), interval)
    }

    /// The same for what is not a heartbeat: `max_quiet` and the configured interval are about beats.
    #[must_use]
    pub fn limits_of_work(&self, rules: &Rules, interval: Duration) -> Limits {
        self.limits_at(self.known(), rules, Duration::ZERO, interval)
    }

    fn limits_at(&self, cadence: Option<Duration>, rules: &Rules, quiet: Duration, interval: Duration) -> Limits {
        let Some(cadence) = cadence else {
            return Limits {
                warning: UNKNOWN.warning.max(interval * 2).max(quiet),
                critical: UNKNOWN.critical.max(interval * 3).max(quiet),
            };
        };
        let largest = self.largest.mul_f64(WIDENING);
        let limit = |cadences: f64, shortest: Duration, looks: u32| {
            let plain = cadence.mul_f64(cadences);
            plain.max(largest.min(plain * 2)).max(shortest).max(interval * looks)
        };
        let warning = limit(rules.missed_beats.warning, SHORTEST.warning, 2);
        let critical = limit(rules.missed_beats.critical, SHORTEST.critical, 3);
        Limits { warning: warning.max(quiet), critical: critical.max(warning).max(quiet) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const S: Duration = Duration::from_secs(1);

    fn learnt(gaps: &[u64]) -> Cadence {
        let mut cadence = Cadence::default();
        for gap in gaps {
            cadence.learn(S * u32::try_from(*gap).unwrap_or(0), S, false);
        }
        cadence
    }

    fn limits(cadence: &Cadence, interval: Duration) -> (u64, u64) {
        let l = cadence.limits(&Rules::default(), interval);
        (l.warning.as_secs(), l.critical.as_secs())
    }

    #[test]
    fn what_is_promised_is_neither_shortened_nor_lengthened_by_what_is_seen() {
        let mut cadence = Cadence::default();
        cadence.declare(Some(405 * S));
        cadence.promise();
        for gap in [1, 1, 1, 1, 400, 900] {
            cadence.learn(gap * S, S, false);
        }
        assert_eq!(cadence.value(&Rules::default()), Some(405 * S));
        cadence.declare(Some(30 * S));
        assert_eq!(limits(&cadence, 15 * S), (60, 90), "a busy worker promises another");
    }

    #[test]
    fn a_gap_in_which_beats_were_skipped_unseen_teaches_what_is_declared() {
        let mut cadence = Cadence::default();
        cadence.declare(Some(S));
        cadence.learn(7 * S, 2 * S, true);
        assert_eq!(cadence.value(&Rules::default()), Some(S));
        cadence.learn(7 * S, 2 * S, false);
        assert_eq!(cadence.value(&Rules::default()), Some(7 * S), "a gap that was watched is believed");
    }

    #[test]
    fn two_cadences_warn_and_three_convict() {
        assert_eq!(limits(&learnt(&[10; 5]), S), (20, 30));
    }

    #[test]
    fn nothing_known_means_thirty_and_sixty_seconds_but_never_less_than_two_and_three_looks() {
        assert_eq!(limits(&Cadence::default(), S), (30, 60));
        assert_eq!(limits(&Cadence::default(), 30 * S), (60, 90));
    }

    #[test]
    fn a_fast_beat_is_never_judged_faster_than_the_floor() {
        let l = learnt(&[1; 9]).limits(&Rules::default(), S);
        assert_eq!((l.warning, l.critical), (Duration::from_millis(2500), 5 * S));
        assert_eq!(limits(&learnt(&[1; 9]), 2 * S), (4, 6));
    }

    #[test]
    fn one_long_gap_widens_the_limits_by_half_and_at_most_doubles_them() {
        assert_eq!(limits(&learnt(&[10, 10, 10, 24]), S), (36, 36));
        assert_eq!(limits(&learnt(&[10, 10, 10, 999]), S), (40, 60));
    }

    #[test]
    fn the_median_forgets_a_single_pause_and_the_ring_forgets_it_in_the_end() {
        let mut cadence = learnt(&[10, 10, 10, 500]);
        assert_eq!(cadence.value(&Rules::default()), Some(10 * S));
        for _ in 0..GAPS {
            cadence.learn(10 * S, S, false);
        }
        assert_eq!(limits(&cadence, S), (20, 30));
    }

    #[test]
    fn a_gap_that_skipped_beats_teaches_the_declared_cadence_and_a_slower_one_itself() {
        let mut cadence = Cadence::default();
        cadence.declare(Some(S));
        cadence.learn(2 * S, 2 * S, true);
        assert_eq!(cadence.value(&Rules::default()), Some(S));
        cadence.learn(30 * S, 2 * S, false);
        cadence.learn(30 * S, 2 * S, false);
        assert_eq!(cadence.value(&Rules::default()), Some(30 * S));
    }

    #[test]
    fn three_aliased_gaps_in_a_row_below_what_was_learnt_outdate_it_and_one_does_not() {
        let mut cadence = learnt(&[30; 9]);
        for expected in [30, 30, 5] {
            cadence.learn(5 * S, 5 * S, true);
            assert_eq!(cadence.value(&Rules::default()), Some(expected * S));
        }
        assert_eq!(limits(&cadence, S), limits(&learnt(&[5; 3]), S), "nothing is left of what was outdated");
        let mut cadence = learnt(&[30; 9]);
        for gap in [5, 5, 30, 5, 5, 30] {
            cadence.learn(gap * S, 5 * S, true);
            assert_eq!(cadence.value(&Rules::default()), Some(30 * S), "one beat after a pause is no rhythm");
        }
        let mut cadence = learnt(&[2; 9]);
        cadence.learn(5 * S, 5 * S, true);
        assert_eq!(cadence.value(&Rules::default()), Some(2 * S));
    }

    #[test]
    fn max_quiet_lifts_both_limits() {
        let rules = Rules { max_quiet: Some(S * 3600 * 26), ..Rules::default() };
        let l = learnt(&[10; 5]).limits(&rules, S);
        assert_eq!((l.warning, l.critical), (S * 3600 * 26, S * 3600 * 26));
    }

    #[test]
    fn looks_come_every_half_cadence_between_the_bounds_of_the_source() {
        let source = SourceRules::test("s", crate::words::SourceKind::Redis);
        let looks = |gap: u64| learnt(&[gap; 3]).look_interval(&Rules::default(), &source).as_secs();
        assert_eq!((looks(1), looks(10), looks(60), looks(3600)), (2, 5, 30, 30));
        assert_eq!(Cadence::default().look_interval(&Rules::default(), &source), 30 * S);
    }
}
