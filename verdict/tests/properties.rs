//! What must hold for any evidence: worse is never better, unknown is never better, and neither the order nor the
//! repetition of observations matters.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

use std::sync::Arc;
use std::time::Duration;

use proptest::prelude::*;
use verdict::evidence::{Look, Model, Observation, Reach, Report, Said, Scope, Slot, WorkerKey};
use verdict::ledger::Ledger;
use verdict::rules::{Rulebook, Rules, SourceRules};
use verdict::snapshot::WorkerView;
use verdict::time::{Moment, WallTime};
use verdict::words::{Failure, SourceKind, State, Status};

const INTERVAL: Duration = Duration::from_secs(5);

/// How an endpoint answers at one look.
#[derive(Clone, Debug)]
struct Answer {
    reach: Option<Failure>,
    said: Said,
    disk: Option<f64>,
    memory: Option<f64>,
    model: Option<Model>,
}

fn answer() -> impl Strategy<Value = Answer> {
    let ratio = || prop::option::of(prop_oneof![Just(0.1), Just(0.87), Just(0.97)]);
    let model = prop::option::of(prop_oneof![Just(Model::Loaded), Just(Model::Loading), Just(Model::Failed)]);
    let said = prop_oneof![4 => Just(Said::Up), 1 => Just(Said::Degraded), 1 => Just(Said::Down)];
    let reach = prop_oneof![6 => Just(None), 1 => Just(Some(Failure::Timeout)), 1 => Just(Some(Failure::Refused))];
    (reach, said, ratio(), ratio(), model).prop_map(|(reach, said, disk, memory, model)| Answer {
        reach,
        said,
        disk,
        memory,
        model,
    })
}

fn look(worker: &str, at: u64, answer: &Answer) -> Look {
    let key = WorkerKey::new("web", worker);
    let mut o = Observation::new(worker, Slot { key: key.clone(), exclusive: true });
    let answered = Reach::Answered { took: Duration::from_millis(5), deadline: INTERVAL };
    o.reach = Some(answer.reach.map_or(answered, Reach::Missed));
    o.says.overall = Some(answer.said);
    o.numbers.disk_ratio = answer.disk;
    o.numbers.memory_ratio = answer.memory;
    o.numbers.model = answer.model;
    Look {
        source: Arc::from("web"),
        scope: Scope::Worker(key),
        started: moment(at),
        finished: moment(at),
        received: wall(at),
        interval: INTERVAL,
        outcome: Ok(Report::Worker(Box::new(o))),
    }
}

fn moment(at: u64) -> Moment {
    Moment::after_start(Duration::from_secs(at))
}

fn wall(at: u64) -> WallTime {
    WallTime::from_micros(1_800_000_000_000_000 + i64::try_from(at).unwrap() * 1_000_000)
}

fn ledger(workers: &[&str]) -> Ledger {
    let rules = Rulebook {
        default: Rules::default(),
        sources: vec![SourceRules {
            name: Arc::from("web"),
            kind: SourceKind::Http,
            namespace: Arc::from(""),
            minimum_interval: Duration::from_secs(2),
            maximum_interval: INTERVAL,
            watch: Vec::new(),
        }],
        ..Rulebook::default()
    };
    let mut ledger = Ledger::new(Arc::new(rules), Moment::START);
    let keys: Vec<_> = workers.iter().map(|w| WorkerKey::new("web", *w)).collect();
    ledger.discovered("web", &keys, Moment::START, wall(0));
    ledger
}

/// Lives through the answers, one each five seconds, with a tick each second.
fn live(ledger: &mut Ledger, looks: impl Fn(u64) -> Vec<Look>, seconds: u64) {
    for at in 1..=seconds {
        if at.is_multiple_of(INTERVAL.as_secs()) {
            for look in looks(at) {
                ledger.observe(look);
            }
        }
        ledger.tick(moment(at), wall(at));
    }
}

fn view(ledger: &Ledger, at: u64, name: &str) -> WorkerView {
    ledger.snapshot(moment(at), wall(at)).workers.into_iter().find(|w| &*w.key.worker == name).unwrap()
}

const fn badness(status: Status) -> u8 {
    match status {
        Status::Healthy => 0,
        Status::Unknown | Status::Warning => 1,
        Status::Critical => 2,
    }
}

const GOOD: Answer =
    Answer { reach: None, said: Said::Up, disk: Some(0.1), memory: Some(0.1), model: Some(Model::Loaded) };

proptest! {
    #[test]
    fn worsening_one_number_never_raises_the_score_or_improves_the_status(before in answer(), what in 0usize..4) {
        prop_assume!(before.reach.is_none());
        let mut after = before.clone();
        match what {
            0 if before.disk.is_some() => after.disk = Some(0.99),
            1 if before.memory.is_some() => after.memory = Some(0.99),
            2 if before.model.is_some() => after.model = Some(Model::Failed),
            _ => after.said = Said::Down,
        }
        let judged = |answer: &Answer| {
            let mut ledger = ledger(&["w"]);
            live(&mut ledger, |at| vec![look("w", at, answer)], 30);
            view(&ledger, 30, "w")
        };
        let (before, after) = (judged(&before), judged(&after));
        prop_assert!(after.score <= before.score, "{:?} {:?}", before.score, after.score);
        // A worker that never answered well is still starting: nobody knows it better.
        if after.state != State::Starting && before.state != State::Starting {
            prop_assert!(badness(after.status) >= badness(before.status), "{} {}", before.status, after.status);
        }
    }

    #[test]
    fn a_check_that_turns_unknown_never_improves_the_status(bad in answer()) {
        prop_assume!(bad.reach.is_none());
        let mut ledger = ledger(&["w"]);
        live(&mut ledger, |at| vec![look("w", at, if at < 30 { &GOOD } else { &bad })], 60);
        let before = view(&ledger, 60, "w");
        let silent = Answer { disk: None, memory: None, model: None, ..bad.clone() };
        for at in (65..=120).step_by(5) {
            ledger.observe(look("w", at, &silent));
            ledger.tick(moment(at), wall(at));
        }
        let after = view(&ledger, 120, "w");
        prop_assert!(badness(after.status) >= badness(before.status), "{bad:?}: {} then {}", before.status, after.status);
    }

    #[test]
    fn neither_order_nor_repetition_of_the_looks_of_one_moment_matters(answers in prop::collection::vec((answer(), answer()), 8..40)) {
        let at_look = |at: u64| {
            let n = usize::try_from(at / INTERVAL.as_secs()).unwrap() - 1;
            let (a, b) = &answers[n.min(answers.len() - 1)];
            (look("a", at, a), look("b", at, b))
        };
        let seconds = (answers.len() as u64) * INTERVAL.as_secs();
        let states = |looks: &dyn Fn(u64) -> Vec<Look>| {
            let mut ledger = ledger(&["a", "b"]);
            live(&mut ledger, looks, seconds);
            ["a", "b"].map(|name| {
                let w = view(&ledger, seconds, name);
                (w.state, w.reason, w.score.map(f64::to_bits))
            })
        };
        let plain = states(&|at| { let (a, b) = at_look(at); vec![a, b] });
        let swapped = states(&|at| { let (a, b) = at_look(at); vec![b, a] });
        prop_assert_eq!(plain, swapped);
    }
}

#[test]
fn a_beat_that_is_told_twice_is_one_beat() {
    use verdict::evidence::{Beat, Mark};
    let tell = |times: usize| {
        let mut ledger = ledger(&["w"]);
        live(
            &mut ledger,
            |at| {
                let mut told = look("w", at, &GOOD);
                if let Ok(Report::Worker(o)) = &mut told.outcome {
                    // It beats until a minute is over.
                    let stamp = wall(at.min(60));
                    o.beat = Some(Beat {
                        mark: Some(Mark::stamp(stamp)),
                        stamp: Some(stamp),
                        declared: Some(INTERVAL),
                        own_answer: true,
                        on_trial: false,
                    });
                }
                vec![told; times]
            },
            75,
        );
        let w = view(&ledger, 75, "w");
        let beat = w.channels.iter().find(|c| c.what == "heartbeat").map(|c| (c.moves, c.silent_seconds.to_bits()));
        (w.state, w.reason, beat)
    };
    assert_eq!(tell(1), tell(3));
}
