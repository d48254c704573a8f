//! How fresh each of its channels is now: limits, intervals, and what cannot be seen.

use std::sync::Arc;
use std::time::Duration;

use super::{Around, POLL, QUEUE_INTERVAL, Worker};
use crate::cadence::Limits;
use crate::channel::{Channel, What};
use crate::evidence::QueueKey;
use crate::queue::Queue;
use crate::source::Health;
use crate::state::Pulse;
use crate::words::ChannelKind;

impl Worker {
    /// The limits of one of its channels.
    #[must_use]
    pub fn limits(&self, source: &str, what: What, channel: &Channel, around: Around<'_>) -> Limits {
        let interval = match what {
            What::Access(_) => QUEUE_INTERVAL,
            _ => self.interval(source, around),
        };
        match what.kind() {
            ChannelKind::Beat => channel.cadence.limits(around.rules, interval),
            _ => {
                let limits = channel.cadence.limits_of_work(around.rules, interval);
                // Polls come fast while there is work; each of an idle worker lasts a minute, so no gap teaches less.
                match what {
                    What::Polls(_) | What::Access(_) => {
                        Limits { warning: limits.warning.max(POLL * 2), critical: limits.critical.max(POLL * 3) }
                    }
                    _ => limits,
                }
            }
        }
    }

    /// How often a source is looked at for it, when nothing is pending.
    #[must_use]
    pub fn interval(&self, source: &str, around: Around<'_>) -> Duration {
        let Some(of) = around.sources.get(source) else { return Duration::from_secs(30) };
        self.channels
            .iter()
            .find(|((s, what), c)| &**s == source && *what == What::Beat && c.believed())
            .map_or(of.rules.maximum_interval, |(_, channel)| channel.cadence.look_interval(around.rules, &of.rules))
    }

    /// How often to look while a verdict is pending in either direction.
    #[must_use]
    pub fn urgent_interval(&self, source: &str, around: Around<'_>) -> Duration {
        let cadence = self
            .channels
            .iter()
            .filter(|((s, what), _)| &**s == source && *what == What::Beat)
            .find_map(|(_, c)| c.cadence.value(around.rules));
        let urgent = cadence.unwrap_or(Duration::from_secs(5)).clamp(Duration::from_secs(1), Duration::from_secs(5));
        urgent.min(self.interval(source, around))
    }

    pub(crate) fn blind(&self, source: &str, what: What, channel: &Channel, around: Around<'_>) -> bool {
        let Some(of) = around.sources.get(source) else { return true };
        let warning = || {
            // What comes with a heartbeat is lost with it: the slow rhythm of polls does not stand in for beats unseen.
            let beat = self.channels.iter().find(|((s, w), c)| &**s == source && *w == What::Beat && c.believed());
            match beat {
                Some((_, beat)) if !matches!(what, What::Access(_) | What::Reach) => {
                    self.limits(source, What::Beat, beat, around).warning
                }
                _ => self.limits(source, what, channel, around).warning,
            }
        };
        let health = match (self.sights.get(source), what) {
            (_, What::Access(task_type)) => {
                // Beside a heartbeat the server's view of its polls is a help; it does not stand in for it while it fails,
                // nor when the list of workers fails and the queue was not looked at since: with hundreds of queues the
                // look at this one may be minutes old.
                let beat = self.channels.iter().find(|((s, what), _)| &**s == source && *what == What::Beat);
                let lost = beat.is_some_and(|(_, beat)| {
                    let limit = self.limits(source, What::Beat, beat, around).warning;
                    of.health.failing.is_some() && of.health.blind(around.now, limit, self.interval(source, around))
                });
                let at = |health: &Health| health.success.map(|(at, _)| at);
                let seen_since = |q: &Queue| at(&q.health) > at(&of.health);
                let unseen = |q: &Queue| {
                    (beat.is_some() && q.health.failing.is_some())
                        || (lost && !seen_since(q))
                        || (!q.health.fresh(around.now, QUEUE_INTERVAL)
                            && q.health.blind(around.now, warning(), QUEUE_INTERVAL))
                };
                let key = |task_queue: &Arc<str>| QueueKey {
                    source: of.rules.name.clone(),
                    namespace: of.rules.namespace.clone(),
                    task_queue: task_queue.clone(),
                    task_type,
                };
                return self.task_queues.iter().filter_map(|q| around.queues.get(&key(q))).all(unseen);
            }
            (Some(sight), _) if !sight.listed => &sight.health,
            _ => &of.health,
        };
        let interval = self.interval(source, around);
        !health.fresh(around.now, interval) && health.blind(around.now, warning(), interval)
    }

    pub(super) fn pulse(&self, source: &str, what: What, channel: &Channel, around: Around<'_>) -> Pulse {
        if self.blind(source, what, channel, around) {
            return Pulse::Blind;
        }
        if what == What::Host && self.sights.get(source).is_some_and(|s| s.host.gone.is_some()) {
            return Pulse::Silent;
        }
        if what == What::Reach {
            return match channel.misses {
                0 if channel.moves > 0 => Pulse::Fresh,
                0 => Pulse::None,
                n if n >= around.rules.reach_misses => Pulse::Silent,
                _ => Pulse::Late,
            };
        }
        if channel.expired {
            return Pulse::Silent;
        }
        // No limit is shorter than two looks: most of the time there is nothing to work out.
        if channel.silent < self.interval(source, around) * 2 && !matches!(what, What::Access(_)) {
            return Pulse::Fresh;
        }
        let limits = self.limits(source, what, channel, around);
        if channel.silent >= limits.critical {
            Pulse::Silent
        } else if channel.silent >= limits.warning {
            Pulse::Late
        } else {
            Pulse::Fresh
        }
    }

    /// The freshest of its channels of one kind speaks for it; one that cannot be seen is not silent.
    pub(crate) fn freshest(&self, kind: ChannelKind, around: Around<'_>) -> Pulse {
        let rank = |p: Pulse| match p {
            Pulse::None => 0,
            Pulse::Silent => 1,
            Pulse::Blind => 2,
            Pulse::Late => 3,
            Pulse::Fresh => 4,
        };
        self.channels
            .iter()
            .filter(|((_, what), channel)| what.kind() == kind && channel.believed())
            .filter(|((_, what), channel)| *what != What::Beat || !channel.never())
            // What stands in an answer cannot speak for a worker that no longer answers: nothing more will be read there.
            .filter(|((source, what), _)| {
                let own = self.channels.get(&(source.clone(), What::Reach));
                *what == What::Reach || own.is_none_or(|reach| reach.misses < around.rules.reach_misses)
            })
            // Work that never moved is no evidence: it may never have been a counter of work.
            .filter(|(_, channel)| kind != ChannelKind::Work || channel.moves > 0)
            .map(|((source, what), channel)| self.pulse(source, *what, channel, around))
            .max_by_key(|p| rank(*p))
            .unwrap_or_default()
    }

    /// Its heartbeat, all beats together.
    #[must_use]
    pub fn beat(&self, around: Around<'_>) -> Pulse {
        self.freshest(ChannelKind::Beat, around)
    }

    /// Its endpoint.
    #[must_use]
    pub fn endpoint(&self, around: Around<'_>) -> Pulse {
        self.freshest(ChannelKind::Reach, around)
    }

    /// It is known by its polls alone.
    #[must_use]
    pub fn only_polls(&self) -> bool {
        !self.channels.is_empty() && self.channels.keys().all(|(_, what)| matches!(what, What::Access(_)))
    }

    /// How long after it was found it may be without a beat.
    #[must_use]
    pub fn grace(&self, around: Around<'_>) -> Duration {
        let beats = self.channels.iter().filter(|((_, what), _)| *what == What::Beat);
        let critical = beats.map(|((s, what), c)| self.limits(s, *what, c, around).critical).max();
        self.own_grace(around).max(critical.unwrap_or_default())
    }

    /// The start grace is over.
    #[must_use]
    pub fn past_grace(&self, around: Around<'_>) -> bool {
        around.now.since(self.found) >= self.grace(around)
    }

    /// How long it may say of itself that it does not beat. Whose rhythm is not known is not given time for one: this is
    /// no silence, it is an answer.
    pub(super) fn own_grace(&self, around: Around<'_>) -> Duration {
        let beats = self.channels.iter().filter(|((_, what), _)| *what == What::Beat);
        let cadence = beats.filter_map(|(_, c)| c.cadence.value(around.rules)).max();
        around.rules.start_grace.max(cadence.unwrap_or_default() * 3)
    }
}
