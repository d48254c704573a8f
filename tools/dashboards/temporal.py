"""Panels on what Temporal workers measure themselves. Both the fleets and the queues show them."""

import queries as q
from model import select, target
from panels import timeseries


def schedule_to_start(**more):
    """How long tasks wait."""
    return timeseries(
        "How long tasks wait",
        "Schedule to start, as the workers measure it: 95th and 99th percentile. Past 5 s workflow tasks wait for workers; past half an hour workflows run into their timeouts.",
        [
            target(q.quantile(rank, "worker_schedule_to_start_seconds", "fleet, task_type"), "{{fleet}} {{task_type}} " + name)
            for rank, name in ((0.95, "p95"), (0.99, "p99"))
        ],
        unit="s",
        limits=[(5, "orange"), (1800, "red")],
        alerts=["TemporalScheduleToStartHigh", "TemporalWorkflowTimeout"],
        **more,
    )


def sticky_misses(**more):
    """Workflows that are replayed because the worker forgot them."""

    def rate(kind):
        return f"max by (fleet) (rate({select(f'worker_sticky_cache_{kind}_total', q.FLEET)}[$__rate_interval]))"

    return timeseries(
        "Workflow cache misses",
        "The share of workflow tasks whose workflow had left the cache of its worker and was replayed.",
        [target(f"{rate('misses')}\n/ (({rate('hits')} + {rate('misses')}) > 0)", "{{fleet}}")],
        unit="percentunit",
        high=1,
        limits=[(0.5, "orange")],
        alerts=["TemporalStickyCacheThrashing"],
        **more,
    )


def failed_requests(**more):
    """What the server refused."""
    failed = select("worker_requests_failed_total", q.FLEET)
    return timeseries(
        "Requests to the server that failed",
        "Requests of the workers to their Temporal server that failed, by method and status.",
        [target(f"max by (fleet, operation, code) (rate({failed}[$__rate_interval]))", "{{fleet}} {{operation}} {{code}}")],
        unit="reqps",
        alerts=["TemporalRequestsThrottled", "TemporalRequestsFailing", "TemporalRequestsNotFound"],
        **more,
    )


def failed_tasks(**more):
    """Mistakes in the code of workflows, and in what was deployed."""
    failed = select("worker_workflow_task_failures_total", q.FLEET)
    return timeseries(
        "Workflow tasks that failed",
        "In five minutes, by the reason that the SDK names. One that is not deterministic, or too large for a message, stops its workflow.",
        [target(f"max by (fleet, reason) (round(increase({failed}[5m])))", "{{fleet}} {{reason}}")],
        unit="none",
        decimals=0,
        limits=[(1, "red")],
        alerts=["TemporalNonDeterminismErrors", "TemporalMessageTooLarge", "TemporalWorkflowTasksFailing"],
        **more,
    )


def request_times(**more):
    """How long users wait for the server."""
    return timeseries(
        "How long starts, signals and updates take",
        "Requests that a user waits for, as the clients in the workers measure them: 95th and 99th percentile.",
        [
            target(q.quantile(rank, "worker_request_duration_seconds", "fleet"), "{{fleet}} " + name)
            for rank, name in ((0.95, "p95"), (0.99, "p99"))
        ],
        unit="s",
        limits=[(2, "orange")],
        alerts=["TemporalRequestLatencyHigh"],
        **more,
    )


def workflow_tasks(**more):
    """How long the workers' own part of a workflow takes."""
    tasks = 'task_type=~"workflow|local_activity"'
    return timeseries(
        "How long workflow tasks take",
        "95th and 99th percentile of workflow tasks and local activities.",
        [
            target(q.quantile(rank, "worker_task_duration_seconds", "fleet, task_type", tasks), "{{fleet}} {{task_type}} " + name)
            for rank, name in ((0.95, "p95"), (0.99, "p99"))
        ],
        unit="s",
        limits=[(10, "orange"), (1800, "red")],
        alerts=["TemporalWorkflowTaskLatencyHigh", "TemporalLocalActivityLatencyHigh"],
        **more,
    )
