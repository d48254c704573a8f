"""Heartbeats on redis-servers that belong together: each server is a source, and all are of one fleet."""

import pytest
from harness.config import config, redis as source
from harness.redis_servers import RedisCluster, RedisPair
from harness.wait import wait_for

KNOWN = {"name": "beats", "heartbeat_interval": "1s"}
# Longer than every limit of a cadence of a second.
LONG = 15


@pytest.mark.slow(1)
def test_slots_that_move_through_a_cluster_bring_nobody_down_and_nobody_leaves(processes, exporter):
    cluster = RedisCluster(processes)
    here, there = cluster.of_node(0, 5), cluster.of_node(1, 1)
    moving, staying = here[:2], here[2:]
    # Each key is always about to expire, so that one that moved away looks like one that expired.
    for name in (*here, *there):
        cluster.writer(name, ttl=2.5)
    one, two = (source(node, name=name) for node, name in zip(cluster.nodes, ("one", "two"), strict=True))
    watched = exporter(config(one, two, fleets=[KNOWN]))
    # Who reads one node alone sees the workers of its slots, and no others.
    half = exporter(config(one, fleets=[KNOWN]))
    watched.wait_all("healthy", 6, 30)
    half.wait_all("healthy", 5, 30)
    before = len(watched.changes)
    healthy = dict.fromkeys((*here, *there), "healthy")

    slots = [cluster.slot_of(name) for name in moving]
    for slot in slots:
        cluster.begin(slot, 0, 1)
    watched.hold_states(healthy, LONG)
    for slot in slots:
        cluster.end(slot, 0, 1)
    watched.hold_states(healthy, LONG)
    assert watched.changes[before:] == [], watched.story()

    half.wait_states(dict.fromkeys(staying, "healthy"), 20)
    half.assert_never("down", "stuck", "unknown")
    for asked, nodes in ((watched, 2), (half, 1)):
        said = [line.get("message", "") for line in asked.log()]
        times = [sum(words in line for line in said) for words in ("one node of a cluster", "moved to another node", "not be read")]
        assert times == [nodes, 1, 0], said


def test_a_failover_that_sentinel_decides_brings_nobody_down_where_each_server_is_a_source(processes, exporter):
    pair = RedisPair(processes)
    names = ("anna", "boris")
    for name in names:
        pair.writer(name, ttl=10.0)
    servers = source(pair.master, name="one"), source(pair.replica, name="two")
    watched = exporter(config(*servers, fleets=[KNOWN]))
    watched.wait_all("healthy", 2, 30)

    pair.master.process.kill()
    wait_for(lambda: pair.named_master() == pair.replica.port, 30, "Sentinel to name the other one")
    watched.wait_sample("worker_exporter_source_up", 0, source="one", kind="redis")
    watched.wait_sample("worker_exporter_source_up", 1, source="two", kind="redis")
    watched.wait_all("healthy", 2, 30)
    watched.hold_states(dict.fromkeys(names, "healthy"), LONG)
    watched.assert_never("down", "stuck")
