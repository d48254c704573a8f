"""A gate in front of a Temporal server that asks for an API key, one for each namespace.

FAKE only in the asking: `temporal server start-dev` checks no keys. What passes goes to the real server byte by byte.
"""

from concurrent.futures import ThreadPoolExecutor

import grpc


class KeyGate:
    """`keys` maps a namespace to the key that opens it now. Change it and the old key has expired."""

    def __init__(self, server, keys):
        self.keys = keys
        self.namespaces = server.namespaces
        self.refused = dict.fromkeys(keys, 0)
        self._behind = grpc.insecure_channel(server.address)
        self._gate = grpc.server(ThreadPoolExecutor(16), handlers=[_Everything(self)])
        self.address = f"127.0.0.1:{self._gate.add_insecure_port('127.0.0.1:0')}"
        self._gate.start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._gate.stop(0)
        self._behind.close()

    def call(self, method, request, context):
        sent = dict(context.invocation_metadata())
        namespace = sent.get("temporal-namespace")
        if sent.get("authorization") != f"Bearer {self.keys.get(namespace)}":
            self.refused[namespace] = self.refused.get(namespace, 0) + 1
            context.abort(grpc.StatusCode.UNAUTHENTICATED, "Request unauthorized.")
        try:
            return self._behind.unary_unary(method)(request, timeout=context.time_remaining())
        except grpc.RpcError as error:
            context.abort(error.code(), error.details())


class _Everything(grpc.GenericRpcHandler):
    def __init__(self, gate):
        self._gate = gate

    def service(self, details):
        method = details.method
        return grpc.unary_unary_rpc_method_handler(lambda request, context: self._gate.call(method, request, context))
