//! The rate limit: a token bucket. Pure; `now` is an argument.

use std::time::Duration;

use tokio::time::Instant;

use crate::config::Rate;

/// Tokens, counted as the time at which the bucket would be full again: one number, and nothing to refill.
#[derive(Debug, Default)]
pub(super) struct Bucket {
    full_at: Option<Instant>,
}

impl Bucket {
    /// Takes one token, or says how long until there is one.
    pub(super) fn take(&mut self, rate: Rate, now: Instant) -> Result<(), Duration> {
        let capacity = rate.interval.saturating_mul(rate.burst);
        let full_at = self.full_at.map_or(now, |full_at| full_at.max(now));
        // What is missing, in time. More than the capacity is missing only when the rate was changed.
        let missing = (full_at - now).min(capacity);
        let after = missing + rate.interval;
        if after > capacity {
            return Err(after - capacity);
        }
        self.full_at = Some(now + after);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const RATE: Rate = Rate { interval: Duration::from_secs(1), burst: 3 };

    #[test]
    fn a_burst_passes_and_then_one_each_interval() {
        let (mut bucket, start) = (Bucket::default(), Instant::now());
        let mut at = |millis| bucket.take(RATE, start + Duration::from_millis(millis));
        assert_eq!([at(0), at(0), at(0)], [Ok(()), Ok(()), Ok(())]);
        assert_eq!(at(0), Err(Duration::from_secs(1)));
        assert_eq!(at(400), Err(Duration::from_millis(600)));
        assert_eq!(at(1000), Ok(()));
        assert_eq!(at(1000), Err(Duration::from_secs(1)));
        // After a long silence a burst, and no more.
        assert_eq!([at(99_000), at(99_000), at(99_000)], [Ok(()), Ok(()), Ok(())]);
        assert!(at(99_000).is_err());
    }

    #[test]
    fn what_is_refused_costs_nothing() {
        let (mut bucket, start) = (Bucket::default(), Instant::now());
        (0..3).for_each(|_| assert_eq!(bucket.take(RATE, start), Ok(())));
        (0..1000).for_each(|_| assert!(bucket.take(RATE, start).is_err()));
        assert_eq!(bucket.take(RATE, start + Duration::from_secs(1)), Ok(()));
    }

    #[test]
    fn a_stricter_rate_does_not_shut_the_door_for_what_came_before() {
        let (mut bucket, start) = (Bucket::default(), Instant::now());
        let slow = Rate { interval: Duration::from_secs(3600), burst: 2 };
        (0..2).for_each(|_| assert_eq!(bucket.take(slow, start), Ok(())));
        assert_eq!(bucket.take(RATE, start), Err(Duration::from_secs(1)));
        assert_eq!(bucket.take(RATE, start + Duration::from_secs(2)), Err(Duration::from_secs(1)));
    }

    proptest! {
        #[test]
        fn never_more_pass_than_burst_and_time_allow(
            gaps in proptest::collection::vec(0_u64..3000, 1..200), burst in 1_u32..5, interval in 1_u64..2000
        ) {
            let rate = Rate { interval: Duration::from_millis(interval), burst };
            let (mut bucket, start) = (Bucket::default(), Instant::now());
            let (mut now, mut passed) = (0, 0);
            for gap in gaps {
                now += gap;
                passed += u64::from(bucket.take(rate, start + Duration::from_millis(now)).is_ok());
                prop_assert!(passed <= u64::from(burst) + now / interval);
            }
        }
    }
}
