"""A worker with a health endpoint, healthy or not as it is told: HOST PORT BEHAVIOUR, the last in JSON.

status  HTTP status code (200)
body    what /health answers; `{now}` and `{now_iso}` in it become the time of the answer ({"status":"healthy"})
type    its content type (application/json)
hang    accept, read the request, and never answer (false)
bearer  answer 401 unless the request carries this token
delay   seconds before the answer (0)
paths   the same keys for single paths, so that one process can stand for many shapes

POST /control replaces the behaviour while it runs, and is never affected by it.
"""

import datetime
import json
import socket
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

behaviour = {}


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        told = behaviour.get("paths", {}).get(self.path, behaviour)
        if told.get("hang"):
            threading.Event().wait()
        time.sleep(told.get("delay", 0))
        if told.get("bearer") and self.headers.get("Authorization") != f"Bearer {told['bearer']}":
            return self.answer(401, b"", "text/plain")
        body = told.get("body", '{"status":"healthy"}')
        now = datetime.datetime.now(datetime.UTC)
        body = body.replace("{now}", f"{now.timestamp():.3f}").replace("{now_iso}", now.isoformat())
        return self.answer(told.get("status", 200), body.encode(), told.get("type", "application/json"))

    def do_POST(self):
        told = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        behaviour.clear()
        behaviour.update(told)
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


class Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128
    address_family = socket.AF_INET6 if ":" in sys.argv[1] else socket.AF_INET


behaviour.update(json.loads(sys.argv[3]))
Server((sys.argv[1], int(sys.argv[2])), Handler).serve_forever()
