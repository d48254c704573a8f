#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use proptest::prelude::*;

use super::*;
use crate::histogram::BOUNDS;

fn text(body: &str, names: &Names) -> MetricsAnswer {
    read(body.as_bytes(), Format::Text, &Limits::default(), names).unwrap_or_else(|mistakes| panic!("{mistakes:?}"))
}

fn series(names: &[&str]) -> Vec<Series> {
    names.iter().map(|name| Series::parse(name).unwrap()).collect()
}

/// What an SDK says after ten activities, three of which failed: its names and units as it writes them.
fn sdk(total: &str, unit: &str, second: f64, sticky: &str) -> String {
    let bound = |seconds: f64| seconds * second;
    format!(
        "# TYPE temporal_worker_task_slots_available gauge\n\
         temporal_worker_task_slots_available{{task_queue=\"q\",worker_type=\"ActivityWorker\"}} 90\n\
         temporal_worker_task_slots_available{{task_queue=\"q\",worker_type=\"WorkflowWorker\"}} 100\n\
         # TYPE temporal_worker_task_slots_used gauge\n\
         temporal_worker_task_slots_used{{task_queue=\"q\",worker_type=\"ActivityWorker\"}} 10\n\
         # TYPE temporal_num_pollers gauge\n\
         temporal_num_pollers{{poller_type=\"{sticky}\"}} 4\ntemporal_num_pollers{{poller_type=\"workflow_task\"}} 1\n\
         temporal_num_pollers{{poller_type=\"activity_task\"}} 5\n\
         # TYPE temporal_activity_execution_latency{unit} histogram\n\
         temporal_activity_execution_latency{unit}_bucket{{a=\"x\",le=\"{}\"}} 4\n\
         temporal_activity_execution_latency{unit}_bucket{{a=\"x\",le=\"{}\"}} 8\n\
         temporal_activity_execution_latency{unit}_bucket{{a=\"x\",le=\"+Inf\"}} 9\n\
         temporal_activity_execution_latency{unit}_sum{{a=\"x\"}} {}\n\
         temporal_activity_execution_latency{unit}_count{{a=\"x\"}} 9\n\
         temporal_activity_execution_latency{unit}_bucket{{a=\"y\",le=\"{}\"}} 1\n\
         temporal_activity_execution_latency{unit}_bucket{{a=\"y\",le=\"+Inf\"}} 1\n\
         temporal_activity_execution_latency{unit}_sum{{a=\"y\"}} {}\n\
         temporal_activity_execution_latency{unit}_count{{a=\"y\"}} 1\n\
         # TYPE temporal_activity_execution_failed{total} counter\ntemporal_activity_execution_failed{total} 3\n\
         # TYPE temporal_sticky_cache_hit{total} counter\ntemporal_sticky_cache_hit{total} 7\n\
         # TYPE temporal_request_failure{total} counter\n\
         temporal_request_failure{total}{{operation=\"Poll\",status_code=\"NOT_FOUND\"}} 2\n\
         # TYPE temporal_long_request_failure{total} counter\n\
         temporal_long_request_failure{total}{{operation=\"Poll\",status_code=\"NotFound\"}} 1\n\
         temporal_long_request_failure{total}{{operation=\"a b\",status_code=\"WEIRD\"}} 1\n",
        bound(0.05),
        bound(60.0),
        bound(70.5),
        bound(0.05),
        bound(0.04),
    )
}

#[test]
fn every_way_in_which_an_sdk_writes_its_families_says_the_same() {
    for (body, way) in [
        (sdk("", "", 1000.0, "sticky_workflow_task"), "core, as it is"),
        (sdk("_total", "_milliseconds", 1000.0, "sticky_workflow_task"), "core with suffixes"),
        (sdk("", "", 1.0, "sticky_workflow_task"), "core in seconds"),
        (sdk("_total", "_seconds", 1.0, "workflow_sticky_task"), "Go and Java"),
    ] {
        let answer = text(&body, &Names::default());
        let activity = answer.types.iter().find(|t| t.task_type == TaskType::Activity).unwrap();
        assert_eq!(
            (activity.used, activity.available, activity.pollers, activity.processed, activity.failed),
            (Some(10), Some(90), Some(5), Some(10), Some(3)),
            "{way}"
        );
        let workflow = answer.types.iter().find(|t| t.task_type == TaskType::Workflow).unwrap();
        assert_eq!((workflow.pollers, workflow.processed, workflow.failed), (Some(5), Some(0), Some(0)), "{way}");
        let (_, took) = answer.work.durations.iter().find(|(t, _)| *t == TaskType::Activity).unwrap();
        let at = |bound: f64| took.buckets[BOUNDS.iter().position(|b| *b == bound).unwrap()];
        assert_eq!((at(0.05), at(60.0), took.buckets[BOUNDS.len()], took.count), (5, 4, 1, 10), "{way}");
        assert!((took.sum - 70.54).abs() < 1e-9, "{way}: {}", took.sum);
        assert_eq!((answer.work.sticky_hits, answer.work.sticky_misses), (Some(7), Some(0)), "{way}");
        let failed: Vec<_> =
            answer.work.requests_failed.iter().map(|(r, count)| (&*r.operation, r.code, *count)).collect();
        assert_eq!(failed, [("Poll", "not_found", 3), ("other", "other", 1)], "{way}");
        assert_eq!((answer.numbers.tasks_total, answer.numbers.in_flight), (Some(10), Some(10)), "{way}");
    }
}

#[test]
fn why_workflow_tasks_failed_is_counted_by_reason_and_from_0() {
    let reasons = |body: &str| {
        let failures = text(body, &Names::default()).work.task_failures;
        failures.into_iter().map(|(reason, count)| (reason.word(), count)).collect::<Vec<_>>()
    };
    let slots = "# TYPE temporal_worker_task_slots_available gauge\n\
                 temporal_worker_task_slots_available{worker_type=\"WorkflowWorker\"} 100\n";
    let none = [("non_determinism", 0), ("message_too_large", 0), ("workflow_error", 0), ("other", 0)];
    assert_eq!(reasons(slots), none, "nothing has failed yet");
    let failed = "temporal_workflow_task_execution_failed";
    for total in ["", "_total"] {
        let body = format!(
            "{slots}# TYPE {failed}{total} counter\n\
             {failed}{total}{{failure_reason=\"NonDeterminismError\",workflow_type=\"a\"}} 1\n\
             {failed}{total}{{failure_reason=\"NonDeterminismError\",workflow_type=\"b\"}} 2\n\
             {failed}{total}{{failure_reason=\"GrpcMessageTooLarge\"}} 4\n\
             {failed}{total}{{failure_reason=\"WorkflowError\"}} 8\n\
             {failed}{total}{{failure_reason=\"of another time\"}} 16\n{failed}{total} 32\n"
        );
        let by_reason = [("non_determinism", 3), ("message_too_large", 4), ("workflow_error", 8), ("other", 48)];
        assert_eq!(reasons(&body), by_reason, "{total}");
        let all = text(&body, &Names::default()).types[0].failed;
        assert_eq!(all, Some(63), "{total}");
    }
    assert_eq!(reasons(&slots.replace("Workflow", "Activity")), [], "it serves no workflows");
    assert_eq!(reasons(&format!("# TYPE {failed} counter\n{failed} 1\n"))[3], ("other", 1), "where it shows no slots");
}

#[test]
fn activities_that_nobody_registered_are_counted_where_the_sdk_counts_them() {
    let counted = |body: &str| text(body, &Names::default()).work.unregistered_activities;
    let slots = |client: &str| {
        format!(
            "# TYPE temporal_worker_task_slots_used gauge\n\
             temporal_worker_task_slots_used{{client_name=\"{client}\",worker_type=\"ActivityWorker\"}} 0\n"
        )
    };
    assert_eq!(counted(&slots("temporal_go")), Some(0), "from 0, or the first of them would be no increase");
    assert_eq!(counted(&slots("temporal_java")), None, "it counts none, which is not 0");
    assert_eq!(counted(&slots("temporal_go").replace("Activity", "Workflow")), None, "it serves no activities");
    let calls = "# TYPE temporal_unregistered_activity_invocation gauge\n\
                 temporal_unregistered_activity_invocation{activity_type=\"a\"} 3\n\
                 temporal_unregistered_activity_invocation{activity_type=\"b\"} 4\n";
    assert_eq!(counted(&format!("{}{calls}", slots("temporal_go"))), Some(7));
}

#[test]
fn only_requests_that_a_user_waits_for_are_timed() {
    let body = |unit: &str, second: f64| {
        let of = |operation: &str, fast: u64, all: u64| {
            let name = format!("temporal_request_latency{unit}");
            format!(
                "{name}_bucket{{operation=\"{operation}\",le=\"{}\"}} {fast}\n\
                 {name}_bucket{{operation=\"{operation}\",le=\"+Inf\"}} {all}\n\
                 {name}_sum{{operation=\"{operation}\"}} {}\n{name}_count{{operation=\"{operation}\"}} {all}\n",
                second * 2.5,
                second * 1.5,
            )
        };
        format!(
            "# TYPE temporal_request_latency{unit} histogram\n{}{}{}",
            of("StartWorkflowExecution", 1, 2),
            of("RecordWorkerHeartbeat", 50, 90),
            of("SignalWorkflowExecution", 3, 4),
        )
    };
    for (unit, second) in [("", 1000.0), ("_milliseconds", 1000.0), ("_seconds", 1.0)] {
        let took = text(&body(unit, second), &Names::default()).work.request_durations.unwrap();
        let at = |bound: f64| took.buckets[BOUNDS.iter().position(|b| *b == bound).unwrap()];
        assert_eq!((at(2.5), took.buckets[BOUNDS.len()], took.count), (4, 2, 6), "{unit}");
        assert!((took.sum - 3.0).abs() < 1e-9, "{unit}: {}", took.sum);
    }
    let polls = body("_seconds", 1.0).replace("StartWorkflow", "Poll").replace("SignalWorkflow", "Respond");
    assert_eq!(text(&polls, &Names::default()).work.request_durations, None, "no client is here");
}

#[test]
fn named_series_are_added_up_and_the_sdk_yields_to_them() {
    let names = Names {
        tasks: series(&["jobs_total"]),
        tasks_failed: series(&["jobs_total{status!=\"ok\"}"]),
        waiting: series(&["depth{queue=\"a\"}", "depth{queue=\"b\"}"]),
        progress: series(&["seconds"]),
        task_duration: series(&["took_seconds"]),
        ..Names::default()
    };
    let body = format!(
        "{}# TYPE jobs counter\njobs_total{{status=\"ok\"}} 5\njobs_total{{status=\"bad\"}} 2\njobs_total 1\n\
         # TYPE depth gauge\ndepth{{queue=\"a\"}} 3\ndepth{{queue=\"b\"}} 4\ndepth{{queue=\"c\"}} 9\n\
         # TYPE took_seconds histogram\ntook_seconds_bucket{{le=\"2\"}} 1\ntook_seconds_bucket{{le=\"+Inf\"}} 1\ntook_seconds_sum 1.5\n\
         took_seconds_count 1\n# TYPE seconds_total counter\nseconds_total 0.25\n",
        sdk("", "", 1000.0, "sticky_workflow_task")
    )
    .replace("# TYPE jobs counter", "# TYPE jobs_total counter");
    let answer = text(&body, &names);
    assert_eq!((answer.numbers.tasks_total, answer.numbers.tasks_failed), (Some(8), Some(3)));
    assert_eq!((answer.numbers.waiting, answer.numbers.progress), (Some(7), Some(0.25_f64.to_bits())));
    assert_eq!(answer.work.tasks, [Done { task_type: TaskType::Activity, finished: Some(8), failed: Some(3) }]);
    assert_eq!(answer.work.durations.len(), 1);
    assert_eq!((answer.work.durations[0].1.count, answer.work.durations[0].1.sum), (1, 1.5));
}

#[test]
fn a_counter_whose_creations_stand_between_is_counted_once() {
    let names =
        Names { tasks: series(&["jobs"]), tasks_failed: series(&["jobs_total{s=\"bad\"}"]), ..Names::default() };
    let body = b"# TYPE jobs counter\njobs_total{s=\"ok\"} 5\njobs_created{s=\"ok\"} 1.5\njobs_total{s=\"bad\"} 2\n\
                 jobs_created{s=\"bad\"} 1.5\n# EOF\n";
    let answer = read(body, Format::OpenMetrics, &Limits::default(), &names).unwrap();
    assert_eq!((answer.numbers.tasks_total, answer.numbers.tasks_failed), (Some(7), Some(2)));
}

#[test]
fn a_part_is_not_the_whole_and_a_family_without_series_has_counted_nothing() {
    let names = Names { tasks: series(&["a_total", "b_total"]), waiting: series(&["none"]), ..Names::default() };
    let answer = text("a_total 1\n", &names);
    assert_eq!((answer.numbers.tasks_total, answer.numbers.waiting), (None, None));
    assert_eq!(answer.uses.iter().filter(|u| u.value.is_none()).count(), 2);
    let answer = text("a_total 1\n# TYPE b_total counter\n", &names);
    assert_eq!(answer.numbers.tasks_total, Some(1));
}

#[test]
fn a_process_tells_its_start_its_memory_and_where_it_runs() {
    let body = "process_start_time_seconds 1.8e9\nprocess_resident_memory_bytes 1048576\n\
                # TYPE target_info gauge\ntarget_info{host_name=\"h\",process_pid=\"7\"} 1\n";
    let answer = text(body, &Names::default());
    assert_eq!(answer.info.start_time, WallTime::from_seconds(1.8e9));
    assert_eq!(
        (answer.numbers.memory_bytes, answer.info.host.as_deref(), answer.info.pid.as_deref()),
        (Some(1 << 20), Some("h"), Some("7"))
    );
}

#[test]
fn what_cannot_be_a_count_is_none() {
    let names = Names { tasks: series(&["a"]), in_flight: series(&["b"]), ..Names::default() };
    for value in ["-1", "NaN", "+Inf", "1e300"] {
        let answer = text(&format!("a {value}\nb {value}\n"), &names);
        assert!(answer.numbers.tasks_total.is_none_or(|tasks| tasks == 0), "{value}");
    }
}

#[test]
fn a_summary_has_no_buckets_and_fills_none() {
    let body = "# TYPE temporal_activity_execution_latency_seconds summary\n\
                temporal_activity_execution_latency_seconds_sum 3\ntemporal_activity_execution_latency_seconds_count 2\n";
    let answer = text(body, &Names::default());
    assert!(answer.work.durations.iter().all(|(_, histogram)| histogram.count == 0));
    assert_eq!((answer.numbers.tasks_total, answer.work.seconds), (Some(2), Some(3.0)));
}

proptest! {
    #[test]
    fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        let names = Names { progress: series(&["a"]), task_duration: series(&["b"]), ..Names::default() };
        for format in [Format::OpenMetrics, Format::Text] {
            let _ = read(&bytes, format, &Limits::default(), &names);
        }
    }

    #[test]
    fn no_values_make_it_panic(value in any::<f64>(), bound in any::<f64>(), name in "temporal_[a-z_]{0,40}") {
        let body = format!("# TYPE temporal_activity_execution_latency histogram\n\
            temporal_activity_execution_latency_bucket{{le=\"{bound}\"}} 1\ntemporal_activity_execution_latency_bucket{{le=\"+Inf\"}} 2\n\
            temporal_activity_execution_latency_sum {value}\ntemporal_activity_execution_latency_count 2\n{name}x {value}\n\
            temporal_sticky_cache_hit {value}\n");
        let _ = read(body.as_bytes(), Format::Text, &Limits::default(), &Names::default());
    }
}
