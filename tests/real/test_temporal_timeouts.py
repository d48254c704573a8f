"""Workflows that run out of time."""

from harness.config import config, temporal as source
from harness.wait import wait_for


def test_workflows_that_a_timeout_closed_are_counted_where_that_is_wanted(temporal, exporter):
    worker = temporal.worker(identity="anna")
    plain = source(temporal, name="plain")
    watched = exporter(config(plain, source(temporal, name="counting", timed_out_workflows=True)))
    watched.wait_state("anna", "healthy", 40)

    def timed_out(name="counting"):
        return watched.sample("temporal_workflows_timed_out", source=name, temporal_namespace="default")

    wait_for(lambda: timed_out() == 0, 90, "nothing to have run out of time")
    done = temporal.run_workflows("quick", count=2)
    temporal.completed(done)
    worker.stop()
    temporal.run_workflows("quick", count=3, timeout=2)
    # Whoever finished is not counted; nor is anything where nobody asked for it.
    wait_for(lambda: timed_out() == 3, 100, "three to have run out of time")
    assert timed_out("plain") is None
    counted = {one["source"]: one["workflows_timed_out"] for one in watched.get("/health/sources").json["sources"]}
    assert counted == {"plain": None, "counting": 3}
