"""Versions of workers: which are given tasks, and who polls for them."""

from harness.config import config, temporal as source
from harness.wait import wait_for


def queue(watched, task_type="workflow", name="orders"):
    """A queue as /health/queues shows it, or an empty mapping."""
    queues = watched.get("/health/queues").json["queues"]
    return next((q for q in queues if (q["task_queue"], q["task_type"]) == (name, task_type)), {})


def versions(watched, **more):
    """Status and pollers by build id."""
    return {v["build_id"]: (v["status"], v["pollers"]) for v in queue(watched, **more).get("versions", [])}


def pollers(watched, build, **labels):
    wanted = {"task_queue": "orders", "task_type": "workflow", "deployment": "shop", "build_id": build, **labels}
    return watched.sample("task_queue_version_pollers", **wanted)


def test_a_current_version_whose_workers_are_killed_is_told_while_those_of_the_old_one_poll_on(temporal, exporter):
    temporal.worker(identity="anna", version="shop:v1")
    new = temporal.worker(identity="boris", version="shop:v2")
    watched = exporter(config(source(temporal)))
    watched.wait_all("healthy", 2, 40)

    # Nothing is current yet, so that what is started goes to workers without a version.
    wait_for(lambda: versions(watched).get("") == ("current", 0), 30, "workers without a version to be current")
    wait_for(lambda: any("no version is current" in issue for issue in queue(watched)["issues"]), 10, "the issue")

    temporal.set_current("shop", "v1")
    wait_for(lambda: versions(watched).get("v1") == ("current", 1), 30, "v1 to be current")
    assert queue(watched)["issues"] == []
    temporal.set_current("shop", "v2")
    wait_for(lambda: versions(watched).get("v2") == ("current", 1), 30, "v2 to be current")
    assert queue(watched)["issues"] == []

    new.kill()
    # Its heartbeat tells long before the server forgets its poll, which is after five minutes.
    wait_for(lambda: pollers(watched, "v2", status="current") == 0, 30, "no pollers of v2")
    assert pollers(watched, "v1") == 1
    (issue,) = queue(watched)["issues"]
    assert issue == "no worker polls for shop:v2, the current version: new work waits; 1 poller of another version is there"
    assert watched.state("anna") == "healthy"
    told = f"queue orders, workflow: {issue}"
    wait_for(lambda: told in watched.worker("boris")["issues"] and told in watched.worker("anna")["notes"], 10, "both to be told")

    new.start()
    wait_for(lambda: versions(watched).get("v2") == ("current", 1), 60, "v2 to have its worker back")
    assert queue(watched)["issues"] == []
