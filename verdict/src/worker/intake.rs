//! Evidence in: what one observation changes of a worker.

use std::sync::Arc;
use std::time::Duration;

use super::{Around, POLL, QUEUE_INTERVAL, Worker};
use crate::channel::{Channel, What};
use crate::checks::Answer;
use crate::evidence::{Beat, Hands, Host, Mark, Observation, Reach, Said, Says, TypeReport, Upkeep};
use crate::state::Pulse;
use crate::tally::Added;
use crate::time::{Moment, WallTime};
use crate::words::{Failure, SourceKind, TaskType};
use crate::work::Work;

/// When and how a look was made.
#[derive(Clone, Copy, Debug)]
pub struct Seen {
    /// Its receipt, on our monotonic clock.
    pub now: Moment,
    /// Its receipt, on the wall.
    pub wall: WallTime,
    /// The interval in force.
    pub interval: Duration,
    /// By a list.
    pub listed: bool,
}

impl Worker {
    /// Takes in one observation; returns what was done under our eyes.
    pub fn see(&mut self, source: &Arc<str>, observation: &Observation, look: Seen, around: Around<'_>) -> Added {
        let Seen { now, wall, listed, .. } = look;
        if observation.host.is_none() && self.is_former(observation) {
            self.not_seen(source, look);
            return Added::default();
        }
        let late = matches!(self.beat(around), Pulse::Late | Pulse::Silent);
        self.sight(source, &observation.record, listed, now);
        self.hear(source, observation, look);
        let answered = !matches!(observation.reach, Some(Reach::Missed(_) | Reach::Misconfigured(_)));
        if let Some(reach) = observation.reach {
            self.reach(source, reach, look);
        }
        if let Some(host) = observation.host {
            self.host_seen(source, host, look);
        }
        if !answered || matches!(observation.host, Some(Host::Gone(_))) {
            return Added::default();
        }
        self.departed = false;
        let mut marks = Vec::new();
        if let Some(beat) = observation.beat {
            self.beat_seen(source, beat, observation.upkeep, look);
        }
        let n = &observation.numbers;
        if let Some(count) = n.progress {
            marks.push((What::Progress, Some(Mark::bytes(&count.to_le_bytes()))));
        } else if let Some(count) = n.tasks_total {
            marks.push((What::Tasks, Some(Mark::bytes(&count.to_le_bytes()))));
        }
        if let Some(hands) = observation.hands {
            let mark = match hands {
                Hands::Empty => Mark::bytes(b""),
                Hands::Full(mark) => mark,
            };
            marks.push((What::Hands, Some(mark)));
        }
        if let Some(stamp) = observation.last_activity {
            marks.push((What::Activity, Some(Mark::stamp(stamp))));
        }
        let served: Vec<_> = observation.types.iter().filter(|t| self.serves(t)).copied().collect();
        for t in &served {
            if let Some(processed) = t.processed {
                marks.push((What::Processed(t.task_type), Some(Mark::bytes(&processed.to_le_bytes()))));
            }
            if t.stamps_empty_polls && t.task_type != TaskType::LocalActivity {
                marks.push((What::Polls(t.task_type), t.last_poll.map(Mark::stamp)));
            }
        }
        for (what, mark) in marks {
            self.work_seen(source, what, mark, late, look, None);
        }
        for (part, _) in &observation.unread {
            part.forget(&mut self.numbers);
        }
        self.count(observation, now);
        self.merge(source, observation, &served, around);
        self.checked = Some((now, wall));
        let kind = around.sources.get(source).map(|of| of.rules.kind);
        let counted = Work::of(observation).and_then(|work| self.tally.take(source, kind, &work, now));
        let Some(added) = counted else { return Added::default() };
        if let Some(finished) = self.tally.finished() {
            self.window.record(now, finished, self.tally.failed().unwrap_or(0), self.tally.seconds());
        }
        added
    }

    /// The record is not in the list.
    pub fn missed_in_list(&mut self, source: &Arc<str>, look: Seen) {
        let Some(sight) = self.sights.get_mut(source) else { return };
        sight.missing.get_or_insert(look.now);
        self.not_seen(source, look);
    }

    /// A look showed nothing new of it.
    fn not_seen(&mut self, source: &Arc<str>, look: Seen) {
        let expired = self
            .sights
            .get(source)
            .is_some_and(|sight| sight.upkeep == Upkeep::Live && sight.expires.is_some_and(|at| at <= look.now));
        for ((of, what), channel) in &mut self.channels {
            if of == source && !matches!(what, What::Access(_)) {
                channel.look(look.now, look.wall, look.interval, None, None);
                channel.expired |= expired && *what == What::Beat;
            }
        }
    }

    /// A look that should have shown it failed.
    pub fn blinded(&mut self, source: &Arc<str>, failure: Failure) {
        for ((of, what), channel) in &mut self.channels {
            if of == source && !matches!(what, What::Access(_)) {
                channel.blinded(failure);
            }
        }
    }

    /// True when this stamp of its last poll is news.
    #[must_use]
    pub fn polls_anew(&self, source: &Arc<str>, task_type: TaskType, access: Option<WallTime>) -> bool {
        let known = self.channels.get(&(source.clone(), What::Access(task_type)));
        known.map_or(access.is_some(), |channel| channel.moves_to(access.map(Mark::stamp)))
    }

    /// The queue server's stamp of its last poll, or its absence from the pollers.
    pub fn polled(
        &mut self,
        source: &Arc<str>,
        task_type: TaskType,
        access: Option<WallTime>,
        look: Seen,
        around: Around<'_>,
    ) {
        // The server stamps the END of each long poll too, up to 60 s after its worker died: only what it stamps later is
        // the worker's own doing.
        let mark = access.map(Mark::stamp);
        let beat = self.channels.iter().filter(|((_, what), _)| *what == What::Beat);
        let beat = beat.filter_map(|(_, c)| c.moved.map(|(at, _)| at)).max();
        let late = beat.is_none_or(|at| look.now.since(at) > POLL + QUEUE_INTERVAL)
            && matches!(self.beat(around), Pulse::Late | Pulse::Silent);
        self.work_seen(source, What::Access(task_type), mark, late, look, Some(POLL));
    }

    fn hear(&mut self, source: &Arc<str>, observation: &Observation, look: Seen) {
        let Some(sight) = self.sights.get_mut(source) else { return };
        sight.missing = None;
        sight.deleted = false;
        sight.expires = observation.expires_in.map(|left| look.now + left);
        // Where no handshake came about, what was seen before still holds.
        if observation.certificate.is_some() || !matches!(observation.reach, Some(Reach::Missed(_))) {
            sight.certificate = observation.certificate;
        }
        if matches!(observation.reach, Some(Reach::Missed(_) | Reach::Misconfigured(_)))
            || matches!(observation.host, Some(Host::Gone(_)))
        {
            return;
        }
        sight.upkeep = observation.upkeep;
        sight.held = observation.held.map(|held| match sight.held {
            Some((before, since)) if before.mark == held.mark => (held, since),
            _ => (held, look.now),
        });
        sight.says = observation.says.clone();
        sight.notes.clone_from(&observation.notes);
        sight.info.clone_from(&observation.info);
        sight.goodbye = observation.says.goodbye.then(|| sight.goodbye.unwrap_or(look.now));
    }

    fn reach(&mut self, source: &Arc<str>, reach: Reach, look: Seen) {
        let Some(sight) = self.sights.get_mut(source) else { return };
        let channel =
            self.channels.entry((source.clone(), What::Reach)).or_insert_with(|| Channel::found(look.now, None));
        match reach {
            Reach::Misconfigured(failure) if failure != Failure::NotFound || !sight.was_found => {
                sight.health.ended(look.now, look.wall, Some(failure));
                sight.answer = None;
                channel.blinded(failure);
            }
            // A path that was there and is gone is news of the worker: it answers, and not well.
            Reach::Misconfigured(_) => {
                sight.health.ended(look.now, look.wall, None);
                channel.answered(look.now, look.wall);
                sight.answer = Some(Answer {
                    said: Some(Said::Down),
                    failing: vec![String::from("what was asked for there is gone (404, NOT_FOUND)")],
                    ..Answer::default()
                });
                sight.says = Says { overall: Some(Said::Down), ..Says::default() };
            }
            Reach::Missed(failure) => {
                sight.health.ended(look.now, look.wall, None);
                channel.missed(look.now, look.interval, failure);
                sight.answer = Some(Answer { missed: Some((channel.misses, failure)), ..Answer::default() });
            }
            Reach::Answered { took, deadline } => {
                sight.health.ended(look.now, look.wall, None);
                channel.answered(look.now, look.wall);
                sight.was_found = true;
                let says = &sight.says;
                sight.answered_well |= !matches!(says.overall, Some(Said::Down | Said::Transient)) && !says.starting;
                sight.answer = Some(Answer {
                    missed: None,
                    of_deadline: took.as_secs_f64() / deadline.as_secs_f64().max(f64::EPSILON),
                    said: says.overall,
                    contradiction: says.contradiction,
                    body: says.body,
                    unreadable: says.unreadable,
                    failing: says.failing.iter().map(|(name, _)| name.to_string()).collect(),
                });
            }
        }
    }

    fn beat_seen(&mut self, source: &Arc<str>, beat: Beat, upkeep: Upkeep, look: Seen) {
        let mut fresh = false;
        let channel = self.channels.entry((source.clone(), What::Beat)).or_insert_with(|| {
            fresh = true;
            Channel::found(look.now, beat.mark)
        });
        channel.own_answer = beat.own_answer;
        channel.on_trial = beat.on_trial;
        channel.cadence.declare(beat.declared);
        if upkeep != Upkeep::Learnt {
            channel.cadence.promise();
        }
        let since = look.now.since(channel.looked);
        let moved = if fresh {
            channel.stamp = beat.stamp;
            false
        } else {
            channel.look(look.now, look.wall, look.interval, beat.mark, beat.stamp)
        };
        if moved {
            if let Some(stamp) = beat.stamp {
                self.skew = Some(skew(stamp, look.wall, since));
            }
            for channel in self.channels.values_mut() {
                channel.moves_without_beat = 0;
            }
        }
    }

    fn work_seen(
        &mut self,
        source: &Arc<str>,
        what: What,
        mark: Option<Mark>,
        late: bool,
        look: Seen,
        cadence: Option<Duration>,
    ) {
        let mut fresh = false;
        let channel = self.channels.entry((source.clone(), what)).or_insert_with(|| {
            fresh = true;
            Channel::found(look.now, mark)
        });
        channel.cadence.declare(cadence);
        let moved = !fresh && channel.look(look.now, look.wall, look.interval, mark, None);
        if moved && late {
            channel.moves_without_beat += 1;
        }
    }

    fn count(&mut self, observation: &Observation, now: Moment) {
        if let Some(cpu) = observation.numbers.cpu_ratio {
            self.cpu.record(now, cpu);
        }
        for t in &observation.types {
            if t.used.is_some_and(|used| used > 0) {
                self.busy.entry(t.task_type).or_insert(now);
            } else {
                self.busy.remove(&t.task_type);
            }
        }
        // Without types it is one pool, and its tasks are what frameworks call jobs.
        if let (Some(in_flight), true) = (observation.numbers.in_flight, observation.types.is_empty()) {
            if in_flight > 0 {
                self.busy.entry(TaskType::Activity).or_insert(now);
            } else {
                self.busy.remove(&TaskType::Activity);
            }
        }
        if let Some(waiting) = observation.numbers.waiting {
            self.waiting = (waiting > 0).then(|| self.waiting.map_or((now, 1), |(since, looks)| (since, looks + 1)));
        }
    }

    /// A type that its SDK only mentions is served once it was seen to poll or to work, and from then on: a loop that is
    /// blocked later must not look like a type that was never there.
    fn serves(&self, report: &TypeReport) -> bool {
        report.proven || self.types.iter().any(|known| known.task_type == report.task_type)
    }

    /// What is absent in this observation stays as another source said it.
    fn merge(&mut self, source: &Arc<str>, observation: &Observation, served: &[TypeReport], around: Around<'_>) {
        macro_rules! merge {
            ($into:expr, $from:expr, $($field:ident),+) => {
                $(if $from.$field.is_some() { $into.$field = $from.$field.clone(); })+
            };
        }
        let (into, from) = (&mut self.numbers, &observation.numbers);
        merge!(
            into,
            from,
            tasks_total,
            tasks_failed,
            in_flight,
            waiting,
            progress,
            task_seconds_total,
            cpu_ratio,
            memory_bytes,
            memory_limit_bytes,
            memory_ratio,
            host_cpu_ratio,
            host_memory_ratio,
            disk_ratio,
            gpu_ratio,
            gpu_memory_ratio,
            model
        );
        let (into, from) = (&mut self.info, &observation.info);
        merge!(into, from, host, pod, pid, instance, sdk_name, sdk_version, build_id, deployment, start_time);
        if observation.identity.is_some() {
            self.identity.clone_from(&observation.identity);
        }
        // A registry knows of polls as well, which a worker's own metrics do not.
        let kind = |name: &str| around.sources.get(name).map(|of| of.rules.kind);
        let registry = |name: &Arc<str>| name != source && kind(name) == Some(SourceKind::Temporal);
        let known_better =
            kind(source) == Some(SourceKind::Metrics) && !self.types.is_empty() && self.sights.keys().any(registry);
        if !served.is_empty() && !known_better {
            self.types = served.to_vec();
        }
        for queue in &observation.task_queues {
            if !self.task_queues.contains(queue) {
                self.task_queues.push(queue.clone());
            }
        }
    }
}

/// Its clock minus ours: a stamp was made somewhere between the look before (`gap` ago) and this one, so only what lies
/// outside of that is skew.
fn skew(stamp: WallTime, received: WallTime, gap: Duration) -> f64 {
    let ahead = stamp.seconds_since(received);
    if ahead > 0.0 { ahead } else { (ahead + gap.as_secs_f64()).min(0.0) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn skew_is_only_what_lies_outside_the_gap_between_two_looks() {
        let received = WallTime::from_micros(1_000_000_000);
        let at = |s: f64| WallTime::from_seconds(1000.0 + s).unwrap_or_default();
        let gap = Duration::from_secs(10);
        assert!((skew(at(3.0), received, gap) - 3.0).abs() < 1e-6);
        assert!(skew(at(-9.0), received, gap).abs() < 1e-6);
        assert!((skew(at(-25_210.0), received, gap) + 25_200.0).abs() < 1e-6);
    }
}
