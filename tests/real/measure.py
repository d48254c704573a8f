"""How long until a death is known: kills, one at a time, of real workers of each kind. `make measure` runs it.

Prints p50 and max per kind, how many verdicts were wrong, and the series that a worker of each kind has. Not a test: a figure to compare versions by.
"""

import argparse
import statistics
import tempfile
from pathlib import Path

from harness.config import config, http, redis, temporal as temporal_source
from harness.exporter import Exporter
from harness.http_part import HttpWorker
from harness.processes import Processes
from harness.redis_part import Redis
from harness.temporal import TemporalServer
from harness.wait import wait_for

KINDS = ("temporal", "redis", "http")


def arguments():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=20, help="of each kind; the kinds take turns")
    parser.add_argument("--kinds", nargs="+", choices=KINDS, default=KINDS)
    parser.add_argument("--within", type=float, default=30.0, help="seconds after which a death counts as missed")
    return parser.parse_args()


def main():
    options = arguments()
    with tempfile.TemporaryDirectory(prefix="measure-") as folder:
        processes = Processes(Path(folder))
        try:
            took, wrong, series = measure(processes, options)
        finally:
            processes.end()
    print(f"{'kind':10} {'kills':>5} {'p50 s':>7} {'max s':>7}")
    for kind, seconds in {**took, "all": [s for row in took.values() for s in row]}.items():
        print(f"{kind:10} {len(seconds):5} {statistics.median(seconds):7.1f} {max(seconds):7.1f}")
    print(f"workers that were called down and lived: {wrong}")
    for kind, count in series.items():
        print(f"series of one {kind} worker: {count}")


def measure(processes, options):
    server, store = TemporalServer(processes), Redis(processes)
    web = [HttpWorker(processes, f"http-{n}") for n in range(4)]
    starts = {
        "temporal": lambda name: server.worker(identity=name),
        "redis": lambda name: store.writer(name),
        "http": None,
    }
    for kind in ("temporal", "redis"):
        for n in (1, 2, 3):
            starts[kind](f"{kind}-steady-{n}")
    watched = Exporter(processes, config(temporal_source(server), redis(store), http(*web)))
    watched.wait_all("healthy", 10, 60)

    took, killed = {kind: [] for kind in options.kinds}, set()
    for number in range(options.kills * len(options.kinds)):
        kind = options.kinds[number % len(options.kinds)]
        if kind == "http":
            victim, name = web[0], "http-0"
            if not victim.process.alive:
                victim.start()
        else:
            name = f"{kind}-{number}"
            victim = starts[kind](name)
        # One that was killed often flaps, and is up all the same.
        wait_for(lambda: watched.state(name) in ("healthy", "degraded"), 40, f"{name} to be up")
        victim.kill()
        killed.add(name)
        took[kind].append(watched.wait_state(name, "down", options.within))
        print(f"{name}: {took[kind][-1]:.1f} s", flush=True)
    wrong = {change.worker for change in watched.changes if change.after == "down"} - killed
    text = watched.metrics().splitlines()
    steady = {"temporal": "temporal-steady-1", "redis": "redis-steady-1", "http": "http-1"}
    series = {kind: sum(f'worker="{steady[kind]}"' in line for line in text) for kind in options.kinds}
    return took, len(wrong), series


if __name__ == "__main__":
    main()
