"""The dashboards beside the alerts: the same limits, and a way from one to the other."""

import json
import re

import pytest
import yaml
from harness import promql
from harness.grafana import dashboards, panels, variables
from harness.processes import REPOSITORY

ALL = dashboards()
RUNBOOKS = "${exporter:raw}/runbooks/"


@pytest.fixture(params=ALL)
def dashboard(request):
    return ALL[request.param]


def rules():
    files = [yaml.safe_load(file.read_text()) for file in sorted((REPOSITORY / "alerts").glob("*.yaml"))]
    return [rule for file in files if "spec" in file for group in file["spec"]["groups"] for rule in group["rules"]]


RECORDED = {rule["record"]: rule["expr"] for rule in rules() if "record" in rule}
ALERTS = {}
for one in rules():
    if "alert" in one:
        ALERTS.setdefault(one["alert"], []).append(one)


def numbers_behind(query, seen=frozenset()):
    """The numbers of a rule, and of the recorded series that it looks at."""
    found = promql.numbers(query)
    for selector, _ in promql.selectors(query):
        if selector.name in RECORDED and selector.name not in seen:
            found |= numbers_behind(RECORDED[selector.name], seen | {selector.name})
    return found


def limits(panel):
    """Every limit that a panel draws."""
    drawn = [panel["fieldConfig"]["defaults"]["thresholds"]]
    drawn += [one["value"] for over in panel["fieldConfig"]["overrides"] for one in over["properties"] if one["id"] == "thresholds"]
    return {abs(step["value"]) for thresholds in drawn for step in thresholds["steps"] if step["value"] is not None}


def named(panel):
    """The alerts whose runbooks a panel links to."""
    return [link["url"].removeprefix(RUNBOOKS).split("?")[0] for link in panel["links"] if link["url"].startswith(RUNBOOKS)]


def test_there_are_alerts_to_compare_with():
    assert len(ALERTS) > 30


def test_the_limits_of_a_panel_are_those_of_the_alerts_that_it_names(dashboard):
    for panel in panels(dashboard):
        allowed = set()
        for alert in named(panel):
            assert alert in ALERTS, f"{panel['title']} names {alert}"
            for rule in ALERTS[alert]:
                allowed |= numbers_behind(rule["expr"])
        if 0 in allowed:
            # More than none is one: a panel counts what the alert compares with 0.
            allowed.add(1)
        assert limits(panel) <= allowed, f"{panel['title']}: {limits(panel)} and {named(panel)}: {sorted(allowed)}"


def test_every_runbook_that_a_dashboard_leads_to_is_that_of_an_alert(dashboard):
    led_to = set(re.findall(re.escape(RUNBOOKS) + r"(\w+)", json.dumps(dashboard)))
    assert led_to and led_to <= set(ALERTS), led_to - set(ALERTS)


def test_the_error_budget_of_the_dashboard_is_that_of_the_alerts():
    budget = variables(ALL["slo"])["budget"]["current"]["value"]
    assert float(budget) in promql.numbers(RECORDED["fleet:worker_task_error_budget:ratio"])


def test_whoever_comes_from_an_alert_finds_the_dashboard_its_variables_and_the_runbook():
    by_uid = {one["uid"]: one for one in ALL.values()}
    for name, alerts in ALERTS.items():
        for rule in alerts:
            uid, _, query = rule["annotations"]["dashboard_url"].partition("/d/")[2].partition("?")
            assert uid in by_uid, f"{name} leads to {uid}"
            known = variables(by_uid[uid])
            for variable in re.findall(r"var-(\w+)=", query):
                assert variable in known, f"{name} sets {variable} of {uid}"
            assert f"{RUNBOOKS}{name}" in json.dumps(by_uid[uid]), f"{uid} does not lead to the runbook of {name}"
