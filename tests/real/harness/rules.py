"""The rules that are shipped, as Prometheus reads them, and at another pace where a test cannot wait that long."""

import re

import yaml

from .processes import REPOSITORY

ALERTS = REPOSITORY / "alerts"
_UNITS = {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800, "y": 31536000}


def groups():
    """All groups, by the files that people edit: alerts/*.yaml."""
    return [group for file in sorted(ALERTS.glob("*.yaml")) for group in yaml.safe_load(file.read_text())["spec"]["groups"]]


def alerts():
    return [rule for group in groups() for rule in group["rules"] if "alert" in rule]


def seconds(duration):
    """`1h30m` as seconds."""
    return sum(float(number) * _UNITS[unit] for number, unit in re.findall(r"(\d+)(ms|[smhdwy])", str(duration)))


def write(folder, pace=1):
    """Writes the rules for a Prometheus. With `pace=6` an hour takes ten minutes: `for`, `keep_firing_for` and the interval
    of each group are divided by it. What a rule looks back at stays as it is, and so does what it compares: only waits
    become shorter."""
    for number, group in enumerate(groups()):
        if pace != 1:
            for holder in (group, *group["rules"]):
                for key in ("interval", "for", "keep_firing_for"):
                    if key in holder:
                        holder[key] = f"{round(seconds(holder[key]) / pace * 1000)}ms"
        (folder / f"{number:02}.rules.yaml").write_text(yaml.safe_dump({"groups": [group]}, sort_keys=False, width=1000))
