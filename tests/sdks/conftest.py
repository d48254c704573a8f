"""The stage of the matrix: everything starts with the first test, and each test waits for its cell."""

import os
from pathlib import Path

import pytest
from harness.exporter import BINARY
from harness.processes import REPOSITORY
from matrix import Cell, Matrix, report
from sdk import SDKS

BEHAVIOURS = ("registered", "killed", "restarted", "stopped", "blocked", "full", "idle", "activities")
LOG = Path(os.environ.get("SDKS_LOG") or REPOSITORY / ".parts" / "log")

CELLS = [Cell(sdk, behaviour, heartbeat) for sdk in SDKS for heartbeat in ("1", "stock") for behaviour in BEHAVIOURS]
CELLS += [Cell(sdk, "killed", "off") for sdk in SDKS]
# Where the script of the worker brings suppliers of slots of its own.
CELLS += [Cell(sdk, "unbounded", "1") for sdk in ("go", "java")]


@pytest.fixture(scope="session")
def matrix(request, tmp_path_factory):
    if not os.path.exists(BINARY):
        pytest.fail(f"{BINARY} is not built: run `cargo build --bins`, or `make test-sdks`")
    of_cells = [item.callspec for item in request.session.items if hasattr(item, "callspec")]
    wanted = {made.params["cell"] for made in of_cells if "cell" in made.params}
    # `idle` plays both.
    wanted |= {Cell(cell.sdk, "idle", cell.heartbeat) for cell in wanted if cell.behaviour == "registered"}
    wanted |= {Cell(cell.sdk, "registered", cell.heartbeat) for cell in wanted if cell.behaviour == "idle"}
    cells = [cell for cell in CELLS if cell in wanted and SDKS[cell.sdk].missing is None]
    made = Matrix(tmp_path_factory.mktemp("matrix"), SDKS, cells)
    yield made
    table, lines = report(made.results)
    LOG.mkdir(parents=True, exist_ok=True)
    (LOG / "sdks.md").write_text(table)
    (LOG / "sdks.jsonl").write_text(lines)
    made.end()


def pytest_terminal_summary(terminalreporter):
    table = LOG / "sdks.md"
    if table.exists():
        terminalreporter.write_sep("-", f"the matrix, also in {table}")
        terminalreporter.write(table.read_text())
