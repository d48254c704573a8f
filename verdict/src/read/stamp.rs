//! Stamps as workers write them: epoch in s, ms, us or ns, ISO 8601 with or without a zone.

use serde_json::Value;

use crate::time::WallTime;

/// A stamp as it was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stamp {
    /// A point in time.
    At(WallTime),
    /// 0, null or empty: there is a place for a stamp, and nothing happened yet.
    Never,
    /// Not a stamp.
    Invalid,
}

/// Reads a stamp from text.
#[must_use]
pub fn read_text(text: &str) -> Stamp {
    let text = text.trim();
    if text.is_empty() {
        return Stamp::Never;
    }
    if let Ok(number) = text.parse::<f64>() {
        return read_number(number);
    }
    let zoned = text.parse::<jiff::Timestamp>().ok();
    let naive = || text.parse::<jiff::civil::DateTime>().ok()?.to_zoned(jiff::tz::TimeZone::UTC).ok();
    zoned
        .or_else(|| naive().map(|z| z.timestamp()))
        .map_or(Stamp::Invalid, |t| Stamp::At(WallTime::from_micros(t.as_microsecond())))
}

/// Reads a stamp from a JSON value.
#[must_use]
pub fn read_json(value: &Value) -> Stamp {
    match value {
        Value::Null => Stamp::Never,
        Value::String(text) => read_text(text),
        Value::Number(number) => number.as_f64().map_or(Stamp::Invalid, read_number),
        Value::Bool(_) | Value::Array(_) | Value::Object(_) => Stamp::Invalid,
    }
}

fn read_number(number: f64) -> Stamp {
    if number == 0.0 {
        return Stamp::Never;
    }
    let seconds = match number.abs() {
        n if n < 1e11 => number,
        n if n < 1e14 => number / 1e3,
        n if n < 1e17 => number / 1e6,
        _ => number / 1e9,
    };
    WallTime::from_seconds(seconds).map_or(Stamp::Invalid, Stamp::At)
}
