"""Processes of this host, in control groups of a real kernel."""

import os
import shutil
import signal
import subprocess
import tempfile
from pathlib import Path

import pytest
from harness.cgroups import Group, GroupsRefused
from harness.config import config, process, temporal as registry
from harness.exporter import BINARY
from harness.wait import wait_for


@pytest.fixture
def group():
    """Makes control groups: `group("mail", memory=64 << 20, cores=0.1)`."""
    made = []

    def make(path, **limits):
        try:
            made.append(Group(f"{path}-{os.getpid()}.service", **limits))
        except GroupsRefused as refused:
            pytest.skip(f"no control group of version 1 can be made here (needs root): {refused}")
        return made[-1]

    yield make
    for one in made:
        one.remove()


@pytest.fixture
def worker(processes, tmp_path):
    """Starts a worker that writes a pid file, again and again."""

    class Worker:
        file = tmp_path / "mail.pid"

        def start(self):
            self.process = processes.python("worker", "process_worker.py").wait_output("working", 20)
            self.file.write_text(f"{self.process.pid}\n")
            return self

        def __getattr__(self, name):
            return getattr(self.process, name)

    return Worker().start()


def test_a_process_by_its_pid_file_dies_comes_back_and_is_restarted_at_once(worker, exporter):
    watched = exporter(config(process({"id": "mail-1", "pid_file": str(worker.file)})))
    watched.wait_state("mail-1", "healthy", 20)
    seen = watched.worker("mail-1")
    assert seen["info"]["pid"] == str(worker.pid)
    assert abs(watched.sample("worker_start_time_seconds", worker="mail-1") - worker.file.stat().st_mtime) < 20
    assert watched.sample("worker_memory_bytes", worker="mail-1") > 1 << 20
    assert 0 <= watched.sample("worker_disk_usage_ratio", worker="mail-1") <= 1
    assert watched.sample("worker_gpu_utilization_ratio", worker="mail-1") is None

    worker.kill()
    watched.wait_state("mail-1", "down", 15, reason="exited")
    worker.start()
    watched.wait_state("mail-1", "healthy", 20)
    assert watched.sample("worker_restarts_total", worker="mail-1") == 1

    worker.kill()
    worker.start()
    # Alive again. This is its fifth change within ten minutes (that it was found is none), and more than four are flapping.
    watched.wait_state("mail-1", "degraded", 20, reason="flapping")
    assert watched.sample("worker_restarts_total", worker="mail-1") == 2
    life = ["starting", "healthy", "down", "starting", "healthy", "starting", "degraded"]
    assert watched.changes_of("mail-1") == life, watched.story()


def test_a_stopped_process_warns_and_is_well_again_when_it_goes_on(worker, exporter):
    watched = exporter(config(process({"id": "mail-1", "pid": worker.pid})))
    watched.wait_state("mail-1", "healthy", 20)

    worker.stop()
    wait_for(lambda: watched.worker("mail-1")["status"] == "warning", 15, "a warning")
    assert any("stopped by a signal" in issue for issue in watched.worker("mail-1")["issues"])
    worker.go_on()
    wait_for(lambda: watched.worker("mail-1")["status"] == "healthy", 15, "no warning")
    watched.assert_never("down")


def test_processes_of_one_name_are_as_many_workers_as_are_asked_for_and_each_keeps_its_place(processes, exporter):
    mark = f"mark-{os.getpid()}"
    started = [processes.python("worker", "process_worker.py", mark).wait_output("working", 20) for _ in range(2)]
    entry = {"id": "mail", "name": "python*", "args": f"process_worker.py {mark}", "instances": 2}
    watched = exporter(config(process(entry)))
    watched.wait_states({"mail": "healthy", "mail~2": "healthy"}, 20)
    pids = {name: watched.worker(name)["info"]["pid"] for name in ("mail", "mail~2")}
    assert sorted(pids.values()) == sorted(str(one.pid) for one in started)

    first = next(one for one in started if str(one.pid) == pids["mail"])
    first.kill()
    watched.wait_states({"mail": "down", "mail~2": "healthy"}, 15)
    processes.python("worker", "process_worker.py", mark).wait_output("working", 20)
    watched.wait_states({"mail": "healthy", "mail~2": "healthy"}, 20)
    assert watched.worker("mail~2")["info"]["pid"] == pids["mail~2"]


def test_a_worker_that_the_kernel_kills_for_memory_in_its_control_group_is_oom_killed(processes, group, exporter):
    limit = 64 << 20
    made = group("we-memory", memory=limit)
    grouped = made.start(processes)
    watched = exporter(config(process({"id": "mail-1", "pid": grouped.pid})))
    watched.wait_state("mail-1", "healthy", 20)
    assert watched.sample("worker_memory_limit_bytes", worker="mail-1") == limit
    assert 0 < watched.sample("worker_memory_bytes", worker="mail-1") < limit

    grouped.signal(signal.SIGUSR1)
    assert grouped.wait_gone(30) == -signal.SIGKILL, "by the kernel"
    watched.wait_state("mail-1", "down", 15, reason="oom_killed")


def test_a_unit_is_its_control_group_with_the_memory_and_cpu_of_all_of_it_against_its_limits(processes, group, exporter):
    made = group("system.slice/we-unit", memory=128 << 20, cores=0.1)
    unit = Path(made.path).name
    grouped = made.start(processes)
    by_path = {"id": "path", "cgroup": f"/{made.path}"}
    watched = exporter(config(process({"id": "unit", "systemd_unit": unit.removesuffix(".service")}, by_path)))
    watched.wait_states({"unit": "healthy", "path": "healthy"}, 20)
    for name in ("unit", "path"):
        assert watched.worker(name)["info"]["pid"] == str(grouped.pid)
        assert watched.sample("worker_memory_limit_bytes", worker=name) == 128 << 20
        assert any("CPU is of 0.10 cores" in note for note in watched.worker(name)["notes"])

    grouped.signal(signal.SIGUSR2)
    for name in ("unit", "path"):
        # A tenth of a core, all of which it uses.
        wait_for(lambda name=name: 0.5 < (watched.sample("worker_cpu_usage_ratio", worker=name) or 0) < 1.5, 30, "its whole quota in use")
    grouped.kill()
    watched.wait_states({"unit": "down", "path": "down"}, 15)
    assert {watched.reason("unit"), watched.reason("path")} == {"exited"}


def test_a_temporal_worker_of_this_host_is_one_worker_with_its_own_memory_and_its_death_is_known_at_once(temporal, exporter):
    worker = temporal.worker(identity="anna")
    here = process({"id": "anna-here", "pid": worker.pid}, match="host_pid")
    watched = exporter(config(registry(temporal, match="host_pid"), here))
    wait_for(lambda: len(watched.workers()) == 1 and len(watched.worker("anna-here")["sources"]) == 2, 40, "one worker of two sources")
    watched.wait_state("anna-here", "healthy", 30)
    assert watched.sample("worker_memory_bytes", worker="anna-here") > 10 << 20
    assert watched.sample("worker_host_memory_usage_ratio", worker="anna-here") is not None

    worker.kill()
    watched.wait_state("anna-here", "down", 10, reason="exited")


def test_a_process_that_is_hidden_from_us_is_our_failure_and_nobodys_death(worker):
    if os.geteuid() != 0 or not shutil.which("unshare") or not shutil.which("setpriv"):
        pytest.skip("to hide processes one must be root, with unshare and setpriv")
    with tempfile.TemporaryDirectory() as folder:
        # Somebody without any right must be able to read it.
        os.chmod(folder, 0o755)
        file = Path(folder) / "exporter.yaml"
        file.write_text(config(process({"id": "mail-1", "pid": worker.pid}, {"id": "mail-2", "name": "python*", "args": "process_worker"})))
        exporter = shutil.copy(BINARY, folder)
        hidden = "mount -t proc -o hidepid=2 proc /proc && exec setpriv --reuid 65534 --regid 65534 --clear-groups "
        for name in ("mail-1", "mail-2"):
            command = ["unshare", "--mount", "sh", "-c", hidden + f"'{exporter}' probe {name} --config.file '{file}'"]
            done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
            if "mount" in done.stderr and "denied" in done.stderr:
                pytest.skip(f"/proc cannot be mounted anew: {done.stderr}")
            told = done.stdout + done.stderr
            assert "permission_denied" in told or "misconfigured" in told, told
            assert "down" not in told.split("evidence")[0], told


def test_probe_tells_what_a_process_uses_of_what_it_may(worker, exporter):
    watched = exporter(config(process({"id": "mail-1", "pid_file": str(worker.file)})))
    command = [BINARY, "probe", "mail-1", "--explain", "--config.file", watched.file]
    told = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False).stdout
    for part in (f"process {worker.pid} (", "memory ", "disk ", "CPU is of", "started ", "process           pass", "down when it is gone"):
        assert part in told, f"{part!r} is not in\n{told}"
