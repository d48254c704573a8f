"""A worker with the client library of Python, which works as it is told: PORT.

POST /control with JSON sets, from then on: `done` and `failed`, tasks finished in all; `tokens`; `waiting`; `seconds`, how
long each of the tasks that are new took.
"""

import json
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from prometheus_client import Counter, Gauge, Histogram, exposition

jobs = Counter("jobs", "Jobs.", ["status"])
tokens = Counter("tokens", "Tokens.")
waiting = Gauge("jobs_waiting", "Jobs that wait.")
took = Histogram("job_duration_seconds", "Durations.", buckets=(0.02, 0.2, 2.0, 20.0))


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        encoder, kind = exposition.choose_encoder(self.headers.get("Accept", ""))
        self.answer(200, encoder(exposition.REGISTRY), kind)

    def do_POST(self):
        told = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        for status in ("done", "failed"):
            for _ in range(told.get(status, 0)):
                jobs.labels(status).inc()
                took.observe(told.get("seconds", 0.1))
        tokens.inc(told.get("tokens", 0))
        if "waiting" in told:
            waiting.set(told["waiting"])
        self.answer(204, b"", "text/plain")

    def answer(self, status, body, kind):
        self.send_response(status)
        self.send_header("Content-Type", kind)
        if status != 204:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


ThreadingHTTPServer.daemon_threads = True
ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
