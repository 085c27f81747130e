"""Edges send their profiles to one monitor: two servers and a reader of a log, with the monitor killed meanwhile."""
import json
import signal
import subprocess
import time

import models
import pytest
import requests

from conftest import BINARY, wait_for

TOTAL = "leadsman_monitor_requests_total"
TOKEN, OPERATOR = "edge-token-0123456789", "operator-token-0123456789"


class Monitor:
    """One `leadsman monitor`, whose port stays the same when it is started again."""

    def __init__(self, folder, name, **config):
        self.folder = folder / name
        self.folder.mkdir()
        self.out = self.folder / "log"
        self.config = {"data_dir": str(self.folder / "data"), "admin": {"port": 0}, "log": {"format": "json"}, **config}
        self.process = None

    def start(self):
        path = self.folder / "leadsman.yaml"
        path.write_text(json.dumps(self.config))
        with open(self.out, "ab") as out:
            begin = out.tell()
            self.process = subprocess.Popen([str(BINARY), "monitor", "--config", str(path)], stdout=out, stderr=out)

        def port():
            assert self.process.poll() is None, self.out.read_text()
            lines = self.out.read_bytes()[begin:].decode().splitlines()
            return next((json.loads(x)["admin_port"] for x in lines if '"message":"monitoring"' in x), None)

        self.config["admin"]["port"] = int(wait_for("the port in the log", port))
        self.url = f"http://127.0.0.1:{self.config['admin']['port']}"
        wait_for("/readyz", lambda: requests.get(self.url + "/readyz", timeout=5).status_code == 200)
        return self

    def stop(self, how=signal.SIGTERM):
        self.process.send_signal(how)
        return self.process.wait(20)

    def get(self, path):
        return requests.get(self.url + path, timeout=10, headers={"authorization": f"Bearer {OPERATOR}"}).json()

    def edges(self):
        return {edge["edge"]: edge for edge in self.get("/api/v1/edges")["edges"]}

    def metric(self, name, **labels):
        total = 0.0
        for line in requests.get(self.url + "/metrics", timeout=10).text.splitlines():
            if line.split("{")[0].split(" ")[0] == name and all(f'{k}="{v}"' in line for k, v in labels.items()):
                total += float(line.rsplit(" ", 1)[1])
        return total

    def await_metric(self, value, name, **labels):
        wait_for(f"{value} of {name} {labels}", lambda: self.metric(name, **labels) >= value)
        assert self.metric(name, **labels) == value


@pytest.fixture
def monitor(tmp_path):
    made = []

    def start(name="monitor", **config):
        made.append(Monitor(tmp_path, name, **config).start())
        return made[-1]

    yield start
    for one in made:
        if one.process.poll() is None:
            assert one.stop() == 0, one.out.read_text()


def ask(server, request_id, number, status=200):
    row = [1.0 if i == number else 0.0 for i in range(10)] if status == 200 else [1.0]
    answer = requests.post(f"{server.url}/v1/models/digits:predict", json={"instances": [row]}, timeout=10,
                           headers={"x-request-id": request_id})
    assert answer.status_code == status, answer.text


def test_two_servers_and_a_monitor_that_is_killed(tmp_path, start, repository, monitor):
    models.release(repository, "digits", 1, models.classifier())
    tokens = tmp_path / "tokens.json"
    tokens.write_text(json.dumps({"tokens": [{"name": "edges", "token": TOKEN, "roles": ["label"]},
                                             {"name": "operator", "token": OPERATOR, "roles": ["admin"]}]}))
    (tmp_path / "token").write_text(TOKEN + "\n")
    watch = monitor(monitor={"edges": {}}, auth={"tokens_file": str(tokens)})
    refused = requests.post(watch.url + "/api/v1/profiles", data=b"P", timeout=10)
    assert refused.status_code == 401
    refused = requests.post(watch.url + "/api/v1/profiles", data=b"nonsense", timeout=10, headers={"authorization": f"Bearer {TOKEN}"})
    assert refused.status_code == 400 and "body: is no message of profiles" in refused.text

    sending = {"url": watch.url, "every": "200ms", "token_file": str(tmp_path / "token")}
    one, two = (start(models=[{"name": "digits", "path": str(repository / "digits")}],
                      monitor={"send_profiles": {**sending, "edge": name}}) for name in ("one", "two"))
    for i in range(30):
        ask(one, f"a{i}", i % 10)
    for i in range(20):
        ask(two, f"b{i}", 7)
    for i in range(5):
        ask(two, f"c{i}", 0, status=400)
    labels = [{"request_id": f"a{i}", "label": 9 if i < 3 else i % 10} for i in range(10)]
    assert requests.post(one.admin + "/api/v1/labels", json={"labels": labels}, timeout=10).status_code == 200

    version = {"model": "digits", "version": "1"}
    watch.await_metric(50, TOTAL, **version, outcome="ok")
    watch.await_metric(5, TOTAL, **version, outcome="client_error")
    watch.await_metric(10, "leadsman_monitor_labelled_total", **version)
    watch.await_metric(3, "leadsman_monitor_wrong_total", **version)
    assert watch.metric("leadsman_monitor_request_duration_seconds_count", **version) == 50
    assert watch.metric("leadsman_monitor_predictions_total", **version, **{"class": "7"}) == 23
    features = watch.get("/api/v1/models/digits/versions/1/profile")["features"]
    assert [f["count"] for f in features] == [50] * 10
    assert features[7]["mean"] == pytest.approx(23 / 50) and features[7]["max"] == 1

    time.sleep(1)  # so that the disk has it; a kill may lose what was taken in the last second
    watch.stop(signal.SIGKILL)
    for i in range(40):
        ask((one, two)[i % 2], f"d{i}", 3)
    wait_for("tries that fail", lambda: 'leadsman_edge_messages_total{result="failed"} 0' not in one.get("/metrics").text)
    watch.start()
    watch.await_metric(40, TOTAL, **version, outcome="ok")
    taken = {name: edge["messages"] for name, edge in watch.edges().items()}
    wait_for("further messages", lambda: all(edge["messages"] > taken[name] + 2 for name, edge in watch.edges().items()))
    assert watch.metric(TOTAL, **version) == 40
    assert watch.metric("leadsman_monitor_labelled_total", **version) == 10, "kept, and not counted again"

    # An end in order: what was seen a moment ago is told, and that it is the end.
    for i in range(8):
        ask(two, f"e{i}", 3)
    assert two.stop() == 0
    watch.await_metric(48, TOTAL, **version, outcome="ok")
    edges = watch.edges()
    assert edges["one"]["state"] == "live" and edges["two"]["state"] == "stopped", edges
    assert list(edges) == ["one", "two"]
    shown = subprocess.run([str(BINARY), "status", "--server", watch.url], capture_output=True, text=True, timeout=60,
                           env={"LEADSMAN_TOKEN": OPERATOR})
    assert "edges: 1 live, 0 quiet, 1 stopped" in shown.stdout, shown


def test_errors_in_a_log_far_away_are_an_alarm_here(tmp_path, monitor):
    watch = monitor(monitor={"edges": {}}, alarms={"evaluation_interval": "100ms", "for": "0s"})
    log = tmp_path / "access.log"
    log.touch()
    agent = monitor("agent", monitor={"logs": [{"path": str(log)}],
                                      "send_profiles": {"url": watch.url, "every": "100ms", "edge": "node-7"}})

    def write(status, count):
        now = time.strftime("%d/%b/%Y:%H:%M:%S +0000", time.gmtime())
        with open(log, "a", encoding="utf-8") as out:
            out.write(f'10.0.0.1 - - [{now}] "POST /v1/models/digits:predict HTTP/1.1" {status} 57 "-" "x/1"\n' * count)

    write(200, 200)
    watch.await_metric(200, TOTAL, model="digits", version="0", outcome="ok")
    write(500, 200)
    firing = wait_for("the alarm", lambda: [a for a in watch.get("/api/v1/alarms")["alarms"] if a["state"] == "firing"])[0]
    assert firing["kind"] == "error_burn" and "200 of 400 answers failed" in firing["summary"]
    assert agent.stop() == 0
    assert watch.edges()["node-7"]["state"] == "stopped" and watch.edges()["node-7"]["requests"] == 400
