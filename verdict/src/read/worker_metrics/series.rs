//! Which samples are meant: a name, and what their labels must be.

use std::fmt;

use crate::read::exposition::Sample;

/// A name with conditions on labels: `jobs_total{status="failed"}`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Series {
    name: String,
    labels: Vec<Condition>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Condition {
    name: String,
    equal: Equal,
    value: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Equal {
    Yes,
    No,
}

/// Why a text is no [`Series`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoSeries;

impl Series {
    /// From a name, with or without conditions.
    ///
    /// # Errors
    /// When it is neither.
    pub fn parse(text: &str) -> Result<Self, NoSeries> {
        let (name, rest) = text.split_at(text.find('{').unwrap_or(text.len()));
        let name = name.trim();
        let is_name = |text: &str, besides: &[u8]| {
            let letter = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || besides.contains(&byte);
            !text.is_empty() && !text.starts_with(|c: char| c.is_ascii_digit()) && text.bytes().all(letter)
        };
        if !is_name(name, b":") {
            return Err(NoSeries);
        }
        let mut labels = Vec::new();
        let mut rest = rest.trim();
        if !rest.is_empty() {
            rest = rest.strip_prefix('{').and_then(|rest| rest.strip_suffix('}')).ok_or(NoSeries)?.trim();
        }
        while !rest.is_empty() {
            let (label, behind) = rest.split_once('"').ok_or(NoSeries)?;
            let label = label.trim_end();
            let (label, equal) = match label.strip_suffix("!=") {
                Some(label) => (label, Equal::No),
                None => (label.strip_suffix('=').ok_or(NoSeries)?, Equal::Yes),
            };
            // No escapes: a value with a quote or a backslash in it is no sensible condition.
            let (value, behind) = behind.split_once('"').filter(|(value, _)| !value.contains('\\')).ok_or(NoSeries)?;
            let label = label.trim();
            if !is_name(label, b"") {
                return Err(NoSeries);
            }
            labels.push(Condition { name: label.to_owned(), equal, value: value.to_owned() });
            let behind = behind.trim_start();
            rest = match behind.strip_prefix(',') {
                Some(behind) => behind.trim_start(),
                None if behind.is_empty() => "",
                None => return Err(NoSeries),
            };
        }
        Ok(Self { name: name.to_owned(), labels })
    }

    /// The name is meant, whether or not either side writes `_total`.
    pub(super) fn names(&self, name: &str) -> bool {
        let bare = |name: &str| name.strip_suffix("_total").map(str::len);
        self.name == name
            || bare(&self.name).is_some_and(|length| self.name.get(..length) == Some(name))
            || bare(name).is_some_and(|length| name.get(..length) == Some(self.name.as_str()))
    }

    /// The labels are meant. One that is not there is an empty one.
    pub(super) fn fits(&self, sample: &Sample<'_>) -> bool {
        self.labels.iter().all(|condition| {
            let same = sample.label(&condition.name).unwrap_or_default() == condition.value;
            same == (condition.equal == Equal::Yes)
        })
    }
}

impl fmt::Display for Series {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)?;
        for (at, condition) in self.labels.iter().enumerate() {
            let sign = if condition.equal == Equal::Yes { "=" } else { "!=" };
            write!(f, "{}{}{sign}\"{}\"", if at == 0 { '{' } else { ',' }, condition.name, condition.value)?;
        }
        f.write_str(if self.labels.is_empty() { "" } else { "}" })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;

    #[test]
    fn a_name_may_have_conditions_and_is_written_as_it_is_read() {
        for text in ["a", "vllm:tokens_total", "a{b=\"c\"}", "a{b=\"c\",d!=\"e f\"}", "a{b=\"\"}"] {
            assert_eq!(Series::parse(text).unwrap().to_string(), text);
        }
        assert_eq!(Series::parse(" a { b = \"c\" , } ").unwrap().to_string(), "a{b=\"c\"}");
        for text in
            ["", "1a", "a-b", "a{", "a}", "a{b}", "a{b=c}", "a{b=\"c}", "a{b=~\"c\"}", "a{b=\"c\"d=\"e\"}", "a b"]
        {
            assert_eq!(Series::parse(text), Err(NoSeries), "{text}");
        }
    }

    #[test]
    fn total_may_be_left_out_on_either_side() {
        for (ours, theirs, same) in [
            ("a", "a", true),
            ("a", "a_total", true),
            ("a_total", "a", true),
            ("a_total", "a_totals", false),
            ("a", "ab", false),
        ] {
            assert_eq!(Series::parse(ours).unwrap().names(theirs), same, "{ours} {theirs}");
        }
    }
}
