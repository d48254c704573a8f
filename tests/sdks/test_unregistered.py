"""Activities that nobody registered: only the Go SDK counts them, so only a real worker of it can show that they are seen."""

import pytest
from harness.config import config, http
from harness.exporter import Exporter
from harness.processes import Processes, free_port
from harness.temporal import TemporalServer
from harness.wait import wait_for
from sdk import SDKS

NAME = "worker_unregistered_activities_total"


def test_a_go_worker_that_is_called_for_an_activity_it_does_not_know_is_counted_from_0(tmp_path):
    go = SDKS["go"]
    if go.missing is not None:
        pytest.skip(go.missing)
    processes = Processes(tmp_path)
    try:
        server, port = TemporalServer(processes), free_port()
        metrics = f"127.0.0.1:{port}"
        worker = processes.start("go", [*go.command, "--address", server.address, "--queue", "orders", "--heartbeat", "1", "--metrics", metrics])
        worker.wait_output("polling", 30)
        target = type("Target", (), {"worker": "w-1", "url": f"http://{metrics}/metrics"})
        exporter = Exporter(processes, config(http(target, name="own", kind="metrics", fleet="orders")))
        wait_for(lambda: exporter.sample(NAME, fleet="orders") == 0, 30, "a count from 0")
        server.run_workflows("unregistered")
        wait_for(lambda: (exporter.sample(NAME, fleet="orders") or 0) >= 2, 30, "the call, and that it is tried again")
        assert exporter.sample("worker_workflow_task_failures_total", fleet="orders", reason="workflow_error") == 0
    finally:
        processes.end()
