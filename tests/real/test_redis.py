"""Heartbeat keys in a real Redis."""

import pytest
from harness.config import config, redis as source
from harness.wait import wait_for


# Redis does not say how often a worker beats; the fleet's owner does. Without it, it is learned.
KNOWN = {"name": "beats", "heartbeat_interval": "1s"}


def three(redis_part, **options):
    return {name: redis_part.writer(name, **options) for name in ("anna", "boris", "chloe")}


def test_heartbeats_of_every_kind_are_read_and_a_killed_writer_is_down(redis_part, exporter):
    writers = {
        "epoch": redis_part.writer("epoch", stamp="epoch"),
        "iso": redis_part.writer("iso", stamp="iso"),
        "json": redis_part.writer("json", stamp="json"),
        "forever": redis_part.writer("forever", ttl=0),
        "kept": redis_part.writer("kept", ttl=0),
    }
    watched = exporter(config(source(redis_part), fleets=[KNOWN]))
    watched.wait_all("healthy", 5, 30)
    before = len(watched.changes)

    writers["iso"].kill()
    writers["forever"].kill()
    for killed in ("iso", "forever"):
        watched.wait_state(killed, "down", 15)
    # One key expires meanwhile, the other never will. Expired is silent, not left.
    watched.hold_states({"epoch": "healthy", "iso": "down", "json": "healthy", "forever": "down", "kept": "healthy"}, 15)
    assert {change.worker for change in watched.changes[before:]} == {"iso", "forever"}, watched.story()

    redis_part.writer("iso", stamp="iso")
    watched.wait_state("iso", "healthy", 15)


def test_a_cadence_that_nobody_declares_is_learned_and_a_killed_writer_is_down(redis_part, exporter):
    writers = three(redis_part)
    watched = exporter(config(source(redis_part)))
    watched.wait_all("healthy", 3, 30)
    wait_for(lambda: (watched.worker("boris")["heartbeat_interval_seconds"] or 60) <= 3, 40, "the cadence to be learned")

    writers["boris"].kill()
    watched.wait_state("boris", "down", 20)
    watched.assert_never("down", workers={"anna", "chloe"})


def test_a_key_deleted_before_its_time_is_a_goodbye(redis_part, exporter):
    writers = three(redis_part, ttl=60.0)
    watched = exporter(config(source(redis_part), fleets=[KNOWN]))
    watched.wait_all("healthy", 3, 30)

    writers["boris"].terminate()
    watched.wait_state("boris", None, 20)
    watched.assert_never("down", "stuck", "degraded")
    assert set(watched.states()) == {"anna", "chloe"}


@pytest.mark.slow(2)
def test_a_redis_that_is_away_and_comes_back_empty_brings_nobody_down_and_nobody_back(redis_part, exporter):
    writers = three(redis_part, ttl=60.0)
    watched = exporter(config(source(redis_part), fleets=[KNOWN]))
    watched.wait_all("healthy", 3, 30)
    writers["chloe"].kill()
    watched.wait_state("chloe", "down", 15)

    redis_part.kill()
    watched.wait_states({"anna": "unknown", "boris": "unknown", "chloe": "down"}, 30)
    watched.wait_sample("worker_exporter_source_up", 0, source="redis", kind="redis")
    watched.hold_states({"chloe": "down"}, 70)

    redis_part.start()
    watched.wait_states({"anna": "healthy", "boris": "healthy", "chloe": "down"}, 30)
    watched.assert_never("down", workers={"anna", "boris"})
    assert watched.changes_of("chloe").count("down") == 1, watched.story()


def test_a_paused_redis_convicts_nobody_and_goes_on_by_itself(redis_part, exporter):
    three(redis_part)
    watched = exporter(config(source(redis_part), fleets=[KNOWN]))
    watched.wait_all("healthy", 3, 30)

    # Longer than every limit of a cadence of one second.
    redis_part.client.client_pause(20_000)
    watched.wait_sample("worker_exporter_source_failure", 1, source="redis", kind="redis", reason="timeout")
    watched.wait_states({"anna": "unknown", "boris": "unknown", "chloe": "unknown"}, 20)
    watched.wait_all("healthy", 3, 40)
    watched.assert_never("down", "stuck", "degraded")


def test_a_flushed_redis_with_living_writers_changes_nothing(redis_part, exporter):
    three(redis_part, every=2.0, ttl=60.0)
    watched = exporter(config(source(redis_part), fleets=[{**KNOWN, "heartbeat_interval": "2s"}]))
    watched.wait_all("healthy", 3, 30)
    before = len(watched.changes)

    for _ in range(3):
        redis_part.client.flushall()
        watched.hold_states({}, 8)
    watched.wait_all("healthy", 3, 10)
    assert watched.changes[before:] == [], watched.story()


def test_a_redis_that_refuses_our_password_is_our_own_trouble_and_convicts_nobody(redis_part, exporter, tmp_path):
    secret = tmp_path / "password"
    secret.write_text("right\n")
    redis_part.require("right")
    for name in ("anna", "boris"):
        redis_part.writer(name)
    watched = exporter(config(source(redis_part, password_file=str(secret)), fleets=[KNOWN]))
    watched.wait_all("healthy", 2, 30)

    # Rotated behind our back. The workers know; we do not.
    redis_part.require("rotated")
    for name in ("anna", "boris"):
        redis_part.writer(name)
    watched.wait_states({"anna": "unknown", "boris": "unknown"}, 30)
    watched.wait_sample("worker_exporter_source_failure", 1, source="redis", kind="redis", reason="unauthenticated")
    watched.hold_states({"anna": "unknown", "boris": "unknown"}, 15)

    secret.write_text("rotated\n")
    watched.wait_all("healthy", 2, 40)
    watched.assert_never("down", "stuck")


def test_a_fleet_that_is_quiet_by_design_is_healthy_while_it_is_quiet(redis_part, exporter):
    writer = redis_part.writer("nightly", ttl=0)
    watched = exporter(config(source(redis_part, fleet="nightly"), fleets=[{"name": "nightly", "max_quiet": "26h"}]))
    watched.wait_all("healthy", 1, 30)

    writer.stop()
    watched.hold_states({"nightly": "healthy"}, 30)
    watched.assert_never("down", "degraded")
