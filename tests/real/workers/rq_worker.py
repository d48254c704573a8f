"""A real RQ worker: `rq_worker.py URL NAME WORKER_TTL MONITORING QUEUE…`. An empty NAME lets RQ choose one."""

import sys

from redis import Redis
from rq import Worker

url, name, ttl, monitoring, *queues = sys.argv[1:]
worker = Worker(
    queues,
    connection=Redis.from_url(url),
    name=name or None,
    worker_ttl=int(ttl),
    job_monitoring_interval=int(monitoring),
)
worker.work()
