"""A real Redis, and processes that write heartbeats into it."""

import redis

from .processes import free_port
from .wait import wait_for


class Redis:
    def __init__(self, processes):
        self.processes = processes
        self.port = free_port()
        self.url = f"redis://127.0.0.1:{self.port}"
        self.password = None
        self.client = self._client()
        self.start()

    def _client(self):
        return redis.Redis(port=self.port, password=self.password, socket_timeout=2, decode_responses=True)

    def start(self):
        """Keeps nothing on disk: what comes back after a kill is empty."""
        self.process = self.processes.start(
            "redis",
            ["redis-server", "--bind", "127.0.0.1", "--port", self.port, "--save", "", "--appendonly", "no"],
        )
        wait_for(self._answers, 10, "Redis to answer")

    def _answers(self):
        try:
            return self.client.ping()
        except redis.RedisError:
            return False

    def kill(self):
        self.process.kill()

    def require(self, password):
        """From now on only who knows this password is served; who was connected is thrown out."""
        self.client.config_set("requirepass", password)
        for connected in self.client.client_list():
            if connected["id"] != str(self.client.client_id()):
                self.client.client_kill_filter(_id=connected["id"])
        self.client.close()
        self.password = password
        self.client = self._client()

    def writer(self, worker, every=1.0, ttl=10.0, stamp="epoch"):
        """A worker whose heartbeat is `worker:{id}:heartbeat`."""
        process = self.processes.python(
            f"writer-{worker}", "redis_worker.py", "--port", self.port, "--worker", worker, "--every", every, "--ttl", ttl,
            "--stamp", stamp, "--password", self.password or "",
        )  # fmt: skip
        return process.wait_output("beating", 10)
