"""`leadsman gateway` in front of real gRPC services, with real gRPC clients: nothing of a call changes on its way."""
import collections
import contextlib
import functools
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import grpc
import numpy as np
import pytest
import requests
import tritonclient.grpc as triton
from certificates import Authority
from conftest import wait_for
from models import half_plus_two, release
from test_gateway import PLAN, Gateway, free_port
from test_gateway import gateway as http_gateway  # noqa: F401
from tritonclient.utils import InferenceServerException

HERE = Path(__file__).parent


class Upstream:
    """One grpc_upstream.py process."""

    def __init__(self, folder, version=1, pair=(), port=None, errors=0.0):
        self.port = port or free_port()
        self.endpoint = f"127.0.0.1:{self.port}"
        self.log = folder / f"grpc-{self.port}.log"
        with open(self.log, "ab") as out:
            self.process = subprocess.Popen([sys.executable, str(HERE / "grpc_upstream.py"), str(self.port), str(version), *map(str, pair)],
                                            stdout=out, stderr=out, start_new_session=True, env={**os.environ, "UPSTREAM_ERRORS": str(errors)})
        wait_for("the gRPC service", lambda: "listening" in self.log.read_text(errors="replace"))

    def kill(self):
        self.process.kill()
        self.process.wait(10)

    def stop(self):
        if self.process.poll() is None:
            self.process.terminate()
            self.process.wait(20)


@pytest.fixture
def upstream(tmp_path):
    started = []

    def _upstream(**options):
        started.append(Upstream(tmp_path, **options))
        return started[-1]

    yield _upstream
    for one in started:
        one.stop()


@pytest.fixture
def gateway(http_gateway):  # noqa: F811
    """As that of test_gateway, of a service that speaks gRPC."""
    return functools.partial(http_gateway, protocol="grpc")


@contextlib.contextmanager
def channel(server, **options):
    with grpc.insecure_channel(f"127.0.0.1:{server.port}", options=[
            ("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1), *options.items()]) as one:
        yield one


def error_of(call, *arguments, **options):
    with pytest.raises(grpc.RpcError) as raised:
        call(*arguments, **options)
    return raised.value


def test_calls_of_every_kind_pass_as_they_are(upstream, gateway):
    service = upstream()
    server = gateway([(1, [service.endpoint], None)])
    with channel(server) as c:
        answer, call = c.unary_unary("/test.Echo/Unary").with_call(b"hello", timeout=10, metadata=(("x-mine-bin", b"\x01\x00"),))
        assert answer == b"hello"
        assert ("x-version", "1") in [tuple(m) for m in call.initial_metadata()]
        trailing = dict(tuple(m) for m in call.trailing_metadata())
        assert trailing["x-trailer"] == "end" and trailing["x-binary-bin"] == b"\x00\xff"
        assert c.unary_unary("/test.Echo/Unary")(b"", timeout=10) == b""
        got = list(c.unary_stream("/test.Echo/Down")(b"1000 1000", timeout=20))
        assert len(got) == 1000 and got[7] == b"\x07" * 1000
        assert c.stream_unary("/test.Echo/Collect")((b"x" * 5000 for _ in range(500)), timeout=20) == b"2500000"
        got = list(c.stream_stream("/test.Echo/Both")((str(i).encode() for i in range(200)), timeout=20))
        assert got == [b"1:%d" % i for i in range(200)]
        large = bytes(range(256)) * (40 << 12)  # 40 MiB
        assert c.unary_unary("/test.Echo/Unary")(large, timeout=60) == large
    assert server.metric("leadsman_gateway_requests_total") == 6


def test_a_stream_of_both_directions_goes_message_by_message(upstream, gateway):
    server = gateway([(1, [upstream().endpoint], None)])
    turn = threading.Semaphore(0)

    def requests_of():
        for i in range(20):
            yield str(i).encode()
            assert turn.acquire(timeout=10), "the answer to the one before has not come"

    with channel(server) as c:
        for i, answer in enumerate(c.stream_stream("/test.Echo/Both")(requests_of(), timeout=30)):
            assert answer == b"1:%d" % i
            turn.release()


def test_errors_of_the_service_are_its_own(upstream, gateway):
    server = gateway([(1, [upstream().endpoint], None)])
    with channel(server) as c:
        for name in ("INVALID_ARGUMENT", "NOT_FOUND", "RESOURCE_EXHAUSTED", "INTERNAL"):
            error = error_of(c.unary_unary("/test.Echo/Unary"), b"x", timeout=10, metadata=(("x-fail", name),))
            assert error.code() == grpc.StatusCode[name] and error.details() == "as asked: 100% 1 é"
        assert error_of(c.unary_unary("/test.Nothing/Here"), b"x", timeout=10).code() == grpc.StatusCode.UNIMPLEMENTED
    # By the code and not by HTTP's 200: the client's are no errors of the service.
    version = server.service()["versions"][0]
    assert (version["requests"], version["errors"]) == (5, 2)


def test_a_cancelled_call_is_cancelled_upstream_and_a_deadline_ends_one(upstream, gateway):
    server = gateway([(1, [upstream().endpoint], None)])
    with channel(server) as c:
        def hanging():
            return int(c.unary_unary("/test.Echo/Hanging")(b"", timeout=10))

        call = c.unary_unary("/test.Echo/Hang").future(b"x")
        wait_for("a call that hangs", lambda: hanging() == 1)
        call.cancel()
        wait_for("its end", lambda: hanging() == 0)
        began = time.monotonic()
        error = error_of(c.unary_unary("/test.Echo/Hang"), b"x", timeout=0.5)
        assert error.code() == grpc.StatusCode.DEADLINE_EXCEEDED and time.monotonic() - began < 3
        wait_for("its end", lambda: hanging() == 0)


def test_who_reads_slowly_holds_the_sender_up(upstream, gateway):
    server = gateway([(1, [upstream().endpoint], None)])

    def memory():
        status = Path(f"/proc/{server.process.pid}/status").read_text()
        return int(status.split("VmRSS:")[1].split()[0]) >> 10  # MiB

    before = memory()
    with channel(server) as c:
        stream = c.unary_stream("/test.Echo/Down")(b"400 1000000", timeout=120)
        received = 0
        for _ in range(3):
            received += len(next(stream))
        time.sleep(1)  # the service would have sent all 400 MB by now
        assert memory() - before < 40
        assert c.unary_unary("/test.Echo/Unary")(b"meanwhile", timeout=10) == b"meanwhile"
        received += sum(map(len, stream))
        assert received == 400_000_000
    assert memory() - before < 60


def test_a_service_that_is_not_there_or_dies_is_unavailable(upstream, gateway):
    service = upstream()
    server = gateway([(1, [service.endpoint], None)], retries={"max": 1})
    with channel(server) as c:
        stream = c.unary_stream("/test.Echo/Down")(b"100000 10000", timeout=30)
        next(stream)
        service.kill()
        with pytest.raises(grpc.RpcError) as raised:
            collections.deque(stream, maxlen=0)
        assert raised.value.code() == grpc.StatusCode.UNAVAILABLE
        assert f"digits version 1 at {service.endpoint} ended the connection" in raised.value.details()
        error = error_of(c.unary_unary("/test.Echo/Unary"), b"x", timeout=10)
        assert error.code() == grpc.StatusCode.UNAVAILABLE
        assert error.details() == f"digits version 1 at {service.endpoint} refused the connection"


def test_the_split_holds_for_each_call_and_a_header_forces_one(upstream, gateway):
    one, two = upstream(version=1), upstream(version=2)
    server = gateway([(1, [one.endpoint], "75%"), (2, [two.endpoint], "25%")])
    with channel(server) as c:  # one connection
        where = c.unary_unary("/test.Echo/Where")
        counts = collections.Counter(where(b"", timeout=10) for _ in range(1000))
        assert 180 < counts[b"2"] < 320, counts
        forced = {where(b"", timeout=10, metadata=(("x-leadsman-version", "2"),)) for _ in range(50)}
        assert forced == {b"2"}
        error = error_of(where, b"", timeout=10, metadata=(("x-leadsman-version", "9"),))
        assert error.code() == grpc.StatusCode.INVALID_ARGUMENT and "digits has no version 9; versions: 1 and 2" in error.details()


@pytest.mark.parametrize(("errors", "verdict"), [(0.0, "promoted"), (0.4, "rolled_back")])
def test_a_rollout_decides_by_the_status_of_calls(upstream, gateway, errors, verdict):
    one, two = upstream(version=1), upstream(version=2, errors=errors)
    server = gateway([(1, [one.endpoint], None), (2, [two.endpoint], None)], health={"path": "/grpc.health.v1.Health/Check", "interval": "100ms"},
                     models=[{"name": "digits", "rollout": PLAN}])
    stop = threading.Event()

    def load():
        with channel(server) as c:
            flaky = c.unary_unary("/test.Echo/Flaky")
            while not stop.is_set():
                with contextlib.suppress(grpc.RpcError):
                    flaky(b"x", timeout=10)

    threads = [threading.Thread(target=load) for _ in range(3)]
    for thread in threads:
        thread.start()
    try:
        ended = wait_for("the verdict", lambda: next((r for r in server.rollouts() if r["phase"] not in ("progressing", "held")), None),
                         timeout=120)
    finally:
        stop.set()
        for thread in threads:
            thread.join(20)
    assert ended["phase"] == verdict, ended["reason"]
    shares = {v["version"]: v["share"] for v in server.service()["versions"]}
    assert shares == ({1: 0, 2: 1} if verdict == "promoted" else {1: 1, 2: 0})


def test_an_endpoint_that_stops_gracefully_costs_no_call(start, gateway, repository):
    release(repository, "half_plus_two", 1, half_plus_two())
    models = [{"name": "half_plus_two", "path": str(repository / "half_plus_two")}]
    one, two = start(models=models), start(models=models)
    server = gateway([(1, [one.grpc, two.grpc], None)], retries={"min": 50})
    failures, answered, stop = [], collections.Counter(), threading.Event()

    def load(index):
        client = triton.InferenceServerClient(f"127.0.0.1:{server.port}")
        tensor = triton.InferInput("x", [2], "FP32")
        tensor.set_data_from_numpy(np.array([1, 2], dtype=np.float32))
        while not stop.is_set():
            try:
                assert client.infer("half_plus_two", [tensor]).as_numpy("y").tolist() == [2.5, 3.0]
                answered[index] += 1
            except InferenceServerException as error:
                failures.append(str(error))

    threads = [threading.Thread(target=load, args=(i,)) for i in range(6)]
    for thread in threads:
        thread.start()
    wait_for("load", lambda: sum(answered.values()) > 100)
    assert one.stop() == 0  # GOAWAY, then what is under way is answered
    more = sum(answered.values()) + 200
    wait_for("more", lambda: sum(answered.values()) > more)
    stop.set()
    for thread in threads:
        thread.join(20)
    assert failures == []


def test_a_drain_under_load_loses_no_call(upstream, gateway):
    server = gateway([(1, [upstream().endpoint], None)])
    failures, answered = [], collections.Counter()

    def load(index):
        with channel(server) as c:
            slow = c.unary_unary("/test.Echo/Slow")
            while True:
                try:
                    slow(b"0.02", timeout=10)
                    answered[index] += 1
                except grpc.RpcError as error:
                    # Nobody listens any more: that is how it ends.
                    if "Connection refused" not in error.details():
                        failures.append(f"{error.code()} {error.details()}")
                    return

    threads = [threading.Thread(target=load, args=(i,)) for i in range(8)]
    for thread in threads:
        thread.start()
    wait_for("load", lambda: sum(answered.values()) > 100)
    assert server.stop() == 0
    for thread in threads:
        thread.join(20)
    assert failures == []


def test_calls_go_over_tls(upstream, gateway, tmp_path):
    authority = Authority(tmp_path / "ca", "authority")
    service = upstream(pair=authority.issue("service"))
    server = gateway([(1, [service.endpoint], None)], tls={"ca_file": str(authority.certificate)}, health={"path": "/grpc.health.v1.Health/Check"})
    with channel(server) as c:
        assert c.unary_unary("/test.Echo/Unary")(b"x" * 1_000_000, timeout=10) == b"x" * 1_000_000
        assert len(list(c.stream_stream("/test.Echo/Both")((b"x" for _ in range(100)), timeout=10))) == 100


def test_a_port_with_tls_offers_both_protocols(upstream, tmp_path):
    authority = Authority(tmp_path / "ca", "authority")
    pair = authority.issue("gateway")
    service = upstream()
    folder = tmp_path / "front"
    folder.mkdir()
    port = free_port()
    tls = {"cert_file": str(pair[0]), "key_file": str(pair[1]), "client_ca_file": str(authority.certificate), "client_auth": "optional"}
    server = Gateway(folder, {"gateway": {
        "listeners": [{"address": "127.0.0.1", "port": 0}, {"address": "127.0.0.1", "port": port, "tls": tls}],
        "services": [{"name": "digits", "protocol": "grpc", "versions": [{"version": 1, "endpoints": [service.endpoint]}]}]}})
    server.start()
    try:
        credentials = grpc.ssl_channel_credentials(authority.certificate.read_bytes())
        with grpc.secure_channel(f"localhost:{port}", credentials) as c:
            assert c.unary_unary("/test.Echo/Unary")(b"x" * 3_000_000, timeout=20) == b"x" * 3_000_000
            assert len(list(c.stream_stream("/test.Echo/Both")((b"x" for _ in range(100)), timeout=10))) == 100
        own = authority.issue("client")
        credentials = grpc.ssl_channel_credentials(authority.certificate.read_bytes(), own[1].read_bytes(), own[0].read_bytes())
        with grpc.secure_channel(f"localhost:{port}", credentials) as c:
            assert c.unary_unary("/test.Echo/Unary")(b"known", timeout=20) == b"known"
        other = Authority(tmp_path / "other", "other").issue("stranger")
        credentials = grpc.ssl_channel_credentials(authority.certificate.read_bytes(), other[1].read_bytes(), other[0].read_bytes())
        with grpc.secure_channel(f"localhost:{port}", credentials) as c:
            assert error_of(c.unary_unary("/test.Echo/Unary"), b"x", timeout=10).code() == grpc.StatusCode.UNAVAILABLE
        wait_for("a failed handshake", lambda: server.metric("leadsman_gateway_tls_failures_total") >= 1)
        curl = ["curl", "-sS", "-i", "--cacert", str(authority.certificate), f"https://localhost:{port}/p", "-d", "x"]
        done = subprocess.run([*curl, "--http1.1"], capture_output=True, text=True, timeout=20)
        assert done.stdout.startswith("HTTP/1.1 502") and '"reason":"protocol"' in done.stdout, done
        done = subprocess.run([*curl, "-H", "x-leadsman-version: 7"], capture_output=True, text=True, timeout=20)
        assert done.stdout.startswith("HTTP/2 400"), done
    finally:
        server.stop()


def test_active_checks_are_calls(upstream, gateway):
    service = upstream()
    server = gateway([(1, [service.endpoint], None)],
                     health={"path": "/grpc.health.v1.Health/Check", "interval": "50ms", "unhealthy_after": 1, "healthy_after": 1})

    def endpoint():
        return server.service()["versions"][0]["endpoints"][0]

    assert endpoint()["state"] == "healthy"
    service.process.send_signal(signal.SIGUSR1)
    wait_for("not serving", lambda: endpoint()["state"] == "unhealthy")
    assert endpoint()["reason"] == "the check /grpc.health.v1.Health/Check says that it does not serve"
    with channel(server) as c:
        assert error_of(c.unary_unary("/test.Echo/Unary"), b"x", timeout=10).code() == grpc.StatusCode.UNAVAILABLE
    service.process.send_signal(signal.SIGUSR2)
    wait_for("serving", lambda: endpoint()["state"] == "healthy")


def test_tritonclient_asks_leadsman_serve_through_the_gateway(start, gateway, repository):
    release(repository, "half_plus_two", 1, half_plus_two())
    server = start(models=[{"name": "half_plus_two", "path": str(repository / "half_plus_two")}])
    front = gateway([(1, [server.grpc], None)], health={"path": "/inference.GRPCInferenceService/ServerReady"})
    client = triton.InferenceServerClient(f"127.0.0.1:{front.port}")
    assert client.is_server_ready() and client.is_model_ready("half_plus_two")
    tensor = triton.InferInput("x", [100_000], "FP32")
    x = np.arange(100_000, dtype=np.float32)
    tensor.set_data_from_numpy(x)
    for _ in range(20):
        np.testing.assert_array_equal(client.infer("half_plus_two", [tensor]).as_numpy("y"), x / 2 + 2)
    # The stream too.
    answers = []
    client.start_stream(callback=lambda result, error: answers.append(error or result))
    for _ in range(20):
        client.async_stream_infer("half_plus_two", [tensor])
    client.stop_stream()
    assert len(answers) == 20
    for answer in answers:
        np.testing.assert_array_equal(answer.as_numpy("y"), x / 2 + 2)


def test_curl_speaks_http2(upstream, gateway):
    server = gateway([(1, [upstream().endpoint], None)])
    done = subprocess.run(["curl", "-sS", "-i", "--http2-prior-knowledge", "-H", "x-leadsman-version: 7", f"http://127.0.0.1:{server.port}/p"],
                          capture_output=True, text=True, timeout=20)
    assert done.stdout.startswith("HTTP/2 400"), done
    assert "digits has no version 7" in done.stdout
    answer = requests.post(f"http://127.0.0.1:{server.port}/p", data="x", timeout=10)
    assert answer.status_code == 502 and answer.json()["reason"] == "protocol"
