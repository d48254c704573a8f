"""Real Celery workers, heard over a real Redis. Nothing is asked of a worker, and none was changed."""

import pytest
from harness.celery_part import CeleryBroker
from harness.config import celery as source
from harness.config import config
from harness.wait import wait_for

NODES = ("anna@test", "boris@test")


def queue(watched, name="celery"):
    return {
        family: watched.sample(f"task_queue_{family}", task_queue=name)
        for family in ("backlog_tasks", "backlog_age_seconds")
    }


@pytest.fixture
def two(celery_part):
    return [celery_part.worker(node.split("@")[0]) for node in NODES]


def test_a_killed_worker_is_down_and_back_as_one_worker_with_one_restart(celery_part, two, exporter):
    watched = exporter(config(source(celery_part)))
    watched.wait_states({node: "healthy" for node in NODES}, 20)
    worker = watched.worker("anna@test")
    assert worker["heartbeat_interval_seconds"] == 2, "it says so itself"
    assert watched.sample("worker_info", worker="anna@test", host="test", sdk_name="py-celery") == 1

    two[0].kill()
    took = watched.wait_state("anna@test", "down", 20, reason="stale")
    print(f"down after {took:.1f} s")
    watched.hold_states({"anna@test": "down", "boris@test": "healthy"}, 12)

    celery_part.worker("anna")
    watched.wait_state("anna@test", "healthy", 20)
    assert watched.sample("worker_restarts_total", worker="anna@test") == 1
    watched.assert_never("down", workers={"boris@test"})


def test_a_worker_that_is_asked_to_leave_is_never_down(celery_part, two, exporter):
    watched = exporter(config(source(celery_part)))
    watched.wait_states({node: "healthy" for node in NODES}, 20)
    two[0].leave()
    two[0].wait_gone(20)
    watched.wait_state("anna@test", None, 30)
    # Longer than the grace of a newcomer, and than all its limits.
    watched.hold_states({"boris@test": "healthy"}, 15)
    watched.assert_never("down", "degraded", "stuck")
    assert set(watched.states()) == {"boris@test"}


def test_idle_workers_are_healthy_and_what_they_do_is_counted_by_what_they_say(celery_part, two, exporter):
    watched = exporter(config(source(celery_part)))
    watched.wait_states({node: "healthy" for node in NODES}, 20)
    watched.hold_states({node: "healthy" for node in NODES}, 45)
    assert queue(watched) == {"backlog_tasks": 0, "backlog_age_seconds": None}, "nobody named the queue"

    celery_part.send(20)
    done = lambda: sum(value for _, value in watched.samples("worker_tasks_total"))  # noqa: E731
    wait_for(lambda: done() == 20, 20, "20 tasks to be counted")
    celery_part.send(2, seconds=6)
    wait_for(lambda: watched.sample("worker_tasks_in_flight", worker="boris@test") == 1, 10, "a task in flight")
    wait_for(lambda: done() == 22, 20, "22 tasks to be counted")
    assert watched.sample("worker_fleet_tasks_total", task_type="activity", outcome="completed") == 22
    watched.assert_never("down", "degraded", "stuck", "unknown")


def test_priorities_and_several_queues_are_added_up_and_the_oldest_head_counts(celery_part, exporter):
    watched = exporter(config(source(celery_part, queues=["celery", "mail"])))
    wait_for(lambda: queue(watched, "mail")["backlog_tasks"] == 0, 20, "the queue to be looked at")
    celery_part.send(3)
    celery_part.send(4, priority=6)
    celery_part.send(5, queue="mail", priority=9)
    wait_for(lambda: queue(watched)["backlog_tasks"] == 7, 20, "three and four to wait")
    wait_for(lambda: queue(watched, "mail")["backlog_tasks"] == 5, 20, "five to wait")
    wait_for(lambda: (queue(watched)["backlog_age_seconds"] or 0) >= 10, 30, "the head to have waited")
    celery_part.worker("anna", queues="celery")
    wait_for(lambda: queue(watched) == {"backlog_tasks": 0, "backlog_age_seconds": None}, 20, "the queue to be empty")
    assert queue(watched, "mail")["backlog_tasks"] == 5


@pytest.mark.slow(3)
def test_a_pool_that_hangs_while_work_waits_is_stuck_though_its_worker_beats(celery_part, exporter):
    worker = celery_part.worker("anna")
    watched = exporter(config(source(celery_part)))
    watched.wait_states({"anna@test": "healthy"}, 20)
    celery_part.send(3)
    wait_for(lambda: watched.sample("worker_tasks_total", worker="anna@test") == 3, 20, "three tasks to be done")

    worker.stop_children()
    # The first goes into the pool's pipe and the second is held by the worker: neither has begun. The rest waits.
    celery_part.send(6)
    took = watched.wait_state("anna@test", "stuck", 150, reason="no_progress")
    print(f"stuck after {took:.1f} s")
    worker.go_on_children()
    watched.wait_state("anna@test", "healthy", 40)
    watched.assert_never("down", "degraded")


@pytest.mark.slow(2)
def test_a_pool_that_hangs_in_its_tasks_is_saturated_after_the_longest_task_and_not_before(celery_part, exporter):
    hung = celery_part.worker("anna")
    celery_part.worker("boris", queues="long")
    watched = exporter(config(source(celery_part), fleets=[{"name": "celery", "longest_task": "40s"}]))
    watched.wait_states({node: "healthy" for node in NODES}, 20)
    celery_part.send(1, seconds=15)
    celery_part.send(1, seconds=30, queue="long")
    wait_for(lambda: watched.sample("worker_tasks_in_flight", worker="anna@test") == 1, 10, "a task to have begun")
    hung.stop_children()
    watched.hold_states({node: "healthy" for node in NODES}, 30)
    watched.wait_state("anna@test", "degraded", 30, reason="saturated")
    # A long task is no hanging one.
    watched.assert_never("degraded", workers={"boris@test"})
    watched.assert_never("down", "stuck", workers={"anna@test"})


@pytest.mark.slow(2)
def test_a_broker_that_restarts_empty_brings_nobody_down(celery_part, two, exporter):
    watched = exporter(config(source(celery_part)))
    watched.wait_states({node: "healthy" for node in NODES}, 20)

    # At once, and after longer than every limit.
    celery_part.redis.kill()
    celery_part.redis.start()
    watched.wait_states({node: "healthy" for node in NODES}, 40)
    celery_part.redis.kill()
    watched.wait_states({node: "unknown" for node in NODES}, 30)
    watched.wait_sample("worker_exporter_source_up", 0, source="celery", kind="celery")
    watched.hold_states({node: "unknown" for node in NODES}, 20)
    celery_part.redis.start()
    watched.wait_states({node: "healthy" for node in NODES}, 60)
    watched.hold_states({node: "healthy" for node in NODES}, 30)
    watched.assert_never("down", "degraded", "stuck")

    # And it hears as well as before.
    two[1].kill()
    watched.wait_state("boris@test", "down", 90)
    watched.assert_never("down", workers={"anna@test"})


def test_our_own_connection_is_cut_and_nobody_is_judged_by_it(celery_part, two, exporter):
    watched = exporter(config(source(celery_part)))
    watched.wait_states({node: "healthy" for node in NODES}, 20)
    for _ in range(4):
        # The workers subscribe as well, but never to a channel by its plain name.
        ours = [c["id"] for c in celery_part.redis.client.client_list(_type="pubsub") if c["sub"] == "1"]
        assert len(ours) == 1
        celery_part.redis.client.client_kill_filter(_id=ours[0])
        watched.hold_states({node: "healthy" for node in NODES}, 8)
    watched.assert_never("down", "degraded", "unknown")


def test_a_worker_that_stands_still_as_a_whole_is_down_while_its_work_waits_and_back_when_it_goes_on(celery_part, two, exporter):
    watched = exporter(config(source(celery_part)))
    watched.wait_states({node: "healthy" for node in NODES}, 20)
    two[0].stop()
    celery_part.send(4, seconds=0.1)
    watched.wait_state("anna@test", "down", 20)
    two[0].go_on()
    watched.wait_state("anna@test", "healthy", 30)
    watched.assert_never("down", "stuck", workers={"boris@test"})


def test_workers_of_other_names_and_of_other_prefixes_belong_to_somebody_else(processes, redis_part, exporter):
    shop = CeleryBroker(processes, redis_part, prefix="shop:")
    shop.worker("mail")
    shop.worker("web")
    CeleryBroker(processes, redis_part).worker("stranger")
    watched = exporter(config(source(shop, pattern="mail@{id}", key_prefix="shop:")))
    watched.wait_states({"test": "healthy"}, 20)
    shop.send(1)
    wait_for(lambda: watched.sample("worker_tasks_total", worker="test") is not None, 20, "its tasks")
    watched.hold_states({"test": "healthy"}, 8)
    assert set(watched.states()) == {"test"}
