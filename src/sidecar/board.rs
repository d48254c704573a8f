//! Where evidence goes in and answers come out, with our clocks.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::answer::{Card, Question, render};
use super::judge::{Judge, Judgement};
use crate::observe::Clock;

/// The judge, behind a lock that nobody holds across a wait.
#[derive(Debug)]
pub(super) struct Board {
    clock: Clock,
    worker_id: Arc<str>,
    /// The queues that it must serve, where that is configured.
    queues: Option<Arc<str>>,
    inner: Mutex<Inner>,
}

#[derive(Debug)]
struct Inner {
    judge: Judge,
    said: Option<(bool, bool)>,
}

impl Board {
    pub(super) fn new(clock: Clock, worker_id: Arc<str>, queues: Option<Arc<str>>, judge: Judge) -> Self {
        Self { clock, worker_id, queues, inner: Mutex::new(Inner { judge, said: None }) }
    }

    pub(super) const fn clock(&self) -> Clock {
        self.clock
    }

    /// Changes what is known, and says in the log what comes of it.
    pub(super) fn with<T>(&self, change: impl FnOnce(&mut Judge) -> T) -> T {
        let mut inner = self.hold();
        let outcome = change(&mut inner.judge);
        self.judged(&mut inner);
        outcome
    }

    /// The status code and the body, now.
    pub(super) fn answer(&self, question: Question) -> (u16, Vec<u8>) {
        let mut inner = self.hold();
        let judgement = self.judged(&mut inner);
        let seen = || inner.judge.temporal.as_ref().and_then(super::registration::TemporalWatch::queues);
        let card = Card { worker_id: Some(Arc::clone(&self.worker_id)), task_queue: self.queues.clone().or_else(seen) };
        render(question, &judgement, &card)
    }

    fn judged(&self, inner: &mut Inner) -> Judgement {
        let judgement = inner.judge.judge(self.clock.now(), self.clock.wall());
        let now = (judgement.live, judgement.ready);
        if inner.said != Some(now) {
            inner.said = Some(now);
            let (health, ready) = now;
            let (phase, why) = (judgement.phase, reasons(&judgement));
            if health {
                tracing::info!(health, ready, ?phase, why, "answers changed");
            } else {
                tracing::warn!(health, ready, ?phase, why, "answers changed");
            }
        }
        judgement
    }

    fn hold(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// `process exited: Its process is gone.`
fn reasons(judgement: &Judgement) -> String {
    let bad = judgement.checks.iter().filter(|check| check.finding.outcome != super::check::Outcome::Pass);
    let say = |check: &super::judge::Check| {
        let cause = check.finding.cause;
        format!("{} {}: {}", check.name, cause.word(), cause.meaning())
    };
    bad.map(say).collect::<Vec<_>>().join(" ")
}
