"""Real RQ workers on a real Redis."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from harness.config import config
from harness.processes import WORKERS
from harness.wait import wait_for
from redis import Redis
from rq import Queue
from rq.job import JobStatus

# `worker_ttl` 20: an idle worker beats each 5 s, and its key expires after 80. RQ's own default is 420 and 405.
TTL = 20


class Rq:
    """Workers and jobs on one Redis."""

    def __init__(self, processes, server):
        self.processes, self.server = processes, server
        self.connection = Redis.from_url(server.url)
        self.jobs = []

    def worker(self, name, ttl=TTL, monitoring=5, queues=("mail",)):
        """A process whose children, the horses, have process groups of their own."""
        env = {"PYTHONPATH": str(WORKERS)}
        return self.processes.python(
            f"rq-{name}", "rq_worker.py", self.server.url, name, ttl, monitoring, *queues, env=env
        )

    def put(self, job, *args, queue="mail", **options):
        self.jobs.append(Queue(queue, connection=self.connection).enqueue(f"rq_jobs.{job}", args=args, **options))
        return self.jobs[-1]

    def source(self, **keys):
        where = {"kind": "rq", "address": self.server.url, "fleet": "mailers"}
        return {"name": "rq", **where, "timeout": "1s", "maximum_interval": "2s", **keys}

    def wait_idle(self, name):
        """Until it waits for work. An empty queue does not say so: RQ takes a job before it calls itself busy."""

        def idle():
            done = all(job.get_status() in (JobStatus.FINISHED, JobStatus.FAILED) for job in self.jobs)
            return done and self.connection.hget(f"rq:worker:{name}", "state") == b"idle"

        wait_for(idle, 20, f"{name} to be idle")


@pytest.fixture
def rq(processes, redis_part):
    return Rq(processes, redis_part)


def horse_of(worker):
    """The process that runs the job."""

    def child():
        found = subprocess.run(["ps", "-o", "pid=", "--ppid", str(worker.pid)], capture_output=True, text=True).stdout.split()
        return found and int(found[0])

    return wait_for(child, 15, "the horse")


def beats_once(rq, watched, name):
    """Lets it work until the exporter saw a beat: an idle worker with RQ's own interval has the next one in 405 s."""
    wait_for(lambda: watched.state(name), 40, f"{name} to be found")

    def healthy():
        rq.put("nothing")
        return watched.state(name) == "healthy"

    wait_for(healthy, 30, f"{name} to be healthy", every=1)


def held(watched, queue="mail"):
    """What the exporter says of a queue."""
    known = {q["task_queue"]: q for q in watched.get("/health/queues").json["queues"]}
    return known.get(queue) or {}


def test_workers_show_their_jobs_and_queues_and_a_killed_one_is_down_once_its_key_expired(rq, exporter):
    workers = {name: rq.worker(name) for name in ("anna", "boris")}
    watched = exporter(config(rq.source()))
    watched.wait_states({"anna": "healthy", "boris": "healthy"}, 40)
    anna = watched.worker("anna")
    assert anna["heartbeat_interval_seconds"] == pytest.approx(5, abs=1.5), "worker_ttl - 15, read from its key's expiry"

    for _ in range(4):
        rq.put("nothing")
    rq.put("fails")

    def done(counter):
        return sum(worker["metrics"].get(counter, 0) for worker in watched.workers().values())

    wait_for(lambda: (done("tasks_total"), done("tasks_failed")) == (5, 1), 30, "five jobs, of which one failed")
    wait_for(lambda: held(watched)["backlog_tasks"] == 0, 20, "an empty queue")

    workers["boris"].kill()
    watched.wait_state("boris", "down", 60)
    watched.assert_never("down", workers={"anna"})


def test_a_worker_that_ends_cleanly_leaves_and_one_of_its_name_comes_back_healthy(rq, exporter):
    worker = rq.worker("anna")
    watched = exporter(config(rq.source()))
    watched.wait_state("anna", "healthy", 40)
    worker.terminate()
    worker.wait_gone()
    watched.wait_state("anna", "draining", 15)
    rq.worker("anna")
    watched.wait_state("anna", "healthy", 40)
    watched.assert_never("down", "stuck")
    assert watched.worker("anna")["restarts"] == 1


def test_a_killed_worker_without_a_name_that_is_started_anew_is_one_worker_and_never_down(rq, exporter):
    worker = rq.worker("")
    watched = exporter(config(rq.source()))
    host = os.uname().nodename
    watched.wait_state(host, "healthy", 40)
    worker.kill()
    rq.worker("")
    wait_for(lambda: watched.worker(host)["restarts"] == 1, 60, "the new one to take its place")
    watched.wait_state(host, "healthy", 30)
    assert set(watched.states()) == {host}, watched.story()
    watched.assert_never("down")


@pytest.mark.slow(2)
def test_an_idle_worker_that_is_stopped_while_work_waits_is_stuck_before_its_heartbeat_tells(rq, exporter):
    # RQ's own default: the next beat is due in 405 s, and the key lives for 480.
    worker = rq.worker("anna", ttl=420)
    watched = exporter(config(rq.source()))
    beats_once(rq, watched, "anna")
    rq.wait_idle("anna")
    worker.stop()
    # The first is handed to the stopped worker's open connection; the others wait.
    for _ in range(3):
        rq.put("nothing")
    watched.wait_state("anna", "stuck", 170, reason="no_progress")
    queue = held(watched)
    assert queue["waiting"] and queue["backlog_tasks"] >= 2 and queue["backlog_age_seconds"] > 60, queue

    worker.go_on()
    watched.wait_state("anna", "healthy", 40)
    watched.assert_never("down")


@pytest.mark.slow(2)
def test_a_worker_whose_horse_is_stopped_is_stuck_once_the_job_has_outlived_its_own_timeout(rq, exporter):
    worker = rq.worker("anna", ttl=420, monitoring=5)
    watched = exporter(config(rq.source()))
    beats_once(rq, watched, "anna")
    rq.wait_idle("anna")
    job = rq.put("takes", 600, job_timeout=5)
    wait_for(lambda: job.get_status() == "started", 20, "the job to be started")
    horse = horse_of(worker)
    os.kill(horse, signal.SIGSTOP)
    # The worker goes on beating for it, as RQ means it to: presence is not progress.
    watched.wait_state("anna", "stuck", 60, reason="overdue")
    assert watched.worker("anna")["metrics"]["in_flight"] == 1
    watched.assert_never("down")

    # RQ itself kills the horse 60 s after the timeout, and the worker takes work again.
    rq.put("nothing")
    watched.wait_state("anna", "healthy", 90)


def test_a_busy_worker_is_healthy_and_a_suspended_one_is_draining(rq, exporter):
    rq.worker("anna", ttl=420)
    watched = exporter(config(rq.source()))
    beats_once(rq, watched, "anna")
    rq.put("takes", 20, job_timeout=300)
    wait_for(lambda: watched.worker("anna")["metrics"].get("in_flight") == 1, 20, "the job to be seen")
    watched.hold_states({"anna": "healthy"}, 10)
    rq.connection.set("rq:suspended", 1)
    watched.wait_state("anna", "draining", 40)
    rq.connection.delete("rq:suspended")
    watched.wait_state("anna", "healthy", 30)
    watched.assert_never("down", "stuck")


def test_a_redis_that_comes_back_empty_makes_no_worker_down(rq, exporter):
    rq.worker("anna")
    watched = exporter(config(rq.source()))
    watched.wait_state("anna", "healthy", 40)
    rq.connection.flushall()
    # Its next beat writes a hash that no index names any more; it is known by its name.
    wait_for(lambda: watched.state("anna") == "healthy" and rq.connection.exists("rq:worker:anna"), 30, "the next beat")
    watched.hold_states({"anna": "healthy"}, 20)
    watched.assert_never("down")


def test_a_real_dramatiq_worker_is_known_once_it_held_a_message_and_who_only_enqueues_is_none(redis_part, processes, exporter):
    dramatiq = Path(sys.executable).parent / "dramatiq"
    env = {"PYTHONPATH": str(WORKERS), "REDIS_URL": redis_part.url}

    def start():
        return processes.start("dramatiq", [dramatiq, "dramatiq_jobs", "--processes", "1", "--threads", "2"], env)

    def put(seconds):
        script = f"import dramatiq_jobs; dramatiq_jobs.takes.send({seconds})"
        subprocess.run([sys.executable, "-c", script], env={**os.environ, **env}, check=True)

    start()
    where = {"kind": "dramatiq", "address": redis_part.url, "fleet": "thumbs"}
    source = {"name": "d", **where, "timeout": "1s", "maximum_interval": "2s"}
    watched = exporter(config(source))
    put(15)
    watched.wait_state("dramatiq", "healthy", 60)
    known = watched.worker("dramatiq")
    assert known["metrics"]["in_flight"] >= 1 and known["task_queues"] == ["default"], known
    # The processes that only enqueued are no workers.
    assert set(watched.states()) == {"dramatiq"}, watched.story()
    wait_for(lambda: watched.worker("dramatiq")["metrics"]["in_flight"] == 0, 40, "the message to be finished")
    watched.hold_states({"dramatiq": "healthy"}, 10)
