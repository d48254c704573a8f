#!/usr/bin/env python3
"""Writes the annotations that alerts have now into the tests, where they differ: read them as who is woken at night would.

    tests/rules/fill.py FILE.test.yaml…

Labels are never written: those are what the author of a test says himself."""

import json
import re
import subprocess
import sys
import textwrap
from pathlib import Path

import yaml

PAIR = re.compile(r'(\w+)=("(?:\\.|[^"\\])*")')
FAILED = re.compile(r"^    name: (.*?),?\n    alertname: (\w+), time: (\w+),(.*?)(?=^    name: |\Z)", re.M | re.S)
ALERT = re.compile(r"^\s+Labels:\{(.*)\}\n\s+Annotations:\{(.*)\},?$", re.M)


def pairs(text):
    return {name: json.loads(re.sub(r"\\x([0-9a-f]{2})", r"\\u00\1", value)) for name, value in PAIR.findall(text)}


def got(path):
    """(test, alert, time) to what fired there: labels and annotations."""
    run = subprocess.run(["promtool", "test", "rules", path], capture_output=True, text=True)
    fired = {}
    for name, alert, time, rest in FAILED.findall(run.stdout + run.stderr):
        now = rest.split("got:[", 1)[1]
        fired[name, alert, seconds(time)] = [(pairs(labels), pairs(notes)) for labels, notes in ALERT.findall(now)]
    return fired


def seconds(span):
    """`1h5m` in seconds: promtool writes times in its own way."""
    return sum(int(number) * {"w": 604800, "d": 86400, "h": 3600, "m": 60, "s": 1}[unit] for number, unit in re.findall(r"(\d+)([wdhms])", span))


def child(node, key):
    return next((value for name, value in node.value if name.value == key), None)


def block(notes, indent):
    lines = []
    for name, value in sorted(notes.items()):
        flat = " ".join(value.split())
        if flat == value:
            lines.append(f"{indent}{name}: >-")
            lines += textwrap.wrap(value, 120, initial_indent=f"{indent}  ", subsequent_indent=f"{indent}  ", break_long_words=False, break_on_hyphens=False)
        else:
            lines.append(f"{indent}{name}: {json.dumps(value, ensure_ascii=False)}")
    return "\n" + "\n".join(lines) + "\n"


def fill(path):
    text = Path(path).read_text()
    fired = got(path)
    # By place: what is aliased is there once.
    edits = {}
    for test in child(yaml.compose(text), "tests").value:
        name = child(test, "name").value
        for case in child(test, "alert_rule_test").value:
            expected = child(case, "exp_alerts")
            here = fired.get((name, child(case, "alertname").value, seconds(child(case, "eval_time").value)))
            if expected is None or here is None:
                continue
            for alert in expected.value:
                labels = {k.value: v.value for k, v in child(alert, "exp_labels").value}
                labels["alertname"] = child(case, "alertname").value
                notes = next((notes for had, notes in here if had == labels), None)
                node = child(alert, "exp_annotations")
                if notes is None or node is None:
                    continue
                end = node.end_mark.index if node.flow_style else len(text[: node.end_mark.index].rstrip())
                column = next(k.start_mark.column for k, v in alert.value if k.value == "exp_annotations")
                edits[node.start_mark.index, end] = block(notes, " " * (column + 2)).rstrip("\n")
    for (start, end), new in sorted(edits.items(), reverse=True):
        text = text[:start].rstrip() + new + text[end:]
    Path(path).write_text(text)
    print(f"{path}: {len(edits)} annotations written")


for path in sys.argv[1:]:
    fill(path)
