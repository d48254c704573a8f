//! The checks and the score. Each check is one row of [`TABLE`] and one small pure function over [`Readings`].

use std::fmt;
use std::time::Duration;

use crate::cadence::Limits;
use crate::evidence::{Hold, Model, Said};
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
    /// What the body says by itself.
    pub body: Option<Said>,
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

/// Its process.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Presence {
    /// It is there and can run.
    Able,
    /// It is there and does nothing, for so long.
    Held(Hold, Silence),
    /// It is gone.
    Gone,
    /// It is gone, and yet the worker was heard of since.
    Contradicted,
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
    /// Its process.
    pub process: Option<Presence>,
}

/// Says why, when somebody asks: what is judged a thousand times a second is put into words only for those who read it.
type Say<'a> = &'a mut dyn FnMut(fmt::Arguments<'_>);
type Judge = fn(&Readings, &Rules, Say<'_>) -> Option<Finding>;

/// Every check: its name, its weight in the score, and how it is judged.
pub const TABLE: [(Check, f64, Judge); 9] = [
    (Check::Heartbeat, 3.0, heartbeat),
    (Check::Progress, 3.0, progress),
    (Check::QueueConnection, 2.0, queue_connection),
    (Check::Probe, 2.0, probe),
    (Check::TaskPerformance, 2.0, task_performance),
    (Check::Resources, 1.0, resources),
    (Check::DiskSpace, 1.0, disk_space),
    (Check::ModelLoading, 1.0, model_loading),
    (Check::Process, 2.0, process),
];

/// A critical check leaves a score no higher than this.
const CAP_CRITICAL: f64 = 0.69;
/// A stuck worker no higher than this.
const CAP_STUCK: f64 = 0.4;
/// Over this share of its deadline an answer is slow.
const SLOW: f64 = 0.5;

/// What each check finds, in the order of the table; `None` is unknown.
#[must_use]
pub fn findings(readings: &Readings, rules: &Rules) -> [Option<Finding>; TABLE.len()] {
    TABLE.map(|(_, _, judge)| judge(readings, rules, &mut |_| ()))
}

/// The same with the reasons in words, for people.
#[must_use]
pub fn explain(readings: &Readings, rules: &Rules) -> Vec<CheckView> {
    TABLE
        .iter()
        .map(|(check, weight, judge)| {
            let mut why = String::from("not known");
            let finding = judge(readings, rules, &mut |words| why = words.to_string());
            CheckView { check: *check, finding, weight: *weight, why }
        })
        .collect()
}

/// The score: weighted mean over the known checks (pass 1, warning 0.5, critical 0), capped by what is critical.
/// `None` when nothing is known.
#[must_use]
pub fn score(findings: &[Option<Finding>; TABLE.len()], worst: Option<Finding>, state: State) -> Option<f64> {
    if state == State::Down {
        return Some(0.0);
    }
    let (mut sum, mut weight) = (0.0, 0.0);
    for ((_, weighs, _), finding) in TABLE.iter().zip(findings) {
        let Some(finding) = finding else { continue };
        let value = match finding {
            Finding::Pass => 1.0,
            Finding::Warning => 0.5,
            Finding::Critical => 0.0,
        };
        sum += value * weighs;
        weight += weighs;
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

fn heartbeat(r: &Readings, _: &Rules, say: Say<'_>) -> Option<Finding> {
    let s = r.beat?;
    say(format_args!(
        "no beat for {} of watched time; warning at {}, critical at {}",
        seconds(s.silent),
        seconds(s.limits.warning),
        seconds(s.limits.critical)
    ));
    Some(grade_silence(s))
}

fn progress(r: &Readings, rules: &Rules, say: Say<'_>) -> Option<Finding> {
    let silent = r.no_progress?;
    if silent.is_zero() {
        say(format_args!("no work waits, or it moves"));
    } else {
        say(format_args!("work waits and it has made no progress for {}", seconds(silent)));
    }
    Some(grade(silent.as_secs_f64(), rules.no_progress))
}

fn queue_connection(r: &Readings, _: &Rules, say: Say<'_>) -> Option<Finding> {
    let s = r.polls?;
    say(format_args!("free slots, and no poll seen for {} of watched time", seconds(s.silent)));
    Some(grade_silence(s))
}

fn probe(r: &Readings, rules: &Rules, say: Say<'_>) -> Option<Finding> {
    let a = r.answer.as_ref()?;
    if let Some((misses, failure)) = a.missed {
        say(format_args!("{misses} looks in a row missed: {failure}"));
        return Some(if misses >= rules.reach_misses { Finding::Critical } else { Finding::Warning });
    }
    let parts = if a.failing.is_empty() { String::new() } else { format!(": {}", a.failing.join(", ")) };
    if a.contradiction {
        let (code, body) = if a.body == Some(Said::Down) { ("healthy", "unhealthy") } else { ("unhealthy", "healthy") };
        say(format_args!("code and body of its answer disagree: the code says {code}, the body says {body}{parts}"));
        return Some(Finding::Critical);
    }
    match (a.said, a.unreadable) {
        (Some(Said::Down), _) => {
            say(format_args!("it answers that it is unhealthy{parts}"));
            return Some(Finding::Critical);
        }
        (Some(Said::Degraded), _) => say(format_args!("it answers with warnings{parts}")),
        (_, Some(failure)) => say(format_args!("its answer could not be read: {failure}")),
        _ if a.of_deadline > SLOW => {
            say(format_args!("it takes {:.0} % of its deadline to answer", a.of_deadline * 100.0));
        }
        (Some(Said::Transient), _) => say(format_args!("it answers that it is not ready{parts}")),
        _ => {
            say(format_args!("it answers in time"));
            return Some(Finding::Pass);
        }
    }
    Some(Finding::Warning)
}

fn task_performance(r: &Readings, rules: &Rules, say: Say<'_>) -> Option<Finding> {
    let t = r.tasks.filter(|t| t.finished >= rules.minimum_tasks.max(1))?;
    #[expect(clippy::cast_precision_loss, reason = "counts of five minutes")]
    let ratio = t.failed as f64 / t.finished as f64;
    let slow = t.mean.filter(|mean| rules.expected_task_duration.is_some_and(|expected| *mean > expected * 2));
    match slow {
        Some(mean) => say(format_args!(
            "{:.1} % of {} tasks failed in five minutes, mean duration {}",
            ratio * 100.0,
            t.finished,
            seconds(mean)
        )),
        None => say(format_args!("{:.1} % of {} tasks failed in five minutes", ratio * 100.0, t.finished)),
    }
    Some(grade(ratio, rules.error_ratio).max(if slow.is_some() { Finding::Warning } else { Finding::Pass }))
}

fn resources(r: &Readings, rules: &Rules, say: Say<'_>) -> Option<Finding> {
    let rows =
        [("CPU", r.cpu, rules.cpu), ("memory", r.memory, rules.memory), ("GPU memory", r.gpu_memory, rules.gpu_memory)];
    let (finding, used, name) = rows
        .iter()
        .filter_map(|(name, value, threshold)| value.map(|v| (grade(v, *threshold), v, *name)))
        .max_by(|a, b| a.0.cmp(&b.0).then(a.1.total_cmp(&b.1)))?;
    say(format_args!("{name} at {:.0} % of its limit", used * 100.0));
    Some(finding)
}

fn disk_space(r: &Readings, rules: &Rules, say: Say<'_>) -> Option<Finding> {
    let used = r.disk?;
    say(format_args!("disk {:.0} % full", used * 100.0));
    Some(grade(used, rules.disk))
}

fn model_loading(r: &Readings, _: &Rules, say: Say<'_>) -> Option<Finding> {
    let (finding, words) = match r.model? {
        Model::Loaded => (Finding::Pass, "the model is loaded"),
        Model::Loading => (Finding::Warning, "the model is loading"),
        Model::Failed => (Finding::Critical, "the model failed to load"),
    };
    say(format_args!("{words}"));
    Some(finding)
}

fn process(r: &Readings, _: &Rules, say: Say<'_>) -> Option<Finding> {
    let (hold, silence) = match r.process? {
        Presence::Able => {
            say(format_args!("its process is there and can run"));
            return Some(Finding::Pass);
        }
        Presence::Gone => {
            say(format_args!("its process is gone"));
            return Some(Finding::Critical);
        }
        Presence::Contradicted => {
            say(format_args!("there is no such process, and yet it was heard of since: is another one meant?"));
            return Some(Finding::Warning);
        }
        Presence::Held(hold, silence) => (hold, silence),
    };
    let (words, least) = match hold {
        Hold::Stopped => ("stopped by a signal", Finding::Warning),
        Hold::Traced => ("stopped by a debugger", Finding::Warning),
        // One look may catch any process while it waits for its disk.
        Hold::Waiting => ("waiting for a device or file system, without using CPU,", Finding::Pass),
    };
    say(format_args!("its process is {words} for {} of watched time", seconds(silence.silent)));
    Some(grade_silence(silence).max(least))
}

/// A duration for people: `4 s`, `2.5 s`, `12 min`. Written only when it is read.
#[must_use]
pub const fn seconds(duration: Duration) -> Seconds {
    Seconds(duration)
}

/// See [`seconds`].
#[derive(Clone, Copy, Debug)]
pub struct Seconds(Duration);

impl fmt::Display for Seconds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let s = self.0.as_secs_f64();
        if s >= 600.0 {
            write!(f, "{:.0} min", s / 60.0)
        } else if s.fract() < 0.05 || s >= 20.0 {
            write!(f, "{s:.0} s")
        } else {
            write!(f, "{s:.1} s")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn find(readings: &Readings, check: Check) -> Option<Finding> {
        explain(readings, &Rules::default()).iter().find(|c| c.check == check).and_then(|c| c.finding)
    }

    #[test]
    fn a_duration_is_written_as_people_read_it() {
        for (duration, written) in [
            (0.0, "0 s"),
            (0.04, "0 s"),
            (0.05, "0.1 s"),
            (2.5, "2.5 s"),
            (19.9, "19.9 s"),
            (20.0, "20 s"),
            (20.4, "20 s"),
            (599.0, "599 s"),
            (600.0, "10 min"),
            (750.0, "12 min"),
        ] {
            assert_eq!(seconds(Duration::from_secs_f64(duration)).to_string(), written, "{duration}");
        }
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
            task_performance(&readings, &rules, &mut |_| ())
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
    fn a_contradiction_says_which_side_says_what() {
        let why = |body| {
            let answer = Answer { contradiction: true, body: Some(body), ..Default::default() };
            let readings = Readings { answer: Some(answer), ..Default::default() };
            explain(&readings, &Rules::default())[3].why.clone()
        };
        assert!(why(Said::Down).ends_with("the code says healthy, the body says unhealthy"));
        assert!(why(Said::Up).ends_with("the code says unhealthy, the body says healthy"));
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
    fn a_process_that_is_there_and_does_nothing_warns_at_once_when_stopped_and_waits_for_its_limit_when_it_waits() {
        use Finding::{Critical, Pass, Warning};
        let held = |hold, silent| {
            let presence = silence(silent).map(|silence| Presence::Held(hold, silence));
            find(&Readings { process: presence, ..Default::default() }, Check::Process)
        };
        assert_eq!([0.0, 29.9, 30.0].map(|s| held(Hold::Stopped, s)), [Some(Warning), Some(Warning), Some(Critical)]);
        assert_eq!([0.0, 19.9, 20.0].map(|s| held(Hold::Waiting, s)), [Some(Pass), Some(Pass), Some(Warning)]);
        assert_eq!(held(Hold::Waiting, 30.0), Some(Critical));
        let find = |presence| find(&Readings { process: Some(presence), ..Default::default() }, Check::Process);
        assert_eq!(
            (find(Presence::Able), find(Presence::Contradicted), find(Presence::Gone)),
            (Some(Pass), Some(Warning), Some(Critical))
        );
    }

    #[test]
    fn the_score_is_a_capped_weighted_mean_over_the_known() {
        use Finding::{Critical, Pass, Warning};
        let unknown = [None; TABLE.len()];
        let of = |rows: &[(usize, Finding)]| {
            let mut findings = unknown;
            for (at, finding) in rows {
                findings[*at] = Some(*finding);
            }
            findings
        };
        // heartbeat weighs 3, the disk 1
        assert_eq!(score(&of(&[(0, Pass), (6, Warning)]), Some(Warning), State::Healthy), Some(0.875));
        let critical = of(&[(0, Pass), (1, Pass), (2, Pass), (3, Pass), (6, Critical)]);
        assert_eq!(score(&critical, Some(Critical), State::Degraded), Some(CAP_CRITICAL));
        assert_eq!(score(&of(&[(0, Pass)]), Some(Pass), State::Stuck), Some(CAP_STUCK));
        assert_eq!(score(&critical, Some(Critical), State::Down), Some(0.0));
        assert_eq!(score(&unknown, None, State::Unknown), None);
    }

    #[test]
    fn words_and_findings_agree() {
        let readings =
            Readings { beat: silence(25.0), disk: Some(0.99), model: Some(Model::Loading), ..Default::default() };
        let rules = Rules::default();
        let explained: Vec<_> = explain(&readings, &rules).iter().map(|c| c.finding).collect();
        assert_eq!(explained, findings(&readings, &rules));
        assert_eq!(explain(&readings, &rules)[6].why, "disk 99 % full");
    }

    fn finding() -> impl Strategy<Value = Option<Finding>> {
        prop_oneof![Just(None), Just(Some(Finding::Pass)), Just(Some(Finding::Warning)), Just(Some(Finding::Critical))]
    }

    proptest! {
        #[test]
        fn worsening_one_known_check_never_raises_the_score(before in prop::array::uniform9(finding()), at in 0usize..9) {
            let Some(known) = before[at] else { return Ok(()) };
            let mut after = before;
            after[at] = Some(match known { Finding::Pass => Finding::Warning, _ => Finding::Critical });
            let worst = |f: &[Option<Finding>; 9]| f.iter().flatten().max().copied();
            for state in [State::Healthy, State::Degraded, State::Stuck] {
                prop_assert!(score(&after, worst(&after), state) <= score(&before, worst(&before), state));
            }
        }
    }
}
