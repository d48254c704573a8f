"""Many workers fall silent at once: is it they, or is it we?"""

import pytest
from harness.config import config, http
from harness.wait import wait_for


@pytest.mark.slow(2)
def test_a_cut_between_us_and_all_workers_is_one_verdict_about_us(network, http_worker, exporter, prometheus):
    workers = [
        http_worker(f"far-{n}", host=network.inside, port=9000 + n, prefix=network.prefix) for n in range(6)
    ]
    watched = exporter(config(http(*workers)))
    watched.wait_all("healthy", 6, 30)
    metrics = prometheus(ours=watched.target)
    metrics.wait_value('count(worker_state{state="healthy"} == 1)', 6)

    network.cut()
    watched.wait_sample("worker_exporter_source_trusted", 0, within=30, source="http")
    # The gate holds for a minute; then nobody knows. At no time is anybody down.
    watched.wait_all("unknown", 6, 100)
    assert metrics.value('up{job="ours"}') == 1, "Prometheus sees us all the time"
    assert metrics.value('max_over_time((count(worker_state{state="down"} == 1))[5m:1s])') is None
    watched.assert_never("down", "degraded", "stuck")

    network.mend()
    watched.wait_all("healthy", 6, 40)
    watched.wait_sample("worker_exporter_source_trusted", 1, source="http")
    watched.assert_never("down", "degraded", "stuck")


def test_of_twenty_workers_that_all_die_every_one_is_down_for_one_shared_reason(http_worker, exporter):
    workers = [http_worker(f"near-{n:02}") for n in range(20)]
    watched = exporter(config(http(*workers)))
    watched.wait_all("healthy", 20, 40)

    for worker in workers:
        worker.kill()
    # Their hosts answer that nothing listens: it is they, and not the way there.
    watched.wait_all("down", 20, 60, reason="correlated_loss")
    wait_for(lambda: watched.sample("worker_fleet_workers", fleet="web", state="down") == 20, 10, "the figure of the fleet")


def test_one_worker_cut_off_among_others_is_down_with_timeout(network, http_worker, exporter):
    far = http_worker("far", host=network.inside, port=9000, prefix=network.prefix)
    near = [http_worker(f"near-{n}") for n in range(3)]
    watched = exporter(config(http(far, *near)))
    watched.wait_all("healthy", 4, 30)

    network.cut()
    watched.wait_state("far", "down", 25)
    assert watched.reason("far") in ("timeout", "unreachable")
    watched.assert_never("down", "degraded", "unknown", workers={worker.worker for worker in near})
