"""Every query of every panel, asked of a real Prometheus that scrapes the demo and a real Temporal fleet."""

import time

import pytest
from harness.grafana import Asked, dashboards, targets, variables
from harness.showcase import Showcase
from harness.wait import wait_for

# The troubles of the demo come one after another; within this every one of them has been seen. Mostly it takes ten seconds.
WITHIN = 120
# Who is looked at on the dashboard of one worker. No worker shows everything: one of them has to.
WORKERS = [("default/orders", "anna"), ("gpu-render", "gpu-render-2"), ("emails", "emails-6")]

# What a person narrows a dashboard to. A fleet's name has characters that mean something elsewhere.
CHOSEN = {"fleet": "default/orders", "source": "temporal", "task_queue": "orders"}


@pytest.fixture
def showcase(temporal, exporter):
    made = Showcase(temporal, exporter)
    yield made
    made.end()


def says_something(series):
    """There is a value, and it is a number."""
    return any(value != "NaN" for one in series for _, value in one.get("values") or [one["value"]])


def views(dashboard):
    """What a person may have chosen: everything, or, where one thing has to be chosen, one of these."""
    if not variables(dashboard).get("worker"):
        return [{}]
    return [{"fleet": fleet, "worker": worker} for fleet, worker in WORKERS]


@pytest.mark.slow(1)
def test_every_query_of_every_panel_has_data(showcase, prometheus):
    server = prometheus(**showcase.jobs)
    wait_for(lambda: server.value('count(worker_state{state="healthy",fleet="default/orders"} == 1)') == 2, 40, "the Temporal workers to be healthy")
    showcase.lose()
    pending = {
        (name, panel["id"], panel["title"], target["refId"]): (dashboard, target)
        for name, dashboard in dashboards().items()
        for panel, target in targets(dashboard)
    }
    asked = len(pending)
    assert asked > 100

    def ask():
        now = time.time()
        for key, (dashboard, target) in list(pending.items()):
            # Raises where Prometheus refuses the query.
            if any(says_something(Asked(dashboard, server, view).result(target, now)) for view in views(dashboard)):
                del pending[key]
        return not pending

    begun = time.monotonic()
    try:
        wait_for(ask, WITHIN, "every query to have data", every=2)
    except AssertionError as error:
        left = "\n".join(f"{key}: {target['expr']}" for key, (_, target) in pending.items())
        raise AssertionError(f"{error}\n{left}") from None
    print(f"{asked} queries, the last with data after {time.monotonic() - begun:.0f} s")

    for dashboard in dashboards().values():
        for label, chosen in CHOSEN.items():
            if label in variables(dashboard) and variables(dashboard)[label]["multi"]:
                look = Asked(dashboard, server, {label: chosen})
                for _, target in targets(dashboard):
                    answered = {series["metric"].get(label, chosen) for series in look.result(target, time.time())}
                    assert answered <= {chosen}, f"{label} is {chosen}, and {answered} answered: {target['expr']}"

    for name, dashboard in dashboards().items():
        look = Asked(dashboard, server)
        for variable in variables(dashboard).values():
            if variable["type"] == "query":
                assert look.options(variable), f"{name}: {variable['query']}"
        for mark in dashboard["annotations"]["list"]:
            # Alerts need rules; that the query is one is what is asked here.
            look.range(look.put_in(mark["expr"]), time.time())
