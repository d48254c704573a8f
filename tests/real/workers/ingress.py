"""What stands in front of many Temporal servers: it ends every call that lasts too long for it, and so each idle poll.

FAKE only in being small: what passes goes to the real server byte by byte, and what is cut reads as an ingress's 504 does.
"""

import argparse
from concurrent.futures import ThreadPoolExecutor

import grpc


def arguments():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--server", required=True)
    parser.add_argument("--seconds", type=float, required=True, help="how long a call may last")
    return parser.parse_args()


class Everything(grpc.GenericRpcHandler):
    def __init__(self, server, seconds):
        self.behind = grpc.insecure_channel(server)
        self.seconds = seconds

    def service(self, details):
        method = details.method
        return grpc.unary_unary_rpc_method_handler(lambda request, context: self.call(method, request, context))

    def call(self, method, request, context):
        sent = [pair for pair in context.invocation_metadata() if not pair[0].startswith(("grpc-", "user-agent"))]
        # The server learns the deadline of the worker and not ours: told of ours, it would answer in time.
        asked = self.behind.unary_unary(method).future(request, timeout=context.time_remaining(), metadata=sent)
        try:
            return asked.result(timeout=self.seconds)
        except grpc.FutureTimeoutError:
            asked.cancel()
            print("cut", method)
            context.abort(grpc.StatusCode.UNAVAILABLE, "unexpected HTTP status code 504 Gateway Timeout")
        except grpc.RpcError as error:
            context.abort(error.code(), error.details())


def main():
    options = arguments()
    # Each poll that waits holds a thread.
    gate = grpc.server(ThreadPoolExecutor(100), handlers=[Everything(options.server, options.seconds)])
    gate.add_insecure_port(f"127.0.0.1:{options.port}")
    gate.start()
    print("open")
    gate.wait_for_termination()


main()
