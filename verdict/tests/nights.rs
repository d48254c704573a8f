//! The nights of the verdict in a simulated world, each with time as an argument. On real parts: `tests/real`.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

mod world;

use std::sync::Arc;

use verdict::rules::Rules;
use verdict::words::{Failure, Reason, State, TaskType};
use world::{Process, Sdk, Web, World};

fn three(beats_each: f64) -> World {
    let mut world = World::new();
    for (n, host) in ["a", "b", "c"].into_iter().enumerate() {
        let pid = u32::try_from(n).unwrap() + 10;
        world
            .temporal
            .processes
            .push(Process { beats_each, ..Process::new(host, pid, -200.0 - f64::from(pid) * 0.37) });
    }
    world
}

#[test]
fn killed_and_not_restarted_it_is_down_within_ten_seconds_and_stays_through_its_tombstone() {
    let mut world = three(1.0);
    world.run(30.0);
    assert_eq!(world.state("a/orders"), Some(State::Healthy), "{:#?}", world.changes);
    world.temporal.processes[0].still = Some(30.0);
    world.run(200.0);
    let at = world.when("a/orders", State::Down, 30.0).expect("it is found dead");
    assert!(at - 30.0 <= 10.0, "{at}");
    assert_eq!(world.worker("a/orders").unwrap().reason, Reason::Stale);
    world.run(at + 890.0 - world.now);
    assert_eq!(
        world.state("a/orders"),
        Some(State::Down),
        "its record left the registry long ago, its tombstone stands"
    );
    world.run(20.0);
    assert_eq!(world.state("a/orders"), None);
    for other in ["b/orders", "c/orders"] {
        assert_eq!(world.state(other), Some(State::Healthy));
        assert!(!world.was_ever(other, State::Down) && !world.was_ever(other, State::Degraded));
    }
}

#[test]
fn killed_and_restarted_at_once_it_is_one_worker_with_one_restart_and_no_down() {
    for beats_each in [1.0, 60.0] {
        let mut world = three(beats_each);
        world.run(150.0);
        world.temporal.processes[0].still = Some(150.2);
        world.temporal.processes.push(Process { beats_each, ..Process::new("a", 99, 150.6) });
        world.run(900.0);
        assert_eq!(world.workers().len(), 3, "{:#?}", world.workers().iter().map(|w| &w.key).collect::<Vec<_>>());
        let worker = world.worker("a/orders").unwrap();
        assert_eq!((worker.state, worker.restarts), (State::Healthy, 1), "{beats_each} {:#?}", world.changes);
        assert_eq!(world.ever(State::Down), Vec::<String>::new());
        assert_eq!(worker.info.pid.as_deref(), Some("99"));
    }
}

#[test]
fn the_last_beat_before_a_death_that_is_seen_after_the_successor_makes_no_neighbour_of_it() {
    // The successor polls at once and beats a minute later, so that the queue shows it before the list does.
    for phase in 0..60 {
        let died = 300.0 + f64::from(phase);
        let mut world = three(60.0);
        world.run(died);
        world.temporal.processes[0].still = Some(died);
        let successor = Process::new("a", 99, died + 0.5);
        let successor = Process { beats_each: 60.0, late_first_beat: true, busy_until: f64::MAX, ..successor };
        world.temporal.processes.push(successor);
        for _ in 0..90 {
            world.run(10.0);
            assert_eq!(world.workers().len(), 3, "{phase} {:#?}", world.changes);
        }
        let worker = world.worker("a/orders").unwrap();
        assert_eq!((worker.state, worker.restarts), (State::Healthy, 1), "{phase}");
        assert_eq!(world.ever(State::Down), Vec::<String>::new(), "{phase}");
    }
}

#[test]
fn one_that_dies_while_it_waits_for_its_slot_is_nobodys_neighbour() {
    // Killed, restarted, killed again about when the first death is certain, and restarted again.
    for died in (0..24).map(|n| 380.0 + f64::from(n) * 5.0) {
        let mut world = three(60.0);
        world.run(300.0);
        world.temporal.processes[0].still = Some(300.0);
        world.temporal.processes.push(Process { beats_each: 60.0, still: Some(died), ..Process::new("a", 98, 315.0) });
        world.temporal.processes.push(Process { beats_each: 60.0, ..Process::new("a", 99, died + 1.0) });
        world.run(900.0);
        assert_eq!(world.ever(State::Down), Vec::<String>::new(), "{died}");
        assert_eq!(world.workers().len(), 3, "{died}");
        assert_eq!(world.state("a/orders"), Some(State::Healthy), "{died}");
    }
}

#[test]
fn two_on_one_host_are_two_workers_and_each_death_is_seen() {
    let mut world = World::new();
    world.temporal.processes.push(Process::new("a", 10, -100.0));
    world.run(20.0);
    world.temporal.processes.push(Process::new("a", 11, 20.3));
    world.run(30.0);
    assert_eq!(world.workers().len(), 2, "{:#?}", world.changes);
    assert_eq!(world.worker("a/orders").unwrap().restarts, 0);
    world.temporal.processes[0].still = Some(50.0);
    world.run(20.0);
    assert_eq!(world.state("a/orders"), Some(State::Down));
    assert_eq!(world.state("a/orders~2"), Some(State::Healthy));
}

#[test]
fn a_fleet_of_one_is_judged_like_any_other() {
    let mut world = World::new();
    world.temporal.processes.push(Process::new("only", 1, -100.0));
    world.run(20.0);
    world.temporal.processes[0].still = Some(20.0);
    world.run(10.0);
    assert_eq!(world.state("only/orders"), Some(State::Down));
}

#[test]
fn stopped_by_a_signal_it_is_down_and_continued_it_is_healthy() {
    let mut world = three(1.0);
    world.run(30.0);
    world.temporal.processes[1].still = Some(30.0);
    world.run(30.0);
    assert_eq!(world.state("b/orders"), Some(State::Down));
    world.temporal.processes[1].woke = Some(60.0);
    world.run(10.0);
    let worker = world.worker("b/orders").unwrap();
    assert_eq!((worker.state, worker.restarts), (State::Healthy, 0));
}

#[test]
fn a_clean_stop_drains_and_leaves_and_is_never_down() {
    for beats_each in [1.0, 60.0] {
        let mut world = three(beats_each);
        world.run(150.0);
        world.temporal.processes[2].goodbye = Some(150.0);
        world.run(40.0);
        let drained = world.was_ever("c/orders", State::Draining);
        world.run(600.0);
        assert!(drained);
        assert_eq!(world.state("c/orders"), None, "{:#?}", world.changes);
        assert_eq!(world.ever(State::Down), Vec::<String>::new());
    }
}

#[test]
fn the_stock_sdk_and_a_restart_of_ours_give_no_warning() {
    let mut world = World::new();
    for n in 0..20 {
        world
            .temporal
            .processes
            .push(Process { beats_each: 60.0, ..Process::new(&format!("h{n}"), n, -1000.0 - f64::from(n) * 7.7) });
    }
    world.run(600.0);
    for state in [State::Down, State::Degraded, State::Stuck] {
        assert_eq!(world.ever(state), Vec::<String>::new());
    }
    assert!(
        world.workers().iter().all(|w| w.state == State::Healthy && w.reason == Reason::Ok),
        "{:#?}",
        world.workers()
    );
}

#[test]
fn the_registry_empties_and_nobody_is_down_and_who_was_down_stays_down() {
    for (beats_each, fleet) in [(1.0, 1), (1.0, 3), (60.0, 3), (60.0, 1)] {
        let mut world = World::new();
        for n in 0..fleet {
            let host = format!("h{n}");
            world
                .temporal
                .processes
                .push(Process { beats_each, ..Process::new(&host, n, -1000.0 - f64::from(n) * 7.7) });
        }
        world.temporal.processes.push(Process { beats_each, ..Process::new("dead", 99, -1000.0) });
        world.run(200.0);
        world.temporal.processes.last_mut().unwrap().still = Some(200.0);
        world.run(250.0);
        assert_eq!(world.state("dead/orders"), Some(State::Down), "{:#?}", world.changes);
        // The server restarts within a look, and each worker needs a while to find it again.
        world.temporal.memory_from = world.now + 8.0;
        world.run(200.0);
        assert_eq!(world.state("dead/orders"), Some(State::Down));
        let others: Vec<_> = world.ever(State::Down).into_iter().filter(|c| !c.contains("dead/")).collect();
        assert_eq!(others, Vec::<String>::new(), "{beats_each} {fleet}");
        assert!(world.workers().iter().filter(|w| &*w.key.worker != "dead/orders").all(|w| w.state == State::Healthy));
    }
}

#[test]
fn the_server_is_away_for_ten_minutes_workers_are_unknown_and_nobody_is_down() {
    let mut world = three(1.0);
    world.run(30.0);
    world.temporal.processes[0].still = Some(30.0);
    world.run(20.0);
    assert_eq!(world.state("a/orders"), Some(State::Down));
    world.temporal.failing = Some(Failure::Refused);
    world.run(20.0);
    for other in ["b/orders", "c/orders"] {
        assert_eq!(
            world.state(other),
            Some(State::Unknown),
            "the slow rhythm of its polls does not speak for its beat"
        );
    }
    world.run(580.0);
    assert_eq!(world.state("a/orders"), Some(State::Down), "down stands: {:#?}", world.history("a/orders"));
    for other in ["b/orders", "c/orders"] {
        assert_eq!(world.state(other), Some(State::Unknown));
        assert_eq!(world.worker(other).unwrap().reason, Reason::SourceFailed);
    }
    world.temporal.failing = None;
    world.temporal.memory_from = world.now + 5.0;
    world.run(120.0);
    for other in ["b/orders", "c/orders"] {
        assert_eq!(world.state(other), Some(State::Healthy));
        assert!(!world.was_ever(other, State::Down));
    }
    assert_eq!(world.state("a/orders"), Some(State::Down));
}

#[test]
fn where_hundreds_of_queues_are_watched_an_expired_key_makes_its_workers_unknown_as_soon_as_anywhere() {
    // Each queue is looked at every 100 s: whenever the key expires, the last look at theirs is of another age.
    for expires in [200.0, 220.0, 240.0, 260.0, 280.0] {
        let mut world = three(1.0);
        let mut rules = world::rulebook(Rules::default(), 5);
        rules.sources[0].watch = (0..400).map(|n| (Arc::from(format!("named-{n}")), TaskType::Activity)).collect();
        world.ledger.configure(Arc::new(rules), world.moment());
        world.run(expires);
        world.temporal.failing = Some(Failure::Unauthenticated);
        world.run(20.0);
        for worker in ["a/orders", "b/orders", "c/orders"] {
            assert_eq!(world.state(worker), Some(State::Unknown), "what a queue showed before is no news: {worker}");
        }
        world.temporal.failing = None;
        world.run(20.0);
        for worker in ["a/orders", "b/orders", "c/orders"] {
            assert_eq!(world.state(worker), Some(State::Healthy));
            assert!(!world.was_ever(worker, State::Down));
        }
    }
}

#[test]
fn one_failed_look_changes_nothing() {
    let mut world = three(60.0);
    world.run(300.0);
    let before = world.changes.len();
    world.temporal.failing = Some(Failure::Timeout);
    world.run(25.0);
    world.temporal.failing = None;
    world.run(100.0);
    assert_eq!(world.changes.len(), before, "{:#?}", &world.changes[before..]);
}

#[test]
fn throttled_looks_add_to_no_silence() {
    let mut world = three(1.0);
    world.run(30.0);
    let before = world.changes.len();
    world.temporal.failing = Some(Failure::Throttled);
    world.run(5.0);
    world.temporal.failing = None;
    world.run(60.0);
    assert_eq!(world.changes.len(), before, "{:#?}", &world.changes[before..]);
    assert!(world.snapshot().sources.iter().all(|s| s.up != Some(false)));
}

#[test]
fn busy_for_hours_or_idle_for_days_it_is_healthy() {
    let mut world = three(60.0);
    for p in &mut world.temporal.processes {
        p.slots = 2;
        p.used = 2;
    }
    world.temporal.backlog.insert(TaskType::Activity, (500, 0.0));
    world.run(5.0 * 3600.0);
    assert_eq!(world.ever(State::Stuck), Vec::<String>::new());
    assert_eq!(world.ever(State::Down), Vec::<String>::new());
    assert!(world.workers().iter().all(|w| w.state == State::Healthy), "{:#?}", world.changes);
}

#[test]
fn full_for_longer_than_its_longest_task_it_is_saturated() {
    let mut world = World::with(Rules { longest_task: world::seconds(600.0), ..Rules::default() }, 0.5, 1.0);
    world.temporal.processes.push(Process { slots: 2, used: 2, ..Process::new("a", 1, -10.0) });
    world.run(500.0);
    assert_eq!(world.state("a/orders"), Some(State::Healthy));
    world.run(200.0);
    let worker = world.worker("a/orders").unwrap();
    assert_eq!((worker.state, worker.reason), (State::Degraded, Reason::Saturated));
}

#[test]
fn a_blocked_event_loop_while_workflows_wait_is_stuck_within_three_minutes_and_heals() {
    let mut world = three(1.0);
    world.run(100.0);
    world.temporal.processes[0].blocked = Some((100.0, 400.0));
    world.temporal.backlog.insert(TaskType::Workflow, (60, 100.0));
    world.run(180.0);
    let worker = world.worker("a/orders").unwrap();
    assert_eq!((worker.state, worker.reason), (State::Stuck, Reason::TasksNotProcessed), "{:#?}", world.changes);
    assert!(worker.score.unwrap() <= 0.4);
    assert_eq!(world.state("b/orders"), Some(State::Healthy));
    world.run(130.0);
    world.temporal.backlog.clear();
    world.run(60.0);
    assert_eq!(world.state("a/orders"), Some(State::Healthy));
}

#[test]
fn one_that_serves_only_activities_is_not_stuck_while_workflows_wait_for_its_neighbour() {
    // Java reports a hundred free slots for workflow tasks all the same.
    let sdk = Sdk::Java;
    let mut world = World::new();
    world.temporal.processes.push(Process { sdk, ..Process::new("both", 1, -100.0) });
    world.temporal.processes.push(Process { sdk, activities_only: true, ..Process::new("activities", 2, -90.0) });
    world.run(100.0);
    world.temporal.processes[0].blocked = Some((100.0, 700.0));
    world.temporal.backlog.insert(TaskType::Workflow, (60, 100.0));
    world.run(400.0);
    assert_eq!(world.state("both/orders"), Some(State::Stuck), "{:#?}", world.changes);
    assert_eq!(world.state("activities/orders"), Some(State::Healthy), "{:#?}", world.changes);
    assert!(!world.was_ever("activities/orders", State::Stuck));
    let types = world.worker("activities/orders").unwrap().types;
    assert_eq!(types.iter().map(|t| t.task_type).collect::<Vec<_>>(), [TaskType::Activity]);
}

#[test]
fn whoever_waits_between_two_polls_is_stuck_also_where_its_slots_have_no_number() {
    for (sdk, unbounded) in [(Sdk::Go, false), (Sdk::Go, true), (Sdk::Java, true)] {
        for beats_each in [1.0, 60.0] {
            let mut world = World::new();
            world.temporal.processes.push(Process { sdk, unbounded, beats_each, ..Process::new("a", 1, -100.0) });
            world.run(200.0);
            world.temporal.processes[0].blocked = Some((200.0, 600.0));
            world.temporal.backlog.insert(TaskType::Workflow, (60, 200.0));
            world.run(210.0);
            let worker = world.worker("a/orders").unwrap();
            assert_eq!((worker.state, worker.reason), (State::Stuck, Reason::NotPolling), "{:#?}", world.changes);
            world.run(190.0);
            world.temporal.backlog.clear();
            world.run(150.0);
            assert_eq!(world.state("a/orders"), Some(State::Healthy), "{sdk:?} {unbounded} {beats_each}");
        }
    }
}

#[test]
fn one_whose_slots_are_given_by_load_and_that_polls_for_no_more_is_full_and_not_stuck() {
    for sdk in [Sdk::Core, Sdk::Go, Sdk::Java] {
        let mut world = World::new();
        world.temporal.processes.push(Process {
            sdk,
            unbounded: true,
            used: 4,
            slots: 4,
            ..Process::new("a", 1, -100.0)
        });
        world.temporal.backlog.insert(TaskType::Activity, (60, 0.0));
        world.run(900.0);
        assert_eq!(world.state("a/orders"), Some(State::Healthy), "{sdk:?} {:#?}", world.changes);
        assert!(!world.was_ever("a/orders", State::Stuck) && !world.was_ever("a/orders", State::Degraded));
    }
}

#[test]
fn a_worker_whose_heartbeats_are_off_is_known_by_its_polls_and_never_down() {
    let mut world = World::new();
    world.temporal.processes.push(Process::new("listed", 1, -100.0));
    world.temporal.processes.push(Process { no_heartbeats: true, ..Process::new("silent", 2, -100.0) });
    world.run(200.0);
    assert_eq!(world.state("silent/orders"), Some(State::Healthy), "{:#?}", world.changes);
    world.temporal.processes[1].still = Some(200.0);
    world.run(600.0);
    let worker = world.worker("silent/orders").unwrap();
    assert_eq!((worker.state, worker.reason), (State::Unknown, Reason::FullOrGone));
    assert!(!world.was_ever("silent/orders", State::Down));
}

#[test]
fn a_record_that_was_dead_long_before_we_came_is_a_leftover() {
    let mut world = three(1.0);
    world.redis.insert("old".into(), (-3600.0, None));
    world.run(60.0);
    assert_eq!(world.state("old"), None);
    assert_eq!(world.snapshot().leftover_records, 1);
    world.redis.insert("old".into(), (60.0, None));
    world.run(10.0);
    assert!(world.state("old").is_some(), "it comes back when it changes");
}

#[test]
fn a_redis_key_that_expires_is_silent_and_one_that_is_deleted_has_left() {
    let mut world = World::new();
    world.run_beating(60.0, 2.0, &["w1", "w2"], Some(10.0));
    assert_eq!(world.state("w1"), Some(State::Healthy), "{:#?}", world.changes);
    // w1 dies: its key expires. w2 says goodbye: its key is deleted.
    world.redis.remove("w2");
    world.run(60.0);
    assert_eq!(world.state("w1"), Some(State::Down));
    assert_eq!(world.state("w2"), None, "{:#?}", world.history("w2"));
    assert!(!world.was_ever("w2", State::Down));
}

#[test]
fn a_redis_key_that_moved_to_another_node_is_no_death_however_soon_it_would_have_expired() {
    for together in [vec!["w2"], vec!["w2", "w3", "w4"]] {
        let mut world = World::new();
        let all = ["w1", "w2", "w3", "w4"];
        let stay: Vec<_> = all.into_iter().filter(|id| !together.contains(id)).collect();
        // Each key is always about to expire.
        world.run_beating(60.0, 2.0, &all, Some(2.5));
        assert_eq!(world.state("w2"), Some(State::Healthy), "{:#?}", world.changes);
        for id in &together {
            world.redis.remove(*id);
            world.redis_moved.push((*id).to_owned());
        }
        world.run_beating(120.0, 2.0, &stay, Some(2.5));
        for id in together {
            assert_eq!(world.state(id), None, "{:#?}", world.history(id));
        }
        assert!(world.ever(State::Down).is_empty(), "{:#?}", world.changes);
        // One that dies is still told from those that moved.
        world.run_beating(60.0, 2.0, &stay[1..], Some(2.5));
        assert_eq!(world.state("w1"), Some(State::Down), "{:#?}", world.history("w1"));
    }
}

#[test]
fn a_redis_key_that_was_flushed_between_two_beats_of_its_worker_says_no_goodbye() {
    let mut world = World::new();
    let all = ["w1", "w2", "w3", "w4"];
    world.run_beating(60.0, 4.0, &all, Some(60.0));
    let before = world.changes.len();
    for _ in 0..3 {
        // The others wrote theirs again before anybody looked.
        world.redis.remove("w1");
        world.run(3.5);
        world.run_beating(12.0, 4.0, &all, Some(60.0));
    }
    assert_eq!(world.changes.len(), before, "{:#?}", &world.changes[before..]);
}

#[test]
fn redis_dies_and_comes_back_empty_and_nobody_is_down() {
    for reset in [true, false] {
        let mut world = World::new();
        world.redis.insert("dead".into(), (0.0, None));
        world.run_beating(5.0, 2.0, &["w1", "w2", "w3", "dead"], None);
        world.run_beating(90.0, 2.0, &["w1", "w2", "w3"], None);
        assert_eq!(world.state("dead"), Some(State::Down), "{:#?}", world.history("dead"));
        world.redis_failing = Some(Failure::Refused);
        world.run(120.0);
        assert_eq!(world.state("w1"), Some(State::Unknown));
        world.redis_failing = None;
        world.redis.clear();
        world.redis_reset = reset;
        world.run(15.0);
        world.run_beating(120.0, 2.0, &["w1", "w2", "w3"], None);
        let others: Vec<_> = world.ever(State::Down).into_iter().filter(|c| !c.contains("dead")).collect();
        assert_eq!(others, Vec::<String>::new());
        assert_eq!(world.state("dead"), Some(State::Down));
        assert_eq!(world.state("w1"), Some(State::Healthy));
    }
}

fn web(n: usize, web: &Web) -> World {
    let mut world = World::new();
    for i in 0..n {
        world.web.insert(format!("w{i:02}"), web.clone());
    }
    world.discover();
    world
}

#[test]
fn an_endpoint_that_answers_is_healthy_and_one_that_hangs_is_down_with_timeout() {
    let mut world = web(5, &Web::Ok);
    world.run(30.0);
    assert!(world.workers().iter().all(|w| w.state == State::Healthy));
    world.web.insert("w01".into(), Web::Timeout);
    world.run(40.0);
    let worker = world.worker("w01").unwrap();
    assert_eq!((worker.state, worker.reason), (State::Down, Reason::Timeout));
    assert!(
        world.workers().iter().filter(|w| &*w.key.worker != "w01").all(|w| w.state == State::Healthy && w.changes == 0)
    );
    world.web.insert("w01".into(), Web::Ok);
    world.run(20.0);
    assert_eq!(world.state("w01"), Some(State::Healthy));
}

#[test]
fn two_misses_are_not_three() {
    let mut world = web(1, &Web::Ok);
    world.run(30.0);
    world.web.insert("w00".into(), Web::Timeout);
    world.run(9.0);
    assert_ne!(world.state("w00"), Some(State::Down));
    world.web.insert("w00".into(), Web::Ok);
    world.run(60.0);
    assert!(!world.was_ever("w00", State::Down));
}

#[test]
fn what_an_answer_says_of_its_loop_counts_whatever_its_code() {
    let mut world = web(3, &Web::Beating);
    world.web.insert("w01".into(), Web::NeverBeat);
    world.run(50.0);
    assert_eq!(world.state("w01"), Some(State::Starting), "inside its start grace");
    world.web.insert("w02".into(), Web::Frozen(50.0));
    world.run(200.0);
    let reasons = |name: &str| world.worker(name).map(|w| (w.state, w.reason)).unwrap();
    assert_eq!(reasons("w00"), (State::Healthy, Reason::Ok));
    assert_eq!(reasons("w01"), (State::Down, Reason::NeverBeat));
    assert_eq!(reasons("w02"), (State::Down, Reason::LoopDead));
}

#[test]
fn a_stamp_that_was_frozen_when_we_came_is_a_dead_loop_too() {
    let mut world = web(1, &Web::Frozen(-100.0));
    world.run(300.0);
    assert_eq!(world.worker("w00").map(|w| (w.state, w.reason)), Some((State::Down, Reason::LoopDead)));
}

#[test]
fn an_unhealthy_answer_is_degraded_and_a_refused_token_is_ours() {
    let mut world = web(4, &Web::Ok);
    world.run(70.0);
    world.web.insert("w00".into(), Web::Down);
    for n in 1..4 {
        world.web.insert(format!("w{n:02}"), Web::Unauthorized);
    }
    world.run(300.0);
    let reasons = |name: &str| world.worker(name).map(|w| (w.state, w.reason)).unwrap();
    assert_eq!(reasons("w00"), (State::Degraded, Reason::Unhealthy));
    assert_eq!(reasons("w01"), (State::Unknown, Reason::Misconfigured));
    assert_eq!(world.ever(State::Down), Vec::<String>::new());
    let source = world.snapshot().sources.into_iter().find(|s| &*s.source == "web").unwrap();
    assert_eq!(source.failure, Some(Failure::Unauthenticated));
}

#[test]
fn our_resolver_fails_for_ten_minutes_and_nobody_is_down_and_who_was_down_stays_down() {
    let mut world = web(6, &Web::Ok);
    world.run(70.0);
    world.web.insert("w00".into(), Web::Refused);
    world.run(100.0);
    assert_eq!(world.state("w00"), Some(State::Down));
    world.web.values_mut().for_each(|web| *web = Web::Unresolved);
    world.run(600.0);
    assert_eq!(world.state("w00"), Some(State::Down));
    let others: Vec<_> = world.workers().into_iter().skip(1).map(|w| (w.state, w.reason)).collect();
    assert_eq!(others, vec![(State::Unknown, Reason::SourceFailed); 5]);
    world.web.values_mut().for_each(|web| *web = Web::Ok);
    world.run(100.0);
    assert!(world.workers().iter().all(|w| w.state == State::Healthy), "{:#?}", world.changes);
    assert_eq!(world.ever(State::Down).len(), 1, "{:#?}", world.changes);
}

#[test]
fn a_name_that_is_gone_is_a_worker_that_is_gone() {
    let mut world = web(6, &Web::Ok);
    world.run(70.0);
    world.web.insert("w00".into(), Web::NoSuchName);
    world.run(100.0);
    assert_eq!(world.worker("w00").map(|w| (w.state, w.reason)), Some((State::Down, Reason::Unreachable)));
}

#[test]
fn a_stranger_at_the_address_of_a_worker_is_never_that_worker_well_or_unwell() {
    let mut world = web(4, &Web::Ok);
    world.run(70.0);
    world.web.insert("w00".into(), Web::Stranger);
    world.web.insert("w01".into(), Web::Refused);
    world.run(300.0);
    assert_eq!(world.worker("w00").map(|w| (w.state, w.reason)), Some((State::Unknown, Reason::Misconfigured)));
    assert_eq!(world.state("w01"), Some(State::Down));
    // Whoever takes the address of a dead worker does not raise it.
    world.web.insert("w01".into(), Web::Stranger);
    world.run(300.0);
    assert_eq!(world.state("w01"), Some(State::Down));
    assert_eq!(world.ever(State::Down).len(), 1, "{:#?}", world.changes);
}

#[test]
fn what_an_answer_says_of_its_loop_is_heard_after_the_start_grace_of_its_fleet_however_short() {
    let rules = Rules { start_grace: world::seconds(5.0), ..Rules::default() };
    let mut world = World::looking(rules, 0.25, 1.0, 2);
    world.web.insert("w0".into(), Web::NeverBeat);
    world.discover();
    world.run(4.0);
    assert_eq!(world.state("w0"), Some(State::Starting));
    world.run(8.0);
    assert_eq!(world.worker("w0").map(|w| (w.state, w.reason)), Some((State::Down, Reason::NeverBeat)));
}

#[test]
fn cut_off_from_workers_that_are_looked_at_often_we_are_blind_after_a_minute() {
    let mut world = World::looking(Rules::default(), 0.25, 1.0, 2);
    for n in 0..6 {
        world.web.insert(format!("w{n}"), Web::Ok);
    }
    world.discover();
    world.run(30.0);
    world.web.values_mut().for_each(|web| *web = Web::Timeout);
    world.run(55.0);
    assert!(world.workers().iter().all(|w| w.state == State::Healthy), "the gate holds for a minute");
    world.run(25.0);
    assert!(world.workers().iter().all(|w| w.state == State::Unknown), "{:#?}", world.changes);
    assert_eq!(world.ever(State::Down), Vec::<String>::new());
}

#[test]
fn cut_off_from_all_workers_we_say_so_once_and_convict_nobody() {
    let mut world = web(20, &Web::Ok);
    world.run(60.0);
    for answer in world.web.values_mut() {
        *answer = Web::Timeout;
    }
    world.run(300.0);
    assert_eq!(world.ever(State::Down), Vec::<String>::new());
    assert_eq!(world.ever(State::Degraded), Vec::<String>::new());
    assert!(
        world.workers().iter().all(|w| w.state == State::Unknown && w.reason == Reason::SourceSilent),
        "{:#?}",
        world.changes
    );
    let source = world.snapshot().sources.into_iter().find(|s| &*s.source == "web").unwrap();
    assert!(!source.trusted);
    for answer in world.web.values_mut() {
        *answer = Web::Ok;
    }
    world.run(60.0);
    assert!(world.workers().iter().all(|w| w.state == State::Healthy));
}

#[test]
fn cut_off_from_the_start_we_convict_nobody_either() {
    let mut world = web(20, &Web::Timeout);
    world.run(400.0);
    assert_eq!(world.ever(State::Down), Vec::<String>::new());
}

#[test]
fn all_of_them_really_killed_they_are_down_together_with_one_cause() {
    let mut world = web(20, &Web::Ok);
    world.run(60.0);
    for answer in world.web.values_mut() {
        *answer = Web::Refused;
    }
    world.run(60.0);
    let workers = world.workers();
    assert!(
        workers.iter().all(|w| (w.state, w.reason) == (State::Down, Reason::CorrelatedLoss)),
        "{:#?}",
        world.changes
    );
    let causes: std::collections::BTreeSet<_> = workers.iter().map(|w| w.shared_cause.clone()).collect();
    assert_eq!(causes.len(), 1, "{causes:?}");
}

#[test]
fn two_hundred_of_two_hundred_die_and_the_server_lives() {
    for beats_each in [1.0, 60.0] {
        let mut world = World::with(Rules::default(), 0.5, 1.0);
        for n in 0..200 {
            world
                .temporal
                .processes
                .push(Process { beats_each, ..Process::new(&format!("h{n}"), n, -1000.0 - f64::from(n) * 0.31) });
        }
        world.run(200.0);
        for p in &mut world.temporal.processes {
            p.still = Some(200.0);
        }
        let limit = if beats_each > 1.0 { 2.0 * 180.0 } else { 90.0 };
        world.run(limit);
        let down =
            world.workers().iter().filter(|w| (w.state, w.reason) == (State::Down, Reason::CorrelatedLoss)).count();
        assert_eq!(down, 200, "{beats_each}");
    }
}

#[test]
fn our_own_suspension_is_held_against_nobody() {
    let mut world = three(1.0);
    for n in 0..5 {
        world.web.insert(format!("w{n}"), Web::Beating);
    }
    world.discover();
    world.run_beating(60.0, 2.0, &["r1", "r2"], Some(10.0));
    let before = world.changes.len();
    world.suspended(120.0);
    world.run_beating(60.0, 2.0, &["r1", "r2"], Some(10.0));
    assert_eq!(world.changes.len(), before, "{:#?}", &world.changes[before..]);
    assert_eq!(world.snapshot().late_ticks, 1);
}

#[test]
fn a_worker_with_a_counter_that_stands_while_work_waits_is_stuck() {
    let mut world = web(2, &Web::Ok);
    world.web.insert("w01".into(), Web::Zombie);
    world.run(150.0);
    assert_eq!(world.worker("w01").map(|w| (w.state, w.reason)), Some((State::Stuck, Reason::NoProgress)));
    assert_eq!(world.state("w00"), Some(State::Healthy));
}

#[test]
fn a_target_that_leaves_its_list_leaves_in_silence_even_when_it_was_down() {
    let mut world = web(3, &Web::Ok);
    world.run(30.0);
    world.web.insert("w01".into(), Web::Refused);
    world.run(60.0);
    assert_eq!(world.state("w01"), Some(State::Down));
    world.run(3000.0);
    assert_eq!(world.state("w01"), Some(State::Down), "its owner still names it");
    world.web.remove("w01");
    world.web.remove("w02");
    world.discover();
    world.run(10.0);
    assert_eq!(world.workers().len(), 1);
}

#[test]
fn a_busy_worker_whose_queue_runs_empty_stays_healthy() {
    for beats_each in [1.0, 10.0, 60.0] {
        let mut world = three(beats_each);
        for p in &mut world.temporal.processes {
            p.busy_until = 600.0;
        }
        world.run(1800.0);
        assert_eq!(world.ever(State::Degraded), Vec::<String>::new(), "{beats_each} {:#?}", world.changes);
        assert_eq!(world.state("a/orders"), Some(State::Healthy));
    }
}

#[test]
fn a_killed_endpoint_whose_answers_carried_a_stamp_is_down() {
    for n in [1, 5] {
        let mut world = web(n, &Web::Beating);
        world.run(120.0);
        world.web.insert("w00".into(), Web::Refused);
        world.run(600.0);
        let worker = world.worker("w00").unwrap();
        assert_eq!((worker.state, worker.reason), (State::Down, Reason::Refused), "{n}");
    }
}
