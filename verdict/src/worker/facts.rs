//! Judgement out: the facts that the state table weighs, and what the checks read.

use std::sync::Arc;
use std::time::Duration;

use super::{Around, Sight, Worker};
use crate::channel::{Channel, What};
use crate::checks::{Readings, Silence};
use crate::progress::Progress;
use crate::state::{Facts, Goodbye, Pulse};
use crate::words::{ChannelKind, Failure, Reason};

/// Changes of state within [`FLAP_WINDOW`] above which a worker flaps.
const FLAP_CHANGES: usize = 4;
const FLAP_WINDOW: Duration = Duration::from_secs(600);

impl Worker {
    /// The facts that the state table weighs; the checks' part is added by the caller.
    #[must_use]
    pub fn facts(&self, progress: &Progress, around: Around<'_>) -> Facts {
        let beat = self.beat(around);
        let reach = self.endpoint(around);
        let past_grace = self.past_grace(around);
        Facts {
            blind: self.blindness(around),
            host_gone: self.host_gone(around),
            says_dead: self.says_dead(beat, around),
            goodbye: self.goodbye(beat, reach, around),
            alive_once: self.alive_once(reach, past_grace),
            in_grace: !past_grace,
            restarted: self.restarted,
            beat,
            work: self.freshest(ChannelKind::Work, around),
            reach,
            host: self.freshest(ChannelKind::Host, around),
            work_without_beat: self.channels.values().map(|c| c.moves_without_beat).max().unwrap_or(0),
            silence: self.silence(),
            only_polls: self.only_polls(),
            stuck: progress.stuck,
            saturated: progress.saturated,
            critical: None,
            low_score: false,
            flapping: self.recent.iter().filter(|at| around.now.since(**at) < FLAP_WINDOW).count() > FLAP_CHANGES,
            warning: false,
        }
    }

    fn blindness(&self, around: Around<'_>) -> Option<Reason> {
        if self.checked.is_none() && self.channels.is_empty() {
            let misconfigured =
                self.sights.values().any(|s| s.health.failing.is_some_and(Failure::is_misconfiguration));
            return Some(if misconfigured { Reason::Misconfigured } else { Reason::NotLookedAt });
        }
        let mut seen = self.channels.iter().filter(|((source, what), c)| !self.blind(source, *what, c, around));
        if seen.next().is_some() {
            return None;
        }
        let misconfigured = |s: &Sight| s.health.failing.is_some_and(Failure::is_misconfiguration);
        Some(if self.sights.values().any(misconfigured) { Reason::Misconfigured } else { Reason::SourceFailed })
    }

    fn says_dead(&self, beat: Pulse, around: Around<'_>) -> Option<Reason> {
        let past_grace = around.now.since(self.found) >= self.own_grace(around);
        for (source, sight) in &self.sights {
            let own = self.channels.get(&(source.clone(), What::Beat)).filter(|c| c.own_answer);
            let never = own.is_some_and(Channel::never);
            if past_grace && never && !matches!(beat, Pulse::Fresh | Pulse::Late) {
                return Some(Reason::NeverBeat);
            }
            if past_grace && sight.says.alive == Some(false) && self.answers_now(source) {
                return Some(Reason::LoopDead);
            }
            let Some(own) = own.filter(|c| c.believed() && !c.never()) else { continue };
            // Another beat that moves is positive evidence, received after the frozen one.
            if beat == Pulse::Silent
                && self.answers_now(source)
                && self.pulse(source, What::Beat, own, around) == Pulse::Silent
            {
                return Some(Reason::LoopDead);
            }
        }
        None
    }

    fn answers_now(&self, source: &Arc<str>) -> bool {
        self.channels.get(&(source.clone(), What::Reach)).is_none_or(|c| c.misses == 0)
    }

    fn goodbye(&self, beat: Pulse, reach: Pulse, around: Around<'_>) -> Option<Goodbye> {
        let said = || self.sights.values().filter(|s| s.goodbye.is_some());
        let since = said().filter_map(|s| s.goodbye).min()?;
        let there = |pulse| matches!(pulse, Pulse::Fresh | Pulse::Late | Pulse::Blind);
        let gone = said().all(|s| s.missing.is_some());
        // Refused right after goodbye is the end that was announced: no need to wait for three misses.
        let refused = self.channels.values().any(|c| c.misses > 0 && c.failure == Some(Failure::Refused));
        let host_gone = self.host_gone(around).is_some();
        let present = !refused && !host_gone && (there(reach) || (there(beat) && !gone && reach != Pulse::Silent));
        Some(Goodbye { present, overdue: around.now.since(since) > around.rules.drain_limit })
    }

    fn alive_once(&self, reach: Pulse, past_grace: bool) -> bool {
        let moved = self
            .channels
            .iter()
            .any(|((_, what), c)| !matches!(what, What::Reach | What::Host) && c.moves > 0 && c.believed());
        let well = self.sights.iter().any(|(source, s)| {
            let own_never = self.channels.get(&(source.clone(), What::Beat)).is_some_and(|c| c.own_answer && c.never());
            s.answered_well && !own_never && s.says.alive != Some(false)
        });
        let answers = past_grace && reach == Pulse::Fresh;
        moved || well || answers || self.is_only_there()
    }

    fn silence(&self) -> Option<Reason> {
        let reach = self
            .channels
            .iter()
            .filter(|((_, what), c)| *what == What::Reach && c.misses > 0)
            .find_map(|(_, c)| c.failure);
        if let Some(failure) = reach {
            return Some(match failure {
                Failure::Timeout => Reason::Timeout,
                Failure::Refused => Reason::Refused,
                Failure::Tls => Reason::Tls,
                _ => Reason::Unreachable,
            });
        }
        let beaten = self.channels.iter().any(|((_, what), c)| {
            *what == What::Beat
                && (c.moves > 0
                    || c.stamp.zip(self.info.start_time).is_some_and(|(s, start)| s.seconds_since(start) > 5.0))
        });
        let missing = self.sights.values().any(|s| s.missing.is_some());
        match (beaten, missing) {
            (true, true) => Some(Reason::Gone),
            (true, false) => Some(Reason::Stale),
            (false, _) => None,
        }
    }

    /// What the checks read.
    #[must_use]
    pub fn readings(&self, progress: &Progress, around: Around<'_>) -> Readings {
        let beat = self
            .channels
            .iter()
            .filter(|((s, what), c)| {
                what.kind() == ChannelKind::Beat && c.believed() && c.moves > 0 && !self.blind(s, *what, c, around)
            })
            .map(|((s, what), c)| Silence { silent: c.silent, limits: self.limits(s, *what, c, around) })
            .min_by(|a, b| a.silent.cmp(&b.silent));
        let reach_blind = self.endpoint(around) == Pulse::Blind;
        let n = &self.numbers;
        #[expect(clippy::cast_precision_loss, reason = "a ratio of byte counts")]
        let memory = n.memory_ratio.or_else(|| {
            let (used, limit) = n.memory_bytes.zip(n.memory_limit_bytes)?;
            (limit > 0).then(|| used as f64 / limit as f64)
        });
        Readings {
            beat,
            no_progress: progress.silent,
            polls: progress.polls,
            answer: (!reach_blind)
                .then(|| {
                    self.sights.values().filter_map(|s| s.answer.clone()).max_by_key(|a| (a.missed.is_some(), a.said))
                })
                .flatten(),
            tasks: self.window.tasks(),
            cpu: self.cpu.value(),
            memory,
            gpu_memory: n.gpu_memory_ratio,
            disk: n.disk_ratio,
            model: n.model,
            process: self.presence(around),
        }
    }
}
