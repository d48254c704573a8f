//! Stamps as workers write them: epoch in s, ms, us or ns, ISO 8601 with or without a zone.
//!
//! Nobody says which unit an epoch is in. The four windows below do not touch each other, so a number fits one unit or
//! none: seconds between 1973 and 2286, and the same years in the smaller units. What fits none is refused rather than
//! guessed, among it a monotonic clock or an age in seconds, which would move in the wrong direction on a dead worker.

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use serde_json::Value;

use crate::time::WallTime;

/// What stands where a stamp should.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stamp {
    /// A point in time, by somebody's wall clock.
    At(WallTime),
    /// The place is there and nothing was ever written: 0, null, empty, the zero time of Go and .NET.
    Never,
    /// Something that is no stamp.
    Invalid,
}

impl Stamp {
    /// The time, when there is one.
    #[must_use]
    pub const fn time(self) -> Option<WallTime> {
        match self {
            Self::At(time) => Some(time),
            Self::Never | Self::Invalid => None,
        }
    }
}

/// 1973-03-03 to 2286-11-20, in seconds.
const SECONDS: std::ops::Range<f64> = 1e8..1e10;

/// Microseconds in one unit, for each unit that people write an epoch in.
const UNITS: [f64; 4] = [1e6, 1e3, 1.0, 1e-3];

/// Longest text that is tried as a stamp: an RFC 3339 stamp with nine digits, an offset and a zone name has about 60.
const LONGEST: usize = 80;

/// Reads a stamp from a JSON value; `None` is a missing field.
#[must_use]
pub fn json(value: Option<&Value>) -> Stamp {
    match value {
        None | Some(Value::Null) => Stamp::Never,
        Some(Value::Number(number)) => match (number.as_i64(), number.as_f64()) {
            (Some(whole), _) => epoch_whole(whole),
            (None, Some(value)) => epoch(value),
            (None, None) => Stamp::Invalid,
        },
        Some(Value::String(written)) => text(written),
        Some(Value::Bool(_) | Value::Array(_) | Value::Object(_)) => Stamp::Invalid,
    }
}

/// Reads a stamp from a text: an epoch in digits, or ISO 8601.
#[must_use]
pub fn text(written: &str) -> Stamp {
    let written = written.trim();
    if written.is_empty() {
        return Stamp::Never;
    }
    if written.len() > LONGEST {
        return Stamp::Invalid;
    }
    if matches!(written.to_ascii_lowercase().as_str(), "null" | "none" | "nil" | "never") {
        return Stamp::Never;
    }
    // `parse::<f64>` alone would take "inf" and "nan" too.
    if written.bytes().all(|byte| byte.is_ascii_digit() || matches!(byte, b'.' | b'+' | b'-' | b'e' | b'E')) {
        if let Ok(whole) = written.parse::<i64>() {
            return epoch_whole(whole);
        }
        if let Ok(value) = written.parse::<f64>() {
            return epoch(value);
        }
    }
    iso(written)
}

/// An epoch in whole units. Its own path: nanoseconds of this century do not fit in the 53 bits of a float.
fn epoch_whole(value: i64) -> Stamp {
    #[expect(clippy::cast_precision_loss, reason = "only its magnitude is needed")]
    let about = value as f64;
    match value {
        0 => Stamp::Never,
        _ if in_unit(about, 3) => Stamp::At(WallTime::from_micros(value / 1_000)),
        _ if in_unit(about, 2) => Stamp::At(WallTime::from_micros(value)),
        _ => epoch(about),
    }
}

/// An epoch in s, ms, us or ns, told apart by magnitude.
#[must_use]
pub fn epoch(value: f64) -> Stamp {
    if value == 0.0 {
        return Stamp::Never;
    }
    let unit = (0..UNITS.len()).find(|unit| in_unit(value, *unit)).and_then(|unit| UNITS.get(unit));
    unit.and_then(|micros| WallTime::from_seconds(value * micros / 1e6)).map_or(Stamp::Invalid, Stamp::At)
}

fn in_unit(value: f64, unit: usize) -> bool {
    UNITS.get(unit).is_some_and(|micros| SECONDS.contains(&(value * micros / 1e6)))
}

/// ISO 8601 and its neighbours: a space for the T, ` UTC` or ` +0000` at the end, no zone at all (taken as UTC, which
/// is what `datetime.utcnow().isoformat()` means; a wrong guess shows as a clock skew of whole quarter hours).
fn iso(written: &str) -> Stamp {
    let (body, utc) = match written.strip_suffix(" UTC").or_else(|| written.strip_suffix(" GMT")) {
        Some(body) => (body, true),
        None => (written, false),
    };
    // A date alone is no heartbeat: it would "move" once a day.
    if !body.contains(':') && !body.contains('T') {
        return Stamp::Invalid;
    }
    let joined = joined_offset(body);
    let zoned = (!utc).then(|| joined.parse::<Timestamp>().ok()).flatten();
    let time = zoned.or_else(|| {
        // A local time with a zone that jiff refuses above must not be read here as if it had none.
        let naive = !joined.ends_with(['Z', 'z']) && !has_offset(&joined) && !joined.contains('[');
        let civil = naive.then(|| joined.parse::<DateTime>().ok()).flatten()?;
        civil.to_zoned(TimeZone::UTC).ok().map(|zoned| zoned.timestamp())
    });
    match time {
        // The zero time of Go and .NET is the year 1, that of everybody else 1970-01-01T00:00:00.
        Some(time) if time.as_second() < -62_135_000_000 || time.as_microsecond() == 0 => Stamp::Never,
        Some(time) => Stamp::At(WallTime::from_micros(time.as_microsecond())),
        None => Stamp::Invalid,
    }
}

/// Ruby and Go put a space before the offset: `2026-11-22 05:04:54 +0000`.
fn joined_offset(written: &str) -> String {
    match written.rsplit_once(' ') {
        Some((front, offset)) if offset.starts_with(['+', '-']) && front.contains(':') => format!("{front}{offset}"),
        _ => written.to_owned(),
    }
}

fn has_offset(written: &str) -> bool {
    let time = written.find(':').and_then(|colon| written.get(colon..)).unwrap_or_default();
    time.contains(['+', '-'])
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic, reason = "a test stops at the first surprise")]

    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    const MICROS: i64 = 1_795_323_894_123_456;

    fn at(micros: i64) -> Stamp {
        Stamp::At(WallTime::from_micros(micros))
    }

    #[test]
    fn the_same_instant_is_read_from_every_unit_and_form() {
        let millis = at(MICROS / 1_000 * 1_000);
        let seconds = at(MICROS / 1_000_000 * 1_000_000);
        for (written, expected) in [
            (json!(1_795_323_894), seconds),
            (json!(1_795_323_894_123_i64), millis),
            (json!(1_795_323_894_123_456_i64), at(MICROS)),
            (json!(1_795_323_894_123_456_789_i64), at(MICROS)),
            (json!("1795323894"), seconds),
            (json!(" 1795323894123 "), millis),
            (json!("1795323894.0"), seconds),
            (json!("2026-11-22T05:04:54.123456Z"), at(MICROS)),
            (json!("2026-11-22T05:04:54.123456789Z"), at(MICROS)),
            (json!("2026-11-22T05:04:54.123456"), at(MICROS)),
            (json!("2026-11-22 05:04:54.123456"), at(MICROS)),
            (json!("2026-11-22 05:04:54.123456+00:00"), at(MICROS)),
            (json!("2026-11-22T06:04:54.123456+01:00"), at(MICROS)),
            (json!("2026-11-22 00:04:54 -0500"), seconds),
            (json!("2026-11-22 05:04:54 UTC"), seconds),
            (json!("2026-11-22T05:04:54z"), seconds),
        ] {
            assert_eq!(json(Some(&written)), expected, "{written}");
        }
        let Stamp::At(float) = json(Some(&json!(1_795_323_894.123_456))) else { panic!("a float is a stamp") };
        assert!((float.micros() - MICROS).abs() <= 1, "{float:?}");
    }

    #[test]
    fn a_place_that_was_never_written_is_never_and_not_1970() {
        assert_eq!(json(None), Stamp::Never);
        for written in [
            json!(null),
            json!(0),
            json!(0.0),
            json!(-0.0),
            json!(""),
            json!("  "),
            json!("0"),
            json!("0.0"),
            json!("None"),
            json!("never"),
            json!("0001-01-01T00:00:00Z"),
            json!("0001-01-01T00:00:00"),
            json!("1970-01-01T00:00:00Z"),
        ] {
            assert_eq!(json(Some(&written)), Stamp::Never, "{written}");
        }
    }

    #[test]
    fn what_is_no_stamp_is_refused() {
        for written in [
            json!("yesterday"),
            json!("nan"),
            json!("inf"),
            json!("1e400"),
            json!(-5),
            json!(-1.7e9),
            json!(12.5),
            json!(86_400),
            json!(5e10),
            json!(20_261_122_050_454_i64),
            json!(u64::MAX),
            json!(i64::MIN),
            json!("2026-11-22"),
            json!("2026-13-45T99:99:99Z"),
            json!("2026-11-22T05:04:54+99:99"),
            json!("9".repeat(5_000)),
            json!(true),
            json!([1_795_323_894]),
            json!({"at": 1_795_323_894}),
        ] {
            assert_eq!(json(Some(&written)), Stamp::Invalid, "{written}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_read_without_a_panic(written in ".{0,100}") {
            let _ = text(&written);
        }

        #[test]
        fn any_number_is_read_as_at_most_one_unit(value in any::<f64>()) {
            if let Stamp::At(time) = epoch(value) {
                prop_assert!(SECONDS.contains(&time.seconds()) || (time.seconds() - SECONDS.end).abs() < 1.0);
            }
        }

        #[test]
        fn every_microsecond_of_this_century_comes_back(micros in 946_684_800_000_000_i64..4_102_444_800_000_000) {
            prop_assert_eq!(json(Some(&json!(micros))), at(micros));
            prop_assert_eq!(text(&micros.to_string()), at(micros));
            let written = Timestamp::from_microsecond(micros).unwrap().to_string();
            prop_assert_eq!(text(&written), at(micros));
        }
    }
}
