//! Evidence from inside the pod: liveness and readiness.

use super::*;

#[test]
fn liveness_fails_open_until_the_grace_is_over_and_not_a_moment_longer() {
    let mut judge = judge();
    watch_process(&mut judge, 0, 2, ALIVE);
    watch_process(&mut judge, 4, GRACE + 2, ProcessSeen::Gone);
    assert!(now(&mut judge, GRACE - 1).live);
    assert!(!now(&mut judge, GRACE).live);
}

#[test]
fn readiness_never_fails_open() {
    let mut judge = with_file(Some(10));
    let first = now(&mut judge, 0);
    assert!(first.live && !first.ready);
    assert_eq!(first.phase, Phase::Starting);
    watch_file(&mut judge, 0, 10, |_| Ok(beat(1)));
    assert!(!now(&mut judge, 10).ready, "first sight is not a beat");
    watch_file(&mut judge, 15, 15, |_| Ok(beat(2)));
    let beaten = now(&mut judge, 15);
    assert!(beaten.ready);
    assert_eq!(beaten.phase, Phase::Running);
}

#[test]
fn a_file_may_be_silent_for_three_beats_and_no_longer() {
    let mut judge = with_file(Some(10));
    watch_file(&mut judge, 0, 100, |t| Ok(beat(t / 10)));
    // The last beat was at 100.
    watch_file(&mut judge, 105, 125, |_| Ok(beat(10)));
    let late = now(&mut judge, 125);
    assert!(late.live);
    assert_eq!(word(&late, "heartbeat_file"), (Outcome::Warn, "heartbeat"));
    watch_file(&mut judge, 130, 130, |_| Ok(beat(10)));
    let silent = now(&mut judge, 130);
    assert!(!silent.live && !silent.ready);
    assert_eq!(word(&silent, "heartbeat_file"), (Outcome::Fail, "stale"));
    assert_eq!(silent.phase, Phase::Hung);
    watch_file(&mut judge, 135, 135, |_| Ok(beat(11)));
    assert!(now(&mut judge, 135).live, "one beat brings it back");
}

#[test]
fn our_own_pause_and_failed_looks_are_held_against_nobody() {
    let mut judge = with_file(Some(10));
    watch_file(&mut judge, 0, 100, |t| Ok(beat(t / 10)));
    watch_file(&mut judge, 500, 500, |_| Ok(beat(10)));
    assert!(now(&mut judge, 500).live, "nobody watched for 400 s");
    watch_file(&mut judge, 505, 700, |_| Err(Failure::PermissionDenied));
    let blind = now(&mut judge, 700);
    assert!(blind.live && !blind.ready);
    assert_eq!(word(&blind, "heartbeat_file"), (Outcome::Unknown, "permission_denied"));
}

#[test]
fn a_file_that_is_never_written_convicts_after_the_grace_or_after_three_of_its_beats() {
    for (interval, late) in [(None, GRACE), (Some(10), GRACE), (Some(60), 180)] {
        let mut judge = with_file(interval);
        watch_file(&mut judge, 0, late, |_| Ok(BeatSeen::default()));
        let before = now(&mut judge, late - 1);
        assert!(before.live, "{interval:?}");
        assert_eq!(word(&before, "heartbeat_file"), (Outcome::Unknown, "awaiting_beat"));
        let after = now(&mut judge, late);
        assert!(!after.live, "{interval:?}");
        assert_eq!(word(&after, "heartbeat_file"), (Outcome::Fail, "never_beat"));
    }
}

#[test]
fn what_the_worker_writes_of_itself_counts() {
    let says = |says: Says| Ok(BeatSeen { says, ..beat(99) });
    let mut judge = with_file(Some(10));
    watch_file(&mut judge, 0, 100, |t| Ok(beat(t / 10)));
    watch_file(&mut judge, 105, 105, |_| says(Says { overall: Some(Said::Down), ..Says::default() }));
    let unhealthy = now(&mut judge, 105);
    assert!(unhealthy.live && !unhealthy.ready, "who says that it is unhealthy still runs");
    watch_file(&mut judge, 110, 110, |_| says(Says { alive: Some(false), ..Says::default() }));
    let dead = now(&mut judge, 110);
    assert!(!dead.live);
    assert_eq!(word(&dead, "heartbeat_file"), (Outcome::Fail, "loop_dead"));
    watch_file(&mut judge, 115, 115, |_| says(Says { goodbye: true, ..Says::default() }));
    let leaving = now(&mut judge, 115);
    assert!(leaving.live && !leaving.ready);
    assert_eq!(leaving.phase, Phase::Draining);
}

#[test]
fn a_process_that_is_gone_convicts_at_once_and_one_that_stands_after_its_limit() {
    for (seen, limit, word_of_it) in [
        (STOPPED, 30, "stopped"),
        (BLOCKED, 120, "blocked"),
        (ProcessSeen::Gone, 0, "exited"),
        (ProcessSeen::Zombie { pid: 7 }, 0, "exited"),
    ] {
        let mut judge = judge();
        watch_process(&mut judge, 0, 98, ALIVE);
        assert!(now(&mut judge, 98).ready);
        if limit > 0 {
            watch_process(&mut judge, 100, 100 + limit - 2, seen);
            let standing = now(&mut judge, 100 + limit - 2);
            assert!(standing.live, "{seen:?}");
            assert_eq!(word(&standing, "process"), (Outcome::Warn, word_of_it));
        }
        watch_process(&mut judge, 100 + limit, 100 + limit, seen);
        let judged = now(&mut judge, 100 + limit);
        assert!(!judged.live && !judged.ready, "{seen:?}");
        assert_eq!(word(&judged, "process"), (Outcome::Fail, word_of_it));
        watch_process(&mut judge, 300, 300, ALIVE);
        assert!(now(&mut judge, 300).live);
    }
}

#[test]
fn a_process_that_was_never_seen_convicts_nobody() {
    let mut judge = judge();
    watch_process(&mut judge, 0, 600, ProcessSeen::Gone);
    let judged = now(&mut judge, 600);
    assert!(judged.live && !judged.ready);
    assert_eq!(word(&judged, "process"), (Outcome::Unknown, "not_seen"));
}

#[test]
fn a_beat_after_its_end_says_that_the_pid_file_is_old() {
    let mut judge = with_file(Some(10));
    watch_process(&mut judge, 0, 98, ALIVE);
    watch_process(&mut judge, 100, 130, ProcessSeen::Gone);
    watch_file(&mut judge, 0, 110, |t| Ok(beat(t / 10)));
    assert!(!now(&mut judge, 110).live, "what was written before its end is seen up to a look later");
    watch_file(&mut judge, 115, 130, |t| Ok(beat(t / 10)));
    let judged = now(&mut judge, 130);
    assert!(judged.live);
    assert_eq!(word(&judged, "process"), (Outcome::Warn, "exited"));
}

fn with_metrics(limit: u64) -> Judge {
    let mut judge = judge();
    judge.metrics = Some(MetricsWatch::new(Some("polls_total".to_owned()), s(limit)));
    judge
}

#[test]
fn a_counter_that_stands_still_convicts_at_its_limit_unless_the_worker_is_busy() {
    let mut judge = with_metrics(300);
    watch_metrics(&mut judge, 0, 100, count);
    watch_metrics(&mut judge, 110, 390, |_| count(100));
    assert!(now(&mut judge, 390).live);
    watch_metrics(&mut judge, 400, 400, |_| count(100));
    let flat = now(&mut judge, 400);
    assert!(!flat.live);
    assert_eq!(word(&flat, "metrics"), (Outcome::Fail, "no_progress"));

    let busy = |_| Ok(MetricsSeen { progress: Some(100), busy: Some(1), unreadable: None });
    watch_metrics(&mut judge, 410, 4000, busy);
    assert!(now(&mut judge, 4000).live, "busy is not hung");
    watch_metrics(&mut judge, 4010, 4290, |_| count(100));
    assert!(now(&mut judge, 4290).live, "what it stood still while busy is not held against it");
}

#[test]
fn a_counter_that_is_not_there_is_said_to_be_missing_and_convicts_nobody() {
    let mut judge = with_metrics(300);
    watch_metrics(&mut judge, 0, 1000, |_| Ok(MetricsSeen::default()));
    let judged = now(&mut judge, 1000);
    assert!(judged.live && !judged.ready);
    assert_eq!(word(&judged, "metrics"), (Outcome::Unknown, "field_invalid"));
}

#[test]
fn metrics_that_no_longer_answer_convict_after_a_minute_and_never_against_a_beat() {
    let mut judge = with_file(Some(10));
    judge.metrics = Some(MetricsWatch::new(None, s(300)));
    watch_metrics(&mut judge, 0, 100, count);
    watch_metrics(&mut judge, 110, 150, |_| Err(Failure::Refused));
    watch_file(&mut judge, 0, 200, |t| Ok(beat(t / 10)));
    assert_eq!(word(&now(&mut judge, 150), "metrics"), (Outcome::Warn, "refused"));
    watch_metrics(&mut judge, 160, 200, |_| Err(Failure::Refused));
    let lost = now(&mut judge, 200);
    assert!(lost.live);
    assert_eq!(word(&lost, "metrics"), (Outcome::Warn, "endpoint_lost"));
    judge.file = None;
    let alone = now(&mut judge, 200);
    assert!(!alone.live);
    assert_eq!(word(&alone, "metrics"), (Outcome::Fail, "refused"));
}

#[test]
fn metrics_that_answer_what_cannot_be_read_convict_nobody() {
    let mut judge = with_metrics(300);
    watch_metrics(&mut judge, 0, 100, count);
    let unreadable = |_| Ok(MetricsSeen { unreadable: Some(Failure::HttpStatus), ..MetricsSeen::default() });
    watch_metrics(&mut judge, 110, 4000, unreadable);
    let judged = now(&mut judge, 4000);
    assert!(judged.live && !judged.ready);
    assert_eq!(word(&judged, "metrics"), (Outcome::Unknown, "http_status"));
}

#[test]
fn metrics_that_never_answered_convict_nobody() {
    let mut judge = with_metrics(300);
    watch_metrics(&mut judge, 0, 1000, |_| Err(Failure::Refused));
    let judged = now(&mut judge, 1000);
    assert!(judged.live && !judged.ready);
}

#[test]
fn a_lost_heartbeat_does_not_convict_a_worker_whose_counter_moves() {
    let mut judge = with_file(Some(10));
    judge.metrics = Some(MetricsWatch::new(Some("polls_total".to_owned()), s(300)));
    watch_file(&mut judge, 0, 100, |t| Ok(beat(t / 10)));
    watch_file(&mut judge, 105, 200, |_| Ok(beat(10)));
    watch_metrics(&mut judge, 0, 100, count);
    watch_metrics(&mut judge, 110, 110, |_| count(110));
    watch_metrics(&mut judge, 120, 130, |_| count(110));
    assert!(!now(&mut judge, 130).live, "a move seen a look after the last beat says nothing about later");
    watch_metrics(&mut judge, 140, 200, count);
    let judged = now(&mut judge, 200);
    assert!(judged.live && judged.ready);
    assert_eq!(word(&judged, "heartbeat_file"), (Outcome::Warn, "heartbeat_lost"));
}

#[test]
fn draining_holds_liveness_for_half_an_hour_and_readiness_never() {
    let mut judge = with_file(Some(10));
    watch_process(&mut judge, 0, 100, ALIVE);
    watch_file(&mut judge, 0, 100, |t| Ok(beat(t / 10)));
    judge.told_to_leave(at(100));
    watch_file(&mut judge, 105, 3000, |_| Ok(beat(10)));
    watch_process(&mut judge, 102, 3000, ALIVE);
    let draining = now(&mut judge, 1899);
    assert!(draining.live && !draining.ready);
    assert_eq!(draining.phase, Phase::Draining);
    assert!(!now(&mut judge, 1900).live);
}

#[test]
fn who_has_left_is_not_alive_also_while_it_drains() {
    let mut judge = judge();
    watch_process(&mut judge, 0, 100, ALIVE);
    judge.told_to_leave(at(100));
    watch_process(&mut judge, 102, 102, ProcessSeen::Gone);
    let left = now(&mut judge, 102);
    assert!(!left.live);
    assert_eq!(left.phase, Phase::Exited);
}
