//! The key pattern: which keys are heartbeats, and whose.

use std::sync::Arc;

pub(super) use crate::observe::legible::legible as name;

/// Names longer than this are not the id of a worker.
const MAX_ID: usize = 512;

/// `worker:{id}:heartbeat`, taken apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Pattern {
    before: Vec<u8>,
    after: Vec<u8>,
}

impl Pattern {
    /// Splits at the first `{id}`. Without one (which the configuration refuses) the whole rest of the key is the id.
    pub(super) fn new(pattern: &str) -> Self {
        let (before, after) = pattern.split_once("{id}").unwrap_or((pattern, ""));
        Self { before: before.as_bytes().to_vec(), after: after.as_bytes().to_vec() }
    }

    /// The glob for `SCAN … MATCH`. What is written outside `{id}` means itself, so its glob characters are escaped.
    pub(super) fn glob(&self) -> Vec<u8> {
        let mut glob = Vec::new();
        escape(&self.before, &mut glob);
        glob.push(b'*');
        escape(&self.after, &mut glob);
        glob
    }

    /// The id in this key; `None` when the key is not of this pattern, or its id is empty or absurdly long.
    pub(super) fn id(&self, key: &[u8]) -> Option<Arc<str>> {
        let id = key.strip_prefix(self.before.as_slice())?.strip_suffix(self.after.as_slice())?;
        (1..=MAX_ID).contains(&id.len()).then(|| name(id))
    }
}

/// Adds `text` to a glob in which it means itself.
pub(super) fn escape(text: &[u8], glob: &mut Vec<u8>) {
    for byte in text {
        if b"*?[]\\^-".contains(byte) {
            glob.push(b'\\');
        }
        glob.push(*byte);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_id_is_what_stands_between_the_fixed_parts() {
        let pattern = Pattern::new("worker:{id}:heartbeat");
        for (key, id) in [
            ("worker:7:heartbeat", Some("7")),
            ("worker:mail:eu:7:heartbeat", Some("mail:eu:7")),
            ("worker::heartbeat", None),
            ("worker:heartbeat", None),
            ("other:7:heartbeat", None),
        ] {
            assert_eq!(pattern.id(key.as_bytes()).as_deref(), id, "{key}");
        }
        assert_eq!(pattern.id(format!("worker:{}:heartbeat", "x".repeat(MAX_ID + 1)).as_bytes()), None);
    }

    #[test]
    fn glob_characters_outside_the_id_mean_themselves() {
        assert_eq!(Pattern::new("worker:{id}:heartbeat").glob(), b"worker:*:heartbeat");
        assert_eq!(Pattern::new("w[1]?*\\{id}").glob(), b"w\\[1\\]\\?\\*\\\\*");
    }
}
