"""Workers that poll where the root of a queue does not show them."""

import pytest
from harness.config import config, temporal as source
from harness.temporal import TemporalServer
from harness.wait import hold, wait_for

# Nothing is forwarded, so that a poll waits and shows where it was given to: with one root among eight, mostly elsewhere.
SPLIT = [
    "matching.numTaskqueueReadPartitions=8",
    "matching.numTaskqueueWritePartitions=8",
    "matching.forwarderMaxOutstandingPolls=0",
]


@pytest.mark.slow(4)
@pytest.mark.timeout(500)
def test_workers_that_poll_other_partitions_than_the_root_are_polling(processes, exporter):
    server = TemporalServer(processes, settings=SPLIT)
    names = [f"w-{number}" for number in range(4)]
    # One poll each, and no heartbeat: their polls are all there is of them.
    workers = [server.worker(identity=name, heartbeat="off", workflows=False, polls=1) for name in names]
    watched = exporter(config(source(server, task_queues=[{"name": "orders", "types": ["activity"]}])))

    def pollers():
        return watched.sample("task_queue_pollers", task_queue="orders", task_type="activity")

    # A partition that was asked before its worker polled is asked again a minute later, while nobody is missing.
    wait_for(lambda: pollers() == len(names), 150, "all four to be listed")
    # All that moves is the time of a poll, and a poll lasts a minute.
    watched.wait_states(dict.fromkeys(names, "healthy"), 200)
    hold(lambda: watched.assert_never("degraded", "stuck", "down"), 75, every=1)
    watched.hold_states(dict.fromkeys(names, "healthy"), 1)
    assert pollers() == len(names)

    # All were seen in every partition, so that whoever is missing now is.
    workers[0].kill()
    watched.wait_state(names[0], "unknown", 300, reason="full_or_gone")
    assert {name: watched.state(name) for name in names[1:]} == dict.fromkeys(names[1:], "healthy")
