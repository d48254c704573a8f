//! Why a check says what it says: the words of the verdict, of a failed look, and the few that only a process beside the
//! worker can know.

use verdict::words::{Failure, Reason};

/// One word with its meaning. A closed set: no error text stands in its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cause {
    /// The same word that the exporter uses for the state of a worker.
    Of(Reason),
    /// The look has failed.
    Look(Failure),
    /// The process was never seen.
    NotSeen,
    /// The process is stopped.
    Stopped,
    /// The process hangs in the kernel.
    Blocked,
    /// Temporal lists no such worker.
    NotRegistered,
    /// No poll was seen yet.
    AwaitingPoll,
    /// All slots are in use.
    Full,
}

impl Cause {
    /// Those that are the sidecar's own.
    #[cfg(test)]
    pub(super) const OWN: [Self; 6] =
        [Self::NotSeen, Self::Stopped, Self::Blocked, Self::NotRegistered, Self::AwaitingPoll, Self::Full];

    /// Nothing is wrong.
    pub(super) const OK: Self = Self::Of(Reason::Ok);

    /// The word.
    #[must_use]
    pub(super) const fn word(self) -> &'static str {
        match self {
            Self::Of(reason) => reason.word(),
            Self::Look(failure) => failure.word(),
            Self::NotSeen => "not_seen",
            Self::Stopped => "stopped",
            Self::Blocked => "blocked",
            Self::NotRegistered => "not_registered",
            Self::AwaitingPoll => "awaiting_poll",
            Self::Full => "full",
        }
    }

    /// One sentence on what it means, for the log and the page.
    #[must_use]
    pub(super) const fn meaning(self) -> &'static str {
        match self {
            Self::Of(reason) => reason.meaning(),
            Self::Look(failure) => failure.meaning(),
            Self::NotSeen => {
                "The process was never seen: the PID namespace is not shared, or the pid file or pattern is wrong."
            }
            Self::Stopped => "The process is stopped by a signal or a debugger.",
            Self::Blocked => "The process hangs in the kernel, where nothing can interrupt it.",
            Self::NotRegistered => "Temporal lists no such worker.",
            Self::AwaitingPoll => "Temporal knows the worker; its first poll is awaited.",
            Self::Full => "All its slots are in use: it works, and polls again when one is free.",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_word_of_its_own_is_a_word_of_somebody_else() {
        for cause in Cause::OWN {
            assert_eq!(Reason::from_word(cause.word()), None, "{}", cause.word());
            assert_eq!(Failure::from_word(cause.word()), None, "{}", cause.word());
        }
    }

    #[test]
    fn every_word_of_its_own_is_explained_on_its_page() {
        let page = include_str!("../../docs/sidecar.md");
        for cause in Cause::OWN {
            assert!(page.contains(&format!("`{}`", cause.word())), "{}", cause.word());
            assert!(page.contains(cause.meaning()), "{}", cause.meaning());
        }
    }
}
