"""What `leadsman gateway` reads out of the bodies that pass: features, predictions and so drift and quality of services that know nothing of it."""
import collections
import contextlib
import gzip
import json
import os
import random
import signal
import socket
import subprocess
import threading
import time

import models
import numpy as np
import pytest
import requests
import tritonclient.http as triton
from conftest import MODELS_PYTHON, wait_for
from test_gateway import HERE, Gateway, free_port, gunicorn  # noqa: F401

REQUESTS = 1300
FIELDS = {"request": {"feature.age": "customer.age", "feature.income": "customer.income", "segment.region": "region"},
          "response": {"predicted": "decision.class", "score": "decision.p"}}


@pytest.fixture
def credit(tmp_path):
    """credit(version) → the endpoint of real gunicorn with Flask."""
    processes = []

    def _credit(version):
        port = free_port()
        with open(tmp_path / f"credit-{version}.log", "ab") as log:
            processes.append(subprocess.Popen(
                [str(MODELS_PYTHON), "-m", "gunicorn", "--worker-class", "gthread", "--threads", "4", "--keep-alive", "5", "--bind",
                 f"127.0.0.1:{port}", "--log-level", "warning", "gateway_credit:app"], cwd=HERE, stdout=log, stderr=log,
                start_new_session=True, env={**os.environ, "UPSTREAM_VERSION": str(version), "PYTHONDONTWRITEBYTECODE": "1"}))
        wait_for("gunicorn", lambda: requests.get(f"http://127.0.0.1:{port}/healthz", timeout=2).ok, timeout=60)
        return f"127.0.0.1:{port}"

    yield _credit
    for process in processes:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait(10)


@pytest.fixture
def gateway(tmp_path):
    started = []

    def _gateway(**config):
        folder = tmp_path / f"gateway{len(started)}"
        folder.mkdir()
        models_ = config.pop("models", [])
        started.append(Gateway(folder, {"gateway": {"listeners": [{"address": "127.0.0.1", "port": 0}], **config}, "models": models_}))
        return started[-1].start()

    yield _gateway
    for one in started:
        alive = one.process.poll() is None
        code = one.stop()
        if alive:
            assert code == 0, f"leadsman ended with {code}:\n{one.log_text()}"


def versions(service, *endpoints):
    share = 1 / len(endpoints)
    return {"name": service, "versions": [{"version": number + 1, "endpoints": [endpoint], "weight": share}
                                          for number, endpoint in enumerate(endpoints)]}


def bodies(server, side, result):
    name = f'leadsman_gateway_bodies_total{{side="{side}",result="{result}"}} '
    return sum(float(line.split()[-1]) for line in server.get("/metrics").text.splitlines() if line.startswith(name))


def by_version(server, model, what):
    return {v["version"]: v for v in server.get(f"/api/v1/models/{model}/{what}").json()["versions"]}


def profile(server, model, version):
    features = server.get(f"/api/v1/models/{model}/versions/{version}/profile").json()["features"]
    return {f.get("name", f["index"]): f for f in features}


def test_own_json_of_flask_is_monitored_by_version(credit, gateway):
    server = gateway(
        services=[versions("credit", credit(1), credit(2))],
        routes=[{"path": "/healthz", "service": "credit", "predictions": "none"}, {"service": "credit", "decode": FIELDS}],
        models=[{"name": "credit", "monitoring": {"reference": {"requests": 500}, "max_join_rate": 100000,
                                                  "segments": [{"name": "region"}, {"name": "tenant", "header": "x-tenant"}]}}])
    rng = random.Random(8)
    truth, answered = {}, {}
    with requests.Session() as session:
        for number in range(REQUESTS):
            customer = {"age": rng.randrange(20, 70), "income": rng.choice([30_000, 80_000]), "name": "someone"}
            truth[f"r{number}"] = "yes" if customer["income"] > 50_000 else "no"
            body = json.dumps({"region": rng.choice(["north", "south"]), "customer": customer}, indent=number % 2).encode()
            packed = number % 3 == 0
            session.headers["Accept-Encoding"] = "gzip" if packed else "identity"
            answer = session.post(server.url + "/score", data=body, timeout=10, headers={
                "X-Request-Id": f"r{number}", "Content-Type": "application/json", "X-Tenant": "acme"})
            assert answer.status_code == 200, answer.text
            answered[f"r{number}"] = answer.json()["decision"]["class"]
    wait_for("all to be decoded", lambda: bodies(server, "request", "decoded") == REQUESTS)
    assert bodies(server, "response", "decoded") == REQUESTS, "a third was compressed"
    wait_for("the references", lambda: {v["inputs"]["reference"]["state"] for v in by_version(server, "credit", "drift").values()} == {"ready"})
    labels = {"labels": [{"request_id": key, "label": text} for key, text in truth.items()]}
    assert requests.post(server.admin + "/api/v1/labels", json=labels, timeout=10).status_code == 200
    wait_for("all labels", lambda: sum(v.get("labelled", 0) for v in by_version(server, "credit", "quality").values()) == REQUESTS)

    quality = by_version(server, "credit", "quality")
    assert quality[1]["accuracy"] == 1
    assert 0.4 < quality[2]["accuracy"] < 0.8, "wrong about all who are younger than 40"
    wrong = sum(truth[key] != answered[key] for key in truth)
    assert quality[2]["wrong"] == wrong
    segments = {(s["by"], s["segment"]): s["labelled"] for s in quality[1]["segments"]}
    assert segments["region", "north"] + segments["region", "south"] == quality[1]["labelled"] == segments["tenant", "acme"]
    for version in (1, 2):
        seen = profile(server, "credit", version)
        assert set(seen) == {"age", "income"}
        assert 20 <= seen["age"]["min"] <= seen["age"]["max"] < 70 and seen["income"]["max"] == 80_000
    assert 'leadsman_monitor_accuracy{model="credit",version="2"' in server.get("/metrics").text
    assert server.get("/api/v1/gateway").json()["decode"]["features"] == {"credit": ["age", "income"]}
    assert f"{REQUESTS} requests read" in server.cli("status").stdout


def result_of(customer):
    """How the answers of both versions compare, by what the service is made of."""
    if customer.get("trouble"):
        return {1: "live_failed", 2: "shadow_failed"}[customer["trouble"]]
    if customer["age"] < 40:
        return "class_flip"
    return {0: "equal", 1e-6: "within_tolerance", 0.1: "differs"}[customer["shift"]]


def test_a_mirrors_answers_are_compared_with_those_that_clients_got(credit, gateway):
    service = {"name": "credit", "mirror": {"version": 2, "max_concurrent": 1000, "timeout": "60s"}, "versions": [
        {"version": 1, "endpoints": [credit(1)], "weight": 1}, {"version": 2, "endpoints": [credit(2)], "weight": 0}]}
    server = gateway(
        services=[service],
        routes=[{"path": "/healthz", "service": "credit", "predictions": "none"}, {"service": "credit", "decode": FIELDS}],
        models=[{"name": "credit", "monitoring": {"max_join_rate": 100000}}])
    rng = random.Random(9)
    asked = {}
    with requests.Session() as session:
        for number in range(500):
            customer = {"age": rng.randrange(20, 70), "income": rng.choice([30_000, 80_000]), "shift": rng.choice([0, 0, 1e-6, 0.1])}
            if rng.random() < 0.1:
                customer["trouble"] = rng.choice([1, 2])
            asked[f"r{number}"] = customer
            session.headers["Accept-Encoding"] = "gzip" if number % 3 == 0 else "identity"
            answer = session.post(server.url + "/score", json={"customer": customer, "region": "north"},
                                  headers={"X-Request-Id": f"r{number}"}, timeout=10)
            if customer.get("trouble") == 1:
                assert answer.status_code == 500
                continue
            assert answer.json() == {"took_ms": 1, "decision": {"class": "yes" if customer["income"] > 50_000 else "no", "p": 0.75}}
    expected = collections.Counter(result_of(customer) for customer in asked.values())
    assert len(expected) == 6, expected
    wait_for("all to be compared", lambda: server.metric("leadsman_gateway_mirror_compared_total") == len(asked))

    mirror = server.service("credit")["mirror"]
    (pair,) = mirror["compared"]
    assert (pair["live_version"], pair["version"]) == (1, 2)
    assert {name: count for name, count in pair["results"].items() if count} == dict(expected)
    assert pair["largest_difference"] == pytest.approx(0.1)
    assert (mirror["sent"], mirror["answered"], mirror["in_flight"]) == (len(asked), len(asked), 0)
    assert mirror["errors"] == expected["shadow_failed"]
    for result, ids in pair["examples"].items():
        assert 0 < len(ids) <= 5
        assert {result_of(asked[key]) for key in ids} == {result}
    # Nothing of the shadow is in what is said of versions.
    wait_for("the events", lambda: server.metric("leadsman_monitor_requests_total") == len(asked))
    assert set(by_version(server, "credit", "quality")) == {1}
    live, shadow = server.service("credit")["versions"]
    assert (live["requests"], shadow["requests"]) == (len(asked), 0)
    assert shadow["endpoints"][0]["failures"] == shadow["endpoints"][0]["requests"] == 0
    shown = server.cli("status").stdout
    row = next(line.split() for line in shown.splitlines() if line.startswith("credit ") and line.split()[3:4] == [str(expected["equal"])])
    assert row[1:7] == ["1", "2", *(str(expected[name]) for name in ("equal", "within_tolerance", "differs", "class_flip"))]
    assert f"credit, class_flip, the newest requests: {', '.join(pair['examples']['class_flip'])}" in shown

    # Labels say who is right where the two disagree. The first version always is, but for what the test says otherwise.
    def label_of(key, customer):
        good = (customer["income"] > 50_000) != (int(key[1:]) % 7 == 0)
        return "yes" if good else "no"

    labels = [{"request_id": key, "label": label_of(key, customer)} for key, customer in asked.items()]
    assert requests.post(server.admin + "/api/v1/labels", json={"labels": labels}, timeout=10).status_code == 200
    flipped = [key for key, customer in asked.items() if result_of(customer) == "class_flip"]
    shadow_right = sum(int(key[1:]) % 7 == 0 for key in flipped)
    wait_for("the labels", lambda: server.metric("leadsman_gateway_mirror_labelled_total") == len(flipped))
    labelled = server.service("credit")["mirror"]["compared"][0]["labelled"]
    assert (labelled["live_right"], labelled["shadow_right"], labelled["neither_right"]) == (len(flipped) - shadow_right, shadow_right, 0)
    assert labelled["e_shadow_worse"] > 1e6 and labelled["e_live_worse"] < 1
    assert f"by labels, where they disagree: live right {len(flipped) - shadow_right}, shadow right {shadow_right}" in server.cli("status").stdout


def test_a_mirror_that_dies_takes_nobody_along(gunicorn, gateway):  # noqa: F811
    live, shadow = gunicorn(), gunicorn()
    server = gateway(services=[{"name": "digits", "mirror": {"version": 2}, "versions": [
        {"version": 1, "endpoints": [live.endpoint], "weight": 1}, {"version": 2, "endpoints": [shadow.endpoint], "weight": 0}]}])
    def mirror():
        return server.service()["mirror"]

    with requests.Session() as session:
        for number in range(200):
            if number == 100:
                wait_for("the answers so far", lambda: mirror()["answered"] == 100)
                shadow.kill()
            assert session.post(server.url + "/predict", data=b"x", timeout=10).json() == {"version": 1, "bytes": 1}
    wait_for("all copies to be over", lambda: mirror()["in_flight"] == 0 and mirror()["sent"] + sum(mirror()["unsent"].values()) == 200)
    found = mirror()
    assert found["answered"] == 100
    assert found["sent"] == 100 + sum(found["unanswered"].values()), "but for one that may have been on its way"
    assert set(found["unsent"]) == {"not_connected"}
    assert server.service()["versions"][1]["endpoints"][0]["ejections"] == 0


SHADOW = {"strategy": "shadow", "interval": "100ms", "max_duration": "5m",
          "shadow": {"mirror": "100%", "duration": "2s", "min_requests": 100}}


class Customers:
    """Asks for credit all the time, by people of these ages; keeps who was answered by which version, and says afterwards who was right."""

    def __init__(self, server, ages, labels):
        self.server, self.ages, self.labels = server, ages, labels
        self.by, self.failed, self.stop = collections.Counter(), [], threading.Event()
        self.threads = [threading.Thread(target=self.ask, args=(n,)) for n in range(3)]
        for thread in self.threads:
            thread.start()

    def ask(self, name):
        rng = random.Random(name)
        known = []
        with requests.Session() as session:
            for number in range(1_000_000):
                if self.stop.is_set():
                    return
                customer = {"age": rng.randrange(*self.ages), "income": rng.choice([30_000, 80_000])}
                key = f"c{name}-{number}"
                try:
                    answer = session.post(self.server.url + "/score", json={"customer": customer, "region": "north"},
                                          headers={"X-Request-Id": key}, timeout=10)
                    self.by[answer.json()["took_ms"]] += 1
                except requests.RequestException:
                    self.failed.append(key)  # the server is being killed
                    self.stop.wait(0.05)
                    continue
                known.append({"request_id": key, "label": "yes" if customer["income"] > 50_000 else "no"})
                if self.labels and len(known) == 20:
                    time.sleep(0.3)  # until they have been compared
                    assert requests.post(self.server.admin + "/api/v1/labels", json={"labels": known}, timeout=10).status_code == 200
                    known = []

    def end(self):
        self.stop.set()
        for thread in self.threads:
            thread.join(20)


def shadowed(credit, gateway, plan):
    service = {"name": "credit", "mirror": {"max_concurrent": 1000, "timeout": "60s"}, "versions": [
        {"version": 1, "endpoints": [credit(1)], "weight": 1}, {"version": 2, "endpoints": [credit(2)], "weight": 0}]}
    return gateway(services=[service], routes=[{"service": "credit", "decode": FIELDS}],
                   models=[{"name": "credit", "monitoring": {"max_join_rate": 100000}, "rollout": plan}])


def verdict(server):
    return next((r for r in server.rollouts() if r["phase"] not in ("progressing", "held")), None)


def test_a_shadow_that_says_the_same_takes_the_traffic_also_over_a_kill(credit, gateway, tmp_path):
    plan = {**SHADOW, "gates": [{"kind": "errors", "floor": "3%"}, {"kind": "answers", "max": "2%"}, {"kind": "quality", "floor": "2%"}]}
    server = shadowed(credit, gateway, plan)
    customers = Customers(server, (40, 70), labels=False)
    try:
        running = wait_for("copies", lambda: server.rollouts() and server.rollouts()[0]["copies"]["compared"] > 20 and server.rollouts()[0])
        assert (running["strategy"], running["mirror"], running["share"]) == ("shadow", 1, 0)
        assert server.service("credit")["mirror"]["version"] == 2
        assert "of requests;" in server.cli("rollout", "show", "credit").stdout
        assert customers.by[2] == 0
        server.kill()
        server.start()
        ended = wait_for("the verdict", lambda: verdict(server), timeout=60)
        wait_for("the new version's answers", lambda: customers.by[2] > 20)
    finally:
        customers.end()
    assert ended["phase"] == "promoted", ended["reason"]
    assert ended["id"] == running["id"] and ended["copies"]["compared"] > running["copies"]["compared"]
    assert ended["arms"]["candidate"]["requests"] == 0, "no client met it before"
    assert server.service("credit")["mirror"] is None
    assert {v["version"]: v["share"] for v in server.service("credit")["versions"]} == {1: 0, 2: 1}
    record = tmp_path / "verdict.json"
    record.write_text(server.cli("rollout", "record", "credit").stdout)
    replayed = server.cli("rollout", "replay", str(record))
    assert replayed.returncode == 0 and "to the same verdict" in replayed.stdout, replayed.stdout + replayed.stderr


@pytest.mark.parametrize(("gates", "why"), [
    ([{"kind": "errors"}, {"kind": "answers", "max": "2%", "only_classes": True}], "answers of version 2 had another class"),
    ([{"kind": "quality"}], "labelled rows of these version 2 had")])
def test_a_shadow_that_is_wrong_is_taken_back_before_a_client_meets_it(credit, gateway, gates, why):
    server = shadowed(credit, gateway, {**SHADOW, "gates": gates})
    customers = Customers(server, (20, 70), labels=True)
    try:
        ended = wait_for("the verdict", lambda: verdict(server), timeout=60)
    finally:
        customers.end()
    assert ended["phase"] == "rolled_back" and why in ended["reason"], ended["reason"]
    assert customers.by[2] == 0 and customers.by[1] > 10 and customers.failed == []
    assert server.service("credit")["mirror"] is None


def test_a_version_that_is_sure_of_what_is_wrong_is_taken_back_by_its_scores(credit, gateway):
    server = shadowed(credit, gateway, {"steps": [{"weight": "50%", "duration": "1s"}], "gates": [{"kind": "loss", "metric": "brier"}],
                                        "interval": "100ms", "max_duration": "5m"})
    customers = Customers(server, (20, 70), labels=True)
    try:
        ended = wait_for("the verdict", lambda: verdict(server), timeout=60)
    finally:
        customers.end()
    assert customers.failed == [] and customers.by[2] > 10
    assert ended["phase"] == "rolled_back", ended["reason"]
    assert "loss: the mean Brier score of version 2 is 0." in ended["reason"], ended["reason"]
    told = ended["gates"][0]["loss"]
    assert told["stable_mean"] == pytest.approx(0.0625) and told["candidate_mean"] > 0.1, "0.25 squared; 0.75 squared where it is wrong"
    assert told["unmeasured"] == 0


def test_a_v2_service_is_monitored_as_its_own_server_would(start, gateway, tmp_path):
    upstreams = []
    for number, wrong in enumerate((None, 3)):
        repository = tmp_path / f"repository{number}"
        models.release(repository, "digits", 1, models.classifier(wrong))
        upstreams.append(start(models=[{"name": "digits", "path": str(repository / "digits")}]).url.removeprefix("http://"))
    server = gateway(services=[versions("digits", *upstreams)],
                     models=[{"name": "digits", "monitoring": {"max_join_rate": 100000}}])
    rng = np.random.default_rng(4)
    rows = [np.roll(np.linspace(1, 0, 10, dtype="f"), number % 10) + rng.normal(0, 0.01, 10).astype("f") for number in range(400)]
    truth, answered = [int(row.argmax()) for row in rows], []
    for number, row in enumerate(rows[:200]):
        body = {"inputs": [{"name": "x", "shape": [1, 10], "datatype": "FP32", "data": [float(x) for x in row]}]}
        packed = gzip.compress(json.dumps(body).encode()) if number % 2 else json.dumps(body).encode()
        answer = requests.post(server.url + "/v2/models/digits/infer", data=packed, timeout=10, headers={
            "X-Request-Id": f"r{number}", "Content-Type": "application/json", **({"Content-Encoding": "gzip"} if number % 2 else {})})
        assert answer.status_code == 200, answer.text
        answered.append(next(output["data"][0] for output in answer.json()["outputs"] if output["name"] == "label"))
    # Triton's own client sends and asks for bytes.
    client = triton.InferenceServerClient(server.url.removeprefix("http://"))
    for number, row in enumerate(rows[200:], 200):
        x = triton.InferInput("x", [1, 10], "FP32")
        x.set_data_from_numpy(row.reshape(1, 10))
        answered.append(int(client.infer("digits", [x], headers={"X-Request-Id": f"r{number}"}).as_numpy("label")[0]))
    client.close()
    wait_for("all to be decoded", lambda: bodies(server, "response", "decoded") == 400)
    assert bodies(server, "request", "decoded") == 400
    labels = {"labels": [{"request_id": f"r{number}", "label": str(label)} for number, label in enumerate(truth)]}
    assert requests.post(server.admin + "/api/v1/labels", json=labels, timeout=10).status_code == 200
    wait_for("all labels", lambda: sum(v.get("labelled", 0) for v in by_version(server, "digits", "quality").values()) == 400)
    quality = by_version(server, "digits", "quality")
    assert quality[1]["wrong"] == 0
    assert quality[2]["wrong"] == sum(x != y for x, y in zip(truth, answered)) > 20
    for version in (1, 2):
        seen = profile(server, "digits", version)
        assert len(seen) == 10
        assert all(-0.2 < f["min"] < f["max"] < 1.2 for f in seen.values())


def test_what_cannot_be_read_passes_and_is_counted(credit, gateway):
    server = gateway(services=[versions("credit", credit(1))], decode={"max_body": "10KiB", "max_held_bytes": "1MiB"})
    long = json.dumps({"customer": {"age": 30, "income": 80_000}, "note": "x" * 20_000})
    for data, kind in ((long, "application/json"), (b"\x89PNG" * 10, "image/png"), (b"not json", "application/json")):
        direct = requests.post(f"http://{server.service('credit')['versions'][0]['endpoints'][0]['endpoint']}/score", data=data,
                               headers={"Content-Type": kind}, timeout=10)
        answer = requests.post(server.url + "/score", data=data, headers={"Content-Type": kind}, timeout=10)
        assert (answer.status_code, answer.content) == (direct.status_code, direct.content)
    assert requests.post(server.url + "/broken", json={"customer": {"age": 1}}, timeout=10).status_code == 500
    # /broken does not read its body: where its answer is the quicker of the two, none was there.
    for results, count in ((["too_long"], 1), (["content_type"], 1), (["not_understood", "absent"], 2)):
        wait_for(results, lambda results=results, count=count: sum(bodies(server, "request", r) for r in results) == count)
    assert bodies(server, "request", "not_understood") >= 1
    wait_for("the events", lambda: server.metric("leadsman_monitor_requests_total") == 4)

    # Many at once, with as much as all of them may hold: none is kept waiting, and none is lost.
    def load():
        with requests.Session() as session:
            for _ in range(100):
                assert session.post(server.url + "/score", data=long[:9_000] + '"}', timeout=10).status_code in (200, 400, 415)

    threads = [threading.Thread(target=load) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    wait_for("all events", lambda: server.metric("leadsman_monitor_requests_total") == 804)
    wait_for("nothing held", lambda: server.metric("leadsman_gateway_held_bytes") == 0)


def test_decoding_can_be_turned_off(credit, gateway):
    server = gateway(services=[versions("credit", credit(1))], decode={"sample": 0})
    assert requests.post(server.url + "/score", json={"customer": {"age": 30, "income": 80_000}}, timeout=10).status_code == 200
    wait_for("the event", lambda: server.metric("leadsman_monitor_requests_total") == 1)
    assert server.metric("leadsman_gateway_bodies_total") == 0
    assert server.metric("leadsman_gateway_exchanges_total") == 0


def test_a_shadow_that_refuses_connections_is_taken_back(credit, gateway):
    with socket.socket() as taken:  # and nobody listens there
        taken.bind(("127.0.0.1", 0))
        service = {"name": "credit", "mirror": {"max_concurrent": 1000, "timeout": "60s"}, "versions": [
            {"version": 1, "endpoints": [credit(1)], "weight": 1},
            {"version": 2, "endpoints": [f"127.0.0.1:{taken.getsockname()[1]}"], "weight": 0}]}
        server = gateway(services=[service], routes=[{"service": "credit", "decode": FIELDS}],
                         models=[{"name": "credit", "rollout": {**SHADOW, "gates": [{"kind": "errors"}]}}])
        customers = Customers(server, (40, 70), labels=False)
        try:
            ended = wait_for("the verdict", lambda: verdict(server), timeout=60)
        finally:
            customers.end()
    assert ended["phase"] == "rolled_back" and ended["reason"].startswith("rolled back: errors: "), ended["reason"]
    assert customers.by[2] == 0 and customers.failed == []
    assert ended["copies"]["candidate_failed"] == ended["copies"]["answered"] > 0
