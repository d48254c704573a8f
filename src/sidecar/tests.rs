//! The decision, at each boundary and just under it: what the tests share.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod answers;
mod local;
mod outside;

use std::sync::Arc;
use std::time::Duration;

use verdict::evidence::{Beat, Mark, Observation, Said, Says, Slot, TypeReport, WorkerKey};
use verdict::read::health;
use verdict::time::{Moment, WallTime};
use verdict::words::{Failure, Reason, TaskType};

use super::answer::{Card, Question, render};
use super::beat::{BeatSeen, BeatWatch};
use super::cause::Cause;
use super::check::Outcome;
use super::judge::{Judge, Judgement, METRICS_INTERVAL, PROCESS_INTERVAL, Phase};
use super::process::ProcessSeen;
use super::progress::{MetricsSeen, MetricsWatch};
use super::registration::TemporalWatch;
use crate::observe::temporal::{OwnPoll, OwnSeen};

const GRACE: u64 = 60;
const ALIVE: ProcessSeen = ProcessSeen::Alive { pid: 7 };
const STOPPED: ProcessSeen = ProcessSeen::Stopped { pid: 7 };
const BLOCKED: ProcessSeen = ProcessSeen::Blocked { pid: 7 };

fn s(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn at(seconds: u64) -> Moment {
    Moment::after_start(s(seconds))
}

fn wall(seconds: u64) -> WallTime {
    WallTime::from_micros(1_764_000_000_000_000) + s(seconds)
}

fn judge() -> Judge {
    Judge::new(s(GRACE))
}

fn with_file(interval: Option<u64>) -> Judge {
    let mut judge = judge();
    judge.file = Some(BeatWatch::new(interval.map(s), None, (s(1), s(5))));
    judge
}

fn beat(value: u64) -> BeatSeen {
    BeatSeen { mark: Some(Mark::bytes(&value.to_be_bytes())), ..BeatSeen::default() }
}

/// Looks at the file each 5 s from `from` to `to`; `written` says what stands in it at a time.
fn watch_file(judge: &mut Judge, from: u64, to: u64, written: impl Fn(u64) -> Result<BeatSeen, Failure>) {
    for t in (from..=to).step_by(5) {
        judge.file.as_mut().unwrap().look(at(t), wall(t), written(t));
    }
}

fn watch_process(judge: &mut Judge, from: u64, to: u64, seen: ProcessSeen) {
    for t in (from..=to).step_by(2) {
        judge.process.get_or_insert_default().look(at(t), PROCESS_INTERVAL, Ok(seen));
    }
}

fn watch_metrics(judge: &mut Judge, from: u64, to: u64, seen: impl Fn(u64) -> Result<MetricsSeen, Failure>) {
    for t in (from..=to).step_by(10) {
        judge.metrics.as_mut().unwrap().look(at(t), wall(t), METRICS_INTERVAL, seen(t));
    }
}

fn count(value: u64) -> Result<MetricsSeen, Failure> {
    Ok(MetricsSeen { progress: Some(value), ..MetricsSeen::default() })
}

fn now(judge: &mut Judge, seconds: u64) -> Judgement {
    judge.judge(at(seconds), wall(seconds))
}

fn word(judgement: &Judgement, name: &str) -> (Outcome, &'static str) {
    let check = judgement.checks.iter().find(|check| check.name == name).unwrap();
    (check.finding.outcome, check.finding.cause.word())
}

fn record(start: u64, stamp: u64, types: Vec<TypeReport>) -> Observation {
    let slot = Slot { key: WorkerKey::new("default/orders", "w"), exclusive: false };
    let mut seen = Observation::new(format!("instance-{start}"), slot);
    seen.beat = Some(Beat {
        mark: Some(Mark::stamp(wall(stamp))),
        stamp: Some(wall(stamp)),
        declared: Some(s(10)),
        own_answer: false,
        on_trial: false,
    });
    seen.task_queues = vec!["orders".into()];
    seen.info.start_time = Some(wall(start));
    seen.types = types;
    seen
}

fn activity() -> TypeReport {
    TypeReport {
        task_type: TaskType::Activity,
        used: Some(0),
        available: Some(100),
        processed: Some(0),
        failed: Some(0),
        pollers: Some(5),
        last_poll: None,
        stamps_empty_polls: true,
        proven: true,
    }
}

fn listed(workers: Vec<Observation>) -> OwnSeen {
    OwnSeen { heartbeats: true, workers, polls: Vec::new() }
}

fn with_temporal() -> Judge {
    let mut judge = judge();
    judge.temporal = Some(TemporalWatch::new(vec!["orders".into()]));
    judge
}

/// Looks each 5 s.
fn watch_temporal(judge: &mut Judge, from: u64, to: u64, seen: impl Fn(u64) -> Result<OwnSeen, Failure>) {
    for t in (from..=to).step_by(5) {
        judge.temporal.as_mut().unwrap().look(at(t), wall(t), s(5), seen(t));
    }
}

/// A beat each 10 s, with these types.
fn beating(types: impl Fn(u64) -> TypeReport) -> impl Fn(u64) -> Result<OwnSeen, Failure> {
    move |t| Ok(listed(vec![record(0, t / 10 * 10, vec![types(t)])]))
}
