"""A new process takes the place of a `leadsman gateway` that runs, under load: no request is lost, whatever becomes of the new one."""
import asyncio
import contextlib
import json
import os
import random
import signal
import socket
import ssl
import subprocess
import sys
import threading
from pathlib import Path

import aiohttp
import grpc
import pytest
import requests
from aiohttp import web
from certificates import Authority
from conftest import BINARY, wait_for
from test_gateway import Gateway, free_port, gunicorn  # noqa: F401
from test_gateway_grpc import upstream  # noqa: F401
from test_gateway_reload import Load, over_http

HERE = Path(__file__).parent


class Upgradable(Gateway):
    """One address, and the processes that serve it one after the other."""

    def __init__(self, folder, config):
        folder.mkdir()
        config["gateway"]["listeners"] = [{"address": "127.0.0.1", "port": free_port(), **config["gateway"].pop("listener", {})}]
        super().__init__(folder, {"admin": {"port": free_port()}, "server": {"drain_timeout": "60s"}, **config})
        self.processes = []

    @property
    def socket(self):
        return str(self.folder / "data/hot-restart.sock")

    def begin(self, *flags):
        """A further process; it is not waited for."""
        self.path.write_text(json.dumps(self.config, indent=1))
        self.log = self.folder / f"log{len(self.processes)}"
        with open(self.log, "ab") as out:
            self.process = subprocess.Popen([str(BINARY), "gateway", "--config", str(self.path), "--hot-restart", *flags], stderr=out, stdout=out,
                                            start_new_session=True)
        self.processes.append((self.process, self.log))
        return self.process

    def start(self, ready=True):
        self.begin()
        self.port, admin = wait_for("the ports in the log", lambda: self._ports(0), timeout=60)
        self.url, self.admin = f"http://127.0.0.1:{self.port}", f"http://127.0.0.1:{admin}"
        if ready:
            wait_for("/readyz", lambda: requests.get(self.admin + "/readyz", timeout=5).status_code == 200)
        wait_for("the socket", lambda: os.path.exists(self.socket))
        return self

    def upgrade(self):
        """Returns the process whose place was taken. It drains."""
        before = self.process
        self.start()
        assert "took over" in self.log_text()
        return before

    def fail(self, *flags, **config):
        """A further process that cannot start; returns what it says."""
        kept = self.config, self.log, self.process
        self.config = {**self.config, **config}
        process = self.begin(*flags)
        code = process.wait(60)
        said = self.log_text()
        self.processes.pop()
        self.config, self.log, self.process = kept
        assert code != 0, said
        return said

    def generation(self):
        return self.get("/api/v1/status").json()["hot_restart"]["generation"]

    def stop(self, timeout=60):
        for process, log in self.processes:
            if process.poll() is None and process is self.process:
                process.send_signal(signal.SIGTERM)
            if process.poll() is None:
                try:
                    process.wait(timeout)
                except subprocess.TimeoutExpired:
                    process.kill()
                    raise AssertionError(f"leadsman did not stop:\n{log.read_text(errors='replace')}") from None
        return [process.returncode for process, _ in self.processes]


@pytest.fixture
def gateway(tmp_path):
    """gateway([(version, endpoints, weight)], …) → a running gateway of the service digits that can be upgraded."""
    started = []

    def _gateway(versions, models=None, listener=None, top=None, **service):
        options = {"name": "digits", "versions": [
            {"version": number, "endpoints": endpoints, **({} if weight is None else {"weight": weight})}
            for number, endpoints, weight in versions], **service}
        config = {"gateway": {"services": [options], "listener": listener or {}}, **({"models": models} if models else {}), **(top or {})}
        started.append(Upgradable(tmp_path / f"g{len(started)}", config))
        return started[-1].start()

    yield _gateway
    for one in started:
        codes = one.stop()
        assert set(codes) <= {0, -signal.SIGKILL}, "\n".join(log.read_text(errors="replace") for _, log in one.processes)


def test_many_upgrades_under_load_lose_nothing(gunicorn, gateway):  # noqa: F811
    one = gunicorn(keep_alive=30)
    server = gateway([(1, [one.endpoint], None)], health={"path": "/healthz", "interval": "200ms"}, retries={"max": 0})
    rng = random.Random(7)

    def operator(index, stack):
        def ask():
            return requests.get(server.admin + ("/metrics", "/api/v1/status")[index % 2], headers={"Connection": "close"}, timeout=30).status_code
        return ask

    with over_http(server) as load, Load(operator, clients=2) as operators:
        for generation in range(1, 13):
            # Fewer threads, or more, than there are sockets.
            server.config["gateway"]["io_threads"] = rng.randrange(1, 5)
            before = server.upgrade()
            assert server.generation() == generation
            load.more(30)
            assert load.failures == []
            assert before.wait(60) == 0
    assert load.failures == []
    # Those of the admin port wait for the process that has it next.
    assert operators.failures == [] and set(operators.answers) == {200}
    assert server.metric("leadsman_hot_restart_generation") == 12
    assert "upgraded in place: generation 12" in server.cli("status").stdout


def test_grpc_calls_go_on_through_upgrades(upstream, gateway):  # noqa: F811
    service = upstream()
    server = gateway([(1, [service.endpoint], None)], protocol="grpc", retries={"max": 0})

    def client(index, stack):
        options = [("grpc.use_local_subchannel_pool", 1)]
        one = stack.enter_context(grpc.insecure_channel(f"127.0.0.1:{server.port}", options=options))

        def ask():
            return one.unary_unary("/test.Echo/Unary")(b"hello %d" % index, timeout=20)[:5]
        return ask

    turn = threading.Semaphore(0)

    def asked():
        for i in range(4):
            yield str(i).encode()
            assert turn.acquire(timeout=60)

    with grpc.insecure_channel(f"127.0.0.1:{server.port}", options=[("grpc.use_local_subchannel_pool", 1)]) as channel:
        stream = channel.stream_stream("/test.Echo/Both")(asked(), timeout=120)
        assert next(stream) == b"1:0"
        with Load(client) as load:
            first = server.process
            for generation in range(3):
                server.upgrade()
                load.more(30)
                # The stream goes on where it began, and its process waits for it.
                turn.release()
                assert next(stream) == b"1:%d" % (generation + 1)
                assert first.poll() is None
            assert load.failures == []
        turn.release()
        assert list(stream) == []
        assert first.wait(60) == 0
    assert load.failures == []


def test_tls_connections_and_handshakes_that_have_begun_go_on(gunicorn, gateway, tmp_path):  # noqa: F811
    authority = Authority(tmp_path, "ca")
    certificate, key = authority.issue("server")
    one = gunicorn(keep_alive=30)
    server = gateway([(1, [one.endpoint], None)], listener={"tls": {"cert_file": str(certificate), "key_file": str(key)}}, retries={"max": 0})
    address = f"https://localhost:{server.port}/predict"

    def client(index, stack):
        session = stack.enter_context(requests.Session())

        def ask():
            headers = {"Connection": "close"} if index % 2 else {}
            answer = session.post(address, data=b"x" * 500, headers=headers, timeout=10, verify=str(authority.certificate))
            assert answer.status_code == 200, answer.text
            return answer.json()["version"]
        return ask

    context = ssl.create_default_context(cafile=str(authority.certificate))
    with Load(client) as load:
        for _ in range(3):
            with socket.create_connection(("127.0.0.1", server.port), 20) as begun:
                before, log = server.process, server.log
                process = server.begin()
                wait_for("the old process to drain", lambda: "handed over; draining" in log.read_text() or process.poll() is not None, timeout=60)
                with context.wrap_socket(begun, server_hostname="localhost") as connection:
                    connection.sendall(b"POST /predict HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nConnection: close\r\n\r\nx")
                    answer = b""
                    while piece := connection.recv(1 << 16):
                        answer += piece
                assert answer.startswith(b"HTTP/1.1 200 "), answer
            load.more(30)
            assert process.poll() is None
            assert before.wait(60) == 0
    assert load.failures == []


def test_websockets_and_streams_of_events_stay_open(gateway):
    async def echo(request):
        ws = web.WebSocketResponse()
        await ws.prepare(request)
        async for message in ws:
            await ws.send_str(message.data)
        return ws

    async def talk():
        more = asyncio.Queue()

        async def events(request):
            answer = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
            await answer.prepare(request)
            while (number := await more.get()) is not None:
                await answer.write(b"data: %d\n\n" % number)
            return answer

        application = web.Application()
        application.router.add_get("/ws", echo)
        application.router.add_get("/events", events)
        runner = web.AppRunner(application)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        server = await asyncio.to_thread(gateway, [(1, [f"127.0.0.1:{runner.addresses[0][1]}"], None)])
        first = server.process
        async with aiohttp.ClientSession() as session, session.ws_connect(server.url + "/ws") as ws:
            async with session.get(server.url + "/events") as stream:
                for number in range(3):
                    await ws.send_str(str(number))
                    assert (await ws.receive(timeout=10)).data == str(number)
                    more.put_nowait(number)
                    assert await asyncio.wait_for(stream.content.readuntil(b"\n\n"), 10) == b"data: %d\n\n" % number
                    await asyncio.to_thread(server.upgrade)
                    assert first.poll() is None
                more.put_nowait(None)
                assert await asyncio.wait_for(stream.content.read(), 10) == b""
        await asyncio.to_thread(first.wait, 60)
        assert first.returncode == 0
        await runner.cleanup()

    asyncio.run(talk())


@pytest.mark.parametrize("stage", ["hello", "listeners", "release", "ready"])
def test_a_new_process_that_dies_on_its_way_changes_nothing(gunicorn, gateway, stage):  # noqa: F811
    one = gunicorn(keep_alive=30)
    server = gateway([(1, [one.endpoint], None)], retries={"max": 0})
    old = server.process
    with over_http(server) as load:
        for attempt in range(2):
            process = subprocess.Popen([sys.executable, str(HERE / "take_over.py"), server.socket, stage, str(server.port),
                                        server.admin.rsplit(":", 1)[1]], stdout=subprocess.PIPE, text=True)
            try:
                assert process.stdout.readline() == "there\n"
                load.more(20)
            finally:
                process.kill()
                process.wait(10)
            load.more(20)
            wait_for("the failure to be counted", lambda: server.metric("leadsman_hot_restart_failed_total") == attempt + 1)
        assert server.generation() == 0 and old.poll() is None
        # Everything is as it was: there is a monitor that counts, and the next one takes over.
        before = server.service()["versions"][0]["requests"]
        load.more(20)
        assert server.service()["versions"][0]["requests"] > before
        wait_for("the monitor", lambda: server.get("/api/v1/status").json()["monitor"]["events"] > 0)
        server.upgrade()
        load.more(20)
        assert old.wait(60) == 0
    assert load.failures == []
    assert server.generation() == 1


@contextlib.contextmanager
def silent_endpoint():
    """Takes connections and says nothing: a new process waits for its first look at it."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(100)
        yield f"127.0.0.1:{listener.getsockname()[1]}"


def test_a_real_process_that_is_killed_before_it_accepts_changes_nothing(gunicorn, gateway):  # noqa: F811
    one = gunicorn(keep_alive=30)
    server = gateway([(1, [one.endpoint], None)], health={"path": "/healthz", "interval": "200ms", "timeout": "60s"}, retries={"max": 0})
    old, log = server.process, server.log
    with over_http(server) as load, silent_endpoint() as silent:
        service = server.config["gateway"]["services"][0]
        for number, end in enumerate([signal.SIGKILL, signal.SIGTERM], 1):
            # More threads than there are sockets: nobody may wait where only the new process could take him from.
            server.config["gateway"]["io_threads"] = 7
            service["versions"] = [{"version": 1, "endpoints": [one.endpoint], "weight": "100%"}, {"version": 2, "endpoints": [silent], "weight": "0%"}]
            process, mine = server.begin(), server.log
            wait_for("the sockets", lambda: "sockets are taken over" in mine.read_text(errors="replace") or process.poll() is not None)
            # It listens before it connects.
            wait_for("a look", lambda: silent_clients(silent) > 0)
            load.more(60)
            assert process.poll() is None and "handed over" not in log.read_text().replace("sockets are handed over", "")
            process.send_signal(end)
            code = process.wait(20)
            assert code == (1 if end == signal.SIGTERM else -signal.SIGKILL)
            if end == signal.SIGTERM:
                assert "told to stop before it took over" in mine.read_text()
            server.processes.pop()
            server.process, server.log = old, log
            load.more(60)
            wait_for("the failure to be counted", lambda: server.metric("leadsman_hot_restart_failed_total") == number)
        service["versions"] = [{"version": 1, "endpoints": [one.endpoint]}]
        server.upgrade()
        load.more(20)
        assert old.wait(60) == 0
    assert load.failures == []


def test_the_first_look_is_no_longer_than_the_old_process_waits(gunicorn, gateway):  # noqa: F811
    one = gunicorn(keep_alive=30)
    server = gateway([(1, [one.endpoint], "100%")], health={"path": "/healthz", "interval": "200ms", "timeout": "60s"},
                     top={"hot_restart": {"timeout": "5s"}})
    with silent_endpoint() as silent:
        server.config["gateway"]["services"][0]["versions"].append({"version": 2, "endpoints": [silent], "weight": "0%"})
        before, process = server.process, server.begin()
        wait_for("the new process", lambda: "took over; the other process drains" in server.log_text() or process.poll() is not None)
        assert "taking over before all endpoints were looked at" in server.log_text()
        assert before.wait(60) == 0 and process.poll() is None


def silent_clients(endpoint):
    """How many connections the endpoint has."""
    port = f":{int(endpoint.rsplit(':', 1)[1]):04X}"
    rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    return sum(row[1].endswith(port) and row[3] == "01" for row in rows)


def test_a_real_process_that_fails_when_the_state_is_its_already_changes_nothing(gunicorn, gateway, tmp_path):  # noqa: F811
    one = gunicorn(keep_alive=30)
    server = gateway([(1, [one.endpoint], None)], health={"path": "/healthz", "interval": "200ms"}, retries={"max": 0})
    old, log = server.process, server.log
    with over_http(server) as load:
        said = server.fail(admin={**server.config["admin"], "tls": {"cert_file": str(tmp_path / "none"), "key_file": str(tmp_path / "none")}})
        assert "admin.tls" in said, said
        wait_for("all to be back", lambda: "go on in this process" in log.read_text())
        load.more(20)
        assert server.get("/api/v1/status").status_code == 200
        server.upgrade()
        load.more(20)
        assert old.wait(60) == 0
    assert load.failures == []


@pytest.mark.parametrize("stage", ["listeners", "release", "lock"])
def test_a_new_process_that_hangs_is_given_up(gunicorn, gateway, stage):  # noqa: F811
    one = gunicorn(keep_alive=30)
    server = gateway([(1, [one.endpoint], None)], top={"hot_restart": {"timeout": "1s"}}, retries={"max": 0})
    old, log = server.process, server.log
    with over_http(server) as load:
        hanging = subprocess.Popen([sys.executable, str(HERE / "take_over.py"), server.socket, stage, str(server.port)],
                                   stdout=subprocess.PIPE, text=True)
        try:
            assert hanging.stdout.readline() == "there\n"
            wait_for("it to be given up", lambda: "has not taken over; this one goes on" in log.read_text())
            assert "it has not said" in log.read_text()
            load.more(20)
            if stage == "lock":
                wait_for("what it has to be missed", lambda: "are not back yet; requests pass on" in log.read_text())
                load.more(20)
        finally:
            hanging.kill()
            hanging.wait(10)
        wait_for("all to be as before", lambda: server.get("/api/v1/status").json()["hot_restart"]["failed"] == 1)
        server.upgrade()
        load.more(20)
        assert old.wait(60) == 0
    assert load.failures == []


def test_an_old_process_that_dies_meanwhile_is_not_waited_for(gunicorn, gateway):  # noqa: F811
    one = gunicorn()
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        server = gateway([(1, [one.endpoint], "100%")], health={"path": "/healthz", "interval": "200ms"})
        # An endpoint that answers nobody makes the first look take a while.
        service = server.config["gateway"]["services"][0]
        service["versions"].append({"version": 2, "endpoints": [f"127.0.0.1:{silent.getsockname()[1]}"], "weight": "0%"})
        service["health"]["timeout"] = "5s"
        old = server.process
        server.begin()
        wait_for("the sockets", lambda: "sockets are taken over" in server.log_text())
        old.kill()
        old.wait(10)
        wait_for("the new process", lambda: server._ports(0), timeout=60)
        assert "has died; this one goes on alone" in server.log_text()
        assert requests.post(server.url + "/predict", data=b"x", timeout=10).status_code == 200
        wait_for("the admin port", lambda: server.generation() == 1)


PLAN = {"steps": [{"weight": "30%", "duration": "1h"}], "gates": [{"kind": "errors", "margin": 2, "floor": "5%"}],
        "interval": "100ms", "max_duration": "5h"}


def test_a_rollout_goes_on_at_the_same_step_with_the_same_evidence(gunicorn, gateway):  # noqa: F811
    one, two = gunicorn(version=1, keep_alive=30), gunicorn(version=2, keep_alive=30)
    server = gateway([(1, [one.endpoint], None), (2, [two.endpoint], None)], health={"path": "/healthz", "interval": "100ms"},
                     models=[{"name": "digits", "rollout": PLAN}], retries={"max": 0})

    def rollout():
        found = server.rollouts()
        return found[0] if found else None

    def counted():
        state = rollout()
        return (state["arms"]["stable"]["requests"], state["arms"]["candidate"]["requests"]) if state else (0, 0)

    with over_http(server) as load:
        wait_for("evidence", lambda: min(counted()) > 20, timeout=60)
        first = rollout()
        for attempt in range(3):
            before = counted()
            if attempt == 1:  # and in the old process, when the new one has died
                new = subprocess.Popen([sys.executable, str(HERE / "take_over.py"), server.socket, "release", str(server.port)],
                                       stdout=subprocess.PIPE, text=True)
                assert new.stdout.readline() == "there\n"
                new.kill()
                new.wait(10)
                wait_for("all to be back", lambda: "go on in this process" in server.log_text())
                old = None
            else:
                old = server.upgrade()
            now = rollout()
            assert (now["id"], now["step"], now["phase"], now["started"]) == (first["id"], first["step"], first["phase"], first["started"])
            assert all(b >= a for a, b in zip(before, counted()))
            share = next(v["share"] for v in server.service()["versions"] if v["version"] == 2)
            assert share == pytest.approx(0.3, abs=0.001)
            wait_for("more evidence", lambda: all(b > a for a, b in zip(before, counted())), timeout=60)
            assert old is None or old.wait(60) == 0
        # Nothing is counted twice: what both arms have is no more than the clients have asked.
        assert sum(counted()) <= sum(load.answers.values()) + 8
        assert load.failures == []
    assert len(server.rollouts()) == 1
    # And it can be decided.
    assert requests.post(server.admin + f"/api/v1/rollouts/{first['id']}/abort", json={}, timeout=10).status_code == 202
    wait_for("the abort", lambda: rollout()["phase"] == "aborted")


def test_weights_of_a_person_stay_unless_the_configured_ones_change(gunicorn, gateway):  # noqa: F811
    one, two = gunicorn(version=1), gunicorn(version=2)
    server = gateway([(1, [one.endpoint], "100%"), (2, [two.endpoint], "0%")])

    def shares():
        return {v["version"]: round(v["share"], 3) for v in server.service()["versions"]}
    assert requests.put(server.admin + "/api/v1/gateway/services/digits/weights", json={"weights": {"1": 0.25, "2": 0.75}}, timeout=10).ok
    server.upgrade()
    assert shares() == {1: 0.25, 2: 0.75}
    server.upgrade()
    assert shares() == {1: 0.25, 2: 0.75}
    service = server.config["gateway"]["services"][0]
    service["versions"][0]["weight"], service["versions"][1]["weight"] = "50%", "50%"
    server.upgrade()
    assert shares() == {1: 0.5, 2: 0.5}
    assert "configured weights are in force again" in server.log_text()


def test_two_at_once_and_other_refusals_say_why(gunicorn, gateway, tmp_path):  # noqa: F811
    one = gunicorn(keep_alive=30)
    server = gateway([(1, [one.endpoint], None)])
    old = server.process
    with over_http(server) as load:
        first = subprocess.Popen([sys.executable, str(HERE / "take_over.py"), server.socket, "listeners", str(server.port)],
                                 stdout=subprocess.PIPE, text=True)
        assert first.stdout.readline() == "there\n"
        said = server.fail()
        assert f"another process (pid {first.pid}) is taking over from pid {old.pid}" in said, said
        first.kill()
        first.wait(10)
        # Without --hot-restart it is a process as any other.
        plain = subprocess.run([str(BINARY), "gateway", "--config", str(server.path)], capture_output=True, text=True, timeout=60)
        assert plain.returncode == 1 and f"in use by another leadsman (pid {old.pid})" in plain.stderr + plain.stdout
        # Neither a configuration with errors nor a port of somebody else's gets as far as the old process.
        said = server.fail(gateway={**server.config["gateway"], "nonsense": 1})
        assert "nonsense" in said
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            taken.listen()
            port = taken.getsockname()[1]
            said = server.fail(gateway={**server.config["gateway"], "listeners": [*server.config["gateway"]["listeners"],
                                                                                 {"address": "127.0.0.1", "port": port}]})
            assert f"cannot listen on 127.0.0.1:{port}: another process listens there" in said, said
        # Another protocol: both numbers, and the old one goes on.
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as newer:
            newer.settimeout(20)
            newer.connect(server.socket)
            newer.send(json.dumps({"say": "hello", "protocol": 9, "program": "9.9.9"}).encode())
            answer = json.loads(newer.recv(1 << 16))
            assert answer["say"] == "refused" and "by protocol 1, the new one (leadsman 9.9.9) by protocol 9" in answer["reason"]
        load.more(20)
    assert load.failures == [] and old.poll() is None
    # Of somebody else's files.
    if os.getuid() == 0:
        os.chmod(server.socket, 0o666)
        code = ("import os, socket, sys, json\n"
                "s = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)\n"
                "fd = os.open(os.path.dirname(sys.argv[1]), os.O_PATH)\n"
                "os.setuid(65534)\n"
                "s.connect(f'/proc/self/fd/{fd}/hot-restart.sock')\n"
                "s.settimeout(20)\n"
                "print(json.loads(s.recv(1 << 16))['reason'])\n")
        said = subprocess.run([sys.executable, "-c", code, server.socket], capture_output=True, text=True, timeout=60)
        if "Permission" not in said.stderr:
            assert "runs as user 65534, this one as 0" in said.stdout, said.stderr


def test_what_lies_at_the_path_already(gunicorn, gateway):  # noqa: F811
    one = gunicorn()
    server = gateway([(1, [one.endpoint], None)])
    # A process that was killed leaves its socket: the next one starts as usual.
    server.kill()
    assert os.path.exists(server.socket)
    server.start()
    assert "took over" not in server.log_text() and server.generation() == 0
    assert os.stat(server.socket).st_mode & 0o777 == 0o600
    server.upgrade()
    assert server.generation() == 1
    # One that runs with a protocol that is not known yet.
    with contextlib.closing(socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)) as newer:
        path = str(server.folder / "other.sock")
        newer.bind(path)
        newer.listen()
        newer.settimeout(20)

        def welcome():
            channel, _ = newer.accept()
            channel.recv(1 << 16)
            channel.send(json.dumps({"say": "welcome", "protocol": 2, "program": "9.9.9", "generation": 1}).encode())
            channel.close()
        thread = threading.Thread(target=welcome)
        thread.start()
        said = server.fail(hot_restart={"socket": path})
        thread.join(20)
        assert "(pid" in said and "9.9.9) hands over by protocol 2, this one" in said and "takes over by protocol 1" in said, said
    (server.folder / "file").write_text("precious")
    said = server.fail("--data-dir", str(server.folder / "elsewhere"), hot_restart={"socket": str(server.folder / "file")}, admin={"port": 0},
                       gateway={**server.config["gateway"], "listeners": [{"address": "127.0.0.1", "port": 0}]})
    assert "is there and no socket; choose another path" in said, said
    assert (server.folder / "file").read_text() == "precious"
    said = server.fail("--data-dir", "")
    assert "hot_restart.socket: without a data_dir the processes need another place to meet" in said, said
    assert requests.post(server.url + "/predict", data=b"x", timeout=10).status_code == 200


def test_listeners_come_and_go_with_the_configuration(gunicorn, gateway):  # noqa: F811
    one = gunicorn(keep_alive=30)
    server = gateway([(1, [one.endpoint], None)], retries={"max": 0})
    second = free_port()
    with over_http(server) as load:
        server.config["gateway"]["listeners"].append({"address": "127.0.0.1", "port": second})
        server.upgrade()
        load.more(20)
        assert requests.post(f"http://127.0.0.1:{second}/predict", data=b"x", timeout=10).status_code == 200
        del server.config["gateway"]["listeners"][1]
        before = server.upgrade()
        load.more(20)
        assert before.wait(60) == 0
        with pytest.raises(OSError):
            socket.create_connection(("127.0.0.1", second), 5)
    assert load.failures == []


def test_the_service_manager_is_told_which_process_is_the_main_one(gunicorn, gateway, tmp_path, monkeypatch):  # noqa: F811
    with contextlib.closing(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)) as manager:
        manager.bind(str(tmp_path / "notify"))
        manager.settimeout(20)
        one = gunicorn()  # it would tell, too
        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
        server = gateway([(1, [one.endpoint], None)])
        assert manager.recv(1000) == b"READY=1\nMAINPID=%d" % server.process.pid
        server.upgrade()
        assert manager.recv(1000) == b"READY=1\nMAINPID=%d" % server.process.pid


@pytest.mark.parametrize("stage", ["listeners", "release"])
def test_a_stop_in_the_middle_is_a_stop(gunicorn, gateway, stage):  # noqa: F811
    one = gunicorn()
    server = gateway([(1, [one.endpoint], None)], top={"hot_restart": {"timeout": "3s"}})
    process = subprocess.Popen([sys.executable, str(HERE / "take_over.py"), server.socket, stage, str(server.port)],
                               stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "there\n"
    assert requests.post(server.url + "/predict", data=b"x", timeout=10).status_code == 200
    server.process.send_signal(signal.SIGTERM)
    assert server.process.wait(60) == 0
    process.kill()
    process.wait(10)
    assert not os.path.exists(server.socket)


def test_a_stop_in_the_middle_answers_whoever_waits(gunicorn, gateway):  # noqa: F811
    one = gunicorn(keep_alive=30)
    server = gateway([(1, [one.endpoint], None)], retries={"max": 0})
    process = subprocess.Popen([sys.executable, str(HERE / "take_over.py"), server.socket, "listeners", str(server.port)],
                               stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "there\n"
    answers, stopped = [], threading.Event()

    def ask():
        # Until nobody takes a connection any more: who has got one is answered.
        while not stopped.is_set():
            try:
                connection = socket.create_connection(("127.0.0.1", server.port), 2)
            except OSError:
                return
            with connection:
                connection.settimeout(20)
                try:
                    connection.sendall(b"POST /predict HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nConnection: close\r\n\r\nx")
                    answers.append(connection.recv(12))
                except OSError as error:
                    answers.append(repr(error))

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    wait_for("requests", lambda: len(answers) > 50)
    server.process.send_signal(signal.SIGTERM)
    try:
        assert server.process.wait(60) == 0
    finally:
        process.kill()  # it holds the sockets, and takes nobody
        process.wait(10)
        stopped.set()
        for thread in threads:
            thread.join(30)
    assert set(answers) == {b"HTTP/1.1 200"}
