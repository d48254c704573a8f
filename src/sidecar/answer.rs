//! The two answers as JSON, small. Pure.
//!
//! The words are those that health endpoints commonly use, so that any reader of such an endpoint, this program's own
//! source among them, understands them: `status` is the whole, `worker` what the worker does, each check a part.

use std::sync::Arc;

use serde::Serialize;
use verdict::time::WallTime;

use super::check::Outcome;
use super::judge::{Check, Judgement, Phase, Reach};

/// Which of the two is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Question {
    /// `/health`.
    Alive,
    /// `/ready`.
    Ready,
}

/// Who it is about.
#[derive(Clone, Debug, Default)]
pub(super) struct Card {
    /// Its name.
    pub(super) worker_id: Option<Arc<str>>,
    /// The queue or queues that it serves, joined by commas.
    pub(super) task_queue: Option<Arc<str>>,
}

#[derive(Serialize)]
struct Shape<'a> {
    status: &'static str,
    worker: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    alive: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    worker_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    task_queue: Option<&'a str>,
    checks: Vec<Part<'a>>,
}

#[derive(Serialize)]
struct Part<'a> {
    name: &'static str,
    status: Outcome,
    reason: &'static str,
    since: WallTime,
    #[serde(skip_serializing_if = "str::is_empty")]
    detail: &'a str,
}

/// The status code and the body.
#[must_use]
pub(super) fn render(question: Question, judgement: &Judgement, card: &Card) -> (u16, Vec<u8>) {
    let good = match question {
        Question::Alive => judgement.live,
        Question::Ready => judgement.ready,
    };
    let status = match (question, judgement.phase) {
        (_, Phase::Draining) => "draining",
        (Question::Alive, Phase::Starting) => "starting",
        (Question::Alive, _) if good => "healthy",
        (Question::Alive, _) => "unhealthy",
        (Question::Ready, _) if good => "ready",
        (Question::Ready, Phase::Starting) => "starting",
        (Question::Ready, _) => "not_ready",
    };
    let shape = Shape {
        status,
        worker: match judgement.phase {
            Phase::Starting => "starting",
            Phase::Running => "running",
            Phase::Draining => "draining",
            Phase::Hung => "hung",
            Phase::Exited => "exited",
        },
        alive: (question == Question::Alive).then_some(good),
        worker_id: card.worker_id.as_deref(),
        task_queue: card.task_queue.as_deref(),
        checks: judgement
            .checks
            .iter()
            .filter(|check| question == Question::Ready || check.reach == Reach::Local)
            .map(part)
            .collect(),
    };
    // A structure of texts and numbers is always JSON.
    let body = serde_json::to_vec(&shape).unwrap_or_default();
    (if good { 200 } else { 503 }, body)
}

fn part(check: &Check) -> Part<'_> {
    Part {
        name: check.name,
        status: check.finding.outcome,
        reason: check.finding.cause.word(),
        since: check.since,
        detail: &check.finding.detail,
    }
}
