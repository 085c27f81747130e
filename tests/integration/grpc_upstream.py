"""Somebody's gRPC service, for test_gateway_grpc.py: grpc_upstream.py PORT VERSION [CERTIFICATE KEY]. Messages are bytes as they are."""
import os
import random
import signal
import sys
import threading
import time
from concurrent import futures

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc

port, version = int(sys.argv[1]), sys.argv[2]
ERRORS = float(os.environ.get("UPSTREAM_ERRORS", "0"))
live = 0  # calls of Hang that have not been cancelled
lock = threading.Lock()


def unary(request, context):
    for key, value in context.invocation_metadata():
        if key == "x-fail":
            context.abort(grpc.StatusCode[value], f"as asked: 100% {version} é")
    context.send_initial_metadata((("x-version", version),))
    context.set_trailing_metadata((("x-trailer", "end"), ("x-binary-bin", b"\x00\xff")))
    return request


def flaky(request, context):
    """Fails as often as the environment says."""
    if random.random() < ERRORS:
        context.abort(grpc.StatusCode.INTERNAL, "as often happens")
    return request


def where(_request, _context):
    return version.encode()


def down(request, _context):
    """As many messages as asked for, of so many bytes."""
    count, size = map(int, request.split())
    for i in range(count):
        yield bytes([i % 256]) * size


def both(requests, _context):
    for request in requests:
        yield version.encode() + b":" + request


def collect(requests, _context):
    return str(sum(map(len, requests))).encode()


def hang(_request, context):
    global live
    gone = threading.Event()
    with lock:
        live += 1
    if context.add_callback(gone.set):  # else it is over already
        gone.wait(60)
    with lock:
        live -= 1
    return b""


def hanging(_request, _context):
    with lock:
        return str(live).encode()


def slow(request, _context):
    time.sleep(float(request))
    return version.encode()


class Handler(grpc.GenericRpcHandler):
    methods = {
        "/test.Echo/Unary": grpc.unary_unary_rpc_method_handler(unary),
        "/test.Echo/Flaky": grpc.unary_unary_rpc_method_handler(flaky),
        "/test.Echo/Where": grpc.unary_unary_rpc_method_handler(where),
        "/test.Echo/Down": grpc.unary_stream_rpc_method_handler(down),
        "/test.Echo/Both": grpc.stream_stream_rpc_method_handler(both),
        "/test.Echo/Collect": grpc.stream_unary_rpc_method_handler(collect),
        "/test.Echo/Hang": grpc.unary_unary_rpc_method_handler(hang),
        "/test.Echo/Hanging": grpc.unary_unary_rpc_method_handler(hanging),
        "/test.Echo/Slow": grpc.unary_unary_rpc_method_handler(slow),
    }

    def service(self, details):
        return self.methods.get(details.method)


server = grpc.server(futures.ThreadPoolExecutor(64), options=[("grpc.max_receive_message_length", -1), ("grpc.so_reuseport", 0)])
server.add_generic_rpc_handlers((Handler(),))
checks = health.HealthServicer()
checks.set("", health_pb2.HealthCheckResponse.SERVING)
health_pb2_grpc.add_HealthServicer_to_server(checks, server)
if len(sys.argv) > 3:
    pair = [(open(sys.argv[4], "rb").read(), open(sys.argv[3], "rb").read())]
    server.add_secure_port(f"127.0.0.1:{port}", grpc.ssl_server_credentials(pair))
else:
    server.add_insecure_port(f"127.0.0.1:{port}")
server.start()
done = threading.Event()
signal.signal(signal.SIGTERM, lambda *_: done.set())
signal.signal(signal.SIGUSR1, lambda *_: checks.set("", health_pb2.HealthCheckResponse.NOT_SERVING))
signal.signal(signal.SIGUSR2, lambda *_: checks.set("", health_pb2.HealthCheckResponse.SERVING))
print("listening", flush=True)
done.wait()
server.stop(10).wait(10)
