"""How long until a death is known: kills, one at a time, of real workers of each kind. `make measure` runs it.

Prints p50 and max per kind, and how many verdicts were wrong. Not a test: a figure to compare versions by.
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


def arguments():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=24, help="in all; the kinds take turns")
    parser.add_argument("--within", type=float, default=30.0, help="seconds after which a death counts as missed")
    return parser.parse_args()


def main():
    options = arguments()
    with tempfile.TemporaryDirectory(prefix="measure-") as folder:
        processes = Processes(Path(folder))
        try:
            took, wrong = measure(processes, options)
        finally:
            processes.end()
    print(f"{'kind':10} {'kills':>5} {'p50 s':>7} {'max s':>7}")
    for kind, seconds in {**took, "all": [s for row in took.values() for s in row]}.items():
        print(f"{kind:10} {len(seconds):5} {statistics.median(seconds):7.1f} {max(seconds):7.1f}")
    print(f"workers that were called down and lived: {wrong}")


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

    took, killed = {kind: [] for kind in starts}, set()
    for number in range(options.kills):
        kind = list(starts)[number % len(starts)]
        if kind == "http":
            victim, name = web[0], "http-0"
            if not victim.process.alive:
                victim.start()
        else:
            name = f"{kind}-{number}"
            victim = starts[kind](name)
        watched.wait_state(name, "healthy", 40)
        victim.kill()
        killed.add(name)
        took[kind].append(watched.wait_state(name, "down", options.within))
        print(f"{name}: {took[kind][-1]:.1f} s", flush=True)
    wrong = {change.worker for change in watched.changes if change.after == "down"} - killed
    return took, len(wrong)


if __name__ == "__main__":
    main()
