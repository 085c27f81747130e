"""From errors in a log to a real Alertmanager and a signed webhook, and back again."""
import datetime
import hashlib
import hmac
import http.server
import json
import signal
import subprocess
import sys
import threading
import time

import models
import pytest
import requests

from conftest import BINARY, ROOT, wait_for
from traffic import Traffic
from tests.hosts.alertmanager import Alertmanager
from tests.hosts.prometheus import Prometheus

SECRET = "a secret of both"


class Receiver(http.server.BaseHTTPRequestHandler):
    """Takes messages as docs/alarms.md tells receivers to, unless it hangs: then it says nothing to who has asked."""

    def do_POST(self):  # noqa: N802
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.deliveries.append(self.headers["X-Leadsman-Delivery"])
        if not self.server.answers.wait(0 if self.server.answers.is_set() else 60):
            return
        if "X-Leadsman-Signature" not in self.headers:
            self.server.messages.append(json.loads(body))
            self.send_response(204)
            self.end_headers()
            return
        parts = dict(part.split("=", 1) for part in self.headers["X-Leadsman-Signature"].split(","))
        expected = hmac.new(SECRET.encode(), parts["t"].encode() + b"." + body, hashlib.sha256).hexdigest()
        good = hmac.compare_digest(expected, parts["v1"]) and abs(time.time() - int(parts["t"])) < 300
        if good:
            self.server.messages.append(json.loads(body))
        self.send_response(204 if good else 403)
        self.end_headers()

    def log_message(self, *_):
        pass


@pytest.fixture
def receiver():
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Receiver)
    server.messages, server.deliveries, server.answers = [], [], threading.Event()
    server.answers.set()
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()


class Monitor:
    """`leadsman monitor` of one access log."""

    def __init__(self, folder, alarms):
        self.folder, self.log = folder, folder / "access.log"
        self.log.touch()
        self.config = folder / "leadsman.yaml"
        self.config.write_text(json.dumps({
            "data_dir": str(folder / "data"), "admin": {"port": 0}, "log": {"format": "json"},
            "monitor": {"logs": [{"path": str(self.log)}]},
            "alarms": {"evaluation_interval": "100ms", "keep_firing_for": "1s", "for": "0s", **alarms}}))
        self.out = folder / "monitor.log"

    def start(self):
        offset = self.out.stat().st_size if self.out.exists() else 0
        with open(self.out, "ab") as out:
            self.process = subprocess.Popen([str(BINARY), "monitor", "--config", str(self.config)], stdout=out, stderr=out)

        def port():
            assert self.process.poll() is None, self.out.read_text()
            for line in self.out.read_bytes()[offset:].decode().splitlines():
                if '"message":"monitoring"' in line:
                    return json.loads(line)["admin_port"]
            return None

        self.admin = f"http://127.0.0.1:{wait_for('the port in the log', port)}"
        wait_for("/readyz", lambda: requests.get(self.admin + "/readyz", timeout=5).status_code == 200)
        return self

    def stop(self, how=signal.SIGTERM):
        self.process.send_signal(how)
        return self.process.wait(20)

    def write(self, status, count):
        now = time.strftime("%d/%b/%Y:%H:%M:%S +0000", time.gmtime())
        with open(self.log, "a", encoding="utf-8") as log:
            log.write(f'10.0.0.1 - - [{now}] "POST /v1/models/digits:predict HTTP/1.1" {status} 57 "-" "x/1"\n' * count)

    def alarms(self, kind="error_burn"):
        answer = requests.get(self.admin + "/api/v1/alarms", timeout=5).json()
        return [a for a in answer["alarms"] if a["kind"] == kind]

    def looked(self):
        """When the watches were last asked, in seconds since 1970."""
        answer = requests.get(self.admin + "/api/v1/alarms", timeout=5).json()
        return datetime.datetime.fromisoformat(answer["looked"].replace("Z", "+00:00")).timestamp() if answer["looked"] else 0

    def states(self):
        return [a["state"] for a in self.alarms()]

    def cli(self, *arguments):
        return subprocess.run([str(BINARY), *arguments, "--server", self.admin], capture_output=True, text=True, timeout=60)


@pytest.fixture
def monitor(tmp_path, receiver):
    made = []

    def start(alarms):
        made.append(Monitor(tmp_path, alarms).start())
        return made[-1]

    yield start
    for one in made:
        if one.process.poll() is None:
            assert one.stop() == 0, one.out.read_text()


def test_errors_reach_alertmanager_and_webhook_and_so_does_their_end(tmp_path, monitor, receiver):
    (tmp_path / "secret").write_text(SECRET + "\n")
    alertmanager = Alertmanager(tmp_path / "am")
    try:
        watched = monitor({
            "alertmanagers": [{"url": alertmanager.url, "resend_interval": "1s"}],
            "webhooks": [{"url": f"http://127.0.0.1:{receiver.server_port}/hook", "secret_file": str(tmp_path / "secret")}]})
        watched.write(200, 200)
        wait_for("requests", lambda: "digits" in requests.get(watched.admin + "/api/v1/logs", timeout=5).text)
        assert watched.alarms() == []
        assert watched.cli("alarms", "--check").returncode == 0

        watched.write(500, 200)
        wait_for("the alarm", lambda: watched.states() == ["firing"])
        alarm = watched.alarms()[0]
        assert alarm["severity"] == "page" and alarm["model"] == "digits"
        alert = wait_for("Alertmanager", alertmanager.alerts)[0]
        assert alert["labels"] == {"alertname": "ErrorBurn", "severity": "page", "model": "digits"}
        assert "200 of 400 answers failed" in alert["annotations"]["summary"]
        assert alert["generatorURL"] == f"{watched.admin}/api/v1/alarms/{alarm['id']}"
        message = wait_for("the webhook", lambda: receiver.messages)[0]
        assert message["event"] == "alarm.firing" and message["alarm"]["summary"].startswith("digits: 200 of 400")
        shown = watched.cli("alarms", "--check")
        assert shown.returncode == 1 and "error_burn" in shown.stdout, shown
        metrics = requests.get(watched.admin + "/metrics", timeout=5).text
        assert ('leadsman_alarm_firing{kind="error_burn",severity="page",model="digits",version="",subject=""} 1'
                in metrics)

        # A new Alertmanager that knows nothing is told again.
        alertmanager.host.stop()
        alertmanager = Alertmanager(tmp_path / "am2", port=alertmanager.port)
        wait_for("the new Alertmanager", alertmanager.alerts)

        # A crash neither tells anybody again nor forgets, and what the alarm rests on is counted on: it does not end by
        # itself after keep_firing_for.
        assert watched.stop(signal.SIGKILL) != 0
        started = time.time()
        watched.start()
        wait_for("looks for longer than keep_firing_for", lambda: watched.looked() > started + 3)
        now = watched.alarms()
        assert [(a["id"], a["state"], a["firings"]) for a in now] == [(alarm["id"], "firing", 1)], now
        assert 200 < now[0]["samples"] <= 400, "those of the last minute before a kill may be lost"
        model = requests.get(watched.admin + "/api/v1/models/digits", timeout=5).json()
        assert model["versions"][0]["state"] == "observed" and model["versions"][0]["last_seen"] > now[0]["fired"][:13], model
        assert "no request since the start, last seen 20" in watched.cli("status").stdout

        watched.write(200, 40_000)
        wait_for("its end", lambda: watched.states() == ["resolved"])
        wait_for("Alertmanager to forget it", lambda: alertmanager.alerts() == [])
        wait_for("the webhook", lambda: len(receiver.messages) == 2)
        assert receiver.messages[1]["event"] == "alarm.resolved"
    finally:
        alertmanager.host.stop()


def test_the_rules_of_the_docs_page_by_themselves(tmp_path, monitor):
    """With no sender configured, and when nobody is there to send."""
    page = (ROOT / "docs/alarms.md").read_text()
    rules = next(block.split("```")[0] for block in page.split("```yaml")[1:] if "groups:" in block)
    assert "for: 1m" in rules
    watched = monitor({})
    with Prometheus(tmp_path / "prometheus", {"leadsman": watched.admin.removeprefix("http://")},
                    rules=rules.replace("for: 1m", "for: 1s")) as prometheus:
        prometheus.wait_for('up{job="leadsman"} == 1')
        watched.write(500, 200)
        fired = prometheus.wait_for('ALERTS{alertstate="firing",alertname="LeadsmanAlarm"}')
        assert [(labels["kind"], labels["model"]) for labels, _ in fired] == [("error_burn", "digits")]
        # Before the first scrape it may have been missed for a moment.
        prometheus.wait_for('absent(ALERTS{alertname="LeadsmanIsAway"})')
        assert watched.stop(signal.SIGKILL) != 0
        away = prometheus.wait_for('ALERTS{alertstate="firing",alertname="LeadsmanIsAway"}')
        assert away[0][0]["job"] == "leadsman"
    # A target that nobody scrapes any more is missed, too.
    with Prometheus(tmp_path / "prometheus", {"other": watched.admin.removeprefix("http://")},
                    rules=rules.replace("for: 1m", "for: 1s")) as prometheus:
        prometheus.wait_for('ALERTS{alertstate="firing",alertname="LeadsmanIsAway"}')


def test_a_silence_keeps_it_from_alertmanager(tmp_path, monitor):
    with Alertmanager(tmp_path / "am") as alertmanager:
        watched = monitor({"alertmanagers": [{"url": alertmanager.url, "resend_interval": "1s"}]})
        silence = ("alarms", "silence", "--for", "1h", "--author", "ann", "--comment", "known", "--model")
        done = watched.cli(*silence, "digits")
        assert done.returncode == 0 and "there is no model digits, nor any other" in done.stderr, done
        watched.write(500, 200)
        wait_for("the alarm", lambda: watched.states() == ["firing"])
        assert watched.alarms()[0]["silence"] == 1
        assert watched.cli("alarms", "--check").returncode == 0
        assert alertmanager.alerts() == []
        assert watched.cli("alarms", "unsilence", "1").returncode == 0
        wait_for("Alertmanager", alertmanager.alerts)


def test_a_page_that_was_not_delivered_survives_a_crash(monitor, receiver):
    """The receiver hangs, the process is killed in between: the next one delivers the same message, and just once."""
    receiver.answers.clear()
    watched = monitor({"webhooks": [{"url": f"http://127.0.0.1:{receiver.server_port}/hook"}]})
    watched.write(500, 200)
    wait_for("the first try", lambda: receiver.deliveries)
    assert 'leadsman_alarm_notifications_waiting{sender="webhooks[0]"} 1' in requests.get(watched.admin + "/metrics", timeout=5).text
    assert watched.stop(signal.SIGKILL) != 0
    receiver.answers.set()
    wait_for("the answer that nobody hears", lambda: len(receiver.messages) == 1)

    watched.start()
    wait_for("the page", lambda: len(receiver.messages) == 2)
    assert receiver.deliveries == [receiver.deliveries[0]] * 2, "a receiver can tell it has had it"
    assert receiver.messages[0]["alarm"] == receiver.messages[1]["alarm"]
    wait_for("nothing to be owed", lambda: 'leadsman_alarm_notifications_waiting{sender="webhooks[0]"} 0' in
             requests.get(watched.admin + "/metrics", timeout=5).text)
    assert watched.stop() == 0
    watched.start()
    wait_for("a look", lambda: requests.get(watched.admin + "/api/v1/alarms", timeout=5).json()["looked"])
    assert len(receiver.deliveries) == 2


def test_a_receiver_that_hangs_does_not_keep_the_process(monitor, receiver):
    receiver.answers.clear()
    watched = monitor({"webhooks": [{"url": f"http://127.0.0.1:{receiver.server_port}/hook", "timeout": "5m"}]})
    watched.write(500, 200)
    wait_for("the first try", lambda: receiver.deliveries)
    assert watched.stop() == 0
    receiver.answers.set()


def test_a_rollout_is_told_of_and_late_labels_end_its_probation(tmp_path, start, repository, receiver):
    models.release(repository, "digits", 1, models.classifier())
    plan = {"steps": [{"weight": "30%", "duration": "1h"}], "gates": [{"kind": "quality", "margin": 2, "floor": "5%"}],
            "interval": "100ms", "max_duration": "2h", "probation": "1h"}
    with Alertmanager(tmp_path / "am") as alertmanager:
        server = start(models=[{"name": "digits", "path": str(repository / "digits"), "rollout": plan, "monitoring": {"window": "1s"}}],
                       alarms={"webhooks": [{"url": f"http://127.0.0.1:{receiver.server_port}/hook", "rollouts": True}],
                               "alertmanagers": [{"url": alertmanager.url}]})
        with Traffic(server, label_delay=10) as traffic:
            wait_for("traffic", lambda: traffic.sent > 200)
            models.release(repository, "digits", 2, models.classifier(wrong_class=7))
            wait_for("exposure", lambda: server.rollouts() and server.rollouts()[0]["arms"]["candidate"]["requests"] > 300)
            assert server.cli("rollout", "promote", "digits", "--full").returncode == 0
            assert server.cli("rollout", "watch", "digits").returncode == 0, "it has all traffic"
            rollout = server.rollouts()[0]
            assert rollout["phase"] == "probation" and 3500 < rollout["probation_left_seconds"] <= 3600, rollout
            assert server.model("digits")["traffic"]["stable"] == 2
            assert server.version_state("digits", 1) == "ready", "it is kept"
            assert server.cli("rollout", "pause", "digits").returncode != 0
            # Labels of what was predicted before come now.
            wait_for("the verdict", lambda: server.rollouts()[0]["phase"] == "rolled_back", timeout=60)
        assert traffic.failures == []
        rollout = server.rollouts()[0]
        assert rollout["reason"].startswith("rolled back in probation: quality: "), rollout["reason"]
        assert server.model("digits")["traffic"]["stable"] == 1
        assert server.cli("rollout", "replay", "digits").returncode == 0

        wait_for("the webhook", lambda: len(receiver.messages) == 3)
        assert [message["event"] for message in receiver.messages] == ["rollout.started", "rollout.promoted", "rollout.rolled_back"]
        assert [message["rollout"]["phase"] for message in receiver.messages] == ["progressing", "probation", "rolled_back"]
        assert receiver.messages[-1]["rollout"]["reason"] == rollout["reason"]
        assert len(set(receiver.deliveries)) == 3
        told = wait_for("Alertmanager", lambda: [alert for alert in alertmanager.alerts() or []
                                                 if alert["labels"]["alertname"] == "RolloutRolledBack"])[0]
        assert told["labels"] == {"alertname": "RolloutRolledBack", "severity": "ticket", "model": "digits", "version": "2",
                                  "rollout": "1", "step": "1"}
        assert told["annotations"]["summary"] == rollout["reason"]


FAILS_WHEN_TOLD = """
inputs = [("what", "STRING", [-1])]
outputs = [("said", "STRING", [-1])]

def load(directory, options):
    return None

def predict(state, inputs):
    if inputs["what"][0] == "fail":
        raise RuntimeError("told to fail")
    return list(inputs["what"])
"""


def test_errors_of_a_served_model_reach_alertmanager_and_end(tmp_path, start, repository):
    path = models.release_script(repository, "script", FAILS_WHEN_TOLD)
    with Alertmanager(tmp_path / "am") as alertmanager:
        server = start(backends={"python": {"interpreter": sys.executable}},
                       models=[{"name": "script", "path": path,
                                "monitoring": {"objectives": {"availability": 0.95}}}],
                       alarms={"evaluation_interval": "100ms", "keep_firing_for": "1s",
                               "alertmanagers": [{"url": alertmanager.url, "resend_interval": "1s"}]})

        def ask(what, count):
            session = requests.Session()
            body = {"inputs": [{"name": "what", "datatype": "BYTES", "shape": [1], "data": [what]}]}
            return {session.post(f"{server.url}/v2/models/script/infer", json=body, timeout=10).status_code for _ in range(count)}

        def states():
            alarms = server.get("/api/v1/alarms").json()["alarms"]
            return [(a["kind"], a["state"]) for a in alarms]

        assert ask("well", 20) == {200} and states() == []
        assert ask("fail", 40) == {500}
        wait_for("the alarm", lambda: states() == [("error_burn", "firing")])
        wait_for("Alertmanager", alertmanager.alerts)
        # The first few that fail are a ticket.
        page = {"alertname": "ErrorBurn", "severity": "page", "model": "script"}
        wait_for("the page", lambda: [a["labels"] for a in alertmanager.alerts()] == [page])
        wait_for("all that failed", lambda: "version_1_last_hour: 40 of 60" in alertmanager.alerts()[0]["annotations"]["details"])
        assert ask("well", 900) == {200}  # below one in twenty again
        wait_for("its end", lambda: states() == [("error_burn", "resolved")])
        wait_for("Alertmanager to forget it", lambda: alertmanager.alerts() == [])
