"""Rules and inhibition together: what deploy/alertmanager keeps quiet has a cause that fires first, along labels that both carry,
and that ends first.

What Alertmanager makes of it is tried on a real one, in tests/real/test_paging.py."""

import itertools
import re

import pytest
from test_gate import ALERTS, FILES, ROOT, TESTS, groups, load, of, seconds, title

INHIBITION = load(ROOT / "deploy" / "alertmanager" / "alertmanager.yml")["inhibit_rules"]
# Where a rule stands: its group, its place in it, and how often it is evaluated.
PLACES = {
    id(rule): (name, group["name"], place, seconds(group["interval"]))
    for name in FILES for group in groups(name) for place, rule in enumerate(group["rules"])
}  # fmt: skip

# Pages that may leave before their cause fires.
UNORDERED = {
    ("WorkerSourceDown", "Temporal.+"): "a source that fails shows no new figures: what it makes an alert of was so before",
    ("WorkerExporterMisconfigured", "Temporal.+"): "a source that refuses us shows no new figures: what it makes an alert of was so before",
    ("TemporalWorkerSlotsExhausted", "TemporalTaskQueueNoPollers"): "it does not fire while a worker is full",
    ("TemporalWorkerSlotsExhausted", "WorkerTasksStalled"): "it does not fire for a fleet without a free slot",
    ("TemporalWorkerSlotsExhausted", "TemporalWorkflowTimeout"): "it wants half an hour of waiting, its cause a minute",
}
# Pages that may end before their cause does.
OUTLIVED = {
}


def matches(matchers, labels):
    """As Alertmanager does it."""
    for matcher in matchers:
        name, sign, value = re.fullmatch(r'(\w+) (=~|!=|=) "(.*)"', matcher).groups()
        is_so = re.fullmatch(value, labels.get(name, "")) if sign == "=~" else labels.get(name, "") == value
        if bool(is_so) == (sign == "!="):
            return False
    return True


def fired(rule):
    """The labels that an alert of the rule has, as the tests expect them."""
    expected = [
        {"alertname": case["alertname"], **{name: str(value) for name, value in alert["exp_labels"].items()}}
        for _, _, test in TESTS for case in test["alert_rule_test"] if case["alertname"] == rule["alert"] for alert in case.get("exp_alerts", ())
    ]  # fmt: skip
    return [labels for labels in expected if of(rule, rule["alert"], labels)]


FIRED = [(rule, labels) for rule in ALERTS for labels in {tuple(sorted(labels.items())): labels for labels in fired(rule)}.values()]


def pairs():
    """Each rule of inhibition with what it lets keep what quiet: cause and effect, each a rule and labels of it."""
    for inhibition, cause, effect in itertools.product(INHIBITION, FIRED, FIRED):
        if matches(inhibition["source_matchers"], cause[1]) and matches(inhibition["target_matchers"], effect[1]):
            yield inhibition, cause, effect


def pages():
    """Each rule that pages with each rule that keeps it quiet."""
    found = {
        (id(cause), id(effect)): (cause, effect) for inhibition, (cause, _), (effect, _) in pairs()
        if effect["labels"]["severity"] == "critical" and "alertname" not in inhibition["equal"]
    }  # fmt: skip
    return list(found.values())


PAGES = pages()


def kept(rule):
    return seconds(rule.get("keep_firing_for", "0s"))


def test_inhibition_goes_only_along_labels_that_both_sides_carry():
    """To Alertmanager, a label that both lack is equal."""
    tried = 0
    for inhibition, (_, cause), (_, effect) in pairs():
        tried += 1
        # Of one rule at two severities, both lack the same labels.
        for label in set(inhibition["equal"]) - {"cluster"} if "alertname" not in inhibition["equal"] else ():
            assert cause.get(label) and effect.get(label), (label, cause, effect)
    assert tried > 20, "the tests of the rules name the labels of most alerts"


def in_order(cause, effect):
    (*group, place, often), (*other, later, as_often) = PLACES[id(cause)], PLACES[id(effect)]
    waits_longer = seconds(effect.get("for", "0s")) - seconds(cause.get("for", "0s"))
    return (group == other and place < later and waits_longer >= 0) or waits_longer >= often + as_often


@pytest.mark.parametrize("cause, effect", PAGES, ids=title)
def test_a_cause_fires_before_the_page_that_it_keeps_quiet(cause, effect):
    """Prometheus begins each group at an offset of its own, so that only the order in a group, or a longer wait, is certain."""
    named = any(cause["alert"] == name and re.fullmatch(page, effect["alert"]) for name, page in UNORDERED)
    assert in_order(cause, effect) or named


def test_no_exception_is_left_over():
    apart = [(cause["alert"], effect["alert"]) for cause, effect in PAGES if not in_order(cause, effect)]
    for name, page in UNORDERED:
        assert any(cause == name and re.fullmatch(page, effect) for cause, effect in apart), f"{name} over {page} is in order"
    for page in OUTLIVED:
        assert any(effect["alert"] == page and kept(cause) > kept(effect) for cause, effect in PAGES), page


@pytest.mark.parametrize("cause, effect", PAGES, ids=title)
def test_no_cause_outlives_the_page_that_it_keeps_quiet(cause, effect):
    """Alertmanager does not tell the end of what ends while it is inhibited."""
    assert kept(cause) <= kept(effect) or effect["alert"] in OUTLIVED


def test_the_workers_of_a_fleet_and_the_ways_of_a_task_are_among_them():
    known = {(cause["alert"], effect["alert"]) for cause, effect in PAGES}
    assert known >= {
        ("WorkerFleetDown", "WorkerDown"), ("WorkerFleetDown", "WorkerStuck"), ("WorkerFleetDegraded", "WorkerDown"),
        ("WorkerFleetDegraded", "WorkerStuck"), ("WorkerFleetDown", "WorkerTasksStalled"), ("TemporalDown", "TemporalTaskQueueNoPollers"),
        ("TemporalTaskQueueNoPollers", "WorkerTasksStalled"),
    }  # fmt: skip


# About the exporter itself: the gap is what they tell of.
ABOUT_THE_GAP = {"WorkerExporterDown", "WorkerExporterAbsent", "WorkerExporterStale"}


@pytest.mark.parametrize("rule", [rule for rule in ALERTS if rule["labels"]["severity"] == "critical"], ids=title)
def test_a_page_goes_on_over_a_gap_in_the_scrapes(rule):
    """A restart of the exporter, or a scrape that is lost, is no recovery."""
    assert (kept(rule) >= 120) != (rule["alert"] in ABOUT_THE_GAP | set(OUTLIVED))
