"""GPUs, through NVIDIA's library as it is loaded at run time: a STAND-IN for it, since no GPU is here and none hangs when told to."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest
from harness.config import config, process
from harness.processes import WORKERS
from harness.wait import hold, wait_for


@pytest.fixture
def library(tmp_path):
    """A folder with a libnvidia-ml.so.1."""
    compiler = shutil.which("cc") or pytest.skip("no C compiler for the stand-in of the library")
    target = tmp_path / "libnvidia-ml.so.1"
    subprocess.run([compiler, "-shared", "-fPIC", "-O1", "-Wall", "-Werror", "-o", target, WORKERS / "stand_in_nvml.c"], check=True)
    return tmp_path


def figures(watched):
    return [watched.sample(f"worker_gpu_{name}_ratio", worker="model") for name in ("utilization", "memory_usage")]


def test_a_worker_has_its_share_of_the_busiest_gpu_and_the_fullest_and_a_driver_that_hangs_takes_nothing_else(processes, exporter, library):
    worker = processes.python("worker", "process_worker.py").wait_output("working", 20)
    hangs = library / "hangs"
    env = {"LD_LIBRARY_PATH": str(library), "NVML_PID": str(worker.pid), "NVML_HANGS": str(hangs)}
    watched = exporter(config(process({"id": "model", "pid": worker.pid})), env=env)
    wait_for(lambda: figures(watched) == [0.25, 0.8], 30, "a quarter of device 0, and the slice of device 1 four fifths full")
    notes = "\n".join(watched.worker("model")["notes"])
    assert "GPU 0 (Stand-in 0): busy 60 %, its share 25 %, memory 25 % full, its own 2048 MiB" in notes
    assert "GPU 1/0 (Stand-in 2): memory 80 % full, its own 2048 MiB" in notes

    hangs.touch()
    wait_for(lambda: figures(watched) == [None, None], 20, "the figures of the GPU to be no longer known")
    wait_for(lambda: (watched.sample("worker_exporter_source_errors_total", source="host", reason="timeout") or 0) >= 2, 20, "the failure to be counted")
    looks = watched.sample("worker_exporter_source_requests_total", source="host")
    hold(lambda: watched.state("model") == "healthy" or pytest.fail(watched.story()), 6)
    assert watched.sample("worker_exporter_source_requests_total", source="host") > looks, "looks go on"
    assert watched.sample("worker_memory_bytes", worker="model") > 0
    tasks = Path(f"/proc/{watched.process.pid}/task")
    threads = [(task / "comm").read_text().strip() for task in tasks.iterdir()]
    assert threads.count("aside") <= 2, f"one that is stuck, and one that may be looking: {threads}"

    hangs.unlink()
    wait_for(lambda: figures(watched) == [0.25, 0.8], 30, "the driver to be back")
    watched.assert_never("down", "degraded", "unknown")


def test_a_machine_without_the_library_works_and_says_so_once(processes, exporter, tmp_path):
    worker = processes.python("worker", "process_worker.py").wait_output("working", 20)
    watched = exporter(config(process({"id": "model", "pid": worker.pid})), env={"LD_LIBRARY_PATH": str(tmp_path)})
    watched.wait_state("model", "healthy", 20)
    if os.path.exists("/dev/nvidiactl"):
        pytest.skip("this machine has the library")
    assert figures(watched) == [None, None]
    assert watched.sample("worker_exporter_source_errors_total", source="host", reason="timeout") in (None, 0)
    told = [entry for entry in watched.log() if "GPUs are not read" in entry.get("message", "")]
    assert len(told) == 1, told
