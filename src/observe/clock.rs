//! The one place where the clocks are read: our monotonic clock and the wall, side by side.

use std::time::SystemTime;

use tokio::time::Instant;
use verdict::time::{Moment, WallTime};

/// What the wall clock shows.
pub(super) fn wall() -> WallTime {
    let since_1970 = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    WallTime::from_micros(i64::try_from(since_1970.as_micros()).unwrap_or(i64::MAX))
}

/// Tells the time since the program started, and the time on the wall.
///
/// It reads tokio's instant, which is the system's monotonic clock, so that a test may pause it.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    started: Instant,
}

impl Clock {
    /// A clock whose [`Moment::START`] is now.
    #[must_use]
    pub fn start() -> Self {
        Self { started: Instant::now() }
    }

    /// The moment it is.
    #[must_use]
    pub fn now(&self) -> Moment {
        Moment::after_start(self.started.elapsed())
    }

    /// What the wall clock shows. Shown to people and compared with itself; an age never comes from it.
    #[must_use]
    pub fn wall(&self) -> WallTime {
        wall()
    }

    /// The instant at which this clock will show `moment`, to sleep until it.
    #[must_use]
    pub fn instant_of(&self, moment: Moment) -> Instant {
        self.started + moment.since_start()
    }
}
