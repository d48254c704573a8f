//! Turns, phases, stalls and wishes, played from tick to tick.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

use proptest::prelude::*;
use verdict::evidence::{QueueKey, WorkerKey};
use verdict::words::TaskType;

use super::*;

const START: Moment = Moment::START;

fn seconds(seconds: f64) -> Duration {
    Duration::from_secs_f64(seconds)
}

fn at(time: f64) -> Moment {
    START + seconds(time)
}

fn worker(name: &str) -> Scope {
    Scope::Worker(WorkerKey::new("fleet", name))
}

fn every(scope: Scope, interval: f64) -> Wish {
    Wish::Every { source: "source".into(), scope, interval: seconds(interval), at_once: false }
}

fn at_once(scope: Scope, interval: f64) -> Wish {
    Wish::Every { source: "source".into(), scope, interval: seconds(interval), at_once: true }
}

fn never(scope: Scope) -> Wish {
    Wish::Never { source: "source".into(), scope }
}

/// Runs the table alone from tick to tick until `end`; each look takes no time. Says when each turn was taken.
fn play(table: &mut Timetable, end: Moment) -> Vec<(Moment, Due)> {
    let mut played = Vec::new();
    while let Some(tick) = table.next_tick().filter(|tick| *tick <= end) {
        for due in table.take_due(tick) {
            table.finished(due.ticket, tick);
            played.push((tick, due));
        }
    }
    played
}

#[test]
fn the_first_look_comes_within_two_seconds_however_long_the_interval() {
    for name in 0..200 {
        let mut table = Timetable::default();
        table.wish(every(worker(&name.to_string()), 30.0), at(100.0));
        let tick = table.next_tick().unwrap();
        assert!(tick >= at(100.0) && tick <= at(102.0) + TICK, "{tick:?}");
    }
}

/// Queue number `number` of many.
fn queue(number: usize) -> Scope {
    Scope::Queue(QueueKey {
        source: "source".into(),
        namespace: "default".into(),
        task_queue: number.to_string().into(),
        task_type: TaskType::Activity,
    })
}

#[test]
fn the_first_looks_at_very_many_queues_keep_to_the_pace_of_their_budget() {
    let mut table = Timetable::default();
    for number in 0..400 {
        table.wish(every(queue(number), 100.0), START);
    }
    for (since, second) in [(0.0, 10.0), (10.0, 50.0), (50.0, 100.0)] {
        let looks = play(&mut table, at(second)).len();
        let rate = f64::from(u32::try_from(looks).unwrap()) / (second - since);
        assert!((2.5..5.5).contains(&rate), "{rate} looks a second until {second}");
    }
    let mut few = Timetable::default();
    few.wish(every(queue(1), 10.0), START);
    assert_eq!(play(&mut few, at(2.0) + TICK).len(), 1, "a few queues are looked at soon");
}

#[test]
fn the_first_look_comes_within_a_short_interval_too() {
    for name in 0..50 {
        let mut table = Timetable::default();
        table.wish(every(worker(&name.to_string()), 0.5), at(7.0));
        assert!(table.next_tick().unwrap() <= at(7.5) + TICK);
    }
}

#[test]
fn a_thousand_looks_spread_evenly_over_their_interval() {
    let mut table = Timetable::default();
    for name in 0..1000 {
        table.wish(every(worker(&format!("worker-{name}")), 10.0), START);
    }
    let settled = play(&mut table, at(40.0));
    let mut by_second = [0_u32; 10];
    for (tick, _) in settled.iter().filter(|(tick, _)| *tick > at(30.0)) {
        let second = usize::try_from(tick.since(at(30.0)).as_secs()).unwrap();
        by_second[second.min(9)] += 1;
    }
    assert_eq!(by_second.iter().sum::<u32>(), 1000);
    assert!(by_second.iter().all(|count| (60..=140).contains(count)), "{by_second:?}");
}

#[test]
fn the_phase_is_the_same_after_a_restart() {
    let phase = |begin: f64| {
        let mut table = Timetable::default();
        table.wish(every(worker("a"), 10.0), at(begin));
        let (tick, _) = play(&mut table, at(begin + 60.0)).pop().unwrap();
        remainder_of(tick.since_start(), seconds(10.0))
    };
    assert_eq!(phase(0.0), phase(1003.7));
}

#[test]
fn starts_are_gathered_on_ticks_of_ten_milliseconds() {
    let mut table = Timetable::default();
    for name in 0..100 {
        table.wish(every(worker(&name.to_string()), 1.0), START);
    }
    for (tick, _) in play(&mut table, at(5.0)) {
        assert_eq!(tick.since_start().as_nanos() % TICK.as_nanos(), 0);
    }
}

#[test]
fn a_look_that_still_runs_at_its_next_turn_is_late_and_is_not_queued() {
    let mut table = Timetable::default();
    table.wish(every(worker("slow"), 1.0), START);
    let first = table.take_due(table.next_tick().unwrap()).pop().unwrap();
    assert_eq!(first.turn, Turn::Start);
    for _ in 0..3 {
        let due = table.take_due(table.next_tick().unwrap());
        assert_eq!(due.iter().map(|due| due.turn).collect::<Vec<_>>(), [Turn::Late]);
    }
    table.finished(first.ticket, table.next_tick().unwrap());
    let after = table.take_due(table.next_tick().unwrap());
    assert_eq!(after.iter().map(|due| due.turn).collect::<Vec<_>>(), [Turn::Start]);
}

#[test]
fn after_a_stall_the_missed_looks_are_not_made_up_for_and_the_entries_are_spread_anew() {
    let mut table = Timetable::default();
    for name in 0..100 {
        table.wish(every(worker(&name.to_string()), 10.0), START);
    }
    play(&mut table, at(20.0));
    let woken = at(200.0);
    assert_eq!(table.take_due(woken), []);
    let looks = play(&mut table, woken + FIRST_LOOK_WITHIN);
    assert_eq!(looks.len(), 100);
    let first_tick = looks.first().unwrap().0;
    assert!(looks.iter().filter(|(tick, _)| *tick == first_tick).count() < 20);
}

#[test]
fn a_turn_that_is_late_by_no_more_than_the_stall_limit_is_taken_at_once() {
    let mut table = Timetable::default();
    table.wish(at_once(worker("a"), 10.0), START);
    assert_eq!(table.take_due(START + STALL).len(), 1);
    let mut table = Timetable::default();
    table.wish(at_once(worker("a"), 10.0), START);
    assert_eq!(table.take_due(START + STALL + Duration::from_nanos(1)), []);
}

#[test]
fn a_machine_that_is_always_late_still_looks() {
    let mut table = Timetable::default();
    table.wish(every(worker("a"), 1.0), START);
    let mut looks = 0;
    for round in 1..=20 {
        for due in table.take_due(at(f64::from(round) * 10.0)) {
            table.finished(due.ticket, at(f64::from(round) * 10.0));
            looks += 1;
        }
    }
    assert_eq!(looks, 10);
}

#[test]
fn at_once_looks_now_when_nothing_runs() {
    let mut table = Timetable::default();
    table.wish(every(worker("a"), 30.0), START);
    play(&mut table, at(100.0));
    table.wish(at_once(worker("a"), 30.0), at(100.0));
    assert_eq!(table.take_due(at(100.0)).len(), 1);
}

#[test]
fn at_once_looks_once_more_right_after_the_look_that_runs_and_only_once() {
    let mut table = Timetable::default();
    table.wish(at_once(worker("a"), 30.0), START);
    let running = table.take_due(START).pop().unwrap();
    table.wish(at_once(worker("a"), 30.0), at(0.5));
    table.wish(at_once(worker("a"), 30.0), at(0.6));
    assert_eq!(table.take_due(at(0.7)), []);
    table.finished(running.ticket, at(1.0));
    let again = table.take_due(at(1.0));
    assert_eq!(again.iter().map(|due| due.turn).collect::<Vec<_>>(), [Turn::Start]);
    table.finished(running.ticket, at(1.1));
    assert!(table.next_tick().unwrap() > at(2.0));
}

#[test]
fn a_shorter_interval_counts_from_the_look_before() {
    let mut table = Timetable::default();
    table.wish(every(worker("a"), 30.0), START);
    let first = table.take_due(table.next_tick().unwrap()).pop().unwrap();
    table.finished(first.ticket, at(2.0));
    table.wish(every(worker("a"), 2.0), at(2.0));
    assert!(table.next_tick().unwrap() <= at(5.0));
    let (_, due) = play(&mut table, at(5.0)).pop().unwrap();
    assert_eq!(due.interval, seconds(2.0));
}

#[test]
fn a_longer_interval_puts_the_next_look_off() {
    let mut table = Timetable::default();
    table.wish(every(worker("a"), 1.0), START);
    let (last, _) = play(&mut table, at(10.0)).pop().unwrap();
    table.wish(every(worker("a"), 30.0), at(10.0));
    assert!(table.next_tick().unwrap() >= last + seconds(15.0));
}

#[test]
fn the_same_wish_said_again_changes_nothing() {
    let mut table = Timetable::default();
    table.wish(every(worker("a"), 30.0), START);
    play(&mut table, at(10.0));
    let before = table.next_tick();
    table.wish(every(worker("a"), 30.0), at(10.0));
    assert_eq!(table.next_tick(), before);
    assert_eq!(table.len(), 1);
}

#[test]
fn what_is_wished_away_is_never_looked_at_again() {
    let mut table = Timetable::default();
    table.wish(every(worker("a"), 1.0), START);
    assert!(table.wish(never(worker("a")), at(0.1)).is_some());
    assert_eq!(table.wish(never(worker("a")), at(0.2)), None);
    assert!(table.is_empty());
    assert_eq!(table.next_tick(), None);
}

#[test]
fn the_end_of_a_look_from_before_a_new_wish_does_not_touch_the_new_entry() {
    let mut table = Timetable::default();
    table.wish(at_once(worker("a"), 1.0), START);
    let old = table.take_due(START).pop().unwrap();
    table.wish(never(worker("a")), START);
    table.wish(at_once(worker("a"), 1.0), START);
    let new = table.take_due(START).pop().unwrap();
    assert_ne!(old.ticket, new.ticket);
    table.finished(old.ticket, at(0.2));
    let due = table.take_due(table.next_tick().unwrap()).pop().unwrap();
    assert_eq!(due.turn, Turn::Late);
}

#[test]
fn entries_of_sources_that_are_no_longer_configured_are_forgotten() {
    let mut table = Timetable::default();
    table.wish(every(worker("a"), 1.0), START);
    table.wish(
        Wish::Every { source: "other".into(), scope: Scope::Listing, interval: seconds(1.0), at_once: false },
        START,
    );
    assert_eq!(table.retain_sources(|source| source == "other").len(), 1);
    assert!(play(&mut table, at(10.0)).iter().all(|(_, due)| &*due.source == "other"));
}

#[test]
fn an_interval_of_zero_does_not_look_at_every_tick() {
    let mut table = Timetable::default();
    table.wish(every(worker("a"), 0.0), START);
    assert!(play(&mut table, at(1.0)).len() <= 12);
}

proptest! {
    #[test]
    fn two_looks_are_never_closer_than_half_an_interval_nor_further_than_one_and_a_half(
        name in "[a-z]{1,8}", interval in 0.1_f64..60.0, begin in 0.0_f64..1000.0,
    ) {
        let mut table = Timetable::default();
        table.wish(every(worker(&name), interval), at(begin));
        let looks = play(&mut table, at(begin + interval * 10.0));
        prop_assert!(looks.len() >= 8);
        for pair in looks.windows(2) {
            let gap = pair[1].0.since(pair[0].0).as_secs_f64();
            prop_assert!(gap >= interval * 0.5 - 0.011 && gap <= interval * 1.5 + 0.011, "{gap} of {interval}");
        }
    }
}
