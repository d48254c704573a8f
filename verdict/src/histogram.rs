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
    /// What is in the last bucket is only known to be above this, seconds: the greatest bound of whoever counted it.
    #[serde(skip)]
    pub floor: Option<f64>,
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

    /// Puts what whoever counted could not measure, since it is above his greatest bound, where the sum says that it lies
    /// on average, at least: the others are at most at their bounds, and what is left of the sum is its.
    ///
    /// Our own greatest bound would be a lie: a second that is above the bounds of an SDK is not an hour.
    #[must_use]
    pub fn settled(mut self) -> Self {
        let (Some(floor), [known @ .., last]) = (self.floor.take(), &mut self.buckets) else { return self };
        let many = std::mem::take(last);
        #[expect(clippy::cast_precision_loss, reason = "a mean")]
        let mean = {
            let others: f64 = known.iter().zip(BOUNDS).map(|(count, bound)| *count as f64 * bound).sum();
            (self.sum - others) / many.max(1) as f64
        };
        let at = BOUNDS.iter().position(|bound| floor < *bound && mean <= *bound).unwrap_or(BOUNDS.len());
        if let Some(bucket) = self.buckets.get_mut(at) {
            *bucket = bucket.saturating_add(many);
        }
        self
    }

    /// Adds another one.
    pub fn add(&mut self, other: &Self) {
        self.floor = self.floor.into_iter().chain(other.floor).reduce(f64::min);
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
        let sum = (self.sum - before.sum).max(0.0);
        Self { buckets, sum, count: self.count - before.count, floor: self.floor }
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
    fn what_is_above_the_bounds_of_another_lies_where_its_sum_says() {
        // One in ten above the greatest bound of another; the others in a bucket up to 50 ms.
        let of = |floor: f64, sum: f64| {
            let mut histogram = Histogram { sum, count: 10, floor: Some(floor), ..Histogram::default() };
            histogram.count_under(0.05, 9);
            histogram.count_under(f64::INFINITY, 1);
            histogram.settled()
        };
        let bound = |histogram: &Histogram| {
            let at = histogram.buckets.iter().rposition(|count| *count > 0);
            at.and_then(|at| BOUNDS.get(at)).copied()
        };
        for (floor, sum, expected) in [
            (1.0, 1.5, Some(2.5)),
            (1.0, 12.45, Some(30.0)),
            (1.0, 10.45, Some(10.0)),
            // The sum leaves less to it than it has at least, since the others were faster than their bound.
            (60.0, 0.2, Some(300.0)),
            (10.0, 4000.0, None),
            (3600.0, 1.0, None),
        ] {
            let settled = of(floor, sum);
            assert_eq!(bound(&settled), expected, "above {floor}, {sum} in all");
            assert_eq!((settled.buckets.iter().sum::<u64>(), settled.count, settled.sum), (10, 10, sum));
            assert_eq!(settled.floor, None, "once");
        }
        let own = Histogram { buckets: [1; BOUNDS.len() + 1], sum: 1.0, count: 17, floor: None };
        assert_eq!(own.clone().settled(), own, "who measured by our bounds is believed");
        let nothing = Histogram { floor: Some(1.0), ..Histogram::default() };
        assert_eq!(nothing.settled(), Histogram::default());
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
