//! A week of a thousand workers, with time as an argument: ten worlds of a hundred (eight of stock Temporal workers, two of
//! HTTP workers), each with jitter, pauses, rolling
//! deploys, crashes that a supervisor mends, scale-ins and scale-outs, short outages of the source, and a few workers that
//! really die. No false `down`, and no death missed.
//!
//! `make test` lives one world of each kind; `make soak` lives all ten (`WORKER_EXPORTER_WEEK=all`).
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

mod world;

use std::collections::BTreeMap;

use verdict::rules::Rules;
use verdict::words::{Failure, State};
use world::{Process, Web, World};

const DAY: f64 = 86_400.0;
const WEEK: f64 = 7.0 * DAY;
/// A stock worker is found dead after three missed beats, widened to at most twice that, and two looks.
const LIMIT: f64 = 360.0 + 60.0;

/// How many worlds are lived now, of how many there are.
fn worlds(all: u64) -> u64 {
    if std::env::var("WORKER_EXPORTER_WEEK").is_ok_and(|which| which == "all") { all } else { 1 }
}

/// A small generator of our own, so that each week is the same week (splitmix64).
struct Dice(u64);

impl Dice {
    fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, n: usize) -> usize {
        usize::try_from(self.roll() % n as u64).unwrap()
    }

    fn between(&mut self, from: f64, to: f64) -> f64 {
        from + (to - from) * f64::from(u32::try_from(self.roll() >> 32).unwrap()) / f64::from(u32::MAX)
    }
}

enum Event {
    /// SIGSTOP for so long.
    Pause(f64),
    /// Killed, and back after so long.
    Crash(f64),
    /// SIGTERM, and its successor after so long.
    Deploy(f64),
    /// SIGTERM for good.
    ScaleIn,
    /// Another host.
    ScaleOut,
    /// Killed for good.
    Death,
    /// Looks fail for so long.
    Outage(f64),
}

/// Most of a week nothing happens; what happens comes in bursts, as in life.
fn events(dice: &mut Dice) -> Vec<(f64, Event)> {
    let mut events = Vec::new();
    for day in 0..7 {
        let day = f64::from(day) * DAY;
        let deploy = day + 36_000.0;
        for n in 0..100 {
            events.push((deploy + f64::from(n) * 6.0, Event::Deploy(dice.between(1.0, 20.0))));
        }
        for _ in 0..12 {
            let at = day + 50_000.0 + dice.between(0.0, 3000.0);
            events.push((at, Event::Pause(dice.between(5.0, 90.0))));
            events.push((at + 400.0, Event::Crash(dice.between(0.5, 30.0))));
        }
        for _ in 0..10 {
            let at = day + 70_000.0 + dice.between(0.0, 600.0);
            events.push((at, Event::ScaleIn));
            events.push((at + 5000.0, Event::ScaleOut));
        }
        events.push((day + 20_000.0, Event::Outage(dice.between(10.0, 900.0))));
        events.push((day + 30_000.0 + dice.between(0.0, 3000.0), Event::Death));
        events.push((day + 80_000.0 + dice.between(0.0, 3000.0), Event::Death));
    }
    events.sort_by(|a, b| a.0.total_cmp(&b.0));
    events
}

struct Week {
    world: World,
    dice: Dice,
    /// Hosts whose worker should be alive, and the index of its process.
    living: BTreeMap<String, usize>,
    /// Slot and time of each real death.
    deaths: Vec<(String, f64)>,
    pid: u32,
    hosts: usize,
    restore: Option<f64>,
}

impl Week {
    fn new(seed: u64) -> Self {
        let mut week = Self {
            world: World::with(Rules::default(), 1.0, 5.0),
            dice: Dice(seed),
            living: BTreeMap::new(),
            deaths: Vec::new(),
            pid: 100,
            hosts: 0,
            restore: None,
        };
        for _ in 0..100 {
            let start = week.dice.between(-5000.0, -100.0);
            week.start_on_new_host(start);
        }
        week
    }

    fn start_on_new_host(&mut self, start: f64) {
        self.hosts += 1;
        let host = format!("h{:03}", self.hosts);
        self.start(host, start);
    }

    fn start(&mut self, host: String, start: f64) {
        self.pid += 1;
        self.world.temporal.processes.push(Process { beats_each: 60.0, ..Process::new(&host, self.pid, start) });
        self.living.insert(host, self.world.temporal.processes.len() - 1);
    }

    fn any(&mut self) -> (String, usize) {
        let n = self.dice.below(self.living.len());
        let (host, at) = self.living.iter().nth(n).unwrap();
        (host.clone(), *at)
    }

    fn happen(&mut self, event: &Event) {
        let now = self.world.now;
        let (host, at) = self.any();
        let process = &mut self.world.temporal.processes[at];
        // One thing at a time befalls a process.
        if process.still.is_some_and(|still| now < still + 600.0)
            && !matches!(event, Event::Outage(_) | Event::ScaleOut)
        {
            return;
        }
        match event {
            Event::Pause(length) => {
                process.still = Some(now);
                process.woke = Some(now + length);
            }
            Event::Crash(after) => {
                process.still = Some(now);
                process.woke = None;
                self.start(host, now + after);
            }
            Event::Deploy(after) => {
                process.goodbye = Some(now);
                self.start(host, now + after);
            }
            Event::ScaleIn => {
                process.goodbye = Some(now);
                self.living.remove(&host);
            }
            Event::ScaleOut => self.start_on_new_host(now),
            Event::Death => {
                process.still = Some(now);
                process.woke = None;
                self.living.remove(&host);
                self.deaths.push((format!("{host}/orders"), now));
            }
            Event::Outage(length) => {
                self.world.temporal.failing = Some(Failure::Unavailable);
                self.restore = Some(now + length);
            }
        }
    }

    /// Processes that the registry has long forgotten weigh on nothing but our own time.
    fn prune(&mut self) {
        let now = self.world.now;
        let old: Vec<bool> = self
            .world
            .temporal
            .processes
            .iter()
            .map(|p| {
                p.goodbye.is_some_and(|at| now - at > 500.0)
                    || (p.woke.is_none() && p.still.is_some_and(|at| now - at > 500.0))
            })
            .collect();
        let mut index = 0;
        let mut moved = BTreeMap::new();
        for (before, gone) in old.iter().enumerate() {
            if !gone {
                moved.insert(before, index);
                index += 1;
            }
        }
        let mut gone = old.iter();
        self.world.temporal.processes.retain(|_| !gone.next().unwrap());
        for at in self.living.values_mut() {
            *at = moved[at];
        }
    }

    fn live(mut self) -> (World, Vec<(String, f64)>) {
        for (at, event) in events(&mut self.dice) {
            while self.world.now < at {
                let stop = self.restore.map_or(at, |r| r.min(at)).max(self.world.now + 1.0);
                self.world.run(stop - self.world.now);
                if self.restore.is_some_and(|r| self.world.now >= r) {
                    self.restore = None;
                    self.world.temporal.failing = None;
                }
            }
            self.prune();
            self.happen(&event);
        }
        self.world.run(WEEK - self.world.now);
        (self.world, self.deaths)
    }
}

/// Every `down` belongs to a death, soon after it, and every death has one.
fn account(world: &World, deaths: &[(String, f64)], limit: f64) -> Vec<String> {
    let mut wrong = Vec::new();
    for (name, at) in deaths {
        let found = world.when(name, State::Down, *at);
        if found.is_none_or(|found| found - at > limit) {
            wrong.push(format!("missed: {name} died at {at:.0}, found {found:?}: {:#?}", world.history(name)));
        }
    }
    for (at, change) in world.changes.iter().filter(|(_, c)| c.to == Some(State::Down)) {
        let real = deaths.iter().any(|(name, died)| *name == *change.key.worker && at >= died && at - died <= limit);
        if !real {
            wrong.push(format!("false: {} at {at:.0}: {:#?}", change.key.worker, world.history(&change.key.worker)));
        }
    }
    wrong
}

#[test]
fn stock_temporal_workers_live_a_week_without_a_false_down_or_a_missed_death() {
    let wrong: Vec<String> = std::thread::scope(|scope| {
        let weeks: Vec<_> = (0..worlds(8))
            .map(|seed| {
                scope.spawn(move || {
                    let (world, deaths) = Week::new(seed).live();
                    assert!(deaths.len() >= 10, "a week without deaths proves nothing");
                    account(&world, &deaths, LIMIT)
                })
            })
            .collect();
        weeks.into_iter().flat_map(|w| w.join().unwrap()).collect()
    });
    assert!(wrong.is_empty(), "{} wrong: {}", wrong.len(), wrong.first().unwrap());
}

#[test]
fn http_workers_live_a_week_without_a_false_down_or_a_missed_death() {
    let wrong: Vec<String> = std::thread::scope(|scope| {
        let weeks: Vec<_> = (100..100 + worlds(2))
            .map(|seed| {
                scope.spawn(move || {
                    let mut dice = Dice(seed);
                    let mut world = World::looking(Rules::default(), 1.0, 5.0, 30);
                    for n in 0..100 {
                        world.web.insert(format!("w{n:02}"), if n % 2 == 0 { Web::Ok } else { Web::Beating });
                    }
                    world.discover();
                    let mut deaths = Vec::new();
                    for _ in 0..7 * 24 {
                        world.run(3400.0 + dice.between(0.0, 100.0));
                        // A pause that is shorter than three misses, and a restart.
                        let name = format!("w{:02}", dice.below(100));
                        let before = world.web.get(&name).cloned().unwrap();
                        let dead = matches!(before, Web::Refused);
                        if dead {
                            world.web.insert(name, Web::Ok);
                        } else if dice.below(24) == 0 {
                            world.web.insert(name.clone(), Web::Refused);
                            deaths.push((name, world.now));
                        } else {
                            world
                                .web
                                .insert(name.clone(), if dice.below(2) == 0 { Web::Timeout } else { Web::Refused });
                            world.run(dice.between(1.0, 9.0));
                            world.web.insert(name, before);
                        }
                        world.run(60.0);
                    }
                    assert!(!deaths.is_empty());
                    account(&world, &deaths, 90.0)
                })
            })
            .collect();
        weeks.into_iter().flat_map(|w| w.join().unwrap()).collect()
    });
    assert!(wrong.is_empty(), "{} wrong: {}", wrong.len(), wrong.first().unwrap());
}
