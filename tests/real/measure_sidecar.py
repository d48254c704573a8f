"""What a sidecar costs: memory, time of an answer, CPU while nothing happens. Run by `make measure-sidecar`.

Beside a real Temporal worker, with a heartbeat file and the worker as its child: everything that a sidecar can do at once.
"""

import http.client
import tempfile
import time
from pathlib import Path

import test_sidecar as life
from harness.processes import Processes
from harness.sidecar import Sidecar
from harness.temporal import TemporalServer
from harness.wait import wait_for

ANSWERS = 20_000
IDLE = 60.0


def status(pid, *fields):
    """Fields of /proc/<pid>/status in MB."""
    lines = dict(line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines())
    return {field: int(lines[field].split()[0]) / 1024 for field in fields}


def cpu(pid):
    """CPU seconds of all its threads, to the nanosecond."""
    return sum(int((task / "schedstat").read_text().split()[0]) for task in Path(f"/proc/{pid}/task").iterdir()) / 1e9


def latencies(address, path, connect_anew):
    """Seconds of each answer: as an orchestrator asks, over a connection of its own, or over one that is kept."""
    taken = []
    kept = http.client.HTTPConnection(address)
    for _ in range(ANSWERS):
        begun = time.perf_counter()
        connection = http.client.HTTPConnection(address) if connect_anew else kept
        connection.request("GET", path)
        connection.getresponse().read()
        taken.append(time.perf_counter() - begun)
        if connect_anew:
            connection.close()
    return sorted(taken)


def measure(folder):
    processes = Processes(Path(folder))
    try:
        server = TemporalServer(processes)
        beat = Path(folder) / "beat"
        writer = processes.start("plain", life.plain("--beat", beat))
        command = life.temporal_command(server)
        sidecar = Sidecar(processes, "--temporal", "--task-queue", "orders", "--heartbeat-file", beat, command=command, env=life.at(server))
        pid = sidecar.process.pid
        sidecar.wait(60, health=200, ready=200)
        wait_for(lambda: sidecar.detail("registered").endswith("limit 15 s"), 20, "the second beat")
        print("ready:       ", {name: f"{value:.1f} MB" for name, value in status(pid, "VmRSS", "RssAnon", "RssFile").items()})
        for path in ("/health", "/ready"):
            for connect_anew in (True, False):
                taken = latencies(sidecar.url.removeprefix("http://"), path, connect_anew)
                p50, p99 = taken[len(taken) // 2], taken[len(taken) * 99 // 100]
                how = "a connection each" if connect_anew else "one connection"
                print(f"{path:8} {how:18} p50 {p50 * 1e3:.2f} ms, p99 {p99 * 1e3:.2f} ms, slowest {taken[-1] * 1e3:.1f} ms")
        print("afterwards:  ", {name: f"{value:.1f} MB" for name, value in status(pid, "VmRSS", "RssAnon", "RssFile").items()})
        before, begun = cpu(pid), time.monotonic()
        time.sleep(IDLE)  # The span itself is measured.
        share = (cpu(pid) - before) / (time.monotonic() - begun)
        print(f"idle for {IDLE:.0f} s: {share * 100:.3f} % of a core")
        assert writer.alive
    finally:
        processes.end()


with tempfile.TemporaryDirectory() as here:
    measure(here)
