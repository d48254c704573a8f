//! Durations, ratios and sizes as people write them, and back.

use std::time::Duration;

use jiff::SpanRelativeTo;
use jiff::fmt::friendly::SpanParser;

const PARSER: SpanParser = SpanParser::new();

/// Nothing that is configured here lasts longer than a year.
pub(super) const LONGEST: Duration = Duration::from_secs(366 * 24 * 3600);

/// Why a duration could not be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SpanError {
    /// A number alone.
    NoUnit,
    /// Below zero.
    Negative,
    /// Over a year.
    TooLong,
    /// Anything else.
    Malformed,
}

/// A duration as Prometheus writes it: `500ms`, `15s`, `1h30m`, `1d`, `2w`.
pub(super) fn span(text: &str) -> Result<Duration, SpanError> {
    if text.strip_prefix(['-', '+']).unwrap_or(text).parse::<f64>().is_ok() {
        return Err(if text.starts_with('-') { SpanError::Negative } else { SpanError::NoUnit });
    }
    if text.starts_with('-') {
        return Err(SpanError::Negative);
    }
    // The parser would take `1:30:00`, `2 hours ago` and ISO 8601 as well: one way to write is enough.
    let units = text.split(|c: char| c.is_ascii_digit() || c == '.').filter(|unit| !unit.is_empty());
    if !text.starts_with(|c: char| c.is_ascii_digit())
        || !units.clone().all(|unit| ["w", "d", "h", "m", "s", "ms"].contains(&unit))
    {
        return Err(SpanError::Malformed);
    }
    let parsed = PARSER.parse_span(text).map_err(|_| SpanError::Malformed)?;
    let signed = parsed.to_duration(SpanRelativeTo::days_are_24_hours()).map_err(|_| SpanError::TooLong)?;
    let duration = Duration::try_from(signed).map_err(|_| SpanError::Negative)?;
    if duration > LONGEST { Err(SpanError::TooLong) } else { Ok(duration) }
}

/// The shortest way to write a duration.
pub(super) fn show_span(span: Duration) -> String {
    let mut left = span.as_millis();
    let mut text = String::new();
    for (unit, millis) in [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1000), ("ms", 1)] {
        // 26h says more than 1d2h.
        if unit == "d" && !left.is_multiple_of(millis) {
            continue;
        }
        if left >= millis {
            text.push_str(&format!("{}{unit}", left / millis));
            left %= millis;
        }
    }
    if text.is_empty() { "0s".to_owned() } else { text }
}

/// `0.9` or `90%`, not yet checked against 0 to 1.
pub(super) fn ratio(text: &str) -> Option<f64> {
    let value = match text.strip_suffix('%') {
        Some(percent) => percent.trim_end().parse::<f64>().ok()? / 100.0,
        None => text.parse::<f64>().ok()?,
    };
    Some(value)
}

/// `90%`.
pub(super) fn show_ratio(ratio: f64) -> String {
    // 0.07 * 100 is 7.000000000000001.
    format!("{}%", (ratio * 1e6).round() / 1e4)
}

const SIZES: [(&str, u64); 6] =
    [("KiB", 1 << 10), ("MiB", 1 << 20), ("GiB", 1 << 30), ("KB", 1000), ("MB", 1_000_000), ("B", 1)];

/// `65536`, `64KiB`, `1MB`.
pub(super) fn size(text: &str) -> Option<u64> {
    let (digits, unit) =
        SIZES.iter().find_map(|(name, unit)| Some((text.strip_suffix(name)?, *unit))).unwrap_or((text, 1));
    digits.trim_end().parse::<u64>().ok()?.checked_mul(unit)
}

/// `64KiB`.
pub(super) fn show_size(size: u64) -> String {
    SIZES[..3]
        .iter()
        .rev()
        .find(|(_, unit)| size >= *unit && size.is_multiple_of(*unit))
        .map_or_else(|| size.to_string(), |(name, unit)| format!("{}{name}", size / unit))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn durations_are_written_as_prometheus_writes_them() {
        for (text, seconds) in [("15s", 15.0), ("1h30m", 5400.0), ("26h", 93_600.0), ("500ms", 0.5), ("1d", 86_400.0)] {
            assert_eq!(span(text), Ok(Duration::from_secs_f64(seconds)), "{text}");
            assert_eq!(show_span(Duration::from_secs_f64(seconds)), text);
        }
        assert_eq!(span("2w"), Ok(Duration::from_secs(14 * 86_400)));
    }

    #[test]
    fn what_is_not_a_duration_is_refused_with_its_reason() {
        for text in ["5", "1e3", "nan", "inf", "0.5"] {
            assert_eq!(span(text), Err(SpanError::NoUnit), "{text}");
        }
        for text in ["-5s", "-5", "-inf"] {
            assert_eq!(span(text), Err(SpanError::Negative), "{text}");
        }
        for text in ["", "s", "soon", "1:30:00", "PT5M", "5s ago", "5 minutes", "5M", "5s5m", "..s", "1y"] {
            assert_eq!(span(text), Err(SpanError::Malformed), "{text}");
        }
        assert_eq!(span("99999d"), Err(SpanError::TooLong));
    }

    #[test]
    fn sizes_and_ratios_come_back_as_they_were_written() {
        for text in ["64KiB", "1MiB", "1000"] {
            assert_eq!(size(text).map(show_size).as_deref(), Some(text));
        }
        assert_eq!(size("18446744073709551615GiB"), None);
        assert_eq!(ratio("7%").map(show_ratio).as_deref(), Some("7%"));
        assert_eq!(ratio("0.07").map(show_ratio).as_deref(), Some("7%"));
        assert_eq!(ratio("most"), None);
    }

    proptest! {
        #[test]
        fn every_duration_comes_back_from_its_text(millis in 1_u64..31_000_000_000) {
            let written = Duration::from_millis(millis);
            prop_assert_eq!(span(&show_span(written)), Ok(written));
        }
    }
}
