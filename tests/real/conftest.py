"""Fixtures: each gives a real part, or a way to start some, and takes it away again."""

import os

import pytest
from harness import rules
from harness.alertmanager_part import Alertmanager
from harness.celery_part import CeleryBroker
from harness.exporter import BINARY, Exporter
from harness.http_part import HttpWorker
from harness.names import Names, NamesRefused
from harness.network import Network, NetworkRefused
from harness.processes import Processes
from harness.prometheus_part import Prometheus
from harness.receivers import Receivers
from harness.redis_part import Redis
from harness.temporal import TemporalServer
from harness.wait import wait_for


def pytest_configure(config):
    config.addinivalue_line("markers", "slow(minutes): takes so many minutes, because what it shows takes them. Runs like all others, first.")


def pytest_collection_modifyitems(items):
    # The longest first: the others fill the time beside them.
    def minutes(item):
        slow = item.get_closest_marker("slow")
        return slow.args[0] if slow else 0

    items.sort(key=minutes, reverse=True)


@pytest.fixture
def processes(tmp_path):
    all_of_them = Processes(tmp_path)
    yield all_of_them
    all_of_them.end()


@pytest.fixture
def temporal(processes):
    return TemporalServer(processes)


@pytest.fixture
def redis_part(processes):
    return Redis(processes)


@pytest.fixture
def celery_part(processes, redis_part):
    """Starts Celery workers on a Redis: `celery_part.worker("a")`."""
    return CeleryBroker(processes, redis_part)


@pytest.fixture
def http_worker(processes):
    """Starts a worker with a health endpoint: `http_worker("a", body='{"status":"ok"}')`."""

    def start(worker, **options):
        return HttpWorker(processes, worker, **options)

    return start


@pytest.fixture
def exporter(processes):
    """Starts the exporter on a configuration: `exporter(config(http(worker)))`."""
    if not os.path.exists(BINARY):
        pytest.fail(f"{BINARY} is not built: run `cargo build --workspace --bins --tests`, or `make real`")

    def start(configuration=None, **options):
        return Exporter(processes, configuration, **options)

    return start


@pytest.fixture
def prometheus(processes):
    """Starts a Prometheus: `prometheus(ours=exporter.target)`."""

    def start(**jobs):
        return Prometheus(processes, **jobs)

    return start


@pytest.fixture
def receivers():
    """Whom Alertmanager tells."""
    made = Receivers()
    yield made
    made.close()
    assert made.refused == [], made.refused


@pytest.fixture
def alertmanager(processes, receivers):
    """An Alertmanager with the shipped routing, that a test tells of alerts itself."""
    return Alertmanager(processes, receivers)


@pytest.fixture
def paging(processes, receivers, tmp_path):
    """Prometheus with the shipped rules and Alertmanager with the shipped routing: `paging(exporter, pace=6)`."""

    def start(watched, pace=1, every="1s"):
        routed = Alertmanager(processes, receivers)
        folder = tmp_path / "rules"
        folder.mkdir()
        rules.write(folder, pace)
        asked = Prometheus(
            processes, rules=folder / "*.rules.yaml", alertmanager=routed, every=every, **{"worker-exporter": watched.target}
        )
        wait_for(asked.alerts, 40, "the rules to be evaluated")
        return asked, routed

    return start


@pytest.fixture
def network():
    """A network of its own for workers, whose link can be cut. Needs root, or sudo that asks nothing."""
    try:
        made = Network()
    except NetworkRefused as refused:
        if os.environ.get("CI") == "true":
            raise
        pytest.skip(f"no network namespace: {refused}")
    yield made
    made.remove()


@pytest.fixture
def names(processes):
    """A name server, and the exporter asks no other: `exporter(…, prefix=names.prefix)`. Needs root, or sudo that asks nothing."""
    try:
        return Names(processes)
    except NamesRefused as refused:
        if os.environ.get("CI") == "true":
            raise
        pytest.skip(f"no mount namespace: {refused}")
