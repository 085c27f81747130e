"""`leadsman gateway` in front of gunicorn and nginx, with clients as they come: what passes, what is split, what fails over."""
import asyncio
import collections
import contextlib
import http.client
import json
import os
import random
import signal
import socket
import subprocess
import threading
import time
from pathlib import Path

import aiohttp
import pytest
import requests
from aiohttp import web
from conftest import BINARY, MODELS_PYTHON, Server, wait_for
from hosts.stores import CACHE, _program

HERE = Path(__file__).parent


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Gunicorn:
    """Somebody's model server: real gunicorn, two threads, connections kept."""

    def __init__(self, folder, version=1, errors=0.0, port=None, keep_alive=5):
        self.port = port or free_port()
        self.endpoint = f"127.0.0.1:{self.port}"
        self.log = open(folder / f"gunicorn-{self.port}.log", "ab")
        self.process = subprocess.Popen(
            [str(MODELS_PYTHON), "-m", "gunicorn", "--worker-class", "gthread", "--threads", "4", "--keep-alive", str(keep_alive),
             "--bind", self.endpoint, "--log-level", "warning", "--graceful-timeout", "5", "gateway_upstream:app"],
            cwd=HERE, stdout=self.log, stderr=self.log, start_new_session=True,
            env={**os.environ, "UPSTREAM_VERSION": str(version), "UPSTREAM_ERRORS": str(errors), "PYTHONDONTWRITEBYTECODE": "1"})
        wait_for("gunicorn", lambda: requests.get(f"http://{self.endpoint}/healthz", timeout=2).ok)

    def kill(self):
        """All of it at once, as a machine that loses its power."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait(10)

    def stop(self):
        self.kill()
        self.log.close()


class Gateway(Server):
    """One `leadsman gateway` process."""

    def start(self, ready=True):
        self.path.write_text(json.dumps(self.config, indent=1))
        with open(self.log, "ab") as out:
            offset = out.tell()
            self.process = subprocess.Popen([str(BINARY), "gateway", "--config", str(self.path)], stderr=out, stdout=out,
                                            start_new_session=True)
        self.port, admin = wait_for("the ports in the log", lambda: self._ports(offset))
        self.url, self.admin = f"http://127.0.0.1:{self.port}", f"http://127.0.0.1:{admin}"
        if ready:
            wait_for("/readyz", lambda: requests.get(self.admin + "/readyz", timeout=5).status_code == 200)
        return self

    def _ports(self, offset):
        assert self.process.poll() is None, f"leadsman ended with {self.process.returncode}:\n{self.log_text()}"
        with open(self.log, "rb") as lines:
            lines.seek(offset)
            for line in lines.read().decode(errors="replace").splitlines():
                with contextlib.suppress(ValueError):
                    entry = json.loads(line)
                    if entry.get("message") == "proxying":
                        return entry["port"], entry["admin_port"]
        return None

    def service(self, name="digits"):
        return next(s for s in self.get("/api/v1/gateway").json()["services"] if s["name"] == name)

    def metric(self, name):
        return sum(float(line.split()[-1]) for line in self.get("/metrics").text.splitlines()
                   if line.startswith((name + "{", name + " ")))


@contextlib.contextmanager
def asked(server, clients):
    """Predictions on and on, by so many connections."""
    stop = threading.Event()

    def load():
        with requests.Session() as session:
            while not stop.is_set():
                session.post(server.url + "/predict", data=b"x", timeout=10)

    threads = [threading.Thread(target=load) for _ in range(clients)]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        stop.set()
        for thread in threads:
            thread.join(20)


@pytest.fixture
def gunicorn(tmp_path):
    started = []

    def _gunicorn(**options):
        started.append(Gunicorn(tmp_path, **options))
        return started[-1]

    yield _gunicorn
    for one in started:
        one.stop()


@pytest.fixture
def gateway(tmp_path):
    """gateway([(version, endpoints, weight)], …) → a running gateway of the service digits."""
    started = []

    def _gateway(versions, models=None, **service):
        folder = tmp_path / f"gateway{len(started)}"
        folder.mkdir()
        options = {"name": "digits", "versions": [
            {"version": number, "endpoints": endpoints, **({} if weight is None else {"weight": weight})}
            for number, endpoints, weight in versions], **service}
        limits = options.pop("client_limits", {})
        config = {"gateway": {"listeners": [{"address": "127.0.0.1", "port": 0}], "services": [options], "limits": limits},
                  **({"models": models} if models else {})}
        started.append(Gateway(folder, config))
        return started[-1].start()

    yield _gateway
    for one in started:
        alive = one.process.poll() is None
        code = one.stop()
        if alive:
            assert code == 0, f"leadsman ended with {code}:\n{one.log_text()}"


def random_request(rng):
    """(method, target, headers, body, chunked): what clients send, and what they hardly ever do."""
    method = rng.choice(["GET", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "HEAD"])
    status = rng.choice([200, 200, 200, 201, 400, 404, 422, 500])
    target = (f"/answer?status={status}&seed={rng.randrange(1 << 30)}&size={rng.choice([0, 1, 90, 5500, 70_000, 300_000])}"
              f"&chunked={rng.randrange(2)}&x={'%20'.join(rng.choices(['a', 'b%2Fc', '%C3%A9', '+', '~'], k=rng.randrange(1, 4)))}")
    headers = {f"X-{''.join(rng.choices('abcdefXYZ-', k=rng.randrange(1, 12)))}e": "".join(
        rng.choices("abc XYZ:;,=\"\\'()<>@/[]?{}\té", k=rng.randrange(1, 60))).strip().encode("latin-1") or b"v"
        for _ in range(rng.randrange(6))}
    headers["Host"] = "models.example:8080"
    if rng.random() < 0.3:
        headers["Cookie"] = "a=b; sid=" + str(rng.randrange(1000))
    body = None
    chunked = False
    if method not in ("GET", "HEAD", "OPTIONS", "DELETE") or rng.random() < 0.1:
        body = rng.randbytes(rng.choice([0, 1, 90, 5500, 40_000, 200_000]))
        chunked = rng.random() < 0.5
        headers["Content-Type"] = rng.choice(["application/json", "application/octet-stream"])
    return method, target, headers, body, chunked


def ask(port, method, target, headers, body, chunked):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    try:
        connection.putrequest(method, target, skip_host=True, skip_accept_encoding=True)
        for name, value in headers.items():
            connection.putheader(name, value)
        if chunked:
            connection.putheader("Transfer-Encoding", "chunked")
            connection.endheaders()
            rng = random.Random(len(body))
            at = 0
            while at < len(body):
                piece = body[at:at + rng.randrange(1, 30_000)]
                at += len(piece)
                connection.send(b"%x\r\n%s\r\n" % (len(piece), piece))
            connection.send(b"0\r\n\r\n")
        else:
            if body is not None:
                connection.putheader("Content-Length", str(len(body)))
            connection.endheaders(body)
        answer = connection.getresponse()
        content = answer.read()
        # How a body is framed is each connection's own affair: the same here, though not at the same place.
        kept = [(name, value) for name, value in answer.getheaders() if name.lower() not in ("date", "connection", "transfer-encoding")]
        return answer.status, answer.reason, kept, answer.getheader("Transfer-Encoding"), content
    finally:
        connection.close()


def test_what_passes_through_is_the_same_to_the_byte(gunicorn, gateway):
    upstream = gunicorn()
    server = gateway([(1, [upstream.endpoint], None)])
    rng = random.Random(20)
    for number in range(300):
        request = random_request(rng)
        direct, proxied = ask(upstream.port, *request), ask(server.port, *request)
        assert proxied == direct, f"request {number}: {request[:3]}"
    assert server.metric("leadsman_gateway_errors_total") == 0


@pytest.mark.parametrize("shadow", ["alike", "dead"])
def test_a_mirror_changes_not_one_byte(gunicorn, gateway, shadow):
    upstream = gunicorn()
    mirrored = gunicorn().endpoint if shadow == "alike" else f"127.0.0.1:{free_port()}"
    server = gateway([(1, [upstream.endpoint], 1), (2, [mirrored], 0)], mirror={"version": 2, "timeout": "30s"})
    rng = random.Random(21)
    expected = collections.Counter()
    for number in range(150):
        request = random_request(rng)
        direct, proxied = ask(upstream.port, *request), ask(server.port, *request)
        assert proxied == direct, f"request {number}: {request[:3]}"
        if request[0] in ("GET", "POST"):
            expected["equal" if direct[0] < 400 else "both_failed"] += 1
    count = sum(expected.values())
    assert server.metric("leadsman_gateway_errors_total") == 0
    if shadow == "dead":
        wait_for("all copies", lambda: server.metric("leadsman_gateway_mirror_unsent_total") == count)
        assert server.service()["mirror"]["unsent"] == {"not_connected": count}
    else:
        wait_for("all copies", lambda: server.metric("leadsman_gateway_mirror_compared_total") == count)
        results = {name: n for name, n in server.service()["mirror"]["compared"][0]["results"].items() if n}
        assert results == dict(expected)
    assert server.metric("leadsman_gateway_mirror_in_flight") == 0
    wait_for("nothing held", lambda: server.metric("leadsman_gateway_mirror_held_bytes") == 0)


def test_nginx_files_and_ranges_pass(gateway, tmp_path):
    binary = _program("nginx", CACHE / "stores/nginx/usr/sbin/nginx", "/usr/sbin/nginx")
    user = ["-g", "user root;"] if os.geteuid() == 0 else []
    folder = tmp_path / "nginx"
    (folder / "www").mkdir(parents=True)
    content = random.Random(1).randbytes(5_000_000)
    (folder / "www/model.bin").write_bytes(content)
    port = free_port()
    (folder / "nginx.conf").write_text(f"""
        daemon off; pid {folder}/pid; error_log {folder}/error.log; worker_processes 1;
        events {{}}
        http {{ access_log off; client_body_temp_path {folder}/a; proxy_temp_path {folder}/b; fastcgi_temp_path {folder}/c;
                uwsgi_temp_path {folder}/d; scgi_temp_path {folder}/e; keepalive_requests 10;
                server {{ listen 127.0.0.1:{port}; root {folder}/www; }} }}""")
    nginx = subprocess.Popen([binary, "-e", str(folder / "error.log"), "-p", str(folder), "-c", str(folder / "nginx.conf"), *user], start_new_session=True)
    try:
        wait_for("nginx", lambda: requests.get(f"http://127.0.0.1:{port}/model.bin", timeout=5).ok)
        server = gateway([(1, [f"127.0.0.1:{port}"], None)])
        with requests.Session() as session:
            for _ in range(25):  # nginx ends each connection after ten
                answer = session.get(server.url + "/model.bin", headers={"Range": "bytes=1000-1999"}, timeout=10)
                assert (answer.status_code, answer.content) == (206, content[1000:2000])
            assert session.get(server.url + "/model.bin", timeout=10).content == content
            tag = session.head(server.url + "/model.bin", timeout=10).headers["ETag"]
            assert session.get(server.url + "/model.bin", headers={"If-None-Match": tag}, timeout=10).status_code == 304
    finally:
        nginx.terminate()
        nginx.wait(10)


def test_shares_are_kept_and_changed_by_the_admin_api(gunicorn, gateway):
    one, two = gunicorn(version=1), gunicorn(version=2)
    server = gateway([(1, [one.endpoint], "80%"), (2, [two.endpoint], "20%")], split={"by": "random"})

    def shares(count, **headers):
        with requests.Session() as session:
            return collections.Counter(session.post(server.url + "/predict", data=b"x", headers=headers, timeout=10).json()["version"]
                                       for _ in range(count))

    assert abs(shares(1500)[2] - 300) < 5 * (1500 * 0.2 * 0.8) ** 0.5
    assert shares(20, **{"X-Leadsman-Version": "2"}) == {2: 20}
    put = requests.put(server.admin + "/api/v1/gateway/services/digits/weights", json={"weights": {"1": "0%", "2": 1}}, timeout=10)
    assert put.status_code == 200, put.text
    assert [v["share"] for v in put.json()["services"][0]["versions"]] == [0, 1]
    assert shares(50) == {2: 50}
    wrong = requests.put(server.admin + "/api/v1/gateway/services/digits/weights", json={"weights": {"1": "30%"}}, timeout=10)
    assert wrong.status_code == 400 and "100% together" in wrong.text
    # What the monitor has seen, and what an operator is shown.
    wait_for("the events", lambda: server.metric('leadsman_monitor_requests_total') >= 1570)
    shown = server.cli("status").stdout
    assert one.endpoint in shown and "100%" in shown, shown


def test_an_endpoint_that_dies_under_load_costs_no_request(gunicorn, gateway):
    dying, staying = gunicorn(), gunicorn()
    server = gateway([(1, [dying.endpoint, staying.endpoint], None)], outliers={"ejection": "1s"}, retries={"posts": True, "max": 3, "budget": "100%"},
                     health={"path": "/healthz", "interval": "100ms", "unhealthy_after": 1})
    failures, answered = [], collections.Counter()
    stop = threading.Event()

    def load(index):
        with requests.Session() as session:
            while not stop.is_set():
                try:
                    answer = session.post(server.url + "/predict", data=b"x" * 100, timeout=10)
                    answered[index] += 1
                    if answer.status_code != 200:
                        failures.append(answer.text)
                except requests.RequestException as error:
                    failures.append(repr(error))

    threads = [threading.Thread(target=load, args=(i,)) for i in range(4)]
    for thread in threads:
        thread.start()
    wait_for("load", lambda: sum(answered.values()) > 200)
    dying.kill()
    at_death = sum(answered.values())
    wait_for("load on the other one", lambda: sum(answered.values()) > at_death + 500)
    state = {e["endpoint"]: e for e in server.service()["versions"][0]["endpoints"]}
    assert state[dying.endpoint]["state"] in ("unhealthy", "ejected")
    assert "refused the connection" in state[dying.endpoint]["reason"]
    back = gunicorn(port=dying.port)
    wait_for("it to be back", lambda: {e["endpoint"]: e["state"] for e in server.service()["versions"][0]["endpoints"]}[back.endpoint] == "healthy",
             timeout=60)
    stop.set()
    for thread in threads:
        thread.join(20)
    # Who had the head of an answer already, when its sender was killed, can only be shown that the rest does not come.
    cut = [failure for failure in failures if "IncompleteRead" in failure]
    assert len(cut) <= len(threads)
    assert [failure for failure in failures if failure not in cut] == []


def test_events_of_a_stream_come_as_they_are_sent(gunicorn, gateway):
    upstream = gunicorn()
    server = gateway([(1, [upstream.endpoint], None)])
    times = []
    with requests.get(server.url + "/events", stream=True, timeout=10) as answer:
        assert answer.headers["Content-Type"] == "text/event-stream"
        for line in answer.iter_lines(chunk_size=1):
            if line:
                times.append((time.monotonic(), line))
    assert [line for _, line in times] == [f"data: {n}".encode() for n in range(5)]
    assert times[-1][0] - times[0][0] > 0.2, "all at once: they were kept back"


def test_websockets_pass(gateway):
    async def echo(request):
        upstream = web.WebSocketResponse(max_msg_size=0)
        await upstream.prepare(request)
        async for message in upstream:
            await (upstream.send_bytes if message.type == aiohttp.WSMsgType.BINARY else upstream.send_str)(message.data)
        return upstream

    async def talk():
        application = web.Application()
        application.router.add_get("/ws", echo)
        runner = web.AppRunner(application)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        port = runner.addresses[0][1]
        server = await asyncio.to_thread(gateway, [(1, [f"127.0.0.1:{port}"], None)])
        async with aiohttp.ClientSession() as session, session.ws_connect(server.url + "/ws", max_msg_size=0) as client:
            await client.send_str("hello")
            assert (await client.receive(timeout=10)).data == "hello"
            await client.send_bytes(b"\x00\x01" * 100_000)
            assert (await client.receive(timeout=10)).data == b"\x00\x01" * 100_000
        await runner.cleanup()
        assert server.metric("leadsman_gateway_upgrades_total") == 1

    asyncio.run(talk())


def test_slow_clients_keep_nobody_waiting(gunicorn, gateway):
    upstream = gunicorn()
    server = gateway([(1, [upstream.endpoint], None)], client_limits={"head_timeout": "1s"})
    slow = []
    for _ in range(300):
        one = socket.create_connection(("127.0.0.1", server.port), timeout=10)
        one.sendall(b"POST / HTTP/1.1\r\nHost: t\r\nX-A: ")
        slow.append(one)
    with requests.Session() as session:
        for _ in range(50):
            for one in slow[::10]:
                with contextlib.suppress(OSError):
                    one.sendall(b"a")
            assert session.post(server.url + "/predict", data=b"x", timeout=10).status_code == 200
    for one in slow:
        one.settimeout(10)
        assert one.recv(4096).startswith(b"HTTP/1.1 408 "), "a byte now and then does not keep it alive"
        one.close()


def test_a_drain_under_load_loses_no_request(gunicorn, gateway):
    upstream = gunicorn()
    server = gateway([(1, [upstream.endpoint], None)])
    failures, answered = [], collections.Counter()

    def load(index):
        connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=10)
        while True:
            try:
                if connection.sock is None:
                    connection.connect()
            except OSError:
                return  # nobody listens any more: that is how it ends
            try:
                connection.request("POST", "/slow?seconds=0.02", b"x" * 1000)
                answer = connection.getresponse()
                answer.read()
                if answer.status != 200:
                    failures.append(answer.status)
                answered[index] += 1
            except OSError as error:
                failures.append(repr(error))
                return
            except http.client.HTTPException as error:
                failures.append(repr(error))
                return

    threads = [threading.Thread(target=load, args=(i,)) for i in range(8)]
    for thread in threads:
        thread.start()
    wait_for("load", lambda: sum(answered.values()) > 100)
    assert server.stop() == 0
    for thread in threads:
        thread.join(20)
    assert failures == []


PLAN = {"steps": [{"weight": "20%", "duration": "300ms"}, {"weight": "50%", "duration": "300ms"}],
        "gates": [{"kind": "errors", "margin": 2, "floor": "5%"},
                  {"kind": "latency", "margin": 2, "floor": "10%", "ignore_below": "500ms"}],
        "interval": "100ms", "max_duration": "5m"}


@pytest.mark.parametrize(("errors", "verdict"), [(0.0, "promoted"), (0.4, "rolled_back")])
def test_a_rollout_is_started_with_its_plan_at_a_gateway_that_has_none(gunicorn, gateway, tmp_path, errors, verdict):
    one, two = gunicorn(version=1), gunicorn(version=2, errors=errors)
    server = gateway([(1, [one.endpoint], None), (2, [two.endpoint], None)], health={"path": "/healthz", "interval": "100ms"})
    plan = {**PLAN, "steps": [{**PLAN["steps"][0], "approval": True}, PLAN["steps"][1]]}
    (tmp_path / "plan.yaml").write_text(json.dumps(plan))
    (tmp_path / "quality.yaml").write_text(json.dumps({**plan, "gates": [{"kind": "quality", "margin": 0.5}]}))
    shares = lambda: {v["version"]: v["share"] for v in server.service()["versions"]}  # noqa: E731
    rollout = lambda *words: server.cli("rollout", *words)  # noqa: E731

    def refused(code, *words):
        answer = rollout(*words)
        assert answer.returncode == code, answer
        return answer.stderr

    assert "no rollouts yet" in rollout("list", "--model", "digits").stdout
    assert "there is no rollout of a model digits" in refused(4, "show", "digits")
    assert "digits has no rollout plan: give one with the start" in refused(4, "start", "digits", "2")
    assert "digits has no rollout plan: give one by --plan FILE" in refused(2, "plan", "digits")
    assert "service digits has no version 9; versions: 1 and 2" in refused(4, "start", "digits", "9", "--plan", tmp_path / "plan.yaml")
    assert "version 1 has the traffic of digits already" in refused(1, "start", "digits", "1", "--plan", tmp_path / "plan.yaml")
    assert "did you mean digits?" in refused(4, "start", "digit", "2", "--plan", tmp_path / "plan.yaml")
    assert "gates[0].margin: must be above 1" in refused(2, "start", "digits", "2", "--plan", tmp_path / "quality.yaml")
    assert "no rollout 7" in refused(4, "pause", "7")
    assert shares() == {1: 1, 2: 0}
    assert "promotion  " in rollout("plan", "digits", "--plan", tmp_path / "plan.yaml").stdout, "by the traffic of the gateway"

    with asked(server, clients=3):
        begun = rollout("start", "digits", "2", "--plan", tmp_path / "plan.yaml")
        assert begun.returncode == 0 and "rollout 1 of digits version 2 has begun" in begun.stdout, begun
        if verdict == "promoted":
            assert rollout("pause", "digits").returncode == 0
            wait_for("the pause", lambda: server.rollouts()[0]["paused_by"])
            assert rollout("resume", "digits").returncode == 0
            wait_for("the approval to be asked for", lambda: server.rollouts()[0]["awaits_approval"], timeout=120)
            assert rollout("promote", "digits").returncode == 0
        end = wait_for("the verdict", lambda: next((r for r in server.rollouts() if r["phase"] not in ("progressing", "held")), None), timeout=120)
    assert end["phase"] == verdict, end["reason"]
    assert (end["stable"], end["candidate"]) == (1, 2)
    left = {1: 0, 2: 1} if verdict == "promoted" else {1: 1, 2: 0}
    assert shares() == left
    record = tmp_path / "record.json"
    record.write_text(rollout("record", "digits").stdout)
    assert rollout("replay", record).returncode == 0
    server.kill()
    server.start()
    wait_for("the traffic as the rollout has left it", lambda: shares() == left)
    begun = rollout("undo" if verdict == "promoted" else "retry", "digits")
    assert begun.returncode == 0, begun
    if verdict == "promoted":
        wait_for("the way back", lambda: shares() == {1: 1, 2: 0})
    else:
        wait_for("it once more", lambda: server.rollouts()[0]["id"] == 2)
        weights = requests.put(server.admin + "/api/v1/gateway/services/digits/weights", json={"weights": {"1": 1}}, timeout=10)
        assert weights.status_code == 409 and "rollout decides" in weights.text, weights.text
        assert rollout("abort", "digits").returncode == 0
    wait_for("its end", lambda: server.rollouts()[0]["phase"] in ("promoted", "aborted"))
    half = requests.put(server.admin + "/api/v1/gateway/services/digits/weights", json={"weights": {"1": 0.5, "2": 0.5}}, timeout=10)
    assert half.status_code == 200, half.text
    for _ in range(3):  # no rollout takes them away again
        server.cli("status")
        assert shares() == {1: 0.5, 2: 0.5}
    assert "digits has no rollout plan" in refused(4, "start", "digits", "2")


@pytest.mark.parametrize(("errors", "verdict"), [(0.0, "promoted"), (0.4, "rolled_back")])
def test_a_rollout_decides_by_what_the_gateway_sees(gunicorn, gateway, errors, verdict):
    one, two = gunicorn(version=1), gunicorn(version=2, errors=errors)
    server = gateway([(1, [one.endpoint], None), (2, [two.endpoint], None)], health={"path": "/healthz", "interval": "100ms"},
                     models=[{"name": "digits", "rollout": PLAN}])
    with asked(server, clients=3):
        wait_for("the rollout", lambda: server.rollouts())
        refused = requests.put(server.admin + "/api/v1/gateway/services/digits/weights", json={"weights": {"1": 1}}, timeout=10)
        assert refused.status_code == 409 and "rollout decides" in refused.text, refused.text
        ended = wait_for("the verdict", lambda: next((r for r in server.rollouts() if r["phase"] not in ("progressing", "held")), None),
                         timeout=120)
    assert ended["phase"] == verdict, ended["reason"]
    assert (ended["stable"], ended["candidate"]) == (1, 2), "the one with the traffic is the stable one"
    shares = {v["version"]: v["share"] for v in server.service()["versions"]}
    assert shares == ({1: 0, 2: 1} if verdict == "promoted" else {1: 1, 2: 0})
    assert "(rollout)" in server.cli("status").stdout


@pytest.mark.parametrize(("errors", "verdict"), [(0.0, "promoted"), (0.4, "rolled_back")])
def test_blue_green_at_the_gateway(gunicorn, gateway, errors, verdict):
    one, two = gunicorn(version=1), gunicorn(version=2, errors=errors)
    plan = {"strategy": "blue_green", "interval": "100ms", "max_duration": "5m", "gates": [{"kind": "errors", "max": "5%"}],
            "blue_green": {"preview_duration": "300ms", "watch_duration": "300ms", "min_requests": 50}}
    server = gateway([(1, [one.endpoint], None), (2, [two.endpoint], None)], health={"path": "/healthz", "interval": "100ms"},
                     models=[{"name": "digits", "rollout": plan}])
    with asked(server, clients=1):
        ended = wait_for("the verdict", lambda: next((r for r in server.rollouts() if r["phase"] not in ("progressing", "held")), None),
                         timeout=120)
    assert ended["phase"] == verdict, ended["reason"]
    assert ended["arms"]["candidate"]["requests"] > 0 and ended["arms"]["stable"]["requests"] == 0
    shares = {v["version"]: v["share"] for v in server.service()["versions"]}
    assert shares == ({1: 0, 2: 1} if verdict == "promoted" else {1: 1, 2: 0})
    # What was promoted is taken back by hand, and what was taken back is tried again.
    again = server.cli("rollout", "undo" if verdict == "promoted" else "retry", "digits")
    assert again.returncode == 0, again.stderr
    newest = wait_for("the next rollout", lambda: server.rollouts() and server.rollouts()[0]["id"] > ended["id"] and server.rollouts()[0])
    if verdict == "promoted":
        wait_for("the way back", lambda: server.rollouts()[0]["phase"] == "promoted")
        assert {v["version"]: v["share"] for v in server.service()["versions"]} == {1: 1, 2: 0}
    else:
        assert newest["candidate"] == 2


def test_a_rolling_share_never_runs_ahead_of_the_endpoints(gunicorn, gateway):
    old = [gunicorn(version=1) for _ in range(2)]
    first = gunicorn(version=2)
    port = free_port()
    plan = {"strategy": "rolling", "interval": "100ms", "max_duration": "5m", "rolling": {"duration": "500ms"},
            "gates": [{"kind": "errors", "margin": 2, "floor": "5%"}]}
    server = gateway([(1, [one.endpoint for one in old], 1), (2, [first.endpoint, f"127.0.0.1:{port}"], 0)],
                     health={"path": "/healthz", "interval": "100ms"}, models=[{"name": "digits", "rollout": plan}])
    stop, failed = threading.Event(), []

    def load():
        with requests.Session() as session:
            while not stop.is_set():
                if not session.post(server.url + "/predict", data=b"x", timeout=10).ok:
                    failed.append(time.time())

    threads = [threading.Thread(target=load) for _ in range(2)]
    for thread in threads:
        thread.start()
    try:
        wait_for("the first batch", lambda: server.rollouts() and "waiting for 2 of 2 endpoints of version 2" in server.rollouts()[0]["reason"],
                 timeout=60)
        seen = server.rollouts()[0]["arms"]["candidate"]["requests"]
        half = wait_for("evidence that does not help", lambda: next(
            (r for r in server.rollouts() if r["arms"]["candidate"]["requests"] > seen + 50), None), timeout=30)
        assert half["share"] == 0.5 and half["step_count"] == 3, half["reason"]
        gunicorn(version=2, port=port)
        wait_for("all traffic", lambda: server.rollouts()[0]["share"] == 1, timeout=30)
        for one in old:
            one.kill()  # with all traffic gone from them nobody misses them
        ended = wait_for("the verdict", lambda: next((r for r in server.rollouts() if r["phase"] not in ("progressing", "held")), None), timeout=60)
    finally:
        stop.set()
        for thread in threads:
            thread.join(20)
    assert ended["phase"] == "promoted", ended["reason"]
    assert failed == []
    assert {v["version"]: v["share"] for v in server.service()["versions"]} == {1: 0, 2: 1}


def test_an_ab_test_ends_with_a_readout_and_a_person(gunicorn, gateway):
    one, two = gunicorn(version=1, errors=0.1), gunicorn(version=2)
    plan = {"strategy": "ab", "interval": "100ms", "max_duration": "5m", "ab": {"weight": "50%", "duration": "2s", "min_requests": 400},
            "gates": [{"kind": "errors"}]}
    server = gateway([(1, [one.endpoint], None), (2, [two.endpoint], None)], health={"path": "/healthz", "interval": "100ms"},
                     outliers={"consecutive_errors": 0}, models=[{"name": "digits", "rollout": plan}])
    with asked(server, clients=3):
        held = wait_for("the end", lambda: next((r for r in server.rollouts() if r["awaits_approval"]), None), timeout=120)
        (errors,) = held["readout"]["metrics"]
        assert errors["metric"] == "errors" and errors["verdict"] == "better" and errors["difference"]["high"] < 0, errors
        assert errors["candidate"]["exposure"] >= 400 and "version 2 is better" in held["reason"], held["reason"]
        shown = server.cli("rollout", "show", "digits").stdout
        assert "readout    errors (answered with an error): stable" in shown and "candidate better" in shown, shown
        assert server.cli("rollout", "promote", "digits").returncode == 0
        ended = wait_for("the verdict", lambda: next((r for r in server.rollouts() if r["phase"] == "promoted"), None), timeout=30)
    assert "readout at 95 % confidence: errors" in ended["reason"]
    record = json.loads(server.cli("rollout", "record", "digits").stdout)
    assert record["verdict"]["readout"][0]["verdict"] == "better"


def test_the_configuration_is_checked(tmp_path):
    path = tmp_path / "gateway.json"
    good = {"gateway": {"listeners": [{"port": 0}], "services": [{"name": "a", "versions": [{"version": 1, "endpoints": ["a:1"]}]}]}}

    def check(config):
        path.write_text(json.dumps(config))
        return subprocess.run([str(BINARY), "gateway", "--config", str(path), "--check-config"], capture_output=True, text=True, timeout=20)

    assert check(good).returncode == 0
    bad = json.loads(json.dumps(good))
    bad["gateway"]["services"][0]["mirror"] = {"version": 2}
    bad["gateway"]["services"][0]["protocol"] = "grpc"
    bad["gateway"]["listeners"][0]["protocol"] = "spdy"
    answer = check(bad)
    assert answer.returncode == 2
    assert "gateway.services[0].mirror.version: there is no version 2; versions: 1" in answer.stderr
    assert "gateway.listeners[0].protocol: " in answer.stderr
    bad = json.loads(json.dumps(good))
    bad["gateway"]["services"][0]["tls"] = {"ca_file": "nowhere.pem"}
    answer = check(bad)
    assert answer.returncode == 2
    assert f"gateway.services[0].tls.ca_file: cannot look at {tmp_path}/nowhere.pem" in answer.stderr, answer.stderr
    answer = check({"models": []})
    assert answer.returncode == 2 and "nothing to proxy" in answer.stderr
