//! The scripted lives of simulated workers: a pure function of a life and the time since the demo started.
//!
//! Each life is a loop with a period of its own, entered at its own place, so that the troubles come one after another
//! for ever and never all at once. No randomness: the same second shows the same thing on every machine.

use std::time::Duration;

/// How a worker spends its time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Life {
    /// Nothing ever happens to it.
    Steady,
    /// Is killed; somebody restarts it 50 s later.
    Dies,
    /// Accepts connections and answers nothing for a while.
    Hangs,
    /// Its loop dies inside a web server that goes on answering 200 with a frozen stamp.
    LoopDies,
    /// Says UNHEALTHY with a 200.
    LiesUnhealthy,
    /// Its web server starts and its loop does not.
    NeverBeats,
    /// Is asked to stop, says so, finishes what it has, goes; then a new one takes its place.
    Drains,
    /// Leaks memory until the kernel kills it.
    Leaks,
    /// Answers after 60 % of the deadline.
    Slow,
    /// A fifth of its tasks fail for a while.
    FailsTasks,
    /// Crashes and restarts every few seconds.
    Flaps,
    /// Work waits, nothing is in flight and nothing gets done.
    Stuck,
    /// Loads a model for half a minute before it works.
    LoadsModel,
}

/// What the endpoint does at a moment.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Conduct {
    /// Answers.
    Answer(Telling),
    /// Nothing listens.
    Refuse,
    /// Accepts, and never answers.
    Hang,
}

/// What a worker says of itself, whatever shape it says it in.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Telling {
    /// As a whole.
    pub(crate) word: Word,
    /// The loop's last beat, since the demo started (before it: negative); `None` when it never beat.
    pub(crate) beat: Option<f64>,
    /// Seconds since this incarnation started.
    pub(crate) age: f64,
    /// When this incarnation started, in whole seconds since the demo did (before it: negative).
    pub(crate) born: f64,
    /// Which incarnation of the worker this is.
    pub(crate) incarnation: u64,
    /// Finished tasks of this incarnation.
    pub(crate) tasks_total: u64,
    /// Failed ones among them.
    pub(crate) tasks_failed: u64,
    /// Tasks in work.
    pub(crate) in_flight: u64,
    /// Tasks that wait.
    pub(crate) waiting: u64,
    /// CPU of its limit.
    pub(crate) cpu_percent: f64,
    /// Memory of its limit.
    pub(crate) memory_percent: f64,
    /// Disk in use.
    pub(crate) disk_percent: f64,
    /// Its model is loaded.
    pub(crate) model_loaded: bool,
    /// How much of the deadline it takes to answer.
    pub(crate) takes: f64,
}

/// A worker's own word for how it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Word {
    /// All well.
    Healthy,
    /// Not well, and it says so.
    Unhealthy,
    /// Finishes and goes.
    Draining,
    /// Not ready yet.
    Starting,
}

/// Workers beat this often.
pub(crate) const BEAT: Duration = Duration::from_secs(2);

impl Life {
    /// After how many seconds it begins anew.
    const fn period(self) -> f64 {
        match self {
            Self::Steady => 86_400.0,
            Self::Dies => 210.0,
            Self::Hangs | Self::Stuck => 240.0,
            Self::LoopDies => 270.0,
            Self::LiesUnhealthy => 200.0,
            Self::NeverBeats => 260.0,
            Self::Drains => 220.0,
            Self::Leaks => 205.0,
            Self::Slow => 180.0,
            Self::FailsTasks => 480.0,
            Self::Flaps | Self::LoadsModel => 300.0,
        }
    }

    /// Where in its loop it stands when the demo starts, so that the first minutes show something of each.
    const fn entered_at(self) -> f64 {
        match self {
            Self::Steady => 7200.0,
            Self::Dies => 135.0,
            Self::Hangs => 125.0,
            Self::LoopDies | Self::Drains => 105.0,
            Self::LiesUnhealthy => 115.0,
            Self::NeverBeats | Self::LoadsModel => 0.0,
            Self::Leaks => 100.0,
            Self::Slow => 55.0,
            Self::FailsTasks => 170.0,
            Self::Flaps => 30.0,
            Self::Stuck => 60.0,
        }
    }

    /// The version that an incarnation of it runs. Who is asked to leave makes place for the next version.
    pub(crate) const fn release(self, incarnation: u64) -> u64 {
        match self {
            Self::Drains => incarnation,
            _ => 1,
        }
    }

    /// What the worker with this number does, this long after the demo started.
    pub(crate) fn conduct(self, number: u32, since_start: Duration) -> Conduct {
        let now = since_start.as_secs_f64();
        let lived = now + self.entered_at();
        let cycle = (lived / self.period()).floor();
        let at = lived - cycle * self.period();
        // Most lives keep one process; those that end start a new one with each loop.
        let mut process = Process { number, now, age: lived + 3600.0, busy: lived + 3600.0, incarnation: 1 };
        let born_with_loop = Process { age: at, busy: at, incarnation: whole(cycle) + 1, ..process };
        match self {
            Self::Steady => process.well(),
            Self::Dies if at < 160.0 => born_with_loop.well(),
            Self::Drains if at < 190.0 => born_with_loop.well(),
            Self::Drains if at < 210.0 => {
                let telling = born_with_loop.tell();
                let left = (210.0 - at) / 20.0;
                Conduct::Answer(Telling { word: Word::Draining, in_flight: whole(left * 4.0), ..telling })
            }
            Self::Dies | Self::Drains => Conduct::Refuse,
            Self::Hangs if within(at, 180.0, 215.0) => Conduct::Hang,
            Self::LoopDies if at < 200.0 => born_with_loop.well(),
            Self::LoopDies if at < 262.0 => {
                let dead_for = at - 200.0;
                let process = Process { busy: 200.0, ..born_with_loop };
                let telling = process.tell();
                Conduct::Answer(Telling { beat: Some(beat(now - dead_for)), in_flight: 1, ..telling })
            }
            Self::LoopDies => Conduct::Refuse,
            Self::LiesUnhealthy if within(at, 150.0, 185.0) => {
                Conduct::Answer(Telling { word: Word::Unhealthy, ..process.tell() })
            }
            Self::NeverBeats if at < 70.0 => {
                let process = Process { busy: 0.0, incarnation: 2 * whole(cycle) + 1, ..born_with_loop };
                Conduct::Answer(Telling { word: Word::Unhealthy, beat: None, in_flight: 0, ..process.tell() })
            }
            Self::NeverBeats if within(at, 76.0, 254.0) => {
                let (age, incarnation) = (at - 76.0, 2 * whole(cycle) + 2);
                Process { age, busy: age, incarnation, ..process }.well()
            }
            Self::NeverBeats => Conduct::Refuse,
            Self::Leaks if at < 195.0 => {
                let memory_percent = 40.0 + 57.0 * (at / 150.0).min(1.0);
                Conduct::Answer(Telling { memory_percent, ..born_with_loop.tell() })
            }
            Self::Leaks => Conduct::Refuse,
            Self::Slow if within(at, 100.0, 160.0) => Conduct::Answer(Telling { takes: 0.6, ..process.tell() }),
            Self::FailsTasks => {
                let failing = cycle * 200.0 + (at - 200.0).clamp(0.0, 200.0);
                let tasks_failed = whole(failing * process.rate() * 0.2);
                Conduct::Answer(Telling { tasks_failed, ..process.tell() })
            }
            Self::Flaps if within(at, 100.0, 190.0) && (at - 100.0) % 15.0 < 9.0 => Conduct::Refuse,
            Self::Stuck => {
                // Ninety-five seconds of each loop bring nothing.
                process.busy -= cycle * 95.0 + (at - 130.0).clamp(0.0, 95.0);
                let telling = process.tell();
                if within(at, 130.0, 225.0) {
                    Conduct::Answer(Telling { in_flight: 0, waiting: 3 + whole((at - 130.0) / 4.0), ..telling })
                } else {
                    Conduct::Answer(telling)
                }
            }
            Self::LoadsModel if at < 25.0 => {
                let process = Process { busy: 0.0, ..born_with_loop };
                Conduct::Answer(Telling { word: Word::Starting, model_loaded: false, in_flight: 0, ..process.tell() })
            }
            Self::LoadsModel if at < 292.0 => Process { busy: at - 25.0, ..born_with_loop }.well(),
            Self::LoadsModel => Conduct::Refuse,
            Self::Hangs | Self::LiesUnhealthy | Self::Slow | Self::Flaps => process.well(),
        }
    }
}

fn within(at: f64, from: f64, to: f64) -> bool {
    (from..to).contains(&at)
}

/// The whole part; 0 for what is negative. What stands still at a whole number stays there, though it is reckoned anew in
/// each answer and a little off: a counter that falls by one is a restart to whoever reads it.
pub(crate) fn whole(value: f64) -> u64 {
    const OFF: f64 = 1e-6;
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "small and not negative")]
    let whole = (value.max(0.0) + OFF) as u64;
    whole
}

/// The last beat at or before this moment.
fn beat(now: f64) -> f64 {
    let every = BEAT.as_secs_f64();
    (now / every).floor() * every
}

/// A simulated process that does its work.
#[derive(Clone, Copy)]
struct Process {
    number: u32,
    now: f64,
    age: f64,
    busy: f64,
    incarnation: u64,
}

impl Process {
    /// Tasks a second.
    fn rate(self) -> f64 {
        1.5 + f64::from(self.number % 4) * 0.5
    }

    fn well(self) -> Conduct {
        Conduct::Answer(self.tell())
    }

    fn tell(self) -> Telling {
        // Slow waves, another for each worker, so that figures on a graph look like figures of a worker.
        let wave = (self.now / 37.0 + f64::from(self.number) * 1.7).sin();
        Telling {
            word: Word::Healthy,
            beat: Some(beat(self.now)),
            age: self.age,
            // Whole, so that it is the same in every answer of an incarnation.
            born: (self.now - self.age).round(),
            incarnation: self.incarnation,
            tasks_total: whole(self.busy * self.rate()),
            tasks_failed: whole(self.busy * self.rate() * 0.004),
            in_flight: 1 + whole(1.5 + 1.5 * wave),
            waiting: 0,
            cpu_percent: (380.0 + 220.0 * wave).round() / 10.0,
            memory_percent: (450.0 + 60.0 * wave).round() / 10.0,
            disk_percent: 30.0 + f64::from(self.number % 7) * 5.0 + (self.now / 360.0).floor() / 10.0 % 5.0,
            model_loaded: true,
            takes: 0.0,
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::panic, reason = "a test fails by panicking")]

    use super::*;
    use crate::demo::WORKERS;

    const ALL: [Life; 13] = [
        Life::Steady,
        Life::Dies,
        Life::Hangs,
        Life::LoopDies,
        Life::LiesUnhealthy,
        Life::NeverBeats,
        Life::Drains,
        Life::Leaks,
        Life::Slow,
        Life::FailsTasks,
        Life::Flaps,
        Life::Stuck,
        Life::LoadsModel,
    ];

    fn at(life: Life, second: u64) -> Conduct {
        life.conduct(7, Duration::from_secs(second))
    }

    fn tellings(life: Life) -> Vec<(u64, Telling)> {
        let answered = |second| match at(life, second) {
            Conduct::Answer(telling) => Some((second, telling)),
            Conduct::Refuse | Conduct::Hang => None,
        };
        (0..3600).filter_map(answered).collect()
    }

    /// Nothing is wrong that a look at this moment could show.
    fn well(life: Life, number: u32, second: u64) -> bool {
        match life.conduct(number, Duration::from_secs(second)) {
            Conduct::Answer(t) => {
                let fresh = t.beat.is_some_and(|beat| {
                    let now = Duration::from_secs(second).as_secs_f64();
                    now - beat <= BEAT.as_secs_f64()
                });
                t.word == Word::Healthy && fresh && t.takes == 0.0 && t.memory_percent < 85.0 && t.waiting == 0
            }
            Conduct::Refuse | Conduct::Hang => false,
        }
    }

    #[test]
    fn at_every_second_of_two_hours_most_workers_are_well_and_never_for_a_minute_all_of_them() {
        let mut last_trouble = 0;
        for second in 0..7200 {
            let well = (0_u32..).zip(&WORKERS).filter(|(n, worker)| well(worker.life, *n, second)).count();
            assert!(well * 3 >= WORKERS.len() * 2, "{well} well at {second} s");
            if well < WORKERS.len() {
                last_trouble = second;
            }
            assert!(second - last_trouble < 60, "nothing happens at {second} s");
        }
    }

    #[test]
    fn every_life_has_its_trouble_within_four_minutes_and_again_within_nine() {
        for life in ALL {
            let ends = |from: u64, to: u64| (from..to).any(|second| !well(life, 7, second));
            let failing = life == Life::FailsTasks && tellings(life).iter().any(|(_, t)| t.tasks_failed > 100);
            assert!(life == Life::Steady || failing || (ends(0, 240) && ends(300, 840)), "{life:?}");
        }
    }

    #[test]
    fn counters_never_fall_within_an_incarnation_and_incarnations_never_go_back() {
        for life in ALL {
            for pair in tellings(life).windows(2) {
                let [(_, a), (second, b)] = pair else { panic!("windows of two") };
                assert!(b.incarnation >= a.incarnation, "{life:?} at {second} s");
                if a.incarnation == b.incarnation {
                    assert!(a.born.to_bits() == b.born.to_bits(), "{life:?} at {second} s: {a:?} {b:?}");
                    let rose = b.tasks_total >= a.tasks_total && b.tasks_failed >= a.tasks_failed && b.age > a.age;
                    assert!(rose, "{life:?} at {second} s: {a:?} {b:?}");
                }
                assert!(b.tasks_failed <= b.tasks_total, "{life:?} at {second} s");
            }
        }
    }

    #[test]
    fn a_counter_that_stands_still_does_not_flicker() {
        let mut last = 0;
        for number in 0..4 {
            for tick in 0..24_000_u32 {
                let now = Duration::from_millis(7) + Duration::from_millis(61) * tick;
                let Conduct::Answer(telling) = Life::Stuck.conduct(number, now) else { panic!("it always answers") };
                assert!(tick == 0 || telling.tasks_total >= last, "{last} and then {} at {now:?}", telling.tasks_total);
                last = telling.tasks_total;
            }
        }
    }

    #[test]
    fn whoever_comes_back_after_dying_is_a_new_incarnation() {
        for life in [Life::Dies, Life::Drains, Life::Leaks, Life::LoadsModel, Life::NeverBeats, Life::LoopDies] {
            for pair in tellings(life).windows(2) {
                let [(before, a), (after, b)] = pair else { panic!("windows of two") };
                assert_eq!(after - before > 1, a.incarnation != b.incarnation, "{life:?} at {after} s");
            }
        }
    }

    #[test]
    fn the_one_that_never_beats_has_no_stamp_until_its_restart() {
        let first: Vec<_> = tellings(Life::NeverBeats).into_iter().take_while(|(second, _)| *second < 70).collect();
        assert!(first.len() == 70 && first.iter().all(|(_, t)| t.beat.is_none() && t.tasks_total == 0));
    }

    #[test]
    fn the_stuck_one_has_waiting_work_nothing_in_flight_and_a_flat_counter_for_longer_than_a_minute() {
        let stuck: Vec<_> = tellings(Life::Stuck).into_iter().filter(|(s, t)| *s < 240 && t.waiting > 0).collect();
        let totals: Vec<_> = stuck.iter().map(|(_, t)| t.tasks_total).collect();
        assert!(stuck.len() > 90 && stuck.iter().all(|(_, t)| t.in_flight == 0), "{}", stuck.len());
        assert!(totals.windows(2).all(|pair| pair[0] == pair[1]), "{totals:?}");
    }

    #[test]
    fn a_leak_climbs_to_97_percent_and_a_fifth_of_the_tasks_fail() {
        let highest = tellings(Life::Leaks).iter().map(|(_, t)| t.memory_percent).fold(0.0, f64::max);
        assert!((96.9..97.1).contains(&highest), "{highest}");
        let failing = tellings(Life::FailsTasks);
        let (a, b) = (&failing[40].1, &failing[140].1);
        let (failed, total) = (b.tasks_failed - a.tasks_failed, b.tasks_total - a.tasks_total);
        assert!((19..=21).contains(&(failed * 100 / total)), "{failed} of {total}");
    }
}
