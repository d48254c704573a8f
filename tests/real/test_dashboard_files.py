"""The dashboards as files: written by their generator, whole to Grafana, and by the rules of its linter.

What they share with the alerts is in test_dashboard_alerts.py, and their queries are asked in test_dashboards.py."""

import json
import re
import subprocess
import sys

import pytest
from grafana_foundation_sdk.models import units
from harness import promql
from harness.grafana import FOLDER, VARIABLE, dashboards, panels, targets, variables
from harness.processes import REPOSITORY

ALL = dashboards()
every_dashboard = pytest.mark.parametrize("name", ALL)
# Metrics that Prometheus adds to each target.
OF_PROMETHEUS = {"up", "scrape_duration_seconds", "scrape_samples_scraped", "ALERTS"}


@pytest.fixture(params=ALL)
def dashboard(request):
    return ALL[request.param]


def parsable(dashboard, query):
    """A query with anything plausible for its variables, so that it is PromQL."""
    known = {*variables(dashboard), "__rate_interval", "__range"}

    def put(match):
        name = match[1] or match[2]
        assert name in known, f"{name} is no variable: {query}"
        return {"__rate_interval": "4m59s", "__range": "6h", "budget": "0.01"}.get(name, f"${name}")

    return VARIABLE.sub(put, query)


def test_the_files_are_what_the_generator_writes(tmp_path):
    subprocess.run([sys.executable, REPOSITORY / "tools" / "dashboards", tmp_path], check=True)
    written = {file.name: file.read_text() for file in tmp_path.iterdir()}
    there = {file.name: file.read_text() for file in (REPOSITORY / "dashboards").glob("*.json")}
    assert written == there, "run make dashboards"


# The SDK warns, when it is imported, that it prefers the newer model of dashboards. The classic one is what every Grafana
# since 10 and every sidecar takes.
@pytest.mark.filterwarnings("ignore:Prefer using dashboardv2")
@every_dashboard
def test_grafanas_own_model_keeps_every_word_of_it(name):
    from grafana_foundation_sdk.cog.encoder import JSONEncoder
    from grafana_foundation_sdk.cog.plugins import register_default_plugins
    from grafana_foundation_sdk.models.dashboard import Dashboard

    register_default_plugins()
    kept = json.loads(json.dumps(Dashboard.from_json(ALL[name]), cls=JSONEncoder))
    # A misspelt key would be gone, and a missing one filled in.
    assert kept == ALL[name]


def test_the_five_are_there_each_under_its_own_uid():
    assert {one["uid"] for one in ALL.values()} == {f"worker-exporter-{kind}" for kind in ("fleet", "worker", "queues", "slo", "exporter")}


def test_it_is_of_the_classic_model_and_bound_to_no_data_source(dashboard):
    text = json.dumps(dashboard)
    assert 39 <= dashboard["schemaVersion"] <= 41
    assert "__inputs" not in text and "__requires" not in text and "id" not in dashboard
    assert set(re.findall(r'"uid": "([^"]*)"', text)) == {"${datasource}", dashboard["uid"]}
    assert "5s" in dashboard["timepicker"]["refresh_intervals"]


@every_dashboard
def test_where_the_exporter_is_stands_in_one_place_and_that_is_where_kustomize_looks(name):
    text = (FOLDER / f"{name}.json").read_text()
    address = variables(ALL[name])["exporter"]
    assert (address["type"], address["hide"], address["skipUrlSync"]) == ("constant", 2, True)
    assert address["query"] == text.split('"')[7] and text.count(address["query"]) == 1 and "current" not in address
    # Other than this there is no address in it, so none that nobody has: links to dashboards need no host.
    assert re.findall(r"https?://[^\s\"]*", text) == [address["query"]]
    leads = set(re.findall(r'"url": "([^"]*)"', text)) - {""}
    assert leads and all(url.startswith(("/d/", "${exporter:raw}/runbooks/")) for url in leads), leads


def test_a_dashboard_says_what_to_do_where_its_runbooks_are_not_found(dashboard):
    (shown,) = [panel for panel in panels(dashboard) if panel["type"] == "text"]
    assert "${exporter:raw}." in shown["options"]["content"] and "worker-exporter bundle" in shown["options"]["content"]


def test_panels_stand_beside_each_other_and_have_numbers_of_their_own(dashboard):
    taken, numbers = {}, [panel["id"] for panel in dashboard["panels"]]
    assert len(set(numbers)) == len(numbers)
    for panel in dashboard["panels"]:
        at = panel["gridPos"]
        for x in range(at["x"], at["x"] + at["w"]):
            for y in range(at["y"], at["y"] + at["h"]):
                assert (x, y) not in taken and x < 24, f"{panel['title']} stands on {taken.get((x, y))}"
                taken[x, y] = panel["title"]


def test_every_panel_says_what_it_shows_in_which_unit_and_from_where_on_it_is_bad(dashboard):
    for panel in panels(dashboard):
        defaults = panel["fieldConfig"]["defaults"]
        assert panel["title"] and panel["description"].endswith((".", "!", "?")), panel["title"]
        assert defaults["unit"], panel["title"]
        first, *rest = defaults["thresholds"]["steps"]
        assert first["value"] is None and [step["value"] for step in rest] == sorted(step["value"] for step in rest)
        if panel["type"] == "state-timeline":
            assert defaults["mappings"], panel["title"]


def test_every_state_has_its_word_where_a_state_is_shown():
    meanings = (REPOSITORY / "docs" / "metrics.md").read_text().split("### State\n")[1].split("###")[0]
    states = set(re.findall(r"^\| `(\w+)`", meanings, re.MULTILINE))
    shown = [panel for panel in panels(ALL["worker"]) if panel["title"] == "State"]
    assert len(states) == 7 and len(shown) == 2
    for panel in shown:
        (mapping,) = panel["fieldConfig"]["defaults"]["mappings"]
        codes = {result["text"]: code for code, result in mapping["options"].items()}
        assert set(codes) == states
        asked = panel["targets"][0]["expr"]
        for state, code in codes.items():
            assert f'state="{state}"}}) == 1) * {code}' in asked


# Links and marks.


def links_of(value):
    """Every address in a dashboard that leads to another."""
    if isinstance(value, dict):
        if isinstance(value.get("url"), str) and value["url"].startswith("/d/"):
            yield value["url"]
        for below in value.values():
            yield from links_of(below)
    elif isinstance(value, list):
        for below in value:
            yield from links_of(below)


def test_links_between_dashboards_keep_the_time_and_set_variables_that_are_there(dashboard):
    by_uid = {one["uid"]: one for one in ALL.values()}
    for url in links_of(dashboard):
        uid, query = url.removeprefix("/d/").split("?")
        parts = query.split("&")
        assert parts[0] == "${__url_time_range}", url
        assert {f"${{{name}:queryparam}}" for name in ("datasource", "job", "instance")} <= set(parts), url
        for part in parts:
            if part.startswith("var-"):
                assert part.removeprefix("var-").split("=")[0] in variables(by_uid[uid]), url
    (between,) = [link for link in dashboard["links"] if link["type"] == "dashboards"]
    assert between["keepTime"] and between["includeVars"] and set(between["tags"]) <= set(dashboard["tags"])


def test_the_overview_leads_to_the_detail():
    assert any("/d/worker-exporter-worker?" in url and "var-worker=${__data.fields.worker" in url for url in links_of(ALL["fleet-overview"]))
    assert any("/d/worker-exporter-fleet?" in url for url in links_of(ALL["worker"]))


def test_alerts_deploys_and_restarts_are_marked(dashboard):
    marks = {mark["name"]: mark for mark in dashboard["annotations"]["list"]}
    assert set(marks) == {"Alerts", "Deploys", "Restarts of workers", "Restarts of the exporter"}
    asked = {name: {selector.name for selector, _ in promql.selectors(parsable(dashboard, mark["expr"]))} for name, mark in marks.items()}
    assert asked["Alerts"] == {"ALERTS"} and asked["Deploys"] == {"worker_info"}
    assert asked["Restarts of workers"] == {"worker_restarts_total"}
    assert all(mark["enable"] and mark["titleFormat"] for mark in marks.values())


# What is asked.


def exported():
    """Every metric of the reference with its labels."""
    found = {}
    for name, kind, labels in re.findall(r"^\| `(\w+)` \| (\w+) \| ([^|]*) \|", (REPOSITORY / "docs" / "metrics.md").read_text(), re.MULTILINE):
        known = set(re.findall(r"`(\w+)`", labels)) | {"job", "instance"}
        if kind == "histogram":
            found.update({f"{name}_bucket": known | {"le"}, f"{name}_sum": known, f"{name}_count": known})
        else:
            found[name] = known
    return found


def test_only_metrics_and_labels_are_asked_for_that_are_exported(dashboard):
    known = exported()
    queries = [target["expr"] for _, target in targets(dashboard)]
    queries += [mark["expr"] for mark in dashboard["annotations"]["list"]]
    queries += [template(variable)[0] for variable in variables(dashboard).values() if variable["type"] == "query"]
    for query in queries:
        for selector, _ in promql.selectors(parsable(dashboard, query)):
            if selector.name in OF_PROMETHEUS:
                continue
            assert selector.name in known, f"{selector.name}: {query}"
            assert {label for label, _, _ in promql.matchers(selector)} <= known[selector.name], query


def test_two_exporters_of_the_same_workers_are_not_counted_twice(dashboard):
    """Whatever is said of fleets, workers and queues is folded over exporters before anything else is done with it."""
    for panel, target in targets(dashboard):
        for selector, above in promql.selectors(parsable(dashboard, target["expr"])):
            if selector.name in OF_PROMETHEUS or selector.name.startswith(("worker_exporter_", "process_", "worker_probe_")):
                continue
            folds = [str(node.op) for node in above if type(node).__name__ == "AggregateExpr"]
            assert folds and folds[-1] == "max", f"{panel['title']}: {target['expr']}"


# The rules of Grafana's dashboard-linter for Prometheus, by their names, and none is left out. Where it looks at some kinds
# of panels only, we look at all that have queries.


def template(variable):
    """(selector, label) of a variable that offers the values of a label."""
    return re.fullmatch(r"label_values\((.+), (\w+)\)", variable["query"]).groups()


def with_queries(dashboard):
    return [panel for panel in panels(dashboard) if panel["type"] not in ("text", "alertlist")]


def test_lint_template_datasource(dashboard):
    (source,) = [variable for variable in variables(dashboard).values() if variable["type"] == "datasource"]
    assert (source["name"], source["label"], source["query"]) == ("datasource", "Data source", "prometheus")


@pytest.mark.parametrize("name", ["job", "instance"])
def test_lint_template_job_and_template_instance(dashboard, name):
    variable = variables(dashboard)[name]
    assert (variable["type"], variable["datasource"]["uid"], variable["label"]) == ("query", "${datasource}", name.title())
    assert variable["multi"] and variable["includeAll"] and variable["allValue"] == ".+"


def test_lint_template_label_promql(dashboard):
    for variable in variables(dashboard).values():
        if variable["type"] == "query":
            promql.parse(parsable(dashboard, template(variable)[0]))


def test_lint_template_on_time_change_reload(dashboard):
    assert all(variable["refresh"] == 2 for variable in variables(dashboard).values() if variable["type"] == "query")


def test_lint_panel_datasource(dashboard):
    for panel in panels(dashboard):
        assert panel["datasource"]["uid"] == "${datasource}", panel["title"]
        assert all(target["datasource"]["uid"] == "${datasource}" for target in panel.get("targets", ()))


def test_lint_panel_title_description(dashboard):
    assert all(panel["title"] and panel["description"] for panel in panels(dashboard))


def test_lint_panel_units(dashboard):
    known = {getattr(units, name) for name in dir(units) if not name.startswith("_")}
    for panel in panels(dashboard):
        assert panel["fieldConfig"]["defaults"]["unit"] in known, panel["title"]


def test_lint_panel_no_targets(dashboard):
    assert all(panel["targets"] for panel in with_queries(dashboard))


def test_lint_target_promql(dashboard):
    for _, target in targets(dashboard):
        promql.parse(parsable(dashboard, target["expr"]))


def test_lint_target_rate_interval(dashboard):
    for panel, target in targets(dashboard):
        for _, above in promql.selectors(parsable(dashboard, target["expr"])):
            if promql.function_over(above) in ("rate", "irate"):
                assert promql.range_of(above) == 299, f"{panel['title']}: {target['expr']}"


@pytest.mark.parametrize("label", ["job", "instance"])
def test_lint_target_job_and_target_instance(dashboard, label):
    for panel, target in targets(dashboard):
        for selector, _ in promql.selectors(parsable(dashboard, target["expr"])):
            assert (label, "=~", f"${label}") in promql.matchers(selector), f"{panel['title']}: {target['expr']}"


def test_lint_target_counter_agg(dashboard):
    for panel, target in targets(dashboard):
        for selector, above in promql.selectors(parsable(dashboard, target["expr"])):
            if selector.name.endswith("_total"):
                assert promql.function_over(above) in ("rate", "irate", "increase"), f"{panel['title']}: {target['expr']}"


def test_lint_uneditable_dashboard(dashboard):
    assert dashboard["editable"] is False
