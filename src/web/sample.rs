//! Snapshots made by hand, for the tests of this room. Fakes, since they must hold what no fleet shows at one time:
//! every state, every check, every number, and names that an attacker would choose.

use std::sync::Arc;
use std::time::Duration;

use verdict::evidence::{Info, Model, QueueKey, Said, TypeReport, Version, WorkerKey};
use verdict::rules::Page;
use verdict::snapshot::{
    ChannelView, CheckView, Finding, FleetView, Histogram, NumbersView, QueueView, Snapshot, SourceView, VersionView,
    WorkView, WorkerView,
};
use verdict::time::{Moment, WallTime};
use verdict::words::{
    ChannelKind, Check, Failure, Reason, SourceKind, State, Status, TaskFailure, TaskType, VersionStatus,
};

/// When all samples are taken.
pub(crate) const NOW: WallTime = WallTime::from_micros(1_800_000_000_000_000);

/// A name with everything that could break out of something.
pub(crate) const NAUGHTY: &str = "a\"b\\c\nd <script>alert(1)</script> 'x' &amp; ../é☃{}/?#%";

fn earlier(seconds: u64) -> WallTime {
    NOW - Duration::from_secs(seconds)
}

/// A worker of which nothing is known but its state.
pub(crate) fn worker(fleet: &str, worker: &str, state: State, reason: Reason) -> WorkerView {
    let status = match state {
        State::Unknown | State::Starting => Status::Unknown,
        State::Healthy if reason == Reason::Ok => Status::Healthy,
        State::Healthy | State::Draining => Status::Warning,
        State::Degraded | State::Stuck | State::Down => Status::Critical,
    };
    WorkerView {
        key: WorkerKey::new(fleet, worker),
        state,
        reason,
        status,
        since: earlier(300),
        changes: 1,
        restarts: 0,
        score: None,
        checks: Vec::new(),
        issues: Vec::new(),
        would_change: Vec::new(),
        channels: Vec::new(),
        sources: vec!["probes".into()],
        notes: Vec::new(),
        info: Info::default(),
        numbers: NumbersView::default(),
        types: Vec::new(),
        task_queues: Vec::new(),
        last_check: Some(earlier(1)),
        last_heartbeat: None,
        heartbeat_interval: None,
        last_progress: None,
        clock_skew: None,
        certificate: None,
        tasks_total: None,
        tasks_failed_total: None,
        shared_cause: None,
    }
}

/// A worker of which everything is known that can be: more than any source shows.
pub(crate) fn full(fleet: &str, id: &str) -> WorkerView {
    let text = |text: &str| Some(Arc::from(text));
    let types = TaskType::ALL.iter().map(|task_type| TypeReport {
        task_type: *task_type,
        used: Some(3),
        available: Some(97),
        processed: Some(1234),
        failed: Some(5),
        pollers: Some(5),
        last_poll: Some(earlier(7)),
        stamps_empty_polls: true,
        proven: true,
    });
    WorkerView {
        score: Some(0.85),
        checks: Check::ALL
            .iter()
            .zip([Finding::Pass, Finding::Warning, Finding::Critical].into_iter().cycle())
            .map(|(check, finding)| CheckView {
                check: *check,
                finding: Some(finding),
                weight: 1.0,
                why: "because".to_owned(),
            })
            .collect(),
        issues: vec!["its disk is 91 % full".to_owned()],
        would_change: vec!["a beat within 3 s".to_owned()],
        channels: vec![ChannelView {
            source: "probes".into(),
            kind: ChannelKind::Beat,
            what: String::from("heartbeat"),
            silent_seconds: 1.5,
            warning_seconds: 2.5,
            critical_seconds: 5.0,
            last_moved: Some(earlier(2)),
            moves: 17,
            misses: 0,
            failure: Some(Failure::Timeout),
            said: Some(Said::Up),
        }],
        info: Info {
            host: text("host-1"),
            pod: text("pod-1"),
            pid: text("4711"),
            instance: text("f3"),
            sdk_name: text("temporal-python"),
            sdk_version: text("1.35.0"),
            build_id: text("v7"),
            deployment: text("mail"),
            start_time: Some(earlier(86_400)),
        },
        numbers: NumbersView {
            in_flight: Some(3),
            waiting: Some(0),
            cpu_ratio: Some(0.25),
            memory_bytes: Some(512 << 20),
            memory_limit_bytes: Some(1 << 30),
            memory_ratio: Some(0.5),
            host_cpu_ratio: Some(0.1),
            host_memory_ratio: Some(0.6),
            disk_ratio: Some(0.91),
            gpu_ratio: Some(0.4),
            gpu_memory_ratio: Some(0.7),
            model: Some(Model::Loaded),
        },
        types: types.collect(),
        task_queues: vec!["mail".into()],
        last_heartbeat: Some(earlier(2)),
        heartbeat_interval: Some(Duration::from_secs(1)),
        last_progress: Some(earlier(3)),
        clock_skew: Some(-0.012),
        certificate: Some(NOW + Duration::from_secs(30 * 86_400)),
        tasks_total: Some(12_345),
        tasks_failed_total: Some(67),
        shared_cause: Some("node-3".to_owned()),
        ..worker(fleet, id, State::Healthy, Reason::Warning)
    }
}

fn queue_key(source: &str, task_queue: &str, task_type: TaskType) -> QueueKey {
    QueueKey { source: source.into(), namespace: "default".into(), task_queue: task_queue.into(), task_type }
}

fn queue(key: QueueKey, backlog: u64) -> QueueView {
    QueueView {
        key,
        backlog: Some(backlog),
        backlog_age_seconds: Some(if backlog > 0 { 111.0 } else { 0.0 }),
        add_rate: Some(1.25),
        dispatch_rate: Some(0.5),
        rate_limited: Some(false),
        pollers: Some(u64::from(backlog == 0) * 5),
        pollers_incomplete: Some(false),
        waiting: backlog > 0,
        expected: true,
        workers_polling: 4,
        workers_full: 1,
        workers_silent: u64::from(backlog > 0),
        last_success: Some(earlier(2)),
        failure: None,
        versions: Vec::new(),
        issues: Vec::new(),
    }
}

/// A new version is current and nobody polls for it, while the one before it drains.
fn deployed(queue: QueueView) -> QueueView {
    let version = |build: &str, status, pollers, backlog| VersionView {
        version: Version::new("shop", build),
        status,
        ramp_ratio: None,
        pollers: Some(pollers),
        backlog: Some(backlog),
        backlog_age_seconds: Some(if backlog > 0 { 111.0 } else { 0.0 }),
    };
    QueueView {
        versions: vec![version("v2", VersionStatus::Current, 0, 60), version("v1", VersionStatus::Draining, 4, 0)],
        issues: vec!["no worker polls for shop:v2, the current version: new work waits".to_owned()],
        ..queue
    }
}

/// A source that works.
pub(crate) fn source(name: &str, kind: SourceKind) -> SourceView {
    let mut durations = Histogram::default();
    for value in [0.004, 0.02, 0.3, 4000.0] {
        durations.record(value);
    }
    SourceView {
        source: name.into(),
        kind,
        up: Some(true),
        trusted: true,
        failure: None,
        last_success: Some(earlier(1)),
        requests: 4321,
        throttled: 0,
        errors: vec![(Failure::Timeout, 3)],
        durations,
        workers: 12,
        namespace: if kind == SourceKind::Temporal { "default".into() } else { "".into() },
        timed_out: (kind == SourceKind::Temporal).then_some(2),
        note: None,
    }
}

/// What workers measure themselves.
fn work() -> WorkView {
    let mut took = Histogram::default();
    [0.02, 0.3, 7.0].into_iter().for_each(|value| took.record(value));
    WorkView {
        durations: vec![(TaskType::Activity, took.clone())],
        schedule_to_start: vec![(TaskType::Activity, took.clone())],
        sticky_hits: Some(40),
        sticky_misses: Some(2),
        requests_failed: vec![("PollActivityTaskQueue".into(), "unavailable", 3)],
        request_durations: Some(took),
        task_failures: TaskFailure::ALL.iter().map(|reason| (*reason, 0)).collect(),
        unregistered_activities: Some(1),
    }
}

/// A fleet with the workers of these counts, in the order of the states.
pub(crate) fn fleet(name: &str, workers: [u64; 7]) -> FleetView {
    FleetView {
        fleet: name.into(),
        page: Page::Worker,
        team: "night".into(),
        workers,
        expected_workers: Some(12),
        tasks_completed: vec![(TaskType::Activity, 900)],
        tasks_failed: Vec::new(),
        work: work(),
        slots: vec![(TaskType::Activity, 5, Some(95)), (TaskType::Workflow, 3, None)],
        queues: vec![queue_key("cluster", "mail", TaskType::Activity)],
        sources: vec!["cluster".into()],
    }
}

/// A bad night, with everything in it.
pub(crate) fn night() -> Snapshot {
    let beaten = |view: WorkerView, seconds: u64, score: f64, issue: &str| WorkerView {
        last_heartbeat: Some(earlier(seconds)),
        score: Some(score),
        issues: vec![issue.to_owned()],
        ..view
    };
    let mut workers = vec![
        beaten(worker("mail", "mail-3", State::Down, Reason::Stale), 340, 0.0, "no heartbeat for 340 s, limit 5 s"),
        beaten(
            worker("mail", "mail-4", State::Stuck, Reason::TasksNotProcessed),
            1,
            0.38,
            "100 of 100 workflow slots are used, nothing was processed for 111 s, and 60 workflow tasks wait",
        ),
        beaten(worker("gpu", "gpu-1", State::Degraded, Reason::CheckResources), 2, 0.66, "GPU memory is 93 % full"),
        worker("gpu", "gpu-2", State::Unknown, Reason::SourceFailed),
        worker("mail", "mail-9", State::Starting, Reason::AwaitingBeat),
        beaten(worker("mail", "mail-8", State::Draining, Reason::ShuttingDown), 1, 1.0, "it is shutting down"),
        full("reports", "nightly"),
        worker("reports", NAUGHTY, State::Down, Reason::NeverBeat),
    ];
    for at in 10..24 {
        workers.push(WorkerView {
            last_heartbeat: Some(earlier(1)),
            score: Some(1.0),
            ..worker("mail", &format!("mail-{at}"), State::Healthy, Reason::Ok)
        });
    }
    // What the full worker has too much of to show.
    let all = full("gpu", "gpu-3");
    workers.push(WorkerView {
        numbers: all.numbers,
        clock_skew: all.clock_skew,
        certificate: all.certificate,
        info: all.info,
        types: all.types.into_iter().take(1).collect(),
        score: Some(1.0),
        last_heartbeat: all.last_heartbeat,
        ..worker("gpu", "gpu-3", State::Healthy, Reason::Ok)
    });
    workers.sort_by(|a, b| a.key.cmp(&b.key));
    let mut broken = source("cache", SourceKind::Redis);
    broken.up = Some(false);
    broken.failure = Some(Failure::Refused);
    Snapshot {
        taken: Moment::after_start(Duration::from_secs(100)),
        taken_wall: NOW,
        fleets: vec![
            fleet("gpu", [1, 0, 1, 1, 0, 0, 0]),
            fleet("mail", [0, 1, 14, 0, 1, 1, 1]),
            FleetView { expected_workers: None, ..fleet("reports", [0, 0, 1, 0, 0, 0, 1]) },
        ],
        queues: vec![
            deployed(queue(queue_key("cluster", "mail", TaskType::Workflow), 60)),
            queue(queue_key("cluster", "mail", TaskType::Activity), 0),
        ],
        sources: vec![source("probes", SourceKind::Http), source("cluster", SourceKind::Temporal), broken],
        observer_trusted: true,
        late_ticks: 1,
        leftover_records: 2,
        workers,
    }
}
