"""We were suspended. That says nothing about anybody else."""

import pytest
from harness.config import config, http, redis, temporal as temporal_source
from harness.wait import hold


@pytest.mark.slow(3)
def test_after_two_minutes_of_our_own_suspension_nobody_is_judged_on_it(temporal, redis_part, http_worker, exporter):
    beats = {name: temporal.worker(identity=name) for name in ("temporal-1", "temporal-2")}
    keys = {name: redis_part.writer(name) for name in ("redis-1", "redis-2")}
    web = [http_worker(f"http-{n}", body='{"status":"healthy","last_heartbeat":{now}}') for n in (1, 2)]
    watched = exporter(config(temporal_source(temporal), redis(redis_part), http(*web), fleets=[{"name": "beats", "heartbeat_interval": "1s"}]))
    watched.wait_all("healthy", 6, 40)
    before = len(watched.changes)

    watched.process.stop()
    hold(lambda: None, 60, every=5)
    # One really dies meanwhile. It must be found, by what is seen after waking.
    keys["redis-2"].kill()
    hold(lambda: None, 60, every=5)
    watched.process.go_on()

    watched.wait_state("redis-2", "down", 25)
    living = {*beats, "redis-1", "http-1", "http-2"}
    watched.hold_states(dict.fromkeys(living, "healthy"), 30)
    assert {change.worker for change in watched.changes[before:]} == {"redis-2"}, watched.story()
