//! Every rule of reading, on messages as a real server 1.32 and real workers send them, and as they might.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, deprecated, reason = "a test fails by panicking")]

use prost_wkt_types::Duration as Span;
use temporalio_protos::temporal::api::deployment::v1::WorkerDeploymentOptions;
use temporalio_protos::temporal::api::taskqueue::v1::{TaskQueueStats, TaskQueueVersioningInfo};
use temporalio_protos::temporal::api::worker::v1::WorkerHostInfo;

use super::*;

const UNVERSIONED: &str = "__unversioned__";

fn stamp(seconds: i64) -> Option<Timestamp> {
    Some(Timestamp { seconds, nanos: 500_000_000 })
}

fn slots(used: i32, available: i32, processed: i32, failed: i32) -> Option<WorkerSlotsInfo> {
    Some(WorkerSlotsInfo {
        current_used_slots: used,
        current_available_slots: available,
        slot_supplier_kind: "Fixed".into(),
        total_processed_tasks: processed,
        total_failed_tasks: failed,
        ..WorkerSlotsInfo::default()
    })
}

fn pollers(current: i32, last: Option<Timestamp>) -> Option<WorkerPollerInfo> {
    Some(WorkerPollerInfo { current_pollers: current, last_successful_poll_time: last, is_autoscaling: true })
}

/// A Python worker with workflows and activities, as it was seen.
fn python() -> WorkerHeartbeat {
    WorkerHeartbeat {
        worker_instance_key: "210ea946".into(),
        worker_identity: "4711@box".into(),
        host_info: Some(WorkerHostInfo {
            host_name: "box".into(),
            process_id: "4711".into(),
            current_host_cpu_usage: 0.25,
            current_host_mem_usage: 0.5,
            ..WorkerHostInfo::default()
        }),
        task_queue: "orders".into(),
        deployment_version: Some(WorkerDeploymentVersion { build_id: "4cd3".into(), deployment_name: String::new() }),
        sdk_name: "temporal-python".into(),
        sdk_version: "1.35.0".into(),
        status: 1,
        start_time: stamp(1000),
        heartbeat_time: stamp(2000),
        elapsed_since_last_heartbeat: Some(Span { seconds: 1, nanos: 1_000_000 }),
        workflow_task_slots_info: slots(2, 98, 80, 1),
        activity_task_slots_info: slots(1, 3, 22, 3),
        nexus_task_slots_info: slots(0, 0, 0, 0),
        local_activity_slots_info: slots(0, 100, 7, 0),
        workflow_poller_info: pollers(1, stamp(1990)),
        workflow_sticky_poller_info: pollers(4, stamp(1995)),
        activity_poller_info: pollers(4, None),
        nexus_poller_info: pollers(0, None),
        ..WorkerHeartbeat::default()
    }
}

fn names(fleet: Option<&str>) -> Names {
    Names::new(fleet.map(Arc::from), Arc::from("default"))
}

fn with<T>(names: &mut Names, read: impl FnOnce(&mut Reader<'_>) -> T) -> T {
    read(&mut Reader { names, match_host_pid: false, now: Moment::START })
}

fn seen(beat: &WorkerHeartbeat) -> Observation {
    with(&mut names(None), |reader| reader.worker(beat)).unwrap().unwrap()
}

fn of_type(beat: &WorkerHeartbeat, task_type: TaskType) -> Option<TypeReport> {
    seen(beat).types.into_iter().find(|report| report.task_type == task_type)
}

fn micros(seconds: i64) -> Option<WallTime> {
    Some(WallTime::from_micros(seconds * 1_000_000 + 500_000))
}

#[test]
fn a_heartbeat_is_read_whole() {
    let seen = seen(&python());
    assert_eq!(&*seen.record, "210ea946");
    assert_eq!(seen.slot.key.fleet.as_ref(), "default/orders");
    assert_eq!(seen.slot.key.worker.as_ref(), "box/orders");
    assert!(!seen.slot.exclusive);
    assert_eq!(seen.identity.as_deref(), Some("4711@box"));
    assert_eq!(seen.alias, None, "not asked for");
    let beat = seen.beat.unwrap();
    assert_eq!(beat.stamp, micros(2000));
    assert_eq!(beat.mark, micros(2000).map(Mark::stamp));
    assert_eq!(beat.declared, Some(Duration::from_millis(1001)));
    assert!(!beat.own_answer && !beat.on_trial);
    assert_eq!(seen.says, Says::default());
    assert_eq!(seen.task_queues, [Arc::from("orders")]);
    assert_eq!(
        seen.info,
        Info {
            host: Some("box".into()),
            pod: None,
            pid: Some("4711".into()),
            instance: Some("210ea946".into()),
            sdk_name: Some("temporal-python".into()),
            sdk_version: Some("1.35.0".into()),
            build_id: Some("4cd3".into()),
            deployment: None,
            start_time: micros(1000),
        }
    );
    assert_eq!(seen.reach, None);
    assert_eq!(seen.expires_in, None);
}

#[test]
fn workflow_and_sticky_pollers_are_one_loop() {
    assert_eq!(
        of_type(&python(), TaskType::Workflow),
        Some(TypeReport {
            task_type: TaskType::Workflow,
            used: Some(2),
            available: Some(98),
            processed: Some(80),
            failed: Some(1),
            pollers: Some(5),
            last_poll: micros(1995),
            stamps_empty_polls: true,
            proven: true,
        })
    );
    let mut swapped = python();
    std::mem::swap(&mut swapped.workflow_poller_info, &mut swapped.workflow_sticky_poller_info);
    assert_eq!(of_type(&swapped, TaskType::Workflow).unwrap().last_poll, micros(1995), "the newer, whichever it is");
}

#[test]
fn a_type_that_never_polled_with_success_has_no_stamp() {
    let activity = of_type(&python(), TaskType::Activity).unwrap();
    assert_eq!((activity.pollers, activity.last_poll), (Some(4), None));
}

#[test]
fn a_type_that_the_worker_does_not_serve_is_not_reported() {
    let served = |beat: &WorkerHeartbeat| seen(beat).types.iter().map(|report| report.task_type).collect::<Vec<_>>();
    assert_eq!(served(&python()), [TaskType::Workflow, TaskType::Activity, TaskType::LocalActivity]);
    // An activity-only Python worker, as seen: a record for each type, zeros in all but one.
    let activity_only = WorkerHeartbeat {
        workflow_task_slots_info: slots(0, 0, 0, 0),
        workflow_poller_info: pollers(0, None),
        workflow_sticky_poller_info: pollers(0, None),
        local_activity_slots_info: slots(0, 0, 0, 0),
        ..python()
    };
    assert_eq!(served(&activity_only), [TaskType::Activity]);
    // Another SDK may leave the records out.
    let bare = WorkerHeartbeat { workflow_task_slots_info: None, local_activity_slots_info: None, ..activity_only };
    assert_eq!(served(&bare), [TaskType::Activity]);
}

#[test]
fn a_full_or_a_silent_type_is_still_served() {
    let full = WorkerHeartbeat {
        activity_task_slots_info: slots(4, 0, 0, 0),
        activity_poller_info: pollers(0, None),
        ..python()
    };
    let activity = of_type(&full, TaskType::Activity).unwrap();
    assert_eq!((activity.used, activity.available, activity.pollers), (Some(4), Some(0), Some(0)));
    let polled_once = WorkerHeartbeat {
        activity_task_slots_info: slots(0, 0, 0, 0),
        activity_poller_info: pollers(0, stamp(1900)),
        ..python()
    };
    assert!(of_type(&polled_once, TaskType::Activity).is_some());
}

/// Java 1.38 that serves activities alone, as seen: slots for every type, pollers for one.
fn java() -> WorkerHeartbeat {
    WorkerHeartbeat {
        sdk_name: "temporal-java".into(),
        workflow_task_slots_info: slots(0, 100, 0, 0),
        activity_task_slots_info: slots(0, 100, 0, 0),
        nexus_task_slots_info: slots(0, 100, 0, 0),
        local_activity_slots_info: slots(0, 100, 0, 0),
        workflow_poller_info: pollers(0, None),
        workflow_sticky_poller_info: pollers(0, None),
        activity_poller_info: pollers(5, None),
        nexus_poller_info: pollers(0, None),
        ..python()
    }
}

#[test]
fn free_slots_of_a_java_worker_do_not_prove_that_it_serves_a_type() {
    let proven = |beat: &WorkerHeartbeat| {
        seen(beat).types.iter().filter(|report| report.proven).map(|report| report.task_type).collect::<Vec<_>>()
    };
    assert_eq!(proven(&java()), [TaskType::Activity]);
    assert_eq!(of_type(&java(), TaskType::Workflow).unwrap().available, Some(100), "mentioned, and not proven");
    let worked = WorkerHeartbeat { workflow_task_slots_info: slots(0, 100, 1, 0), ..java() };
    assert_eq!(proven(&worked), [TaskType::Workflow, TaskType::Activity]);
    let polled = WorkerHeartbeat { workflow_sticky_poller_info: pollers(0, stamp(1900)), ..java() };
    assert_eq!(proven(&polled), [TaskType::Workflow, TaskType::Activity]);
    assert_eq!(proven(&python()), [TaskType::Workflow, TaskType::Activity, TaskType::LocalActivity]);
}

#[test]
fn a_supplier_of_go_that_names_no_maximum_has_unknown_free_slots_and_not_none() {
    let free = |used, available, kind: &str| {
        let mut slots = slots(used, available, 8, 0);
        slots.as_mut().unwrap().slot_supplier_kind = kind.into();
        let beat = WorkerHeartbeat { sdk_name: "temporal-go".into(), activity_task_slots_info: slots, ..python() };
        of_type(&beat, TaskType::Activity).unwrap().available
    };
    assert_eq!(free(0, 0, "Custom"), None, "as seen");
    assert_eq!(free(3, 0, "ResourceBased"), None);
    assert_eq!(free(2, 0, "Fixed"), Some(0), "full");
    assert_eq!(free(2, 0, "Custom"), Some(0), "may be full");
    assert_eq!(free(1, 1, "Custom"), Some(1));
    let full = WorkerHeartbeat { activity_task_slots_info: slots(4, 0, 0, 0), ..python() };
    assert_eq!(
        of_type(&full, TaskType::Activity).unwrap().available,
        Some(0),
        "the core says -1 where there is no maximum"
    );
}

#[test]
fn a_type_that_go_mentions_with_zeros_is_not_proven() {
    let beat = WorkerHeartbeat {
        sdk_name: "temporal-go".into(),
        workflow_task_slots_info: slots(0, 0, 0, 0),
        workflow_poller_info: pollers(0, None),
        workflow_sticky_poller_info: pollers(0, None),
        nexus_task_slots_info: None,
        ..python()
    };
    assert!(!of_type(&beat, TaskType::Workflow).unwrap().proven);
    assert!(of_type(&beat, TaskType::Activity).unwrap().proven);
    assert_eq!(of_type(&beat, TaskType::Nexus), None);
}

#[test]
fn unbounded_slots_and_overflown_counters_are_unknown() {
    let beat = WorkerHeartbeat { activity_task_slots_info: slots(3, -1, i32::MIN, i32::MIN), ..python() };
    let activity = of_type(&beat, TaskType::Activity).unwrap();
    assert_eq!((activity.used, activity.available, activity.processed, activity.failed), (Some(3), None, None, None));
    let numbers = seen(&beat).numbers;
    assert_eq!((numbers.tasks_total, numbers.tasks_failed), (None, None), "a sum with an unknown part is unknown");
    assert_eq!(numbers.in_flight, Some(5));
}

#[test]
fn the_sums_leave_out_local_activities_which_run_inside_workflow_tasks() {
    let numbers = seen(&python()).numbers;
    assert_eq!((numbers.tasks_total, numbers.tasks_failed, numbers.in_flight), (Some(102), Some(4), Some(3)));
}

#[test]
fn a_worker_without_any_type_has_no_sums() {
    let beat =
        WorkerHeartbeat { worker_instance_key: "k".into(), task_queue: "q".into(), ..WorkerHeartbeat::default() };
    let seen = seen(&beat);
    assert!(seen.types.is_empty());
    assert_eq!(seen.numbers, Numbers::default());
}

#[test]
fn the_host_is_shown_as_ratios_and_two_zeros_are_not_a_measurement() {
    let numbers = seen(&python()).numbers;
    assert_eq!((numbers.host_cpu_ratio, numbers.host_memory_ratio), (Some(0.25), Some(0.5)));
    let host = |cpu, memory| {
        let mut beat = python();
        let host = beat.host_info.as_mut().unwrap();
        (host.current_host_cpu_usage, host.current_host_mem_usage) = (cpu, memory);
        let numbers = seen(&beat).numbers;
        (numbers.host_cpu_ratio, numbers.host_memory_ratio)
    };
    assert_eq!(host(0.0, 0.0), (None, None));
    assert_eq!(host(0.0, 0.5), (Some(0.0), Some(0.5)), "an idle host is a measurement");
    assert_eq!(host(f32::NAN, 0.5), (None, Some(0.5)));
    assert_eq!(host(1.000_001, 0.5), (Some(1.0), Some(0.5)));
    let mut none = python();
    none.host_info = None;
    assert_eq!(seen(&none).numbers.host_cpu_ratio, None);
}

#[test]
fn a_record_that_never_beat_has_a_place_for_a_beat_and_nothing_in_it() {
    for never in [None, Some(Timestamp::default()), Some(Timestamp { seconds: -62_135_596_800, nanos: 0 })] {
        let beat = seen(&WorkerHeartbeat { heartbeat_time: never, ..python() }).beat.unwrap();
        assert_eq!((beat.mark, beat.stamp), (None, None), "{never:?}");
    }
    let mad = Some(Timestamp { seconds: i64::MAX, nanos: 0 });
    assert_eq!(seen(&WorkerHeartbeat { heartbeat_time: mad, ..python() }).beat.unwrap().stamp, None);
}

#[test]
fn the_cadence_is_declared_between_one_second_and_sixty() {
    let declared = |elapsed| {
        seen(&WorkerHeartbeat { elapsed_since_last_heartbeat: elapsed, ..python() }).beat.unwrap().declared.unwrap()
    };
    assert_eq!(declared(None), Duration::from_secs(60), "the first beat declares none");
    assert_eq!(declared(Some(Span::default())), Duration::from_secs(60));
    assert_eq!(declared(Some(Span { seconds: -3, nanos: 0 })), Duration::from_secs(60));
    assert_eq!(declared(Some(Span { seconds: 30, nanos: 0 })), Duration::from_secs(30));
    assert_eq!(declared(Some(Span { seconds: 0, nanos: 4_000_000 })), Duration::from_secs(1), "the beat at a shutdown");
    assert_eq!(declared(Some(Span { seconds: 7200, nanos: 0 })), Duration::from_secs(60), "a suspended machine");
}

#[test]
fn shutting_down_is_a_goodbye_and_an_unknown_status_is_not() {
    for (status, goodbye) in [(0, false), (1, false), (2, true), (3, true), (99, false), (-1, false)] {
        assert_eq!(seen(&WorkerHeartbeat { status, ..python() }).says.goodbye, goodbye, "{status}");
    }
}

#[test]
fn only_the_sdks_on_the_common_core_stamp_empty_polls() {
    for (sdk, stamps) in [
        ("temporal-python", true),
        ("temporal-typescript", true),
        ("temporal-dotnet", true),
        ("temporal-ruby", true),
        ("temporal-go", false),
        ("temporal-java", false),
    ] {
        let beat = WorkerHeartbeat { sdk_name: sdk.into(), ..python() };
        assert!(seen(&beat).types.iter().all(|report| report.stamps_empty_polls == stamps), "{sdk}");
    }
}

#[test]
fn host_and_pid_join_records_only_when_asked_to() {
    let mut names = names(None);
    let mut reader = Reader { names: &mut names, match_host_pid: true, now: Moment::START };
    assert_eq!(reader.worker(&python()).unwrap().unwrap().alias.as_deref(), Some("box/4711"));
    let mut hostless = python();
    hostless.host_info = None;
    assert_eq!(reader.worker(&hostless).unwrap().unwrap().alias, None);
}

#[test]
fn a_record_that_cannot_be_placed_is_unreadable_and_a_system_worker_is_none() {
    let read = |beat: &WorkerHeartbeat| with(&mut names(None), |reader| reader.worker(beat));
    let keyless = WorkerHeartbeat { worker_instance_key: String::new(), ..python() };
    assert_eq!(read(&keyless).unwrap_err(), (Arc::from("4711@box"), Failure::FieldInvalid));
    let queueless = WorkerHeartbeat { task_queue: String::new(), ..python() };
    assert_eq!(read(&queueless).unwrap_err(), (Arc::from("210ea946"), Failure::FieldInvalid));
    for queue in ["temporal-sys-per-ns-tq", "/temporal-sys/worker-commands/x", "/_sys/orders/1"] {
        assert!(read(&WorkerHeartbeat { task_queue: queue.into(), ..python() }).unwrap().is_none(), "{queue}");
    }
}

#[test]
fn a_short_record_says_who_it_is_and_nothing_about_its_beat() {
    let long = python();
    let short = WorkerListInfo {
        worker_instance_key: long.worker_instance_key.clone(),
        worker_identity: long.worker_identity.clone(),
        task_queue: long.task_queue.clone(),
        deployment_version: long.deployment_version.clone(),
        sdk_name: long.sdk_name.clone(),
        sdk_version: long.sdk_version.clone(),
        status: 2,
        start_time: long.start_time,
        host_name: "box".into(),
        process_id: "4711".into(),
        ..WorkerListInfo::default()
    };
    let read = with(&mut names(None), |reader| reader.listed(&short)).unwrap().unwrap();
    let whole = seen(&long);
    assert_eq!((read.record, read.slot, read.info), (whole.record, whole.slot, whole.info));
    assert!(read.beat.is_none(), "a beat that was not read is not a silent one");
    assert!(read.types.is_empty());
    assert!(read.says.goodbye);
}

fn poller(identity: &str, second: i64) -> PollerInfo {
    PollerInfo { identity: identity.into(), last_access_time: stamp(second), ..PollerInfo::default() }
}

fn versioned(identity: &str, second: i64, build: &str, mode: i32) -> PollerInfo {
    PollerInfo {
        deployment_options: Some(WorkerDeploymentOptions {
            deployment_name: "orders".into(),
            build_id: build.into(),
            worker_versioning_mode: mode,
        }),
        ..poller(identity, second)
    }
}

fn build_of(poller: &Poller) -> Option<&str> {
    poller.version.as_ref().map(|version| &*version.build_id)
}

fn root(answer: &DescribeTaskQueueResponse) -> Polling {
    Polling { pollers: answer.pollers.clone(), ..Polling::default() }
}

fn queue(answer: &DescribeTaskQueueResponse) -> QueueReport {
    with(&mut names(None), |reader| reader.queue("orders", answer, &root(answer), None, &Known::default()))
}

#[test]
fn the_figures_of_a_queue_are_read() {
    let answer = DescribeTaskQueueResponse {
        stats: Some(TaskQueueStats {
            approximate_backlog_count: 60,
            approximate_backlog_age: Some(Span { seconds: 111, nanos: 0 }),
            tasks_add_rate: 0.5,
            tasks_dispatch_rate: 0.25,
            rate_limiting_active: false,
        }),
        ..DescribeTaskQueueResponse::default()
    };
    let report = with(&mut names(None), |reader| {
        reader.queue("orders", &answer, &root(&answer), Some(RateLimits::Reported), &Known::default())
    });
    assert_eq!(
        report,
        QueueReport {
            backlog: Some(60),
            backlog_age: Some(Duration::from_secs(111)),
            add_rate: Some(0.5),
            dispatch_rate: Some(0.25),
            rate_limited: Some(false),
            pollers: vec![],
            serving_builds: vec![],
            versions: vec![],
            partial: false,
            ends: [None; 2],
        }
    );
}

#[test]
fn a_server_without_statistics_says_nothing_rather_than_zero() {
    assert_eq!(queue(&DescribeTaskQueueResponse::default()), QueueReport::default());
}

#[test]
fn an_older_server_is_not_believed_to_deny_rate_limits() {
    let limited = |active| {
        let stats = TaskQueueStats { rate_limiting_active: active, ..TaskQueueStats::default() };
        let answer = DescribeTaskQueueResponse { stats: Some(stats), ..DescribeTaskQueueResponse::default() };
        let knows = with(&mut names(None), |reader| {
            reader.queue("q", &answer, &root(&answer), Some(RateLimits::Reported), &Known::default())
        });
        (queue(&answer).rate_limited, knows.rate_limited)
    };
    assert_eq!(limited(false), (None, Some(false)));
    assert_eq!(limited(true), (Some(true), Some(true)));
}

#[test]
fn nonsense_figures_are_zero_or_unknown() {
    let stats = TaskQueueStats {
        approximate_backlog_count: -4,
        approximate_backlog_age: None,
        tasks_add_rate: f32::NAN,
        tasks_dispatch_rate: -1.0,
        rate_limiting_active: false,
    };
    let report = queue(&DescribeTaskQueueResponse { stats: Some(stats), ..DescribeTaskQueueResponse::default() });
    assert_eq!((report.backlog, report.backlog_age), (Some(0), Some(Duration::ZERO)));
    assert_eq!((report.add_rate, report.dispatch_rate), (None, None));
}

#[test]
fn an_identity_that_comes_twice_is_one_poller_with_its_newest_access() {
    for order in [[10, 20], [20, 10]] {
        let answer = DescribeTaskQueueResponse {
            pollers: vec![
                versioned("4711@box", order[0], &format!("b{}", order[0]), 2),
                versioned("4711@box", order[1], &format!("b{}", order[1]), 2),
                poller("a@named", 5),
            ],
            ..DescribeTaskQueueResponse::default()
        };
        let pollers = queue(&answer).pollers;
        assert_eq!(pollers.len(), 2);
        assert_eq!(pollers[0].identity.as_ref(), "4711@box");
        assert_eq!(pollers[0].last_access, micros(20));
        assert_eq!(build_of(&pollers[0]), Some("b20"));
        assert_eq!(pollers[0].slot.key.worker.as_ref(), "box/orders");
        assert_eq!(pollers[1].slot.key.worker.as_ref(), "a@named");
    }
}

#[test]
fn a_poller_without_an_access_time_never_wins() {
    let mut never = poller("w", 0);
    never.last_access_time = None;
    let answer =
        DescribeTaskQueueResponse { pollers: vec![poller("w", 9), never], ..DescribeTaskQueueResponse::default() };
    assert_eq!(queue(&answer).pollers[0].last_access, micros(9));
}

#[test]
fn only_a_versioned_poller_has_a_build() {
    for (mode, build) in [(0, None), (1, None), (2, Some("b1")), (99, None)] {
        let answer = DescribeTaskQueueResponse {
            pollers: vec![versioned("w", 9, "b1", mode)],
            ..DescribeTaskQueueResponse::default()
        };
        assert_eq!(build_of(&queue(&answer).pollers[0]), build, "{mode}");
    }
}

#[test]
fn the_builds_that_are_given_tasks_are_current_and_ramping() {
    let version =
        |build: &str| Some(WorkerDeploymentVersion { build_id: build.into(), deployment_name: "orders".into() });
    let serving = |current: Option<&str>, ramping: Option<&str>, percentage: f32| {
        let info = TaskQueueVersioningInfo {
            current_version: current.map_or_else(|| UNVERSIONED.to_owned(), |build| format!("orders.{build}")),
            current_deployment_version: current.and_then(version),
            ramping_version: match ramping {
                Some(UNVERSIONED) => UNVERSIONED.to_owned(),
                Some(build) => format!("orders.{build}"),
                None => String::new(),
            },
            ramping_deployment_version: ramping.filter(|build| *build != UNVERSIONED).and_then(version),
            ramping_version_percentage: percentage,
            ..TaskQueueVersioningInfo::default()
        };
        let answer = DescribeTaskQueueResponse { versioning_info: Some(info), ..DescribeTaskQueueResponse::default() };
        queue(&answer).serving_builds.iter().map(ToString::to_string).collect::<Vec<_>>().join(",")
    };
    assert_eq!(serving(None, None, 0.0), "", "unversioned: as a real server says it");
    assert_eq!(serving(Some("b1"), None, 0.0), "b1");
    assert_eq!(serving(Some("b1"), Some("b2"), 20.0), "b1,b2");
    assert_eq!(serving(Some("b1"), Some("b2"), 0.0), "b1", "a ramp of nothing");
    assert_eq!(serving(Some("b1"), Some("b1"), 20.0), "b1");
    assert_eq!(serving(None, Some("b2"), 20.0), "", "the rest goes to unversioned workers: everybody serves");
    assert_eq!(serving(None, Some("b2"), 100.0), "b2");
    assert_eq!(serving(Some("b1"), Some(UNVERSIONED), 20.0), "");
}
