"""The section `gateway` changes while `leadsman gateway` runs, under load: no request is lost, and what stays goes on."""
import collections
import contextlib
import json
import os
import signal
import threading

import grpc
import pytest
import requests
from conftest import wait_for
from test_gateway import PLAN, gateway, gunicorn  # noqa: F401
from test_gateway_grpc import channel, upstream  # noqa: F401


class Load:
    """Clients that ask all the time: some on a connection of their own each time, the others keep theirs."""

    def __init__(self, ask, clients=4):
        self.failures, self.answers = [], collections.Counter()
        self._stop = threading.Event()
        self._ask = ask
        self._threads = [threading.Thread(target=self._run, args=(i,)) for i in range(clients)]

    def _run(self, index):
        with contextlib.ExitStack() as stack:
            client = self._ask(index, stack)
            while not self._stop.is_set():
                try:
                    self.answers[client()] += 1
                except Exception as error:  # noqa: BLE001  whatever it is, a request is lost
                    self.failures.append(repr(error))

    def more(self, count=50):
        wanted = sum(self.answers.values()) + len(self.failures) + count
        wait_for("load", lambda: sum(self.answers.values()) + len(self.failures) >= wanted)

    def __enter__(self):
        for thread in self._threads:
            thread.start()
        self.more()
        return self

    def __exit__(self, *_):
        self._stop.set()
        for thread in self._threads:
            thread.join(20)


def over_http(server):
    def client(index, stack):
        session = stack.enter_context(requests.Session())

        def ask():
            headers = {"Connection": "close"} if index % 2 else {}
            answer = session.post(server.url + "/predict", data=b"x" * 500, headers=headers, timeout=10)
            assert answer.status_code == 200, answer.text
            return answer.json()["version"]
        return ask
    return Load(client)


def reloaded(server, by="signal", wait=True):
    """The file as `server.config` is by now."""
    before = server.get("/api/v1/status").json()["config_reload"]
    part = server.path.with_suffix(".part")
    part.write_text(json.dumps(server.config, indent=1))
    os.rename(part, server.path)
    if by == "api":
        return requests.post(server.admin + "/api/v1/reload", timeout=10)
    if by == "signal":
        server.process.send_signal(signal.SIGHUP)

    def state():
        now = server.get("/api/v1/status").json()["config_reload"]
        return now if (now["succeeded"], now["failed"]) != (before["succeeded"], before["failed"]) else None
    return wait_for("the reload", state) if wait else None


def test_endpoints_versions_and_routes_change_under_load(gunicorn, gateway):  # noqa: F811
    one, two, three = gunicorn(version=1, keep_alive=30), gunicorn(version=1, keep_alive=30), gunicorn(version=3, keep_alive=30)
    server = gateway([(1, [one.endpoint, two.endpoint], None)], health={"path": "/healthz", "interval": "200ms"}, retries={"max": 0})
    service = server.config["gateway"]["services"][0]
    first = json.dumps(server.config)
    with over_http(server) as load:
        for round in range(6):
            service["versions"][0]["endpoints"] = [(one, two)[round % 2].endpoint]
            assert reloaded(server)["error"] == ""
            load.more(20)
        # What has gone from the configuration may go.
        service["versions"] = [{"version": 1, "endpoints": [two.endpoint], "weight": "50%"}, {"version": 3, "endpoints": [three.endpoint], "weight": "50%"}]
        server.config["gateway"]["routes"] = [{"path": "/predict", "service": "digits"}]
        assert reloaded(server, by="api").status_code == 200
        before = server.metric('leadsman_gateway_requests_total')
        load.more(50)
        one.kill()
        load.more(100)
        service["versions"] = [service["versions"][1] | {"weight": "100%"}]
        assert reloaded(server, by="api").status_code == 200
        load.more(50)
        assert load.failures == []
        assert 1 in load.answers and 3 in load.answers
        assert 'version="1"' not in "".join(x for x in server.get("/metrics").text.splitlines() if x.startswith("leadsman_gateway_requests"))
        assert before > 100
        load.answers.clear()
        load.more(50)
        assert set(load.answers) == {3}
    assert requests.get(server.url + "/elsewhere", timeout=10).status_code == 404
    server.config = json.loads(first)
    assert reloaded(server)["error"] == ""
    assert requests.get(server.url + "/elsewhere", timeout=10).status_code == 200


def test_the_file_is_followed_and_what_cannot_change_is_refused_whole(gunicorn, gateway):  # noqa: F811
    one, two = gunicorn(version=1), gunicorn(version=2)
    server = gateway([(1, [one.endpoint], None)])
    good = json.dumps(server.config)
    for change, words in [
            (lambda g: g.update(io_threads=7), "gateway.io_threads (0 → 7) cannot change while the gateway runs: leave it as it was, or restart the gateway"),
            (lambda g: g["listeners"][0].update(port=1), "gateway.listeners[0].port (0 → 1) cannot change"),
            (lambda g: g.update(decode={"max_queue": 7}), "gateway.decode.max_queue (4096 → 7) cannot change"),
            (lambda g: g["services"][0].update(tls={"ca_file": "nowhere.pem"}), "nowhere.pem"),
            (lambda g: g["services"][0].update(split={"by": "nonsense"}), "nonsense")]:
        server.config = json.loads(good)
        server.config["gateway"]["services"][0]["versions"][0]["endpoints"] = [two.endpoint]
        change(server.config["gateway"])
        answer = reloaded(server, by="api")
        assert answer.status_code >= 400 and words in answer.text, answer.text
        assert requests.post(server.url + "/predict", data=b"x", timeout=10).json()["version"] == 1
    shown = json.loads(server.cli("config", "show").stdout)["gateway"]["services"][0]["versions"][0]["endpoints"]
    assert shown == [one.endpoint], "what is in force is shown"
    server.config = json.loads(good)
    assert reloaded(server, by="api").status_code == 200
    assert server.stop() == 0
    server.config["config_reload"] = "auto"
    server.start()
    server.config["gateway"]["services"][0]["versions"][0]["endpoints"] = [two.endpoint]
    assert reloaded(server, by="file")["last_trigger"] == "file"
    assert requests.post(server.url + "/predict", data=b"x", timeout=10).json()["version"] == 2


def test_a_rollout_goes_on_and_its_versions_stay(gunicorn, gateway):  # noqa: F811
    one, two, three = gunicorn(version=1), gunicorn(version=2), gunicorn(version=3)
    plan = {"steps": [{"weight": "30%", "duration": "10m"}, {"weight": "60%", "duration": "10m"}], "gates": [{"kind": "errors", "margin": 2}],
            "interval": "100ms"}
    server = gateway([(1, [one.endpoint], None), (2, [two.endpoint], None)], health={"path": "/healthz", "interval": "100ms"},
                     models=[{"name": "digits", "rollout": plan}])
    service = server.config["gateway"]["services"][0]
    shares = lambda: {v["version"]: v["share"] for v in server.service()["versions"]}  # noqa: E731
    with over_http(server) as load:
        rollout = wait_for("the rollout", lambda: next((r for r in server.rollouts() if r["phase"] == "progressing"), None))
        wait_for("its share", lambda: shares() == {1: 0.7, 2: 0.3})
        # A version beside them, other options, another plan: the rollout goes on with its share, its plan and its evidence.
        service["versions"].append({"version": 3, "endpoints": [three.endpoint]})
        service["timeouts"] = {"per_try": "9s"}
        server.config["models"][0]["rollout"] = PLAN
        counted = server.rollouts()[0]["arms"]["candidate"]["requests"]
        assert reloaded(server)["error"] == ""
        assert shares() == {1: 0.7, 2: 0.3, 3: 0}
        wait_for("more evidence", lambda: server.rollouts()[0]["arms"]["candidate"]["requests"] > counted + 20)
        assert server.rollouts()[0]["id"] == rollout["id"] and server.rollouts()[0]["phase"] == "progressing"
        good = json.dumps(service["versions"])
        service["versions"].pop(1)
        refused = reloaded(server, by="api")
        assert refused.status_code >= 400
        assert f"version 2 of digits must stay while rollout {rollout['id']} from version 1 to 2 is under way (progressing)" in refused.text
        service["versions"] = json.loads(good)
        service["split"] = {"by": "client"}
        refused = reloaded(server, by="api")
        assert refused.status_code >= 400 and "the split (by, name) of digits must stay" in refused.text
        del service["split"]
        assert server.cli("rollout", "abort", str(rollout["id"])).returncode == 0
        wait_for("its end", lambda: server.rollouts()[-1]["phase"] == "aborted")
        # Version 3 is next, and by the plan of now.
        ended = wait_for("the next one", lambda: next((r for r in server.rollouts() if r["candidate"] == 3 and r["phase"] == "promoted"), None), timeout=120)
        assert ended["stable"] == 1
        service["versions"] = [v for v in json.loads(good) if v["version"] == 3]
        assert reloaded(server, by="api").status_code == 200
        load.more(50)
        assert shares() == {3: 1}
        assert load.failures == []


def test_calls_are_not_lost(upstream, gateway):  # noqa: F811
    one, two = upstream(version=1), upstream(version=2)
    server = gateway([(1, [one.endpoint], None)], protocol="grpc", health={"path": "/grpc.health.v1.Health/Check", "interval": "200ms"}, retries={"max": 0})
    service = server.config["gateway"]["services"][0]

    def client(index, stack):
        c = stack.enter_context(channel(server))
        slow = c.unary_unary("/test.Echo/Slow")
        return lambda: slow(b"0.01", timeout=10) and 1

    with channel(server) as held, Load(client) as load:
        # One call that lasts longer than all of it.
        pending = held.unary_unary("/test.Echo/Slow").future(b"3", timeout=20)
        for round in range(8):
            service["versions"] = [{"version": round % 2 + 1, "endpoints": [(one, two)[round % 2].endpoint]}]
            service["timeouts"] = {"per_try": f"{20 + round}s"}
            assert reloaded(server)["error"] == ""
            load.more(30)
        assert load.failures == []
        try:
            assert pending.result(timeout=20)
        except grpc.RpcError as error:
            pytest.fail(str(error))
