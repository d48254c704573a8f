"""What the Dramatiq workers of the tests do: `dramatiq dramatiq_jobs`, with the address in REDIS_URL."""

import os
import time

import dramatiq
from dramatiq.brokers.redis import RedisBroker

dramatiq.set_broker(RedisBroker(url=os.environ["REDIS_URL"]))


@dramatiq.actor(max_retries=0)
def takes(seconds):
    time.sleep(seconds)
