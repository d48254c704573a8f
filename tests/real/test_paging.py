"""A page, end to end: real workers die, the exporter sees it, Prometheus evaluates the shipped rules, Alertmanager routes
as deploy/alertmanager/ says, and somebody is told.

Only the receivers are stand-ins, and Alertmanager's waits are the shipped ones. Where a test runs the rules at another pace,
their `for` is shorter; how long a page takes after that is the same."""

import itertools
import json
import re
import subprocess
import urllib.parse

import pytest
from harness.alertmanager_part import SHIPPED
from harness.config import config, http
from harness.processes import free_port
from harness.wait import hold, wait_for

# From the evaluation in which a rule begins to fire to the message.
PAGED_WITHIN = 30
# Nobody reads more than this about one outage, however many workers it takes away.
MESSAGES_AT_MOST = 5
GROUP_WAIT = 10
# A warning waits for 30 s, and then some.
WARNED_WITHIN = 40


def crowd(processes, exporter, size, fleet="crowd"):
    """An exporter that watches one process with `size` workers in it, and the process."""
    port = free_port()
    process = processes.python("crowd", "crowd.py", "127.0.0.1", port)
    source = http(fleet=fleet, every="5s")
    source["targets"] = [{"id": f"c-{n:03}", "url": f"http://127.0.0.1:{port}/{n}"} for n in range(size)]
    watched = exporter(config(source))
    watched.wait_all("healthy", size, 60)

    def again():
        return processes.python("crowd", "crowd.py", "127.0.0.1", port)

    return watched, process, again


def times(alertmanager, receivers, *wanted):
    """Seconds from the rule's firing to each message, all under the limit. Printed, because they are what one wants to know."""
    taken = {}
    for name, labels, by, to in wanted:
        told = receivers.wait(by, to=to, about=name, over=False, within=PAGED_WITHIN)
        fired = alertmanager.fired_at(alertname=name, **labels)
        taken[f"{name} by {by} to {to}"] = round(told.at - fired, 1)
    print("seconds from firing to message:", json.dumps(taken))
    assert all(0 <= seconds < PAGED_WITHIN for seconds in taken.values()), taken
    return taken


@pytest.mark.slow(2)
def test_a_dead_worker_pages_a_minute_later_with_the_reason_and_what_to_do(http_worker, exporter, paging, receivers):
    dead, *steady = [http_worker(name) for name in ("dead", "steady-1", "steady-2")]
    watched = exporter(config(http(dead, *steady)))
    watched.wait_all("healthy", 3, 30)
    # The real pace: `for` is a minute, evaluated each 15 s, on scrapes as people have them.
    prometheus, alertmanager = paging(watched, every="5s")
    times(alertmanager, receivers, ("WorkerWatchdog", {}, "webhook", "dead-mans-switch"))

    dead.kill()
    watched.wait_state("dead", "down", 15, reason="refused")
    wait_for(lambda: prometheus.firing(alertname="WorkerDown"), 100, "WorkerDown to fire")
    labels = {"worker": "dead", "fleet": "web"}
    times(
        alertmanager, receivers,
        ("WorkerDown", labels, "pagerduty", "pagerduty-on-call"),
        ("WorkerDown", labels, "slack", "#incidents"),
    )  # fmt: skip

    page = receivers.wait("pagerduty", about="WorkerDown", within=1)
    assert page.title == "[CRITICAL] WorkerDown web/dead"
    assert (page.body["payload"]["severity"], page.body["payload"]["component"]) == ("critical", "web")
    assert "dead of fleet web is down, reason refused" in page.body["payload"]["custom_details"]["firing"]
    links = {link["text"]: link["href"] for link in page.body["links"]}
    assert "/runbooks/WorkerDown?fleet=web&worker=dead" in links["Runbook"]
    assert "/d/" in links["Dashboard"] and "worker=dead" in links["Dashboard"]
    said = receivers.wait("slack", about="WorkerDown", within=1)
    assert "reason refused" in said.text and "curl" in said.text
    assert [m.title for m in receivers.pages()] == ["[CRITICAL] WorkerDown web/dead"] * 2, receivers.story()


@pytest.mark.slow(4)
def test_an_outage_of_two_hundred_workers_is_one_page_and_at_most_five_messages_while_the_watchdog_beats(
    processes, exporter, paging, receivers
):
    watched, process, again = crowd(processes, exporter, 200)
    # A minute takes ten seconds: the escalation comes after one minute, not six.
    prometheus, alertmanager = paging(watched, pace=6)
    wait_for(lambda: prometheus.value('sum(worker_fleet_workers{state="healthy"})') == 200, 20, "Prometheus to see them all")

    process.kill()
    watched.wait_all("down", 200, 60, reason="correlated_loss")
    # All of them fire, and the fleet over them.
    wait_for(lambda: len(prometheus.firing(alertname="WorkerDown", escalate="")) == 200, 60, "every worker to have its alert")
    fleet = {"fleet": "crowd"}
    times(
        alertmanager, receivers,
        ("WorkerFleetDown", fleet, "pagerduty", "pagerduty-on-call"),
        ("WorkerFleetDown", fleet, "slack", "#incidents"),
    )  # fmt: skip
    assert len(alertmanager.inhibited(alertname="WorkerDown")) == 200

    wait_for(lambda: prometheus.firing(alertname="WorkerFleetDown", escalate="true"), 120, "nobody to have answered")
    escalated = {**fleet, "escalate": "true"}
    times(
        alertmanager, receivers,
        ("WorkerFleetDown", escalated, "pagerduty", "pagerduty-second"),
        ("WorkerFleetDown", escalated, "mail", "team-lead@example.com"),
    )  # fmt: skip

    # Twice what a group waits: whatever else fires by now would have been told.
    hold(lambda: len(receivers.pages()) <= MESSAGES_AT_MOST or pytest.fail(receivers.story()), 2 * GROUP_WAIT)
    assert len(alertmanager.inhibited(alertname="WorkerDown")) == 400, "the workers and their escalation"
    assert {m.title for m in receivers.pages()} == {
        "[CRITICAL] WorkerFleetDown crowd",
        "Nobody answered: [CRITICAL] WorkerFleetDown crowd",
    }, receivers.story()
    print("messages about 200 dead workers:", len(receivers.pages()))

    again()
    watched.wait_all("healthy", 200, 60)
    for by, to in (("pagerduty", "pagerduty-on-call"), ("slack", "#incidents"),
                   ("pagerduty", "pagerduty-second"), ("mail", "team-lead@example.com")):  # fmt: skip
        receivers.wait(by, to=to, over=True, within=210)
    assert not receivers.told(about="WorkerDown"), receivers.story()

    beats = [beat.at for beat in receivers.told("webhook")]
    gaps = [round(later - earlier, 1) for earlier, later in itertools.pairwise(beats)]
    print("seconds between beats of the watchdog:", gaps)
    assert len(gaps) >= 2 and max(gaps) < 70, gaps


@pytest.mark.slow(3)
def test_a_page_that_came_before_its_cause_is_resolved_too_and_a_silence_stops_the_escalation_alone(
    processes, http_worker, exporter, paging, receivers
):
    first, second = http_worker("first"), http_worker("second")
    third, other = http_worker("third"), http_worker("other")
    sources = [http(first, second, third), http(other, name="other", fleet="other")]
    watched = exporter(config(*sources))
    watched.wait_all("healthy", 4, 30)
    prometheus, alertmanager = paging(watched, pace=6)

    # Two fleets have one dead worker each. Somebody takes one of the two.
    first.kill()
    other.kill()
    taken = receivers.wait("pagerduty", about="WorkerDown web", over=False, within=90)
    matchers = acknowledgement(taken)
    assert sorted(matchers) == ['alertname="WorkerDown"', 'escalate="true"', 'fleet="web"', 'source="http"']
    alertmanager.silence(*matchers)

    # Then the rest of that fleet goes, too, and the fleet's alert keeps the worker's quiet.
    second.kill()
    third.kill()
    receivers.wait("pagerduty", about="WorkerFleetDown web", over=False, within=90)
    wait_for(lambda: alertmanager.inhibited(alertname="WorkerDown", fleet="web", worker="first"), 10, "inhibition")

    # The one that nobody took goes on to the second in line; of the other one she hears nothing.
    receivers.wait("mail", about="other", within=120)
    wait_for(lambda: prometheus.firing(alertname="WorkerDown", worker="first", escalate="true"), 30, "the escalation of the other")
    second_in_line = [m for m in receivers.pages() if m.by == "mail" or m.to == "pagerduty-second"]
    assert not [m for m in second_in_line if "WorkerDown web" in m.title], receivers.story()

    for worker in (first, second, third, other):
        worker.start()
    watched.wait_all("healthy", 4, 30)
    incidents = {m.body["dedup_key"]: m.title for m in receivers.told("pagerduty", over=False)}
    # Each end carries the key of the incident that it ends.
    for key, title in incidents.items():
        wait_for(
            lambda key=key: [m for m in receivers.told("pagerduty", over=True) if m.body["dedup_key"] == key], 210,
            f"the end of {title}",
        )  # fmt: skip
    assert not [m for m in receivers.pages() if "Nobody answered" in m.title and "WorkerDown web" in m.title], receivers.story()


def acknowledgement(page):
    """The matchers in the link of a page, as the form of Alertmanager reads them."""
    (link,) = [link["href"] for link in page.body["links"] if link["text"] == "Stop the escalation"]
    found = re.fullmatch(r"\{(.*)\}", urllib.parse.unquote(link.partition("/#/silences/new?filter=")[2]))
    # What is empty in the group is no label of its alerts, and says nothing.
    return [matcher for matcher in found[1].split(",") if not matcher.endswith('=""')]


ROUTES = [
    ({"alertname": "WorkerDown", "severity": "critical", "fleet": "web", "worker": "a"}, ["on-call"]),
    ({"alertname": "WorkerDown", "severity": "critical", "fleet": "web", "worker": "a", "escalate": "true"}, ["second-on-call"]),
    ({"alertname": "WorkerDown", "severity": "warning", "fleet": "web", "worker": "a"}, ["chat"]),
    ({"alertname": "WorkerVersionSkew", "severity": "info", "fleet": "web"}, ["digest"]),
    ({"alertname": "WorkerWatchdog", "severity": "none"}, ["dead-mans-switch"]),
    ({"alertname": "SomethingElse"}, ["chat"]),
]


@pytest.mark.parametrize(("labels", "wanted"), ROUTES, ids=[" ".join(labels.values()) for labels, _ in ROUTES])
def test_each_alert_goes_to_those_whom_it_concerns(labels, wanted):
    matchers = [f"{name}={value}" for name, value in labels.items()]
    told = subprocess.run(
        ["amtool", "config", "routes", "test", f"--config.file={SHIPPED}", *matchers], capture_output=True, text=True, check=True
    ).stdout.split()
    assert told == wanted


WEB = {"fleet": "web"}
ONE = {**WEB, "worker": "a", "source": "http"}
QUEUE = {"source": "temporal", "temporal_namespace": "default", "task_queue": "orders", "task_type": "activity"}
OWNED = {**QUEUE, "fleet": "web"}

# What fires, what fires beside it, and whether that is kept quiet. Every `no` has a `yes` that differs in one thing.
QUIET = {
    "the fleet over its worker": ("WorkerFleetDown", "critical", WEB, "WorkerDown", "critical", ONE, True),
    "the fleet over the escalation of its worker": (
        "WorkerFleetDown", "critical", WEB, "WorkerDown", "critical", {**ONE, "escalate": "true"}, True),
    "another fleet": ("WorkerFleetDown", "critical", {"fleet": "mail"}, "WorkerDown", "critical", ONE, False),
    "most of the fleet over its worker": ("WorkerFleetDegraded", "critical", WEB, "WorkerDown", "critical", ONE, True),
    "most of the fleet over a warning": ("WorkerFleetDegraded", "critical", WEB, "WorkerMemoryHigh", "warning", ONE, True),
    "the fleet over its worker that hangs": ("WorkerFleetDown", "critical", WEB, "WorkerStuck", "critical", ONE, True),
    "most of the fleet over its worker that hangs": ("WorkerFleetDegraded", "critical", WEB, "WorkerStuck", "critical", ONE, True),
    "most of the fleet and another page": ("WorkerFleetDegraded", "critical", WEB, "WorkerHeartbeatLate", "critical", ONE, False),
    "a tenth of the fleet": ("WorkerFleetDegraded", "warning", WEB, "WorkerDown", "critical", ONE, False),
    "a fleet without a name": ("WorkerFleetDown", "critical", {}, "WorkerDown", "critical", {"worker": "a"}, False),
    "the fleet over what follows": ("WorkerFleetDown", "critical", WEB, "WorkerFleetBelowExpected", "warning", WEB, True),
    "the fleet over its queue": ("WorkerFleetDown", "critical", WEB, "TemporalTaskQueueNoPollers", "critical", OWNED, True),
    "the fleet and a queue of several": ("WorkerFleetDown", "critical", WEB, "TemporalTaskQueueNoPollers", "critical", QUEUE, False),
    "the source over a warning of its worker": ("WorkerSourceDown", "warning", {"source": "http"}, "WorkerHeartbeatLate", "warning", ONE, True),
    "the source and the page of its worker": ("WorkerSourceDown", "critical", {"source": "http"}, "WorkerDown", "critical", ONE, False),
    "another source": ("WorkerSourceDown", "warning", {"source": "redis"}, "WorkerHeartbeatLate", "warning", ONE, False),
    "one of two sources": ("WorkerSourceDown", "warning", {"source": "http"}, "WorkerHeartbeatLate", "warning", {**ONE, "source": "http,redis"}, False),
    "Temporal over its queues": ("TemporalDown", "critical", {"source": "temporal"}, "TemporalTaskQueueBacklogAgeHigh", "critical", QUEUE, True),
    "slots over pollers": ("TemporalWorkerSlotsExhausted", "critical", QUEUE, "TemporalTaskQueueNoPollers", "critical", QUEUE, True),
    "pollers over the backlog": ("TemporalTaskQueueNoPollers", "critical", QUEUE, "TemporalTaskQueueBacklogAgeHigh", "critical", QUEUE, True),
    "another type of tasks": (
        "TemporalTaskQueueNoPollers", "critical", QUEUE, "TemporalTaskQueueBacklogAgeHigh", "critical", {**QUEUE, "task_type": "workflow"}, False),
    "pollers over schedule-to-start": (
        "TemporalTaskQueueNoPollers", "critical", OWNED, "TemporalScheduleToStartHigh", "warning", {**WEB, "task_type": "activity"}, True),
    "critical over warning": ("WorkerHeartbeatLate", "critical", ONE, "WorkerHeartbeatLate", "warning", ONE, True),
    "critical over warning of another worker": ("WorkerHeartbeatLate", "critical", ONE, "WorkerHeartbeatLate", "warning", {**ONE, "worker": "b"}, False),
}  # fmt: skip


# What a posted alert says: links have to be links.
SAID = {
    "summary": "A test says so.", "description": "It says so.", "impact": "None.", "first_check": "true",
    "runbook_url": "https://worker-exporter.example/runbooks/x", "dashboard_url": "https://grafana.example/d/x",
}  # fmt: skip


def test_a_fleet_of_two_hundred_that_hangs_is_at_most_five_messages(alertmanager, receivers):
    """The alerts are posted by us, as the rules fire for workers that are stuck and a queue that nobody takes from, and then
    as they escalate. To see a real fleet hang takes many minutes; that their rules fire in this order holds the gate."""
    name = {"fleet": "web"}
    workers = [{"alertname": "WorkerStuck", **name, "worker": f"w-{n:03}", "source": "http"} for n in range(200)]
    queue = {**OWNED, "source": "http"}
    first = [{"alertname": "WorkerFleetDown", **name}, *workers]
    later = [
        *({"alertname": alert, **queue} for alert in ("TemporalTaskQueueNoPollers", "TemporalTaskQueueBacklogAgeHigh")),
        {"alertname": "WorkerTasksStalled", **name, "task_type": "activity"},
    ]
    for alerts in (first, later):
        alertmanager.post(*({**alert, "severity": "critical"} for alert in alerts), annotations=SAID)
        wait_for(lambda: len(receivers.pages()) >= 2, PAGED_WITHIN, "the page of the fleet")
    alertmanager.post({**queue, "alertname": "TemporalTaskQueueBacklogAgeHigh", "severity": "warning"}, annotations=SAID)
    escalated = [{**alert, "severity": "critical", "escalate": "true"} for alert in (*first, *later)]
    alertmanager.post(*escalated, annotations=SAID)
    wait_for(lambda: len(receivers.pages()) >= 4, PAGED_WITHIN, "nobody to have answered")

    # Longer than any group waits.
    hold(lambda: len(receivers.pages()) <= MESSAGES_AT_MOST or pytest.fail(receivers.story()), WARNED_WITHIN)
    assert sorted(m.title for m in receivers.pages()) == [
        "Nobody answered: [CRITICAL] WorkerFleetDown web", "Nobody answered: [CRITICAL] WorkerFleetDown web",
        "[CRITICAL] WorkerFleetDown web", "[CRITICAL] WorkerFleetDown web",
    ], receivers.story()  # fmt: skip
    assert len(alertmanager.inhibited(alertname="WorkerStuck")) == 400


def test_a_cause_keeps_its_effects_quiet_and_nothing_else(alertmanager):
    # Clusters are apart, so that one Alertmanager judges all cases: each has its own.
    for case, (cause, its_severity, its_labels, effect, severity, labels, _) in QUIET.items():
        alertmanager.post(
            {"alertname": cause, "severity": its_severity, "cluster": case, **its_labels},
            {"alertname": effect, "severity": severity, "cluster": case, **labels},
        )

    def wrong():
        quiet = {alert["labels"]["cluster"] for alert in alertmanager.inhibited()}
        return {case for case, row in QUIET.items() if (case in quiet) != row[-1]}

    wait_for(lambda: len(alertmanager.alerts()) == 2 * len(QUIET), 10, "all alerts to be there")
    assert wrong() == set()
