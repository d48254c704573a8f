//! Does work wait that this worker should take, and does it take any? Each task type is judged for itself: the commonest
//! zombie in Python stops its workflow tasks while its activity pollers go on polling.

use std::time::Duration;

use crate::channel::What;
use crate::checks::Silence;
use crate::evidence::{Held, QueueKey, TypeReport, Upkeep};
use crate::queue::Queue;
use crate::time::Moment;
use crate::words::{Reason, TaskType};
use crate::worker::{Around, POLL, QUEUE_INTERVAL, Worker};

/// Frameworks: a flat counter with nothing in flight, for at least this long.
const FLAT: Duration = Duration::from_secs(60);
/// Looks in a row, and time, for which its own answer must say that work waits.
const WAITING: (u32, Duration) = (3, Duration::from_secs(60));

/// The longest deadline that a server gives a workflow task. One that is held for longer, while nothing is processed, is
/// held by a dead loop, whether more of them wait or not: with few workflows a blocked loop shows no backlog at all.
const WORKFLOW_TASK: Duration = Duration::from_secs(120);

/// What is known of its progress.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Progress {
    /// Time without progress while work waits, the worst of its task types; zero when nothing waits.
    /// `None` where the queue is not known: then it is never `stuck`.
    pub silent: Option<Duration>,
    /// Row 8.
    pub stuck: Option<Reason>,
    /// Row 9.
    pub saturated: bool,
    /// Its polls, the worst of the types that have free slots.
    pub polls: Option<Silence>,
}

/// Weighs all of its task types.
#[must_use]
pub fn weigh(worker: &Worker, around: Around<'_>) -> Progress {
    let mut progress = Progress::default();
    for t in worker.types.iter().filter(|t| t.task_type != TaskType::LocalActivity) {
        one_type(worker, t, around, &mut progress);
    }
    let polls = worker.sights.keys().filter_map(|name| around.sources.get(name)).any(|s| s.rules.kind.sees_polls());
    let named = worker.numbers.progress.is_some() && worker.numbers.waiting.is_some();
    if worker.types.is_empty() || !polls || named {
        counter(worker, around, &mut progress);
    }
    // It is this very task that has been there all the while, whether or not every look in between succeeded.
    let overdue = |(held, since): (Held, Moment)| held.limit.is_some_and(|limit| around.now.since(since) > limit);
    if worker.sights.values().filter_map(|sight| sight.held).any(overdue) {
        progress.stuck = Some(Reason::Overdue);
    }
    progress
}

fn queues<'a>(worker: &'a Worker, task_type: TaskType, around: Around<'a>) -> impl Iterator<Item = &'a Queue> {
    let sources = worker.sights.keys().filter_map(move |name| around.sources.get(name));
    let served = sources.flat_map(move |source| {
        worker.task_queues.iter().filter_map(move |task_queue| {
            around.queues.get(&QueueKey {
                source: source.rules.name.clone(),
                namespace: source.rules.namespace.clone(),
                task_queue: task_queue.clone(),
                task_type,
            })
        })
    });
    let named = around.rules.queues.iter().filter(move |key| key.task_type == task_type);
    served
        .chain(named.filter_map(move |key| around.queues.get(key)))
        // A queue that cannot be looked at is not known, whatever it last showed.
        .filter(move |queue| queue.health.success.is_some() && !queue.health.blind(around.now, POLL, QUEUE_INTERVAL))
}

fn one_type(worker: &Worker, t: &TypeReport, around: Around<'_>, progress: &mut Progress) {
    let busy = t.used.is_some_and(|slots| slots > 0);
    let full = t.available == Some(0) && busy;
    // Slots that are given by load have no number. A worker that holds some and polls for no more may have as many as its
    // machine can bear: that is full, as far as anybody can tell, and full is not stuck.
    let free = t.available.map_or(!busy, |slots| slots > 0);
    let channel = |what: What| worker.channels.iter().filter(move |((_, w), _)| *w == what);
    let flat = channel(What::Processed(t.task_type)).map(|(_, c)| c.silent).min();
    if full && flat.is_some_and(|flat| flat >= around.rules.longest_task) {
        progress.saturated = true;
    }
    let held = worker.busy.get(&t.task_type).map(|since| around.now.since(*since));
    if t.task_type == TaskType::Workflow && flat.zip(held).is_some_and(|(flat, held)| flat.min(held) >= WORKFLOW_TASK) {
        progress.stuck = Some(Reason::TasksNotProcessed);
    }
    // A poll is seen in the worker's own stamp or in the server's; the one that moved last counts. A type that was never
    // polled is no evidence before work has waited for it.
    let polls = [What::Polls(t.task_type), What::Access(t.task_type)]
        .into_iter()
        .flat_map(&channel)
        .map(|((source, what), c)| Silence { silent: c.silent, limits: worker.limits(source, *what, c, around) })
        .min_by(|a, b| a.silent.cmp(&b.silent));
    let ever =
        [What::Polls(t.task_type), What::Access(t.task_type)].into_iter().flat_map(&channel).any(|(_, c)| !c.never());
    if free
        && ever
        && let Some(polls) = polls
    {
        let worst = progress.polls.filter(|p| p.silent >= polls.silent);
        progress.polls = Some(worst.unwrap_or(polls));
    }
    let mut known = false;
    let mut waits = false;
    for queue in queues(worker, t.task_type, around) {
        known = true;
        waits |= queue.waiting(around.rules.waiting_age) && queue.goes_to(worker.info.build_id.as_deref());
    }
    if !known {
        return;
    }
    let mut silent = Duration::ZERO;
    if waits && free {
        silent = polls.map_or(Duration::ZERO, |p| p.silent);
        if silent.as_secs_f64() >= around.rules.no_progress.critical {
            progress.stuck = progress.stuck.or(Some(Reason::NotPolling));
        }
    } else if waits && busy && t.task_type == TaskType::Workflow {
        // Full is not stuck, except here: each workflow task has a deadline of 10 s by default.
        silent = flat.unwrap_or_default();
        if silent >= around.rules.workflow_flat {
            progress.stuck = Some(Reason::TasksNotProcessed);
        }
    }
    progress.silent = Some(progress.silent.unwrap_or_default().max(silent));
}

/// Workers whose polls nobody sees: a counter that is flat while work waits and, unless it is named as the progress, nothing is
/// in flight.
fn counter(worker: &Worker, around: Around<'_>, progress: &mut Progress) {
    let named = worker.numbers.progress.is_some();
    let moves = if named { What::Progress } else { What::Tasks };
    let flat = worker.channels.iter().filter(|((_, what), _)| *what == moves).map(|(_, c)| c.silent).min();
    // A pool that hangs looks like one whose tasks are long, until it has held a task for longer than any may take.
    let held = worker.busy.get(&TaskType::Activity).map(|since| around.now.since(*since));
    if flat.zip(held).is_some_and(|(flat, held)| flat.min(held) >= around.rules.longest_task) {
        progress.saturated = true;
    }
    let own = worker.numbers.waiting.map(|_| {
        worker.waiting.is_some_and(|(since, looks)| looks >= WAITING.0 && around.now.since(since) >= WAITING.1)
    });
    let mut queue = None;
    for q in TaskType::ALL.iter().flat_map(|t| queues(worker, *t, around)) {
        queue = Some(queue.unwrap_or(false) || q.waiting(around.rules.waiting_age));
    }
    let waits = match (own, queue) {
        (None, None) => return,
        (own, queue) => own.unwrap_or(false) || queue.unwrap_or(false),
    };
    let idle = named || worker.numbers.in_flight == Some(0);
    let hands = worker.channels.iter().find(|((_, what), _)| *what == What::Hands).map(|(_, c)| c.silent);
    let Some(flat) = flat.or(hands) else { return };
    let silent = if waits && idle { flat } else { Duration::ZERO };
    let cadence = worker
        .channels
        .iter()
        .filter(|((_, what), _)| *what == What::Beat)
        .find_map(|(_, c)| c.cadence.value(around.rules))
        // A counter that is written as it changes is as fresh as the look.
        .filter(|_| worker.sights.values().all(|sight| sight.upkeep != Upkeep::Live));
    if waits && idle && flat >= FLAT.max(cadence.unwrap_or_default() * 2) {
        progress.stuck = Some(Reason::NoProgress);
    }
    progress.silent = Some(progress.silent.unwrap_or_default().max(silent));
}
