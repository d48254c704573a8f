"""Everything that the dashboards can show, at once: the demo with its troubles, a Temporal fleet at work, a queue whose worker
died with work waiting, and a source that cannot be reached."""

import asyncio
import itertools
import threading
from datetime import timedelta

from temporalio.client import Client
from temporalio.service import RPCError

from .config import config, http, process, temporal as temporal_source
from .processes import free_port
from .wait import wait_for

TARGET = "127.0.0.1"


class Showcase:
    """`jobs`: what a Prometheus has to scrape."""

    def __init__(self, temporal, exporter, dead="billing"):
        self.temporal = temporal
        served = {}
        self.workers = []
        for name in ("anna", "boris"):
            port = free_port()
            # With both kinds of tasks and its process one would have more than 40 series, and some of them left out.
            self.workers.append(temporal.worker(identity=name, activities=4, metrics=f"{TARGET}:{port}", workflows=name != "anna"))
            served[name] = type("Target", (), {"worker": name, "url": f"http://{TARGET}:{port}/metrics"})
        self.lost = temporal.worker(queue=dead, identity="clara")
        # One whose work goes to a version of it.
        self.workers.append(temporal.worker(queue="shop", identity="dora", version="shop:v1"))
        wait_for(self._current, 20, "the server to know the version")
        nobody = {"name": "unreachable", "kind": "temporal", "address": f"{TARGET}:1", "namespace": "default"}
        watched = config(
            temporal_source(temporal, task_queues=[{"name": "orders"}, {"name": dead}], timed_out_workflows=True),
            http(*served.values(), name="metrics", kind="metrics", fleet="default/orders"),
            # One that is seen from all sides.
            process({"id": "anna", "pid": self.workers[0].process.pid}, fleet="default/orders", gpu=False),
            nobody,
        )
        self.exporter = exporter(watched, ready=False)
        self.demo = exporter(command="demo")
        self.jobs = {"worker-exporter": self.demo.target, "worker-exporter-temporal": self.exporter.target}
        self.over = threading.Event()
        self.thread = threading.Thread(target=lambda: asyncio.run(self._work(dead)), daemon=True)
        self.thread.start()

    def _current(self):
        try:
            self.temporal.set_current("shop", "v1")
        except RPCError:  # It has not polled yet.
            return False
        return True

    async def _work(self, dead):
        """Work of every kind, for as long as it lasts, and at times more than the workers can do at once, so that some waits."""
        client = await Client.connect(self.temporal.address, namespace=self.temporal.namespaces[0])
        number = 0

        async def begin(workflow, seconds, queue="orders", **more):
            nonlocal number
            number += 1
            return await client.start_workflow(workflow, seconds, id=f"{workflow}-{number}", task_queue=queue, **more)

        for turn in itertools.count():
            if self.over.is_set():
                return
            for _ in range(60 if turn % 50 == 20 else 5):
                await begin("wait", 0.6)
            await begin("quick", 0.2)
            await begin("wait", 0.1, queue="shop")
            if turn % 12 == 0:
                # It is tried again until its time is up.
                await begin("fail", 0.0, execution_timeout=timedelta(seconds=2))
                # Its code has a mistake.
                await begin("fickle", 0.1, execution_timeout=timedelta(seconds=2))
            # It starts another one.
            await begin("begin", 0.0)
            # Its activity comes to an end that nobody waits for: the server answers that it is not found.
            ended = await begin("wait", 1.0)
            await asyncio.sleep(0.7)
            await ended.terminate()
            if turn % 4 == 0 and not self.lost.process.alive:
                await begin("wait", 0.1, queue=dead)
            await asyncio.sleep(0.3)

    def lose(self):
        """The worker of the other queue dies, and work waits for it."""
        self.lost.kill()

    def pause(self):
        """The worker that is seen from all sides is there and does nothing, until `go_on`."""
        self.workers[0].process.stop()

    def go_on(self):
        self.workers[0].process.go_on()

    def end(self):
        self.over.set()
        self.thread.join(timeout=60)
