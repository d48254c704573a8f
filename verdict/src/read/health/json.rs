//! Strict JSON from strangers: bounded depth, no duplicate keys, and the numbers that Python writes though JSON has
//! none of them (`NaN`, `Infinity`, `1e400`) kept as what they are: values that nobody can use.

use std::collections::BTreeSet;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

/// Deepest nesting that is read. The deepest shape that is known (Spring, nested composites) needs eight.
const DEPTH: usize = 32;

/// Reads a body as JSON. `None`: it is none.
pub(super) fn parse(text: &str) -> Option<Value> {
    strict(text).or_else(|| strict(&without_impossible_numbers(text)?))
}

fn strict(text: &str) -> Option<Value> {
    let mut deserializer = serde_json::Deserializer::from_str(text);
    let value = Tree { left: DEPTH }.deserialize(&mut deserializer).ok()?;
    deserializer.end().ok().map(|()| value)
}

/// The same text with every number that no 64-bit float holds, and every `NaN` and `Infinity`, turned into a string:
/// one bad figure must not hide what the rest of the answer says. `None` when there is nothing of the kind.
fn without_impossible_numbers(text: &str) -> Option<String> {
    let mut out = String::with_capacity(text.len() + 16);
    let mut changed = false;
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let length = match first {
            '"' => end_of_string(rest),
            '-' | '0'..='9' | 'N' | 'I' => {
                rest.find(|c: char| !(c.is_ascii_alphanumeric() || matches!(c, '-' | '+' | '.'))).unwrap_or(rest.len())
            }
            other => other.len_utf8(),
        };
        let (token, behind) = rest.split_at(length);
        let impossible = matches!(token, "NaN" | "Infinity" | "-Infinity")
            || (first.is_ascii_digit() || first == '-') && token.parse::<f64>().is_ok_and(f64::is_infinite);
        if impossible {
            changed = true;
            // The digits are of no use to anybody; a megabyte of them is not kept.
            out.push_str("\"impossible number\"");
        } else {
            out.push_str(token);
        }
        rest = behind;
    }
    changed.then_some(out)
}

/// Length of the string literal at the start of `text`, quotes included.
fn end_of_string(text: &str) -> usize {
    let mut escaped = false;
    for (at, byte) in text.bytes().enumerate().skip(1) {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'"' => return at + 1,
            _ => {}
        }
    }
    text.len()
}

/// Builds a [`Value`] to a bounded depth and refuses a key that comes twice: of `{"status":"UP","status":"DOWN"}`
/// nobody can say which one is meant.
struct Tree {
    left: usize,
}

impl Tree {
    fn below<E: Error>(&self) -> Result<Self, E> {
        let left = self.left.checked_sub(1).ok_or_else(|| E::custom("nested too deeply"))?;
        Ok(Self { left })
    }
}

impl<'de> DeserializeSeed<'de> for Tree {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Tree {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<Value, E> {
        Ok(Value::from(value))
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Value, E> {
        Ok(Value::from(value))
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Value, E> {
        Ok(Number::from_f64(value).map_or(Value::Null, Value::Number))
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<Value, E> {
        Ok(Value::from(value))
    }

    fn visit_string<E: Error>(self, value: String) -> Result<Value, E> {
        Ok(Value::from(value))
    }

    fn visit_unit<E: Error>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut values = Vec::new();
        while let Some(value) = items.next_element_seed(self.below()?)? {
            values.push(value);
        }
        Ok(Value::Array(values))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
        let mut map = Map::new();
        let mut seen = BTreeSet::new();
        while let Some(key) = entries.next_key::<String>()? {
            let value = entries.next_value_seed(self.below()?)?;
            if !seen.insert(key.clone()) {
                return Err(A::Error::custom("duplicate key"));
            }
            map.insert(key, value);
        }
        Ok(Value::Object(map))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_is_not_json_is_refused() {
        for text in [
            "",
            "{",
            r#"{"a":1"#,
            r#"{"a":1,}"#,
            r#"{"a":1} x"#,
            r#"{"a":1,"a":2}"#,
            r#"{"a":{"b":1,"b":1}}"#,
            "\u{feff}{\"a\":1}",
            "{\"a\":\"\0\"}",
            r#"{"a":"\ud800"}"#,
            "[NaN, nan]",
            "[-NaN]",
            "{'a':1}",
        ] {
            assert_eq!(parse(text), None, "{text:?}");
        }
    }

    #[test]
    fn nesting_is_read_to_a_bound_and_refused_beyond_it_without_a_stack_overflow() {
        let nested = |depth: usize| "[".repeat(depth) + &"]".repeat(depth);
        assert!(parse(&nested(DEPTH)).is_some());
        assert!(parse(&nested(DEPTH + 2)).is_none());
        assert!(parse(&nested(100_000)).is_none());
        assert!(parse(&"[".repeat(100_000)).is_none());
        assert!(parse(&r#"{"a":"#.repeat(100_000)).is_none());
    }

    #[test]
    fn one_impossible_number_does_not_hide_the_rest() {
        let value = parse(r#"{"status":"NaN \" 1e400","cpu":NaN,"gpu":-Infinity,"x":[1e400, 2]}"#).unwrap();
        assert_eq!(value.pointer("/status").unwrap(), "NaN \" 1e400");
        assert_eq!(value.pointer("/cpu").unwrap(), "impossible number");
        assert_eq!(value.pointer("/x/0").unwrap(), "impossible number");
        assert_eq!(value.pointer("/x/1").unwrap(), 2);
        let digits = format!("{{\"a\":{},\"b\":true}}", "9".repeat(1_000_000));
        assert_eq!(parse(&digits).unwrap().pointer("/b").unwrap(), true);
    }

    proptest! {
        #[test]
        fn any_text_is_read_without_a_panic(text in r#"[\[\]{}",:0-9eE.+\-NaInfity\\ u]{0,60}"#) {
            let _ = parse(&text);
        }

        #[test]
        fn what_serde_json_writes_is_read_as_the_same(key in ".{0,10}", text in ".{0,20}", number in any::<i64>()) {
            let value = serde_json::json!({ key: [text, number, null, true] });
            prop_assert_eq!(parse(&value.to_string()), Some(value));
        }
    }
}
