"""Worker detail: how is this worker, since when, and why?"""

from model import STATE_MAPPING, annotations, dashboard, detail, field, query_variable, select, state_code, target, words
from panels import columns, row, runbooks, stat, table, timeline, timeseries

UID = "worker-exporter-worker"
ONE = ('fleet="$fleet"', 'worker="$worker"')
FILLED = "?fleet=${fleet:percentencode}&worker=${worker:percentencode}"

ALERTS = [
    "WorkerDown",
    "WorkerNeverStarted",
    "WorkerStuck",
    "WorkerHeartbeatLate",
    "WorkerFlapping",
    "WorkerRestarting",
    "WorkerDrainStuck",
    "WorkerSaturated",
    "WorkerHealthScoreLow",
    "WorkerCertificateExpiring",
    "WorkerClockSkew",
    "WorkerCpuHigh",
    "WorkerMemoryHigh",
    "WorkerDiskHigh",
    "WorkerMemoryExhaustionPredicted",
    "WorkerDiskFillPredicted",
    "WorkerOutlier",
]


def one(metric, *matchers):
    """A figure of this worker."""
    return f"max by (fleet, worker) ({select(metric, *ONE, *matchers)})"


def typed(metric, by, *matchers):
    """A figure of this worker for each type of task."""
    return f"max by ({by}) ({select(metric, *ONE, *matchers)})"


def filled(alerts):
    """Links to runbooks that know which worker it is about."""
    return {"alerts": alerts, "runbook_query": FILLED}


def told(*given, **named):
    """Lines that only some sources tell."""
    return timeseries(*given, no_value="Its sources do not tell.", **named)


def now():
    return [
        row("Now"),
        stat(
            "State",
            "One of the seven states.",
            state_code(*ONE),
            unit="none",
            width=3,
            graph="none",
            mappings=STATE_MAPPING,
            **filled(["WorkerDown", "WorkerStuck"]),
        ),
        stat(
            "Reason",
            "Why it is in this state.",
            typed("worker_state_reason", "reason"),
            unit="none",
            width=3,
            name=True,
            legend="{{reason}}",
            text=True,
        ),
        stat(
            "In this state for",
            "How long it has been in its state.",
            f"time() - {one('worker_state_since_timestamp_seconds')}",
            unit="s",
            width=3,
            text=True,
            graph="none",
        ),
        stat(
            "Health score",
            "Weighted mean of the checks that are known: 1 is well, and 0 is down.",
            one("worker_health_score"),
            unit="none",
            width=3,
            limits=[(0.5, "green")],
            base="red",
            decimals=2,
            low=0,
            high=1,
            **filled(["WorkerHealthScoreLow"]),
        ),
        stat(
            "Last heartbeat",
            "How long ago its last heartbeat was received.",
            f"time() - {one('worker_last_heartbeat_timestamp_seconds')}",
            unit="s",
            width=3,
            text=True,
        ),
        stat(
            "Last progress",
            "How long ago it last made progress of its own.",
            f"time() - {one('worker_last_progress_timestamp_seconds')}",
            unit="s",
            width=3,
            text=True,
        ),
        stat(
            "Uptime",
            "How long its present incarnation has lived, by its own clock.",
            f"time() - {one('worker_start_time_seconds')}",
            unit="s",
            width=3,
            text=True,
            graph="none",
        ),
        stat(
            "Restarts",
            "Newer incarnations that took its place in the chosen time.",
            f"round(max by (fleet, worker) (increase({select('worker_restarts_total', *ONE)}[$__range])))",
            unit="none",
            width=3,
            text=True,
            decimals=0,
        ),
    ]


def states():
    checks = words((0, "critical", "red"), (0.5, "warning", "orange"), (1, "passes", "green"))
    return [
        row("What it was, and why"),
        timeline(
            "State",
            "Its state over time.",
            [target(state_code(*ONE), "{{worker}}")],
            mappings=STATE_MAPPING,
            height=4,
            values="auto",
            **filled(["WorkerDown", "WorkerNeverStarted", "WorkerStuck", "WorkerDrainStuck"]),
        ),
        timeline(
            "Reason",
            "The reasons of its states over time.",
            [target(typed("worker_state_reason", "reason"), "{{reason}}")],
            mappings=words((1, "this", "blue")),
            width=12,
            values="never",
            **filled(["WorkerSaturated", "WorkerFlapping"]),
        ),
        timeline(
            "Checks",
            "What is known of it, check by check. A check that is not known has no line.",
            [target(typed("worker_check_score", "check"), "{{check}}")],
            mappings=checks,
            width=12,
            values="never",
            limits=[(0.5, "orange"), (1, "green")],
            base="red",
            **filled(["WorkerHeartbeatLate"]),
        ),
        timeseries(
            "Silence of its heartbeat",
            "How long it has not beaten, and where two and three of its intervals lie: the heartbeat check warns at the one and is critical at the other, or at its configured limits.",
            [
                target(f"time() - {one('worker_last_heartbeat_timestamp_seconds')}", "silent for"),
                target(f"2 * {one('worker_heartbeat_interval_seconds')}", "two intervals"),
                target(f"3 * {one('worker_heartbeat_interval_seconds')}", "three intervals"),
            ],
            unit="s",
            width=8,
            fill=0,
            **filled(["WorkerHeartbeatLate"]),
        ),
        timeseries(
            "Health score",
            "Weighted mean of the checks that are known.",
            [target(one("worker_health_score"), "{{worker}}")],
            unit="none",
            width=8,
            high=1,
            limits=[(0.5, "green")],
            base="red",
            **filled(["WorkerHealthScoreLow"]),
        ),
        timeseries(
            "Restarts and changes of state",
            "In 15 minutes, and in 10.",
            [
                target(f"round(max by (fleet, worker) (increase({select('worker_restarts_total', *ONE)}[15m])))", "restarts in 15 minutes"),
                target(f"round(max by (fleet, worker) (increase({select('worker_state_changes_total', *ONE)}[10m])))", "changes in 10 minutes"),
            ],
            unit="none",
            width=8,
            decimals=0,
            limits=[(2, "yellow"), (4, "orange")],
            **filled(["WorkerRestarting", "WorkerFlapping"]),
        ),
    ]


def work():
    failed = f"max by (fleet, worker) (increase({select('worker_tasks_failed_total', *ONE)}[30m]))"
    fleet = f"max by (fleet, worker) (increase({select('worker_tasks_failed_total', ONE[0])}[30m]))"
    return [
        row("Work"),
        timeseries(
            "Tasks",
            "Tasks that it finishes in a second, and those that fail.",
            [
                target(f"max by (fleet, worker) (rate({select('worker_tasks_total', *ONE)}[$__rate_interval]))", "finished"),
                target(f"max by (fleet, worker) (rate({select('worker_tasks_failed_total', *ONE)}[$__rate_interval]))", "failed"),
            ],
            unit="ops",
            width=8,
        ),
        told("Tasks in work", "Tasks that it works on.", [target(one("worker_tasks_in_flight"), "in work")], unit="none", width=8),
        timeseries(
            "Failures beside its fleet",
            "Failed tasks of 30 minutes: its own, and five times those of a worker in the middle of its fleet. An outlier has more than both limits.",
            [target(failed, "this worker"), target(f"5 * quantile by (fleet) (0.5, {fleet})", "five times the middle")],
            unit="none",
            width=8,
            fill=0,
            limits=[(20, "orange")],
            **filled(["WorkerOutlier"]),
        ),
        told(
            "Slots",
            "Its slots by type of task, used and available. Where they are unbounded nothing is available here.",
            [target(typed("worker_slots", "task_type, slot"), "{{task_type}} {{slot}}")],
            unit="none",
            width=8,
            **filled(["WorkerSaturated"]),
        ),
        told(
            "Pollers",
            "Its pollers at work, by type of task. A worker whose slots are all busy polls no more.",
            [target(typed("worker_pollers", "task_type"), "{{task_type}}")],
            unit="none",
            width=8,
        ),
        told(
            "Clock skew",
            "Its clock minus ours, as far as its heartbeats show.",
            [target(one("worker_clock_skew_seconds"), "skew")],
            unit="s",
            width=8,
            low=None,
            limits=[(-5, "green"), (5, "orange")],
            base="orange",
            **filled(["WorkerClockSkew"]),
        ),
    ]


def machine():
    memory, limit = select("worker_memory_bytes", *ONE), select("worker_memory_limit_bytes", *ONE)
    disk = select("worker_disk_usage_ratio", *ONE)
    return [
        row("Machine"),
        told(
            "CPU",
            "Its own CPU of its limit as a mean of 5 minutes, and that of its host, which is not judged.",
            [
                target(f"max by (fleet, worker) (avg_over_time({select('worker_cpu_usage_ratio', *ONE)}[5m]))", "its own"),
                target(one("worker_host_cpu_usage_ratio"), "its host"),
            ],
            unit="percentunit",
            width=8,
            limits=[(0.9, "orange")],
            **filled(["WorkerCpuHigh"]),
        ),
        told(
            "Memory of its limit",
            "Its own memory of its limit, and that of its host, which is not judged.",
            [target(f"max by (fleet, worker) ({memory} / ({limit} > 0))", "its own"), target(one("worker_host_memory_usage_ratio"), "its host")],
            unit="percentunit",
            width=8,
            limits=[(0.9, "orange")],
            **filled(["WorkerMemoryHigh"]),
        ),
        told(
            "Memory",
            "Its memory, its limit, and where it will be in four hours if it goes on as in the last.",
            [
                target(one("worker_memory_bytes"), "used"),
                target(one("worker_memory_limit_bytes"), "limit"),
                target(f"max by (fleet, worker) (predict_linear({memory}[1h], 4 * 3600))", "in four hours"),
            ],
            unit="bytes",
            width=8,
            fill=0,
            overrides=[dashed("in four hours"), dashed("limit")],
            **filled(["WorkerMemoryExhaustionPredicted"]),
        ),
        told(
            "Disk",
            "Its disk in use, and where it will be in a day if it goes on as in the last six hours.",
            [target(one("worker_disk_usage_ratio"), "used"), target(f"max by (fleet, worker) (predict_linear({disk}[6h], 24 * 3600))", "in a day")],
            unit="percentunit",
            width=12,
            fill=0,
            limits=[(0.9, "orange"), (1, "red")],
            overrides=[dashed("in a day")],
            **filled(["WorkerDiskHigh", "WorkerDiskFillPredicted"]),
        ),
        told(
            "GPU",
            "GPU and GPU memory in use.",
            [target(one("worker_gpu_utilization_ratio"), "GPU"), target(one("worker_gpu_memory_usage_ratio"), "GPU memory")],
            unit="percentunit",
            width=12,
        ),
        table(
            "Who it is",
            "What its present incarnation says of itself, and which sources show it.",
            {"seen": f"max by (fleet, worker, host, pod, pid, sdk_name, sdk_version, build_id, deployment, source) ({select('worker_info', *ONE)})"},
            key=["fleet", "worker", "host", "pod", "pid", "sdk_name", "sdk_version", "build_id", "deployment", "source"],
            hidden={"seen"},
            width=24,
            height=4,
            links=[detail("Its fleet", "worker-exporter-fleet", fleet=field("fleet"))],
        ),
    ]


def dashed(name):
    """A line that is not a measurement."""
    return columns(name, custom_lineStyle={"fill": "dash", "dash": [8, 8]})


def make():
    variables = [
        query_variable(
            "fleet", "Fleet", f"label_values({select('worker_fleet_workers')}, fleet)", single=True, description="The fleet of the worker."
        ),
        query_variable("worker", "Worker", f"label_values({select('worker_state', ONE[0])}, worker)", single=True, description="The worker."),
    ]
    # Alerts of the worker, of its fleet, and of no fleet at all.
    marks = annotations(ONE, [ONE, (ONE[0], 'worker=""'), ('fleet=""',)])
    panels = [*now(), *states(), *work(), *machine(), row("What to do"), runbooks(ALERTS)]
    return dashboard(UID, "Workers: one worker", "How is this worker, since when, and why?", variables, panels, marks)
