"""The dashboards of the repository, and what Grafana does with them before it asks Prometheus.

There is no Grafana in the package registries, so what it does to a query is written down here: it puts the values of the
variables in, as its Prometheus data source escapes them, and asks for an instant or a range."""

import json
import re
import urllib.error
import urllib.parse
import urllib.request

from .processes import REPOSITORY

FOLDER = REPOSITORY / "dashboards"
# A variable in a query: `$name`, `${name}`, `${name:format}`.
VARIABLE = re.compile(r"\$(?:(\w+)|\{(\w+)(?::(\w+))?\})")


def dashboards():
    """All of them by name."""
    return {file.stem: json.loads(file.read_text()) for file in sorted(FOLDER.glob("*.json"))}


def panels(dashboard):
    """All panels but the headings."""
    for panel in dashboard["panels"]:
        yield from panel.get("panels", ()) if panel["type"] == "row" else (panel,)


def targets(dashboard):
    """All queries: (panel, target)."""
    return [(panel, target) for panel in panels(dashboard) for target in panel.get("targets", ())]


def variables(dashboard):
    return {variable["name"]: variable for variable in dashboard["templating"]["list"]}


def _regex(value):
    return re.sub(r"([\\^$.*+?()|\[\]{}])", r"\\\1", value)


class Asked:
    """A dashboard with values for its variables, and a Prometheus behind it."""

    def __init__(self, dashboard, prometheus, chosen=None, span=60, rate="15s", step=5):
        """`chosen`: what a person chose, variable by variable; where nothing was, it is All, or what is first."""
        self.dashboard, self.prometheus, self.span, self.step = dashboard, prometheus, span, step
        self.values = {"__rate_interval": rate, "__interval": f"{step}s", "__range": f"{span}s"}
        for name, variable in variables(dashboard).items():
            self.values[name] = self._value(variable, (chosen or {}).get(name))

    def _value(self, variable, chosen):
        if variable["type"] == "constant":
            return variable["query"]
        if variable["type"] != "query":
            return chosen or variable["current"]["value"]
        if variable["includeAll"]:
            return {"raw": variable["allValue"]} if chosen is None else [chosen]
        return chosen if chosen is not None else self.options(variable)[0]

    def shown(self):
        """The values of the variables as a person reads them, at the top of the dashboard."""
        labels = {name: variable["label"] for name, variable in variables(self.dashboard).items() if variable["hide"] != 2}
        return {
            label: "All"
            if isinstance(self.values[name], dict)
            else " + ".join(self.values[name])
            if isinstance(self.values[name], list)
            else self.values[name]
            for name, label in labels.items()
        }

    def options(self, variable):
        """What a variable offers: the values of `label_values(selector, label)`."""
        selector, label = re.fullmatch(r"label_values\((.+), (\w+)\)", variable["query"]).groups()
        answer = self._get(f"/api/v1/label/{label}/values", {"match[]": self.put_in(selector)})
        return answer["data"]

    def put_in(self, query):
        """The query with the values of the variables in it. A variable that nobody knows stays, and is then no PromQL."""

        def put(match):
            name, form = match[1] or match[2], match[3]
            if name not in self.values:
                return match[0]
            value = self.values[name]
            if isinstance(value, dict):
                return value["raw"]
            if isinstance(value, list):
                # Twice: once for the regular expression, once for the string in PromQL that holds it.
                escaped = [_regex(one).replace("\\", "\\\\") for one in value]
                return escaped[0] if len(escaped) == 1 else f"({'|'.join(escaped)})"
            # None of the formats escapes what it writes for a string in PromQL.
            assert form is None, query
            return value.replace("\\", "\\\\").replace('"', '\\"')

        return VARIABLE.sub(put, query)

    def result(self, target, end):
        """What Prometheus answers to one query of a panel: the series."""
        query = self.put_in(target["expr"])
        return self.instant(query, end) if target["instant"] else self.range(query, end)

    def instant(self, query, end):
        return self._get("/api/v1/query", {"query": query, "time": end})["data"]["result"]

    def range(self, query, end):
        asked = {"query": query, "start": end - self.span, "end": end, "step": self.step}
        return self._get("/api/v1/query_range", asked)["data"]["result"]

    def _get(self, path, query):
        url = f"http://127.0.0.1:{self.prometheus.port}{path}?{urllib.parse.urlencode(query)}"
        try:
            with urllib.request.urlopen(url, timeout=10) as answer:
                return json.loads(answer.read())
        except urllib.error.HTTPError as error:
            raise AssertionError(f"{query}: {error.read().decode()}") from None
