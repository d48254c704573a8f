"""Health endpoints: every shape, and every way in which one fails."""

import json

from harness.config import config, http
from harness.shapes import BAD, HEALTHY, MALFORMED, ROWS, WARNING
from harness.wait import hold, wait_for

EAGER = {"name": "web", "start_grace": "5s"}
BEATING = '{"status":"healthy","last_heartbeat":{now}}'


def test_every_body_shape_is_understood_and_no_answer_brings_a_worker_down(http_worker, exporter):
    many = http_worker("many", paths={f"/{name}": told for name, _, told in ROWS})
    source = http()
    source["targets"] = [{"id": name, "url": f"http://{many.target}/{name}"} for name, _, _ in ROWS]
    watched = exporter(config(source, fleets=[EAGER]))

    # One warning alone is a warning of a healthy worker, also where the probe is all that is known of it.
    right = {HEALTHY: ("healthy", "healthy"), WARNING: ("healthy", "warning"), BAD: ("degraded", "critical")}
    wanted = {name: right[meaning] for name, meaning, _ in ROWS if meaning in right}

    def wrong():
        workers = watched.workers()
        seen = {name: (workers[name]["state"], workers[name]["status"]) for name in wanted if name in workers}
        return {name: (seen.get(name), "instead of", wanted[name]) for name in wanted if seen.get(name) != wanted[name]}

    try:
        wait_for(lambda: not wrong(), 40, "each shape to be judged right")
    except AssertionError:
        raise AssertionError(json.dumps(wrong(), indent=1)) from None
    # What cannot be read is no proof of anything: neither healthy by its word, nor dead.
    for name, meaning, _ in ROWS:
        if meaning == MALFORMED:
            assert watched.state(name) in ("healthy", "degraded", "unknown", "starting"), (name, watched.worker(name))
    watched.assert_never("down", "stuck")


def test_alive_false_with_a_stamp_of_zero_is_down_because_it_never_beat(http_worker, exporter):
    worker = http_worker("loop", body='{"alive":false,"last_heartbeat":0.0}')
    watched = exporter(config(http(worker), fleets=[EAGER]))
    watched.wait_state("loop", "down", 30, reason="never_beat")

    worker.now(body='{"alive":true,"last_heartbeat":{now}}')
    watched.wait_state("loop", "healthy", 20)


def test_alive_false_after_a_life_is_down_because_its_loop_is_dead(http_worker, exporter):
    worker = http_worker("loop", body='{"alive":true,"last_heartbeat":{now}}')
    watched = exporter(config(http(worker), fleets=[EAGER]))
    watched.wait_state("loop", "healthy", 20)

    worker.now(body=json.dumps({"alive": False, "last_heartbeat": 1700000000.0}))
    watched.wait_state("loop", "down", 20, reason="loop_dead")


def test_a_frozen_stamp_under_a_200_is_down_because_its_loop_is_dead(http_worker, exporter):
    worker = http_worker("loop", body=BEATING)
    other = http_worker("other", body=BEATING)
    watched = exporter(config(http(worker, other), fleets=[EAGER]))
    watched.wait_all("healthy", 2, 30)

    frozen = watched.worker("loop")
    assert frozen is not None
    worker.now(body='{"status":"healthy","last_heartbeat":1763780000.5}')
    watched.wait_state("loop", "down", 70, reason="loop_dead")
    worker.now(body=BEATING)
    watched.wait_state("loop", "healthy", 20)
    watched.assert_never("down", workers={"other"})


def test_a_200_that_says_unhealthy_is_degraded_and_says_why(http_worker, exporter):
    worker = http_worker("honest", body='{"status":"UNHEALTHY","output":"model server is away"}')
    watched = exporter(config(http(worker), fleets=[EAGER]))
    watched.wait_state("honest", "degraded", 20)

    known = watched.workers()["honest"]
    assert known["reason"] in ("unhealthy", "contradiction"), known
    assert known["status"] == "critical"
    assert any("unhealthy" in issue.lower() for issue in known["issues"]), known["issues"]
    watched.assert_never("down")


def test_a_503_with_a_healthy_body_is_a_contradiction(http_worker, exporter):
    worker = http_worker("torn", status=503, body='{"status":"healthy"}')
    watched = exporter(config(http(worker), fleets=[EAGER]))
    watched.wait_state("torn", "degraded", 20, reason="contradiction")


def test_a_token_that_expired_is_our_misconfiguration_and_never_down(http_worker, exporter, tmp_path):
    token = tmp_path / "token"
    token.write_text("first\n")
    worker = http_worker("guarded", bearer="first")
    watched = exporter(config(http(worker, bearer_token_file=str(token)), fleets=[EAGER]))
    watched.wait_state("guarded", "healthy", 20)

    worker.now(bearer="second")
    wait_for(lambda: watched.reason("guarded") == "misconfigured", 40, "the reason to be misconfigured")
    hold(lambda: watched.state("guarded") in ("unknown", "degraded", "healthy") or watched.assert_never("down"), 15)
    wait_for(
        lambda: any(value > 0 for _, value in watched.samples("worker_exporter_source_errors_total", source="http")),
        10,
        "the error to be counted",
    )
    watched.assert_never("down", "stuck")

    token.write_text("second\n")
    watched.wait_state("guarded", "healthy", 20)


def test_a_worker_that_hangs_after_accept_is_down_with_timeout_while_the_others_keep_their_cadence(http_worker, exporter):
    hanging = http_worker("hanging")
    others = [http_worker(f"steady-{n}") for n in range(5)]
    watched = exporter(config(http(hanging, *others)))
    watched.wait_all("healthy", 6, 30)
    before = len(watched.changes)

    hanging.now(hang=True)
    checked = {worker.worker: set() for worker in others}

    def look():
        for name, stamps in checked.items():
            stamps.add(watched.workers()[name]["last_check"])
        return watched.state("hanging") == "down"

    wait_for(look, 20, "the hanging worker to be down")
    assert watched.reason("hanging") == "timeout"
    hold(look, 10)
    # Looked at each 2 s for more than ten seconds: all of them were looked at several times meanwhile.
    assert min(len(stamps) for stamps in checked.values()) >= 4, {name: len(stamps) for name, stamps in checked.items()}
    assert {change.worker for change in watched.changes[before:]} == {"hanging"}, watched.story()

    hanging.now()
    watched.wait_state("hanging", "healthy", 20)


def test_a_killed_worker_is_down_with_refused_and_one_restarted_at_once_is_not(http_worker, exporter):
    dead, quick, steady = http_worker("dead"), http_worker("quick"), http_worker("steady")
    watched = exporter(config(http(dead, quick, steady)))
    watched.wait_all("healthy", 3, 30)

    dead.kill()
    quick.kill()
    quick.start()
    watched.wait_state("dead", "down", 15, reason="refused")
    watched.hold_states({"quick": "healthy", "steady": "healthy"}, 10)
    watched.assert_never("down", workers={"quick", "steady"})

    dead.start()
    watched.wait_state("dead", "healthy", 20)


def test_targets_of_file_sd_come_and_go_with_the_file(http_worker, exporter, tmp_path):
    first, second = http_worker("first"), http_worker("second")
    file = tmp_path / "targets.json"

    def write(*workers):
        groups = [{"targets": [w.target], "labels": {"slot": w.worker}} for w in workers]
        # As configuration management does it: the whole file at once.
        (tmp_path / "new").write_text(json.dumps(groups))
        (tmp_path / "new").rename(file)

    write(first)
    watched = exporter(config(http(file_sd={"files": [str(tmp_path / "*.json")]}, worker_label="slot")))
    watched.wait_states({"first": "healthy"}, 20)
    write(first, second)
    watched.wait_states({"first": "healthy", "second": "healthy"}, 20)
    write(second)
    first.kill()
    watched.wait_states({"second": "healthy"}, 20)
    watched.assert_never("down")


def test_a_worker_that_never_answered_is_down_after_its_grace_and_was_starting_before(http_worker, exporter):
    worker = http_worker("absent")
    worker.kill()
    watched = exporter(config(http(worker), fleets=[EAGER]))
    watched.wait_state("absent", "down", 60)
    assert watched.reason("absent") in ("never_beat", "refused")


def test_a_service_that_took_over_the_address_of_a_worker_is_not_that_worker(http_worker, exporter):
    body = '{"status":"%s","service":{"name":"mail","worker":"%s"}}'
    moved, dead, other = (http_worker(name, body=body % ("ok", name)) for name in ("moved", "dead", "other"))
    named = http(moved, dead, other, identity={"field": "/service/worker"})
    watched = exporter(config(named, fleets=[EAGER]))
    watched.wait_all("healthy", 3, 30)
    dead.kill()
    watched.wait_state("dead", "down", 30, reason="refused")

    # Another worker at the address of the living one, and a web server that knows nothing at that of the dead one.
    moved.now(body=body % ("down", "stranger-1"), status=503)
    dead.behaviour = {"body": "<html>welcome</html>", "type": "text/html"}
    dead.start()
    watched.wait_state("moved", "unknown", 60, reason="misconfigured")
    wait_for(lambda: watched.sample("worker_exporter_source_errors_total", source="http", reason="stranger") > 20, 60, "looks at both")
    watched.hold_states({"moved": "unknown", "dead": "down", "other": "healthy"}, 10)
    told = [line["reason"] for line in watched.log() if line.get("worker") == "moved" and "health endpoint" in line.get("message", "")]
    assert told == ["stranger"], told
    assert not any("stranger-1" in json.dumps(line) for line in watched.log()), "the log repeats no answer"
    watched.assert_never("down", workers={"moved", "other"})

    moved.now(body=body % ("ok", "moved"))
    dead.now(body=body % ("ok", "dead"))
    watched.wait_all("healthy", 3, 40)
