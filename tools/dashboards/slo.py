"""SLO: how much of the error budget of each fleet is gone, and how fast does it go?"""

import queries as q
from model import FLEETS, annotations, custom_variable, dashboard, detail, field, label, query_variable, select, target
from panels import columns, heatmap, row, runbooks, stat, steps, table, timeseries

UID = "worker-exporter-slo"
BURN = "WorkerTaskErrorBudgetBurn"
TO_FLEET = detail("This fleet", "worker-exporter-fleet", fleet=label("fleet"))
DURATION = "worker_task_duration_seconds"
LONG = 'task_type=~"activity|nexus"'
# The objective of WorkerTaskLatencyHigh: a bound of the histogram.
OBJECTIVE = 300

# Burn rates at which the alert fires, each in a long window and in a short one, so that it ends soon after the trouble.
WINDOWS = [("1h", "5m", 14.4, "red"), ("6h", "30m", 6, "red"), ("1d", "2h", 3, "orange"), ("3d", "6h", 1, "orange")]


def burn(window):
    """How many times faster than allowed the budget goes."""
    return f"({q.failed_share(window)})\n/ $budget"


def now():
    figures = [
        stat(
            "Budget left",
            "What is left of the error budget of the fleet that has least, in the chosen time.",
            f"min(1 - {burn('$__range')})",
            unit="percentunit",
            width=4,
            text=True,
            decimals=1,
        ),
    ]
    for long, short, limit, color in WINDOWS:
        figures.append(
            stat(
                f"Burn rate over {long}",
                f"How many times faster than allowed the fleet that burns most spends its budget. It pages, or warns, from {limit} on, if the last {short} agrees.",
                f"max({burn(long)})",
                unit="none",
                width=4,
                decimals=2,
                limits=[(limit, color)],
                alerts=[BURN],
            )
        )
    figures.append(
        stat(
            "Slowest fleet",
            "The 99th percentile of the durations of tasks, in the fleet where it is greatest.",
            f"max({q.quantile(0.99, DURATION, 'fleet, task_type', LONG)})",
            unit="s",
            width=4,
            limits=[(OBJECTIVE, "orange")],
            alerts=["WorkerTaskLatencyHigh"],
        )
    )
    return [row("Now"), *figures]


def budget():
    return [
        row("Error budget"),
        *(
            timeseries(
                f"Burn rate over {long} and {short}",
                f"The alert fires where both windows of a fleet are over {limit}. A fleet with fewer than 20 tasks in a window has no line.",
                [target(burn(long), f"{{{{fleet}}}} {long}"), target(burn(short), f"{{{{fleet}}}} {short}")],
                unit="none",
                limits=[(limit, color)],
                alerts=[BURN],
                links=[TO_FLEET],
            )
            for long, short, limit, color in WINDOWS
        ),
        timeseries(
            "Failed share of the tasks",
            "The share of the tasks of the last 5 minutes that failed.",
            [target(q.failed_share("5m", by="fleet, task_type"), "{{fleet}} {{task_type}}")],
            unit="percentunit",
            width=8,
            limits=[(0.05, "orange")],
            alerts=["WorkerTaskFailureRatioHigh"],
            links=[TO_FLEET],
        ),
        timeseries(
            "Tasks in an hour",
            "How many tasks stand behind the ratios. Under 20 in a window nothing is said about a fleet.",
            [target(q.tasks("increase", "1h"), "{{fleet}}")],
            unit="none",
            width=8,
            limits=[(20, "green")],
            base="text",
            alerts=[BURN],
            links=[TO_FLEET],
        ),
        timeseries(
            "Workers there of those expected",
            "The share of the expected workers that are up. Only of fleets whose owner said how many there should be.",
            [target(f"{q.fleet_workers('healthy|degraded|stuck|draining')}\n/ ({q.fleet('worker_fleet_expected_workers')} > 0)", "{{fleet}}")],
            unit="percentunit",
            width=8,
            fill=0,
            links=[TO_FLEET],
        ),
    ]


def latency():
    within = select(f"{DURATION}_bucket", q.FLEET, LONG, f'le=~"{OBJECTIVE}(\\\\.0)?"')
    count = select(f"{DURATION}_count", q.FLEET, LONG)
    buckets = select(f"{DURATION}_bucket", q.FLEET, LONG)
    return [
        row("Duration of tasks"),
        timeseries(
            "99th percentile",
            "Of the durations that the workers measure themselves.",
            [target(q.quantile(0.99, DURATION, "fleet, task_type", LONG), "{{fleet}} {{task_type}}")],
            unit="s",
            width=8,
            limits=[(OBJECTIVE, "orange")],
            alerts=["WorkerTaskLatencyHigh", "WorkerTaskLatencyAnomalous"],
            links=[TO_FLEET],
        ),
        timeseries(
            "Share within 5 minutes",
            "The share of the tasks of the last hour that took no longer than the objective.",
            [
                target(
                    f"sum by (fleet) (max by (fleet, task_type) (increase({within}[1h])))\n/ (sum by (fleet) (max by (fleet, task_type) (increase({count}[1h]))) > 0)",
                    "{{fleet}}",
                )
            ],
            unit="percentunit",
            width=8,
            links=[TO_FLEET],
        ),
        heatmap(
            "Durations",
            "How long the tasks of the chosen fleets took.",
            [target(f"sum by (le) (max by (fleet, task_type, le) (increase({buckets}[$__rate_interval])))", "{{le}}", heatmap=True)],
            unit="s",
            buckets=True,
            width=8,
        ),
        table(
            "Each fleet",
            "The chosen time, fleet by fleet.",
            {
                "tasks": q.tasks("increase", "$__range"),
                "failed share": q.failed_share("$__range"),
                "budget left": f"1 - {burn('$__range')}",
                "burn rate over 1h": burn("1h"),
            },
            key=["fleet"],
            sort=("budget left", False),
            height=7,
            alerts=[BURN],
            links=[detail("This fleet", "worker-exporter-fleet", fleet=field("fleet"))],
            overrides=[columns("burn rate over 1h", thresholds=steps([(14.4, "red")], "text"))],
        ),
    ]


def make():
    variables = [
        query_variable("fleet", "Fleet", f"label_values({select('worker_fleet_workers')}, fleet)", description="Fleets to show."),
        custom_variable(
            "budget",
            "Error budget",
            ["0.001", "0.005", "0.01", "0.02", "0.05"],
            "0.01",
            "The share of tasks that may fail. The alerts take it from a recording rule; say the same here.",
        ),
    ]
    panels = [
        *now(),
        *budget(),
        *latency(),
        row("What to do"),
        runbooks([BURN, "WorkerTaskFailureRatioHigh", "WorkerTaskLatencyHigh", "WorkerTaskLatencyAnomalous"]),
    ]
    return dashboard(
        UID,
        "Workers: SLO",
        "How much of the error budget of each fleet is gone, and how fast does it go?",
        variables,
        panels,
        annotations(**FLEETS),
        span="now-24h",
    )
