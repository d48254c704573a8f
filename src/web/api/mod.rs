//! The API: the snapshot as JSON.

pub(super) mod events;
pub(super) mod fleets;
pub(super) mod lifecycle;
pub(super) mod schema;
pub(super) mod workers;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

/// What may stand in a path segment or a query value without any doubt.
const SAFE: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'~').remove(b'.');

/// A name as one path segment or query value. (A worker named `..` stays unreachable by its path, since browsers take
/// `%2E%2E` for a step up too; the list still shows it.)
pub(super) fn encode(name: &str) -> String {
    utf8_percent_encode(name, SAFE).to_string()
}
