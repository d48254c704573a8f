//! The API: the snapshot as JSON.

pub(super) mod events;
pub(super) mod fleets;
pub(super) mod lifecycle;
pub(super) mod schema;
pub(super) mod workers;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

/// What may stand in a path segment or a query value without any doubt.
const SAFE: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'~');

/// A name as one path segment or query value. The dot is encoded too: a worker named `..` must not lead elsewhere.
pub(super) fn encode(name: &str) -> String {
    utf8_percent_encode(name, SAFE).to_string()
}
