"""Fleet overview: is every fleet at work, and who needs somebody?"""

import queries as q
from model import FLEETS, WORD_MAPPING, annotations, dashboard, detail, field, label, query_variable, ranges, select, target
from panels import alert_list, columns, heatmap, row, runbooks, stat, steps, table, timeline, timeseries
from temporal import failed_requests, failed_tasks, request_times, schedule_to_start, sticky_misses, workflow_tasks

UID = "worker-exporter-fleet"

TO_FLEET = detail("Only this fleet", UID, fleet=label("fleet"))
TO_WORKER = detail("This worker", "worker-exporter-worker", fleet=field("fleet"), worker=field("worker"))

ALERTS = [
    "WorkerFleetDown",
    "WorkerFleetDegraded",
    "WorkerFleetBelowExpected",
    "WorkerFleetAbsent",
    "WorkerDown",
    "WorkerNeverStarted",
    "WorkerStuck",
    "WorkerTasksStalled",
    "WorkerTaskFailureRatioHigh",
    "WorkerTaskLatencyHigh",
    "WorkerThroughputAnomalous",
    "WorkerVersionSkew",
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
]


def now():
    up = q.fleet_workers("healthy|degraded|stuck|draining")
    expected = q.fleet("worker_fleet_expected_workers")
    return [
        row("Now"),
        stat("Workers up", "Workers that are healthy, degraded, stuck or draining: `worker_up` is 1.", f"sum({up})", unit="none", width=3, text=True),
        stat(
            "Workers missing",
            "How many workers fewer than expected are there, over the fleets whose owner said how many there should be. A down or draining worker is not there.",
            f"sum(({expected} - on (fleet) {q.fleet_workers('healthy|degraded|stuck|starting|unknown')}) > 0)\nor vector(0)",
            unit="none",
            width=3,
            limits=[(1, "orange")],
            alerts=["WorkerFleetBelowExpected"],
        ),
        stat(
            "Workers down",
            "Workers that are gone, or say themselves that they no longer work.",
            f"count({q.worker('worker_up')} == 0)\nor vector(0)",
            unit="none",
            width=3,
            limits=[(1, "red")],
            alerts=["WorkerDown", "WorkerNeverStarted"],
        ),
        stat(
            "Workers stuck",
            "Workers with free capacity that take none of the work that waits for them.",
            f"count({q.worker('worker_state', 'state=' + q.quoted('stuck'))} == 1)\nor vector(0)",
            unit="none",
            width=3,
            limits=[(1, "red")],
            alerts=["WorkerStuck"],
        ),
        stat(
            "Worst tenth's score",
            "One worker in ten has this health score or a lower one. A worker that is down has 0.",
            f"quantile(0.1, {q.worker('worker_health_score')})",
            unit="none",
            width=3,
            limits=[(0.5, "green")],
            base="red",
            decimals=2,
            low=0,
            high=1,
            alerts=["WorkerHealthScoreLow"],
        ),
        stat(
            "Oldest heartbeat",
            "Since when the most silent worker that is up has been silent. What is too long depends on how often it beats: see its own dashboard.",
            f"max(time() - {q.worker('worker_last_heartbeat_timestamp_seconds')} and on (fleet, worker) {q.worker('worker_up')} == 1)",
            unit="s",
            width=3,
            text=True,
        ),
        stat(
            "Failed tasks",
            "The share of the tasks of the last 5 minutes that failed, in the fleet where it is greatest. Fleets with fewer than 20 tasks are left out.",
            f"max({q.failed_share('5m')})",
            unit="percentunit",
            width=3,
            limits=[(0.05, "orange")],
            decimals=2,
            alerts=["WorkerTaskFailureRatioHigh"],
        ),
        stat(
            "Tasks finished",
            "Tasks that the fleets finish in a second, failed ones included.",
            f"sum({q.tasks('rate', '$__rate_interval')})",
            unit="ops",
            width=3,
            text=True,
        ),
    ]


def fleets():
    troubled = f"max by (fleet, worker, state) ({select('worker_state', q.FLEET, 'state=~' + q.quoted('unknown|draining|degraded|stuck|down'))})"
    whole = ranges((0, 0, "whole", "green"), (1e-9, 0.4999, "some lost", "yellow"), (0.5, 0.9999, "degraded", "orange"), (1, 1, "down", "red"))
    return [
        row("Fleets"),
        timeline(
            "Fleets",
            "The share of each fleet that is down or stuck: whole, some lost, degraded from one half on, down.",
            [target(q.LOST, "{{fleet}}")],
            mappings=whole,
            unit="percentunit",
            width=16,
            height=9,
            values="never",
            limits=[(0.1, "yellow"), (0.5, "orange"), (1, "red")],
            alerts=["WorkerFleetDegraded", "WorkerFleetDown"],
            links=[TO_FLEET],
        ),
        alert_list(width=8, height=9),
        table(
            "Each fleet",
            "The fleets side by side. A click on a fleet shows it alone, or its error budget.",
            {
                "up": q.fleet_workers("healthy|degraded|stuck|draining"),
                "expected": q.fleet("worker_fleet_expected_workers"),
                "lost share": q.LOST,
                "tasks a second": q.tasks("rate", "$__rate_interval"),
                "failed share": q.failed_share("5m"),
                "mean score": f"avg by (fleet) ({q.worker('worker_health_score')})",
            },
            key=["fleet"],
            sort=("lost share", True),
            height=7,
            alerts=["WorkerFleetBelowExpected", "WorkerFleetAbsent", "WorkerFleetDegraded", "WorkerFleetDown", "WorkerTaskFailureRatioHigh"],
            links=[
                detail("Only this fleet", UID, fleet=field("fleet")),
                detail("Its error budget", "worker-exporter-slo", fleet=field("fleet")),
                detail("Its queues", "worker-exporter-queues", fleet=field("fleet")),
            ],
            overrides=[
                columns("lost share", thresholds=steps([(0.1, "yellow"), (0.5, "orange"), (1, "red")], "text")),
                columns("failed share", thresholds=steps([(0.05, "orange")], "text")),
            ],
        ),
        table(
            "Workers that need somebody",
            "Every worker that is neither healthy nor starting, the worst first. A click on a worker shows all that is known of it.",
            {
                "state_is": f"{troubled} == 1",
                "reason_is": f"max by (fleet, worker, reason) ({select('worker_state_reason', q.FLEET)}) and on (fleet, worker) {troubled} == 1",
                "score": f"{q.worker('worker_health_score')} and on (fleet, worker) {troubled} == 1",
                "minutes": f"(time() - {q.worker('worker_state_since_timestamp_seconds')}) / 60 and on (fleet, worker) {troubled} == 1",
            },
            key=["fleet", "worker", "state", "reason"],
            hidden={"state_is", "reason_is"},
            sort=("score", False),
            height=8,
            alerts=["WorkerDown", "WorkerStuck"],
            mappings=WORD_MAPPING,
            links=[TO_WORKER],
            no_value="Nobody needs you.",
        ),
    ]


def work():
    duration = "worker_task_duration_seconds"
    return [
        row("Work"),
        timeseries(
            "Tasks finished",
            "Tasks that each fleet finishes in a second, failed ones included.",
            [target(q.tasks("rate", "$__rate_interval"), "{{fleet}}")],
            unit="ops",
            stack=True,
            links=[TO_FLEET],
        ),
        timeseries(
            "Failed share of the tasks",
            "The share of the tasks of the last 5 minutes that failed. Where fewer than 20 finished there is no line.",
            [target(q.failed_share("5m", by="fleet, task_type"), "{{fleet}} {{task_type}}")],
            unit="percentunit",
            limits=[(0.05, "orange")],
            alerts=["WorkerTaskFailureRatioHigh"],
            links=[TO_FLEET],
        ),
        timeseries(
            "How long tasks take",
            "Median, 95th and 99th percentile of the durations that the workers measure themselves.",
            [
                target(q.quantile(rank, duration, "fleet, task_type", 'task_type=~"activity|nexus"'), "{{fleet}} {{task_type}} " + name)
                for rank, name in ((0.5, "p50"), (0.95, "p95"), (0.99, "p99"))
            ],
            unit="s",
            limits=[(300, "orange")],
            alerts=["WorkerTaskLatencyHigh"],
            links=[TO_FLEET],
        ),
        timeseries(
            "Tasks in work",
            "Tasks that the workers of each fleet work on now.",
            [target(f"sum by (fleet) ({q.worker('worker_tasks_in_flight')})", "{{fleet}}")],
            unit="none",
            stack=True,
            links=[TO_FLEET],
        ),
        timeseries(
            "Slots in use",
            "The share of the slots of each fleet that are in use, where the slots are bounded. A fleet at 100 % takes no more.",
            [target(slots_in_use(), "{{fleet}} {{task_type}}")],
            unit="percentunit",
            high=1,
            alerts=["WorkerSaturated"],
            links=[TO_FLEET],
        ),
        schedule_to_start(),
        row("What Temporal workers measure themselves"),
        workflow_tasks(width=8),
        sticky_misses(width=8),
        failed_requests(width=8),
        failed_tasks(),
        request_times(),
    ]


def slots_in_use():
    def slots(kind):
        return f"max by (fleet, task_type) ({select('worker_fleet_slots', q.FLEET, f'slot=~{q.quoted(kind)}')})"

    return f"{slots('used')}\n/ (({slots('used')} + {slots('available')}) > 0)"


def machines():
    limit = select("worker_memory_limit_bytes", q.FLEET)
    return [
        row("Workers"),
        heatmap(
            "CPU",
            "How many workers use how much of their CPU limit, as a mean of 5 minutes.",
            [target(f"max by (fleet, worker) (avg_over_time({select('worker_cpu_usage_ratio', q.FLEET)}[5m]))", "{{fleet}} {{worker}}")],
            unit="percentunit",
            limits=[(0.9, "orange")],
            alerts=["WorkerCpuHigh"],
        ),
        heatmap(
            "Memory",
            "How many workers use how much of their memory limit.",
            [target(f"max by (fleet, worker) ({select('worker_memory_bytes', q.FLEET)} / ({limit} > 0))", "{{fleet}} {{worker}}")],
            unit="percentunit",
            limits=[(0.9, "orange")],
            alerts=["WorkerMemoryHigh", "WorkerMemoryExhaustionPredicted"],
        ),
        timeseries(
            "Restarts",
            "The most restarts that one worker of the fleet had in 15 minutes.",
            [target(q.events("worker_restarts_total", "fleet", window="15m"), "{{fleet}}")],
            unit="none",
            width=6,
            limits=[(2, "orange")],
            decimals=0,
            alerts=["WorkerRestarting"],
            links=[TO_FLEET],
        ),
        timeseries(
            "Changes of state",
            "The most changes of state that one worker of the fleet had in 10 minutes, those to and from unknown left out.",
            [target(q.events("worker_state_changes_total", "fleet"), "{{fleet}}")],
            unit="none",
            width=6,
            limits=[(4, "orange")],
            decimals=0,
            alerts=["WorkerFlapping"],
            links=[TO_FLEET],
        ),
        table(
            "Versions",
            "How many workers run which version. More than one for long is a deploy that did not end.",
            {
                "workers": f"count by (fleet, build_id, sdk_name, sdk_version) (max by (fleet, worker, build_id, sdk_name, sdk_version) ({select('worker_info', q.FLEET)}))"
            },
            key=["fleet", "build_id", "sdk_name", "sdk_version"],
            width=12,
            alerts=["WorkerVersionSkew"],
        ),
    ]


def make():
    variables = [query_variable("fleet", "Fleet", f"label_values({select('worker_fleet_workers')}, fleet)", description="Fleets to show.")]
    panels = [*now(), *fleets(), *work(), *machines(), row("What to do"), runbooks(ALERTS, height=5)]
    return dashboard(
        UID, "Workers: fleet overview", "Is every fleet at work, and which worker needs somebody?", variables, panels, annotations(**FLEETS)
    )
