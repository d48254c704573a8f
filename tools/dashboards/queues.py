"""Task queues: does work wait, and does somebody take it?"""

import queries as q
from model import FLEETS, annotations, dashboard, detail, field, label, query_variable, select, target, words
from panels import columns, row, runbooks, stat, steps, table, timeline, timeseries
from temporal import failed_requests, failed_tasks, request_times, schedule_to_start, sticky_misses, workflow_tasks

UID = "worker-exporter-queues"
NAME = "{{temporal_namespace}} {{task_queue}} {{task_type}}"

ALERTS = [
    "TemporalTaskQueueNoPollers",
    "TemporalTaskQueueBacklogAgeHigh",
    "TemporalTaskQueueBacklogGrowing",
    "TemporalTaskQueueWillNotDrain",
    "TemporalWorkerSlotsExhausted",
    "TemporalVersionNoPollers",
    "TemporalScheduleToStartHigh",
    "TemporalWorkflowTimeout",
    "TemporalWorkflowTaskLatencyHigh",
    "TemporalLocalActivityLatencyHigh",
    "TemporalStickyCacheThrashing",
    "TemporalRequestsThrottled",
    "TemporalRequestsNotFound",
    "TemporalRequestsFailing",
    "TemporalRequestLatencyHigh",
    "TemporalNonDeterminismErrors",
    "TemporalMessageTooLarge",
    "TemporalWorkflowTasksFailing",
    "TemporalUnregisteredActivity",
    "WorkerTasksStalled",
    "TemporalDown",
]


def condition(word):
    return q.queue("task_queue_workers", f'condition="{word}"')


def version(figure):
    """A figure of each version that is given tasks, or drains."""
    asked = select(f"task_queue_version_{figure}", *q.QUEUE, 'status=~"current|ramping|draining"')
    return f"max by ({q.BY_QUEUE}, deployment, build_id, status) ({asked})"


NOBODY = f"({condition('polling')} + {condition('full')}) == 0"
ONLY_FULL = f"({condition('full')} > 0 unless {condition('polling')} > 0)"
HELD = f"{q.queue('task_queue_rate_limited')} == 1"


def now():
    backlog, age = q.queue("task_queue_backlog_tasks"), q.queue("task_queue_backlog_age_seconds")
    return [
        row("Now"),
        stat("Tasks that wait", "The backlogs of the chosen queues together.", f"sum({backlog})", unit="none", text=True),
        stat(
            "Oldest task that waits",
            "The age of the oldest head of a queue with a backlog.",
            f"max({age} and {backlog} > 0)\nor vector(0)",
            unit="s",
            limits=[(60, "orange"), (600, "red")],
            alerts=["TemporalTaskQueueBacklogAgeHigh"],
        ),
        stat(
            "Work waits, nobody polls",
            "Queues with a backlog that no worker polls and no worker is too full to poll.",
            f"count({backlog} > 0 and {NOBODY})\nor vector(0)",
            unit="none",
            limits=[(1, "red")],
            alerts=["TemporalTaskQueueNoPollers"],
        ),
        stat(
            "Work waits, all are full",
            "Queues with a backlog whose workers are all full. More workers help, unless the queue is held back by a rate limit.",
            f"count({backlog} > 0 and {ONLY_FULL})\nor vector(0)",
            unit="none",
            limits=[(1, "red")],
            alerts=["TemporalWorkerSlotsExhausted"],
        ),
        stat(
            "Held back by a rate limit",
            "Queues whose server holds tasks back for a rate limit. More workers do not help.",
            f"count({HELD})\nor vector(0)",
            unit="none",
            text=True,
        ),
        stat(
            "Last look",
            "How long ago the queue that was looked at the longest ago was looked at.",
            f"max(time() - {q.queue('task_queue_last_success_timestamp_seconds')})",
            unit="s",
            text=True,
        ),
    ]


def queues():
    serving = words((0, "polled", "green"), (1, "all full", "orange"), (2, "nobody", "red"), (3, "rate limited", "purple"))
    backlog, age = q.queue("task_queue_backlog_tasks"), q.queue("task_queue_backlog_age_seconds")
    here = {"source": label("source"), "temporal_namespace": label("temporal_namespace"), "task_queue": label("task_queue")}
    only = detail("Only this queue", UID, **here)
    return [
        row("Queues"),
        timeline(
            "Who serves the queues",
            "Polled by somebody; all workers full; nobody; or held back by a rate limit, where more workers do not help.",
            [target(f"({HELD}) * 3\nor ({condition('polling')} > 0) * 0\nor {ONLY_FULL} * 0 + 1\nor ({NOBODY}) * 0 + 2", NAME)],
            mappings=serving,
            values="never",
            alerts=["TemporalTaskQueueNoPollers", "TemporalWorkerSlotsExhausted"],
            links=[only],
        ),
        timeseries(
            "Backlog",
            "Tasks that wait, as the queue server counts them.",
            [target(backlog, NAME)],
            unit="none",
            limits=[(100, "yellow")],
            alerts=["TemporalTaskQueueBacklogGrowing", "TemporalTaskQueueWillNotDrain"],
            links=[only],
        ),
        timeseries(
            "Age of the backlog",
            "The age of the head of each queue, as the queue server gives it.",
            [target(age, NAME)],
            unit="s",
            limits=[(60, "orange"), (600, "red")],
            alerts=["TemporalTaskQueueBacklogAgeHigh"],
            links=[only],
        ),
        timeseries(
            "Tasks in and out",
            "Tasks added and dispatched in a second, as the queue server averages them.",
            [target(q.queue("task_queue_add_rate"), NAME + " added"), target(q.queue("task_queue_dispatch_rate"), NAME + " dispatched")],
            unit="ops",
            links=[only],
        ),
        timeseries(
            "Backlog in an hour",
            "The backlog as it will be in an hour if it goes on as in the last half. The alert fires where it then is 1.2 times what it is now, and more than 100 wait now.",
            [target(f"clamp_min(max by ({q.BY_QUEUE}) (predict_linear({select('task_queue_backlog_tasks', *q.QUEUE)}[30m], 3600)), 0)", NAME)],
            unit="none",
            decimals=0,
            alerts=["TemporalTaskQueueWillNotDrain"],
            links=[only],
        ),
        timeseries(
            "Pollers", "Pollers that the queue server lists.", [target(q.queue("task_queue_pollers"), NAME)], unit="none", width=7, links=[only]
        ),
        timeseries(
            "Workers of the queues",
            "Workers that poll, those whose slots are all busy, and those that are silent.",
            [target(f"max by ({q.BY_QUEUE}, condition) ({select('task_queue_workers', *q.QUEUE)})", NAME + " {{condition}}")],
            unit="none",
            width=7,
            links=[only],
        ),
        table(
            "Who serves which queue",
            "The fleets whose workers serve each queue. A click on a fleet shows it.",
            {"serves": f"max by (fleet, {q.BY_QUEUE}) ({select('worker_fleet_queue_info', q.FLEET, *q.QUEUE)})"},
            key=["fleet", "source", "temporal_namespace", "task_queue", "task_type"],
            hidden={"serves"},
            width=10,
            links=[detail("This fleet", "worker-exporter-fleet", fleet=field("fleet"))],
        ),
        table(
            "Versions",
            "Pollers of each version of the workers that is given tasks, or drains. Where nobody polls for one its tasks wait for "
            "ever, while the workers of the others are well. Both names empty: workers without a version.",
            {"pollers": version("pollers")},
            key=["temporal_namespace", "task_queue", "task_type", "deployment", "build_id", "status", "source"],
            sort=("pollers", False),
            height=6,
            alerts=["TemporalVersionNoPollers"],
            overrides=[columns("pollers", thresholds=steps([(1, "text")], "red"))],
        ),
    ]


def workers():
    slots = f"max by (fleet, task_type, slot) ({select('worker_fleet_slots', q.FLEET)})"
    return [
        row("The workers behind them"),
        schedule_to_start(),
        timeseries(
            "Slots",
            "Slots of the fleets by type of task, used and available.",
            [target(slots, "{{fleet}} {{task_type}} {{slot}}")],
            unit="none",
            alerts=["TemporalWorkerSlotsExhausted"],
        ),
        workflow_tasks(width=8),
        sticky_misses(width=8),
        failed_requests(width=8),
        failed_tasks(width=8),
        request_times(width=8),
        timeseries(
            "Workflows that ran out of time",
            "Workflows of the namespace that a timeout closed within five minutes, where the source counts them (timed_out_workflows).",
            [target(f"max by (source, temporal_namespace) ({select('temporal_workflows_timed_out', *q.QUEUE[:2])})", "{{source}} {{temporal_namespace}}")],
            unit="none",
            decimals=0,
            width=8,
            alerts=["TemporalWorkflowTimeout"],
        ),
    ]


def make():
    source, namespace, task_queue = q.QUEUE
    info = "task_queue_workers"
    variables = [
        query_variable("source", "Source", f"label_values({select(info)}, source)", description="Sources of queues, by their configured name."),
        # Queues of Redis have no namespace, and match too.
        query_variable(
            "temporal_namespace",
            "Namespace",
            f"label_values({select(info, source)}, temporal_namespace)",
            all_value=".*",
            description="Temporal namespaces.",
        ),
        query_variable("task_queue", "Task queue", f"label_values({select(info, source, namespace)}, task_queue)", description="Queues to show."),
        query_variable(
            "fleet",
            "Fleet",
            f"label_values({select('worker_fleet_queue_info', source, namespace, task_queue)}, fleet)",
            description="Fleets that serve these queues.",
        ),
    ]
    panels = [*now(), *queues(), *workers(), row("What to do"), runbooks(ALERTS, height=5)]
    return dashboard(UID, "Workers: task queues", "Does work wait, and does somebody take it?", variables, panels, annotations(**FLEETS))
