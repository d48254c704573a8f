"""What an exporter really exported, written down scrape by scrape, and replayed into the unit tests of promtool."""

import subprocess
import threading
import time
from dataclasses import dataclass

import yaml
from prometheus_client.parser import text_string_to_metric_families

from . import rules

EVERY = 5
EVALUATED_EVERY = 15
# Firing alerts by what tells one from another. The watchdog always fires.
FIRING = 'count by (alertname, severity, escalate, fleet, worker) (ALERTS{alertstate="firing", alertname!="WorkerWatchdog"})'
# A rule sees a change at the scrape after it and at its next evaluation. It may see it before us by as much as one scrape.
EARLY, LATE = EVERY + 1, EVERY + EVALUATED_EVERY + 1
# One that builds on recorded series of another group sees it an evaluation later.
LATER = LATE + EVALUATED_EVERY


@dataclass(frozen=True)
class Window:
    """From when until when an alert fires, in seconds of the recording. `until` is None where it still fires at its end.
    From `perhaps` on it may fire or not. `late` is how long it may take the rule to see what it waits for."""

    labels: dict
    since: float
    until: float | None = None
    perhaps: float = float("inf")
    late: float = LATE

    def at(self, second):
        """Whether it fires: True, False, or None where an evaluation decides."""
        if second < self.since - EARLY:
            return False
        if second <= self.since + self.late or second >= self.perhaps - EARLY:
            return None
        if self.until is None or second < self.until - EARLY:
            return True
        return None if second <= self.until + self.late else False


class Recording:
    def __init__(self, exporter):
        self.exporter = exporter
        self.scrapes = []
        self.begun = time.time()
        self.over = threading.Event()
        self.thread = threading.Thread(target=self._record, daemon=True)
        self.thread.start()

    def _record(self):
        while not self.over.wait(max(0, self.begun + len(self.scrapes) * EVERY - time.time())):
            self.scrapes.append(self._scrape())

    def _scrape(self):
        """All series by name and labels, or only `up` where nothing answers."""
        target = {"job": "worker-exporter", "instance": self.exporter.target}
        try:
            text = self.exporter.get("/metrics", accept="text/plain;version=0.0.4", timeout=1).text
        except OSError:
            return {_series("up", target): 0.0}
        seen = {_series("up", target): 1.0}
        for family in text_string_to_metric_families(text):
            for sample in family.samples:
                value = sample.value
                # Time begins with the recording: in the unit tests it begins at 0.
                if sample.name.endswith(("_timestamp_seconds", "_start_time_seconds")):
                    value -= self.begun
                seen[_series(sample.name, {**sample.labels, **target})] = value
        return seen

    def now(self):
        return time.time() - self.begun

    def end(self):
        self.over.set()
        self.thread.join(timeout=10)

    def seconds(self):
        """Its length."""
        return (len(self.scrapes) - 1) * EVERY

    def when(self, name, value=None, after=0, **labels):
        """Seconds of the scrapes in which a series with these labels was there, with this value."""
        wanted = set(labels.items())
        return [
            number * EVERY for number, scrape in enumerate(self.scrapes)
            if number * EVERY >= after and any(
                series[0] == name and wanted <= set(series[1]) and value in (None, seen) for series, seen in scrape.items()
            )
        ]  # fmt: skip

    def firing(self, windows, second):
        """What fires then, or None where it is not certain."""
        known = [(window, window.at(second)) for window in windows]
        if any(fires is None for _, fires in known):
            return None
        return [window.labels for window, fires in known if fires]

    def replay(self, folder, windows):
        """Feeds it to promtool with the shipped rules: at every evaluation exactly these alerts fire. Gives how many were
        judged."""
        rules.write(folder)
        judged = {}
        for second in range(0, self.seconds() + 1, EVALUATED_EVERY):
            fires = self.firing(windows, second)
            if fires is not None:
                judged[second] = fires
        test = {
            "rule_files": ["*.rules.yaml"],
            "evaluation_interval": f"{EVALUATED_EVERY}s",
            "tests": [{
                "interval": f"{EVERY}s",
                "input_series": list(self._input()),
                "promql_expr_test": [
                    {"expr": FIRING, "eval_time": f"{second}s",
                     "exp_samples": [{"labels": _braced(labels.items()), "value": 1} for labels in fires]}
                    for second, fires in judged.items()
                ],
            }],
        }  # fmt: skip
        file = folder / "recorded.test.yaml"
        file.write_text(yaml.safe_dump(test, width=float("inf")))
        done = subprocess.run(["promtool", "test", "rules", file], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-6000:]
        return len(judged)

    def _input(self):
        """The input series. One that vanishes goes stale at once, as a scrape of Prometheus makes it."""
        for series in sorted({series for scrape in self.scrapes for series in scrape}):
            values, there = [], False
            for scrape in self.scrapes:
                value = scrape.get(series)
                values.append(repr(value) if value is not None else "stale" if there else "_")
                there = value is not None
            yield {"series": series[0] + _braced(series[1]), "values": " ".join(values)}


def _series(name, labels):
    # A label that is empty is none.
    return name, tuple(sorted((key, value) for key, value in labels.items() if value != ""))


def _braced(labels):
    def escaped(value):
        return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")

    return "{" + ",".join(f'{name}="{escaped(value)}"' for name, value in labels) + "}"
