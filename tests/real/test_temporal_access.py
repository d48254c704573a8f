"""What a namespace lets us see, and what the others lose when one of them does not."""

import pytest
from harness.config import config, temporal as source
from harness.key_gate import KeyGate
from harness.temporal import TemporalServer
from harness.wait import hold, wait_for


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


@pytest.mark.slow(4)
@pytest.mark.timeout(600)
def test_of_three_namespaces_of_200_queues_one_key_expires_and_the_other_two_are_untouched(processes, exporter, tmp_path):
    names = ("default", "second", "third")
    server = TemporalServer(processes, namespaces=names)
    workers = {name: server.worker(identity=f"w-{name}", namespace=name) for name in names}
    # The one queue that is served, and 199 that are only named: each costs a look at workflows and one at activities.
    queues = [{"name": "orders"}] + [{"name": f"named-{number}"} for number in range(199)]
    with KeyGate(server, {name: f"key-of-{name}" for name in names}) as gate:
        sources = []
        for name in names:
            (tmp_path / name).write_text(f"Bearer {gate.keys[name]}\n")
            key = {"authorization": {"file": str(tmp_path / name)}}
            sources.append(source(gate, name=name, namespace=name, task_queues=queues, metadata=key))
        watched = exporter(config(*sources))
        watched.wait_states({f"w-{name}": "healthy" for name in names}, 60)

        def asked(name):
            """How many queues of this namespace have been looked at. Counts lines: the gate shares this process."""
            series = f'task_queue_last_success_timestamp_seconds{{source="{name}",'
            return watched.metrics().count(series)

        # Four queues a second and namespace, so that the budget of five requests a second is enough: 100 s for all of
        # them on a calm machine. What a busy one fails to answer in time comes a round later.
        for name in names:
            wait_for(lambda name=name: asked(name) >= 300, 240, f"most queues of {name} to have been looked at", every=2)
            assert watched.sample("worker_exporter_source_throttled_total", source=name) < 20

        gate.keys["second"] = "a new one, which nobody has told us"
        watched.wait_sample("worker_exporter_source_failure", 1, source="second", kind="temporal", reason="unauthenticated")
        # Long past its limits: 3 beats of a second, on looks that are due every two.
        watched.wait_state("w-second", "unknown", 60)
        watched.hold_states({"w-default": "healthy", "w-second": "unknown", "w-third": "healthy"}, 30)
        for name in ("default", "third"):
            assert watched.sample("worker_exporter_source_up", source=name) == 1
            assert gate.refused[name] == 0
            assert asked(name) >= 300
        # The others are judged as ever: a death is seen in time.
        workers["third"].kill()
        assert watched.wait_state("w-third", "down", 15) < 15
        (tmp_path / "second").write_text(f"Bearer {gate.keys['second']}\n")
        watched.wait_state("w-second", "healthy", 60)
        watched.assert_never("down", "stuck", "degraded", workers=("w-default", "w-second"))
