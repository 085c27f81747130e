"""`leadsman monitor --log`: real programs write logs, real requests are made, /metrics is read back."""
import contextlib
import itertools
import json
import os
import shutil
import signal
import subprocess
import time

import pytest
import requests
from conftest import BINARY, wait_for
from hosts.watched import Nginx, Uvicorn


class LogMonitor:
    """One `leadsman monitor` process."""

    def __init__(self, folder, *arguments):
        self.folder = folder
        self.arguments = [*map(str, arguments)]
        self.log = folder / "monitor.log"
        self.process = None
        self.start()

    def start(self):
        with open(self.log, "ab") as out:
            offset = out.tell()
            self.process = subprocess.Popen(
                [str(BINARY), "monitor", *self.arguments, "--admin-port", "0", "--data-dir", str(self.folder / "data"),
                 "--log-format", "json"], stdout=out, stderr=out, start_new_session=True)
        self.admin = f"http://127.0.0.1:{wait_for('the port in the log', lambda: self._port(offset))}"
        wait_for("/readyz", lambda: requests.get(self.admin + "/readyz", timeout=5).status_code == 200)

    def _port(self, offset):
        assert self.process.poll() is None, f"ended with {self.process.returncode}:\n{self.log.read_text()}"
        for line in self.log.read_bytes()[offset:].decode(errors="replace").splitlines():
            with contextlib.suppress(ValueError):
                entry = json.loads(line)
                if entry.get("message") == "monitoring":
                    return entry["admin_port"]
        return None

    def metric(self, name, **labels):
        """The sum of a family's samples that have these labels."""
        total = 0.0
        for line in requests.get(self.admin + "/metrics", timeout=10).text.splitlines():
            if line.split("{")[0].split(" ")[0] == name and all(f'{k}="{v}"' in line for k, v in labels.items()):
                total += float(line.rsplit(" ", 1)[1])
        return total

    def await_metric(self, value, name, **labels):
        wait_for(f"{value} of {name} {labels}", lambda: self.metric(name, **labels) >= value)
        assert self.metric(name, **labels) == value

    def logs(self):
        return requests.get(self.admin + "/api/v1/logs", timeout=10).json()

    def said(self, message):
        entries = (json.loads(line) for line in self.log.read_text().splitlines() if line.startswith("{"))
        return [entry for entry in entries if entry["message"] == message]

    def stop(self):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        return self.process.wait(30)

    def kill(self):
        self.process.kill()
        self.process.wait(10)


@pytest.fixture
def monitor(tmp_path):
    running = []

    def _start(*arguments):
        running.append(LogMonitor(tmp_path, *arguments))
        return running[-1]

    yield _start
    for process in running:
        if process.process.poll() is None:
            assert process.stop() == 0, process.log.read_text()


_numbers = itertools.count()


def post(url, path, times=1, **kwargs):
    """Each with a query of its own: two logs with the same lines would be one and the same to whoever reads them."""
    with requests.Session() as session:
        for _ in range(times):
            session.post(f"{url}{path}?n={next(_numbers)}", timeout=10, **kwargs)


def test_nginx_through_rotation_kill_and_restart(monitor, tmp_path):
    with Nginx(tmp_path / "nginx") as nginx:
        post(nginx.url, "/v1/models/digits:predict", 5)
        watch = monitor("--log", nginx.log)
        seen = watch.said("log is followed")[0]
        assert seen["format"] == "access_log" and "latency" in seen["reads"], seen

        post(nginx.url, "/v1/models/digits/versions/3:predict", 30)
        post(nginx.url, "/v1/models/broken:predict", 2)
        post(nginx.url, "/v1/models/nosuch:predict", 3)
        requests.get(nginx.url + "/healthz", timeout=5)
        total = "leadsman_monitor_requests_total"
        watch.await_metric(30, total, model="digits", version="3", outcome="ok")
        watch.await_metric(2, total, model="broken", version="0", outcome="server_error")
        assert watch.metric("leadsman_monitor_request_duration_seconds_count", model="digits") == 30
        assert watch.metric("leadsman_intake_requests_total", kind="unknown_model") == 3
        assert watch.metric("leadsman_intake_requests_total", kind="other") == 1
        assert watch.metric(total, model="nosuch") == 0

        for expected, copytruncate in ((40, False), (50, True)):
            nginx.rotate(copytruncate)
            post(nginx.url, "/v1/models/digits/versions/3:predict", 10)
            watch.await_metric(expected, total, model="digits", version="3", outcome="ok")

        # Positions are written once a second: once all is quiet for longer, a kill repeats nothing. It never loses anything.
        time.sleep(2.5)
        watch.kill()
        post(nginx.url, "/v1/models/digits/versions/3:predict", 20)  # while nothing runs
        nginx.rotate()
        post(nginx.url, "/v1/models/digits/versions/3:predict", 5)
        watch.start()
        watch.await_metric(25, total, model="digits", version="3", outcome="ok")
        assert watch.metric("leadsman_monitor_events_dropped_total") == 0

        # An orderly end keeps where it was, too; the windows are there after it.
        assert watch.stop() == 0
        post(nginx.url, "/v1/models/digits/versions/3:predict", 7)
        watch.start()
        watch.await_metric(7, total, model="digits", version="3", outcome="ok")
        windows = requests.get(watch.admin + "/api/v1/models/digits/windows?since=1h", timeout=10).json()
        assert sum(w["requests"] for w in windows["versions"]["3"]) >= 25

        # Killed at once: what was read a moment ago may be read again, and nothing is lost.
        watch.kill()
        post(nginx.url, "/v1/models/digits/versions/4:predict", 5)
        watch.start()
        watch.await_metric(5, total, model="digits", version="4", outcome="ok")
        assert watch.metric(total, model="digits", version="3") <= 7


def test_uvicorn_has_no_latency_and_its_stack_trace_is_one_error(monitor, tmp_path):
    with Uvicorn(tmp_path / "uvicorn") as service:
        watch = monitor("--log", service.log, "--model", "scoring")
        post(service.url, "/predict", 20, data="{}")
        post(service.url, "/predict", 1, data="raise")
        watch.await_metric(20, "leadsman_monitor_requests_total", model="scoring", outcome="ok")
        watch.await_metric(1, "leadsman_monitor_requests_total", model="scoring", outcome="server_error")
        watch.await_metric(1, "leadsman_intake_errors_total")
        assert watch.metric("leadsman_monitor_request_duration_seconds_count") == 0
        model = watch.logs()["models"][0]
        assert model["latency"] is None and model["requests"] == 21


def test_json_lines_with_features_predictions_and_late_labels(monitor, tmp_path):
    folder = tmp_path / "app"
    folder.mkdir()
    log = folder / "app.jsonl"
    watch = monitor("--log", folder / "*.jsonl", "--model", "iris", "--field", "predicted=out.label", "--field",
                    "request_id=rid", "--field", "features=in", "--field", "latency_ms=took")
    with open(log, "a") as out:
        for i in range(100):
            row = {"rid": f"r{i}", "took": 3.5, "in": {"width": i, "height": 2 * i}, "out": {"label": "a"}}
            out.write(json.dumps(row) + "\n")
    total = "leadsman_monitor_requests_total"
    watch.await_metric(100, total, model="iris", outcome="unknown")
    environment = {**os.environ, "LEADSMAN_SERVER": watch.admin}
    for request, label in (("r1", "a"), ("r2", "b")):
        subprocess.run([str(BINARY), "labels", "add", request, label], check=True, timeout=30, env=environment)
    watch.await_metric(1, "leadsman_monitor_wrong_total", model="iris")
    watch.await_metric(2, "leadsman_monitor_labelled_total", model="iris")
    profile = requests.get(watch.admin + "/api/v1/models/iris/versions/0/profile", timeout=10).json()
    assert [f["mean"] for f in profile["features"]] == pytest.approx([49.5, 99])

    # The folder vanishes, and comes back.
    shutil.rmtree(folder)
    wait_for("the file to be gone", lambda: watch.metric("leadsman_intake_files") == 0)
    folder.mkdir()
    log.write_text("".join(json.dumps({"rid": f"s{i}", "took": 1, "out": {"label": "a"}}) + "\n" for i in range(10)))
    watch.await_metric(110, total, model="iris", outcome="unknown")


def test_a_log_that_is_not_known_is_said_with_the_fix_and_read_later(monitor, tmp_path):
    log = tmp_path / "strange.log"
    log.write_text("the quick brown fox\njumps over the lazy dog\n")
    watch = monitor("--log", log)
    said = wait_for("a warning", lambda: watch.said("log is not recognised; its lines are counted, and it is tried "
                                                    "again with later ones"))[0]
    assert "pattern" in said["reason"] and said["file"] == str(log)
    assert watch.metric("leadsman_intake_unrecognised_files") == 1
    with open(log, "a") as out:
        out.write('{"path": "/predict", "method": "POST", "status": 200, "duration_ms": 2}\n' * 80)
    watch.await_metric(80, "leadsman_monitor_requests_total", model="default", outcome="ok")


def once(*arguments):
    return subprocess.run([str(BINARY), "monitor", "--once", *map(str, arguments)], capture_output=True, text=True,
                          timeout=60)


def test_once_reads_an_old_log_and_says_what_it_tells(tmp_path):
    with Nginx(tmp_path / "nginx") as nginx:
        post(nginx.url, "/v1/models/digits/versions/3:predict", 8)
        post(nginx.url, "/score", 4)
        run = once("--log", nginx.log)
        assert run.returncode == 0, run.stderr
        assert "digits" in run.stdout and "8 predictions" in run.stdout, run.stdout
        report = json.loads(once("--log", nginx.log, "--json").stdout)
        assert report["models"][0]["requests"] == 8 and report["models"][0]["latency"]["count"] == 8
        run = once("--log", nginx.log, "--prediction-path", "/score", "--model", "scorer", "--json")
        assert {m["model"]: m["requests"] for m in json.loads(run.stdout)["models"]} == {"digits": 8}, \
            "a path that was never there is no model"
    (tmp_path / "odd.log").write_text("one\ntwo\nthree\n")
    run = once("--log", tmp_path / "odd.log")
    assert run.returncode == 1 and "not read" in run.stdout
    assert once("--log", tmp_path / "absent.log").returncode == 4
    run = once("--log", "x", "--format", "ngnix")
    assert run.returncode == 2 and run.stderr.startswith("leadsman: --format: there is no format 'ngnix'")
    assert once().returncode == 2


def test_operators_see_what_is_observed_skipped_missing_and_shared(monitor, tmp_path):
    log = tmp_path / "app.jsonl"
    log.write_text('{"latency_ms": 3, "status": 200, "model": "old"}\n' * 20)
    watch = monitor("--log", log, "--log", tmp_path / "*.jsonl", "--log", tmp_path / "nowhere.log")
    skipped = watch.said("what stands in a log already is not read; from: beginning (--from-beginning) at the first start "
                         "would read it")
    assert int(skipped[0]["bytes"]) == log.stat().st_size, skipped
    shared = watch.said("two log sources read the same file: its requests count twice; take it out of one")
    assert len(shared) == 1 and shared[0]["file"] == str(log), shared
    ready = requests.get(watch.admin + "/readyz", timeout=5)
    assert ready.status_code == 200
    assert [note for note in ready.json()["notes"] if "nowhere.log: no file is there yet" in note], ready.text
    assert watch.logs()["sources"][0]["skipped_bytes"] == log.stat().st_size

    with open(log, "a") as out:
        out.write('{"latency_ms": 3, "status": 200, "model": "two words"}\n' * 70)
    watch.await_metric(140, "leadsman_monitor_requests_total", model="two words")
    for command in ("models", "status"):
        said = subprocess.run([str(BINARY), command, "--server", watch.admin], capture_output=True, text=True, timeout=30)
        assert "two words" in said.stdout and "observed" in said.stdout and "140" in said.stdout, said
    assert watch.stop() == 0
    kept = [path for path in (tmp_path / "data").iterdir() if path.name.startswith(("monitor.db", "log-positions"))]
    assert len(kept) >= 2 and all(path.stat().st_mode & 0o777 == 0o600 for path in kept), kept
