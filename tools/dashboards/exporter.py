"""The exporter: can what the other dashboards show be believed?"""

from model import annotations, dashboard, query_variable, select, target, words
from panels import heatmap, row, runbooks, stat, timeline, timeseries

UID = "worker-exporter-exporter"
SOURCE = 'source=~"$source"'
ALERTS = [
    "WorkerExporterDown",
    "WorkerExporterAbsent",
    "WorkerExporterBlind",
    "WorkerSourceDown",
    "TemporalDown",
    "WorkerExporterMisconfigured",
    "WorkerExporterStale",
    "WorkerExporterConfigReloadFailed",
    "WorkerWatchdog",
]
OWN = "worker_exporter_"
YES = words((1, "yes", "green"), (0, "no", "red"))


def own(metric, *matchers):
    return select(OWN + metric, *matchers)


def by_source(metric, by="source, kind"):
    return f"max by ({by}) ({own(metric, SOURCE)})"


def rate(metric, by, *matchers):
    return f"sum by ({by}) (rate({select(metric, *matchers)}[$__rate_interval]))"


def now():
    return [
        row("Now"),
        stat(
            "Exporters up",
            "Exporters that Prometheus can scrape.",
            f"sum({select('up')})",
            unit="none",
            width=3,
            limits=[(1, "green")],
            base="red",
            alerts=["WorkerExporterDown", "WorkerExporterAbsent"],
        ),
        stat(
            "Trusts itself",
            "No while an exporter's own loop came late: its silence is then not held against workers.",
            f"min({own('observer_trusted')})",
            unit="none",
            width=3,
            limits=[(1, "green")],
            base="red",
            mappings=YES,
            alerts=["WorkerExporterBlind"],
            graph="none",
        ),
        stat(
            "Age of the snapshot",
            "How old the oldest page, API and metrics are.",
            f"max(time() - {own('snapshot_timestamp_seconds')})",
            unit="s",
            width=3,
            limits=[(60, "red")],
            decimals=1,
            alerts=["WorkerExporterStale"],
        ),
        stat(
            "Configuration in force",
            "No while the last attempt to load the configuration failed: the one before it is in force.",
            f"min({own('config_last_reload_successful')})",
            unit="none",
            width=3,
            limits=[(1, "green")],
            base="red",
            mappings=YES,
            alerts=["WorkerExporterConfigReloadFailed"],
            graph="none",
        ),
        stat(
            "Sources that fail",
            "Sources that cannot be looked at. Their workers become unknown, not down.",
            f"count({by_source('source_up')} == 0)\nor vector(0)",
            unit="none",
            width=3,
            limits=[(1, "red")],
            alerts=["WorkerSourceDown", "TemporalDown"],
        ),
        stat(
            "Workers watched",
            "Workers that are watched, those that are down included.",
            f"max({own('workers_tracked')})",
            unit="none",
            width=3,
            text=True,
        ),
        stat(
            "Version",
            "Of the exporters.",
            f"max by (version) ({own('build_info')})",
            unit="none",
            width=3,
            name=True,
            legend="{{version}}",
            text=True,
        ),
        stat(
            "Uptime", "Of the youngest exporter.", f"min(time() - {select('process_start_time_seconds')})", unit="s", width=3, text=True, graph="none"
        ),
    ]


def sources():
    return [
        row("Sources"),
        timeline(
            "Sources",
            "Whether looks at each source succeed. Dead workers do not make a source fail.",
            [target(by_source("source_up"), "{{source}} ({{kind}})")],
            mappings=words((1, "succeeds", "green"), (0, "fails", "red")),
            width=12,
            values="never",
            limits=[(1, "green")],
            base="red",
            alerts=["WorkerSourceDown", "TemporalDown"],
        ),
        timeline(
            "Why sources fail",
            "The reason for which a source fails, while it fails. What is our own misconfiguration says so.",
            [target(by_source("source_failure", "source, kind, reason"), "{{source}}: {{reason}}")],
            mappings=words((1, "fails", "orange")),
            width=12,
            values="never",
            alerts=["WorkerExporterMisconfigured"],
            no_value="No source fails.",
        ),
        timeline(
            "Sources that are believed",
            "No while the workers of a source fell silent together: we may be cut off, and their states hold.",
            [target(by_source("source_trusted", "source"), "{{source}}")],
            mappings=words((1, "believed", "green"), (0, "held back", "orange")),
            width=12,
            values="never",
            alerts=["WorkerExporterBlind"],
        ),
        timeseries(
            "Since the last success",
            "How long ago a look at each source last succeeded.",
            [target(f"time() - {by_source('source_last_success_timestamp_seconds', 'source')}", "{{source}}")],
            unit="s",
            alerts=["WorkerSourceDown"],
        ),
        timeseries(
            "Looks",
            "Looks at each source in a second.",
            [target(rate("worker_exporter_source_requests_total", "source", SOURCE), "{{source}}")],
            unit="reqps",
            width=8,
        ),
        timeseries(
            "Failed looks and missed answers",
            "By source and reason. Those of dead workers are among them.",
            [target(f"{rate('worker_exporter_source_errors_total', 'source, reason', SOURCE)} > 0", "{{source}} {{reason}}")],
            unit="reqps",
            width=8,
            no_value="None.",
        ),
        timeseries(
            "Looks that were throttled",
            "Looks that the source asked us to slow down for.",
            [target(rate("worker_exporter_source_throttled_total", "source", SOURCE), "{{source}}")],
            unit="reqps",
            width=8,
        ),
        timeseries(
            "How long looks take",
            "Median and 99th percentile.",
            [
                target(
                    f"histogram_quantile({rank}, sum by (source, le) (rate({select('worker_probe_duration_seconds_bucket', SOURCE)}[$__rate_interval])))",
                    "{{source}} " + name,
                )
                for rank, name in ((0.5, "p50"), (0.99, "p99"))
            ],
            unit="s",
        ),
        heatmap(
            "Durations of looks",
            "How long the looks at the chosen sources took.",
            [target(f"sum by (le) (increase({select('worker_probe_duration_seconds_bucket', SOURCE)}[$__rate_interval]))", "{{le}}", heatmap=True)],
            unit="s",
            buckets=True,
        ),
    ]


def cost():
    return [
        row("What is kept and what it costs"),
        timeseries(
            "Workers and leftovers",
            "Workers that are watched, and records that were already dead at first sight.",
            [
                target(f"max by (instance) ({own('workers_tracked')})", "{{instance}} workers"),
                target(f"max by (instance) ({own('leftover_records')})", "{{instance}} leftovers"),
            ],
            unit="none",
            width=8,
        ),
        timeseries("Scrapes", "How long Prometheus' scrapes take.", [target(select("scrape_duration_seconds"), "{{instance}}")], unit="s", width=8),
        timeseries(
            "Samples of a scrape",
            "How many samples a scrape brings.",
            [target(select("scrape_samples_scraped"), "{{instance}}")],
            unit="none",
            width=8,
        ),
        timeseries(
            "Series left out",
            "Series that a worker had more than its share of 40.",
            [target(rate("worker_exporter_series_dropped_total", "instance, reason"), "{{instance}} {{reason}}")],
            unit="ops",
            width=8,
        ),
        timeseries(
            "Late ticks",
            "Ticks of its own loop that came more than five seconds late: it was suspended, or starved of CPU.",
            [target(f"sum by (instance) (increase({own('late_ticks_total')}[$__rate_interval]))", "{{instance}}")],
            unit="none",
            width=8,
            alerts=["WorkerExporterBlind"],
        ),
        timeseries("CPU", "Cores in use.", [target(rate("process_cpu_seconds_total", "instance"), "{{instance}}")], unit="none", width=8),
        timeseries("Memory", "Resident memory.", [target(select("process_resident_memory_bytes"), "{{instance}}")], unit="bytes", width=8),
        timeseries(
            "File descriptors",
            "The share of the allowed file descriptors that are open.",
            [target(f"{select('process_open_fds')} / {select('process_max_fds')}", "{{instance}}")],
            unit="percentunit",
            width=8,
        ),
        timeseries(
            "Age of the snapshot",
            "How old the page, the API and the metrics of each exporter are.",
            [target(f"time() - {own('snapshot_timestamp_seconds')}", "{{instance}}")],
            unit="s",
            width=8,
            limits=[(60, "red")],
            alerts=["WorkerExporterStale"],
        ),
    ]


def make():
    variables = [
        query_variable("source", "Source", f"label_values({own('source_requests_total')}, source)", description="Sources, by their configured name.")
    ]
    panels = [*now(), *sources(), *cost(), row("What to do"), runbooks(ALERTS)]
    return dashboard(UID, "Workers: the exporter", "Can what the other dashboards show be believed?", variables, panels, annotations([], [[]]))
