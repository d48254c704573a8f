"""Writes the dashboards: `python3 tools/dashboards` (or `make dashboards`). With a folder as argument, writes them there."""

import json
import sys
from pathlib import Path

import exporter
import fleet
import queues
import slo
import worker

DASHBOARDS = {"fleet-overview": fleet, "worker": worker, "task-queues": queues, "slo": slo, "exporter": exporter}


def main(folder):
    folder.mkdir(parents=True, exist_ok=True)
    for name, module in DASHBOARDS.items():
        written = json.dumps(module.make(), indent=2, ensure_ascii=False) + "\n"
        (folder / f"{name}.json").write_text(written)


main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parents[2] / "dashboards")
