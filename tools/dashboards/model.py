"""What the dashboards have in common: variables, panels, links, limits, and how panels are laid out.

Every option that Grafana would fill in itself is written out, so that a dashboard that Grafana saves again is the same
file. Nothing here but the standard library."""

SCHEMA = 41
RUNBOOKS = "https://worker-exporter.example/runbooks/"
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
    return [{"type": "value", "options": {str(value): {"text": text, "color": color, "index": place} for place, (value, text, color) in enumerate(options)}}]


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


def common_variables():
    """Which Prometheus, and which exporters in it."""
    return [
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


# Panels.

LEGEND = {"displayMode": "list", "placement": "bottom", "showLegend": True, "calcs": []}
TABLE_LEGEND = {"displayMode": "table", "placement": "right", "showLegend": True, "calcs": ["lastNotNull", "max"]}
TOOLTIP = {"mode": "multi", "sort": "desc"}
REDUCE = {"calcs": ["lastNotNull"], "fields": "", "values": False}


def steps(limits, base):
    """The limits of a panel as Grafana's thresholds. The first step has no value: it is below all of them."""
    return {"mode": "absolute", "steps": [{"color": base, "value": None}, *({"color": color, "value": value} for value, color in limits)]}


def panel(kind, title, description, targets, options, *, unit, width, height, limits=(), base="green", alerts=(), mappings=(),
          links=(), custom=None, color="thresholds", low=None, high=None, decimals=None, overrides=(), transformations=(),
          no_value=None, runbook_query=""):  # fmt: skip
    """A panel of any kind. `alerts` are those whose limits it shows."""
    defaults = {
        "unit": unit,
        "mappings": list(mappings),
        "thresholds": steps(limits, base),
        "color": {"mode": color},
        "links": list(links),
        "custom": custom or {},
    }
    for name, value in (("min", low), ("max", high), ("decimals", decimals), ("noValue", no_value)):
        if value is not None:
            defaults[name] = value
    made = {
        "type": kind,
        "title": title,
        "description": description,
        "transparent": False,
        "datasource": DATASOURCE,
        "gridPos": {"w": width, "h": height},
        "repeatDirection": "h",
        "links": [runbook(alert, runbook_query) for alert in alerts],
        "fieldConfig": {"defaults": defaults, "overrides": list(overrides)},
        "options": options,
        "targets": [{**one, "refId": chr(ord("A") + place)} for place, one in enumerate(targets)],
    }
    if transformations:
        made["transformations"] = list(transformations)
    return made


def stat(title, description, expr, *, unit, width=4, height=4, name=False, legend="", graph="area", text=False, **more):
    """One figure. `name` shows the name of the series, not its value.

    Where no line is drawn beneath it, only now is asked: what was before, and is no more, is then not shown."""
    options = {
        "reduceOptions": REDUCE,
        "orientation": "auto",
        "colorMode": "none" if text else "value",
        "graphMode": "none" if name else graph,
        "justifyMode": "auto",
        "textMode": "name" if name else "value",
        "wideLayout": True,
        "showPercentChange": False,
        "percentChangeColorMode": "standard",
    }
    only_now = name or graph == "none"
    return panel("stat", title, description, [target(expr, legend, instant=only_now)], options, unit=unit, width=width, height=height, **more)


def timeseries(title, description, targets, *, unit, width=12, height=8, stack=False, fill=8, legend=LEGEND, limits=(), **more):
    """Lines over time, with the limits of the alerts dashed."""
    custom = {
        "drawStyle": "line",
        "lineInterpolation": "linear",
        "lineWidth": 1,
        "fillOpacity": 30 if stack else fill,
        "gradientMode": "none",
        "showPoints": "never",
        "pointSize": 5,
        "spanNulls": False,
        "insertNulls": False,
        "barAlignment": 0,
        "stacking": {"mode": "normal" if stack else "none", "group": "A"},
        "axisPlacement": "auto",
        "axisLabel": "",
        "axisColorMode": "text",
        "axisBorderShow": False,
        "axisCenteredZero": False,
        "scaleDistribution": {"type": "linear"},
        "hideFrom": {"tooltip": False, "legend": False, "viz": False},
        "thresholdsStyle": {"mode": "dashed" if limits else "off"},
    }
    options = {"legend": legend, "tooltip": TOOLTIP}
    more.setdefault("low", 0)
    return panel("timeseries", title, description, targets, options, unit=unit, width=width, height=height, limits=limits, custom=custom,
                 color="palette-classic", **more)  # fmt: skip


def timeline(title, description, targets, *, mappings, unit="none", width=24, height=8, values="auto", **more):
    """What something was, over time."""
    options = {
        "mergeValues": True,
        "showValue": values,
        "alignValue": "left",
        "rowHeight": 0.85,
        "perPage": 20,
        "legend": {"displayMode": "list", "placement": "bottom", "showLegend": False, "calcs": []},
        "tooltip": {"mode": "single", "sort": "none"},
    }
    custom = {
        "lineWidth": 0,
        "fillOpacity": 75,
        "axisPlacement": "auto",
        "hideFrom": {"tooltip": False, "legend": False, "viz": False},
    }
    return panel("state-timeline", title, description, targets, options, unit=unit, width=width, height=height, mappings=mappings,
                 custom=custom, **more)  # fmt: skip


def heatmap(title, description, targets, *, unit, buckets=False, width=12, height=8, scheme="Oranges", **more):
    """How values spread over workers or tasks. `buckets`: the query gives the buckets of a histogram."""
    calculation = {"xBuckets": {"mode": "size", "value": ""}, "yBuckets": {"mode": "count", "value": "20", "scale": {"type": "linear"}}}
    options = {
        "calculate": not buckets,
        "color": {"mode": "scheme", "scheme": scheme, "fill": "dark-orange", "scale": "exponential", "exponent": 0.5, "steps": 64, "reverse": False},
        "cellGap": 1,
        "filterValues": {"le": 1e-9},
        "showValue": "never",
        "yAxis": {"unit": unit, "axisPlacement": "left", "reverse": False, **({} if buckets else {"min": "0"})},
        "rowsFrame": {"layout": "auto"},
        "legend": {"show": True},
        "tooltip": {"mode": "single", "yHistogram": False, "showColorScale": False},
        "exemplars": {"color": "rgba(255,0,255,0.7)"},
        "selectionMode": "x",
        **({} if buckets else {"calculation": calculation}),
    }
    custom = {"scaleDistribution": {"type": "linear"}, "hideFrom": {"tooltip": False, "legend": False, "viz": False}}
    return panel("heatmap", title, description, targets, options, unit=unit, width=width, height=height, custom=custom, **more)


def columns(*names, **properties):
    """How some columns or lines look: properties by their id, `custom_` for `custom.`.

    Grafana's own schema knows no matcher and no value that is not an object, so what is said here is; the rest is said for
    the whole panel."""
    return {
        "matcher": {"id": "byNames", "options": {"mode": "include", "names": list(names), "prefix": "All except:", "readOnly": False}},
        "properties": [{"id": one.replace("custom_", "custom."), "value": value} for one, value in properties.items()],
    }


def table(title, description, queries, *, key, width=24, height=8, overrides=(), sort=None, hidden=(), **more):
    """Rows that several queries tell about, joined by the labels that they share.

    `queries`: header to query, in their order, after the labels of `key`. A click on a row follows `links`."""
    targets = [target(expr, table=True) for expr in queries.values()]
    values = {f"Value #{chr(ord('A') + place)}" if len(queries) > 1 else "Value": name for place, name in enumerate(queries)}
    organize = {
        "excludeByName": {name: True for name in ("Time", *(old for old, new in values.items() if new in hidden))},
        "indexByName": {name: place for place, name in enumerate((*key, *values))},
        "renameByName": {old: new for old, new in values.items() if new not in hidden},
        "includeByName": {},
    }
    options = {
        "frameIndex": 0,
        "showHeader": True,
        "showTypeIcons": False,
        "cellHeight": "sm",
        "footer": {"show": False, "reducer": ["sum"], "countRows": False, "fields": ""},
        **({"sortBy": [{"displayName": sort[0], "desc": sort[1]}]} if sort else {}),
    }
    custom = {"align": "auto", "cellOptions": {"type": "color-text"}, "inspect": False, "filterable": True}
    transformations = [{"id": "merge", "options": {}}, {"id": "organize", "options": organize}]
    return panel("table", title, description, targets, options, unit="none", base="text", width=width, height=height, custom=custom,
                 overrides=list(overrides), transformations=transformations, **more)  # fmt: skip


def text(title, description, content, *, width=24, height=5):
    """Words, and links."""
    made = panel("text", title, description, [], {"mode": "markdown", "content": content, "code": {"language": "plaintext", "showLineNumbers": False, "showMiniMap": False}},
                 unit="none", width=width, height=height)  # fmt: skip
    del made["targets"]
    return made


def runbooks(alerts, *, height=4):
    """The runbooks of the alerts that lead to this dashboard."""
    content = " · ".join(f"[{alert}]({RUNBOOKS}{alert})" for alert in alerts)
    return text("Runbooks", "What to do when one of these alerts fires.", content, height=height)


def alert_list(*, width=8, height=9, matcher='{fleet=~"$fleet|"}'):
    """Alerts that fire now, of any rule that Grafana sees."""
    options = {
        "viewMode": "list",
        "groupMode": "default",
        "groupBy": [],
        "maxItems": 50,
        "sortOrder": 3,
        "dashboardAlerts": False,
        "alertName": "",
        "alertInstanceLabelFilter": matcher,
        "datasource": "",
        "folder": "",
        "showInstances": True,
        "stateFilter": {"firing": True, "pending": True, "noData": False, "normal": False, "error": True},
    }
    made = panel("alertlist", "Alerts", "Alerts that fire or are about to, of the chosen fleets and of no fleet at all.", [], options,
                 unit="none", width=width, height=height)  # fmt: skip
    del made["targets"]
    return made


def row(title):
    """A heading."""
    return {"type": "row", "title": title, "collapsed": False, "gridPos": {"w": 24, "h": 1}, "panels": []}


# The whole.


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


def annotations(fleet_matcher, worker_matcher=""):
    """Alerts, deploys and restarts. A matcher of fleets lets through what has no fleet, except for workers' own series."""
    own = [f'fleet=~"{fleet_matcher}"', *([worker_matcher] if worker_matcher else [])]
    versions = select("worker_info", *own, 'build_id!=""')
    return [
        annotation(
            "Alerts",
            "red",
            f'ALERTS{{alertstate="firing", alertname=~"(Worker|Temporal).*", severity!="none", escalate!="true", fleet=~"{fleet_matcher}|"'
            + (f", {worker_matcher}" if worker_matcher else "")
            + "}",
            "{{alertname}}",
            "{{severity}} {{fleet}} {{worker}} {{task_queue}} {{source}}",
            "severity,fleet",
        ),
        annotation(
            "Deploys",
            "blue",
            f"count by (fleet, build_id) ({versions}) unless on (fleet, build_id) count by (fleet, build_id) ({versions.replace('}', '} offset 1m')})",
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
    """A whole dashboard."""
    return {
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
        "templating": {"list": [*common_variables(), *variables]},
        "annotations": {"list": marks},
        "panels": lay_out(panels),
    }
