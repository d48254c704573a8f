"""The gate of the alerts: each is tried in all four ways, says all that it has to say, and reads only what the exporter exports.

That the rules do what the tests say is promtool's part (`make rules`); that the tests notice when they do not, `make mutants-rules`."""

import functools
import re
from pathlib import Path

import pytest
import yaml
from promql import read

ROOT = Path(__file__).resolve().parents[2]
FILES = ["workers", "fleets", "temporal", "exporter", "anomalies"]
ANNOTATIONS = {"summary", "description", "impact", "first_check", "runbook_url", "dashboard_url"}
DASHBOARDS = {f"worker-exporter-{name}" for name in ("fleet", "worker", "queues", "slo", "exporter")}
# It always fires: there is no time before, after, or without.
ALWAYS = {"WorkerWatchdog"}
# The ways in which alerts about workers lie; each begins the name of a test in false-positives*.test.yaml.
LIES = [
    "Rolling deploy", "Short blip", "Forgotten worker", "Exporter restart", "Exporter dead", "Exporter frozen", "Scale to zero",
    "Scale from zero failed", "Low traffic", "Idle is not stuck", "Counter born at 1", "Poller list lag", "Clock skew",
    "Prediction while it warms up", "Young series and long windows", "Alertmanager restarts",
]  # fmt: skip
# What Prometheus itself adds or makes.
SCRAPED = {"up": set()}
TARGET = {"job", "instance"}


@functools.cache
def load(path):
    # The parser in C, where PyYAML has it: these are thousands of lines.
    return yaml.load(path.read_text(), Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))


def groups(name):
    return load(ROOT / "alerts" / f"{name}.yaml")["spec"]["groups"]


RULES = [(name, group, rule) for name in FILES for group in groups(name) for rule in group["rules"]]
ALERTS = [rule for _, _, rule in RULES if "alert" in rule]
TWINS = [rule for group in groups("escalation") for rule in group["rules"]]
RECORDED = {rule["record"] for _, _, rule in RULES if "record" in rule}
DOCUMENTS = {path.name: load(path) for path in sorted(Path(__file__).parent.glob("*.test.yaml"))}
TESTS = [(name, document["evaluation_interval"], test) for name, document in DOCUMENTS.items() for test in document["tests"]]


def seconds(span):
    return sum(int(number) * {"w": 604800, "d": 86400, "h": 3600, "m": 60, "s": 1}[unit] for number, unit in re.findall(r"(\d+)([wdhms])", str(span)))


def title(rule):
    return "-".join([rule["alert"], *rule["labels"].values()])


def tables(page):
    """Heading to the rows of the table under it, each a list of cells."""
    found, heading = {}, None
    for line in page.read_text().splitlines():
        if line.startswith("#"):
            heading = line.strip("#` ")
        elif line.startswith("| `"):
            found.setdefault(heading, []).append([cell.strip() for cell in line.strip("|").split(" | ")])
    return found


REFERENCE = tables(ROOT / "docs" / "metrics.md")
METRICS = {}
for row in (row for heading in ("Per worker", "Per fleet", "Per queue", "Of the exporter") for row in REFERENCE[heading]):
    labels = set(re.findall(r"`(\w+)`", row[2]))
    name = row[0].strip("` ")
    if row[1] == "histogram":
        METRICS |= {f"{name}_bucket": labels | {"le"}, f"{name}_sum": labels, f"{name}_count": labels}
    else:
        METRICS[name] = labels
CLOSED = {heading: {row[0].strip("` ") for row in REFERENCE[heading]} for heading in ("State", "Reason", "Check", "Failure", "TaskFailure", "TaskType", "SourceKind")}


def words(metric, label):
    """The closed set of a label, where it has one."""
    return {
        "state": CLOSED["State"],
        "check": CLOSED["Check"],
        "task_type": CLOSED["TaskType"],
        "kind": CLOSED["SourceKind"],
        "reason": CLOSED["TaskFailure"] if "task_failures" in metric else CLOSED["Failure"] if "source" in metric else CLOSED["Reason"],
        "condition": {"polling", "full", "silent"},
        "slot": {"used", "available"},
        "outcome": {"completed", "failed"},
        "page": {"worker", "fleet"},
    }.get(label)


def reads_what_is_exported(expr, where):
    asked = read(expr)
    known = {label for labels in METRICS.values() for label in labels} | TARGET | {"week"}
    assert asked.labels <= known, f"{where} groups by {asked.labels - known}"
    for metric, pairs in asked.metrics.items():
        if metric in RECORDED:
            labels = known
        else:
            assert metric in METRICS or metric in SCRAPED, f"{where} reads {metric}, which nothing exports"
            labels = METRICS.get(metric, set()) | TARGET
        for label, value in pairs:
            assert label in labels, f"{where} asks {metric} for a label {label}"
            closed = words(metric, label)
            plain = re.fullmatch(r"\w*", value)
            assert not closed or not plain or value in closed | {""}, f'{where} asks {metric} for {label}="{value}"'


@pytest.mark.parametrize("rule", [rule for _, _, rule in RULES], ids=lambda rule: rule.get("record") or title(rule))
def test_a_rule_reads_only_metrics_labels_and_words_that_the_exporter_has(rule):
    reads_what_is_exported(rule["expr"], rule.get("record") or rule["alert"])
    for note in rule.get("annotations", {}).values():
        for query in re.findall(r'"((?:\\.|[^"\\])*)"[^}]*\| query', note) + re.findall(r'query "((?:\\.|[^"\\])*)"', note):
            reads_what_is_exported(query.replace('\\"', '"').replace("%q", '".*"'), f"an annotation of {rule['alert']}")


@pytest.mark.parametrize("file, interval, test", TESTS, ids=lambda part: part["name"] if isinstance(part, dict) else None)
def test_a_test_feeds_only_series_that_the_exporter_or_another_rule_file_makes(file, interval, test):
    for series in test["input_series"]:
        reads_what_is_exported(series["series"], f"{file}: {test['name']}")
        (metric,) = read(series["series"]).metrics
        # A sample of a name that a loaded file records as well would be two of one series.
        made = {rule.get("record") for name, _, rule in RULES for path in DOCUMENTS[file]["rule_files"] if f"/{name}.rules." in path}
        assert metric not in made, f"{file} feeds {metric}, which its own rules record"


@pytest.mark.parametrize("rule", ALERTS, ids=title)
def test_an_alert_says_all_that_it_has_to_say(rule):
    name, notes, severity = rule["alert"], rule["annotations"], rule["labels"]["severity"]
    assert re.fullmatch(r"(Worker|Temporal)([A-Z][a-z]+)+", name) and len(name) <= 40
    assert severity in {"critical", "warning", "info"} or name in ALWAYS
    assert set(notes) == ANNOTATIONS
    assert re.fullmatch(r"[A-Z][^{}]*\.", notes["summary"]), "the summary is a sentence without a template"
    assert "{{" in notes["description"] and notes["description"].endswith((".", "}}"))
    assert notes["impact"].endswith(".") and "\n" not in notes["first_check"].strip()
    assert re.match(rf"https://worker-exporter\.example/runbooks/{name}(\?|$)", notes["runbook_url"])
    assert re.match(r"https://grafana\.example/d/([a-z-]+)", notes["dashboard_url"])[1] in DASHBOARDS
    for url in ("runbook_url", "dashboard_url"):
        assert all("urlquery" in part for part in re.findall(r"\{\{(.*?)\}\}", notes[url])), f"{url} holds a label as it is"
    assert not any("{{" in value for value in rule["labels"].values()), "a templated label would be a new alert at each value"
    named = set(re.findall(r"\$labels\.(\w+)", " ".join(notes.values())))
    assert not named & set(rule["labels"]), "a template sees the labels of the expression alone; those of the rule are empty in it"


@pytest.mark.parametrize("name, group, rule", RULES, ids=lambda part: part.get("record") or part.get("alert") or part.get("name") if isinstance(part, dict) else part)
def test_a_rule_is_in_a_small_group_and_what_it_records_is_named_by_level_metric_and_operation(name, group, rule):
    assert len(group["rules"]) <= 20 and len(group["name"]) <= 40 and seconds(group["interval"]) <= 300
    if "record" in rule:
        assert re.fullmatch(r"[a-z_]+:[a-z_]+:[a-z0-9_]+", rule["record"]), "level:metric:operation"
    if "expr" in rule:
        assert isinstance(rule["expr"], str) and rule["expr"].strip() not in RECORDED


def of(rule, alert, labels):
    return alert == rule["alert"] and {k: str(v) for k, v in labels.items()}.items() >= rule["labels"].items() and "escalate" not in labels


def lives(rule):
    """Of each test that asks for this alert: its name, the evaluation interval, and what it expects when."""
    for file, interval, test in TESTS:
        if file.startswith("escalation"):
            continue
        asked = {}
        for case in test["alert_rule_test"]:
            if case["alertname"] == rule["alert"]:
                fires = any(of(rule, case["alertname"], alert["exp_labels"]) for alert in case.get("exp_alerts", []))
                asked[seconds(case["eval_time"])] = fires
        if asked:
            yield test["name"], seconds(interval), dict(sorted(asked.items()))


@pytest.mark.parametrize("rule", [rule for rule in ALERTS if rule["alert"] not in ALWAYS], ids=title)
def test_an_alert_is_seen_to_fire_after_its_wait_and_to_resolve_and_is_silent_just_under(rule):
    full, silent = [], []
    for name, interval, asked in lives(rule):
        first = next((at for at, fires in asked.items() if fires), None)
        if first is None:
            silent.append(name)
        elif asked.get(first - interval) is False and any(at > first and not fires for at, fires in asked.items()):
            full.append(name)
    assert full, "no test in which it is silent one evaluation before it fires, fires, and is silent again"
    assert silent, "no test in which it is asked for and never fires"


@pytest.mark.parametrize("file, interval, test", TESTS, ids=lambda part: part["name"] if isinstance(part, dict) else None)
def test_whatever_fires_in_a_test_is_expected_with_every_annotation(file, interval, test):
    for case in test["alert_rule_test"]:
        for alert in case.get("exp_alerts", []):
            assert set(alert["exp_annotations"]) == ANNOTATIONS, f"{case['alertname']} at {case['eval_time']}: run tools/rule-annotations"
            said = " ".join(alert["exp_annotations"][note] for note in ("summary", "description", "impact"))
            assert not re.search(r"  | [,.:;]|<no value>|%!", said), f"{case['alertname']} at {case['eval_time']} says nothing where it should: {said}"


@pytest.mark.parametrize("rule", ALERTS + TWINS, ids=title)
def test_an_alert_about_the_dead_comes_twice_before_their_tombstone_ends(rule):
    tombstone = next(row for row in tables(ROOT / "docs" / "config.md")["defaults"] if row[0].strip("` ") == "tombstone")[2]
    # What reads how many are left sees a forgotten worker as one that is missing, and is no matter of this test.
    # What only leaves the dead out does not wait for them.
    reads = "\n".join(line for line in rule["expr"].splitlines() if "unless" not in line)
    if re.search(r"worker_up\) == 0|never_started|workers_lost", reads):
        assert 2 * seconds(rule.get("for", "0s")) < seconds(tombstone.strip("`"))


def test_each_critical_rule_has_a_twin_that_escalates():
    critical = [rule for rule in ALERTS if rule["labels"]["severity"] == "critical"]
    assert len(critical) == len(TWINS)
    for rule, twin in zip(critical, TWINS):
        assert (twin["alert"], twin["annotations"]) == (rule["alert"], rule["annotations"])
        # What its rule reads, or over a gap in that where its rule still fires; tools/derive-rules says why.
        assert twin["expr"].startswith(f"{rule['expr']}\nor\nmax without (")
        assert "keep_firing_for" not in twin, "it ends with its rule"
        (own, asked), = re.findall(r"max without \(([\w, ]+)\) \(ALERTS\{(.*?)\}\)\nand on \(\)\n", twin["expr"])
        labels = dict(re.findall(r'(\w+)="(\w*)"', asked))
        assert labels == {"alertname": rule["alert"], "alertstate": "firing", "escalate": "", **rule["labels"]}
        assert set(own.split(", ")) == set(labels) - {"escalate"}, "its labels are those of its rule, or it would be another alert"
        assert twin["labels"] == rule["labels"] | {"escalate": "true"}
        assert seconds(twin["for"]) == seconds(rule["for"]) + 300


@pytest.mark.parametrize("way", LIES)
def test_each_way_to_lie_has_a_test_that_asks_for_alerts_which_stay_silent(way):
    asked = [case for file, _, test in TESTS if file.startswith("false-positives") and test["name"].startswith(way) for case in test["alert_rule_test"]]
    # Together and as one page is what the long windows want, and of causes that exclude each other one has to fire.
    assert asked and (way.startswith(("Young", "Poller")) or any(not case.get("exp_alerts") for case in asked))
