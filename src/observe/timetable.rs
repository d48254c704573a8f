//! When each thing is looked at. Pure: `now` is an argument, and nothing here sleeps or spawns.
//!
//! Each entry keeps a phase, a hash of its source and scope, so that looks spread evenly over the interval without
//! any randomness: the same worker is looked at in the same place of each interval, after a restart too. Only the
//! very first look does not wait for its phase, since nothing is known of a new worker until it was looked at.
//!
//! A look that still runs when its next one is due is reported as late and never queued up: a source that has
//! become slower than its interval would otherwise pile up looks until nothing else runs. After a stall of ours the
//! missed looks are not made up for; the entries are spread anew from now.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use verdict::evidence::Scope;
use verdict::ledger::Wish;
use verdict::time::Moment;

/// Starts are gathered on ticks of this length: at 333 looks a second one wake-up then starts about three of them,
/// and nobody notices a look that is 10 ms late.
pub const TICK: Duration = Duration::from_millis(10);

/// A first look is never further away than this, however long the interval.
pub const FIRST_LOOK_WITHIN: Duration = Duration::from_secs(2);

/// Due for longer than this means that we did not run, not that we were busy for a moment.
pub const STALL: Duration = Duration::from_secs(5);

/// No interval is shorter, whatever is wished: a look each tick would starve all others.
pub const SHORTEST: Duration = Duration::from_millis(100);

/// Names an entry from its first wish until it is wished away. Never used twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ticket(u64);

/// What is to be done now about one entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Due {
    /// Whose turn it is.
    pub ticket: Ticket,
    /// Configured name of the source.
    pub source: Arc<str>,
    /// What to look at.
    pub scope: Scope,
    /// The interval in force.
    pub interval: Duration,
    /// What to do.
    pub turn: Turn,
}

/// See [`Due`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turn {
    /// Start a look. It counts as running until [`Timetable::finished`].
    Start,
    /// The look before still runs: report this one as late.
    Late,
}

#[derive(Debug)]
struct Entry {
    source: Arc<str>,
    scope: Scope,
    interval: Duration,
    hash: u64,
    due: Moment,
    last_start: Option<Moment>,
    running: bool,
    /// Look once more, right after the look that runs.
    again: bool,
    /// Already put off once after a stall. It is not put off twice, or a machine that is always late would never look.
    put_off: bool,
}

impl Entry {
    fn phase(&self) -> Duration {
        remainder(self.hash, self.interval)
    }

    /// The turn that follows one taken at `now`: the nearest moment in phase that is at least half an interval away.
    fn turn_after(&self, now: Moment) -> Moment {
        let earliest = now + self.interval / 2;
        let into = remainder_of(earliest.since_start(), self.interval);
        let phase = self.phase();
        earliest + if into <= phase { phase - into } else { self.interval - into + phase }
    }

    fn soon(&self, now: Moment) -> Moment {
        now + remainder(self.hash, self.interval.min(FIRST_LOOK_WITHIN))
    }
}

fn remainder(hash: u64, of: Duration) -> Duration {
    // In microseconds, so that a short interval is spread as well as a long one.
    Duration::from_micros(hash.checked_rem(u64::try_from(of.as_micros()).unwrap_or(u64::MAX)).unwrap_or(0))
}

fn remainder_of(time: Duration, of: Duration) -> Duration {
    let nanos = time.as_nanos().checked_rem(of.as_nanos()).unwrap_or(0);
    Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
}

/// FNV-1a, finished by a multiply-and-shift since its low bits alone do not spread names that differ in a digit.
fn hash_of(source: &str, scope: &Scope) -> u64 {
    let mut name = source.as_bytes().to_vec();
    let mut add = |part: &str| {
        name.push(0);
        name.extend_from_slice(part.as_bytes());
    };
    match scope {
        Scope::Worker(key) => {
            add(&key.fleet);
            add(&key.worker);
        }
        Scope::Listing => {}
        Scope::Queue(key) => {
            add(&key.namespace);
            add(&key.task_queue);
            add(key.task_type.word());
        }
    }
    let mark = name
        .iter()
        .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3));
    let mixed = (mark ^ (mark >> 33)).wrapping_mul(0xff51_afd7_ed55_8ccd);
    mixed ^ (mixed >> 33)
}

/// All entries and their turns.
#[derive(Debug, Default)]
pub struct Timetable {
    tickets: HashMap<(Arc<str>, Scope), Ticket>,
    entries: HashMap<Ticket, Entry>,
    turns: BTreeSet<(Moment, Ticket)>,
    issued: u64,
}

impl Timetable {
    /// Takes in a wish. Returns the entry that is no longer wished for, so that its look can be ended.
    pub fn wish(&mut self, wish: Wish, now: Moment) -> Option<Ticket> {
        match wish {
            Wish::Every { source, scope, interval, at_once } => {
                let interval = interval.max(SHORTEST);
                if let Some(ticket) = self.tickets.get(&(Arc::clone(&source), scope.clone())).copied() {
                    self.change(ticket, interval, at_once, now);
                } else {
                    self.add(source, scope, interval, at_once, now);
                }
                None
            }
            Wish::Never { source, scope } => {
                let ticket = self.tickets.get(&(source, scope)).copied()?;
                self.remove(ticket);
                Some(ticket)
            }
        }
    }

    fn add(&mut self, source: Arc<str>, scope: Scope, interval: Duration, at_once: bool, now: Moment) {
        self.issued += 1;
        let ticket = Ticket(self.issued);
        let mut entry = Entry {
            hash: hash_of(&source, &scope),
            source,
            scope,
            interval,
            due: now,
            last_start: None,
            running: false,
            again: false,
            put_off: false,
        };
        if !at_once {
            entry.due = entry.soon(now);
        }
        self.tickets.insert((Arc::clone(&entry.source), entry.scope.clone()), ticket);
        self.turns.insert((entry.due, ticket));
        self.entries.insert(ticket, entry);
    }

    fn change(&mut self, ticket: Ticket, interval: Duration, at_once: bool, now: Moment) {
        let Some(entry) = self.entries.get_mut(&ticket) else { return };
        let before = entry.due;
        if entry.interval != interval {
            entry.interval = interval;
            // A first look stays where it is. A later one counts from the look before it.
            if let Some(last) = entry.last_start {
                entry.due = entry.turn_after(last).max(now);
            }
        }
        if at_once {
            if entry.running {
                entry.again = true;
            } else {
                entry.due = entry.due.min(now);
            }
        }
        let after = entry.due;
        self.move_turn(ticket, before, after);
    }

    fn move_turn(&mut self, ticket: Ticket, from: Moment, to: Moment) {
        if from != to {
            self.turns.remove(&(from, ticket));
            self.turns.insert((to, ticket));
        }
    }

    fn remove(&mut self, ticket: Ticket) {
        if let Some(entry) = self.entries.remove(&ticket) {
            self.turns.remove(&(entry.due, ticket));
            self.tickets.remove(&(entry.source, entry.scope));
        }
    }

    /// Forgets all entries of sources that `keep` does not name. Returns them, so that their looks can be ended.
    pub fn retain_sources(&mut self, keep: impl Fn(&str) -> bool) -> Vec<Ticket> {
        let gone: Vec<Ticket> =
            self.entries.iter().filter(|(_, entry)| !keep(&entry.source)).map(|(ticket, _)| *ticket).collect();
        for ticket in &gone {
            self.remove(*ticket);
        }
        gone
    }

    /// The tick at which something is due next.
    #[must_use]
    pub fn next_tick(&self) -> Option<Moment> {
        let (due, _) = self.turns.first()?;
        let over = remainder_of(due.since_start(), TICK);
        Some(if over.is_zero() { *due } else { *due + (TICK - over) })
    }

    /// Takes all turns up to `now`, in their order.
    pub fn take_due(&mut self, now: Moment) -> Vec<Due> {
        let mut taken = Vec::new();
        while let Some((due, ticket)) = self.turns.first().copied().filter(|(due, _)| *due <= now) {
            self.turns.remove(&(due, ticket));
            let Some(entry) = self.entries.get_mut(&ticket) else { continue };
            if now.since(due) > STALL && !entry.put_off {
                entry.put_off = true;
                // Past `now`, or this loop would meet it again.
                entry.due = entry.soon(now).max(now + TICK);
                self.turns.insert((entry.due, ticket));
                continue;
            }
            entry.put_off = false;
            let turn = if entry.running {
                Turn::Late
            } else {
                entry.running = true;
                entry.last_start = Some(now);
                Turn::Start
            };
            entry.due = entry.turn_after(now);
            self.turns.insert((entry.due, ticket));
            taken.push(Due {
                ticket,
                source: Arc::clone(&entry.source),
                scope: entry.scope.clone(),
                interval: entry.interval,
                turn,
            });
        }
        taken
    }

    /// The look of this entry has ended. An entry that was wished away meanwhile is not an error.
    pub fn finished(&mut self, ticket: Ticket, now: Moment) {
        let Some(entry) = self.entries.get_mut(&ticket) else { return };
        entry.running = false;
        if std::mem::take(&mut entry.again) {
            let before = entry.due;
            entry.due = entry.due.min(now);
            let after = entry.due;
            self.move_turn(ticket, before, after);
        }
    }

    /// How many entries there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// No entries at all.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

    use proptest::prelude::*;
    use verdict::evidence::WorkerKey;

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
}
