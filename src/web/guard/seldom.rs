//! Says of what may come a thousand times a second that it came, now and then.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// Counts what happens, and lets it be told once in a while.
#[derive(Debug)]
pub struct Seldom {
    every: Duration,
    state: Mutex<(Option<Instant>, u64)>,
}

impl Seldom {
    /// At most once in this time.
    #[must_use]
    pub fn every(every: Duration) -> Self {
        Self { every, state: Mutex::new((None, 0)) }
    }

    /// It happened. When it is time to say so: how often since it was last said.
    pub fn now(&self, now: Instant) -> Option<u64> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let (told, times) = &mut *state;
        *times += 1;
        if told.is_some_and(|told| now.saturating_duration_since(told) < self.every) {
            return None;
        }
        *told = Some(now);
        Some(std::mem::take(times))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_is_told_at_once_and_the_others_with_how_many_they_were() {
        let seldom = Seldom::every(Duration::from_secs(60));
        let start = Instant::now();
        assert_eq!(seldom.now(start), Some(1));
        for second in 1..60 {
            assert_eq!(seldom.now(start + Duration::from_secs(second)), None);
        }
        assert_eq!(seldom.now(start + Duration::from_secs(60)), Some(60));
    }
}
