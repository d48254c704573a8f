"""Exporter and rules together: what the exporter really exports while workers die, drain, leave and are cut off, and while it
restarts itself, makes the right alerts fire, for as long as is right, and no other.

Each life is judged twice. A real Prometheus with the shipped rules scrapes the exporter meanwhile; and what was exported is
recorded and replayed into promtool, where the rules see nothing else."""

import re

import pytest
from harness import rules
from harness.config import config, http, temporal as temporal_source
from harness.recording import EARLY, EVALUATED_EVERY, FIRING, LATE, LATER, Recording, Window
from harness.wait import hold, wait_for

ORDERS = "default/orders"


def waits(alert, key="for", **labels):
    """How long the shipped rule waits, or goes on firing."""
    (rule,) = [r for r in rules.alerts() if r["alert"] == alert and {"escalate": None, **r["labels"]}.items() >= labels.items()]
    return rules.seconds(rule.get(key, "0s"))


DOWN_FOR = waits("WorkerDown", severity="critical", escalate=None)
ESCALATED_FOR = waits("WorkerDown", escalate="true")
KEPT_FOR = waits("WorkerDown", "keep_firing_for", severity="critical", escalate=None)
BLIND_FOR = waits("WorkerExporterBlind", escalate=None)
BLIND_KEPT_FOR = waits("WorkerExporterBlind", "keep_firing_for", escalate=None)
BELOW_FOR = waits("WorkerFleetBelowExpected")


@pytest.fixture
def ruled(processes, prometheus, tmp_path):
    """A Prometheus with the shipped rules at their own pace, on scrapes as people have them."""

    def start(watched):
        folder = tmp_path / "live"
        folder.mkdir()
        rules.write(folder)
        return prometheus(rules=folder / "*.rules.yaml", every="5s", **{"worker-exporter": watched.target})

    return start


def down(worker, fleet, since, until=None, perhaps=float("inf")):
    """A dead worker's page and its escalation. `since`, `until`: when the exporter said so, and when no longer."""
    labels = {"alertname": "WorkerDown", "severity": "critical", "fleet": fleet, "worker": worker}
    until = None if until is None else until + KEPT_FOR
    page = Window(labels, since + DOWN_FOR, until, perhaps)
    if until is not None and until - KEPT_FOR <= since + ESCALATED_FOR:
        return [page]
    return [page, Window({**labels, "escalate": "true"}, since + ESCALATED_FOR, until, perhaps, LATER)]


def judge(recording, live, windows, folder):
    """Live and replayed, the same alerts fired at the same time, and they are the right ones."""
    recording.end()
    folder.mkdir()
    judged = recording.replay(folder, windows)

    first, last = recording.begun, recording.begun + recording.seconds()
    seen = [(labels, history.keys()) for labels, history in live.history(FIRING, first, last, EVALUATED_EVERY)]
    wrong = []
    for second in range(0, recording.seconds() + 1, EVALUATED_EVERY):
        wanted = recording.firing(windows, second)
        fired = [labels for labels, times in seen if any(abs(at - first - second) < 1 for at in times)]
        if wanted is not None and _sorted(fired) != _sorted(wanted):
            wrong.append((second, "fired", fired, "instead of", wanted))
    assert not wrong, "\n".join(map(str, wrong))
    print(f"{recording.seconds()} s recorded, {judged} of {recording.seconds() // EVALUATED_EVERY + 1} evaluations judged")
    for window in windows:
        print(f"  {window.labels} from {window.since} until {window.until}")
    # A window that is never certain would make this a test of nothing.
    evaluations = range(0, recording.seconds() + 1, EVALUATED_EVERY)
    assert all(any(window.at(second) for second in evaluations) for window in windows), windows


def _sorted(labels):
    return sorted(sorted(one.items()) for one in labels)


@pytest.mark.slow(13)
@pytest.mark.timeout(1200)
def test_kill_drain_scale_in_tombstone_and_a_restart_of_the_exporter_page_for_the_dead_alone(
    temporal, http_worker, exporter, ruled, tmp_path
):
    names = ("anna", "boris", "chloe", "dora", "emil")
    orders = {name: temporal.worker(identity=name, **({"grace": 12} if name == "boris" else {})) for name in names}
    web = {name: http_worker(name) for name in ("dead", "back", "steady-1", "steady-2", "steady-3")}
    # The shortest tombstone that the exporter takes: rules that agree with this one agree with every other.
    fleets = [{"name": ORDERS, "expected_workers": 3}]
    watched = exporter(config(http(*web.values()), temporal_source(temporal), fleets=fleets, defaults={"tombstone": "10m"}))
    watched.wait_all("healthy", 10, 60)
    live = ruled(watched)
    recording = Recording(watched)

    # One drains with work in its hands: enough that chance leaves none of the five without. Then one with none just leaves.
    work = temporal.run_workflows("wait", count=40, seconds=8)
    wait_for(lambda: (watched.sample("worker_tasks_in_flight", worker="boris") or 0) > 0, 20, "boris to have work")
    orders["boris"].terminate()
    watched.wait_state("boris", "draining", 10)
    temporal.completed(work)
    orders["chloe"].terminate()
    watched.wait_state("boris", None, 60)
    watched.wait_state("chloe", None, 60)

    # Three die. One is brought back after its escalation.
    dying = {"anna": orders["anna"], "dead": web["dead"], "back": web["back"]}
    for worker in dying.values():
        worker.kill()
    for name in dying:
        watched.wait_state(name, "down", 20)
    died = recording.now()
    hold(lambda: watched.state("anna") == "down" or pytest.fail(watched.story()), ESCALATED_FOR + 60, every=1)
    web["back"].start()
    watched.wait_state("back", "healthy", 20)

    # The registry's dead worker is forgotten after its tombstone; the fleet's alert has taken over before its page ends.
    watched.wait_state("anna", None, 300)
    below = wait_for(lambda: live.firing(alertname="WorkerFleetBelowExpected"), 60, "the fleet to be short of workers")
    assert [labels["fleet"] for labels in below] == [ORDERS]
    assert live.firing(alertname="WorkerDown", worker="anna"), "its page still stands"
    # For so long that there is an evaluation in between which nothing can be uncertain about.
    hold(lambda: live.firing(alertname="WorkerFleetBelowExpected") or pytest.fail("it ended"), LATE + EVALUATED_EVERY + 2 * EARLY, every=1)

    # The exporter forgets what it knew. It has never seen `dead` alive; its page stands all the same.
    restarted = recording.now()
    watched.process.terminate()
    watched.process.wait_gone()
    watched.start()
    watched.wait_state("dead", "down", 90, reason="never_beat")
    again = recording.now()
    hold(lambda: live.firing(alertname="WorkerDown", worker="dead") or pytest.fail("its page ended"), 20, every=1)

    seen = {name: recording.when("worker_up", 0.0, worker=name) for name in dying}
    print(f"down at {died:.0f}, restarted at {restarted:.0f}, down again at {again:.0f}")
    series = seen["anna"][-1] - seen["anna"][0]
    print(f"the series of a worker that is down stood for {series} s")
    assert series >= 600 - 10
    below = {"alertname": "WorkerFleetBelowExpected", "severity": "warning", "fleet": ORDERS}
    windows = [
        *down("dead", "web", seen["dead"][0]),
        *down("back", "web", seen["back"][0], seen["back"][-1]),
        *down("anna", ORDERS, seen["anna"][0], seen["anna"][-1]),
        # Over the restart as well.
        Window(below, seen["anna"][0] + BELOW_FOR),
    ]
    judge(recording, live, windows, tmp_path / "replayed")


@pytest.mark.slow(5)
def test_a_cut_to_all_workers_of_a_source_is_one_alert_about_us_and_a_cut_to_one_of_many_is_that_worker(
    network, http_worker, exporter, ruled, tmp_path
):
    far = [http_worker(f"far-{n}", host=network.inside, port=9000 + n, prefix=network.prefix) for n in range(6)]
    lone = http_worker("lone", host=network.inside, port=9100, prefix=network.prefix)
    near = [http_worker(f"near-{n}") for n in range(3)]
    watched = exporter(config(http(*far, name="far", fleet="far"), http(lone, *near, name="mixed", fleet="mixed")))
    watched.wait_all("healthy", 10, 60)
    live = ruled(watched)
    recording = Recording(watched)

    network.cut()
    watched.wait_state("lone", "down", 30)
    wait_for(lambda: {watched.state(worker.worker) for worker in far} == {"unknown"}, 110, "nobody to know")
    wait_for(lambda: live.firing(alertname="WorkerExporterBlind"), BLIND_FOR + 60, "one alert about us")
    # Until no evaluation can decide it, and then for a while longer than the cut.
    hold(lambda: live.firing(alertname="WorkerExporterBlind") or pytest.fail("it ended"), LATE, every=1)
    network.mend()
    watched.wait_all("healthy", 10, 40)
    hold(lambda: live.firing(alertname="WorkerExporterBlind") or pytest.fail("it ended at once"), 20, every=1)
    recording.end()
    watched.assert_never("down", workers={worker.worker for worker in far})

    lost = recording.when("worker_up", 0.0, worker="lone")
    silent = recording.when("worker_state_reason", 1.0, reason="source_silent")
    windows = [
        *down("lone", "mixed", lost[0], lost[-1]),
        Window({"alertname": "WorkerExporterBlind", "severity": "critical"}, silent[0] + BLIND_FOR, silent[-1] + BLIND_KEPT_FOR),
    ]
    judge(recording, live, windows, tmp_path / "replayed")


def test_the_series_of_a_dead_worker_outlive_every_rule_that_waits_for_them(http_worker, exporter):
    """While a rule still waits for its `for`, the worker must not be forgotten."""
    watched = exporter(config(http(http_worker("anna"))))
    tombstone = rules.seconds(re.search(r"tombstone: (\w+)", watched.get("/config").text)[1])
    shortest = 600
    reads_the_dead = re.compile(r'worker_up\) == 0|worker_fleet_workers_lost|state_reason:never_started|state=~?"[^"]*down')
    readers = {
        (rule["alert"], rule.get("for", "0s")) for rule in rules.alerts()
        # What only leaves them out does not wait for them.
        if reads_the_dead.search("".join(line for line in rule["expr"].splitlines() if "unless" not in line))
    }  # fmt: skip
    assert {alert for alert, _ in readers} >= {"WorkerDown", "WorkerNeverStarted", "WorkerFleetDown", "WorkerFleetDegraded"}
    for alert, wait in readers:
        # As CONTRIBUTING.md has it for the default; for the shortest one that is taken, a scrape, two evaluations and more.
        assert 2 * rules.seconds(wait) < tombstone, (alert, wait)
        assert rules.seconds(wait) + 60 < shortest, (alert, wait)
