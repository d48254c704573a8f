"""The cells of the matrix: what a worker does, and what is seen of it. All of them run at the same time."""

import asyncio
import json
import threading
import time
import uuid
from concurrent.futures import Future
from contextlib import nullcontext
from dataclasses import dataclass, field

from harness.config import config, temporal as source
from harness.exporter import Exporter
from harness.processes import Processes
from harness.temporal import TemporalServer
from harness.wait import wait_for
from temporalio.client import Client
from watch import Watch

# Past the five minutes for which a server remembers who polled, and past twice the limits of a heartbeat of 60 s.
LONGER_THAN_EVERY_LIMIT = 420
# For so long an activity blocks what every task of its worker needs.
BLOCKED_FOR = 420
# Three starts at a time: fifty at once would be a test of the processor.
STARTS = threading.Semaphore(3)
# A supervisor restarts one worker at once. Eight restarts that wait for each other's processor would be another test.
RESTARTS = threading.Lock()

# From start to the first verdict. A stock heartbeat first says that it is there, and a minute later that it moves.
TO_HEALTHY = {"1": 60, "stock": 240, "off": 240}
# From death to verdict: three heartbeats and the looks that agree.
TO_DOWN = {"1": 15, "stock": 300}
# From work that waits to verdict: 130 s without a poll, and what the worker last took before it was blocked.
TO_STUCK = {"1": 240, "stock": 330}
# A goodbye, then silence past its limit.
TO_GONE = {"1": 60, "stock": 330}


@dataclass(frozen=True)
class Cell:
    sdk: str
    behaviour: str
    heartbeat: str

    def __str__(self):
        return f"{self.sdk}-{self.behaviour}-{self.heartbeat}"

    @property
    def namespace(self):
        """One for each row of the table: a source with more than twenty queues is looked at more slowly."""
        return f"{self.sdk}-{'stock' if self.heartbeat == 'stock' else 'fast'}"


@dataclass
class Outcome:
    """What was seen, and how long it took."""

    state: str | None
    reason: str | None
    seconds: float
    evidence: list = field(default_factory=list)
    story: list = field(default_factory=list)


class Hand:
    """Starts workflows for all cells over one connection."""

    def __init__(self, server):
        self.loop = asyncio.new_event_loop()
        threading.Thread(target=self.loop.run_forever, daemon=True).start()
        self.clients = {name: self._call(Client.connect(server.address, namespace=name)) for name in server.namespaces}

    def _call(self, coroutine, within=60):
        return asyncio.run_coroutine_threadsafe(coroutine, self.loop).result(within)

    def run(self, workflow, cell, count=1, seconds=0.0):
        async def start():
            begin = self.clients[cell.namespace].start_workflow
            names = (f"{workflow}-{uuid.uuid4()}" for _ in range(count))
            await asyncio.gather(*(begin(workflow, seconds, id=name, task_queue=str(cell)) for name in names))

        self._call(start(), 120)

    def end(self):
        self.loop.call_soon_threadsafe(self.loop.stop)


class Matrix:
    """One server, one exporter, and a worker for each cell."""

    def __init__(self, folder, sdks, cells):
        self.sdks = sdks
        self.processes = Processes(folder)
        self.results = {cell: Future() for cell in cells}
        self.over = threading.Event()
        try:
            namespaces = sorted({cell.namespace for cell in cells})
            self.server = TemporalServer(self.processes, namespaces)
            self.hand = Hand(self.server)
            # A worker without heartbeats names no queue: it is found on those that are configured.
            silent = [cell for cell in cells if cell.heartbeat == "off"]
            sources = [
                {**source(self.server, name), "namespace": name,
                 "task_queues": [{"name": str(cell)} for cell in silent if cell.namespace == name]}
                for name in namespaces
            ]  # fmt: skip
            self.exporter = Exporter(self.processes, config(*sources))
            self.watch = Watch(self.exporter)
        except BaseException:
            self.processes.end()
            raise
        # The longest first.
        order = ("blocked", "unbounded", "idle", "full", "activities", "restarted", "killed", "stopped")
        todo = [cell for cell in cells if cell.behaviour != "registered"]
        todo.sort(key=lambda cell: (cell.heartbeat == "1", order.index(cell.behaviour)))
        self.calm = Calm(len(todo))
        self.threads = [threading.Thread(target=self._play, args=(cell,), daemon=True) for cell in todo]
        for thread in self.threads:
            thread.start()

    def end(self):
        self.over.set()
        self.watch.end()
        self.hand.end()
        self.processes.end()

    def _play(self, cell):
        part = Part(self, cell)
        try:
            part.begin()
            outcome = getattr(part, cell.behaviour)()
            self.results[cell].set_result(outcome)
        except BaseException as error:  # noqa: BLE001 - whatever it is, the test of this cell must fail with it.
            self.calm.arrive(part)
            registered = self.results.get(part.registered_cell)
            if cell.behaviour == "idle" and registered is not None and not registered.done():
                registered.set_exception(error)
            self.results[cell].set_exception(error)
        # The worker stays until all are done: a dozen that end together would be news of the server, not of them. It dies
        # with the thread that started it, so that the thread stays too.
        self.over.wait()


class Calm:
    """All have started: what is measured from here on is the verdict, and not how two cores start sixty workers."""

    # How long the slowest may take.
    PATIENCE = 420

    def __init__(self, count):
        self.expected = count
        self.arrived = set()
        self.changed = threading.Condition()

    def arrive(self, part):
        with self.changed:
            self.arrived.add(part)
            self.changed.notify_all()

    def wait(self, part):
        self.arrive(part)
        with self.changed:
            self.changed.wait_for(lambda: len(self.arrived) >= self.expected, self.PATIENCE)


class Part:
    """What one worker does."""

    # With what arguments it starts, by behaviour.
    ARGUMENTS = {"full": ("--activities", "2"), "unbounded": ("--slots", "unbounded")}

    def __init__(self, matrix, cell):
        self.matrix, self.cell = matrix, cell
        self.watch = matrix.watch
        self.queue = str(cell)
        self.name = None
        self.registered_cell = Cell(cell.sdk, "registered", cell.heartbeat)
        self.process = None

    def start(self, turn=STARTS):
        """Starts a worker under its SDK's own identity, as most do. Gives the moment at which it said that it polls."""
        sdk = self.matrix.sdks[self.cell.sdk]
        more = sdk.activities_only if self.cell.behaviour == "activities" else self.ARGUMENTS.get(self.cell.behaviour, ())
        command = [*sdk.command, "--address", self.matrix.server.address, "--namespace", self.cell.namespace,
                   "--queue", self.queue, "--heartbeat", self.cell.heartbeat, *more]  # fmt: skip
        with turn:
            self.process = self.matrix.processes.start(self.queue, command)
            self.process.wait_output("polling", 90)
        return time.monotonic()

    def begin(self):
        """It is there and healthy, as all others are."""
        registered = self.healthy()
        if self.cell.behaviour == "idle":
            self.matrix.results[self.registered_cell].set_result(registered)
        self.matrix.calm.wait(self)

    def healthy(self):
        begun = self.start()
        fleet = f"{self.cell.namespace}/{self.queue}"
        within = TO_HEALTHY[self.cell.heartbeat]

        def found():
            names = [name for name in list(self.watch.histories) if name.endswith(f"/{self.queue}")]
            assert len(names) <= 1, f"one worker is shown as {names} in {fleet}"
            return names and names[0]

        self.name = wait_for(found, within, f"a worker of {fleet}", every=0.5)
        seconds, state, reason = self.watch.wait(self.name, {"healthy"}, within, since=begun)
        return self.outcome(seconds, state, reason, begun)

    def outcome(self, seconds, state, reason, since):
        detail = self.matrix.exporter.worker(self.name) or {}
        evidence = [
            {key: channel[key] for key in ("what", "silent_seconds", "critical_seconds", "moves")}
            for channel in detail.get("channels", [])
        ]  # fmt: skip
        types = [
            {key: row[key] for key in ("task_type", "slots_used", "slots_available", "pollers", "processed")}
            for row in detail.get("types", [])
        ]  # fmt: skip
        return Outcome(state, reason, seconds, evidence + types, self.watch.story(self.name, since))

    # The behaviours.

    def idle(self):
        since = time.monotonic()
        self.watch.hold(self.name, {"healthy"}, LONGER_THAN_EVERY_LIMIT)
        self.watch.assert_never(self.name, "down", "stuck", "degraded", "draining")
        return self.outcome(LONGER_THAN_EVERY_LIMIT, "healthy", "ok", since)

    def killed(self):
        since = time.monotonic()
        self.process.kill()
        if self.cell.heartbeat == "off":
            # Known by its polls alone: nothing tells it from a worker that is full.
            seconds, state, reason = self.watch.wait(self.name, {"unknown"}, 300, since)
            self.watch.hold(self.name, {"unknown"}, 60)
            self.watch.assert_never(self.name, "down", "stuck")
            return self.outcome(seconds, state, reason, since)
        seconds, state, reason = self.watch.wait(self.name, {"down"}, TO_DOWN[self.cell.heartbeat], since)
        seen = self.outcome(seconds, state, reason, since)
        self.watch.hold(self.name, {"down"}, 30)
        self.watch.assert_never(self.name, "stuck", "draining")
        return seen

    def restarted(self):
        with RESTARTS:
            self.process.kill()
            since = self.start(nullcontext())

        def again():
            known = self.matrix.exporter.worker(self.name)
            return known and known["restarts"] == 1 and known["state"] == "healthy"

        wait_for(again, 2 * TO_HEALTHY[self.cell.heartbeat], f"{self.name} to be healthy after one restart", every=1)
        seen = self.outcome(time.monotonic() - since, "healthy", "restarted", since)
        self.watch.wait(self.name, {"healthy"}, 10)
        # The record of the dead one lies beside it for minutes.
        self.watch.hold(self.name, {"healthy"}, 60)
        self.watch.assert_never(self.name, "down", "stuck", "draining")
        names = [name for name in self.watch.histories if name.split("~")[0] == self.name]
        assert names == [self.name], f"one worker is shown as {names}"
        return seen

    def stopped(self):
        since = time.monotonic()
        self.process.terminate()
        seconds, state, reason = self.watch.wait(self.name, {"draining"}, TO_DOWN[self.cell.heartbeat], since)
        seen = self.outcome(seconds, state, reason, since)
        self.process.wait_gone(30)
        self.watch.wait(self.name, {None}, TO_GONE[self.cell.heartbeat], since)
        self.watch.assert_never(self.name, "down", "stuck", "degraded")
        seen.story = self.watch.story(self.name, since)
        return seen

    def blocked(self):
        self.matrix.hand.run("block", self.cell, seconds=BLOCKED_FOR)
        blocking = time.monotonic()
        self.process.wait_output("blocking", 120)
        since = time.monotonic()
        self.matrix.hand.run("quick", self.cell, count=40, seconds=1)
        seconds, state, reason = self.watch.wait(self.name, {"stuck"}, TO_STUCK[self.cell.heartbeat], since)
        seen = self.outcome(seconds, state, reason, since)
        self.watch.hold(self.name, {"stuck"}, 30)
        left = BLOCKED_FOR - (time.monotonic() - blocking)
        self.watch.wait(self.name, {"healthy"}, left + 180, since)
        self.watch.assert_never(self.name, "down")
        seen.story = self.watch.story(self.name, since)
        return seen

    def unbounded(self):
        """The same, with suppliers of slots that name no maximum."""
        return self.blocked()

    def activities(self):
        """It serves activities alone, and workflow tasks wait on its queue for somebody else."""
        self.matrix.hand.run("quick", self.cell, count=20, seconds=1)
        since = time.monotonic()
        self.watch.hold(self.name, {"healthy"}, 300)
        self.watch.assert_never(self.name, "down", "stuck", "degraded")
        seen = self.outcome(300, "healthy", "ok", since)
        assert "workflow" not in [row.get("task_type") for row in seen.evidence], seen
        return seen

    def full(self):
        self.matrix.hand.run("wait", self.cell, count=6, seconds=3600)

        def used():
            types = (self.matrix.exporter.worker(self.name) or {}).get("types", [])
            return any(row["task_type"] == "activity" and row["slots_used"] == 2 for row in types)

        wait_for(used, 120, f"both slots of {self.name} to be used", every=1)
        since = time.monotonic()
        self.watch.hold(self.name, {"healthy"}, LONGER_THAN_EVERY_LIMIT)
        self.watch.assert_never(self.name, "down", "stuck", "degraded")
        return self.outcome(LONGER_THAN_EVERY_LIMIT, "healthy", "ok", since)


def report(results):
    """A table of all that was seen, and the whole as JSON lines."""
    rows = ["| SDK | heartbeat | behaviour | seen | seconds |", "|---|---|---|---|---|"]
    lines = []
    for cell, future in results.items():
        if not future.done():
            rows.append(f"| {cell.sdk} | {cell.heartbeat} | {cell.behaviour} | not finished | |")
        elif error := future.exception():
            rows.append(f"| {cell.sdk} | {cell.heartbeat} | {cell.behaviour} | failed: {str(error)[:200]} | |")
        else:
            seen = future.result()
            rows.append(f"| {cell.sdk} | {cell.heartbeat} | {cell.behaviour} | {seen.state}, {seen.reason} | {seen.seconds:.0f} |")
            lines.append(json.dumps({"cell": str(cell), **vars(seen)}))
    return "\n".join(rows) + "\n", "\n".join(lines) + "\n"
