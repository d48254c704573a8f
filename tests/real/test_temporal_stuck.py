"""Busy is not stuck, idle is not stuck, and a worker whose loop is blocked is."""

import pytest
from harness.config import config, temporal as source
from harness.temporal import Ingress, TemporalWorker
from harness.wait import hold, wait_for

# Longer than every limit of a worker that polls: two long polls of a minute, and a bit.
LONGER_THAN_EVERY_LIMIT = 150


@pytest.mark.slow(5)
def test_a_worker_whose_event_loop_an_activity_blocks_is_stuck_within_three_minutes_and_healthy_afterwards(temporal, exporter):
    temporal.worker(identity="zombie")
    watched = exporter(config(source(temporal)))
    watched.wait_all("healthy", 1, 30)

    # The commonest zombie in Python: its heart beats on, from a thread of the SDK's core.
    temporal.run_workflows("block", count=1, seconds=190)
    wait_for(lambda: watched.sample("worker_slots", worker="zombie", task_type="activity", slot="used") == 1, 20, "the block")
    waiting = temporal.run_workflows("quick", count=160)

    watched.wait_state("zombie", "stuck", 180)
    assert watched.sample("worker_up", worker="zombie") == 1, "stuck is not down: the process lives"
    assert watched.reason("zombie") in ("tasks_not_processed", "not_polling", "no_progress")
    watched.wait_state("zombie", "healthy", 200)

    watched.assert_never("down")
    temporal.completed(waiting, 60)


@pytest.mark.slow(3)
def test_a_worker_with_all_activity_slots_busy_for_longer_than_every_limit_is_never_stuck_or_down(temporal, exporter):
    temporal.worker(identity="busy", activities=2)
    watched = exporter(config(source(temporal)))
    watched.wait_all("healthy", 1, 30)

    temporal.run_workflows("wait", count=6, seconds=600)
    used = {"worker": "busy", "task_type": "activity", "slot": "used"}
    wait_for(lambda: watched.sample("worker_slots", **used) == 2, 20, "both slots to be used")
    wait_for(
        lambda: watched.sample("task_queue_backlog_tasks", task_queue="orders", task_type="activity") == 4, 30, "four to wait"
    )
    watched.hold_states({"busy": "healthy"}, LONGER_THAN_EVERY_LIMIT)

    watched.assert_never("stuck", "down", "degraded")


@pytest.mark.slow(3)
def test_a_worker_on_an_idle_queue_is_healthy_for_longer_than_every_limit(temporal, exporter):
    temporal.worker(identity="idle")
    watched = exporter(config(source(temporal)))
    watched.wait_all("healthy", 1, 30)

    watched.hold_states({"idle": "healthy"}, LONGER_THAN_EVERY_LIMIT)
    assert set(watched.changes_of("idle")) <= {"starting", "healthy"}, watched.story()


@pytest.mark.slow(4)
def test_workers_whose_polls_an_ingress_cuts_are_healthy_with_and_without_heartbeats_and_a_death_is_still_seen(temporal, exporter):
    # The SDK of a worker stamps the polls that succeed, and none of these ever does. That they poll, their server knows.
    ingress = Ingress(temporal, seconds=20)
    anna = TemporalWorker(ingress, "orders", identity="anna")
    TemporalWorker(ingress, "letters", identity="boris", heartbeat="off")
    watched = exporter(config(source(temporal, task_queues=[{"name": "letters"}])))
    watched.wait_all("healthy", 2, 120)
    watched.hold_states({"anna": "healthy", "boris": "healthy"}, LONGER_THAN_EVERY_LIMIT)
    watched.assert_never("stuck", "down", "degraded")
    assert ingress.process.output().count("PollActivityTaskQueue") > 20

    anna.kill()
    watched.wait_state("anna", "down", 20)


def test_an_expected_queue_that_nobody_polls_is_visible_as_is_a_mistyped_name(temporal, exporter):
    # The worker's own configuration says `invoice`; the workflows go to `invoices`.
    temporal.worker(queue="invoice", identity="anna")
    watched = exporter(config(source(temporal, task_queues=[{"name": "invoices"}, {"name": "never-used"}])))
    temporal.run_workflows("quick", queue="invoices", count=3)

    watched.wait_state("anna", "healthy", 30)
    watched.wait_sample("task_queue_backlog_tasks", 3, task_queue="invoices", task_type="workflow")
    assert watched.sample("task_queue_pollers", task_queue="invoices", task_type="workflow") == 0
    assert watched.sample("task_queue_pollers", task_queue="never-used", task_type="workflow") == 0
    wait_for(lambda: watched.sample("task_queue_pollers", task_queue="invoice", task_type="workflow") == 1, 20, "anna's poll")
    queues = {row["task_queue"] for row in watched.get("/health/queues").json["queues"]}
    assert {"invoice", "invoices", "never-used"} <= queues


def test_failing_activities_degrade_the_worker_that_runs_them(temporal, exporter):
    temporal.worker(identity="clumsy")
    watched = exporter(config(source(temporal), fleets=[{"name": "default/orders", "minimum_tasks": 5}]))
    watched.wait_all("healthy", 1, 30)

    temporal.run_workflows("fail", count=10)
    watched.wait_state("clumsy", "degraded", 60, reason="task_performance")
    hold(lambda: watched.state("clumsy") == "degraded" or pytest.fail(watched.story()), 5)
    watched.assert_never("down", "stuck")
