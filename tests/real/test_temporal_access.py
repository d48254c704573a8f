"""What a namespace lets us see, and what the others lose when one of them does not."""

import pytest
from harness.config import config, temporal as source
from harness.temporal import TemporalServer
from harness.wait import hold


def test_a_namespace_that_is_not_there_is_one_failed_source_and_the_others_are_untouched(processes, exporter):
    server = TemporalServer(processes, namespaces=("default", "second"))
    server.worker(identity="anna")
    server.worker(identity="boris", namespace="second")
    watched = exporter(
        config(
            source(server, name="first"),
            source(server, name="second", namespace="second"),
            source(server, name="third", namespace="gone"),
        )
    )
    watched.wait_states({"anna": "healthy", "boris": "healthy"}, 30)
    watched.wait_sample("worker_exporter_source_up", 0, source="third", kind="temporal")
    watched.wait_sample("worker_exporter_source_failure", 1, source="third", kind="temporal", reason="not_found")
    watched.hold_states({"anna": "healthy", "boris": "healthy"}, 15)
    for name in ("first", "second"):
        assert watched.sample("worker_exporter_source_up", source=name) == 1
    assert watched.worker("boris", "second/orders")["state"] == "healthy"


@pytest.mark.slow(4)
@pytest.mark.parametrize(
    ("heartbeat", "settings"),
    [("off", []), (1, ["frontend.WorkerHeartbeatsEnabled=false"])],
    ids=["by_the_worker", "by_the_server"],
)
def test_a_worker_that_polls_but_is_never_listed_because_heartbeats_are_off_is_alive(processes, exporter, heartbeat, settings):
    server = TemporalServer(processes, settings=settings)
    server.worker(identity="anna", heartbeat=heartbeat)
    # Nothing lists it, so nothing says which queue to ask about it: the queue is named.
    watched = exporter(config(source(server, task_queues=[{"name": "orders"}])))
    # All that shows it is the time of its last poll, and a long poll lasts a minute.
    watched.wait_state("anna", "healthy", 150)
    hold(lambda: watched.state("anna") == "healthy" or pytest.fail(watched.story()), 70, every=1)
    watched.assert_never("down", "stuck", "degraded")
