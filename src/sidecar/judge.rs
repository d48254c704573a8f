//! Alive? Ready? From evidence to two answers. Pure: `now` is an argument.
//!
//! What kills is judged otherwise than what waits. Liveness takes local evidence only, fails open while the sidecar is
//! young, holds while the worker drains, and lets one piece of evidence speak against another: a busy worker, a full one
//! and an idle one are alive. Readiness wants every piece of evidence to speak for the worker.

use std::collections::BTreeMap;
use std::time::Duration;

use verdict::time::{Moment, WallTime};
use verdict::words::Reason;

use super::beat::BeatWatch;
use super::cause::Cause;
use super::check::{Finding, Outcome};
use super::process::ProcessWatch;
use super::progress::MetricsWatch;
use super::registration::TemporalWatch;

/// A drain that takes longer than this is judged like any other life.
const DRAIN_LIMIT: Duration = Duration::from_secs(30 * 60);
/// The worker's metrics are looked at this often.
pub(super) const METRICS_INTERVAL: Duration = Duration::from_secs(10);
/// The process is looked at this often.
pub(super) const PROCESS_INTERVAL: Duration = Duration::from_secs(2);

/// What moved is seen at the next look only: so much later it speaks for a time after it.
const AFTERWARDS: Duration = Duration::from_secs(15);

/// Where a check belongs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reach {
    /// Inside the pod: both answers.
    Local,
    /// Outside of it: readiness alone.
    Outside,
}

/// One check with its name.
#[derive(Clone, Debug)]
pub(super) struct Check {
    /// Which evidence.
    pub(super) name: &'static str,
    /// Where it comes from.
    pub(super) reach: Reach,
    /// What it comes to.
    pub(super) finding: Finding,
    /// Since when it comes to this.
    pub(super) since: WallTime,
}

/// What the whole comes to, in one word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// The sidecar is young and the evidence is not all there.
    Starting,
    /// It runs.
    Running,
    /// It said goodbye.
    Draining,
    /// It is there and does nothing.
    Hung,
    /// It is gone.
    Exited,
}

/// The two answers.
#[derive(Clone, Debug)]
pub(super) struct Judgement {
    /// It need not be restarted.
    pub(super) live: bool,
    /// It takes work.
    pub(super) ready: bool,
    /// In one word.
    pub(super) phase: Phase,
    /// Every check, in the order in which they are configured.
    pub(super) checks: Vec<Check>,
}

/// Everything that is known of one worker. A watch that is `None` is not configured.
#[derive(Debug)]
pub(super) struct Judge {
    grace: Duration,
    /// Its process.
    pub(super) process: Option<ProcessWatch>,
    /// Its heartbeat file.
    pub(super) file: Option<BeatWatch>,
    /// Its own metrics.
    pub(super) metrics: Option<MetricsWatch>,
    /// Its key in Redis.
    pub(super) redis: Option<BeatWatch>,
    /// What Temporal says of it.
    pub(super) temporal: Option<TemporalWatch>,
    /// When we were told to end it.
    told: Option<Moment>,
    /// Since when it says goodbye by itself.
    said: Option<Moment>,
    since: BTreeMap<&'static str, (Outcome, Cause, WallTime)>,
}

impl Judge {
    /// Of a worker of which nothing is known. `grace` is how long liveness fails open after [`Moment::START`].
    #[must_use]
    pub(super) fn new(grace: Duration) -> Self {
        Self {
            grace,
            process: None,
            file: None,
            metrics: None,
            redis: None,
            temporal: None,
            told: None,
            said: None,
            since: BTreeMap::new(),
        }
    }

    /// It was told to leave.
    pub(super) fn told_to_leave(&mut self, now: Moment) {
        self.told.get_or_insert(now);
    }

    /// The two answers, now.
    pub(super) fn judge(&mut self, now: Moment, wall: WallTime) -> Judgement {
        let late = Moment::START + self.grace;
        let findings = self.findings(now, late);
        let draining = self.drains(now);
        let convicted = findings.iter().find(|(_, reach, finding)| *reach == Reach::Local && finding.convicts());
        let ended = self.process.as_ref().is_some_and(ProcessWatch::ended)
            && findings.iter().any(|(name, _, finding)| *name == "process" && finding.convicts());
        let young = now < late;
        // Who has left is gone, also while it drains.
        let live = young || convicted.is_none() || (draining && !ended);
        let phase = match convicted {
            _ if ended => Phase::Exited,
            _ if draining => Phase::Draining,
            _ if young && findings.iter().any(|(_, _, finding)| finding.outcome > Outcome::Warn) => Phase::Starting,
            Some(_) => Phase::Hung,
            None => Phase::Running,
        };
        let ready = !draining && findings.iter().all(|(_, _, finding)| finding.outcome <= Outcome::Warn);
        let checks = findings
            .into_iter()
            .map(|(name, reach, finding)| Check { name, reach, since: self.noted(name, &finding, wall), finding })
            .collect();
        Judgement { live, ready, phase, checks }
    }

    fn drains(&mut self, now: Moment) -> bool {
        let file = self.file.as_ref().is_some_and(BeatWatch::goodbye);
        let redis = self.redis.as_ref().is_some_and(BeatWatch::goodbye);
        let temporal = self.temporal.as_ref().is_some_and(TemporalWatch::goodbye);
        // A worker that starts anew takes its goodbye back; what we were told ourselves stands.
        self.said = (file || redis || temporal).then(|| self.said.unwrap_or(now));
        [self.told, self.said].into_iter().flatten().any(|since| now.since(since) < DRAIN_LIMIT)
    }

    /// Since when a check comes to what it comes to.
    fn noted(&mut self, name: &'static str, finding: &Finding, wall: WallTime) -> WallTime {
        let held = self.since.entry(name).or_insert((finding.outcome, finding.cause, wall));
        if (held.0, held.1) != (finding.outcome, finding.cause) {
            *held = (finding.outcome, finding.cause, wall);
        }
        held.2
    }

    /// A beat or a move of the progress counter came after `moment`, and they still come.
    fn lives_after(&self, moment: Moment) -> bool {
        let beat = self.file.as_ref().filter(|file| file.beats()).and_then(BeatWatch::moved);
        let work = self.metrics.as_ref().filter(|metrics| metrics.works()).and_then(MetricsWatch::moved);
        [beat, work].into_iter().flatten().any(|moved| moved > moment)
    }

    fn findings(&self, now: Moment, late: Moment) -> Vec<(&'static str, Reach, Finding)> {
        let mut all = Vec::with_capacity(7);
        if let Some(process) = &self.process {
            let finding = process.finding();
            // A pid file may be old, and one thread may hang alone: what moved later says that it lives.
            let cause = finding.cause;
            let moved = self.lives_after(process.since() + AFTERWARDS);
            all.push(("process", Reach::Local, if moved { finding.overruled(cause) } else { finding }));
        }
        if let Some(file) = &self.file {
            let finding = file.finding(now, late);
            let works = self.metrics.as_ref().is_some_and(MetricsWatch::works)
                && file.moved().is_none_or(|beat| self.lives_after(beat + AFTERWARDS));
            let stale = finding.cause == Cause::Of(Reason::Stale);
            let lost = Cause::Of(Reason::HeartbeatLost);
            all.push(("heartbeat_file", Reach::Local, if works && stale { finding.overruled(lost) } else { finding }));
        }
        if let Some(metrics) = &self.metrics {
            let finding = metrics.finding(METRICS_INTERVAL);
            let beats = self.file.as_ref().is_some_and(BeatWatch::beats);
            let lost = Cause::Of(Reason::EndpointLost);
            // Somebody who beats and does not answer is not dead. Somebody who beats and makes no progress may be.
            let silent = matches!(finding.cause, Cause::Look(_));
            all.push(("metrics", Reach::Local, if beats && silent { finding.overruled(lost) } else { finding }));
        }
        if let Some(redis) = &self.redis {
            all.push(("redis", Reach::Outside, redis.finding(now, late)));
        }
        if let Some(temporal) = &self.temporal {
            all.push(("temporal", Reach::Outside, temporal.reachable()));
            all.push(("registered", Reach::Outside, temporal.registered()));
            all.push(("polling", Reach::Outside, temporal.polling(now)));
        }
        all
    }
}
