"""Queries that several dashboards show. Each folds two exporters that watch the same workers into one, by `max by`."""

from model import select

FLEET = 'fleet=~"$fleet"'
QUEUE = ('source=~"$source"', 'temporal_namespace=~"$temporal_namespace"', 'task_queue=~"$task_queue"')
BY_QUEUE = "source, temporal_namespace, task_queue, task_type"
BY_WORKER = "fleet, worker"


def worker(metric, *matchers):
    """One value for each worker."""
    return f"max by ({BY_WORKER}) ({select(metric, FLEET, *matchers)})"


def fleet(metric, *matchers):
    """One value for each fleet."""
    return f"max by (fleet) ({select(metric, FLEET, *matchers)})"


def fleet_workers(states):
    """Workers of each fleet that are in one of these states."""
    return f"sum by (fleet) (max by (fleet, state) ({select('worker_fleet_workers', FLEET, f'state=~{quoted(states)}')}))"


def queue(metric, *matchers):
    """One value for each queue and type of task."""
    return f"max by ({BY_QUEUE}) ({select(metric, *QUEUE, *matchers)})"


def quoted(value):
    return f'"{value}"'


# The share of a fleet that is down or stuck: what WorkerFleetDegraded and WorkerFleetDown look at.
LOST = f"{fleet_workers('down|stuck')}\n/ ({fleet_workers('.+')} > 0)"


def tasks(function, window, *matchers, by="fleet"):
    """Tasks of the fleets: `tasks("rate", "$__rate_interval")`."""
    counted = select("worker_fleet_tasks_total", FLEET, *matchers)
    return f"sum by ({by}) (max by (fleet, task_type, outcome) ({function}({counted}[{window}])))"


FAILED = 'outcome="failed"'


def failed_share(window, *, by="fleet"):
    """The share of tasks that failed, where enough finished for it to mean something: as in the alerts."""
    return f"{tasks('increase', window, FAILED, by=by)}\n/ ({tasks('increase', window, by=by)} > 20)"


def quantile(rank, histogram, by, *matchers):
    """A quantile of a histogram of the fleets."""
    buckets = select(f"{histogram}_bucket", FLEET, *matchers)
    return f"histogram_quantile({rank}, max by ({by}, le) (rate({buckets}[$__rate_interval])))"


def events(metric, by, function="increase", window="10m"):
    """The most that one worker of a group had of something."""
    return f"max by ({by}) (round({function}({select(metric, FLEET)}[{window}])))"
