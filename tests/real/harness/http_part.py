"""Workers with a health endpoint, and what each of them shall answer."""

import json
import socket
import urllib.request

from .processes import answers, free_port
from .wait import wait_for


class HttpWorker:
    """A small web server in a process of its own, whose answer the test changes while it runs."""

    def __init__(self, processes, worker, host="127.0.0.1", port=None, prefix=(), **behaviour):
        self.processes = processes
        self.worker = worker
        self.host = host
        self.port = port or free_port()
        self.prefix = prefix
        self.behaviour = behaviour
        self.held = None
        self.start()

    @property
    def target(self):
        return f"{self.host}:{self.port}"

    @property
    def url(self):
        return f"http://{self.target}/health"

    def start(self):
        if self.held:
            self.held.close()
            self.held = None
        self.process = self.processes.python(
            f"http-{self.worker}", "http_worker.py", self.host, self.port, json.dumps(self.behaviour), prefix=self.prefix
        )
        wait_for(lambda: answers(self.port, self.host), 15, f"worker {self.worker} to listen")
        return self

    def now(self, **behaviour):
        """From its next answer on. What is not named goes back to healthy."""
        request = urllib.request.Request(f"http://{self.target}/control", json.dumps(behaviour).encode(), method="POST")
        with urllib.request.urlopen(request, timeout=5) as answer:
            assert answer.status == 204
        return self

    def kill(self):
        """kill -9. While it is dead nobody else takes its port: something that answers there would be a worker come back."""
        self.process.kill()
        if self.host == "127.0.0.1":
            self.held = socket.socket()
            self.held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            self.held.bind((self.host, self.port))

    def __getattr__(self, name):
        return getattr(self.process, name)
