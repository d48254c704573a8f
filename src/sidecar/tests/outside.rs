//! What lies outside of the pod: readiness alone.

use super::*;

#[test]
fn ready_is_who_is_registered_and_polls() {
    let mut judge = with_temporal();
    assert!(!now(&mut judge, 0).ready, "nobody has looked yet");
    watch_temporal(&mut judge, 0, 5, |_| Ok(listed(Vec::new())));
    let absent = now(&mut judge, 5);
    assert_eq!(word(&absent, "registered"), (Outcome::Fail, "not_registered"));
    watch_temporal(&mut judge, 10, 10, beating(|_| TypeReport { pollers: Some(0), ..activity() }));
    let early = now(&mut judge, 10);
    assert!(!early.ready);
    assert_eq!(word(&early, "polling"), (Outcome::Unknown, "awaiting_poll"));
    watch_temporal(&mut judge, 15, 15, beating(|_| activity()));
    assert!(now(&mut judge, 15).ready);
}

#[test]
fn one_queue_of_two_is_not_ready() {
    let mut judge = judge();
    judge.temporal = Some(TemporalWatch::new(vec!["orders".into(), "mail".into()]));
    watch_temporal(&mut judge, 0, 5, beating(|_| activity()));
    let judged = now(&mut judge, 5);
    assert!(!judged.ready);
    assert_eq!(word(&judged, "registered"), (Outcome::Fail, "not_registered"));
}

#[test]
fn whatever_temporal_and_redis_say_liveness_does_not_listen() {
    let looks: [fn(u64) -> Result<OwnSeen, Failure>; 4] = [
        |_| Err(Failure::Timeout),
        |_| Err(Failure::Unauthenticated),
        |_| Ok(OwnSeen { heartbeats: true, ..OwnSeen::default() }),
        |_| Ok(OwnSeen { heartbeats: true, workers: vec![record(0, 0, vec![activity()])], polls: Vec::new() }),
    ];
    for look in looks {
        let mut judge = with_temporal();
        judge.redis = Some(BeatWatch::new(Some(s(5)), None, (s(5), s(5))));
        watch_process(&mut judge, 0, 1000, ALIVE);
        watch_temporal(&mut judge, 0, 1000, look);
        for t in (0..=1000).step_by(5) {
            judge.redis.as_mut().unwrap().look(at(t), wall(t), Ok(beat(1)));
        }
        let judged = now(&mut judge, 1000);
        assert!(judged.live && !judged.ready);
        assert_eq!(word(&judged, "redis"), (Outcome::Fail, "stale"));
    }
}

#[test]
fn temporal_is_away_at_the_third_miss_and_back_at_the_first_answer() {
    let mut judge = with_temporal();
    watch_temporal(&mut judge, 0, 100, beating(|_| activity()));
    watch_temporal(&mut judge, 105, 110, |_| Err(Failure::Timeout));
    assert!(now(&mut judge, 110).ready, "two misses are no outage");
    watch_temporal(&mut judge, 115, 115, |_| Err(Failure::Timeout));
    let away = now(&mut judge, 115);
    assert!(!away.ready && away.live);
    assert_eq!(word(&away, "temporal"), (Outcome::Fail, "timeout"));
    watch_temporal(&mut judge, 120, 120, beating(|_| activity()));
    assert!(now(&mut judge, 120).ready);
}

#[test]
fn who_is_throttled_stays_as_ready_as_it_was_and_asks_less() {
    let mut judge = with_temporal();
    watch_temporal(&mut judge, 0, 100, beating(|_| activity()));
    watch_temporal(&mut judge, 105, 150, |_| Err(Failure::Throttled));
    assert!(now(&mut judge, 150).ready);
    let temporal = judge.temporal.as_ref().unwrap();
    assert!(temporal.interval(at(150)) >= s(60));
}

#[test]
fn a_frozen_beat_is_stale_after_three_of_its_intervals() {
    let mut judge = with_temporal();
    watch_temporal(&mut judge, 0, 100, beating(|_| activity()));
    let frozen = |_| Ok(listed(vec![record(0, 100, vec![activity()])]));
    watch_temporal(&mut judge, 105, 125, frozen);
    assert!(now(&mut judge, 125).ready);
    watch_temporal(&mut judge, 130, 130, frozen);
    let dead = now(&mut judge, 130);
    assert!(!dead.ready);
    assert_eq!(word(&dead, "registered"), (Outcome::Fail, "stale"));
}

#[test]
fn a_registry_that_forgets_is_given_until_the_next_beats() {
    let mut judge = with_temporal();
    watch_temporal(&mut judge, 0, 100, beating(|_| activity()));
    watch_temporal(&mut judge, 105, 125, |_| Ok(listed(Vec::new())));
    let forgotten = now(&mut judge, 125);
    assert!(forgotten.ready);
    assert_eq!(word(&forgotten, "registered"), (Outcome::Warn, "not_registered"));
    watch_temporal(&mut judge, 130, 130, |_| Ok(listed(Vec::new())));
    assert_eq!(word(&now(&mut judge, 130), "registered"), (Outcome::Fail, "gone"));
}

#[test]
fn who_shuts_down_drains_and_its_successor_does_not() {
    let mut judge = with_temporal();
    let leaving = |t: u64| {
        let mut seen = record(0, t, vec![TypeReport { pollers: Some(0), ..activity() }]);
        seen.says.goodbye = true;
        seen
    };
    watch_temporal(&mut judge, 0, 100, beating(|_| activity()));
    watch_temporal(&mut judge, 105, 110, |t| Ok(listed(vec![leaving(t)])));
    let draining = now(&mut judge, 110);
    assert!(draining.live && !draining.ready);
    assert_eq!(draining.phase, Phase::Draining);
    watch_temporal(&mut judge, 115, 120, |t| Ok(listed(vec![leaving(110), record(112, t, vec![activity()])])));
    let successor = now(&mut judge, 120);
    assert!(successor.ready);
    assert_eq!(successor.phase, Phase::Running);
}

#[test]
fn a_full_worker_is_ready_though_it_polls_no_more() {
    let mut judge = with_temporal();
    watch_temporal(&mut judge, 0, 100, beating(|t| TypeReport { last_poll: Some(wall(t)), ..activity() }));
    let full = |_| TypeReport {
        used: Some(100),
        available: Some(0),
        pollers: Some(0),
        last_poll: Some(wall(100)),
        ..activity()
    };
    watch_temporal(&mut judge, 105, 9000, beating(full));
    let judged = now(&mut judge, 9000);
    assert!(judged.ready);
    assert_eq!(word(&judged, "polling"), (Outcome::Pass, "full"));
}

#[test]
fn polls_that_stop_count_after_two_long_polls_and_a_beat() {
    let mut judge = with_temporal();
    watch_temporal(&mut judge, 0, 100, beating(|t| TypeReport { last_poll: Some(wall(t)), ..activity() }));
    let stopped = |_| TypeReport { last_poll: Some(wall(100)), ..activity() };
    watch_temporal(&mut judge, 105, 235, beating(stopped));
    assert!(now(&mut judge, 235).ready);
    watch_temporal(&mut judge, 240, 240, beating(stopped));
    let judged = now(&mut judge, 240);
    assert!(!judged.ready);
    assert_eq!(word(&judged, "polling"), (Outcome::Fail, "not_polling"));
}

#[test]
fn workflow_tasks_that_are_held_and_not_processed_are_held_by_a_dead_loop() {
    let mut judge = with_temporal();
    let workflow = |t: u64, processed: u64| TypeReport {
        task_type: TaskType::Workflow,
        used: Some(100),
        available: Some(0),
        processed: Some(processed),
        last_poll: Some(wall(t)),
        ..activity()
    };
    watch_temporal(&mut judge, 0, 100, beating(|t| workflow(t, t)));
    watch_temporal(&mut judge, 105, 215, beating(|t| workflow(t, 100)));
    assert!(now(&mut judge, 215).ready);
    watch_temporal(&mut judge, 220, 220, beating(|t| workflow(t, 100)));
    assert_eq!(word(&now(&mut judge, 220), "polling"), (Outcome::Fail, "tasks_not_processed"));
}

#[test]
fn a_worker_without_heartbeats_is_judged_by_its_polls_alone() {
    let polls = |moved: u64| {
        move |_: u64| {
            let poll = OwnPoll {
                task_queue: Arc::from("orders"),
                task_type: TaskType::Activity,
                last_access: Some(wall(moved)),
            };
            Ok(OwnSeen { heartbeats: false, workers: Vec::new(), polls: vec![poll] })
        }
    };
    let mut judge = with_temporal();
    let asked = judge.temporal.as_ref().unwrap().wanted();
    assert_eq!(asked.len(), 2, "both types of the queue that is named: {asked:?}");
    watch_temporal(&mut judge, 0, 5, polls(0));
    let first = now(&mut judge, 5);
    assert!(!first.ready, "the server remembers the dead for five minutes");
    assert_eq!(word(&first, "polling"), (Outcome::Unknown, "awaiting_poll"));
    watch_temporal(&mut judge, 10, 135, polls(10));
    assert!(now(&mut judge, 135).ready);
    watch_temporal(&mut judge, 140, 140, polls(10));
    assert_eq!(word(&now(&mut judge, 140), "polling"), (Outcome::Fail, "full_or_gone"));
}

#[test]
fn a_worker_that_polls_and_sends_no_heartbeats_is_ready() {
    let mut judge = with_temporal();
    let polls = |t: u64| {
        let poll =
            OwnPoll { task_queue: Arc::from("orders"), task_type: TaskType::Workflow, last_access: Some(wall(t)) };
        Ok(OwnSeen { heartbeats: true, workers: Vec::new(), polls: vec![poll] })
    };
    watch_temporal(&mut judge, 0, 10, polls);
    let judged = now(&mut judge, 10);
    assert!(judged.ready);
    assert_eq!(word(&judged, "registered"), (Outcome::Warn, "not_registered"));
}
