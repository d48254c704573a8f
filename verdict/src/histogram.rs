//! One histogram for everybody: fixed bounds, so that all can be added up.

use serde::Serialize;

/// Upper bounds of every histogram, seconds: 5 ms to 1 h. One fixed list, so that all can be added up.
pub const BOUNDS: [f64; 16] =
    [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 900.0, 3600.0];

/// A histogram over [`BOUNDS`].
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Histogram {
    /// Not cumulative; the last is above the greatest bound.
    pub buckets: [u64; BOUNDS.len() + 1],
    /// Sum of all values, seconds.
    pub sum: f64,
    /// Number of values.
    pub count: u64,
}

impl Histogram {
    /// Counts `value`, seconds.
    pub fn record(&mut self, value: f64) {
        self.count_under(value, 1);
        self.sum += value;
        self.count += 1;
    }

    /// Counts `many` values that are at most `bound` into the bucket of the next greater bound; sum and count are
    /// left alone, since only who counted knows them.
    pub fn count_under(&mut self, bound: f64, many: u64) {
        let at = BOUNDS.iter().position(|ours| bound <= *ours).unwrap_or(BOUNDS.len());
        if let Some(bucket) = self.buckets.get_mut(at) {
            *bucket = bucket.saturating_add(many);
        }
    }

    /// Adds another one.
    pub fn add(&mut self, other: &Self) {
        for (ours, theirs) in self.buckets.iter_mut().zip(other.buckets) {
            *ours = ours.saturating_add(theirs);
        }
        self.sum += other.sum;
        self.count = self.count.saturating_add(other.count);
    }

    /// What came since `before`. All of it, when any count fell: then it began anew.
    #[must_use]
    pub fn since(&self, before: &Self) -> Self {
        let fell = self.count < before.count || self.buckets.iter().zip(before.buckets).any(|(now, then)| *now < then);
        if fell {
            return self.clone();
        }
        let mut buckets = self.buckets;
        for (now, then) in buckets.iter_mut().zip(before.buckets) {
            *now -= then;
        }
        // Durations are never negative; rounding may make a difference of sums so.
        Self { buckets, sum: (self.sum - before.sum).max(0.0), count: self.count - before.count }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_foreign_bucket_counts_into_the_next_greater_bound_of_ours() {
        let mut histogram = Histogram::default();
        for (bound, at) in [(0.001, 0), (0.005, 0), (0.006, 1), (1.0, 7), (1.5, 8), (3600.0, 15), (3600.1, 16)] {
            let before = histogram.buckets;
            histogram.count_under(bound, 2);
            assert_eq!(histogram.buckets.get(at).copied(), before.get(at).map(|count| count + 2), "{bound}");
        }
        assert_eq!((histogram.count, histogram.sum), (0, 0.0), "only who counted knows sum and count");
    }

    #[test]
    fn a_value_counts_once_with_what_it_is() {
        let mut histogram = Histogram::default();
        [0.2, 4.0, 4.5].iter().for_each(|value| histogram.record(*value));
        assert_eq!((histogram.count, histogram.sum), (3, 8.7));
        assert_eq!((histogram.buckets.get(5), histogram.buckets.get(9)), (Some(&1), Some(&2)));
        assert_eq!(histogram.buckets.iter().sum::<u64>(), 3);
    }

    #[test]
    fn what_came_since_is_the_difference_and_after_a_restart_all_of_it() {
        let of = |values: &[f64]| {
            let mut histogram = Histogram::default();
            values.iter().for_each(|value| histogram.record(*value));
            histogram
        };
        let (before, now) = (of(&[0.2, 4.0]), of(&[0.2, 4.0, 0.25, 50.0]));
        assert_eq!(now.since(&before), of(&[0.25, 50.0]));
        assert_eq!(now.since(&now), Histogram::default(), "nothing");
        assert_eq!(of(&[0.1]).since(&now), of(&[0.1]), "fewer than before");
        let restarted = of(&[0.1, 0.1, 0.1, 0.1, 0.1]);
        assert_eq!(restarted.since(&now), restarted, "more than before, and a bucket fell");
    }
}
