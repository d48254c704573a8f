//! The checks and the score. Each check is one row of [`TABLE`] and one small pure function over [`Readings`].

use std::time::Duration;

use crate::cadence::Limits;
use crate::evidence::{Model, Said};
use crate::rules::{Rules, Threshold};
use crate::snapshot::{CheckView, Finding};
use crate::words::{Check, Failure, State};

/// A silence and how long it may last.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Silence {
    /// Watched time without a move.
    pub silent: Duration,
    /// How long it may last.
    pub limits: Limits,
}

/// What its endpoint said at the last look.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Answer {
    /// Misses in a row, and why the last one.
    pub missed: Option<(u32, Failure)>,
    /// Time it took over the time it was allowed, 0 to 1.
    pub of_deadline: f64,
    /// What it says as a whole.
    pub said: Option<Said>,
    /// Code and body disagree.
    pub contradiction: bool,
    /// A field or the body could not be read.
    pub unreadable: Option<Failure>,
    /// Names of its parts that are not up.
    pub failing: Vec<String>,
}

/// Its tasks over the last five minutes.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Tasks {
    /// Finished, failed ones included.
    pub finished: u64,
    /// Failed.
    pub failed: u64,
    /// Mean duration, where durations are reported.
    pub mean: Option<Duration>,
}

/// What the checks read. Absent is unknown and does not count.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Readings {
    /// Its beat.
    pub beat: Option<Silence>,
    /// Time without progress of its own while work waits; zero when nothing waits.
    pub no_progress: Option<Duration>,
    /// Polls as the queue server or its own stamps show them; only while it has free slots.
    pub polls: Option<Silence>,
    /// Its endpoint.
    pub answer: Option<Answer>,
    /// Its tasks.
    pub tasks: Option<Tasks>,
    /// CPU of its limit, five-minute mean.
    pub cpu: Option<f64>,
    /// Memory of its limit.
    pub memory: Option<f64>,
    /// GPU memory.
    pub gpu_memory: Option<f64>,
    /// Disk.
    pub disk: Option<f64>,
    /// Its model.
    pub model: Option<Model>,
}

type Judge = fn(&Readings, &Rules) -> Option<(Finding, String)>;

/// Every check: its name, its weight in the score, and how it is judged.
pub const TABLE: [(Check, f64, Judge); 8] = [
    (Check::Heartbeat, 3.0, heartbeat),
    (Check::Progress, 3.0, progress),
    (Check::QueueConnection, 2.0, queue_connection),
    (Check::Probe, 2.0, probe),
    (Check::TaskPerformance, 2.0, task_performance),
    (Check::Resources, 1.0, resources),
    (Check::DiskSpace, 1.0, disk_space),
    (Check::ModelLoading, 1.0, model_loading),
];

/// A critical check leaves a score no higher than this.
const CAP_CRITICAL: f64 = 0.69;
/// A stuck worker no higher than this.
const CAP_STUCK: f64 = 0.4;
/// Over this share of its deadline an answer is slow.
const SLOW: f64 = 0.5;

/// Judges every check.
#[must_use]
pub fn judge(readings: &Readings, rules: &Rules) -> Vec<CheckView> {
    TABLE
        .iter()
        .map(|(check, weight, judge)| {
            let (finding, why) =
                judge(readings, rules).map_or_else(|| (None, String::from("not known")), |(f, w)| (Some(f), w));
            CheckView { check: *check, finding, weight: *weight, why }
        })
        .collect()
}

/// The score: weighted mean over the known checks (pass 1, warning 0.5, critical 0), capped by what is critical.
/// `None` when nothing is known.
#[must_use]
pub fn score(checks: &[CheckView], worst: Option<Finding>, state: State) -> Option<f64> {
    if state == State::Down {
        return Some(0.0);
    }
    let (mut sum, mut weight) = (0.0, 0.0);
    for check in checks {
        let Some(finding) = check.finding else { continue };
        let value = match finding {
            Finding::Pass => 1.0,
            Finding::Warning => 0.5,
            Finding::Critical => 0.0,
        };
        sum += value * check.weight;
        weight += check.weight;
    }
    let cap = match (state, worst) {
        (State::Stuck, _) => CAP_STUCK,
        (_, Some(Finding::Critical)) => CAP_CRITICAL,
        _ => 1.0,
    };
    (weight > 0.0).then(|| (sum / weight).min(cap))
}

fn grade(value: f64, threshold: Threshold) -> Finding {
    if value >= threshold.critical {
        Finding::Critical
    } else if value >= threshold.warning {
        Finding::Warning
    } else {
        Finding::Pass
    }
}

fn grade_silence(silence: Silence) -> Finding {
    if silence.silent >= silence.limits.critical {
        Finding::Critical
    } else if silence.silent >= silence.limits.warning {
        Finding::Warning
    } else {
        Finding::Pass
    }
}

fn heartbeat(r: &Readings, _: &Rules) -> Option<(Finding, String)> {
    let s = r.beat?;
    let why = format!(
        "no beat for {} of watched time; warning at {}, critical at {}",
        seconds(s.silent),
        seconds(s.limits.warning),
        seconds(s.limits.critical)
    );
    Some((grade_silence(s), why))
}

fn progress(r: &Readings, rules: &Rules) -> Option<(Finding, String)> {
    let silent = r.no_progress?;
    let why = if silent.is_zero() {
        String::from("no work waits, or it moves")
    } else {
        format!("work waits and it has made no progress for {}", seconds(silent))
    };
    Some((grade(silent.as_secs_f64(), rules.no_progress), why))
}

fn queue_connection(r: &Readings, _: &Rules) -> Option<(Finding, String)> {
    let s = r.polls?;
    Some((grade_silence(s), format!("free slots, and no poll seen for {} of watched time", seconds(s.silent))))
}

fn probe(r: &Readings, rules: &Rules) -> Option<(Finding, String)> {
    let a = r.answer.as_ref()?;
    if let Some((misses, failure)) = a.missed {
        let finding = if misses >= rules.reach_misses { Finding::Critical } else { Finding::Warning };
        return Some((finding, format!("{misses} of the last looks in a row missed: {failure}")));
    }
    let parts = if a.failing.is_empty() { String::new() } else { format!(": {}", a.failing.join(", ")) };
    if a.contradiction {
        return Some((Finding::Critical, format!("code and body of the answer disagree{parts}")));
    }
    match (a.said, a.unreadable) {
        (Some(Said::Down), _) => Some((Finding::Critical, format!("it answers that it is unhealthy{parts}"))),
        (Some(Said::Degraded), _) => Some((Finding::Warning, format!("it answers with warnings{parts}"))),
        (_, Some(failure)) => Some((Finding::Warning, format!("its answer could not be read: {failure}"))),
        _ if a.of_deadline > SLOW => {
            Some((Finding::Warning, format!("it takes {:.0} % of its deadline to answer", a.of_deadline * 100.0)))
        }
        (Some(Said::Transient), _) => Some((Finding::Warning, format!("it answers that it is not ready{parts}"))),
        _ => Some((Finding::Pass, String::from("it answers in time"))),
    }
}

fn task_performance(r: &Readings, rules: &Rules) -> Option<(Finding, String)> {
    let t = r.tasks.filter(|t| t.finished >= rules.minimum_tasks.max(1))?;
    #[expect(clippy::cast_precision_loss, reason = "counts of five minutes")]
    let ratio = t.failed as f64 / t.finished as f64;
    let slow = t.mean.zip(rules.expected_task_duration).is_some_and(|(mean, expected)| mean > expected * 2);
    let finding = grade(ratio, rules.error_ratio).max(if slow { Finding::Warning } else { Finding::Pass });
    let slow = t.mean.filter(|_| slow).map(|m| format!(", mean duration {}", seconds(m))).unwrap_or_default();
    Some((finding, format!("{:.1} % of {} tasks failed in five minutes{slow}", ratio * 100.0, t.finished)))
}

fn resources(r: &Readings, rules: &Rules) -> Option<(Finding, String)> {
    let rows =
        [("CPU", r.cpu, rules.cpu), ("memory", r.memory, rules.memory), ("GPU memory", r.gpu_memory, rules.gpu_memory)];
    let worst = rows
        .iter()
        .filter_map(|(name, value, threshold)| value.map(|v| (grade(v, *threshold), v, *name)))
        .max_by(|a, b| a.0.cmp(&b.0).then(a.1.total_cmp(&b.1)))?;
    Some((worst.0, format!("{} at {:.0} % of its limit", worst.2, worst.1 * 100.0)))
}

fn disk_space(r: &Readings, rules: &Rules) -> Option<(Finding, String)> {
    let used = r.disk?;
    Some((grade(used, rules.disk), format!("disk {:.0} % full", used * 100.0)))
}

fn model_loading(r: &Readings, _: &Rules) -> Option<(Finding, String)> {
    Some(match r.model? {
        Model::Loaded => (Finding::Pass, String::from("the model is loaded")),
        Model::Loading => (Finding::Warning, String::from("the model is loading")),
        Model::Failed => (Finding::Critical, String::from("the model failed to load")),
    })
}

/// A duration for people: `4 s`, `2.5 s`, `12 min`.
#[must_use]
pub fn seconds(duration: Duration) -> String {
    let s = duration.as_secs_f64();
    if s >= 600.0 {
        format!("{:.0} min", s / 60.0)
    } else if s.fract() < 0.05 || s >= 20.0 {
        format!("{s:.0} s")
    } else {
        format!("{s:.1} s")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn find(readings: &Readings, check: Check) -> Option<Finding> {
        judge(readings, &Rules::default()).iter().find(|c| c.check == check).and_then(|c| c.finding)
    }

    fn silence(silent: f64) -> Option<Silence> {
        let limits = Limits { warning: Duration::from_secs(20), critical: Duration::from_secs(30) };
        Some(Silence { silent: Duration::from_secs_f64(silent), limits })
    }

    /// value just under the warning, at it, just under critical, at it
    fn boundary(check: Check, values: [f64; 4], readings: impl Fn(f64) -> Readings) {
        use Finding::{Critical, Pass, Warning};
        let found = values.map(|v| find(&readings(v), check));
        assert_eq!(found, [Some(Pass), Some(Warning), Some(Warning), Some(Critical)], "{check}");
    }

    #[test]
    fn each_threshold_is_reached_at_its_value_and_not_before() {
        boundary(Check::Heartbeat, [19.9, 20.0, 29.9, 30.0], |v| Readings { beat: silence(v), ..Default::default() });
        boundary(Check::QueueConnection, [19.9, 20.0, 29.9, 30.0], |v| Readings {
            polls: silence(v),
            ..Default::default()
        });
        boundary(Check::Progress, [64.9, 65.0, 129.9, 130.0], |v| Readings {
            no_progress: Some(Duration::from_secs_f64(v)),
            ..Default::default()
        });
        boundary(Check::Resources, [0.899, 0.90, 0.949, 0.95], |v| Readings { cpu: Some(v), ..Default::default() });
        boundary(Check::Resources, [0.849, 0.85, 0.949, 0.95], |v| Readings { memory: Some(v), ..Default::default() });
        boundary(Check::Resources, [0.849, 0.85, 0.899, 0.90], |v| Readings {
            gpu_memory: Some(v),
            ..Default::default()
        });
        boundary(Check::DiskSpace, [0.849, 0.85, 0.949, 0.95], |v| Readings { disk: Some(v), ..Default::default() });
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "small test figures")]
        boundary(Check::TaskPerformance, [49.0, 50.0, 99.0, 100.0], |v| Readings {
            tasks: Some(Tasks { finished: 1000, failed: v as u64, mean: None }),
            ..Default::default()
        });
    }

    #[test]
    fn an_error_rate_needs_twenty_tasks() {
        let tasks =
            |finished| Readings { tasks: Some(Tasks { finished, failed: finished, mean: None }), ..Default::default() };
        assert_eq!(find(&tasks(19), Check::TaskPerformance), None);
        assert_eq!(find(&tasks(20), Check::TaskPerformance), Some(Finding::Critical));
    }

    #[test]
    fn a_mean_duration_over_twice_the_expected_warns() {
        let rules = Rules { expected_task_duration: Some(Duration::from_secs(2)), ..Rules::default() };
        let find = |mean| {
            let readings = Readings {
                tasks: Some(Tasks { finished: 20, failed: 0, mean: Some(Duration::from_millis(mean)) }),
                ..Default::default()
            };
            task_performance(&readings, &rules).map(|f| f.0)
        };
        assert_eq!((find(4000), find(4001)), (Some(Finding::Pass), Some(Finding::Warning)));
    }

    #[test]
    fn the_probe_reads_misses_contradictions_words_and_slowness() {
        let find = |answer| find(&Readings { answer: Some(answer), ..Default::default() }, Check::Probe);
        let ok = Answer { said: Some(Said::Up), of_deadline: 0.5, ..Default::default() };
        assert_eq!(find(ok.clone()), Some(Finding::Pass));
        assert_eq!(find(Answer { of_deadline: 0.51, ..ok.clone() }), Some(Finding::Warning));
        assert_eq!(find(Answer { contradiction: true, ..ok.clone() }), Some(Finding::Critical));
        assert_eq!(find(Answer { said: Some(Said::Down), ..ok.clone() }), Some(Finding::Critical));
        assert_eq!(find(Answer { said: Some(Said::Degraded), ..ok.clone() }), Some(Finding::Warning));
        assert_eq!(find(Answer { said: Some(Said::Transient), ..ok.clone() }), Some(Finding::Warning));
        assert_eq!(find(Answer { unreadable: Some(Failure::BodyInvalid), ..ok.clone() }), Some(Finding::Warning));
        assert_eq!(find(Answer { missed: Some((2, Failure::Timeout)), ..ok.clone() }), Some(Finding::Warning));
        assert_eq!(find(Answer { missed: Some((3, Failure::Timeout)), ..ok }), Some(Finding::Critical));
    }

    #[test]
    fn the_model_check() {
        let find = |model| find(&Readings { model: Some(model), ..Default::default() }, Check::ModelLoading);
        assert_eq!(
            (find(Model::Loaded), find(Model::Loading), find(Model::Failed)),
            (Some(Finding::Pass), Some(Finding::Warning), Some(Finding::Critical))
        );
    }

    #[test]
    fn the_score_is_a_capped_weighted_mean_over_the_known() {
        let checks = |findings: &[(f64, Option<Finding>)]| -> Vec<CheckView> {
            findings
                .iter()
                .map(|(weight, finding)| CheckView {
                    check: Check::Probe,
                    finding: *finding,
                    weight: *weight,
                    why: String::new(),
                })
                .collect()
        };
        use Finding::{Critical, Pass, Warning};
        let mixed = checks(&[(3.0, Some(Pass)), (1.0, Some(Warning)), (5.0, None)]);
        assert_eq!(score(&mixed, Some(Warning), State::Healthy), Some(0.875));
        let critical = checks(&[(9.0, Some(Pass)), (1.0, Some(Critical))]);
        assert_eq!(score(&critical, Some(Critical), State::Degraded), Some(CAP_CRITICAL));
        assert_eq!(score(&checks(&[(1.0, Some(Pass))]), Some(Pass), State::Stuck), Some(CAP_STUCK));
        assert_eq!(score(&critical, Some(Critical), State::Down), Some(0.0));
        assert_eq!(score(&checks(&[(1.0, None)]), None, State::Unknown), None);
    }

    fn finding() -> impl Strategy<Value = Option<Finding>> {
        prop_oneof![Just(None), Just(Some(Finding::Pass)), Just(Some(Finding::Warning)), Just(Some(Finding::Critical))]
    }

    fn views(findings: &[Option<Finding>]) -> Vec<CheckView> {
        TABLE
            .iter()
            .zip(findings)
            .map(|((check, weight, _), finding)| CheckView {
                check: *check,
                finding: *finding,
                weight: *weight,
                why: String::new(),
            })
            .collect()
    }

    proptest! {
        #[test]
        fn worsening_one_known_check_never_raises_the_score(findings in prop::collection::vec(finding(), 8), at in 0usize..8) {
            let Some(Some(known)) = findings.get(at).copied() else { return Ok(()) };
            let worse = match known { Finding::Pass => Finding::Warning, _ => Finding::Critical };
            let mut after = findings.clone();
            after[at] = Some(worse);
            let worst = |f: &[Option<Finding>]| f.iter().flatten().max().copied();
            for state in [State::Healthy, State::Degraded, State::Stuck] {
                prop_assert!(score(&views(&after), worst(&after), state) <= score(&views(&findings), worst(&findings), state));
            }
        }
    }
}
