"""Pictures of the dashboards, for people who have not opened them yet: `make previews`.

Nothing here is invented: the demo, a real Temporal server with real workers and a real Prometheus with the shipped alerts run
for a while; the results of every query are recorded; a page of our own draws them, and Chromium takes its picture. It is not
Grafana that draws, so these are previews, and say so."""

import argparse
import json
import re
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests" / "real"))

import png  # noqa: E402 - ours, beside this file
from harness.exporter import Exporter  # noqa: E402 - the harness of the tests is not a package of ours
from harness.grafana import Asked, dashboards, panels  # noqa: E402
from harness.processes import Processes, free_port  # noqa: E402
from harness.showcase import Showcase  # noqa: E402
from harness.temporal import TemporalServer  # noqa: E402
from harness.wait import wait_for  # noqa: E402

HERE = Path(__file__).parent
PICTURES = ROOT / "docs" / "dashboards"
WIDTH = 1280
# Of what is recorded, this many points stand on a panel.
POINTS = 150
# What a person chose: where nothing stands here, everything.
CHOSEN = {"worker": {"fleet": "default/orders", "worker": "anna"}}


class RecordedBy:
    """A Prometheus that scrapes both exporters and evaluates the shipped alerts."""

    def __init__(self, processes, exporters):
        self.port = free_port()
        folder = processes.folder / "prometheus"
        folder.mkdir()
        # YAML reads JSON.
        (folder / "prometheus.yml").write_text(json.dumps({
            "global": {"scrape_interval": "2s", "scrape_timeout": "1s", "evaluation_interval": "5s"},
            "rule_files": [str(ROOT / "alerts" / "plain" / "*.yaml")],
            "scrape_configs": [{"job_name": "worker-exporter", "static_configs": [{"targets": exporters}]}],
        }))  # fmt: skip
        processes.start("prometheus", ["prometheus", f"--config.file={folder}/prometheus.yml", f"--storage.tsdb.path={folder}/data",
                                       f"--web.listen-address=127.0.0.1:{self.port}"])  # fmt: skip


def record(folder, minutes):
    """Lets everything run, and writes what each dashboard asked into the folder."""
    processes = Processes(folder)
    showcase = None
    try:
        temporal = TemporalServer(processes)
        showcase = Showcase(temporal, lambda *given, **named: Exporter(processes, *given, **named))
        server = RecordedBy(processes, list(showcase.jobs.values()))
        begun = time.time()

        def until(share):
            wait_for(lambda: time.time() > begun + minutes * 60 * share, minutes * 60 + 60, f"{share} of the time", every=1)

        until(0.35)
        showcase.lose()
        until(0.6)
        showcase.pause()
        until(0.65)
        showcase.go_on()
        until(1)
        end = int(time.time())
        # The first seconds show how everything starts, not how it is.
        span = int(end - begun) - 60
        step = max(span // POINTS, 2)
        for name, dashboard in dashboards().items():
            asked = Asked(dashboard, server, CHOSEN.get(name), span=span, rate="20s", step=step)
            results = {
                f"{panel['id']}{target['refId']}": asked.result(target, end) for panel in panels(dashboard) for target in panel.get("targets", ())
            }
            marks = [{"color": one["iconColor"], "series": asked.range(asked.put_in(one["expr"]), end)} for one in dashboard["annotations"]["list"]]
            alerts = asked.instant('ALERTS{escalate!="true", severity!="none"}', end)
            recorded = {"start": end - span, "end": end, "step": step, "results": results, "marks": marks, "alerts": alerts, "values": asked.shown()}
            (folder / f"{name}.json").write_text(json.dumps({"dashboard": dashboard, **recorded}))
    finally:
        if showcase:
            showcase.end()
        processes.end()


def draw(folder):
    """One picture of each recording."""
    PICTURES.mkdir(parents=True, exist_ok=True)
    page = (HERE / "page.html").read_text()
    for recorded in sorted(folder.glob("*.json")):
        data = json.loads(recorded.read_text())
        height = 90 + max(one["gridPos"]["y"] + one["gridPos"]["h"] for one in data["dashboard"]["panels"]) * 34
        drawn = folder / f"{recorded.stem}.html"
        # A closing tag inside of a string would end the script.
        drawn.write_text(page.replace("/*RECORDED*/null", json.dumps(data).replace("</", "<\\/")))
        picture = PICTURES / f"{recorded.stem}.png"
        chromium = [shutil.which("chromium") or "chromium", "--headless", "--no-sandbox", "--hide-scrollbars", "--disable-gpu", f"--window-size={WIDTH},{height}",
                    "--virtual-time-budget=3000", f"--screenshot={picture}", drawn.as_uri()]  # fmt: skip
        subprocess.run(chromium, check=True, capture_output=True, timeout=60)
        picture.write_bytes(png.smaller(picture.read_bytes()))
        print(f"{picture.relative_to(ROOT)}: {picture.stat().st_size // 1024} KiB")


def main():
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--minutes", type=float, default=20, help="how long everything runs before its picture is taken")
    options.add_argument("--keep", type=Path, help="keep the recordings in this folder; if it holds some, draw those")
    given = options.parse_args()
    with tempfile.TemporaryDirectory() as made:
        folder = given.keep or Path(made)
        folder.mkdir(parents=True, exist_ok=True)
        if not any(re.fullmatch(r".+\.json", file.name) for file in folder.iterdir()):
            record(folder, given.minutes)
        draw(folder)


main()
