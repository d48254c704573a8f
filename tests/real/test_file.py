"""Workers without a port, and the files that they touch."""

import os
import time

import pytest
from harness.config import config

# A file does not say how often it is touched; the fleet's owner does.
KNOWN = {"name": "beats", "heartbeat_interval": "1s"}


@pytest.fixture
def worker(processes, tmp_path):
    folder = tmp_path / "beats"
    folder.mkdir()

    def start(name, how="touch", every=1.0):
        return processes.python(f"file-{name}", "file_worker.py", folder / f"{name}.beat", every, how)

    start.folder = folder
    return start


def files(worker, **keys):
    pattern = {"paths": [str(worker.folder / "{id}.beat")]}
    return {"name": "files", "kind": "file", "fleet": "beats", "timeout": "1s", "maximum_interval": "2s", **pattern, **keys}


def test_touched_or_written_it_beats_and_killed_it_is_down_and_back_it_is_healthy(worker, exporter):
    workers = {name: worker(name, how=name) for name in ("touch", "write", "iso")}
    watched = exporter(config(files(worker), fleets=[KNOWN]))
    watched.wait_all("healthy", 3, 30)

    workers["touch"].kill()
    workers["iso"].stop()
    watched.wait_states({"touch": "down", "iso": "down", "write": "healthy"}, 20)
    worker("touch")
    workers["iso"].go_on()
    watched.wait_all("healthy", 3, 30)
    watched.assert_never("down", workers={"write"})


def test_a_file_that_its_worker_removes_is_a_goodbye_and_a_named_worker_without_its_file_is_down(worker, exporter):
    tidy, named = worker("tidy"), worker("named")
    entries = [{"id": "named", "path": str(worker.folder / "named.beat")}, {"id": "never", "path": "/nowhere/at/all"}]
    fleet = {**KNOWN, "start_grace": "5s"}
    watched = exporter(config(files(worker, files=entries), fleets=[fleet]))
    watched.wait_states({"tidy": "healthy", "named": "healthy", "never": "down"}, 30)
    assert watched.reason("never") == "never_beat"

    tidy.terminate()
    named.terminate()
    watched.wait_states({"named": "down", "never": "down"}, 20)
    watched.assert_never("down", "stuck", workers={"tidy"})


def test_a_folder_that_is_away_convicts_nobody(worker, exporter):
    for name in ("anna", "boris"):
        worker(name)
    watched = exporter(config(files(worker), fleets=[KNOWN]))
    watched.wait_all("healthy", 2, 30)

    # As an unmounted volume would: the workers go on elsewhere.
    away = worker.folder.with_name("away")
    worker.folder.rename(away)
    watched.wait_sample("worker_exporter_source_failure", 1, source="files", kind="file", reason="not_found")
    watched.wait_states({"anna": "unknown", "boris": "unknown"}, 20)
    watched.hold_states({"anna": "unknown", "boris": "unknown"}, 10)
    away.rename(worker.folder)
    for name in ("anna", "boris"):
        worker(name)
    watched.wait_all("healthy", 2, 30)
    watched.assert_never("down", "stuck")


def test_pipes_devices_and_times_of_the_future_hang_nothing_and_judge_nobody(worker, exporter):
    worker("anna")
    os.mkfifo(worker.folder / "pipe.beat")
    (worker.folder / "device.beat").symlink_to("/dev/zero")
    (worker.folder / "shadow.beat").symlink_to("/etc/shadow")
    # A worker whose clock is a year ahead beats like any other, and stands still like any other.
    future = time.time() + 365 * 86400
    ahead = worker.folder / "ahead.beat"
    ahead.touch()
    os.utime(ahead, (future, future))
    watched = exporter(config(files(worker), fleets=[KNOWN]))
    watched.wait_states({"anna": "healthy", "ahead": "starting"}, 20)
    for turn in range(1, 9):
        os.utime(ahead, (future + turn, future + turn))
        watched.hold_states({"anna": "healthy"}, 1)
    assert watched.state("ahead") == "healthy", watched.story()
    watched.wait_state("ahead", "down", 20, reason="stale")
    assert watched.sample("worker_exporter_source_errors_total", source="files", reason="wrong_type") > 0
    watched.assert_never("down", workers={"anna"})
