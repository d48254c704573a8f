"""Real workers of four SDKs on a real server: what is seen of each, whatever it does. docs/temporal.md has the table."""

import pytest
from conftest import CELLS
from sdk import SDKS

# The right answer to each behaviour.
RIGHT = {
    "registered": "healthy",
    "killed": "down",
    "restarted": "healthy",
    "stopped": "draining",
    "blocked": "stuck",
    "unbounded": "stuck",
    "full": "healthy",
    "activities": "healthy",
    "idle": "healthy",
}


@pytest.mark.parametrize("cell", CELLS, ids=str)
def test_what_is_seen_of_a_worker_is_right_in_every_sdk_at_every_heartbeat(cell, request):
    if (missing := SDKS[cell.sdk].missing) is not None:
        pytest.skip(missing)
    seen = request.getfixturevalue("matrix").results[cell].result(timeout=2300)
    # Without heartbeats a killed worker cannot be told from a full one, and must not be called down.
    right = "unknown" if cell.heartbeat == "off" else RIGHT[cell.behaviour]
    assert seen.state == right, seen
    if right == "unknown":
        assert seen.reason == "full_or_gone", seen
    if right == "down":
        assert seen.reason == "stale", seen
