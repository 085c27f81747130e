"""SIGTERM under load: clients that do as they are told (readiness, GOAWAY, Connection: close) lose nothing, and none can hold the server up."""
import collections
import contextlib
import queue
import signal
import socket
import ssl
import sys
import threading

import grpc
import models
import numpy as np
import pytest
import requests
import tritonclient.grpc as triton
from certificates import Authority, install
from conftest import ROOT, wait_for
from grpc_health.v1 import health_pb2, health_pb2_grpc
from tritonclient.grpc import service_pb2, service_pb2_grpc

NAUGHTY = ROOT / "src/backend/testdata/python/naughty.py"
SERVING = health_pb2.HealthCheckResponse.SERVING


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("ca"), "authority")


class Replicas:
    """Two servers with the same models: `leaving` is taken down, `staying` is where its clients go."""

    def __init__(self, start, repository, certificate=None, tls=None, **server):
        models.release(repository, "half", 1, models.half_plus_two())
        models.release(repository, "pooled", 1, models.half_plus_two())
        slow = models.release_script(repository, "slow", NAUGHTY.read_text())
        config = {"models": [{"name": "half", "path": str(repository / "half")},
                             {"name": "pooled", "path": str(repository / "pooled"), "execution": "pool"},
                             {"name": "slow", "path": slow}],
                  "backends": {"python": {"interpreter": sys.executable}}}
        self.certificate = certificate
        self.leaving, self.staying = (start(server={"drain_timeout": "60s", **server, **({"tls": tls} if tls else {})}, **config)
                                      for _ in range(2))
        if tls:
            for replica in (self.leaving, self.staying):
                replica.url = replica.url.replace("http://127.0.0.1", "https://localhost")

    def channel(self, *replicas):
        """To the first of them that takes connections, as a client with several addresses has it."""
        target = "ipv4:" + ",".join(replica.grpc for replica in replicas)
        options = [("grpc.ssl_target_name_override", "localhost"), ("grpc.use_local_subchannel_pool", 1)]
        if not self.certificate:
            return grpc.insecure_channel(target, options[1:])
        return grpc.secure_channel(target, grpc.ssl_channel_credentials(self.certificate.read_bytes()), options)

    def session(self):
        session = requests.Session()
        session.trust_env = False  # an authority that the environment names would take the place of ours
        session.verify = str(self.certificate) if self.certificate else None
        return session


@pytest.fixture(params=["plain", "tls"])
def replicas(request, start, repository, tmp_path, authority):
    def _replicas(**server):
        if request.param == "plain":
            return Replicas(start, repository, **server)
        return Replicas(start, repository, authority.certificate, install(authority.issue("server"), tmp_path), **server)
    return _replicas


class Load:
    """Threads that ask until they are stopped. What goes wrong is kept, and how often each has been answered."""

    def __init__(self):
        self.failures, self.answered = [], collections.Counter()
        self.stopping = threading.Event()
        self.threads = []

    def add(self, work, *arguments):
        number = len(self.threads)

        def run():
            try:
                work(self, number, *arguments)
            except Exception as error:  # a client's failure, whatever it is, is the test's
                self.failures.append(f"{work.__name__}: {type(error).__name__}: {error}")
        self.threads.append(threading.Thread(target=run))
        self.threads[-1].start()

    def under_way(self, more=20):
        seen = dict(self.answered)
        wait_for("traffic", lambda: self.failures or len(self.answered) == len(self.threads) and
                 all(count >= seen.get(number, 0) + more for number, count in self.answered.items()))

    def stop(self):
        self.stopping.set()
        for thread in self.threads:
            thread.join(90)
        assert self.failures == []


def infer_request(value, model="half", request_id=""):
    request = service_pb2.ModelInferRequest(model_name=model, id=request_id)
    request.inputs.add(name="x", datatype="FP32", shape=[1])
    request.raw_input_contents.append(np.array([value], "f").tobytes())
    return request


def half_plus_two(response):
    return float(np.frombuffer(response.raw_output_contents[0], "f")[0])


def ask_by_grpc(load, number, replicas):
    """One call after the other on one channel; the library does what GOAWAY says."""
    with replicas.channel(replicas.leaving, replicas.staying) as channel:
        stub = service_pb2_grpc.GRPCInferenceServiceStub(channel)
        while not load.stopping.is_set():
            value = load.answered[number]
            response = stub.ModelInfer(infer_request(value, "pooled" if value % 2 else "half"), timeout=30)
            assert half_plus_two(response) == value / 2 + 2
            load.answered[number] += 1


def ask_many_at_once(load, number, replicas):
    """Tens of calls of tritonclient's in flight on one channel, all the time."""
    ended = queue.Queue()
    target = f"ipv4:{replicas.leaving.grpc},{replicas.staying.grpc}"
    secure = {"ssl": True, "root_certificates": str(replicas.certificate)} if replicas.certificate else {}
    channel_args = [("grpc.ssl_target_name_override", "localhost"), ("grpc.use_local_subchannel_pool", 1)]
    with triton.InferenceServerClient(target, channel_args=channel_args, **secure) as client:
        def ask():
            tensor = triton.InferInput("x", [1], "FP32")
            tensor.set_data_from_numpy(np.ones([1], "f"))
            client.async_infer("pooled", [tensor], lambda result, error: ended.put((result, error)), client_timeout=30)

        in_flight = 30
        for _ in range(in_flight):
            ask()
        while in_flight:
            result, error = ended.get(timeout=40)
            assert error is None, error
            assert result.as_numpy("y")[0] == 2.5
            load.answered[number] += 1
            if load.stopping.is_set():
                in_flight -= 1
            else:
                ask()


def ask_by_streams(load, number, replicas):
    """Pipelines requests on a stream for as long as its server says SERVING; then ends it, reads all answers, and goes elsewhere."""
    for replica in (replicas.leaving, replicas.staying):
        with replicas.channel(replica) as channel:
            watch = health_pb2_grpc.HealthStub(channel).Watch(health_pb2.HealthCheckRequest())
            unready = threading.Event()

            def look(watch=watch, unready=unready):
                with contextlib.suppress(grpc.RpcError):
                    while next(watch).status == SERVING:
                        pass
                unready.set()

            looker = threading.Thread(target=look)
            looker.start()
            sent, room = [], threading.Semaphore(16)

            def requests_of_stream(sent=sent, room=room, unready=unready):
                while not unready.is_set() and not load.stopping.is_set():
                    if room.acquire(timeout=0.05):
                        sent.append(len(sent))
                        yield infer_request(sent[-1], "pooled" if sent[-1] % 3 else "half", str(sent[-1]))

            got = []
            stub = service_pb2_grpc.GRPCInferenceServiceStub(channel)
            for answer in stub.ModelStreamInfer(requests_of_stream()):
                assert not answer.error_message, answer.error_message
                assert half_plus_two(answer.infer_response) == len(got) / 2 + 2
                got.append(int(answer.infer_response.id))
                load.answered[number] += 1
                room.release()
            assert got == sent
            watch.cancel()
            looker.join(30)


def ask_by_http(load, number, replicas):
    """Keeps its connection until an answer says Connection: close, and then goes to the other server."""
    url, session = replicas.leaving.url, replicas.session()
    while not load.stopping.is_set():
        answer = session.post(f"{url}/v1/models/{'pooled' if number % 2 else 'half'}:predict", json={"instances": [number]}, timeout=30)
        assert answer.status_code == 200 and answer.json()["predictions"] == [number / 2 + 2], answer.text
        load.answered[number] += 1
        if answer.headers.get("Connection") == "close":
            url, session = replicas.staying.url, replicas.session()


def accepts(port):
    """Whether somebody listens there."""
    try:
        socket.create_connection(("127.0.0.1", port), 5).close()
        return True
    except ConnectionRefusedError:
        return False


def port_of(address):
    return int(address.rsplit(":", 1)[1])


def test_clients_that_do_as_they_are_told_lose_nothing(replicas):
    both = replicas(drain_delay="2s")
    leaving = both.leaving
    load, slow = Load(), Load()
    for work in (ask_by_grpc, ask_by_grpc, ask_many_at_once, ask_by_streams, ask_by_streams, ask_by_http, ask_by_http):
        load.add(work, both)
    load.under_way()

    def take_long(slow, number, what):
        """Begun before the signal, and still computed when nothing new is taken any more."""
        if what == "grpc":
            request = service_pb2.ModelInferRequest(model_name="slow")
            request.inputs.add(name="what", datatype="BYTES", shape=[1]).contents.bytes_contents.append(b"slow 6")
            with both.channel(leaving) as channel:
                answer = service_pb2_grpc.GRPCInferenceServiceStub(channel).ModelInfer(request, timeout=60)
                assert answer.outputs[0].contents.bytes_contents[0] == b"slept"
        else:
            answer = both.session().post(leaving.url + "/v2/models/slow/infer", timeout=60, json={"inputs": [
                {"name": "what", "datatype": "BYTES", "shape": [1], "data": ["slow 1"]}]})
            assert answer.json()["outputs"][0]["data"] == ["slept"], answer.text
        slow.answered[number] += 1

    for what in ("grpc", "http"):
        slow.add(take_long, what)
    wait_for("the long ones", lambda: 'leadsman_batching_instances_busy{model="slow",version="1"} 1' in leaving.get("/metrics").text)
    leaving.process.send_signal(signal.SIGTERM)

    # First it is not ready, and still takes whatever comes, new connections too.
    wait_for("readiness to be off", lambda: leaving.get("/readyz").status_code == 503)
    with both.channel(leaving) as channel:
        health = health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest(), timeout=10)
        assert health.status == health_pb2.HealthCheckResponse.NOT_SERVING
        late = service_pb2_grpc.GRPCInferenceServiceStub(channel).ModelInfer(infer_request(5), timeout=10)
        assert half_plus_two(late) == 4.5
    late = both.session().post(leaving.url + "/v1/models/half:predict", json={"instances": [5]}, timeout=10)
    assert late.json()["predictions"] == [4.5]

    # Then it takes no new connections, while what has begun goes on.
    for port in (port_of(leaving.url), port_of(leaving.grpc)):
        wait_for("new connections to be refused", lambda port=port: not accepts(port))
    assert leaving.process.poll() is None, "it has ended before what it had begun"
    load.under_way()  # on the other server by now
    slow.stop()
    assert sum(slow.answered.values()) == 2
    assert leaving.process.wait(60) == 0, leaving.log_text()
    load.under_way()
    load.stop()


def test_a_client_that_never_closes_cannot_hold_the_server(replicas, authority):
    both = replicas(drain_timeout="2s")
    leaving = both.leaving
    with contextlib.ExitStack() as held:
        def connect(port, tls=both.certificate is not None, protocol="http/1.1"):
            raw = held.enter_context(socket.create_connection(("127.0.0.1", port), 10))
            if not tls:
                return raw
            context = ssl.create_default_context(cafile=authority.certificate)
            context.set_alpn_protocols([protocol])
            return held.enter_context(context.wrap_socket(raw, server_hostname="localhost"))

        http, rpc = port_of(leaving.url), port_of(leaving.grpc)
        connect(http)  # says nothing
        connect(http, tls=False)  # not even hello
        connect(rpc, protocol="h2")
        connect(rpc, tls=False)
        connect(http).sendall(b"POST /v1/models/half:predict HTTP/1.1\r\nHost: t\r\nContent-Length: 100\r\n\r\n{")
        kept = connect(http)
        kept.sendall(b"GET /v2 HTTP/1.1\r\nHost: t\r\n\r\n")
        assert kept.recv(100).startswith(b"HTTP/1.1 200")
        # Asks for many large answers, and reads none.
        deaf = connect(http)
        deaf.setblocking(False)
        body = b'{"instances": [' + b"1," * 50_000 + b"1]}"
        request = b"POST /v1/models/half:predict HTTP/1.1\r\nHost: t\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body)
        with contextlib.suppress(BlockingIOError, ssl.SSLWantWriteError):
            for _ in range(200):
                deaf.sendall(request)
        # A stream that asks on and on, and one that is left open.
        channel = held.enter_context(both.channel(leaving))
        stub = service_pb2_grpc.GRPCInferenceServiceStub(channel)
        over = threading.Event()

        def endless():
            while not over.wait(0.02):
                yield infer_request(1)

        busy = stub.ModelStreamInfer(endless())
        assert not next(busy).error_message
        idle_requests = queue.Queue()
        idle = stub.ModelStreamInfer(iter(idle_requests.get, None))
        idle_requests.put(infer_request(1))
        assert not next(idle).error_message
        watch = health_pb2_grpc.HealthStub(channel).Watch(health_pb2.HealthCheckRequest())
        assert next(watch).status == SERVING

        leaving.process.send_signal(signal.SIGTERM)
        # A stream in use is answered in the meantime, and told when it is over.
        with pytest.raises(grpc.RpcError) as ended:
            for answer in busy:
                assert not answer.error_message
        assert ended.value.code() == grpc.StatusCode.UNAVAILABLE and "another replica" in ended.value.details()
        assert leaving.process.wait(40) == 0, leaving.log_text()
        over.set()
        idle_requests.put(None)
