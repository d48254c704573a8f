"""The kinds of panels, each the same everywhere: what it draws by default, and how its limits and links are said."""

from model import DATASOURCE, RUNBOOKS, runbook, target

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
        "yAxis": {"unit": unit, "axisPlacement": "left", "reverse": False, **({} if buckets else {"min": 0})},
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
    """The runbooks of the alerts that lead to this dashboard, and what to do where they are not found."""
    links = " · ".join(f"[{alert}]({RUNBOOKS}{alert})" for alert in alerts)
    where = (
        "The exporter serves them, here looked for at ${exporter:raw}. Is that not where you reach it? `worker-exporter bundle` "
        "and the Kustomize base write these dashboards with your address; in a copy, change the variable `exporter`."
    )
    return text("Runbooks", "What to do when one of these alerts fires.", f"{links}\n\n{where}", height=height)


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
