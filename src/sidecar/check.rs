//! What one piece of evidence comes to. Pure.

use std::borrow::Cow;
use std::time::Duration;

use serde::Serialize;
use verdict::words::Reason;

use super::cause::Cause;

/// How a check came out, the best first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Outcome {
    /// Nothing is wrong.
    Pass,
    /// Something is, and other evidence speaks for the worker.
    Warn,
    /// Nothing can be said: not looked at yet, or the look fails.
    Unknown,
    /// Evidence against the worker.
    Fail,
}

/// Outcome, reason, and what was seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Finding {
    /// How it came out.
    pub(super) outcome: Outcome,
    /// Why.
    pub(super) cause: Cause,
    /// Figures for people.
    pub(super) detail: Cow<'static, str>,
}

impl Finding {
    /// All is well.
    pub(super) fn pass(detail: impl Into<Cow<'static, str>>) -> Self {
        Self::of(Outcome::Pass, Cause::OK, detail)
    }

    /// Well enough.
    pub(super) fn warn(cause: Cause, detail: impl Into<Cow<'static, str>>) -> Self {
        Self::of(Outcome::Warn, cause, detail)
    }

    /// Not known.
    pub(super) fn unknown(cause: Cause, detail: impl Into<Cow<'static, str>>) -> Self {
        Self::of(Outcome::Unknown, cause, detail)
    }

    /// Evidence against it.
    pub(super) fn fail(cause: Cause, detail: impl Into<Cow<'static, str>>) -> Self {
        Self::of(Outcome::Fail, cause, detail)
    }

    /// With this outcome.
    pub(super) fn of(outcome: Outcome, cause: Cause, detail: impl Into<Cow<'static, str>>) -> Self {
        Self { outcome, cause, detail: detail.into() }
    }

    /// Whether it speaks against the life of the worker, and not only against its readiness: who says of itself that it
    /// is unhealthy still runs, and a restart may cost what it works on.
    #[must_use]
    pub(super) fn convicts(&self) -> bool {
        self.outcome == Outcome::Fail && self.cause != Cause::Of(Reason::Unhealthy)
    }

    /// The one that tells more: the worse, then the one that is not simply well.
    #[must_use]
    pub(super) fn worse(self, other: Self) -> Self {
        let rank = |finding: &Self| (finding.outcome, finding.cause != Cause::OK, !finding.detail.is_empty());
        if rank(&other) > rank(&self) { other } else { self }
    }

    /// The same, no longer held against the worker, since something else speaks for it.
    #[must_use]
    pub(super) fn overruled(self, cause: Cause) -> Self {
        match self.outcome {
            Outcome::Fail => Self { outcome: Outcome::Warn, cause, ..self },
            _ => self,
        }
    }
}

/// `12 s`, `1.5 s`.
pub(super) fn seconds(span: Duration) -> String {
    let tenths = span.as_millis() / 100;
    if tenths < 100 && !tenths.is_multiple_of(10) {
        format!("{}.{} s", tenths / 10, tenths % 10)
    } else {
        format!("{} s", span.as_secs())
    }
}
