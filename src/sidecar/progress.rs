//! The worker's own metrics: does it answer, and does the counter that is named as its progress move? Pure.

use std::time::Duration;

use verdict::cadence::Cadence;
use verdict::channel::Channel;
use verdict::evidence::Mark;
use verdict::rules::Rules;
use verdict::time::{Moment, WallTime};
use verdict::words::{Failure, Reason};

use super::cause::Cause;
use super::check::{Finding, seconds};

/// What one look at the metrics showed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct MetricsSeen {
    /// Changes with the counter of its progress, all its series together; `None` where there is none.
    pub(super) progress: Option<u64>,
    /// Slots or tasks in use: whoever has some is busy, and busy is not hung.
    pub(super) busy: Option<u64>,
    /// Why its answer cannot be used. It has answered all the same.
    pub(super) unreadable: Option<Failure>,
}

/// Watches the metrics of one worker.
#[derive(Debug)]
pub(super) struct MetricsWatch {
    rules: Rules,
    named: Option<String>,
    limit: Duration,
    reach: Option<Channel>,
    progress: Option<Channel>,
    absent: Option<Failure>,
    busy: bool,
}

impl MetricsWatch {
    /// `named` is the counter of its progress, where one is named, and `limit` how long it may stand still.
    #[must_use]
    pub(super) fn new(named: Option<String>, limit: Duration) -> Self {
        Self { rules: Rules::default(), named, limit, reach: None, progress: None, absent: None, busy: false }
    }

    /// Takes in a look. A worker that does not answer is `Err`.
    pub(super) fn look(
        &mut self,
        now: Moment,
        wall: WallTime,
        interval: Duration,
        outcome: Result<MetricsSeen, Failure>,
    ) {
        let seen = match outcome {
            Ok(seen) => seen,
            Err(failure) => {
                match &mut self.reach {
                    // Our own machine, or how we ask: nothing against the worker.
                    _ if failure.is_our_own() || failure.is_misconfiguration() => {}
                    Some(reach) => reach.missed(now, interval, failure),
                    None => {}
                }
                if let Some(progress) = &mut self.progress {
                    progress.blinded(failure);
                }
                self.absent = Some(failure);
                return;
            }
        };
        self.absent = seen.unreadable;
        self.reach.get_or_insert_with(|| Channel::found(now, None)).answered(now, wall);
        if let Some(failure) = seen.unreadable {
            if let Some(progress) = &mut self.progress {
                progress.blinded(failure);
            }
            return;
        }
        self.busy = seen.busy.is_some_and(|busy| busy > 0);
        let Some(value) = seen.progress else {
            self.absent = self.named.is_some().then_some(Failure::FieldInvalid);
            return;
        };
        let mark = Some(Mark::bytes(&value.to_be_bytes()));
        match &mut self.progress {
            // What stood still while it was busy is not held against it afterwards.
            Some(progress) if self.busy => {
                progress.look(now, wall, interval, mark, None);
                progress.rearm(now);
            }
            Some(progress) => {
                progress.look(now, wall, interval, mark, None);
            }
            None => self.progress = Some(Channel::found(now, mark)),
        }
    }

    /// When its counter last moved.
    #[must_use]
    pub(super) fn moved(&self) -> Option<Moment> {
        self.progress.as_ref()?.moved.map(|(at, _)| at)
    }

    /// Its counter moves: it did at least twice, and lately.
    #[must_use]
    pub(super) fn works(&self) -> bool {
        let limit = Cadence::default().limits(&self.rules, Duration::ZERO).critical;
        self.progress.as_ref().is_some_and(|progress| progress.moves >= 2 && progress.silent < limit)
    }

    /// What it comes to.
    #[must_use]
    pub(super) fn finding(&self, interval: Duration) -> Finding {
        let Some(reach) = &self.reach else {
            // It never answered: as likely as not the address is wrong, so it convicts nobody.
            let cause = self.absent.map_or(Cause::Of(Reason::NotLookedAt), Cause::Look);
            return Finding::unknown(cause, "");
        };
        if let Some(failure) = reach.failure {
            let limit = Cadence::default().limits(&self.rules, interval).critical;
            let told = format!("no answer for {}, limit {}", seconds(reach.silent), seconds(limit));
            let lost = reach.misses >= self.rules.reach_misses && reach.silent >= limit;
            return if lost {
                Finding::fail(Cause::Look(failure), told)
            } else {
                Finding::warn(Cause::Look(failure), told)
            };
        }
        if let Some(failure) = self.absent {
            return Finding::unknown(Cause::Look(failure), self.named.clone().unwrap_or_default());
        }
        match &self.progress {
            Some(_) if self.busy => Finding::pass("busy"),
            Some(channel) => {
                let told = format!("progress silent for {}, limit {}", seconds(channel.silent), seconds(self.limit));
                if channel.silent >= self.limit {
                    Finding::fail(Cause::Of(Reason::NoProgress), told)
                } else {
                    Finding::pass(told)
                }
            }
            None => Finding::pass(""),
        }
    }
}
