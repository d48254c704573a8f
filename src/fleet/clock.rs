//! The one place that reads a clock. Everything else is told what time it is.

use std::time::{Instant, SystemTime, UNIX_EPOCH};

use verdict::time::{Moment, WallTime};

/// Our monotonic clock, with the start of the program as zero, and the wall clock beside it.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    start: Instant,
}

impl Clock {
    /// A clock that starts now.
    #[must_use]
    pub fn start() -> Self {
        Self { start: Instant::now() }
    }

    /// Now, on the monotonic clock.
    #[must_use]
    pub fn now(&self) -> Moment {
        Moment::after_start(self.start.elapsed())
    }

    /// Now, on the wall. May jump: shown, never used for an age.
    #[must_use]
    pub fn wall(&self) -> WallTime {
        let micros = match SystemTime::now().duration_since(UNIX_EPOCH) {
            Ok(after) => i64::try_from(after.as_micros()).unwrap_or(i64::MAX),
            Err(before) => i64::try_from(before.duration().as_micros()).map_or(i64::MIN, |micros| -micros),
        };
        WallTime::from_micros(micros)
    }
}
