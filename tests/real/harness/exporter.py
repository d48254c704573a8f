"""The exporter itself, asked from outside only: its API, its metrics, its log."""

import json
import os
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
from dataclasses import dataclass
from email.message import Message

from .processes import REPOSITORY, free_port
from .wait import hold, wait_for

BINARY = os.environ.get("WORKER_EXPORTER_BINARY") or REPOSITORY / "target" / "debug" / "worker-exporter"
STATES = ("unknown", "starting", "healthy", "degraded", "stuck", "draining", "down")


@dataclass(frozen=True)
class Change:
    """One line of the log: a worker changed its state. The first state of a worker comes from `new`."""

    fleet: str
    worker: str
    before: str
    after: str
    reason: str


@dataclass(frozen=True)
class Answer:
    status: int
    headers: Message  # names in any case
    body: bytes

    @property
    def text(self):
        return self.body.decode()

    @property
    def json(self):
        return json.loads(self.body)


class Exporter:
    def __init__(self, processes, config=None, env=None, args=(), command="serve", ready=True, prefix=()):
        self.processes = processes
        self.port = free_port()
        self.target = f"127.0.0.1:{self.port}"
        self.url = f"http://{self.target}"
        self.file = processes.folder / f"exporter-{self.port}.yaml"
        self.command, self.env, self.extra, self.prefix = command, env, args, prefix
        if config is not None:
            self.write(config)
        self.configured = config is not None
        self.logs = []
        self.start(ready)

    def write(self, config):
        self.file.write_text(config)

    def start(self, ready=True):
        """Also a restart: what it knew is gone, as in production."""
        args = [*self.prefix, BINARY, self.command, "--web.listen-address", self.target, "--log.format", "json", *self.extra]
        if self.configured:
            args += ["--config.file", self.file]
        # Nothing that the person who runs the tests has set gets in.
        env = {name: None for name in os.environ if name.startswith(("TEMPORAL_", "WORKER_EXPORTER_"))}
        self.process = self.processes.start("exporter", args, {**env, **(self.env or {})})
        self.logs.append(self.process)
        if ready:
            wait_for(self.is_ready, 40, "the exporter to be ready")

    def is_ready(self):
        assert self.process.alive, f"the exporter ended:\n{self.process.output()[-4000:]}"
        return self.get("/-/ready").status == 200

    def get(self, path, timeout=5, method="GET", **headers):
        """Header names with `_` for `-`."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        request = urllib.request.Request(self.url + path, headers=named, method=method)
        try:
            with urllib.request.urlopen(request, timeout=timeout) as answer:
                return Answer(answer.status, answer.headers, answer.read())
        except urllib.error.HTTPError as error:
            return Answer(error.code, error.headers, error.read())

    # What it says of workers.

    def workers(self, fleet=None):
        """All workers by id."""
        query = {"limit": 1000, **({"fleet": fleet} if fleet else {})}
        answer = self.get("/health/workers?" + urllib.parse.urlencode(query)).json
        return {worker["worker_id"]: worker for worker in answer["workers"]}

    def worker(self, worker, fleet=None):
        """One worker with all its evidence, or None."""
        query = f"?fleet={urllib.parse.quote(fleet, safe='')}" if fleet else ""
        answer = self.get(f"/health/workers/{urllib.parse.quote(worker, safe='')}{query}")
        return answer.json if answer.status == 200 else None

    def states(self):
        return {name: worker["state"] for name, worker in self.workers().items()}

    def state(self, worker):
        """Its state, or None where no such worker is known."""
        return self.states().get(worker)

    def reason(self, worker):
        known = self.workers().get(worker)
        return known and known["reason"]

    def wait_state(self, worker, state, within, reason=None):
        """Waits for the state (None: gone) and the reason. Gives the seconds that it took."""
        begun = time.monotonic()
        seen = []

        def look():
            known = self.workers().get(worker)
            now = (known["state"], known["reason"]) if known else (None, None)
            if not seen or seen[-1] != now:
                seen.append(now)
            return now[0] == state and reason in (None, now[1])

        try:
            wait_for(look, within, f"{worker} to be {state or 'gone'}")
        except AssertionError as error:
            raise AssertionError(f"{error}; it was {seen}; {json.dumps(self.worker(worker), indent=1)}") from None
        return time.monotonic() - begun

    def wait_states(self, wanted, within):
        """Waits until the workers are exactly these, each in its state."""

        try:
            wait_for(lambda: self.states() == wanted, within, f"{wanted}")
        except AssertionError:
            raise AssertionError(f"waited {within} s for {wanted}; there is {self.states()}\n{self.story()}") from None

    def wait_all(self, state, count, within, reason=None):
        """Waits until there are `count` workers, all in this state."""

        def look():
            workers = self.workers().values()
            return len(workers) == count and all(w["state"] == state and reason in (None, w["reason"]) for w in workers)

        try:
            wait_for(look, within, f"{count} workers to be {state}")
        except AssertionError:
            now = {name: (w["state"], w["reason"]) for name, w in self.workers().items()}
            raise AssertionError(f"waited {within} s for {count} workers to be {state}; there is {now}\n{self.story()}") from None

    def hold_states(self, wanted, during):
        """These workers keep these states all through a span of time."""

        def look():
            now = {name: state for name, state in self.states().items() if name in wanted}
            assert now == wanted, f"{now} instead of {wanted}\n{self.story()}"

        hold(look, during)

    # What it said of them: no look of a test can miss a line of the log.

    def log(self):
        """All lines of its log as mappings, over restarts."""
        lines = []
        for process in self.logs:
            for line in process.output().splitlines():
                try:
                    entry = json.loads(line)
                except ValueError:
                    continue
                lines.append({**entry, **entry.pop("fields", {})})
        return lines

    @property
    def changes(self):
        """Every change of state that it ever logged."""
        return [
            Change(entry["fleet"], entry["worker"], entry["from"], entry["to"], entry["reason"])
            for entry in self.log()
            if entry.get("message") == "state changed"
        ]

    def changes_of(self, worker):
        return [change.after for change in self.changes if change.worker == worker]

    def story(self):
        """For messages of failed assertions."""
        return "\n".join(f"  {c.worker}: {c.before} -> {c.after} ({c.reason})" for c in self.changes[-60:])

    def assert_never(self, *states, workers=None):
        """No worker, or none of these, was ever in one of these states."""
        wrong = [c for c in self.changes if c.after in states and (workers is None or c.worker in workers)]
        assert not wrong, f"{len(wrong)} changes to {states}:\n{self.story()}"

    # What it says of itself, and to Prometheus.

    def metrics(self, accept="text/plain;version=0.0.4"):
        answer = self.get("/metrics", accept=accept)
        assert answer.status == 200, answer
        return answer.text

    def sample(self, name, **labels):
        """The value of one series of /metrics, or None."""
        from prometheus_client.parser import text_string_to_metric_families

        found = [
            sample.value
            for family in text_string_to_metric_families(self.metrics())
            for sample in family.samples
            if sample.name == name and all(sample.labels.get(key) == value for key, value in labels.items())
        ]
        assert len(found) <= 1, f"{name}{labels}: {len(found)} series"
        return found[0] if found else None

    def samples(self, name, **labels):
        """All series of this name: (labels, value)."""
        from prometheus_client.parser import text_string_to_metric_families

        return [
            (sample.labels, sample.value)
            for family in text_string_to_metric_families(self.metrics())
            for sample in family.samples
            if sample.name == name and all(sample.labels.get(key) == value for key, value in labels.items())
        ]

    def wait_sample(self, name, value, within=20, **labels):
        wait_for(lambda: self.sample(name, **labels) == value, within, f"{name}{labels} == {value}", every=0.3)


class Witness:
    """Looks at the API all the time, so that what the page showed in between is known, not only what the log says."""

    def __init__(self, exporter):
        self.exporter = exporter
        self.seen = {}
        self.over = threading.Event()
        self.thread = threading.Thread(target=self._watch, daemon=True)
        self.thread.start()

    def _watch(self):
        while not self.over.wait(0.2):
            try:
                for name, worker in self.exporter.workers().items():
                    history = self.seen.setdefault(name, [])
                    now = (worker["state"], worker["reason"])
                    if not history or history[-1] != now:
                        history.append(now)
            except (OSError, ValueError):  # Stopped or restarting: nothing to see.
                continue

    def end(self):
        self.over.set()
        self.thread.join(timeout=6)
        return self.seen
