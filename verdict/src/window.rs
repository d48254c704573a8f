//! Five minutes of a figure, and counters that survive the restarts of whoever counts.

use std::collections::VecDeque;
use std::time::Duration;

use crate::checks::Tasks;
use crate::time::Moment;

/// Width of every window.
const WIDTH: Duration = Duration::from_secs(300);
/// A mean is not judged before it covers this much: one busy second at the start is no load.
const JUDGED_FROM: Duration = Duration::from_secs(60);
/// Samples that a window keeps at most; older ones are thinned by dropping the oldest.
const SAMPLES: usize = 400;

/// Mean of a gauge over five minutes.
#[derive(Clone, Debug, Default)]
pub struct Mean {
    samples: VecDeque<(Moment, f64)>,
}

impl Mean {
    /// Takes in a sample. Values that are not finite are left out.
    pub fn record(&mut self, now: Moment, value: f64) {
        if !value.is_finite() {
            return;
        }
        self.samples.push_back((now, value));
        while self.samples.len() > SAMPLES || self.samples.front().is_some_and(|(at, _)| now.since(*at) > WIDTH) {
            self.samples.pop_front();
        }
    }

    /// The mean, once it covers a minute.
    #[must_use]
    pub fn value(&self) -> Option<f64> {
        let covered = self.samples.back()?.0.since(self.samples.front()?.0);
        #[expect(clippy::cast_precision_loss, reason = "at most 400 samples")]
        let count = self.samples.len() as f64;
        (covered >= JUDGED_FROM).then(|| self.samples.iter().map(|(_, v)| v).sum::<f64>() / count)
    }
}

/// A counter that goes on when the counted one starts again from 0.
#[derive(Clone, Copy, Debug, Default)]
pub struct Counter {
    last: Option<u64>,
    /// It was read before, by another one.
    known: bool,
    /// Over all incarnations, the part before we came included.
    pub total: u64,
}

impl Counter {
    /// Takes in a reading; returns what was added under our eyes. A lower reading is a new start: all of it is new.
    pub fn read(&mut self, value: u64) -> u64 {
        let added = match self.last {
            None if self.known => 0,
            None => {
                self.total = value;
                0
            }
            Some(last) if value >= last => value - last,
            Some(_) => value,
        };
        if self.last.is_some() {
            self.total = self.total.saturating_add(added);
        }
        self.last = Some(value);
        added
    }

    /// A new incarnation counts from 0.
    pub const fn restart(&mut self) {
        if self.last.is_some() {
            self.last = Some(0);
        }
    }

    /// Goes on from `value`, without counting it.
    pub const fn begin(&mut self, value: u64) {
        self.last = Some(value);
    }

    /// Another one counts from now on: its first reading adds nothing.
    pub const fn rebase(&mut self) {
        self.known |= self.last.is_some();
        self.last = None;
    }

    /// Whether it was ever read.
    #[must_use]
    pub fn get(&self) -> Option<u64> {
        (self.known || self.last.is_some()).then_some(self.total)
    }
}

/// Tasks of one worker over five minutes.
#[derive(Clone, Debug, Default)]
pub struct TaskWindow {
    samples: VecDeque<(Moment, u64, u64, Option<f64>)>,
}

impl TaskWindow {
    /// Takes in the totals as they stand: finished, failed, seconds spent.
    pub fn record(&mut self, now: Moment, finished: u64, failed: u64, seconds: Option<f64>) {
        self.samples.push_back((now, finished, failed, seconds));
        while self.samples.len() > SAMPLES || self.samples.get(1).is_some_and(|(at, ..)| now.since(*at) >= WIDTH) {
            self.samples.pop_front();
        }
    }

    /// What was finished within the window.
    #[must_use]
    pub fn tasks(&self) -> Option<Tasks> {
        let (_, finished0, failed0, seconds0) = self.samples.front()?;
        let (_, finished, failed, seconds) = self.samples.back()?;
        let finished = finished.saturating_sub(*finished0);
        // What was finished while nobody told how long it took would make the others look quick.
        let told = self.samples.iter().all(|(.., seconds)| seconds.is_some());
        let mean = seconds.zip(*seconds0).filter(|_| finished > 0 && told).and_then(|(after, before)| {
            #[expect(clippy::cast_precision_loss, reason = "tasks of five minutes")]
            let mean = (after - before) / finished as f64;
            Duration::try_from_secs_f64(mean).ok()
        });
        Some(Tasks { finished, failed: failed.saturating_sub(*failed0), mean })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Moment {
        Moment::after_start(Duration::from_secs(seconds))
    }

    #[test]
    fn a_mean_needs_a_minute_and_forgets_after_five() {
        let mut mean = Mean::default();
        mean.record(at(0), 1.0);
        mean.record(at(59), 1.0);
        assert_eq!(mean.value(), None);
        mean.record(at(60), 1.0);
        assert_eq!(mean.value(), Some(1.0));
        mean.record(at(301), f64::NAN);
        mean.record(at(361), 0.0);
        assert_eq!(mean.value(), None, "only the last sample is left: {mean:?}");
        mean.record(at(421), 0.5);
        assert_eq!(mean.value(), Some(0.25));
    }

    #[test]
    fn a_counter_survives_restarts_and_counts_only_what_it_saw_as_added() {
        let mut counter = Counter::default();
        assert_eq!((counter.get(), counter.read(100), counter.get()), (None, 0, Some(100)));
        assert_eq!((counter.read(107), counter.total), (7, 107));
        assert_eq!((counter.read(3), counter.total), (3, 110));
        counter.restart();
        assert_eq!((counter.read(5), counter.total), (5, 115));
    }

    #[test]
    fn a_task_window_is_the_difference_of_five_minutes() {
        let mut window = TaskWindow::default();
        for t in 0..=10 {
            window.record(at(t * 60), t * 10, t, Some(f64::from(u32::try_from(t).unwrap_or(0)) * 20.0));
        }
        assert_eq!(window.tasks(), Some(Tasks { finished: 50, failed: 5, mean: Some(Duration::from_secs(2)) }));
        window.record(at(601), 101, 10, None);
        window.record(at(602), 102, 10, Some(204.0));
        assert_eq!(window.tasks().and_then(|tasks| tasks.mean), None, "one sample does not tell");
    }
}
