//! Codes, stamps, numbers and pointers of health answers, and what holds for any bytes at all.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test stops at the first surprise")]

use std::collections::BTreeMap;
use std::time::Duration;

use proptest::prelude::*;
use serde_json::{Map, Value, json};
use verdict::evidence::{Model, Numbers, Observation, Reach, Said, Says, Slot, WorkerKey};
use verdict::read::health::{Fields, HealthAnswer, Standing, read, unread};
use verdict::time::WallTime;
use verdict::words::Failure;

fn ask(code: u16, body: &Value) -> HealthAnswer {
    read(code, Some("application/json"), body.to_string().as_bytes(), &Fields::default())
}

fn with(pointers: &[(&str, &str)], body: &Value) -> HealthAnswer {
    let pointers: BTreeMap<_, _> = pointers.iter().map(|(a, b)| ((*a).to_owned(), (*b).to_owned())).collect();
    read(200, Some("application/json"), body.to_string().as_bytes(), &Fields::new(pointers))
}

#[test]
fn a_code_that_blames_us_convicts_nobody() {
    for (code, failure) in [
        (401, Failure::Unauthenticated),
        (407, Failure::Unauthenticated),
        (403, Failure::PermissionDenied),
        (301, Failure::Redirect),
        (304, Failure::Redirect),
        (308, Failure::Redirect),
        (404, Failure::NotFound),
        (400, Failure::InvalidArgument),
        (405, Failure::InvalidArgument),
        (418, Failure::HttpStatus),
        (101, Failure::HttpStatus),
    ] {
        for body in [json!({"status": "error", "message": "no"}), json!({"status": "ok"})] {
            let answer = ask(code, &body);
            assert_eq!(answer.standing, Standing::Misconfigured(failure), "{code}");
            assert_eq!(answer.says.overall, None, "{code}");
        }
    }
}

fn named(code: u16, body: &str, wanted: &str) -> HealthAnswer {
    let fields = Fields::default().with_identity(Some("/worker/id".to_owned()));
    read(code, Some("application/json"), body.as_bytes(), &fields).of(wanted)
}

#[test]
fn an_answer_that_says_whose_it_is_counts_for_that_worker_alone() {
    let own = named(200, r#"{"status":"ok","worker":{"id":"mail-1"},"tasks_total":7}"#, "mail-1");
    assert_eq!((own.standing, own.says.overall), (Standing::Answered, Some(Said::Up)));
    assert_eq!(own.numbers.tasks_total, Some(7));
    let unwell = named(503, r#"{"status":"down","worker":{"id":"mail-1"}}"#, "mail-1");
    assert_eq!((unwell.standing, unwell.says.overall), (Standing::Answered, Some(Said::Down)));
    assert_eq!(named(200, r#"{"status":"ok","worker":{"id":7}}"#, "7").standing, Standing::Answered);
}

#[test]
fn a_strangers_answer_and_one_that_cannot_say_whose_it_is_are_no_evidence() {
    for (code, body) in [
        (200, r#"{"status":"ok","worker":{"id":"mail-2"},"tasks_total":7}"#),
        (200, r#"{"status":"ok"}"#),
        (200, r#"{"status":"ok","worker":{"id":null}}"#),
        (200, r#"{"status":"ok","worker":{"id":["mail-1"]}}"#),
        (200, r#"{"status":"ok","worker":"mail-1"}"#),
        (200, r#"["mail-1"]"#),
        (200, r#"{"status":"ok","worker":{"id":"mail-1"}"#),
        (200, "OK"),
        (200, ""),
        (204, ""),
        (500, ""),
        (503, r#"{"alive":false,"last_heartbeat":0,"worker":{"id":"mail-2"}}"#),
        (404, ""),
    ] {
        let answer = named(code, body, "mail-1");
        assert_eq!(answer.standing, Standing::Misconfigured(Failure::Stranger), "{code} {body}");
        assert_eq!((answer.says.clone(), answer.beat.is_some()), (Says::default(), false), "{code} {body}");
        assert_eq!(answer.numbers, Numbers::default(), "{code} {body}");
    }
    // What says that we ask wrongly, or too often, says so whoever it is.
    for (code, standing) in [
        (401, Standing::Misconfigured(Failure::Unauthenticated)),
        (302, Standing::Misconfigured(Failure::Redirect)),
        (429, Standing::Throttled),
    ] {
        assert_eq!(named(code, "{}", "mail-1").standing, standing, "{code}");
    }
    let unread = unread(200, Failure::BodyTooLarge).of("mail-1");
    assert_eq!(unread.standing, Standing::Misconfigured(Failure::Stranger));
}

#[test]
fn the_rfc_may_say_fail_with_a_client_error() {
    let answer = read(424, Some("application/health+json"), br#"{"status":"fail"}"#, &Fields::default());
    assert_eq!((answer.standing, answer.says.overall), (Standing::Answered, Some(Said::Down)));
}

#[test]
fn too_many_requests_is_a_failed_look_unless_consul_says_a_warning_with_it() {
    assert_eq!(ask(429, &json!({"status": "error"})).standing, Standing::Throttled);
    assert_eq!(unread(429, Failure::BodyTooLarge).standing, Standing::Throttled);
    let consul = ask(429, &json!([{"CheckID": "a", "Status": "warning"}]));
    assert_eq!((consul.standing, consul.says.overall), (Standing::Answered, Some(Said::Degraded)));
}

#[test]
fn no_content_is_up_and_any_server_error_is_down() {
    let empty = |code| read(code, None, b"", &Fields::default());
    assert_eq!(empty(204).says.overall, Some(Said::Up));
    assert_eq!(empty(500).says.overall, Some(Said::Down));
    assert_eq!(empty(503).standing, Standing::Answered);
    assert_eq!(unread(200, Failure::BodyTooLarge).says.overall, Some(Said::Degraded));
    assert_eq!(unread(500, Failure::BodyTooLarge).says.overall, Some(Said::Down));
    let cut = read(200, Some("application/json"), b" \n", &Fields::default());
    assert_eq!(cut.says.unreadable, Some(Failure::BodyInvalid));
}

#[test]
fn a_loop_that_says_it_is_dead_and_never_beat_has_an_empty_place_for_its_beat() {
    for body in [
        json!({"alive": false, "last_heartbeat": 0.0}),
        json!({"alive": false, "last_heartbeat": null}),
        json!({"alive": false}),
        json!({"alive": true, "last_heartbeat": null}),
    ] {
        let answer = ask(200, &body);
        let beat = answer.beat.unwrap_or_else(|| panic!("{body}"));
        assert_eq!(beat.mark, None, "{body}");
        assert!(beat.own_answer && !beat.on_trial);
    }
    assert_eq!(ask(200, &json!({"alive": false})).says.alive, Some(false));
    assert_eq!(ask(200, &json!({"alive": false})).says.overall, Some(Said::Down));
    // A worker that offers no stamp at all and says that it lives has no such place.
    assert!(ask(200, &json!({"alive": true})).beat.is_none());
    assert_eq!(ask(200, &json!({"alive": true})).says.alive, Some(true));
}

#[test]
fn names_of_stamps_decide_what_they_are_worth() {
    let stamp = WallTime::from_micros(1_795_323_894_000_000);
    for (name, on_trial) in [
        ("last_heartbeat", false),
        ("lastHeartbeat", false),
        ("last_seen", false),
        ("beat", false),
        ("checkedAt", false),
        ("timestamp", true),
        ("time", true),
        ("updated_at", true),
    ] {
        let beat = ask(200, &json!({"status": "ok", name: "2026-11-22T05:04:54Z"})).beat.unwrap();
        assert_eq!((beat.stamp, beat.on_trial, beat.own_answer), (Some(stamp), on_trial, true), "{name}");
    }
    let answer = ask(200, &json!({"status": "ok", "lastActivityAt": 1_795_323_894}));
    assert!(answer.beat.is_none(), "work is no beat");
    assert_eq!(answer.last_activity, Some(stamp));
    // The firm name wins over the one on trial.
    let both = ask(200, &json!({"timestamp": 1_795_323_999, "last_heartbeat": 1_795_323_894}));
    assert_eq!(both.beat.unwrap().stamp, Some(stamp));
}

#[test]
fn documented_numbers_come_in_base_units_from_the_top_or_inside() {
    let answer = ask(
        200,
        &json!({"status": "ok", "tasks_total": 10, "tasks_failed": 2.0, "cpu_percent": 250.0, "memory_mb": 1.5,
            "metrics": {"in_flight": 3, "queueDepth": 4, "memory_percent": 50, "gpu_utilization": 0.5},
            "data": {"disk_percent": 100, "gpu_memory_percent": 12.5, "model_loaded": "loading"}, "progress": 0.7}),
    );
    let expected = Numbers {
        tasks_total: Some(10),
        tasks_failed: Some(2),
        in_flight: Some(3),
        waiting: Some(4),
        cpu_ratio: Some(2.5),
        memory_bytes: Some(1_572_864),
        memory_ratio: Some(0.5),
        gpu_ratio: Some(0.5),
        disk_ratio: Some(1.0),
        gpu_memory_ratio: Some(0.125),
        model: Some(Model::Loading),
        ..Numbers::default()
    };
    assert_eq!(answer.numbers, expected);
    assert_eq!(answer.says.unreadable, None);
}

#[test]
fn a_number_that_is_none_is_absent_and_counted() {
    for written in ["NaN", "-Infinity", "1e400", "-1", "1.5", "\"many\"", "true", "[1]", "{}", "18446744073709551616"] {
        let body = format!(r#"{{"status":"ok","tasks_total":{written}}}"#);
        let answer = read(200, Some("application/json"), body.as_bytes(), &Fields::default());
        assert_eq!(answer.numbers, Numbers::default(), "{written}");
        assert_eq!(answer.says.unreadable, Some(Failure::FieldInvalid), "{written}");
        assert_eq!(answer.says.overall, Some(Said::Up), "{written}: the rest stands");
    }
    for (name, value) in [("memory_percent", json!(101)), ("disk_ratio", json!(1.2)), ("model_loaded", json!(7))] {
        assert_eq!(
            ask(200, &json!({"status": "ok", name: value})).says.unreadable,
            Some(Failure::FieldInvalid),
            "{name}"
        );
    }
    let null = ask(200, &json!({"status": "ok", "tasks_total": null}));
    assert_eq!((null.numbers, null.says.unreadable), (Numbers::default(), None));
}

#[test]
fn pointers_find_what_has_no_documented_name() {
    let body = json!({"app": {"mode": "DOWN", "n": [7, 8], "loops": 41}, "status": "ok"});
    let answer = with(&[("status", "/app/mode"), ("progress", "/app/n/1"), ("last_heartbeat", "/app/loops")], &body);
    assert_eq!(answer.says.overall, Some(Said::Down));
    assert_eq!(answer.numbers.progress, Some(8));
    let beat = answer.beat.unwrap();
    assert!(beat.mark.is_some() && beat.stamp.is_none(), "a counter of loops is a heartbeat without a stamp");
    let missing = with(&[("tasks_total", "/nowhere")], &body);
    assert_eq!(missing.says.unreadable, Some(Failure::FieldInvalid));
    assert!(with(&[("last_heartbeat", "/nowhere")], &body).beat.unwrap().mark.is_none());
}

#[test]
fn a_detail_is_no_part_and_a_name_is_no_state() {
    let body = json!({"status": "ok", "worker": "mail-7", "debug": false, "message": "all failed mails were sent again",
        "details": {"exists": false, "last_job": "failed", "disk": {"total": 5, "error": null}}, "error": "none"});
    let says = ask(200, &body).says;
    assert_eq!((says.overall, says.failing, says.unreadable), (Some(Said::Up), vec![], None));
}

#[test]
fn phases_of_life_are_told_apart() {
    for word in ["starting", "INITIALIZED", "initializing"] {
        let says = ask(200, &json!({"status": word})).says;
        assert!(says.starting && !says.goodbye && says.overall == Some(Said::Transient), "{word}");
    }
    for word in ["shutting_down", "draining", "quiet"] {
        let says = ask(503, &json!({"status": word})).says;
        assert!(says.goodbye && !says.starting && !says.contradiction, "{word}");
    }
}

#[test]
fn every_name_that_a_pointer_can_be_given_for_is_asked_for() {
    for name in Fields::names() {
        let answer = with(&[(name, "/nowhere")], &json!({"status": "ok"}));
        if name == "last_heartbeat" {
            assert!(answer.beat.is_some_and(|beat| beat.mark.is_none()), "it never beat");
        } else {
            assert_eq!(answer.says.unreadable, Some(Failure::FieldInvalid), "{name}");
        }
    }
}

#[test]
fn an_answer_fills_its_observation() {
    let slot = Slot { key: WorkerKey::new("mail", "w-0"), exclusive: true };
    let (took, deadline) = (Duration::from_millis(3), Duration::from_secs(1));
    let mut observation = Observation::new("w-0", slot);
    let body = json!({"status": "healthy", "worker": "running", "task_queue": "mail", "hostname": "h1", "pid": 7,
        "started_at": 1_795_323_894, "version": "1.2", "last_task_at": 1_795_323_895});
    ask(200, &body).put_into(&mut observation, took, deadline).unwrap();
    assert_eq!(observation.reach, Some(Reach::Answered { took, deadline }));
    assert_eq!(observation.task_queues, ["mail".into()]);
    assert_eq!(observation.info.instance.as_deref(), Some("7@1795323894000000"));
    assert_eq!(observation.info.host.as_deref(), Some("h1"));
    assert!(observation.last_activity.is_some());
    let throttled = ask(429, &json!({})).put_into(&mut observation, took, deadline);
    assert_eq!(throttled, Err(Failure::Throttled));
}

#[test]
fn ten_thousand_failing_parts_name_thirty_two_and_the_worst_first() {
    let mut checks: Map<String, Value> =
        (0..10_000).map(|at| (format!("a{at:05}"), json!({"status": "warn"}))).collect();
    checks.insert("zz".into(), json!({"status": "fail"}));
    let says = ask(200, &json!({"status": "warn", "checks": checks})).says;
    assert_eq!(says.failing.len(), 32);
    assert_eq!(&*says.failing[0].0, "zz");
}

/// Bodies that look like health answers, so that the properties reach past the parser.
fn bodies() -> impl Strategy<Value = Value> {
    let word = prop_oneof![
        Just("UP"),
        Just("down"),
        Just("warn"),
        Just("starting"),
        Just("unknown"),
        Just("kaputt"),
        Just(""),
        Just("OK"),
    ];
    let leaf = prop_oneof![
        word.prop_map(Value::from),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        Just(Value::Null),
    ];
    leaf.prop_recursive(4, 40, 6, |inner| {
        let key = prop_oneof![
            Just("status"),
            Just("state"),
            Just("alive"),
            Just("checks"),
            Just("components"),
            Just("details"),
            Just("failures"),
            Just("last_heartbeat"),
            Just("tasks_total"),
            Just("db"),
            Just("name"),
            Just("info"),
        ];
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::vec((key, inner), 0..6).prop_map(|entries| entries
                .into_iter()
                .map(|(k, v)| (k.to_owned(), v))
                .collect::<Map<_, _>>()
                .into()),
        ]
    })
}

/// The same value with the keys of every object written in the opposite order.
fn backwards(value: &Value) -> String {
    match value {
        Value::Object(map) => {
            let entries: Vec<_> = map
                .iter()
                .rev()
                .map(|(key, value)| format!("{}:{}", Value::from(key.as_str()), backwards(value)))
                .collect();
            format!("{{{}}}", entries.join(","))
        }
        Value::Array(items) => format!("[{}]", items.iter().map(backwards).collect::<Vec<_>>().join(",")),
        other => other.to_string(),
    }
}

proptest! {
    #[test]
    fn any_bytes_under_any_code_are_read_without_a_panic(
        code in any::<u16>(), kind in "[a-z/+]{0,20}", body in prop::collection::vec(any::<u8>(), 0..300),
    ) {
        let answer = read(code, Some(&kind), &body, &Fields::default());
        if (500..600).contains(&code) {
            prop_assert_eq!(answer.says.overall, Some(Said::Down));
        }
    }

    #[test]
    fn the_order_of_keys_does_not_matter(body in bodies(), code in prop_oneof![Just(200_u16), Just(503), Just(429)]) {
        let forth = read(code, Some("application/json"), body.to_string().as_bytes(), &Fields::default());
        let back = read(code, Some("application/json"), backwards(&body).as_bytes(), &Fields::default());
        prop_assert_eq!(format!("{forth:?}"), format!("{back:?}"));
    }

    #[test]
    fn a_word_that_is_not_known_never_becomes_up(word in "[a-z]{1,12}") {
        let answer = ask(200, &json!({"status": word}));
        if answer.says.unreadable.is_some() || word == "unknown" {
            prop_assert!(answer.says.overall > Some(Said::Up), "{}", word);
        }
        prop_assert_ne!(ask(200, &json!({"status": format!("x{word}x")})).says.overall, Some(Said::Up));
    }

    #[test]
    fn a_worse_code_never_makes_the_answer_better(body in bodies()) {
        prop_assert!(ask(503, &body).says.overall >= ask(200, &body).says.overall);
    }

    #[test]
    fn a_broken_body_is_never_up(body in bodies(), at in 1_usize..40) {
        let text = body.to_string();
        if text.starts_with(['{', '[']) && at < text.len() && text.is_char_boundary(at) {
            let answer = read(200, Some("application/json"), &text.as_bytes()[..at], &Fields::default());
            prop_assert_eq!(answer.says.unreadable, Some(Failure::BodyInvalid));
            prop_assert!(answer.says.overall > Some(Said::Up));
        }
    }
}
