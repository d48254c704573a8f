//! The two clocks. Everything that decides uses [`Moment`]; [`WallTime`] is only shown, compared with itself, or taught from.

use std::ops::{Add, Sub};
use std::time::Duration;

use serde::{Serialize, Serializer};

/// A point on our own monotonic clock, as the time since the program started.
///
/// The core has no clock: whoever calls it says what time it is, so that a year of a fleet's life runs in seconds in a test.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Moment(Duration);

impl Moment {
    /// The moment the program started.
    pub const START: Self = Self(Duration::ZERO);

    /// `since` after the start.
    #[must_use]
    pub const fn after_start(since: Duration) -> Self {
        Self(since)
    }

    /// Time since the start.
    #[must_use]
    pub const fn since_start(self) -> Duration {
        self.0
    }

    /// Time from `earlier` to here; zero when `earlier` lies after it.
    #[must_use]
    pub const fn since(self, earlier: Self) -> Duration {
        self.0.saturating_sub(earlier.0)
    }
}

impl Add<Duration> for Moment {
    type Output = Self;

    fn add(self, by: Duration) -> Self {
        Self(self.0.saturating_add(by))
    }
}

impl Sub<Duration> for Moment {
    type Output = Self;

    fn sub(self, by: Duration) -> Self {
        Self(self.0.saturating_sub(by))
    }
}

/// A stamp of somebody's wall clock, in microseconds since 1970. May lie: clocks are skewed, zones are forgotten.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WallTime {
    micros: i64,
}

impl WallTime {
    /// From whole microseconds since 1970.
    #[must_use]
    pub const fn from_micros(micros: i64) -> Self {
        Self { micros }
    }

    /// From seconds since 1970; `None` when not finite or beyond the range of 64-bit microseconds.
    #[must_use]
    pub fn from_seconds(seconds: f64) -> Option<Self> {
        let micros = seconds * 1e6;
        // The bound is where f64 still converts without saturation: about the year 294,000.
        #[expect(clippy::cast_possible_truncation, reason = "the range was just checked")]
        (micros.is_finite() && micros.abs() < 9.2e18).then_some(Self { micros: micros as i64 })
    }

    /// Microseconds since 1970.
    #[must_use]
    pub const fn micros(self) -> i64 {
        self.micros
    }

    /// Seconds since 1970, for publishing.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "microseconds of this century fit in 53 bits")]
    pub fn seconds(self) -> f64 {
        self.micros as f64 / 1e6
    }

    /// Signed seconds from `earlier` to here.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "a difference of stamps needs no more than 53 bits")]
    pub fn seconds_since(self, earlier: Self) -> f64 {
        self.micros.saturating_sub(earlier.micros) as f64 / 1e6
    }

    /// Time from `earlier` to here, `None` when `earlier` lies after it.
    #[must_use]
    pub fn since(self, earlier: Self) -> Option<Duration> {
        u64::try_from(self.micros.checked_sub(earlier.micros)?).ok().map(Duration::from_micros)
    }
}

impl Add<Duration> for WallTime {
    type Output = Self;

    fn add(self, by: Duration) -> Self {
        Self { micros: self.micros.saturating_add(i64::try_from(by.as_micros()).unwrap_or(i64::MAX)) }
    }
}

impl Sub<Duration> for WallTime {
    type Output = Self;

    fn sub(self, by: Duration) -> Self {
        Self { micros: self.micros.saturating_sub(i64::try_from(by.as_micros()).unwrap_or(i64::MAX)) }
    }
}

/// In JSON: seconds since 1970.
impl Serialize for WallTime {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_f64(self.seconds())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_added_to_and_taken_from_and_never_lie_before_the_start() {
        let at = |seconds| Moment::after_start(Duration::from_secs(seconds));
        let second = Duration::from_secs(1);
        assert_eq!((at(5) - second, at(5) + second), (at(4), at(6)));
        assert_eq!(at(0) - second, Moment::START);
    }
}
