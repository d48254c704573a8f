"""The sidecar, asked from outside only: its two answers and its exit code."""

import json
import os
import time
import urllib.error
import urllib.request
from pathlib import Path

from .exporter import BINARY
from .processes import free_port
from .wait import wait_for

# The sidecar as a program of its own, which is built beside the exporter.
ALONE = (Path(BINARY).with_name("worker-exporter-sidecar"),)
COMMAND = (BINARY, "sidecar")


class Sidecar:
    def __init__(self, processes, *args, command=(), env=None, prefix=(), host="127.0.0.1", program=COMMAND):
        self.url = f"http://{host}:{free_port()}"
        # Nothing that the person who runs the tests has set gets in.
        clean = {name: None for name in os.environ if name.startswith(("TEMPORAL_", "WORKER_EXPORTER_"))}
        line = [*prefix, *program, "--web.listen-address", self.url.removeprefix("http://"), *args]
        if command:
            line += ["--", *command]
        self.process = processes.start("sidecar", line, {**clean, **(env or {})})
        wait_for(self._answers, 20, "the sidecar to answer")

    def _answers(self):
        assert self.process.alive, f"the sidecar ended:\n{self.process.output()[-2000:]}"
        return self.get("/health")

    def get(self, path, method="GET"):
        """(status, body)"""
        request = urllib.request.Request(self.url + path, method=method)
        try:
            with urllib.request.urlopen(request, timeout=5) as answer:
                return answer.status, answer.read()
        except urllib.error.HTTPError as error:
            return error.code, error.read()

    def ask(self, path):
        """(status, body as a mapping)"""
        status, body = self.get(path)
        return status, json.loads(body)

    @property
    def health(self):
        return self.ask("/health")[0]

    @property
    def ready(self):
        return self.ask("/ready")[0]

    def reason(self, check, path="/ready"):
        """The reason of one check."""
        checks = {one["name"]: one["reason"] for one in self.ask(path)[1]["checks"]}
        return checks.get(check)

    def detail(self, check):
        """What people are told of one check."""
        return {one["name"]: one.get("detail", "") for one in self.ask("/ready")[1]["checks"]}[check]

    def wait(self, within, health=None, ready=None, **reasons):
        """Waits until the answers are these, and the checks have these reasons. Gives the seconds that it took."""
        begun = time.monotonic()

        def look():
            return (
                health in (None, self.health)
                and ready in (None, self.ready)
                and all(self.reason(check) == reason for check, reason in reasons.items())
            )

        try:
            wait_for(look, within, f"health {health}, ready {ready}, {reasons}", every=0.1)
        except AssertionError as error:
            raise AssertionError(f"{error}\n{json.dumps(self.ask('/ready')[1], indent=1)}\n{self.process.output()[-2000:]}") from None
        return time.monotonic() - begun
