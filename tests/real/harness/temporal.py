"""A real Temporal server, real Python workers, and a hand that starts workflows."""

import asyncio
import sys
import uuid
from datetime import timedelta
from pathlib import Path

from temporalio.client import Client

from .processes import answers, free_port
from .wait import wait_for

TEMPORAL = Path(sys.executable).with_name("temporal")


class TemporalServer:
    """`temporal server start-dev`, with a database file, so that only its memory is lost in a restart."""

    def __init__(self, processes, namespaces=("default",), settings=(), host="127.0.0.1"):
        self.processes = processes
        self.host = host
        # Its own parts call each other on loopback, so it listens there too.
        self.bound = host if host == "127.0.0.1" else "0.0.0.0"
        self.namespaces = namespaces
        # The server's own dynamic configuration, `key=value`.
        self.settings = settings
        self.port = free_port()
        self.address = f"{host}:{self.port}"
        self.database = processes.folder / f"temporal-{self.port}.db"
        self.start()

    def start(self):
        extra = [item for name in self.namespaces if name != "default" for item in ("--namespace", name)]
        extra += [item for setting in self.settings for item in ("--dynamic-config-value", setting)]
        self.process = self.processes.start(
            "temporal-server",
            [TEMPORAL, "server", "start-dev", "--headless", "--ip", self.bound, "--port", self.port,
             "--http-port", free_port(), "--metrics-port", free_port(),
             "--log-level", "error", "--db-filename", self.database, *extra],
        )  # fmt: skip
        wait_for(lambda: answers(self.port, self.host), 30, "the Temporal server to listen")
        wait_for(self._serves, 30, "the Temporal server to know its namespace")

    def _serves(self):
        try:
            return asyncio.run(_describe(self.address, self.namespaces[0]))
        except RuntimeError:  # Not there yet.
            return None

    def kill(self):
        self.process.kill()

    def worker(self, queue="orders", **options):
        return TemporalWorker(self, queue, **options)

    def run_workflows(self, workflow, queue="orders", count=1, seconds=0.0, timeout=None):
        """Starts `count` workflows and does not wait for them. Gives their ids. The server ends them after `timeout` seconds."""
        timeout = timedelta(seconds=timeout) if timeout else None
        return asyncio.run(_start(self.address, self.namespaces[0], workflow, queue, count, seconds, timeout))

    def set_current(self, deployment, build):
        """New work goes to this version from now on; an empty build: to workers without a version."""
        asyncio.run(_set_current(self.address, self.namespaces[0], deployment, build))

    def set_ramping(self, deployment, build, percentage):
        """A share of new work goes to this version."""
        asyncio.run(_set_ramping(self.address, self.namespaces[0], deployment, build, percentage))

    def poll_as(self, identities, queue="orders"):
        """One short poll for activities under each of these names. Gives how many the server lists afterwards."""
        return asyncio.run(_poll(self.address, self.namespaces[0], identities, queue))

    def finished(self, ids):
        """How many of these have completed."""
        return asyncio.run(_finished(self.address, self.namespaces[0], ids))

    def completed(self, ids, within=60):
        wait_for(lambda: self.finished(ids) == len(ids), within, f"{len(ids)} workflows to complete", every=0.5)


class Ingress:
    """In front of a server; no call through it lasts longer than `seconds`. For a worker it is the server."""

    def __init__(self, server, seconds):
        self.processes = server.processes
        self.namespaces = server.namespaces
        port = free_port()
        self.address = f"127.0.0.1:{port}"
        self.process = self.processes.python("ingress", "ingress.py", "--port", port, "--server", server.address, "--seconds", seconds)
        self.process.wait_output("open", 10)


class TemporalWorker:
    """A real worker of the Python SDK in a process of its own."""

    def __init__(self, server, queue, identity=None, heartbeat=1.0, activities=100, workflows=True, ready=True, namespace=None, **more):
        self.server = server
        self.queue = queue
        self.args = ["--address", server.address, "--namespace", namespace or server.namespaces[0], "--queue", queue,
                     "--heartbeat", heartbeat, "--activities", activities]  # fmt: skip
        if identity is not None:
            self.args += ["--identity", identity]
        if not workflows:
            self.args += ["--no-workflows"]
        for name, value in more.items():
            self.args += ["--" + name.replace("_", "-"), value]
        self.identity = identity
        self.start(ready)

    def start(self, ready=True):
        """Also a restart by a supervisor: the same command line, a new process."""
        self.process = self.server.processes.python(f"worker-{self.identity or 'stock'}", "temporal_worker.py", *self.args)
        if ready:
            self.process.wait_output("polling", 30)
        return self

    def __getattr__(self, name):
        # kill, stop, go_on, terminate, wait_gone, pid: those of its process.
        return getattr(self.process, name)


async def _client(address, namespace):
    return await Client.connect(address, namespace=namespace)


async def _describe(address, namespace):
    client = await _client(address, namespace)
    from temporalio.api.workflowservice.v1 import DescribeNamespaceRequest

    await client.workflow_service.describe_namespace(DescribeNamespaceRequest(namespace=namespace), timeout=timedelta(seconds=2))
    return True


async def _set_current(address, namespace, deployment, build):
    client = await _client(address, namespace)
    from temporalio.api.workflowservice.v1 import SetWorkerDeploymentCurrentVersionRequest

    wanted = SetWorkerDeploymentCurrentVersionRequest(namespace=namespace, deployment_name=deployment, build_id=build)
    await client.workflow_service.set_worker_deployment_current_version(wanted, timeout=timedelta(seconds=20))


async def _set_ramping(address, namespace, deployment, build, percentage):
    client = await _client(address, namespace)
    from temporalio.api.workflowservice.v1 import SetWorkerDeploymentRampingVersionRequest

    wanted = SetWorkerDeploymentRampingVersionRequest(
        namespace=namespace, deployment_name=deployment, build_id=build, percentage=percentage
    )
    await client.workflow_service.set_worker_deployment_ramping_version(wanted, timeout=timedelta(seconds=20))


async def _poll(address, namespace, identities, queue):
    client = await _client(address, namespace)
    from temporalio.api.enums.v1 import TaskQueueType
    from temporalio.api.taskqueue.v1 import TaskQueue
    from temporalio.api.workflowservice.v1 import DescribeTaskQueueRequest, PollActivityTaskQueueRequest
    from temporalio.service import RPCError

    async def poll(identity):
        wanted = PollActivityTaskQueueRequest(namespace=namespace, task_queue=TaskQueue(name=queue), identity=identity)
        try:
            await client.workflow_service.poll_activity_task_queue(wanted, timeout=timedelta(seconds=3))
        except RPCError:
            pass  # No task came.

    # A server lets only so many of a namespace wait at once.
    for first in range(0, len(identities), 400):
        await asyncio.gather(*(poll(identity) for identity in identities[first : first + 400]))
    asked = DescribeTaskQueueRequest(
        namespace=namespace, task_queue=TaskQueue(name=queue), task_queue_type=TaskQueueType.TASK_QUEUE_TYPE_ACTIVITY
    )
    return len((await client.workflow_service.describe_task_queue(asked)).pollers)


async def _start(address, namespace, workflow, queue, count, seconds, timeout):
    client = await _client(address, namespace)
    ids = [f"{workflow}-{uuid.uuid4()}" for _ in range(count)]
    options = {"task_queue": queue, "execution_timeout": timeout}
    await asyncio.gather(*(client.start_workflow(workflow, seconds, id=name, **options) for name in ids))
    return ids


async def _finished(address, namespace, ids):
    client = await _client(address, namespace)
    described = await asyncio.gather(*(client.get_workflow_handle(name).describe() for name in ids))
    return sum(1 for one in described if one.close_time is not None)
