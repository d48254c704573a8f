//! How times and numbers are said to people.

use jiff::Timestamp;
use verdict::time::WallTime;

/// What stands where nothing is known.
pub(super) const NOTHING: &str = "–";

/// `12 s`, `3 min`, `2 h 5 min`, `4 d 3 h`: two figures at most.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "clamped to what fits")]
pub(super) fn span(seconds: f64) -> String {
    let seconds = seconds.round().clamp(0.0, 1e15) as u64;
    let two = |great: u64, great_unit: &str, small: u64, small_unit: &str| match small {
        0 => format!("{great} {great_unit}"),
        _ => format!("{great} {great_unit} {small} {small_unit}"),
    };
    match seconds {
        0..60 => format!("{seconds} s"),
        60..3600 => format!("{} min", seconds / 60),
        3600..86_400 => two(seconds / 3600, "h", seconds % 3600 / 60, "min"),
        _ => two(seconds / 86_400, "d", seconds % 86_400 / 3600, "h"),
    }
}

/// A time, relative.
pub(super) fn ago(time: Option<WallTime>, now: WallTime) -> String {
    time.map_or_else(|| NOTHING.to_owned(), |time| span(now.seconds_since(time)))
}

/// A time, absolute.
pub(super) fn absolute(time: Option<WallTime>) -> String {
    let stamp = time.and_then(|time| Timestamp::from_microsecond(time.micros()).ok());
    stamp.map_or_else(|| "never".to_owned(), |stamp| stamp.strftime("%Y-%m-%d %H:%M:%S UTC").to_string())
}

/// A number, or nothing.
pub(super) fn number(value: Option<u64>) -> String {
    value.map_or_else(|| NOTHING.to_owned(), |value| value.to_string())
}

/// A rate or score, or nothing.
pub(super) fn decimal(value: Option<f64>) -> String {
    value.map_or_else(|| NOTHING.to_owned(), |value| format!("{value:.2}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_have_at_most_two_figures() {
        for (seconds, said) in [
            (-5.0, "0 s"),
            (0.4, "0 s"),
            (59.0, "59 s"),
            (60.0, "1 min"),
            (3599.0, "59 min"),
            (3600.0, "1 h"),
            (7500.0, "2 h 5 min"),
            (86_400.0, "1 d"),
            (356_400.0, "4 d 3 h"),
            (f64::INFINITY, "11574074074 d 1 h"),
        ] {
            assert_eq!(span(seconds), said);
        }
    }

    #[test]
    fn what_is_not_known_is_not_a_number() {
        assert_eq!(ago(None, WallTime::default()), NOTHING);
        assert_eq!(absolute(None), "never");
        assert_eq!(number(None), NOTHING);
        assert_eq!(absolute(Some(WallTime::from_micros(1_800_000_000_000_000))), "2027-01-15 08:00:00 UTC");
    }
}
