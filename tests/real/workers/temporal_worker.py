"""A Temporal worker as people write them, with the mistakes that people make within reach."""

import argparse
import asyncio
import signal
import time
import uuid
from datetime import timedelta

from temporalio import activity, workflow
from temporalio.client import Client
from temporalio.common import VersioningBehavior, WorkerDeploymentVersion
from temporalio.runtime import PrometheusConfig, Runtime, TelemetryConfig
from temporalio.worker import UnsandboxedWorkflowRunner, Worker, WorkerDeploymentConfig


@activity.defn
async def wait(seconds: float) -> str:
    """Long work done right: the loop stays free."""
    await asyncio.sleep(seconds)
    return "waited"


@activity.defn
async def block(seconds: float) -> str:
    """The commonest zombie in Python: an async activity that blocks the event loop of its worker."""
    print("blocking")
    time.sleep(seconds)  # noqa: ASYNC251 - this is the fault
    return "blocked"


@activity.defn
async def fail(_seconds: float) -> str:
    raise RuntimeError("this activity always fails")


@activity.defn
async def begin(workflow_type: str) -> str:
    """An activity that starts a workflow with the client of its worker."""
    await clients[0].start_workflow(workflow_type, 0.0, id=f"begun-{uuid.uuid4()}", task_queue=activity.info().task_queue)
    return "begun"


clients = []


@workflow.defn(name="wait")
class Wait:
    @workflow.run
    async def run(self, seconds: float) -> str:
        return await workflow.execute_activity(wait, seconds, start_to_close_timeout=timedelta(hours=1))


@workflow.defn(name="block")
class Block:
    @workflow.run
    async def run(self, seconds: float) -> str:
        return await workflow.execute_activity(block, seconds, start_to_close_timeout=timedelta(hours=1))


@workflow.defn(name="fail")
class Fail:
    @workflow.run
    async def run(self, seconds: float) -> str:
        return await workflow.execute_activity(fail, seconds, start_to_close_timeout=timedelta(seconds=20))


@workflow.defn(name="quick")
class Quick:
    """Only workflow tasks: a timer and the end."""

    @workflow.run
    async def run(self, seconds: float) -> str:
        await asyncio.sleep(seconds)
        return "quick"


@workflow.defn(name="begin")
class Begin:
    @workflow.run
    async def run(self, _seconds: float) -> str:
        return await workflow.execute_activity(begin, "quick", start_to_close_timeout=timedelta(seconds=20))


@workflow.defn(name="fickle")
class Fickle:
    """Breaks off, which is an error of its code; and then does something else than its history says, which is another."""

    @workflow.run
    async def run(self, seconds: float) -> str:
        if workflow.unsafe.is_replaying():
            await asyncio.sleep(seconds)
        await workflow.execute_activity(wait, seconds, start_to_close_timeout=timedelta(seconds=20))
        raise RuntimeError("this workflow breaks off")


@workflow.defn(name="huge")
class Huge:
    """Sends more than a message may hold."""

    @workflow.run
    async def run(self, _seconds: float) -> str:
        parts = (workflow.execute_activity(swallow, "x" * 1_900_000, start_to_close_timeout=timedelta(seconds=20)) for _ in range(4))
        await asyncio.gather(*parts)
        return "huge"


@activity.defn
async def swallow(_text: str) -> None:
    pass


def arguments():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--address", required=True)
    parser.add_argument("--namespace", default="default")
    parser.add_argument("--queue", required=True)
    parser.add_argument("--identity", help="default: the SDK's own, pid@host")
    parser.add_argument("--heartbeat", default="60", help="seconds; 'stock' leaves the SDK's default, 'off' sends none")
    parser.add_argument("--activities", type=int, default=100, help="activity slots")
    parser.add_argument("--grace", type=float, default=2.0, help="seconds that running activities get at SIGTERM")
    parser.add_argument("--metrics", help="host:port at which the SDK shows its own metrics")
    parser.add_argument("--polls", type=int, default=5, help="activity polls at a time")
    parser.add_argument("--version", help="DEPLOYMENT:BUILD, the worker's version; default: none")
    parser.add_argument("--no-workflows", action="store_true", help="serve activities only")
    return parser.parse_args()


def runtime(heartbeat, metrics):
    telemetry = TelemetryConfig(metrics=PrometheusConfig(bind_address=metrics) if metrics else None)
    if heartbeat == "stock":
        return Runtime(telemetry=telemetry)
    interval = None if heartbeat == "off" else timedelta(seconds=float(heartbeat))
    return Runtime(telemetry=telemetry, worker_heartbeat_interval=interval)


def versioning(version):
    """Workflows go on with the next version, so that no old worker is needed for them."""
    if version is None:
        return {}
    deployment, build = version.split(":")
    of = WorkerDeploymentVersion(deployment_name=deployment, build_id=build)
    auto = VersioningBehavior.AUTO_UPGRADE
    return {"deployment_config": WorkerDeploymentConfig(version=of, use_worker_versioning=True, default_versioning_behavior=auto)}


async def main():
    options = arguments()
    leave = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, leave.set)
    named = {} if options.identity is None else {"identity": options.identity}
    client = await Client.connect(options.address, namespace=options.namespace, runtime=runtime(options.heartbeat, options.metrics), **named)
    clients.append(client)
    worker = Worker(
        client,
        task_queue=options.queue,
        workflows=[] if options.no_workflows else [Wait, Block, Fail, Quick, Begin, Fickle, Huge],
        activities=[wait, block, fail, begin, swallow],
        max_concurrent_activities=options.activities,
        max_concurrent_activity_task_polls=options.polls,
        graceful_shutdown_timeout=timedelta(seconds=options.grace),
        workflow_runner=UnsandboxedWorkflowRunner(),
        **versioning(options.version),
    )
    async with worker:
        print(f"polling {options.queue} as {client.identity}")
        await leave.wait()
        print("leaving")
    print("left")


asyncio.run(main())
