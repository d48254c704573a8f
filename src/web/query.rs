//! What may stand behind the question mark. An unknown name is a mistake that is told, never ignored.

use verdict::evidence::WorkerKey;
use verdict::snapshot::WorkerView;
use verdict::words::State;

use super::problem::Problem;

/// How many workers a page of the list has, if nobody says.
pub(super) const DEFAULT_LIMIT: usize = 500;
/// How many it has at most.
pub(super) const MAXIMUM_LIMIT: usize = 5000;

/// Which workers are meant.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Filter {
    /// Any of these fleets; all when empty.
    pub(super) fleets: Vec<String>,
    /// Any of these states; all when empty.
    pub(super) states: Vec<State>,
    /// At most this many.
    pub(super) limit: Option<usize>,
    /// Those after this one, in the order of fleet and worker.
    pub(super) after: Option<WorkerKey>,
}

/// The names that one path knows.
#[derive(Clone, Copy, Debug)]
pub(super) struct Known(pub(super) &'static [&'static str]);

impl Filter {
    /// Reads a query string. A name with nothing behind it counts as not given, as forms send it.
    pub(super) fn read(query: Option<&str>, known: Known) -> Result<Self, Problem> {
        let mut filter = Self::default();
        for (name, value) in url::form_urlencoded::parse(query.unwrap_or_default().as_bytes()) {
            if !known.0.contains(&&*name) {
                let detail = match known.0 {
                    [] => format!("Unknown parameter {name:?}: this path takes none."),
                    names => format!("Unknown parameter {name:?}: this path knows {}.", names.join(", ")),
                };
                return Err(Problem::bad_request(detail));
            }
            if value.is_empty() {
                continue;
            }
            match &*name {
                "fleet" => filter.fleets.push(value.into_owned()),
                "state" => filter.states.push(State::from_word(&value).ok_or_else(|| {
                    let words: Vec<&str> = State::ALL.iter().map(|state| state.word()).collect();
                    Problem::bad_request(format!("Unknown state {value:?}: the states are {}.", words.join(", ")))
                })?),
                "limit" => {
                    let limit = value.parse().ok().filter(|limit| (1..=MAXIMUM_LIMIT).contains(limit));
                    filter.limit = Some(limit.ok_or_else(|| {
                        Problem::bad_request(format!("Bad limit {value:?}: a number from 1 to {MAXIMUM_LIMIT}."))
                    })?);
                }
                _ => {
                    filter.after = Some(read_cursor(&value).ok_or_else(|| {
                        Problem::bad_request("Bad cursor: send back the next_cursor of the previous answer as it is.")
                    })?);
                }
            }
        }
        Ok(filter)
    }

    /// Whether this worker is meant, wherever the cursor stands.
    pub(super) fn takes(&self, worker: &WorkerView) -> bool {
        (self.fleets.is_empty() || self.fleets.iter().any(|fleet| **fleet == *worker.key.fleet))
            && (self.states.is_empty() || self.states.contains(&worker.state))
    }
}

/// Says where the next page begins. Readable, and still nobody's business: `fleet=…&worker=…`, encoded once.
pub(super) fn cursor(last: &WorkerKey) -> String {
    url::form_urlencoded::Serializer::new(String::new())
        .append_pair("fleet", &last.fleet)
        .append_pair("worker", &last.worker)
        .finish()
}

fn read_cursor(cursor: &str) -> Option<WorkerKey> {
    let mut pairs = url::form_urlencoded::parse(cursor.as_bytes());
    let fleet = pairs.next().filter(|(name, _)| name == "fleet")?.1;
    let worker = pairs.next().filter(|(name, _)| name == "worker")?.1;
    pairs.next().is_none().then(|| WorkerKey::new(&*fleet, &*worker))
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIST: Known = Known(&["fleet", "state", "limit", "cursor"]);

    #[test]
    fn a_cursor_survives_any_name() {
        for name in ["", "a&b=c", "naïve ☃\n", "x%2Fy", "a+b"] {
            let key = WorkerKey::new(name, name);
            assert_eq!(read_cursor(&cursor(&key)), Some(key));
        }
        assert_eq!(read_cursor("nonsense"), None);
    }

    #[test]
    fn empty_values_count_as_not_given() {
        let filter = Filter::read(Some("fleet=&state=&limit="), LIST);
        assert_eq!(filter.ok(), Some(Filter::default()));
    }

    #[test]
    fn limits_outside_the_range_are_refused() {
        for bad in ["0", "-1", "5001", "x", "1e3", "99999999999999999999"] {
            assert!(Filter::read(Some(&format!("limit={bad}")), LIST).is_err(), "{bad}");
        }
        assert_eq!(Filter::read(Some("limit=5000"), LIST).ok().and_then(|f| f.limit), Some(5000));
    }
}
