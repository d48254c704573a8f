//! The snapshot, as the template wants it: words only.

use askama::Template;
use verdict::snapshot::{FleetView, QueueView, Snapshot, SourceView, WorkerView};
use verdict::time::WallTime;
use verdict::words::{Reason, State, Status};

use super::show::{NOTHING, absolute, ago, decimal, number, span};
use crate::bundle;
use crate::web::api::encode;
use crate::web::query::Filter;

/// How many workers are shown if nobody says: more than anybody reads, few enough for a phone.
const ROWS: usize = 200;
/// Up to this many fleets stand above the workers.
const FEW_FLEETS: usize = 6;
/// How many queues are shown.
const QUEUES: usize = 100;
/// How many issues of one worker are shown; the API has them all.
const ISSUES: usize = 4;
/// A snapshot older than this is told: it is made anew each second.
const STALE: f64 = 15.0;

/// Worst first.
const WORST: [State; 7] =
    [State::Down, State::Stuck, State::Degraded, State::Unknown, State::Draining, State::Starting, State::Healthy];

fn rank(state: State) -> usize {
    WORST.iter().position(|worst| *worst == state).unwrap_or(WORST.len())
}

/// The page.
#[derive(Template)]
#[template(path = "page.html")]
pub(super) struct Page {
    title: String,
    base: String,
    telemetry: String,
    version: &'static str,
    mood: &'static str,
    headline: String,
    taken: String,
    taken_ago: String,
    taken_title: String,
    notices: Vec<String>,
    total: usize,
    unfiltered: bool,
    everything: String,
    chosen: String,
    counts: Vec<Count>,
    workers: Vec<Worker>,
    more: usize,
    more_link: String,
    fleets: Vec<Fleet>,
    /// Few enough to stand above the workers without pushing them off the screen.
    few_fleets: bool,
    queues: Vec<Queue>,
    more_queues: usize,
    sources: Vec<Source>,
}

struct Count {
    word: &'static str,
    meaning: &'static str,
    number: usize,
    link: String,
    chosen: bool,
}

struct Worker {
    state: &'static str,
    state_meaning: &'static str,
    worker: String,
    fleet: String,
    link: String,
    reason: &'static str,
    reason_meaning: &'static str,
    /// Nobody needs to read on each line that all is well.
    explain: bool,
    issues: Vec<String>,
    /// Where it says what to do, if somebody should.
    runbook: Option<String>,
    score: String,
    since: String,
    since_title: String,
    beat: String,
    beat_title: String,
}

struct Fleet {
    fleet: String,
    link: String,
    parts: Vec<Part>,
    summary: String,
    page: &'static str,
    team: String,
}

/// A piece of the bar of a fleet.
struct Part {
    word: &'static str,
    x: String,
    width: String,
}

struct Queue {
    name: String,
    place: String,
    task_type: &'static str,
    backlog: String,
    age: String,
    waiting: bool,
    added: String,
    taken: String,
    pollers: String,
    unpolled: bool,
    workers: String,
}

struct Source {
    source: String,
    kind: &'static str,
    class: &'static str,
    word: &'static str,
    note: String,
    workers: u64,
    requests: u64,
    success: String,
    success_title: String,
}

/// The address of this page with these choices.
fn link(base: &str, fleets: &[String], states: &[State], limit: Option<usize>) -> String {
    let mut parts: Vec<String> = fleets.iter().map(|fleet| format!("fleet={}", encode(fleet))).collect();
    parts.extend(states.iter().map(|state| format!("state={}", state.word())));
    parts.extend(limit.map(|limit| format!("limit={limit}")));
    if parts.is_empty() { format!("{base}/") } else { format!("{base}/?{}", parts.join("&")) }
}

impl Page {
    pub(super) fn new(snapshot: &Snapshot, filter: &Filter, base: &str, telemetry: &str, now: WallTime) -> Self {
        // The counts are of the chosen fleets, whatever state is chosen: they are how a state is chosen.
        let of_fleets = Filter { states: Vec::new(), ..filter.clone() };
        let all: Vec<&WorkerView> = snapshot.workers.iter().filter(|worker| of_fleets.takes(worker)).collect();
        let mut shown: Vec<&WorkerView> = all.iter().filter(|worker| filter.takes(worker)).copied().collect();
        shown.sort_by(|a, b| worst_first(a).cmp(&worst_first(b)).then_with(|| a.key.cmp(&b.key)));
        let limit = filter.limit.unwrap_or(ROWS);
        let counts = WORST.iter().map(|state| Count {
            word: state.word(),
            meaning: state.meaning(),
            number: all.iter().filter(|worker| worker.state == *state).count(),
            link: link(base, &filter.fleets, &[*state], None),
            chosen: filter.states == [*state],
        });
        let (mood, headline) = headline(&all, snapshot);
        let mut queues: Vec<&QueueView> = snapshot.queues.iter().collect();
        queues.sort_by_key(|queue| (!queue.waiting, std::cmp::Reverse(queue.backlog)));
        let chosen: Vec<String> = filter
            .fleets
            .iter()
            .map(|fleet| format!("fleet {fleet}"))
            .chain(filter.states.iter().map(|state| format!("state {state}")))
            .collect();
        Self {
            title: format!("{headline} · worker-exporter"),
            base: base.to_owned(),
            telemetry: telemetry.to_owned(),
            version: env!("CARGO_PKG_VERSION"),
            mood,
            taken: snapshot.taken_wall.seconds().to_string(),
            taken_ago: format!("{} ago", ago(Some(snapshot.taken_wall), now)),
            taken_title: absolute(Some(snapshot.taken_wall)),
            notices: notices(snapshot, now),
            total: all.len(),
            unfiltered: filter.states.is_empty(),
            everything: link(base, &filter.fleets, &[], None),
            chosen: chosen.join(", "),
            counts: counts.collect(),
            more: shown.len().saturating_sub(limit),
            more_link: link(base, &filter.fleets, &filter.states, Some((limit * 5).min(5000))),
            workers: shown.into_iter().take(limit).map(|view| worker(view, base, now)).collect(),
            fleets: snapshot
                .fleets
                .iter()
                .filter(|view| takes_fleet(filter, view))
                .map(|view| fleet(view, base))
                .collect(),
            few_fleets: snapshot.fleets.len() <= FEW_FLEETS,
            more_queues: queues.len().saturating_sub(QUEUES),
            queues: queues.into_iter().take(QUEUES).map(queue).collect(),
            sources: snapshot.sources.iter().map(|view| source(view, now)).collect(),
            headline,
        }
    }
}

fn takes_fleet(filter: &Filter, view: &FleetView) -> bool {
    filter.fleets.is_empty() || filter.fleets.iter().any(|fleet| **fleet == *view.fleet)
}

/// State, then those that warn, then the lowest score, then the latest change.
fn worst_first(worker: &WorkerView) -> (usize, bool, u64, std::cmp::Reverse<WallTime>) {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a score lies between 0 and 1")]
    let score = worker.score.map_or(2000, |score| (score.clamp(0.0, 1.0) * 1000.0) as u64);
    (rank(worker.state), worker.status == Status::Healthy, score, std::cmp::Reverse(worker.since))
}

/// One sentence for somebody who was just woken.
fn headline(workers: &[&WorkerView], snapshot: &Snapshot) -> (&'static str, String) {
    let of = |status: Status| workers.iter().filter(|worker| worker.status == status).count();
    let noun = |n: usize| if n == 1 { "worker" } else { "workers" };
    let total = workers.len();
    let (critical, warning, unknown) = (of(Status::Critical), of(Status::Warning), of(Status::Unknown));
    if !snapshot.observer_trusted {
        return ("warn", "The exporter does not trust its own sight".to_owned());
    }
    if total == 0 {
        return ("", "No workers are known".to_owned());
    }
    let of_all = |n: usize| format!("{n} of {total} {}", noun(total));
    match (critical, warning, unknown) {
        (0, 0, 0) if total == 1 => ("good", "The one worker takes work".to_owned()),
        (0, 0, 0) => ("good", format!("All {total} workers take work")),
        (0, 0, n) if n == total => ("", "Nothing can be said of any worker yet".to_owned()),
        (0, 0, n) => ("", format!("Nothing can be said of {}", of_all(n))),
        (0, n, _) => ("warn", format!("{} to look at in working hours", of_all(n))),
        (1, ..) => ("bad", format!("{} needs you now", of_all(1))),
        (n, ..) => ("bad", format!("{} need you now", of_all(n))),
    }
}

/// What casts doubt on everything else on the page.
fn notices(snapshot: &Snapshot, now: WallTime) -> Vec<String> {
    let mut notices = Vec::new();
    let age = now.seconds_since(snapshot.taken_wall);
    if age > STALE {
        notices
            .push(format!("The snapshot is {} old: the exporter itself is stuck. Nothing here is current.", span(age)));
    }
    if !snapshot.observer_trusted {
        notices.push("The exporter was suspended or starved; limits are being re-armed, and states hold.".to_owned());
    }
    for source in &snapshot.sources {
        if let (Some(false), Some(failure)) = (source.up, source.failure) {
            notices.push(format!("Source {} fails ({failure}): {}", source.source, failure.meaning()));
        }
        if !source.trusted {
            let note =
                source.note.as_deref().unwrap_or("its workers fell silent together, so their states hold for now.");
            notices.push(format!("Source {} is not believed: {note}", source.source));
        }
    }
    notices
}

fn worker(view: &WorkerView, base: &str, now: WallTime) -> Worker {
    let said = format!("{}: {}", view.reason, view.reason.meaning());
    Worker {
        state: view.state.word(),
        state_meaning: view.state.meaning(),
        worker: view.key.worker.to_string(),
        fleet: view.key.fleet.to_string(),
        link: format!("{base}/health/workers/{}?fleet={}", encode(&view.key.worker), encode(&view.key.fleet)),
        reason: view.reason.word(),
        reason_meaning: view.reason.meaning(),
        explain: view.reason != Reason::Ok,
        // The reason and its meaning stand above them already.
        issues: view.issues.iter().filter(|issue| **issue != said).take(ISSUES).cloned().collect(),
        runbook: bundle::advice(view.state, view.reason).map(|alert| {
            let (fleet, worker) = (encode(&view.key.fleet), encode(&view.key.worker));
            // A runbook about a source takes no worker, and does not mind one.
            format!("{base}/runbooks/{alert}?fleet={fleet}&worker={worker}")
        }),
        score: decimal(view.score),
        since: ago(Some(view.since), now),
        since_title: absolute(Some(view.since)),
        beat: ago(view.last_heartbeat, now),
        beat_title: absolute(view.last_heartbeat),
    }
}

#[expect(clippy::cast_precision_loss, reason = "a bar is drawn to a hundredth")]
fn fleet(view: &FleetView, base: &str) -> Fleet {
    let total: u64 = view.workers.iter().sum();
    // A fleet that lacks workers has a bar that is not full.
    let whole = total.max(view.expected_workers.unwrap_or(0)).max(1) as f64;
    let present: Vec<(State, u64)> =
        WORST.iter().map(|state| (*state, view.count(*state))).filter(|(_, count)| *count > 0).collect();
    let mut x = 0.0;
    let parts = present.iter().map(|(state, count)| {
        let width = 100.0 * *count as f64 / whole;
        let part = Part { word: state.word(), x: format!("{x:.2}"), width: format!("{width:.2}") };
        x += width;
        part
    });
    let parts = parts.collect();
    let mut words: Vec<String> = present.iter().map(|(state, count)| format!("{count} {state}")).collect();
    if words.is_empty() {
        words.push("no workers".to_owned());
    }
    if let Some(expected) = view.expected_workers {
        words.push(format!("{expected} expected"));
    }
    Fleet {
        fleet: view.fleet.to_string(),
        link: link(base, &[view.fleet.to_string()], &[], None),
        parts,
        summary: words.join(", "),
        page: match view.page {
            verdict::rules::Page::Worker => "each worker",
            verdict::rules::Page::Fleet => "the fleet",
        },
        team: view.team.to_string(),
    }
}

fn queue(view: &QueueView) -> Queue {
    let mut workers = vec![format!("{} polling", view.workers_polling)];
    for (count, word) in [(view.workers_full, "full"), (view.workers_silent, "silent")] {
        if count > 0 {
            workers.push(format!("{count} {word}"));
        }
    }
    if view.rate_limited == Some(true) {
        workers.push("rate limited".to_owned());
    }
    if let Some(failure) = view.failure {
        workers.push(format!("last look failed: {failure}"));
    }
    workers.extend(view.issues.iter().cloned());
    let place = [&*view.key.source, &*view.key.namespace];
    let place: Vec<&str> = place.into_iter().filter(|part| !part.is_empty()).collect();
    Queue {
        name: view.key.task_queue.to_string(),
        place: place.join(" · "),
        task_type: view.key.task_type.word(),
        backlog: number(view.backlog),
        age: view.backlog_age_seconds.map_or_else(|| NOTHING.to_owned(), span),
        waiting: view.waiting,
        added: decimal(view.add_rate),
        taken: decimal(view.dispatch_rate),
        pollers: number(view.pollers),
        unpolled: view.pollers == Some(0) && (view.expected || view.waiting),
        workers: workers.join(", "),
    }
}

fn source(view: &SourceView, now: WallTime) -> Source {
    let (class, word) = match (view.up, view.trusted) {
        (Some(false), _) => ("degraded", "fails"),
        (_, false) => ("degraded", "not believed"),
        (None, true) => ("unknown", "not tried yet"),
        (Some(true), true) => ("healthy", "works"),
    };
    let failure =
        view.failure.filter(|_| view.up == Some(false)).map(|failure| format!("{failure}: {}", failure.meaning()));
    let notes: Vec<String> = failure.into_iter().chain(view.note.clone()).collect();
    Source {
        source: view.source.to_string(),
        kind: view.kind.word(),
        class,
        word,
        note: notes.join(" "),
        workers: view.workers,
        requests: view.requests,
        success: ago(view.last_success, now),
        success_title: absolute(view.last_success),
    }
}
