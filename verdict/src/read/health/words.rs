//! The words by which endpoints say how they are, in ONE table.

use crate::evidence::Said;
use crate::read::fold;

/// What one word of an answer says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Meaning {
    /// How good it is.
    pub(super) said: Said,
    /// What else it tells.
    pub(super) phase: Phase,
}

/// Where in its life the word puts the worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// Nothing is said of it.
    Any,
    /// It is still starting.
    Starting,
    /// It is on its way out.
    Goodbye,
}

/// Words, folded.
#[rustfmt::skip]
const TABLE: &[(Said, Phase, &[&str])] = &[
    (Said::Up, Phase::Any, &[
        "pass", "passed", "passing", "ok", "okay", "up", "healthy", "serving", "ready", "running", "true", "alive", "live", "pong",
        "working", "success", "succeeded", "active", "online", "available", "operational", "normal", "good", "green",
        "idle", "busy", "processing", "polling", "listening", "connected", "started", "imalive", "allok", "allgood", "yes",
    ]),
    (Said::Degraded, Phase::Any, &[
        "warn", "warning", "degraded", "partiallyavailable", "partial", "partiallydegraded", "yellow", "impaired", "limited",
    ]),
    (Said::Transient, Phase::Starting, &[
        "starting", "initialized", "initializing", "initialising", "init", "booting", "warmingup", "warmup", "loading",
        "created", "restarting", "startingup",
    ]),
    (Said::Transient, Phase::Goodbye, &[
        "shuttingdown", "draining", "drain", "drained", "quiet", "quieting", "quiesced", "stopping", "terminating", "closing",
    ]),
    (Said::Transient, Phase::Any, &["unknown", "pending", "paused", "maintenance"]),
    (Said::Down, Phase::Any, &[
        "fail", "failed", "failing", "failure", "error", "errored", "down", "unhealthy", "critical", "outofservice", "notserving",
        "unavailable", "serviceunavailable", "noworkers", "false", "dead", "offline", "disconnected", "stopped", "exited",
        "notok", "notready", "nothealthy", "notalive", "notrunning", "unreachable", "broken", "crashed", "fatal", "stuck",
        "hung", "timeout", "red", "bad", "inactive", "internalservererror", "no",
    ]),
];

/// What this word says; `None` when it is not in the table.
pub(super) fn meaning(word: &str) -> Option<Meaning> {
    // No word of the table is longer, and a megabyte is not folded to find that out.
    if word.len() > 64 {
        return None;
    }
    let folded = fold(word);
    let row = TABLE.iter().find(|(_, _, words)| words.contains(&folded.as_str()))?;
    Some(Meaning { said: row.0, phase: row.1 })
}

/// What a sentence that begins with a word says: `OK: 3 workers`, `unavailable: no route`, `Alive!`. Only where
/// something sets the word off: of `down the road` or `not found` nothing is known.
pub(super) fn leading(text: &str) -> Option<Meaning> {
    meaning(text).or_else(|| {
        let at = text.find([':', ',', '!', '.', ';', '(', '\n'])?;
        meaning(text.get(..at)?)
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

    use super::*;

    #[test]
    fn no_word_stands_in_two_rows_and_all_are_folded() {
        let mut all: Vec<_> = TABLE.iter().flat_map(|(_, _, words)| words.iter().copied()).collect();
        assert!(all.iter().all(|word| fold(word) == *word));
        let count = all.len();
        all.sort_unstable();
        all.dedup();
        assert_eq!(all.len(), count);
    }

    #[test]
    fn case_and_separators_do_not_matter() {
        for (word, said) in [
            ("OUT_OF_SERVICE", Said::Down),
            ("Partially Available", Said::Degraded),
            ("partially-available", Said::Degraded),
            ("Alive!", Said::Up),
            (" PASS\n", Said::Up),
            ("SHUTTING_DOWN", Said::Transient),
            ("UNKNOWN", Said::Transient),
        ] {
            assert_eq!(meaning(word).unwrap().said, said, "{word}");
        }
        assert_eq!(meaning("kaputt"), None);
        assert_eq!(meaning(""), None);
    }

    #[test]
    fn a_sentence_speaks_by_its_first_word_only_where_that_is_set_off() {
        assert_eq!(leading("OK: 3 workers").unwrap().said, Said::Up);
        assert_eq!(leading("unavailable: no route").unwrap().said, Said::Down);
        assert_eq!(leading("ok computer"), None);
        assert_eq!(leading("not found"), None);
    }
}
