"""The Temporal server fails, and no worker is blamed for it."""

import pytest
from harness.config import config, temporal as source
from harness.wait import wait_for


def two_and_a_dead_one(temporal, exporter, heartbeat):
    workers = {name: temporal.worker(identity=name, heartbeat=heartbeat) for name in ("anna", "boris", "chloe")}
    watched = exporter(config(source(temporal)))
    watched.wait_all("healthy", 3, 30 + 3 * heartbeat)
    workers["chloe"].kill()
    watched.wait_state("chloe", "down", 10 + 4 * heartbeat)
    return watched


@pytest.mark.slow(2)
@pytest.mark.parametrize("heartbeat", [1, 10], ids=["for_seconds", "for_ten_seconds"])
def test_a_restarted_server_whose_registry_is_empty_brings_nobody_down_and_nobody_back(temporal, exporter, heartbeat):
    watched = two_and_a_dead_one(temporal, exporter, heartbeat)
    before = len(watched.changes)

    temporal.kill()
    temporal.start()
    # The registry is empty until each worker's next beat, and the dead one never comes back into it.
    watched.hold_states({"chloe": "down"}, 45)
    watched.wait_states({"anna": "healthy", "boris": "healthy", "chloe": "down"}, 40)

    assert {change.worker for change in watched.changes[before:]} == set(), watched.story()


@pytest.mark.slow(3)
def test_a_server_that_is_away_for_longer_than_every_limit_makes_workers_unknown_and_never_down(temporal, exporter):
    watched = two_and_a_dead_one(temporal, exporter, 1)

    temporal.kill()
    watched.wait_states({"anna": "unknown", "boris": "unknown", "chloe": "down"}, 30)
    watched.wait_sample("worker_exporter_source_up", 0, source="temporal", kind="temporal")
    assert watched.samples("worker_up", worker="anna") == [], "unknown is neither 0 nor 1"
    # Longer than the gate's minute and every limit of a heartbeat each second.
    watched.hold_states({"anna": "unknown", "boris": "unknown", "chloe": "down"}, 75)
    assert watched.get("/-/ready").status == 200, "a source that is away does not take the page away"

    temporal.start()
    watched.wait_states({"anna": "healthy", "boris": "healthy", "chloe": "down"}, 60)
    watched.wait_sample("worker_exporter_source_up", 1, source="temporal", kind="temporal")

    watched.assert_never("down", workers={"anna", "boris"})
    assert watched.changes_of("chloe").count("down") == 1, watched.story()


def test_a_server_that_comes_after_the_exporter_is_found_by_itself(temporal, exporter):
    temporal.kill()
    watched = exporter(config(source(temporal)))
    assert watched.workers() == {}

    temporal.start()
    temporal.worker(identity="anna")
    watched.wait_state("anna", "healthy", 60)
    wait_for(lambda: watched.sample("worker_exporter_source_up", source="temporal") == 1, 10, "the source to be up")
