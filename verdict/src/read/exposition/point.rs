//! The buckets of one histogram at one time, held together: what no single line can show.

use super::scan::{Wrong, quoted, real, wrong};
use super::{Format, Kind, Sample};

/// What was seen of one histogram so far.
#[derive(Debug, Default)]
pub(super) struct Point {
    bound: Option<f64>,
    counted: f64,
    count: Option<f64>,
    sum: Option<f64>,
    negative: bool,
}

/// The upper bound in an `le` label.
fn bound(le: &str) -> Option<f64> {
    // An infinity is written in one way, so that it is one label.
    match le {
        "+Inf" => Some(f64::INFINITY),
        "-Inf" => Some(f64::NEG_INFINITY),
        le => real(le).filter(|bound| bound.is_finite()),
    }
}

/// The quantile in a `quantile` label.
pub(super) fn quantile(label: &str) -> Option<f64> {
    real(label).filter(|quantile| (0.0..=1.0).contains(quantile))
}

impl Point {
    /// Takes in one of its samples; `suffix` is what stands behind the family's name.
    pub(super) fn take(&mut self, suffix: &str, sample: &Sample<'_>) -> Result<(), Wrong> {
        match suffix {
            "_bucket" => return self.bucket(sample),
            "_count" | "_gcount" => self.count = Some(sample.value),
            "_sum" | "_gsum" => self.sum = Some(sample.value),
            _ => {}
        }
        Ok(())
    }

    fn bucket(&mut self, sample: &Sample<'_>) -> Result<(), Wrong> {
        const BOUND: &str = "each bucket has a label le with its upper bound, the last one le=\"+Inf\"";
        let le = sample.label("le").ok_or_else(|| wrong("a bucket without the label le", BOUND))?;
        let bound = bound(le).ok_or_else(|| wrong(format!("{} is not an upper bound", quoted(le)), BOUND))?;
        if self.bound.is_some_and(|before| bound <= before) {
            let what = format!("the bucket le={} does not stand behind the smaller ones", quoted(le));
            return Err(wrong(what, "write the buckets in the order of their bounds, each once"));
        }
        if sample.value < self.counted {
            let what = format!("the bucket le={} counts less than the one before it", quoted(le));
            return Err(wrong(what, "buckets are cumulative: each counts all that is under its bound"));
        }
        self.negative |= bound < 0.0;
        self.bound = Some(bound);
        self.counted = sample.value;
        Ok(())
    }

    /// Whether it is whole, when all its samples are there.
    pub(super) fn whole(&self, kind: Kind, format: Format, name: &str) -> Result<(), Wrong> {
        let name = quoted(name);
        if self.bound != Some(f64::INFINITY) {
            let what = format!("the histogram {name} has no bucket le=\"+Inf\"");
            return Err(wrong(what, "end its buckets with le=\"+Inf\""));
        }
        if self.count.is_some_and(|count| count.to_bits() != self.counted.to_bits()) {
            let what = format!("the count of the histogram {name} is not what its bucket le=\"+Inf\" counts");
            return Err(wrong(what, "both count everything: write the same value"));
        }
        if format == Format::Text {
            return Ok(());
        }
        if self.sum.is_some() != self.count.is_some() {
            let (there, missing) = if self.sum.is_some() { ("sum", "count") } else { ("count", "sum") };
            let what = format!("the histogram {name} has a {there} and no {missing}");
            return Err(wrong(what, "write both, or neither"));
        }
        let sum = self.sum.unwrap_or_default();
        if self.negative && self.sum.is_some() && kind == Kind::Histogram {
            let what = format!("the histogram {name} has negative bounds and a sum");
            return Err(wrong(what, "a sum that may fall is no counter: leave sum and count out"));
        }
        if !self.negative && sum < 0.0 {
            let what = format!("the histogram {name} has a negative sum and no negative bound");
            return Err(wrong(what, "values under 0 need a bucket for them"));
        }
        Ok(())
    }
}
