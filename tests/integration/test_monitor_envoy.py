"""`leadsman monitor --envoy-port`: the real Envoy in front of a real model, by its access log service and by ext_proc."""
import gzip
import json
import socket
import threading
import time

import pytest
import requests
from conftest import wait_for
from hosts import envoy as hosts_envoy
from hosts.process import free_port
from models import classifier, release
from test_monitor_logs import LogMonitor

TOTAL = "leadsman_monitor_requests_total"


class EnvoyMonitor(LogMonitor):
    def __init__(self, folder, config=None):
        self.port = free_port()
        arguments = ["--envoy-port", self.port]
        if config:
            path = folder / "monitor.yaml"
            path.write_text(json.dumps({"monitor": {"envoy": config}}))
            arguments += ["--config", path]
        super().__init__(folder, *arguments)

    def report(self):
        return requests.get(self.admin + "/api/v1/envoy", timeout=10).json()


def row(number):
    return [1.0 if i == number else 0.0 for i in range(10)]


class Service:
    """A model behind Leadsman's own server, which knows nothing of being watched, an Envoy in front, and the monitor."""

    def __init__(self, start, repository, tmp_path, how, config=None):
        release(repository, "digits", 1, classifier())
        self.server = start(models=[{"name": "digits", "path": str(repository / "digits"),
                                     "monitoring": {"enabled": False}}])
        folder = tmp_path / "monitor"
        folder.mkdir()
        self.monitor = EnvoyMonitor(folder, config)
        port = int(self.server.url.rsplit(":", 1)[1])
        self.envoy = hosts_envoy.Envoy(tmp_path / "envoy", port, self.monitor.port,
                                       grpc_upstream=int(self.server.grpc.rsplit(":", 1)[1]), **how)
        self.session = requests.Session()

    def post(self, path, body, status=200, **kwargs):
        answer = self.session.post(self.envoy.service + path, timeout=20,
                                   **({"json": body} if isinstance(body, dict) else {"data": body}), **kwargs)
        assert answer.status_code == status, answer.text
        return answer

    def traffic(self):
        """200 requests: 170 good ones in three protocols, of them 10 gzipped and 10 chunked; 20 bad, 10 that reach nobody."""
        for i in range(60):
            self.post("/v1/models/digits/versions/1:predict", {"instances": [row(i % 10)]},
                      headers={"x-request-id": f"tfs-{i}"})
        for i in range(60):
            self.post("/v2/models/digits/infer", {"inputs": [
                {"name": "x", "shape": [1, 10], "datatype": "FP32", "data": row(i % 10)}],
                "outputs": [{"name": "label"}]})
        for i in range(30):
            self.post("/predict", {"input_data": [row(i % 10)]})
        for i in range(10):
            self.post("/v1/models/digits/versions/1:predict", gzip.compress(
                json.dumps({"instances": [row(i)]}).encode()),
                headers={"content-encoding": "gzip", "content-type": "application/json"})
        for i in range(10):
            text = json.dumps({"instances": [row(i)]}).encode()
            self.post("/v1/models/digits/versions/1:predict", iter([text[:20], text[20:]]))
        for _ in range(20):
            self.post("/v1/models/digits/versions/1:predict", {"instances": [[1, 2]]}, 400)
        for _ in range(10):
            self.post("/down/v1/models/digits:predict", {"instances": [row(1)]}, 503)
        self.session.get(self.envoy.service + "/v1/models/digits", timeout=10)

    def stop(self):
        self.envoy.stop()
        if self.monitor.process.poll() is None:
            assert self.monitor.stop() == 0, self.monitor.log.read_text()


@pytest.fixture
def service(start, repository, tmp_path):
    made = []

    def _make(config=None, **how):
        made.append(Service(start, repository, tmp_path, how, config))
        return made[-1]

    yield _make
    for one in made:
        one.stop()


def counts(monitor):
    """{(version, outcome): requests} of digits."""
    return {(version, outcome): monitor.metric(TOTAL, model="digits", version=version, outcome=outcome)
            for version in ("0", "1") for outcome in ("ok", "client_error", "server_error", "cancelled", "unknown")}


def assert_counts(monitor, plain_model):
    wait_for("200 requests", lambda: monitor.metric(TOTAL, model="digits") + monitor.metric(TOTAL, model="default") >= 200)
    expected = dict.fromkeys(counts(monitor), 0)
    expected.update({("1", "ok"): 80, ("1", "client_error"): 20, ("0", "ok"): 60, ("0", "server_error"): 10})
    if plain_model == "digits":
        expected["0", "ok"] += 30
    else:
        assert monitor.metric(TOTAL, model=plain_model, outcome="ok") == 30
    assert counts(monitor) == expected
    assert monitor.metric("leadsman_monitor_request_duration_seconds_count", model="digits", version="1") >= 80
    assert monitor.metric("leadsman_monitor_events_dropped_total") == 0


def test_the_access_log_counts_each_request(service):
    world = service(log=[hosts_envoy.access_log()])
    world.traffic()
    monitor = world.monitor
    assert_counts(monitor, "default")
    report = monitor.report()
    assert report["access_log"]["other_requests"] == 1 and report["access_log"]["predictions"] == 200, report
    assert report["access_log"]["malformed_messages"] == 0
    labels = requests.post(monitor.admin + "/api/v1/labels", timeout=10, json={
        "labels": [{"request_id": f"tfs-{i}", "label": str(i % 10)} for i in range(60)]})
    assert labels.status_code == 200, labels.text

    # Envoy goes and comes back: nothing is counted twice, nothing is lost that it has sent.
    time.sleep(0.5)
    world.envoy.stop()
    world.envoy.run()
    world.session = requests.Session()
    for i in range(20):
        world.post("/v1/models/digits/versions/1:predict", {"instances": [row(i % 10)]})
    monitor.await_metric(100, TOTAL, model="digits", version="1", outcome="ok")

    # The monitor goes and comes back while Envoy runs on: it finds it again by itself, and no request notices.
    assert monitor.stop() == 0
    for i in range(5):
        world.post("/v1/models/digits/versions/1:predict", {"instances": [row(i % 10)]})
    monitor.start()

    def more():
        world.post("/v1/models/digits/versions/1:predict", {"instances": [row(1)]})
        return monitor.metric(TOTAL, model="digits", version="1", outcome="ok") > 0
    wait_for("Envoy finds the monitor again", more, every=0.2)


def test_a_client_that_leaves_is_told_as_one(service):
    world = service(log=[hosts_envoy.access_log()])
    # An upload that does not end: the service has no time to answer.
    with socket.create_connection(("127.0.0.1", world.envoy.front), 5) as client:
        client.sendall(b"POST /v1/models/digits/versions/1:predict HTTP/1.1\r\nhost: ml\r\ncontent-length: 1000\r\n\r\n{")
        time.sleep(0.3)
    world.monitor.await_metric(1, TOTAL, model="digits", version="1", outcome="cancelled")


def test_ext_proc_reads_features_and_predictions(service):
    world = service(config={"models": [{"path": "/predict", "model": "digits"}]}, filters=[hosts_envoy.ext_proc()])
    world.traffic()
    monitor = world.monitor
    assert_counts(monitor, "digits")
    report = monitor.report()["ext_proc"]
    assert report["exchanges"] == {"complete": 201, "client_gone": 0, "cut": 0, "timed_out": 0, "left_out": 0}, report
    # Envoy may refuse the ten for whom nobody listens before their bodies have come.
    bodies = report["request_bodies"]
    assert bodies["decoded"] >= 190 and bodies["decoded"] + bodies["absent"] == 200, json.dumps(report)
    assert report["response_bodies"]["decoded"] == 170, report
    assert report["held_bytes"] == 0 and report["other_requests"] == 1, report
    wait_for("calls to end", lambda: monitor.report()["ext_proc"]["streams"] == 0)

    profile = requests.get(monitor.admin + "/api/v1/models/digits/versions/0/profile", timeout=10).json()
    text = json.dumps(profile)
    assert "features" in text, text
    feature = profile["features"][0]
    # 9 of the 100 rows of version 0 begin with a 1; one of the ten whose bodies may not come does.
    assert 8 <= round(feature["mean"] * feature["count"], 6) <= 9 and 90 <= feature["count"] <= 100, feature

    labels = requests.post(monitor.admin + "/api/v1/labels", timeout=10, json={
        "labels": [{"request_id": f"tfs-{i}", "label": str(i % 10)} for i in range(60)]})
    assert labels.status_code == 200, labels.text
    monitor.await_metric(60, "leadsman_monitor_labelled_total", model="digits", version="1")
    assert monitor.metric("leadsman_monitor_wrong_total", model="digits", version="1") == 0
    assert monitor.metric("leadsman_monitor_predictions_total", model="digits", version="1", **{"class": "7"}) == 8


def test_bodies_of_ten_megabytes_and_many_at_once(service):
    world = service(filters=[hosts_envoy.ext_proc()])
    big = {"instances": [row(3)] * 200_000}
    assert len(json.dumps(big)) > 10_000_000
    world.post("/v1/models/digits/versions/1:predict", big)
    monitor = world.monitor
    monitor.await_metric(1, TOTAL, model="digits", version="1", outcome="ok")
    report = monitor.report()["ext_proc"]
    assert report["request_bodies"]["too_long"] == 1 and report["held_bytes"] == 0, report

    def client():
        with requests.Session() as session:
            for i in range(50):
                answer = session.post(world.envoy.service + "/v1/models/digits/versions/1:predict", timeout=20,
                                      json={"instances": [row(i % 10)]})
                assert answer.status_code == 200
    threads = [threading.Thread(target=client) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    monitor.await_metric(401, TOTAL, model="digits", version="1", outcome="ok")
    assert monitor.report()["ext_proc"]["request_bodies"]["decoded"] == 400


@pytest.mark.parametrize("bodies", ["STREAMED", "BUFFERED", "FULL_DUPLEX_STREAMED"])
def test_outside_observability_mode_nothing_changes(service, bodies):
    world = service(filters=[hosts_envoy.ext_proc(observability=False, bodies=bodies)])
    body = {"instances": [row(i % 10) for i in range(2000)]}  # some 100 KB: several pieces
    direct = requests.post(world.server.url + "/v1/models/digits/versions/1:predict", json=body, timeout=20)
    answer = world.post("/v1/models/digits/versions/1:predict", body)
    assert answer.content == direct.content
    for i in range(20):
        world.post("/v1/models/digits/versions/1:predict", {"instances": [row(i % 10)]})
    monitor = world.monitor
    monitor.await_metric(21, TOTAL, model="digits", version="1", outcome="ok")
    report = monitor.report()["ext_proc"]
    assert report["request_bodies"]["decoded"] == 21 and report["malformed_messages"] == 0, report


def test_both_ways_at_once_are_noticed(service):
    world = service(log=[hosts_envoy.access_log()], filters=[hosts_envoy.ext_proc()])
    world.post("/v1/models/digits/versions/1:predict", {"instances": [row(1)]})
    wait_for("the warning", lambda: world.monitor.metric("leadsman_envoy_seen_twice_total") == 1)
    assert any("count twice" in json.loads(line).get("message", "") for line in
               world.monitor.log.read_text().splitlines() if line.startswith("{"))


def test_grpc_calls_have_their_status_and_model(service):
    grpc = pytest.importorskip("tritonclient.grpc")
    import numpy as np
    world = service(filters=[hosts_envoy.ext_proc()])
    with grpc.InferenceServerClient(f"127.0.0.1:{world.envoy.front}") as client:
        given = grpc.InferInput("x", [1, 10], "FP32")
        given.set_data_from_numpy(np.array([row(3)], "f"))
        for _ in range(5):
            assert client.infer("digits", [given], model_version="1").as_numpy("label")[0] == 3
        with pytest.raises(Exception, match="(?i)unexpected|input"):
            client.infer("digits", [grpc.InferInput("nosuch", [1, 10], "FP32").set_data_from_numpy(
                np.array([row(3)], "f"))])
    monitor = world.monitor
    monitor.await_metric(5, TOTAL, model="digits", version="1", outcome="ok")
    monitor.await_metric(1, TOTAL, model="digits", version="0", outcome="client_error")
