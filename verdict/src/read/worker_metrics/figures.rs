//! From the samples of a family to one figure: its series added up, each as it stood last.

use std::collections::BTreeMap;

use crate::histogram::{BOUNDS, Histogram};
use crate::read::exposition::{Family, Kind, Sample};

/// The labels of a series, `le` left out.
type Labels<'f> = Vec<(&'f str, &'f str)>;

fn labels<'f>(sample: &'f Sample<'_>) -> Labels<'f> {
    let kept = sample.labels.iter().filter(|label| label.name != "le");
    let mut labels: Labels<'f> = kept.map(|label| (label.name, &*label.value)).collect();
    labels.sort_unstable();
    labels
}

/// The sum of the samples with this suffix that fit. `None` when there are none.
pub(super) fn sum(family: &Family<'_>, suffix: &str, fits: impl Fn(&Sample<'_>) -> bool) -> Option<f64> {
    let mut series = BTreeMap::new();
    for sample in &family.samples {
        if sample.name.strip_prefix(family.name) == Some(suffix) && fits(sample) && sample.value.is_finite() {
            // Of several points in time the last one counts.
            series.insert(labels(sample), sample.value);
        }
    }
    (!series.is_empty()).then(|| series.values().sum())
}

/// The suffix under which the value of a counter stands in this family.
pub(super) fn total(family: &Family<'_>) -> &'static str {
    let suffixed = family.kind == Kind::Counter && family.samples.iter().any(|s| s.name.len() > family.name.len());
    if suffixed { "_total" } else { "" }
}

/// A whole number, where it is one that can be.
pub(super) fn whole(value: f64) -> Option<u64> {
    // Above it a number no longer counts one by one.
    const LARGEST: f64 = 9_007_199_254_740_992.0;
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "from 0 to 2^53")]
    (0.0..=LARGEST).contains(&value).then_some(value as u64)
}

/// What one unit of a family of durations is, in seconds.
pub(super) fn scale(family: &Family<'_>) -> f64 {
    const MILLISECOND: f64 = 0.001;
    let unit = family.unit.filter(|unit| !unit.is_empty()).unwrap_or(family.name);
    if unit.ends_with("seconds") && !unit.ends_with("milliseconds") {
        return 1.0;
    }
    if unit.ends_with("milliseconds") || unit.ends_with("_ms") {
        return MILLISECOND;
    }
    // Without a unit the SDKs on the Rust core count whole milliseconds and all others seconds: bounds below one are
    // seconds, since nobody counts less than a millisecond. A family without bounds is a summary, which the core has not.
    let mut bounds = family.samples.iter().filter_map(|sample| sample.label("le")?.parse::<f64>().ok()).peekable();
    if bounds.peek().is_some() && bounds.all(|bound| bound >= 1.0) { MILLISECOND } else { 1.0 }
}

/// What a family of durations says.
#[derive(Debug, Default)]
pub(super) struct Durations {
    /// In our bounds; `None` where it has no buckets.
    pub(super) histogram: Option<Histogram>,
    /// How many.
    pub(super) count: Option<u64>,
    /// Their sum, seconds.
    pub(super) seconds: Option<f64>,
}

/// Its series that fit, added up.
pub(super) fn durations(family: &Family<'_>, scale: f64, fits: impl Fn(&Sample<'_>) -> bool) -> Durations {
    let mut series: BTreeMap<Labels<'_>, (Histogram, f64, f64)> = BTreeMap::new();
    for sample in &family.samples {
        let Some(suffix) = sample.name.strip_prefix(family.name) else { continue };
        if !fits(sample) {
            continue;
        }
        match suffix {
            "_bucket" => {
                let bound = sample.label("le").and_then(|le| le.parse::<f64>().ok()).unwrap_or(f64::INFINITY);
                let seconds = bound * scale;
                let (histogram, last, counted) =
                    series.entry(labels(sample)).or_insert_with(|| (Histogram::default(), f64::NEG_INFINITY, 0.0));
                if bound <= *last {
                    // A later point in time.
                    *histogram = Histogram { sum: histogram.sum, floor: histogram.floor, ..Histogram::default() };
                    *counted = 0.0;
                }
                let many = whole(sample.value - *counted).unwrap_or_default();
                histogram.count_under(seconds, many);
                // What is above its greatest bound that is none above ours: that is all that is known of the last bucket.
                if BOUNDS.iter().any(|ours| seconds <= *ours) {
                    histogram.floor = Some(histogram.floor.map_or(seconds, |floor| floor.max(seconds)));
                }
                histogram.count = histogram.count.saturating_add(many);
                (*last, *counted) = (bound, sample.value);
            }
            "_sum" if sample.value.is_finite() => {
                series.entry(labels(sample)).or_insert_with(|| (Histogram::default(), f64::NEG_INFINITY, 0.0)).0.sum =
                    sample.value * scale;
            }
            _ => {}
        }
    }
    let mut all = Histogram::default();
    let bucketed = series.values().any(|(_, last, _)| *last == f64::INFINITY);
    series.values().for_each(|(histogram, ..)| all.add(histogram));
    let count = sum(family, "_count", &fits).and_then(whole).or(bucketed.then_some(all.count));
    let seconds = sum(family, "_sum", &fits).map(|sum| sum * scale);
    Durations { histogram: bucketed.then_some(all), count, seconds }
}
