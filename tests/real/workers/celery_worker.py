"""A real Celery worker, with everything as Celery has it by default: a pool of processes, a heartbeat each two seconds."""

import argparse
import time

from celery import Celery


def arguments():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--broker", required=True)
    parser.add_argument("--node", required=True, help="celery@host")
    parser.add_argument("--concurrency", type=int, default=1)
    parser.add_argument("--queues", default="celery")
    parser.add_argument("--pool", default="prefork")
    parser.add_argument("--prefix", default="")
    return parser.parse_args()


app = Celery("real")


@app.task(name="nap")
def nap(seconds):
    time.sleep(seconds)


if __name__ == "__main__":
    options = arguments()
    app.conf.broker_url = options.broker
    # One task in hand for each process, so that what waits lies in the queue.
    app.conf.worker_prefetch_multiplier = 1
    app.conf.broker_transport_options = {"global_keyprefix": options.prefix} if options.prefix else {}
    app.worker_main([
        "worker", "--hostname", options.node, "--concurrency", str(options.concurrency), "--queues", options.queues,
        "--pool", options.pool, "--loglevel", "INFO",
    ])  # fmt: skip
