"""One look at the API for all cells: fifty of them that look ten times a second each would be the load that they measure."""

import threading
import time

from harness.exporter import Exporter


class Watch:
    """The history of every worker: when which state and reason was first seen."""

    EVERY = 0.5

    def __init__(self, exporter: Exporter):
        self.exporter = exporter
        self.histories = {}
        self.restarts = {}
        self.looked = threading.Condition()
        self.over = threading.Event()
        self.thread = threading.Thread(target=self._watch, daemon=True)
        self.thread.start()

    def _watch(self):
        while not self.over.wait(self.EVERY):
            try:
                workers = self.exporter.workers()
            except (OSError, ValueError):
                continue
            now = time.monotonic()
            with self.looked:
                for name in self.histories.keys() | workers.keys():
                    known = workers.get(name)
                    state = (known["state"], known["reason"]) if known else (None, None)
                    history = self.histories.setdefault(name, [])
                    if not history or history[-1][1:] != state:
                        history.append((now, *state))
                self.looked.notify_all()

    def story(self, name, since=0.0):
        with self.looked:
            return [
                (f"{max(0.0, at - since):.0f} s", state, reason)
                for at, state, reason in self.histories.get(name, [])
            ]  # fmt: skip

    def state(self, name):
        with self.looked:
            history = self.histories.get(name)
            return history[-1][1] if history else None

    def wait(self, name, states, within, since=None):
        """Waits until the worker is in one of these states. Gives the seconds from `since`, its state and its reason."""
        since = time.monotonic() if since is None else since
        deadline = time.monotonic() + within
        with self.looked:
            while True:
                history = self.histories.get(name)
                if history and history[-1][1] in states:
                    at, state, reason = history[-1]
                    return max(0.0, at - since), state, reason
                left = deadline - time.monotonic()
                if left <= 0:
                    break
                self.looked.wait(left)
        raise AssertionError(f"waited {within:.0f} s for {name} to be {states}; it was {self.story(name, since)}")

    def hold(self, name, states, during):
        """It is in one of these states all through a span of time."""
        end = time.monotonic() + during
        with self.looked:
            while (left := end - time.monotonic()) > 0:
                history = self.histories[name]
                assert history[-1][1] in states, f"{name} is {history[-1][1:]} instead of {states}"
                self.looked.wait(left)

    def assert_never(self, name, *states, since=0.0):
        """Not for a moment, as far as two looks a second and the log can tell."""
        wrong = [entry for entry in self.story(name, since) if entry[1] in states]
        wrong += [change for change in self.exporter.changes if change.worker == name and change.after in states]
        assert not wrong, f"{name} was {wrong}; {self.story(name, since)}"

    def end(self):
        self.over.set()
        self.thread.join(timeout=6)
