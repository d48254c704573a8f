"""Real redis-servers that belong together: a cluster whose slots move, and a master whose failover Sentinel decides."""

import redis

from .processes import free_port
from .wait import wait_for

HALF = 8192


def writer(processes, worker, ttl, *where):
    """A worker that finds its server itself, and beats twice a second."""
    process = processes.python(f"writer-{worker}", "redis_worker.py", "--worker", worker, "--every", 0.5, "--ttl", ttl, *where)
    return process.wait_output("beating", 10)


class RedisNode:
    """One server. `address` is what a source needs of it."""

    def __init__(self, processes, *options):
        self.port = free_port()
        self.url = f"redis://127.0.0.1:{self.port}"
        self.folder = processes.folder / f"redis-{self.port}"
        self.folder.mkdir()
        self.process = processes.start(
            "redis",
            ["redis-server", "--bind", "127.0.0.1", "--port", self.port, "--save", "", "--appendonly", "no",
             "--dir", self.folder, *options],
        )  # fmt: skip
        self.client = redis.Redis(port=self.port, socket_timeout=2, decode_responses=True)
        wait_for(self._answers, 10, "Redis to answer")

    def _answers(self):
        try:
            return self.client.ping()
        except redis.RedisError:
            return False

    def cluster(self, *words):
        return self.client.execute_command("CLUSTER", *words)


class RedisCluster:
    """Two masters, half of the slots each."""

    def __init__(self, processes):
        self.processes = processes
        buses = [free_port(), free_port()]
        self.nodes = [RedisNode(processes, "--cluster-enabled", "yes", "--cluster-port", bus) for bus in buses]
        for index, node in enumerate(self.nodes):
            node.cluster("ADDSLOTSRANGE", index * HALF, (index + 1) * HALF - 1)
        self.nodes[0].cluster("MEET", "127.0.0.1", self.nodes[1].port, buses[1])
        wait_for(lambda: all(self._up(node) for node in self.nodes), 30, "the cluster to be up")
        self.ids = [node.client.execute_command("CLUSTER MYID") for node in self.nodes]

    @staticmethod
    def _up(node):
        info = node.client.execute_command("CLUSTER INFO")
        return info["cluster_state"] == "ok" and info["cluster_size"] == "2"

    def writer(self, worker, ttl):
        return writer(self.processes, worker, ttl, "--port", self.nodes[0].port, "--through", "cluster")

    def of_node(self, index, count):
        """Workers whose heartbeats have their slots in this half."""
        names = (f"w{number}" for number in range(1000))
        return [name for name in names if self.slot_of(name) // HALF == index][:count]

    def slot_of(self, worker):
        return self.nodes[0].client.execute_command("CLUSTER KEYSLOT", f"worker:{worker}:heartbeat")

    def begin(self, slot, source, target):
        """The slot begins to move, and what is in it goes."""
        self.nodes[target].cluster("SETSLOT", slot, "IMPORTING", self.ids[source])
        self.nodes[source].cluster("SETSLOT", slot, "MIGRATING", self.ids[target])
        for key in self.nodes[source].client.execute_command("CLUSTER GETKEYSINSLOT", slot, 100):
            self.nodes[source].client.execute_command("MIGRATE", "127.0.0.1", self.nodes[target].port, key, 0, 5000)

    def end(self, slot, source, target):
        for index in (target, source):
            self.nodes[index].cluster("SETSLOT", slot, "NODE", self.ids[target])


class RedisPair:
    """A master, its replica, and a Sentinel that watches over them and decides alone."""

    NAME = "jobs"

    def __init__(self, processes):
        self.processes = processes
        self.master = RedisNode(processes)
        self.replica = RedisNode(processes, "--replicaof", f"127.0.0.1 {self.master.port}", "--repl-diskless-sync-delay", "0")
        wait_for(lambda: self.replica.client.info("replication")["master_link_status"] == "up", 20, "the replica to follow")
        self.sentinel_port = free_port()
        file = processes.folder / "sentinel.conf"
        file.write_text(
            f"port {self.sentinel_port}\nbind 127.0.0.1\n"
            f"sentinel monitor {self.NAME} 127.0.0.1 {self.master.port} 1\n"
            f"sentinel down-after-milliseconds {self.NAME} 1000\nsentinel failover-timeout {self.NAME} 5000\n"
        )
        processes.start("sentinel", ["redis-server", file, "--sentinel"])
        self.sentinel = redis.Sentinel([("127.0.0.1", self.sentinel_port)], socket_timeout=2)
        wait_for(self._knows_both, 20, "Sentinel to know both")

    def _knows_both(self):
        try:
            return self.sentinel.discover_slaves(self.NAME)
        except redis.RedisError:
            return False

    def writer(self, worker, ttl):
        return writer(self.processes, worker, ttl, "--port", self.sentinel_port, "--through", "sentinel", "--master", self.NAME)

    def named_master(self):
        """The port that Sentinel names; none while it does not know."""
        try:
            return self.sentinel.discover_master(self.NAME)[1]
        except redis.RedisError:
            return None
