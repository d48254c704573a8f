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


def test_more_pollers_than_a_server_keeps_a_list_of_are_said_to_be_more(temporal, exporter):
    # 1,000 for each partition: what a server keeps is no setting of it. One partition is what such a server has.
    assert temporal.poll_as([f"w-{number}" for number in range(1100)], queue="crowded") == 1000
    assert temporal.poll_as([f"w-{number}" for number in range(900)], queue="full") == 900
    queues = [{"name": name, "types": ["activity"]} for name in ("crowded", "full")]
    watched = exporter(config(source(temporal, task_queues=queues)))
    for name, pollers, incomplete in (("crowded", 1000, 1), ("full", 900, 0)):
        watched.wait_sample("task_queue_pollers", pollers, 40, task_queue=name, task_type="activity")
        assert watched.sample("task_queue_pollers_incomplete", task_queue=name, task_type="activity") == incomplete
    looked = [watched.sample("task_queue_last_success_timestamp_seconds", task_queue="crowded", task_type="activity")]

    def looked_again():
        looked.append(watched.sample("task_queue_last_success_timestamp_seconds", task_queue="crowded", task_type="activity"))
        return len(set(looked)) > 2

    wait_for(looked_again, 60, "two more looks at the queue", every=1)
    told = [line for line in watched.log() if "more poll this queue than" in str(line)]
    assert len(told) == 1 and "crowded" in str(told[0]), told


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
