"""Workers of a real Temporal server that die, pause, leave and come back."""

import pytest
from harness.config import config, temporal as source
from harness.wait import hold, wait_for

# What a page needs: a worker whose heart beats each second is known to be dead within this.
DETECTED_WITHIN = 10


def three(temporal):
    return {name: temporal.worker(identity=name) for name in ("anna", "boris", "chloe")}


def test_of_three_workers_the_killed_one_is_down_within_ten_seconds_and_the_others_are_untouched(temporal, exporter):
    workers = three(temporal)
    watched = exporter(config(source(temporal)))
    watched.wait_all("healthy", 3, 30)
    before = len(watched.changes)

    workers["boris"].kill()
    watched.wait_state("boris", "down", DETECTED_WITHIN, reason="stale")
    # Longer than the gate and every limit: a verdict on the others would have come by then.
    watched.hold_states({"anna": "healthy", "boris": "down", "chloe": "healthy"}, 20)

    assert {change.worker for change in watched.changes[before:]} == {"boris"}, watched.story()
    assert watched.sample("worker_up", worker="boris") == 0
    assert watched.sample("worker_up", worker="anna") == 1
    assert watched.sample("worker_fleet_workers", fleet="default/orders", state="down") == 1


def test_of_three_workers_of_one_host_under_the_stock_identity_exactly_one_is_down(temporal, exporter):
    workers = [temporal.worker() for _ in range(3)]
    watched = exporter(config(source(temporal)))
    watched.wait_all("healthy", 3, 30)

    workers[1].kill()
    wait_for(lambda: sorted(watched.states().values()) == ["down", "healthy", "healthy"], DETECTED_WITHIN, "one to be down")
    hold(lambda: sorted(watched.states().values()) == ["down", "healthy", "healthy"] or pytest.fail(watched.story()), 15)
    assert len([change for change in watched.changes if change.after == "down"]) == 1, watched.story()


@pytest.mark.parametrize("identity", [None, "anna"], ids=["under_the_stock_identity_with_its_pid", "under_a_set_identity"])
def test_a_killed_worker_that_its_supervisor_restarts_at_once_is_one_worker_and_never_down(temporal, exporter, identity):
    worker = temporal.worker(identity=identity)
    watched = exporter(config(source(temporal)))
    watched.wait_all("healthy", 1, 30)
    (name,) = watched.states()

    worker.kill()
    worker.start()
    watched.wait_sample("worker_restarts_total", 1, within=15, worker=name)
    watched.wait_all("healthy", 1, 15)
    # The record of the dead one stays in the registry for minutes beside the new one. It convicts nobody.
    watched.hold_states({name: "healthy"}, 20)

    assert list(watched.states()) == [name]
    assert watched.sample("worker_restarts_total", worker=name) == 1
    watched.assert_never("down", "stuck")


def test_a_stopped_process_is_down_and_healthy_again_when_it_goes_on(temporal, exporter):
    worker = temporal.worker(identity="anna")
    temporal.worker(identity="boris")
    watched = exporter(config(source(temporal)))
    watched.wait_all("healthy", 2, 30)

    worker.stop()
    watched.wait_state("anna", "down", DETECTED_WITHIN, reason="stale")
    worker.go_on()
    watched.wait_state("anna", "healthy", 15)

    assert watched.sample("worker_restarts_total", worker="anna") == 0
    watched.assert_never("down", workers={"boris"})


def test_a_worker_that_stops_cleanly_drains_and_is_gone_and_never_down(temporal, exporter):
    leaving = temporal.worker(identity="anna", grace=12)
    temporal.worker(identity="boris")
    watched = exporter(config(source(temporal)))
    watched.wait_all("healthy", 2, 30)
    temporal.run_workflows("wait", count=4, seconds=8)
    wait_for(lambda: (watched.sample("worker_tasks_in_flight", worker="anna") or 0) > 0, 20, "anna to have work")

    leaving.terminate()
    watched.wait_state("anna", "draining", 10, reason="shutting_down")
    leaving.wait_gone(30)
    watched.wait_state("anna", None, 60)

    watched.assert_never("down", "stuck", "degraded")
    assert watched.state("boris") == "healthy"
    assert watched.samples("worker_state", worker="anna") == [], "a worker that is gone leaves no series"


def test_a_fleet_of_one_that_dies_is_down_like_any_other(temporal, exporter):
    worker = temporal.worker(identity="alone")
    watched = exporter(config(source(temporal)))
    watched.wait_all("healthy", 1, 30)

    worker.kill()
    watched.wait_state("alone", "down", DETECTED_WITHIN, reason="stale")
    watched.hold_states({"alone": "down"}, 15)


def test_a_rolling_deploy_and_a_scale_in_bring_nobody_down(temporal, exporter):
    old = [temporal.worker(identity=f"old-{n}") for n in range(3)]
    watched = exporter(config(source(temporal)))
    watched.wait_all("healthy", 3, 30)

    for number, worker in enumerate(old):
        temporal.worker(identity=f"new-{number}")
        worker.terminate()
        worker.wait_gone(20)
    watched.wait_states({f"new-{n}": "healthy" for n in range(3)}, 90)

    watched.assert_never("down", "stuck", "degraded")
    assert watched.sample("worker_fleet_workers", fleet="default/orders", state="healthy") == 3
    assert watched.sample("worker_fleet_workers", fleet="default/orders", state="down") == 0


def test_a_scale_in_and_a_scale_out_again_bring_nobody_down_and_the_figures_of_the_fleet_stay_true(temporal, exporter):
    names = [f"spot-{n}" for n in range(5)]
    workers = {name: temporal.worker(identity=name) for name in names}
    watched = exporter(config(source(temporal)))
    watched.wait_all("healthy", 5, 40)

    # Most of them leave at once, with a goodbye. That is no loss of the source's memory and no outage.
    for name in names[2:]:
        workers[name].terminate()
    for name in names[2:]:
        workers[name].wait_gone(30)
    watched.wait_states(dict.fromkeys(names[:2], "healthy"), 90)
    assert watched.sample("worker_fleet_workers", fleet="default/orders", state="healthy") == 2

    for name in names[2:]:
        workers[name].start()
    watched.wait_states(dict.fromkeys(names, "healthy"), 60)
    assert watched.sample("worker_fleet_workers", fleet="default/orders", state="healthy") == 5
    watched.assert_never("down", "stuck", "degraded")


@pytest.mark.slow(4)
@pytest.mark.timeout(600)
def test_stock_heartbeats_of_sixty_seconds_raise_no_warning_also_when_the_exporter_restarts(temporal, exporter):
    temporal.worker(identity="stock", heartbeat="stock")
    watched = exporter(config(source(temporal)))
    # The registry may hear of it only a minute after it began. First sight is not a beat: the next one comes a minute
    # later, and the look that sees it half a minute after that.
    watched.wait_state("stock", "healthy", 170)

    def no_warning():
        known = watched.workers().get("stock")
        assert known is None or known["status"] in ("healthy", "unknown"), known

    hold(no_warning, 20, every=1)
    watched.process.kill()
    watched.start()
    watched.wait_state("stock", "healthy", 170)
    # One whole cadence and a bit, with every look between two beats in it.
    hold(no_warning, 62, every=1)
    assert set(watched.changes_of("stock")) <= {"starting", "healthy"}, watched.story()
