"""What a sidecar costs: memory, time of an answer, CPU while nothing happens. Run by `make measure-sidecar`.

Beside real workers, with each piece of evidence alone and with all of it at once. The machine may be busy with other things,
so each figure stands beside the load, and each answer beside that of the least server there can be, asked in turn with the
sidecar: what both of them wait for is the machine.
"""

import contextlib
import gc
import multiprocessing
import os
import socket
import tempfile
import time
from pathlib import Path

import test_sidecar as life
from harness.processes import Processes, free_port
from harness.sidecar import ALONE, COMMAND, Sidecar
from harness.temporal import TemporalServer
from harness.wait import wait_for

RATE = 50
SPAN = 60.0
SETTLED = 15.0
LEAST_ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"


def load():
    return f"load {os.getloadavg()[0]:.1f}"


def memory(pid):
    lines = dict(line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines())
    whole, own = (int(lines[field].split()[0]) * 1024 / 1e6 for field in ("VmRSS", "RssAnon"))
    return f"{whole:.2f} MB, {own:.2f} of it its own, {lines['Threads'].strip()} threads"


def cpu(pid):
    """CPU seconds of all its threads, to the nanosecond."""
    return sum(int((task / "schedstat").read_text().split()[0]) for task in Path(f"/proc/{pid}/task").iterdir()) / 1e9


def least_server(listener):
    """Accepts, reads once, answers, closes: less cannot be done."""
    while True:
        connection, _ = listener.accept()
        with connection, contextlib.suppress(OSError):
            connection.recv(4096)
            connection.sendall(LEAST_ANSWER)


def answered_in(port, path):
    """Seconds from nothing to the whole answer, over a connection of its own: as an orchestrator asks."""
    begun = time.perf_counter()
    with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
        connection.sendall(f"GET {path} HTTP/1.1\r\nHost: sidecar\r\nConnection: close\r\n\r\n".encode())
        answer = b""
        while more := connection.recv(65536):
            answer += more
    taken = time.perf_counter() - begun
    assert answer.startswith(b"HTTP/1.1 200"), answer[:200]
    return taken


def latencies(sidecar_port, least_port, path):
    """RATE requests a second to the sidecar, and as many to the least server, in turn."""
    ports, taken = (sidecar_port, least_port), ([], [])
    gc.disable()
    begun = time.perf_counter()
    for turn in range(int(SPAN * RATE * 2)):
        # The pace is measured from the start, so that a late answer does not thin out those behind it.
        time.sleep(max(0.0, begun + turn / (RATE * 2) - time.perf_counter()))
        taken[turn % 2].append(answered_in(ports[turn % 2], path))
    gc.enable()
    return [sorted(each) for each in taken]


def tell_latencies(sidecar, least_port, how):
    port = int(sidecar.url.rsplit(":", 1)[1])
    for path in ("/health", "/ready"):
        ours, least = latencies(port, least_port, path)
        p50, p99 = ([each[len(each) * share // 100] for each in (ours, least)] for share in (50, 99))
        print(
            f"{path:8} {how}: p50 {p50[0] * 1e3:.2f} ms, p99 {p99[0] * 1e3:.2f} ms, slowest {ours[-1] * 1e3:.1f} ms; "
            f"the least server p50 {p50[1] * 1e3:.2f} ms, p99 {p99[1] * 1e3:.2f} ms; p99 {p99[0] / p99[1]:.1f} times; {load()}",
            flush=True,
        )


def first_in_line(pids):
    """At real-time priority nobody waits for the other programs of the machine. False where that is not allowed."""
    try:
        for pid in pids:
            for task in Path(f"/proc/{pid}/task").iterdir():
                os.sched_setscheduler(int(task.name), os.SCHED_FIFO, os.sched_param(10))
    except PermissionError:
        return False
    return True


def ready(sidecar):
    sidecar.wait(60, health=200, ready=200)
    begun = time.monotonic()
    # The span itself is measured: its first looks are over, and a thread that served them may have ended.
    wait_for(lambda: time.monotonic() - begun > SETTLED, SETTLED + 10, "the first looks to be over")
    return sidecar.process.pid


def leave(sidecar):
    """It takes its worker along."""
    sidecar.process.terminate()
    sidecar.process.wait_gone(40)


def everything(processes, server, folder):
    """Flags, command and environment for all evidence at once."""
    beat, port = folder / "beat", free_port()
    processes.start("plain", life.plain("--beat", beat))
    args = ["--temporal", "--task-queue", "orders", "--heartbeat-file", beat, "--metrics.url", f"http://127.0.0.1:{port}/metrics"]
    return args, life.temporal_command(server, "orders", "--metrics", f"127.0.0.1:{port}"), life.at(server)


def at_rest(processes, server, folder, program):
    """Memory with each piece of evidence alone. The sidecar is ended before the next begins."""
    port, beat = free_port(), folder / f"beat-{len(processes.started)}"
    processes.start("plain", life.plain("--beat", beat, "--metrics", port))
    print(f"{program[0]}: {Path(program[0]).stat().st_size / 1e6:.1f} MB", flush=True)
    cases = {
        "file": (["--heartbeat-file", beat], [], {}),
        "process": ([], life.plain(), {}),
        "metrics": (["--metrics.url", f"http://127.0.0.1:{port}/metrics", "--metrics.progress", "turns"], [], {}),
        "Temporal": (["--temporal", "--task-queue", "alone"], life.temporal_command(server, "alone"), life.at(server)),
        "all of them": everything(processes, server, folder),
    }
    for name, (args, command, env) in cases.items():
        sidecar = Sidecar(processes, *args, command=command, env=env, program=program)
        print(f"at rest, {name}: {memory(ready(sidecar))}; {load()}", flush=True)
        leave(sidecar)


def measure(folder):
    processes = Processes(folder)
    listener = socket.create_server(("127.0.0.1", free_port()), backlog=64)
    least = multiprocessing.Process(target=least_server, args=(listener,), daemon=True)
    least.start()
    try:
        server = TemporalServer(processes)
        for program in (ALONE, COMMAND):
            at_rest(processes, server, folder, program)
        args, command, env = everything(processes, server, folder)
        sidecar = Sidecar(processes, *args, command=command, env=env, program=ALONE)
        pid = ready(sidecar)
        before, begun = cpu(pid), time.monotonic()
        time.sleep(SPAN)  # The span itself is measured.
        share = (cpu(pid) - before) / (time.monotonic() - begun)
        print(f"idle for {SPAN:.0f} s: {share * 100:.3f} % of a core; {load()}", flush=True)
        least_port = listener.getsockname()[1]
        tell_latencies(sidecar, least_port, f"{RATE} a second")
        print(f"after the answers: {memory(pid)}", flush=True)
        if first_in_line([pid, least.pid, os.getpid()]):
            tell_latencies(sidecar, least_port, f"{RATE} a second, first in line")
        leave(sidecar)
    finally:
        processes.end()
        least.terminate()


with tempfile.TemporaryDirectory() as here:
    measure(Path(here))
