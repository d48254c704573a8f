//! A heartbeat that somebody writes somewhere: a file, a key in Redis. Pure.

use std::time::Duration;

use verdict::cadence::Limits;
use verdict::channel::Channel;
use verdict::evidence::{Mark, Said, Says};
use verdict::rules::{Rules, SourceRules};
use verdict::time::{Moment, WallTime};
use verdict::words::{Failure, Reason, SourceKind};

use super::cause::Cause;
use super::check::{Finding, seconds};

/// What one look at the place of a heartbeat showed.
#[derive(Clone, Debug, Default)]
pub(super) struct BeatSeen {
    /// Changes with every beat; `None` where the place is empty or is not there.
    pub(super) mark: Option<Mark>,
    /// The writer's own stamp.
    pub(super) stamp: Option<WallTime>,
    /// The interval that the record declares.
    pub(super) declared: Option<Duration>,
    /// What it says of itself.
    pub(super) says: Says,
}

/// Watches one heartbeat.
#[derive(Debug)]
pub(super) struct BeatWatch {
    rules: Rules,
    bounds: SourceRules,
    channel: Option<Channel>,
    says: Says,
    failure: Option<Failure>,
    misses: u32,
}

impl BeatWatch {
    /// `interval` is the cadence where it is known, `max_quiet` lifts the limit, looks come between `looks.0` and
    /// `looks.1`.
    #[must_use]
    pub(super) fn new(interval: Option<Duration>, max_quiet: Option<Duration>, looks: (Duration, Duration)) -> Self {
        let rules = Rules { heartbeat_interval: interval, max_quiet, ..Rules::default() };
        let bounds = SourceRules {
            name: "sidecar".into(),
            kind: SourceKind::Redis,
            namespace: "".into(),
            minimum_interval: looks.0,
            maximum_interval: looks.1,
            watch: Vec::new(),
        };
        Self { rules, bounds, channel: None, says: Says::default(), failure: None, misses: 0 }
    }

    /// How long until the next look.
    #[must_use]
    pub(super) fn interval(&self) -> Duration {
        match &self.channel {
            Some(channel) => channel.cadence.look_interval(&self.rules, &self.bounds),
            None => self.bounds.minimum_interval,
        }
    }

    /// Takes in a look. Only a failure of the look itself is `Err`; a place that is empty is `Ok` without a mark.
    pub(super) fn look(&mut self, now: Moment, wall: WallTime, outcome: Result<BeatSeen, Failure>) {
        let interval = self.interval();
        let seen = match outcome {
            Ok(seen) => seen,
            Err(failure) => {
                self.failure = Some(failure);
                self.misses = self.misses.saturating_add(1);
                if let Some(channel) = &mut self.channel {
                    channel.blinded(failure);
                }
                return;
            }
        };
        self.failure = None;
        self.misses = 0;
        self.says = seen.says;
        match &mut self.channel {
            Some(channel) => {
                channel.cadence.declare(seen.declared);
                channel.look(now, wall, interval, seen.mark, seen.stamp);
            }
            None => {
                let mut channel = Channel::found(now, seen.mark);
                channel.stamp = seen.stamp;
                channel.cadence.declare(seen.declared);
                self.channel = Some(channel);
            }
        }
    }

    /// When it last beat, on our clock.
    #[must_use]
    pub(super) fn moved(&self) -> Option<Moment> {
        self.channel.as_ref()?.moved.map(|(at, _)| at)
    }

    /// It was seen to beat, and lately.
    #[must_use]
    pub(super) fn beats(&self) -> bool {
        self.channel.as_ref().is_some_and(|channel| channel.moves > 0 && channel.silent < self.limits(channel).critical)
    }

    /// It says goodbye.
    #[must_use]
    pub(super) const fn goodbye(&self) -> bool {
        self.says.goodbye
    }

    fn limits(&self, channel: &Channel) -> Limits {
        channel.cadence.limits(&self.rules, self.interval())
    }

    /// What it comes to. `late` is when a worker that never beat is given up, if its cadence allows.
    #[must_use]
    pub(super) fn finding(&self, now: Moment, late: Moment) -> Finding {
        if let Some(failure) = self.failure.filter(|_| self.misses >= self.rules.reach_misses || self.channel.is_none())
        {
            return Finding::unknown(Cause::Look(failure), "");
        }
        let Some(channel) = &self.channel else { return Finding::unknown(Cause::Of(Reason::NotLookedAt), "") };
        if self.says.alive == Some(false) {
            return Finding::fail(Cause::Of(Reason::LoopDead), "");
        }
        let limits = self.limits(channel);
        if channel.never() {
            let cadences = channel.cadence.value(&self.rules).unwrap_or_default() * 3;
            return if now >= late && now.since(channel.found) >= cadences {
                Finding::fail(Cause::Of(Reason::NeverBeat), "")
            } else {
                Finding::unknown(Cause::Of(Reason::AwaitingBeat), "")
            };
        }
        let told = format!("silent for {}, limit {}", seconds(channel.silent), seconds(limits.critical));
        if channel.silent >= limits.critical {
            return Finding::fail(Cause::Of(Reason::Stale), told);
        }
        if self.says.overall == Some(Said::Down) {
            return Finding::fail(Cause::Of(Reason::Unhealthy), told);
        }
        if channel.moves == 0 {
            // First sight is not a beat: the file may have been left behind by somebody who is gone.
            return Finding::unknown(Cause::Of(Reason::AwaitingBeat), told);
        }
        if channel.silent >= limits.warning {
            return Finding::warn(Cause::Of(Reason::CheckHeartbeat), told);
        }
        Finding::pass(told)
    }
}

impl BeatSeen {
    /// Of what a source read.
    #[must_use]
    pub(super) fn of(beat: Option<verdict::evidence::Beat>, says: Says) -> Self {
        Self {
            mark: beat.and_then(|beat| beat.mark),
            stamp: beat.and_then(|beat| beat.stamp),
            declared: beat.and_then(|beat| beat.declared),
            says,
        }
    }
}
