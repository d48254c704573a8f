"""Workers' own metrics as a source: a real Temporal worker, and a worker with the client library of Python."""

import json
import urllib.request

import pytest
from harness.config import config, http, temporal
from harness.processes import answers, free_port
from harness.wait import hold, wait_for

TARGET = "127.0.0.1"


class MetricsWorker:
    def __init__(self, processes, worker):
        self.processes, self.worker, self.port = processes, worker, free_port()
        self.start()

    @property
    def url(self):
        return f"http://{TARGET}:{self.port}/metrics"

    def start(self):
        self.process = self.processes.python(f"metrics-{self.worker}", "metrics_worker.py", self.port)
        wait_for(lambda: answers(self.port), 15, "the worker to listen")

    def does(self, **work):
        request = urllib.request.Request(f"http://{TARGET}:{self.port}/control", json.dumps(work).encode(), method="POST")
        with urllib.request.urlopen(request, timeout=5) as answer:
            assert answer.status == 204


def metrics(*workers, name="own", fleet="web", **keys):
    return http(*workers, name=name, fleet=fleet, **{"kind": "metrics", **keys})


@pytest.fixture
def worker(processes):
    return MetricsWorker(processes, "w-1")


NAMED = {"tasks": ["jobs_total"], "tasks_failed": ['jobs_total{status="failed"}'], "task_duration": ["job_duration_seconds"]}


def total(exporter, name, **labels):
    return exporter.sample(name, **labels)


def test_tasks_and_durations_of_a_fleet_survive_the_restart_of_its_worker(worker, exporter):
    worker.does(done=7)
    exporter = exporter(config(metrics(worker, **NAMED)))
    fleet = {"fleet": "web", "task_type": "activity"}
    exporter.wait_state("w-1", "healthy", 20)
    wait_for(lambda: total(exporter, "worker_tasks_total", worker="w-1") == 7, 15, "what it did before we came")
    assert total(exporter, "worker_fleet_tasks_total", outcome="completed", **fleet) == 0
    worker.does(done=3, failed=2, seconds=0.1)
    wait_for(lambda: total(exporter, "worker_fleet_tasks_total", outcome="failed", **fleet) == 2, 15, "its failures")
    assert total(exporter, "worker_fleet_tasks_total", outcome="completed", **fleet) == 3
    assert total(exporter, "worker_task_duration_seconds_count", **fleet) == 5
    # 0.1 s is in its bucket up to 0.2 s, and so in ours up to 0.25 s, and not in the one up to 0.1 s.
    assert total(exporter, "worker_task_duration_seconds_bucket", le="0.25", **fleet) == 5
    assert total(exporter, "worker_task_duration_seconds_bucket", le="0.1", **fleet) == 0
    assert abs(total(exporter, "worker_task_duration_seconds_sum", **fleet) - 0.5) < 0.001
    worker.process.kill()
    worker.start()
    worker.does(done=20)
    wait_for(lambda: total(exporter, "worker_fleet_tasks_total", outcome="completed", **fleet) == 23, 20, "both lives")
    assert total(exporter, "worker_task_duration_seconds_count", **fleet) == 25
    assert total(exporter, "worker_tasks_total", worker="w-1") == 32
    assert exporter.worker("w-1")["restarts"] == 1


def test_a_body_and_the_metrics_of_one_worker_are_counted_once(worker, http_worker, exporter):
    beside = http_worker("w-1", body='{"status":"ok","tasks_total":100,"tasks_failed":90}')
    exporter = exporter(config(metrics(worker, **NAMED), http(beside, name="health")))
    fleet = {"fleet": "web", "task_type": "activity"}
    wait_for(lambda: len(exporter.worker("w-1")["sources"]) == 2, 20, "both sources")
    exporter.wait_state("w-1", "healthy", 20)
    worker.does(done=10)
    beside.now(body='{"status":"ok","tasks_total":200,"tasks_failed":190}')
    wait_for(lambda: total(exporter, "worker_fleet_tasks_total", outcome="completed", **fleet) == 10, 15, "ten tasks")
    # Longer than two looks at each.
    hold(lambda: check(total(exporter, "worker_fleet_tasks_total", outcome="failed", **fleet) == 0), 5)


def check(true):
    assert true


@pytest.mark.slow(2)
def test_a_counter_of_tokens_that_is_flat_while_requests_wait_is_stuck(worker, exporter):
    exporter = exporter(config(metrics(worker, progress=["tokens_total"], waiting=["jobs_waiting"])))
    worker.does(tokens=10, waiting=4)
    exporter.wait_state("w-1", "healthy", 20)
    exporter.wait_state("w-1", "stuck", 110, reason="no_progress")
    worker.does(tokens=1)
    exporter.wait_state("w-1", "healthy", 20)


def test_what_is_no_exposition_is_said_and_is_not_held_against_the_worker(http_worker, exporter):
    odd = http_worker("w-1", body="# TYPE a counter\na -1 1 1\n", type="text/plain; version=0.0.4")
    exporter = exporter(config(metrics(odd)))
    wait_for(lambda: any("body_invalid" in line for line in exporter.process.output().splitlines()), 20, "the log to say it")
    assert exporter.state("w-1") not in ("down", "degraded")
    assert "line 2" in exporter.process.output()


def test_a_real_temporal_worker_tells_why_its_workflow_tasks_fail_and_how_long_its_own_requests_take(temporal, exporter):
    port = free_port()
    temporal.worker(identity="w-1", metrics=f"{TARGET}:{port}")
    target = type("Target", (), {"worker": "w-1", "url": f"http://{TARGET}:{port}/metrics"})
    exporter = exporter(config(metrics(target, fleet="orders")))

    def failed(reason):
        return total(exporter, "worker_workflow_task_failures_total", fleet="orders", reason=reason)

    wait_for(lambda: failed("non_determinism") == 0, 20, "a count from 0, so that the first failure is an increase")
    temporal.run_workflows("begin")
    temporal.run_workflows("huge")
    wait_for(lambda: failed("message_too_large"), 40, "an answer that no message can hold")
    assert failed("workflow_error") == failed("non_determinism") == 0
    # No SDK counts types apart that nobody registered: to the worker in Python it is an error of its own.
    temporal.run_workflows("nobody-knows-it")
    wait_for(lambda: failed("workflow_error"), 40, "a workflow whose type the worker does not know")
    assert failed("non_determinism") == 0
    temporal.run_workflows("fickle", seconds=0.1)
    wait_for(lambda: failed("non_determinism"), 40, "code that does something else than its history says")
    assert failed("other") == 0
    wait_for(lambda: total(exporter, "worker_request_duration_seconds_count", fleet="orders") == 1, 20, "its one start of a workflow")
    # Only the SDK for Go counts them.
    assert total(exporter, "worker_unregistered_activities_total", fleet="orders") is None


def test_a_real_temporal_worker_tells_its_slots_tasks_and_durations(temporal, exporter):
    port = free_port()
    worker = temporal.worker(identity="w-1", metrics=f"{TARGET}:{port}")
    target = type("Target", (), {"worker": "w-1", "url": f"http://{TARGET}:{port}/metrics"})
    exporter = exporter(config(metrics(target, fleet="orders"), temporal_source(temporal)))
    wait_for(lambda: len((exporter.worker("w-1") or {"sources": []})["sources"]) == 2, 30, "both sources to show one worker")
    wait_for(lambda: total(exporter, "worker_slots", worker="w-1", task_type="activity", slot="available") == 100, 20, "its slots")
    # The metrics have been seen, so that what comes now comes under our eyes.
    wait_for(lambda: total(exporter, "worker_sticky_cache_misses_total", fleet="orders") == 0, 20, "its metrics")
    temporal.completed(temporal.run_workflows("wait", count=4, seconds=0.3))
    activity = {"fleet": "orders", "task_type": "activity"}
    wait_for(lambda: total(exporter, "worker_fleet_tasks_total", outcome="completed", **activity) == 4, 20, "four activities, once")
    hold(lambda: check(total(exporter, "worker_fleet_tasks_total", outcome="completed", **activity) == 4), 5)
    assert total(exporter, "worker_task_duration_seconds_count", **activity) == 4
    assert 1.2 <= total(exporter, "worker_task_duration_seconds_sum", **activity) < 4
    assert total(exporter, "worker_schedule_to_start_seconds_count", **activity) == 4
    assert worker.process.alive


def temporal_source(server):
    return temporal(server, fleet="orders")
