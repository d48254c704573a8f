"""The sidecar beside real workers: they are killed, hang, are cut off, drain and end."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time

import pytest
from harness.exporter import BINARY
from harness.processes import WORKERS, free_port
from harness.sidecar import ALONE, COMMAND, Sidecar
from harness.temporal import TemporalServer
from harness.wait import hold, wait_for


def plain(*args):
    return [sys.executable, "-u", WORKERS / "plain_worker.py", *args]


def temporal_command(server, queue="orders", *more):
    return [sys.executable, "-u", WORKERS / "temporal_worker.py", "--address", server.address, "--queue", queue,
            "--heartbeat", 1, *more]  # fmt: skip


def at(server):
    return {"TEMPORAL_ADDRESS": server.address}


# The worker as a child.


def test_a_child_gets_its_signals_and_its_exit_code_is_ours(processes):
    sidecar = Sidecar(processes, command=plain("--leave-with", 7))
    sidecar.process.wait_output("working as", 10)
    for name in ("SIGHUP", "SIGUSR1", "SIGUSR2"):
        os.kill(sidecar.process.pid, getattr(signal, name))
        sidecar.process.wait_output(f"got {name}", 10)
    assert (sidecar.health, sidecar.ready) == (200, 200)
    os.kill(sidecar.process.pid, signal.SIGTERM)
    sidecar.process.wait_output("got SIGTERM", 10)
    assert sidecar.process.wait_gone(10) == 7
    # Once each: the child must not be told twice to leave.
    assert sidecar.process.output().count("got SIGTERM") == 1


def test_the_program_of_its_own_takes_the_same_flags_and_ends_the_same_way(processes, beat):
    sidecar = Sidecar(processes, "--start-grace", "1s", "--heartbeat-file", beat, command=plain("--beat", beat, "--leave-with", 7), program=ALONE)
    sidecar.wait(20, health=200, ready=200, heartbeat_file="ok", process="ok")
    sidecar.process.terminate()
    assert sidecar.process.wait_gone(10) == 7
    wrong = subprocess.run([*ALONE, "--heartbeat-file.interval", "5s"], capture_output=True, text=True, timeout=20, check=False)
    assert wrong.returncode == 2 and "--heartbeat-file" in wrong.stderr


def test_the_command_goes_on_as_the_small_program_where_that_lies_beside_it(processes, tmp_path):
    def runs_as(program):
        sidecar = Sidecar(processes, "--start-grace", "1s", command=plain("--leave-with", 7), program=program)
        # By then it listens for signals.
        sidecar.process.wait_output("working as", 10)
        sidecar.wait(20, health=200, ready=200, process="ok")
        name = os.readlink(f"/proc/{sidecar.process.pid}/exe")
        sidecar.process.terminate()
        assert sidecar.process.wait_gone(10) == 7
        return os.path.basename(name)

    assert runs_as(COMMAND) == "worker-exporter-sidecar"
    lonely = shutil.copy(BINARY, tmp_path)
    assert runs_as((lonely, "sidecar")) == "worker-exporter"


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSEGV])
def test_a_child_that_is_killed_ends_us_with_128_and_the_signal(processes, number):
    sidecar = Sidecar(processes, command=plain())
    os.kill(child_of(sidecar), number)
    assert sidecar.process.wait_gone(10) == 128 + number


def child_of(sidecar):
    def found():
        lines = [line for line in sidecar.process.output().splitlines() if line.startswith("working as ")]
        return lines and int(lines[0].removeprefix("working as "))

    return wait_for(found, 10, "the child to say its pid")


def test_who_loses_its_parent_is_reaped(processes):
    sidecar = Sidecar(processes, command=plain("--orphans", 5))
    wait_for(lambda: sidecar.process.output().count("orphan ") == 5, 10, "five orphans")
    orphans = [int(line.split()[1]) for line in sidecar.process.output().splitlines() if line.startswith("orphan ")]
    # A zombie would stay for as long as we do.
    wait_for(lambda: not any(os.path.exists(f"/proc/{pid}") for pid in orphans), 10, "the orphans to be reaped")
    assert sidecar.process.alive


def test_as_process_one_of_a_namespace_it_reaps_passes_on_and_ends_with_its_child(processes):
    unshared = ["unshare", "--pid", "--fork", "--mount-proc"]
    if subprocess.run([*unshared, "true"], capture_output=True, check=False).returncode != 0:
        pytest.skip("no PID namespace can be made here")
    sidecar = Sidecar(processes, command=plain("--orphans", 3, "--leave-with", 5), prefix=unshared)
    wait_for(lambda: sidecar.process.output().count("orphan ") == 3, 10, "three orphans")
    inside = int(subprocess.run(["pgrep", "-P", str(sidecar.process.pid)], capture_output=True, text=True, check=True).stdout)
    wait_for(lambda: len(children_of(inside)) == 1, 10, "the orphans to be reaped")
    os.kill(inside, signal.SIGTERM)
    assert sidecar.process.wait_gone(10) == 5


def children_of(pid):
    listed = subprocess.run(["pgrep", "-P", str(pid)], capture_output=True, text=True, check=False)
    return listed.stdout.split()


def test_a_child_that_hangs_is_not_alive_after_half_a_minute_and_alive_when_it_goes_on(processes):
    sidecar = Sidecar(processes, "--start-grace", "1s", command=plain())
    sidecar.wait(10, health=200, ready=200)
    child = child_of(sidecar)
    os.kill(child, signal.SIGSTOP)
    took = sidecar.wait(45, health=503, process="stopped")
    assert took > 25, "a debugger may hold it for a moment"
    assert sidecar.ask("/health")[1]["worker"] == "hung"
    os.kill(child, signal.SIGCONT)
    sidecar.wait(10, health=200, ready=200)


def test_a_child_that_drains_is_alive_and_not_ready(processes):
    sidecar = Sidecar(processes, "--start-grace", "1s", command=plain("--drain", 4))
    sidecar.process.wait_output("working as", 10)
    sidecar.wait(10, health=200, ready=200)
    os.kill(sidecar.process.pid, signal.SIGTERM)
    sidecar.wait(5, health=200, ready=503)
    status, body = sidecar.ask("/health")
    assert (status, body["status"], body["worker"]) == (200, "draining", "draining")
    assert sidecar.process.wait_gone(15) == 0


def test_a_command_that_cannot_be_started_is_an_error_that_says_so(tmp_path):
    for command, says in [("/no/such/worker", "No such file"), (str(tmp_path), "ermission denied")]:
        done = subprocess.run([BINARY, "sidecar", "--web.listen-address", "127.0.0.1:0", "--", command],
                              capture_output=True, text=True, timeout=20, check=False)  # fmt: skip
        assert done.returncode == 1, done.stderr
        assert command in done.stderr and says in done.stderr and "hint:" in done.stderr


# Wrong input.


@pytest.mark.parametrize(
    ("args", "says"),
    [
        ([], "needs evidence"),
        (["--redis.url", "redis://h"], "--redis.key"),
        (["--redis.key", "k"], "--redis.url"),
        (["--redis.url", "http://h", "--redis.key", "k"], "redis://127.0.0.1:6379/0"),
        (["--redis.url", "redis://u:secret@h", "--redis.key", "k"], "credentials do not belong"),
        (["--metrics.progress", "n"], "--metrics.url"),
        (["--metrics.url", "ftp://h"], "http://127.0.0.1:9000/metrics"),
        (["--metrics.url", "http://h", "--metrics.progress", "a-b"], "jobs_total"),
        (["--heartbeat-file", "f", "--start-grace", "5"], "no unit"),
        (["--heartbeat-file", "f", "--start-grace", "0s"], "longer than 0s"),
        (["--heartbeat-file", "f", "--web.listen-address", "8001"], "it has no port"),
        (["--heartbeat-file.interval", "5s"], "--heartbeat-file"),
        (["--process.pid-file", "f", "--process.match", "t"], "cannot be used with"),
        (["--process.match", "t", "--", "true"], "cannot be used with"),
        (["--temporal.pid", "first"], "--temporal.pid"),
        (["--worker", ""], "--worker"),
        (["--no-such-flag"], "--no-such-flag"),
    ],
)
def test_wrong_input_is_refused_with_its_reason(args, says):
    clean = {k: v for k, v in os.environ.items() if not k.startswith(("WORKER_EXPORTER_", "TEMPORAL_"))}
    done = subprocess.run([BINARY, "sidecar", *args], capture_output=True, text=True, timeout=20, env=clean, check=False)
    assert done.returncode == 2, done.stderr
    assert says in done.stderr


def test_a_port_that_is_taken_is_an_error_that_says_so(processes):
    first = Sidecar(processes, command=plain())
    address = first.url.removeprefix("http://")
    done = subprocess.run([BINARY, "sidecar", "--web.listen-address", address, "--", "true"],
                          capture_output=True, text=True, timeout=20, check=False)  # fmt: skip
    assert done.returncode == 1 and address in done.stderr and "hint:" in done.stderr


def test_only_the_two_paths_and_only_reading(processes):
    sidecar = Sidecar(processes, command=plain())
    assert sidecar.get("/")[0] == 404
    assert sidecar.get("/health", "POST")[0] == 405
    assert sidecar.get("/health", "HEAD") == (200, b"")


# A heartbeat file and a process, in the way of a container beside the worker's.


@pytest.fixture
def beat(tmp_path):
    return tmp_path / "beat"


def test_a_worker_that_is_killed_beside_us_is_not_alive_and_a_new_one_is(processes, beat, tmp_path):
    pid_file = tmp_path / "pid"
    line = plain("--beat", beat, "--pid-file", pid_file)
    worker = processes.start("plain", line)
    sidecar = Sidecar(processes, "--start-grace", "1s", "--heartbeat-file", beat, "--process.pid-file", pid_file)
    sidecar.wait(15, health=200, ready=200)
    worker.kill()
    sidecar.wait(10, health=503, ready=503, process="exited")
    processes.start("plain", line)
    sidecar.wait(15, health=200, ready=200)


def test_a_worker_that_hangs_beside_us_stops_beating_and_is_not_alive(processes, beat):
    worker = processes.start("plain", plain("--beat", beat))
    sidecar = Sidecar(processes, "--start-grace", "1s", "--heartbeat-file", beat, "--heartbeat-file.interval", "1s")
    sidecar.wait(15, health=200, ready=200)
    worker.stop()
    sidecar.wait(20, health=503, ready=503, heartbeat_file="stale")
    worker.go_on()
    sidecar.wait(10, health=200, ready=200)


def test_it_fails_open_for_its_start_grace_and_not_for_readiness(processes, beat):
    begun = time.monotonic()
    sidecar = Sidecar(processes, "--start-grace", "6s", "--heartbeat-file", beat)
    assert (sidecar.health, sidecar.ready) == (200, 503)
    assert sidecar.ask("/health")[1]["status"] == "starting"
    sidecar.wait(15, health=503, heartbeat_file="never_beat")
    assert time.monotonic() - begun > 5


@pytest.mark.parametrize("what", ["a pipe", "a folder", "a link to nothing", "a huge file", "the future"])
def test_what_lies_where_the_heartbeat_should_neither_hangs_nor_kills_us(processes, beat, what):
    if what == "a pipe":
        os.mkfifo(beat)
    elif what == "a folder":
        beat.mkdir()
    elif what == "a link to nothing":
        beat.symlink_to("nowhere")
    elif what == "a huge file":
        with open(beat, "wb") as file:
            file.truncate(1 << 40)
    else:
        beat.touch()
        os.utime(beat, (4e9, 4e9))
    sidecar = Sidecar(processes, "--start-grace", "1s", "--heartbeat-file", beat)

    def answers():
        begun = time.monotonic()
        assert sidecar.ready == 503, "first sight of anything is not a beat"
        assert time.monotonic() - begun < 1

    hold(answers, 3)
    assert sidecar.process.alive


def test_a_process_in_another_namespace_is_never_seen_and_convicts_nobody(processes):
    sidecar = Sidecar(processes, "--start-grace", "1s", "--process.match", "no process has this in its command line",
                      prefix=["env", "--unset=NOTHING"])  # fmt: skip
    sidecar.wait(10, health=200, ready=503, process="not_seen")
    hold(lambda: sidecar.wait(1, health=200, ready=503), 3)


def test_told_to_end_beside_a_worker_it_stays_until_the_worker_is_gone(processes, tmp_path):
    pid_file = tmp_path / "pid"
    worker = processes.start("plain", plain("--pid-file", pid_file, "--drain", 3))
    sidecar = Sidecar(processes, "--start-grace", "1s", "--process.pid-file", pid_file)
    sidecar.wait(10, health=200, ready=200)
    for process in (sidecar.process, worker):
        process.terminate()
    sidecar.wait(5, health=200, ready=503)
    worker.wait_gone(10)
    assert sidecar.process.wait_gone(10) == 0


@pytest.mark.slow(1)
def test_a_loop_that_hangs_behind_metrics_that_answer_makes_no_progress(processes):
    port = free_port()
    worker = processes.start("plain", plain("--metrics", port))
    url = f"http://127.0.0.1:{port}/metrics"
    sidecar = Sidecar(processes, "--start-grace", "1s", "--metrics.url", url, "--metrics.progress", "turns", "--metrics.limit", "15s")
    sidecar.wait(30, health=200, ready=200)
    worker.signal(signal.SIGUSR1)
    sidecar.wait(50, health=503, ready=503, metrics="no_progress")
    assert sidecar.ask("/health")[1]["worker"] == "hung"


def test_the_metrics_of_a_temporal_sdk_are_known_without_naming_a_counter(processes, temporal):
    target = f"127.0.0.1:{free_port()}"
    temporal.worker(metrics=target)
    sidecar = Sidecar(processes, "--start-grace", "1s", "--metrics.url", f"http://{target}/metrics", "--metrics.limit", "2m")
    sidecar.wait(30, health=200, ready=200, metrics="ok")
    # A worker that has nothing to do polls, and each poll that ends is progress.
    wait_for(lambda: "progress silent" in sidecar.detail("metrics"), 100, "the counter of long polls")
    temporal.run_workflows("wait", seconds=60)
    wait_for(lambda: sidecar.detail("metrics") == "busy", 30, "the slots in use")


def test_a_redis_key_is_for_readiness_alone(processes, redis_part):
    worker = redis_part.writer("w1")
    sidecar = Sidecar(processes, "--start-grace", "1s", "--redis.url", redis_part.url, "--redis.key", "worker:w1:heartbeat",
                      "--redis.interval", "1s")  # fmt: skip
    sidecar.wait(20, health=200, ready=200)
    worker.kill()
    sidecar.wait(30, health=200, ready=503)
    redis_part.kill()
    sidecar.wait(40, health=200, ready=503, redis="refused")


# A real Temporal worker.


def test_a_temporal_worker_is_ready_when_it_polls_and_draining_until_it_has_left(processes, temporal):
    command = temporal_command(temporal, "orders", "--grace", 30)
    sidecar = Sidecar(processes, "--temporal", "--task-queue", "orders", "--start-grace", "1s", command=command, env=at(temporal))
    assert sidecar.ready == 503, "nobody has seen it yet"
    sidecar.wait(40, health=200, ready=200)
    status, body = sidecar.ask("/ready")
    assert (body["status"], body["worker"], body["task_queue"]) == ("ready", "running", "orders")
    # A beat that comes late on a busy machine is a warning for a moment.
    passing = dict.fromkeys(("process", "temporal", "registered", "polling"), "pass")
    wait_for(lambda: {check["name"]: check["status"] for check in sidecar.ask("/ready")[1]["checks"]} == passing, 30, "every check to pass")
    ids = temporal.run_workflows("wait", seconds=6)
    wait_for(lambda: temporal.finished(ids) == 0 and "wait" in str(ids), 5, "the workflow to be there")
    os.kill(sidecar.process.pid, signal.SIGTERM)
    sidecar.wait(5, health=200, ready=503)
    assert sidecar.ask("/ready")[1]["status"] == "draining"
    assert sidecar.process.wait_gone(40) == 0


def test_a_goodbye_that_only_temporal_hears_is_a_drain(processes, temporal):
    worker = temporal.worker(identity="orders-1", grace=30)
    sidecar = Sidecar(processes, "--temporal.identity", "orders-1", "--start-grace", "1s", env=at(temporal))
    sidecar.wait(40, health=200, ready=200)
    worker.terminate()
    sidecar.wait(30, health=200, ready=503)
    assert sidecar.ask("/ready")[1]["status"] == "draining"


def test_a_killed_temporal_worker_is_not_ready_and_its_successor_is(processes, temporal):
    worker = temporal.worker(identity="orders-1")
    sidecar = Sidecar(processes, "--temporal.identity", "orders-1", "--task-queue", "orders", "--start-grace", "1s", env=at(temporal))
    sidecar.wait(40, health=200, ready=200)
    # The first beat of an SDK declares no interval, and the stock one would be waited for.
    wait_for(lambda: sidecar.detail("registered").endswith("limit 15 s"), 20, "the second beat")
    worker.kill()
    # Nothing local is known of it: its container would have ended with it.
    sidecar.wait(45, health=200, ready=503, registered="stale")
    worker.start()
    sidecar.wait(30, health=200, ready=200)


def test_a_hung_temporal_child_is_neither_ready_nor_alive(processes, temporal):
    sidecar = Sidecar(processes, "--temporal", "--start-grace", "1s", command=temporal_command(temporal), env=at(temporal))
    sidecar.wait(40, health=200, ready=200)
    worker = int(children_of(sidecar.process.pid)[0])
    os.kill(worker, signal.SIGSTOP)
    sidecar.wait(50, health=503, ready=503, process="stopped", registered="stale")
    os.kill(worker, signal.SIGCONT)
    sidecar.wait(60, health=200, ready=200)


@pytest.mark.slow(1)
def test_cut_off_from_temporal_it_is_alive_and_not_ready_and_ready_again(processes, network):
    server = TemporalServer(processes, host=network.outside)
    command = temporal_command(server)
    sidecar = Sidecar(processes, "--temporal", "--start-grace", "1s", command=command, env=at(server), prefix=network.prefix,
                      host=network.inside)  # fmt: skip
    # The cable carries our questions to the sidecar too, so it is asked from its own side.
    inside = Inside(network, sidecar)
    inside.wait(40, "/ready", 200)
    network.cut()
    inside.wait(90, "/ready", 503)
    hold(lambda: inside.wait(2, "/health", 200), 10, every=1)
    assert inside.reason("temporal") in ("timeout", "unreachable", "unavailable")
    network.mend()
    inside.wait(90, "/ready", 200)


class Inside:
    """Asks a sidecar from within its network."""

    def __init__(self, network, sidecar):
        self.network, self.sidecar = network, sidecar

    def ask(self, path):
        done = subprocess.run([*self.network.prefix, "curl", "-s", "-m", "4", "-w", "\n%{http_code}", self.sidecar.url + path],
                              capture_output=True, text=True, check=False)  # fmt: skip
        body, _, status = done.stdout.rpartition("\n")
        return int(status or 0), json.loads(body or "{}")

    def reason(self, check):
        return {one["name"]: one["reason"] for one in self.ask("/ready")[1]["checks"]}[check]

    def wait(self, within, path, status):
        wait_for(lambda: self.ask(path)[0] == status, within, f"{path} to answer {status}", every=0.5)


def test_a_full_temporal_worker_is_alive_and_ready(processes, temporal):
    command = temporal_command(temporal, "orders", "--activities", 1)
    sidecar = Sidecar(processes, "--temporal", "--start-grace", "1s", command=command, env=at(temporal))
    sidecar.wait(40, health=200, ready=200)
    temporal.run_workflows("wait", seconds=60, count=3)
    sidecar.wait(30, ready=200, polling="full")
    hold(lambda: sidecar.wait(1, health=200, ready=200), 8)


def test_a_temporal_that_is_away_at_the_start_keeps_it_from_being_ready_and_alive_it_is(processes):
    env = {"TEMPORAL_ADDRESS": "127.0.0.1:1"}
    sidecar = Sidecar(processes, "--temporal", "--start-grace", "1s", command=plain(), env=env)
    sidecar.wait(10, health=200, ready=503, temporal="refused")


def test_a_namespace_that_is_not_there_says_so(processes, temporal):
    env = {**at(temporal), "TEMPORAL_NAMESPACE": "nowhere"}
    sidecar = Sidecar(processes, "--temporal", "--start-grace", "1s", command=plain(), env=env)
    sidecar.wait(10, health=200, ready=503, temporal="not_found")
