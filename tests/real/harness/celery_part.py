"""Real Celery workers on a real Redis."""

import os
import signal
from pathlib import Path

from celery import Celery


class CeleryBroker:
    """The workers and the queues of one broker."""

    def __init__(self, processes, redis_part, database=1, prefix=""):
        self.processes = processes
        self.redis = redis_part
        self.url = f"{redis_part.url}/{database}"
        self.prefix = prefix
        self.client = Celery("client", broker=self.url, set_as_current=False)
        if prefix:
            self.client.conf.broker_transport_options = {"global_keyprefix": prefix}

    def worker(self, name, **options):
        """One that is ready to work. Its node name is `name@test`."""
        args = [word for option, value in options.items() for word in (f"--{option}", value)]
        process = self.processes.python(
            f"celery-{name}", "celery_worker.py", "--broker", self.url, "--node", f"{name}@test", "--prefix", self.prefix, *args
        )
        return CeleryWorker(process.wait_output("ready.", 40))

    def send(self, count=1, seconds=0, **options):
        """Tasks that take so long."""
        for _ in range(count):
            self.client.send_task("nap", [seconds], ignore_result=True, **{"queue": "celery", **options})


class CeleryWorker:
    """A worker and its pool."""

    def __init__(self, process):
        self.process = process
        self.kill, self.stop, self.go_on, self.wait_gone = process.kill, process.stop, process.go_on, process.wait_gone

    def leave(self):
        """Asked to leave, as a supervisor asks: the pool belongs to the worker and is not asked."""
        os.kill(self.process.pid, signal.SIGTERM)

    def children(self):
        """The processes of its pool."""
        task = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children")
        return [int(pid) for pid in task.read_text().split()]

    def stop_children(self):
        """The pool hangs, and whoever asks the worker does not see it."""
        self._signal_children(signal.SIGSTOP)

    def go_on_children(self):
        self._signal_children(signal.SIGCONT)

    def _signal_children(self, number):
        children = self.children()
        assert children, self.process.output()
        for pid in children:
            os.kill(pid, number)
