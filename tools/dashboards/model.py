"""What the dashboards have in common: the words for states, variables, selectors, links, marks, and how panels are laid out.

Every option that Grafana would fill in itself is written out, so that a dashboard that Grafana saves again is the same
file. Nothing here but the standard library."""

SCHEMA = 41
# Where the exporter is reached: what a static file cannot know. It stands in one place of each dashboard, the value of its
# first variable; `worker-exporter bundle` and the Kustomize base put the real address there. Before that it is the one that
# the program has where it runs, and where `kubectl port-forward` makes it answer.
EXPORTER = "http://localhost:10860"
RUNBOOKS = "${exporter:raw}/runbooks/"
DATASOURCE = {"type": "prometheus", "uid": "${datasource}"}

# The states, with the number that stands for each on a state timeline: the worse the higher, so that of two exporters
# that disagree the worse is shown. Colours as on the page of the exporter.
STATES = [
    ("healthy", 0, "green"),
    ("starting", 1, "light-blue"),
    ("draining", 2, "blue"),
    ("unknown", 3, "#8e8e8e"),
    ("degraded", 4, "orange"),
    ("stuck", 5, "purple"),
    ("down", 6, "red"),
]
WORD_MAPPING = [{"type": "value", "options": {word: {"text": word, "color": color, "index": code} for word, code, color in STATES}}]
STATE_MAPPING = [{"type": "value", "options": {str(code): {"text": word, "color": color, "index": code} for word, code, color in STATES}}]


def words(*options):
    """A mapping of values to words: `words((1, "up", "green"), (0, "down", "red"))`."""
    return [
        {
            "type": "value",
            "options": {str(value): {"text": text, "color": color, "index": place} for place, (value, text, color) in enumerate(options)},
        }
    ]


def ranges(*options):
    """A mapping of ranges to words: `ranges((0, 0.5, "low", "green"), …)`."""
    return [
        {"type": "range", "options": {"from": low, "to": high, "result": {"text": text, "color": color, "index": place}}}
        for place, (low, high, text, color) in enumerate(options)
    ]


# Variables.

# Of variables that are intervals, which none of ours is; Grafana writes them into all.
UNUSED = {"auto": False, "auto_min": "10s", "auto_count": 30}


def query_variable(name, label, query, *, all_value=".+", single=False, description=""):
    """What a label can be. One that is `single` has exactly one value at a time."""
    current = {"text": "", "value": ""} if single else {"text": ["All"], "value": ["$__all"]}
    variable = {
        "type": "query",
        "name": name,
        "label": label,
        "description": description,
        "datasource": DATASOURCE,
        "query": query,
        "current": {"selected": False, **current},
        "hide": 0,
        "refresh": 2,
        "sort": 1,
        "multi": not single,
        "includeAll": not single,
        "regex": "",
        "skipUrlSync": False,
        "allowCustomValue": True,
        "options": [],
        **UNUSED,
    }
    return variable if single else {**variable, "allValue": all_value}


def exporter_variable():
    """Where the exporter is reached. A constant: nobody can be sent to other runbooks by an address with another value in it.

    `query` stands first and is its only value: Kustomize finds it by its place. `refresh` makes every Grafana since 10 read it
    from there."""
    return {
        "query": EXPORTER,
        "type": "constant",
        "name": "exporter",
        "label": "Exporter",
        "description": "Where people reach the exporter, without a slash at the end: links to runbooks begin with it.",
        "hide": 2,
        "refresh": 1,
        "multi": False,
        "includeAll": False,
        "regex": "",
        "skipUrlSync": True,
        "allowCustomValue": True,
        "options": [],
        **UNUSED,
    }


def common_variables():
    """Where the exporter is, which Prometheus, and which exporters in it."""
    return [
        exporter_variable(),
        {
            "type": "datasource",
            "name": "datasource",
            "label": "Data source",
            "description": "The Prometheus that scrapes the exporter.",
            "query": "prometheus",
            "current": {"selected": False, "text": "default", "value": "default"},
            "hide": 0,
            "refresh": 1,
            "multi": False,
            "includeAll": False,
            "regex": "",
            "skipUrlSync": False,
            "allowCustomValue": True,
            "options": [],
            **UNUSED,
        },
        query_variable("job", "Job", "label_values(worker_exporter_build_info, job)", description="Jobs that scrape an exporter."),
        query_variable(
            "instance",
            "Instance",
            'label_values(worker_exporter_build_info{job=~"$job"}, instance)',
            description="Exporters. Two that watch the same workers are not counted twice.",
        ),
    ]


def custom_variable(name, label, values, current, description):
    """One of a few values that stand here."""
    return {
        "type": "custom",
        "name": name,
        "label": label,
        "description": description,
        "query": ",".join(values),
        "current": {"selected": True, "text": current, "value": current},
        "hide": 0,
        "multi": False,
        "includeAll": False,
        "skipUrlSync": False,
        "allowCustomValue": True,
        "options": [{"selected": value == current, "text": value, "value": value} for value in values],
        **UNUSED,
    }


# PromQL.

SCOPE = 'job=~"$job", instance=~"$instance"'


def select(metric, *matchers):
    """A selector of one metric, of the chosen exporters."""
    return f"{metric}{{{', '.join((SCOPE, *matchers))}}}"


def state_code(*matchers):
    """The number of the state of each worker."""
    branches = []
    for word, code, _ in reversed(STATES):
        of_state = select("worker_state", *matchers, f'state="{word}"')
        branches.append(f"(max by (fleet, worker) ({of_state}) == 1) * {code}")
    return "\nor ".join(branches)


def target(expr, legend="", *, instant=False, table=False, heatmap=False):
    """One query. Its letter is given by the panel."""
    return {
        "datasource": DATASOURCE,
        "expr": expr,
        "legendFormat": legend,
        "editorMode": "code",
        "instant": instant or table,
        "range": not (instant or table),
        "format": "table" if table else "heatmap" if heatmap else "time_series",
    }


# Links.


def runbook(alert, query=""):
    """A link of a panel to the runbook of an alert whose limits it shows."""
    return {
        "title": f"Runbook: {alert}",
        "type": "link",
        "icon": "doc",
        "tooltip": f"What to do when {alert} fires",
        "url": RUNBOOKS + alert + query,
        "tags": [],
        "asDropdown": False,
        "targetBlank": True,
        "includeVars": False,
        "keepTime": False,
    }


# What every link between dashboards takes along.
KEPT = "${__url_time_range}&${datasource:queryparam}&${job:queryparam}&${instance:queryparam}"


def detail(title, uid, **variables):
    """A link from a point, a bar or a cell to another dashboard, with the time and the variables."""
    named = "".join(f"&var-{name}={value}" for name, value in variables.items())
    return {
        "title": title,
        "type": "link",
        "icon": "",
        "tooltip": "",
        "url": f"/d/{uid}?{KEPT}{named}",
        "tags": [],
        "asDropdown": False,
        "placement": "inControlsMenu",
        "targetBlank": False,
        "includeVars": False,
        "keepTime": False,
    }


def field(name):
    """A column of the row that is clicked."""
    return f"${{__data.fields.{name}:percentencode}}"


def label(name):
    """A label of the series that is clicked."""
    return f"${{__field.labels.{name}:percentencode}}"


# The whole.

# Marks of the chosen fleets, and of alerts that are of no fleet at all.
FLEETS = {"own": ['fleet=~"$fleet"'], "alerts": [['fleet=~"$fleet|"']]}


def annotation(name, color, expr, title, text_format, tags, step="30s"):
    """Marks on every panel, at the times at which the query has a value."""
    return {
        "name": name,
        "datasource": DATASOURCE,
        "enable": True,
        "hide": False,
        "builtIn": 0,
        "placement": "inControlsMenu",
        "iconColor": color,
        "expr": expr,
        "step": step,
        "titleFormat": title,
        "textFormat": text_format,
        "tagKeys": tags,
        "useValueForTime": False,
    }


def annotations(own, alerts):
    """Alerts, deploys and restarts. `own`: matchers of the workers that are shown. `alerts`: matchers of alerts, one set or more."""
    versions = select("worker_info", *own, 'build_id!=""')
    fire = 'alertstate="firing", alertname=~"(Worker|Temporal).*", severity!="none", escalate!="true"'
    return [
        annotation(
            "Alerts",
            "red",
            " or ".join(f"ALERTS{{{', '.join((fire, *matchers))}}}" for matchers in alerts),
            "{{alertname}}",
            "{{severity}} {{fleet}} {{worker}} {{task_queue}} {{source}}",
            "severity,fleet",
        ),
        annotation(
            "Deploys",
            "blue",
            f"count by (fleet, build_id) ({versions}) unless on (fleet, build_id) count by (fleet, build_id) ({versions} offset 1m)",
            "{{fleet}} runs {{build_id}}",
            "The first worker of this version was seen.",
            "fleet,build_id",
        ),
        annotation(
            "Restarts of workers",
            "purple",
            f"round(max by (fleet, worker) (increase({select('worker_restarts_total', *own)}[1m]))) > 0",
            "{{worker}} restarted",
            "A newer incarnation took its place.",
            "fleet,worker",
        ),
        annotation(
            "Restarts of the exporter",
            "yellow",
            f"changes({select('process_start_time_seconds')}[1m]) > 0",
            "exporter {{instance}} restarted",
            "Counters begin anew, and states are observed afresh.",
            "instance",
        ),
    ]


def lay_out(panels):
    """Places panels from left to right, and numbers them."""
    x = y = tallest = 0
    for number, one in enumerate(panels, start=1):
        width, height = one["gridPos"]["w"], one["gridPos"]["h"]
        if x + width > 24:
            x, y, tallest = 0, y + tallest, 0
        one["id"] = number
        one["gridPos"] = {"x": x, "y": y, "w": width, "h": height}
        x, tallest = x + width, max(tallest, height)
    return panels


TAG = "worker-exporter"


def dashboard(uid, title, description, variables, panels, marks, *, tags=(), span="now-3h"):
    """A whole dashboard. The variables stand first, and of them the address of the exporter: see there."""
    return {
        "templating": {"list": [*common_variables(), *variables]},
        "uid": uid,
        "title": title,
        "description": description,
        "tags": [TAG, *tags],
        "schemaVersion": SCHEMA,
        "version": 1,
        "editable": False,
        "timezone": "browser",
        "fiscalYearStartMonth": 0,
        "graphTooltip": 1,
        "liveNow": False,
        "preload": False,
        "refresh": "30s",
        "time": {"from": span, "to": "now"},
        "timepicker": {"hidden": False, "refresh_intervals": ["5s", "10s", "30s", "1m", "5m", "15m", "1h"]},
        "links": [
            {
                "title": "worker-exporter",
                "type": "dashboards",
                "icon": "external link",
                "tooltip": "The other dashboards, with this time and these variables",
                "url": "",
                "tags": [TAG],
                "asDropdown": True,
                "placement": "inControlsMenu",
                "targetBlank": False,
                "includeVars": True,
                "keepTime": True,
            },
            {
                "title": "Runbooks",
                "type": "link",
                "icon": "doc",
                "tooltip": "One for each alert",
                "url": RUNBOOKS,
                "tags": [],
                "asDropdown": False,
                "placement": "inControlsMenu",
                "targetBlank": True,
                "includeVars": False,
                "keepTime": False,
            },
        ],
        "annotations": {"list": marks},
        "panels": lay_out(panels),
    }
