"""The runbooks, read as whoever is paged will use them: every heading, link, query and command holds."""

import functools
import itertools
import json
import os
import re
import shutil
import subprocess
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import yaml
from harness.config import config, http
from harness.exporter import BINARY
from harness.temporal import TEMPORAL
from harness.wait import wait_for

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "runbooks"
RUNBOOKS = sorted(path for path in FOLDER.glob("*.md") if path.name != "README.md")
HEADINGS = ["In 30 seconds", "Decision tree", "Meaning", "Impact", "Diagnosis", "Mitigation", "Verify recovered",
            "Escalation", "False positives and tuning"]
EXPORTER, GRAFANA = "https://worker-exporter.example", "https://grafana.example"
DASHBOARDS = {board["uid"]: {variable["name"] for variable in board["templating"]["list"]}
              for board in (json.loads(path.read_text()) for path in (ROOT / "dashboards").glob("*.json"))}
# Labels that Prometheus and the rules add to those of the metrics.
ADDED = {"job", "instance", "le", "alertname", "alertstate", "severity", "escalate"}
# What PromQL brings itself, as far as it is used.
PROMQL = {"by", "without", "on", "ignoring", "group_left", "group_right", "and", "or", "unless", "offset", "bool",
          "sum", "max", "min", "avg", "count", "topk", "bottomk", "quantile", "group", "stddev", "count_values",
          "abs", "absent", "changes", "ceil", "clamp_max", "clamp_min", "delta", "deriv", "floor", "histogram_quantile",
          "increase", "label_replace", "last_over_time", "max_over_time", "min_over_time", "avg_over_time", "predict_linear",
          "rate", "round", "scalar", "stddev_over_time", "sum_over_time", "count_over_time", "sort_desc", "sort", "time", "timestamp", "vector", "resets"}


@pytest.fixture(params=RUNBOOKS, ids=lambda path: path.stem)
def runbook(request):
    return request.param


def outside_of_code(text):
    """The lines of the prose, code left out."""
    return re.sub(r"^( *)```.*?^\1```$", "", text, flags=re.M | re.S)


def blocks(text, language):
    return [block for _, block in re.findall(rf"^( *)```{language}\n(.*?)^\1```$", text, flags=re.M | re.S)]


def headings(text):
    return re.findall(r"^(#+) (.+)$", outside_of_code(text), flags=re.M)


def anchor(heading):
    """As Git hosts make it, and the exporter."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


@functools.cache
def rules():
    """Every rule, escalation left out: its alerts are those of the others, later."""
    files = [path for path in (ROOT / "alerts").glob("*.yaml") if path.stem != "escalation"]
    return [rule for path in files for group in yaml.safe_load(path.read_text())["spec"]["groups"] for rule in group["rules"]]


@functools.cache
def families():
    """Metric names with their labels, as docs/metrics.md has them, and what the rules record."""
    found = {}
    for name, kind, labels in re.findall(r"^\| `(\w+)` \| (\w+) \| ([^|]*)\|", (ROOT / "docs/metrics.md").read_text(), flags=re.M):
        names = [name + end for end in ("_bucket", "_sum", "_count")] if kind == "histogram" else [name]
        found |= {name: set(re.findall(r"`(\w+)`", labels)) for name in names}
    assert len(found) > 40, "docs/metrics.md could not be read"
    found |= {"up": set(), "ALERTS": {"alertname", "severity", "fleet", "worker", "source"}}
    found |= {"prometheus_rule_evaluation_failures_total": {"rule_group"}}
    labels = set().union(*found.values())
    return found | {rule["record"]: labels for rule in rules() if "record" in rule}


def test_every_alert_has_a_runbook_and_every_runbook_an_alert():
    alerts = {rule["alert"] for rule in rules() if "alert" in rule}
    assert alerts, "no alert was found"
    assert {path.stem for path in RUNBOOKS} == alerts


def test_the_index_names_every_runbook_once():
    listed = re.findall(r"^\| \[(\w+)\]\(\1\.md\) \|", (FOLDER / "README.md").read_text(), flags=re.M)
    assert sorted(listed) == [path.stem for path in RUNBOOKS]


def test_it_has_all_headings_in_their_order_and_something_under_each(runbook):
    text = runbook.read_text()
    found = headings(text)
    assert found[0] == ("#", runbook.stem)
    assert [title for level, title in found if level == "##"] == HEADINGS
    for title, body in re.findall(r"^## ([^\n]+)\n(.*?)(?=^## |\Z)", text, flags=re.M | re.S):
        assert len(body.strip()) > 5, f"nothing under {title}"


def test_it_begins_with_one_line_and_the_severities_of_its_rules(runbook):
    _, meaning, severity, *_ = runbook.read_text().split("\n\n")
    assert len(meaning) <= 160 and "\n" not in meaning and meaning.endswith("."), meaning
    said = set(re.findall(r"(critical|warning|info|none) after (\d+[smhd])", severity))
    expected = {(rule["labels"]["severity"], rule.get("for", "0s")) for rule in rules() if rule.get("alert") == runbook.stem}
    assert severity.startswith("Severity: ") and said == expected


def test_its_first_block_sets_every_variable_that_a_later_one_uses(runbook):
    text = runbook.read_text()
    shell = "\n".join(blocks(text, "sh"))
    used = set(re.findall(r"\$\{?([A-Z][A-Z_]+)\b", shell))
    missing = {name for name in used if not re.search(rf"(?:^|[;( ]){name}=", shell, flags=re.M)}
    assert not missing, f"never set: {missing}"
    # What the exporter fills in is an empty assignment on a line of its own, in the first block.
    for name in set(re.findall(r"\"\$([A-Z][A-Z_]+)\"", "\n".join(blocks(text, "promql")))):
        assert re.search(rf"^{name}=''", blocks(text, "sh")[0], flags=re.M), f"{name} is in a query and never filled in"


def test_the_link_of_its_alert_brings_what_it_wants_filled_in(runbook):
    wanted = {name.lower() for name in re.findall(r"^([A-Z_]+)=''", blocks(runbook.read_text(), "sh")[0], flags=re.M)}
    for rule in rules():
        if rule.get("alert") == runbook.stem:
            url = urlsplit(rule["annotations"]["runbook_url"])
            assert url.path == f"/runbooks/{runbook.stem}"
            brought = {item.split("=")[0] for item in url.query.split("&") if item}
            assert wanted <= brought, f"never filled in: {wanted - brought}"
            assert brought <= wanted, f"brought, and no line of it wants it: {brought - wanted}"


def test_every_shell_block_can_be_parsed(runbook):
    for block in blocks(runbook.read_text(), "sh"):
        done = subprocess.run(["bash", "-n"], input=block, capture_output=True, text=True)
        assert done.returncode == 0 and not done.stderr, f"{done.stderr}\n{block}"


def test_every_query_is_parsed_by_prometheus_and_asks_for_what_there_is(tmp_path):
    promtool = shutil.which("promtool")
    if promtool is None:
        pytest.skip("no promtool")
    known, queries = families(), []
    for runbook in [*RUNBOOKS, ROOT / "docs/monitoring.md"]:
        for block in blocks(runbook.read_text(), "promql"):
            queries.append({"record": "a:b:c", "labels": {"of": f"{runbook.stem}-{len(queries)}"}, "expr": block})
            wrong = strangers(block, known)
            assert not wrong, f"{runbook.name}: {wrong} in\n{block}"
    assert len(queries) >= len(RUNBOOKS)
    file = tmp_path / "queries.yaml"
    file.write_text(yaml.safe_dump({"groups": [{"name": "queries", "rules": queries}]}))
    done = subprocess.run([promtool, "check", "rules", file], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def strangers(query, known):
    """Names in it that no metric, label or function has."""
    labels = set().union(*known.values()) | ADDED
    wrong = []
    for names in re.findall(r"\b(?:by|on|without|ignoring|group_left|group_right)\s*\(([^)]*)\)", query):
        wrong += [name for name in re.findall(r"\w+", names) if name not in labels]
    bare = re.sub(r"\b(by|on|without|ignoring|group_left|group_right)\s*\([^)]*\)", r"\1", query)
    for name, selector in re.findall(r"([a-zA-Z_:][\w:]*)\s*\{([^}]*)\}", bare):
        of_it = known.get(name, set()) | ADDED
        wrong += [f"{name}{{{label}}}" for label in re.findall(r"(\w+)\s*(?:=~|!~|!=|=)", re.sub(r'"[^"]*"', '""', selector))
                  if label not in of_it]
    bare = re.sub(r"\{[^}]*\}|\"[^\"]*\"|\[[^\]]*\]|\b\d+(\.\d+)?(ms|[smhdwy])?\b", " ", bare)
    return wrong + [name for name in re.findall(r"[a-zA-Z_:][\w:]*", bare) if name not in known and name not in PROMQL]


def test_strangers_are_found():
    known = {"worker_up": {"fleet", "worker"}}
    assert strangers('max by (fleet) (worker_up{fleet="x"}[5m] offset 1h)', known) == []
    assert strangers('max by (pod) (worker_upp{fleet="x"})', known) == ["pod", "worker_upp{fleet}", "worker_upp"]
    assert strangers('worker_up{pod="x"} == 0', known) == ["worker_up{pod}"]


@pytest.mark.parametrize("page", [*RUNBOOKS, FOLDER / "README.md", ROOT / "docs/monitoring.md"], ids=lambda path: path.stem)
def test_every_link_leads_somewhere(page):
    text = page.read_text()
    for target in re.findall(r"\]\(([^)\s]+)\)", outside_of_code(text)):
        if target.startswith(GRAFANA):
            path, query = urlsplit(target).path, urlsplit(target).query
            variables = DASHBOARDS[path.removeprefix("/d/")]
            for item in filter(None, query.split("&")):
                variable = re.fullmatch(r"var-([a-z_]+)=\$([A-Z_]+)", item)
                assert variable and variable[1] in variables, target
            continue
        if target.startswith(EXPORTER):
            assert served(urlsplit(target).path), target
            continue
        assert "://" not in target, f"{target}: links are offline, and of this repository"
        file, _, fragment = target.partition("#")
        other = (page.parent / file).resolve() if file else page
        assert other.exists(), target
        if fragment:
            assert fragment in {anchor(title) for _, title in headings(other.read_text())}, target


def served(path):
    patterns = re.findall(r"^\| `(?:GET|POST) (\S+)` \|", (ROOT / "docs/api.md").read_text(), flags=re.M)
    return any(re.fullmatch(re.sub(r"\\\{\w+\\\}", "[^/]+", re.escape(pattern)), path) for pattern in patterns)


def test_every_path_of_ours_is_served(runbook):
    for path in re.findall(r'"\$EXPORTER(/[^"?]*)', runbook.read_text()):
        assert served(re.sub(r"\$\w+", "x", path)), path


def code_of(runbook):
    """Its shell blocks, and what stands in backticks, line by line."""
    text = runbook.read_text()
    return "\n".join(blocks(text, "(?:sh|console)") + re.findall(r"`([^`\n]+)`", outside_of_code(text)))


def test_every_command_of_temporals_command_line_exists():
    everywhere = subprocess.run([TEMPORAL, "options"], capture_output=True, text=True).stdout
    helps, commands = {}, 0
    for runbook in RUNBOOKS:
        for line in re.findall(r"(?:^\s*|\| |\$\()temporal ([a-z][^|;&\n]*)", code_of(runbook), flags=re.M):
            words = line.split("#")[0].split()
            command = tuple(itertools.takewhile(lambda word: re.fullmatch(r"[a-z][a-z-]+", word), words))
            if command not in helps:
                done = subprocess.run([TEMPORAL, *command, "--help"], capture_output=True, text=True)
                # A command that is none shows the help of its parent.
                assert done.returncode == 0 and f"temporal {' '.join(command)} [" in done.stdout, f"{runbook.name}: {line}"
                helps[command] = done.stdout + everywhere
            for flag in re.findall(r"(?<!\S)--[a-z-]+", line):
                assert re.search(rf"(?<!\S){flag}(?![\w-])", helps[command]), f"{runbook.name}: {flag} in {line}"
            commands += 1
    assert commands > 30


def test_every_command_of_ours_exists():
    helps = {}

    def help_of(command):
        if command not in helps:
            arguments = [BINARY, *([command] if command else []), "--help"]
            done = subprocess.run(arguments, capture_output=True, text=True, env={})
            assert done.returncode == 0, f"no command {command!r}"
            helps[command] = done.stdout
        return helps[command]

    commands = 0
    for runbook in [*RUNBOOKS, FOLDER / "README.md", ROOT / "docs/monitoring.md"]:
        for line in re.findall(r"(?:^\s*|-- /?|\| |\$ )worker-exporter ((?:[a-z]+|--)[^|;&\n)]*)", code_of(runbook), flags=re.M):
            words = line.split("#")[0].split()
            command = words[0] if re.fullmatch("[a-z]+", words[0]) else ""
            text_of_help = help_of(command)
            for word in words:
                flag = re.match(r"--[a-z][\w.-]*", word)
                assert not flag or re.search(rf"{re.escape(flag[0])}\b(?![.-])", text_of_help), f"{runbook.name}: {line}"
            commands += 1
    assert commands > 5


# Tools that stand for a cluster, a host or a server; and two that would only take time.
STAND_INS = ("kubectl", "systemctl", "journalctl", "temporal", "redis-cli", "amtool", "chronyc", "sleep", "timeout", "worker-exporter")


def test_the_first_block_and_every_question_to_the_exporter_work_on_a_real_one(exporter, http_worker, tmp_path):
    watched = exporter(config(http(http_worker("w 1"))))
    watched.wait_state("w 1", "healthy", 20)
    for name in STAND_INS:
        tool = tmp_path / name
        tool.write_text("#!/bin/sh\nexit 0\n")
        tool.chmod(0o755)
    worker = watched.worker("w 1")
    environment = os.environ | {"PATH": f"{tmp_path}:{os.environ['PATH']}"}
    asked = 0
    for runbook in RUNBOOKS:
        first, *later = blocks(runbook.read_text(), "sh")
        values = {"FLEET": worker["fleet"], "WORKER": "w 1", "SOURCE": worker["sources"][0]}
        first = re.sub(r"^([A-Z_]+)=''", lambda label: f"{label[1]}='{values.get(label[1], 'x')}'", first, flags=re.M)
        first = first.replace(EXPORTER, watched.url).replace("http://alertmanager:9093", watched.url)
        first = re.sub(r"^(grep .*/etc/|df ).*\n", "", first, flags=re.M)
        questions = [
            line for block in later for line in re.sub(r"\|\n\s*", "| ", block).splitlines()
            if re.match(r'(\w+=\$\()?curl [^|]*"\$EXPORTER|[A-Z_]+=[^(]*$', line) and " WORKER" not in line
        ]
        # A question that is not answered well is told on standard error, like a mistake in the shell or in jq.
        script = "\n".join(['curl() { command curl -fS "$@"; }', first, *questions])
        done = subprocess.run(["bash", "-u", "-c", script], capture_output=True, text=True, env=environment, timeout=60)
        assert not done.stderr, f"{runbook.name}: {done.stderr}\n{script}"
        asked += script.count("curl ")
    assert asked > 60


def test_every_query_can_be_evaluated_on_what_two_exporters_show(exporter, prometheus):
    demo = exporter(command="demo", ready=False)
    watching = prometheus(rules=ROOT / "alerts/plain/*.rules.yaml", **{"worker-exporter": demo.target, "another": demo.target})
    wait_for(lambda: watching.query("worker_up"), 40, "Prometheus to scrape the demo")
    worker = watching.query("worker_up")[0][0]
    labels = {"FLEET": worker["fleet"], "WORKER": worker["worker"], "SOURCE": worker["fleet"]}
    answered = 0
    for runbook in RUNBOOKS:
        for query in blocks(runbook.read_text(), "promql"):
            # Two series where one was meant are a mistake that no parser finds.
            answered += bool(watching.query(re.sub(r"\$([A-Z_]+)", lambda label: labels.get(label[1], "x"), query)))
    assert answered > 20
