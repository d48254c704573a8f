"""A worker with the health service of grpcio-health-checking: PORT FOLDER [TLS].

The file FOLDER/status-PORT, once it is there, sets the status of the service "mail" and of the server: SERVING,
NOT_SERVING. With TLS, a folder with server.pem, server.key and ca.pem, it answers only who shows a certificate of that
authority. On SIGTERM it says NOT_SERVING for everything and serves on for a while, as a graceful shutdown does. With
`bare` for FOLDER it has no health service at all.
"""

import pathlib
import signal
import sys
import threading
from concurrent import futures

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc

port, folder = int(sys.argv[1]), sys.argv[2]
over = threading.Event()
signal.signal(signal.SIGTERM, lambda *_: over.set())

server = grpc.server(futures.ThreadPoolExecutor(4))
service = health.HealthServicer()
if folder != "bare":
    health_pb2_grpc.add_HealthServicer_to_server(service, server)
for name in ("", "mail"):
    service.set(name, health_pb2.HealthCheckResponse.SERVING)
if len(sys.argv) > 3:
    files = pathlib.Path(sys.argv[3])
    pair = ((files / "server.key").read_bytes(), (files / "server.pem").read_bytes())
    credentials = grpc.ssl_server_credentials([pair], (files / "ca.pem").read_bytes(), require_client_auth=True)
    server.add_secure_port(f"127.0.0.1:{port}", credentials)
else:
    server.add_insecure_port(f"127.0.0.1:{port}")
server.start()

control = pathlib.Path(folder) / f"status-{port}"
while not over.wait(0.1):
    if folder != "bare" and control.exists():
        status = health_pb2.HealthCheckResponse.ServingStatus.Value(control.read_text().strip())
        for name in ("", "mail"):
            service.set(name, status)
service.enter_graceful_shutdown()
# Serves on for a while, as a worker does that finishes what it has.
threading.Event().wait(8)
server.stop(1).wait()
