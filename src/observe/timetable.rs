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

/// A queue that is looked at less often than this is one of so many that the request budget sets their pace. Its first
/// look keeps to that pace, too.
pub const MANY_QUEUES: Duration = Duration::from_secs(10);

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
        // Hundreds of queues in two seconds would spend the request budget of minutes, and those that found it spent would
        // wait for another whole interval.
        let spread = matches!(self.scope, Scope::Queue(_)) && self.interval > MANY_QUEUES;
        let within = if spread { self.interval } else { self.interval.min(FIRST_LOOK_WITHIN) };
        now + remainder(self.hash, within)
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
            // A first look stays where it is. A later one counts from the look before it, and is not later than was wished:
            // whoever wants to look faster now waits for a verdict. It finds its phase again with the look after that.
            if let Some(last) = entry.last_start {
                entry.due = entry.turn_after(last).min(last + interval).max(now);
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
mod tests;
