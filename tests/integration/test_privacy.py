"""What of requests lies on the disk, is told and is sent: with redaction nothing of it, and --explain-privacy says so."""
import http.server
import json
import subprocess
import threading

import models
import requests
from conftest import BINARY, wait_for
from test_monitor_logs import LogMonitor, monitor  # noqa: F401

SECRET = "Zaphod.Beeblebrox@example.org"


def lying_in(folder, text):
    """Files below with these bytes in them."""
    return [path for path in folder.rglob("*") if path.is_file() and text.encode() in path.read_bytes()]


def write_lines(path, rows):
    with open(path, "a", encoding="utf-8") as out:
        for number in range(rows):
            out.write(json.dumps({"request_id": f"{SECRET}-{number}", "prediction": f"is {SECRET}", "x": number * number}) + "\n")


def run_one(monitor, folder, redact):  # noqa: F811
    """A monitor that sees the secret as id, class, label, path of a POST and line of a strange log; its process."""
    folder.mkdir()
    write_lines(folder / "capture.jsonl", 64)
    (folder / "strange.log").write_text(f"nothing known, for {SECRET}\n" * 3)
    (folder / "access.log").write_text(
        f'10.0.0.7 - - [28/Nov/2026:22:11:17 +0000] "POST /of/{SECRET} HTTP/1.1" 200 5 "-" "curl"\n' * 3)
    (folder / "redact.key").write_text("0123456789abcdef\n")
    config = folder / "leadsman.yaml"
    config.write_text(json.dumps({"monitor": {"redact": redact, "logs": [
        {"path": name, "from": "beginning"} for name in ("capture.jsonl", "strange.log", "access.log")]}}))
    watch = LogMonitor(folder, "--config", config)
    try:
        watch.await_metric(64, "leadsman_monitor_requests_total", model="default")
        answer = requests.post(watch.admin + "/api/v1/labels", timeout=10, json={"labels": [
            {"request_id": f"{SECRET}-{number}", "label": f"is {SECRET}" if number % 4 else "another"} for number in range(40)]})
        assert answer.json()["accepted"] == 40, answer.text
        wait_for("the last file to be told of", lambda: all(source["files"] for source in watch.logs()["sources"]))
        wait_for("the labels", lambda: watch.metric("leadsman_monitor_labels_total") == 40 or
                 watch.metric("leadsman_monitor_labels_pending") == 40)
        told = "".join(requests.get(watch.admin + path, timeout=10).text for path in (
            "/metrics", "/api/v1/logs", "/readyz", "/api/v1/models", "/api/v1/models/default/windows", "/api/v1/alarms"))
        joined = watch.metric("leadsman_monitor_labels_total", result="joined")
        accuracy = watch.metric("leadsman_monitor_accuracy", model="default")
    finally:
        assert watch.stop() == 0, watch.log.read_text()
    return told, joined, accuracy, watch


def test_a_secret_lies_nowhere_once_it_is_redacted(monitor, tmp_path):  # noqa: F811
    told, joined, accuracy, watch = run_one(monitor, tmp_path / "plain", [])
    assert joined == 40 and accuracy == 0.75
    assert SECRET in told and lying_in(watch.folder / "data", SECRET) and SECRET in watch.log.read_text(), "so the test can tell"

    for name, redact in {
            "hashed": [{"field": "all", "do": "hash", "key_file": "redact.key"}],
            "replaced": [{"field": "all", "do": "replace", "pattern": r"[\w.]+@[\w.]+", "with": "<mail>"}]}.items():
        told, joined, accuracy, watch = run_one(monitor, tmp_path / name, redact)
        assert joined == 40 and accuracy == 0.75, name
        assert SECRET not in told and not lying_in(watch.folder / "data", SECRET), name
        assert SECRET not in watch.log.read_text(), name

    told, joined, _, watch = run_one(monitor, tmp_path / "dropped", [{"field": "all", "do": "drop"}])
    assert joined == 0 and SECRET not in told and not lying_in(watch.folder / "data", SECRET)
    assert SECRET not in watch.log.read_text()


def test_traces_carry_the_redacted_id(start, repository, tmp_path):
    bodies = []

    class Collector(http.server.BaseHTTPRequestHandler):
        def do_POST(self):  # noqa: N802
            bodies.append(self.rfile.read(int(self.headers["Content-Length"])).decode())
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_):
            pass

    (tmp_path / "redact.key").write_text("0123456789abcdef")
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Collector) as collector:
        threading.Thread(target=collector.serve_forever, daemon=True).start()
        models.release(repository, "digits", 1, models.classifier(wrong_class=3))
        running = start(
            models=[{"name": "digits", "path": str(repository / "digits")}],
            monitor={"redact": [{"field": "request_id", "do": "hash", "key_file": str(tmp_path / "redact.key")}]},
            telemetry={"tracing": {"zipkin_url": f"http://127.0.0.1:{collector.server_port}/api/v2/spans", "keep_share": 1.0}})
        requests.post(running.url + "/v1/models/digits:predict", json={"instances": [[0.0] * 10]}, timeout=10,
                      headers={"X-Request-Id": SECRET}).raise_for_status()
        wait_for("a trace", lambda: any("leadsman.request_id" in body for body in bodies))
        collector.shutdown()
    assert not any(SECRET in body for body in bodies)
    assert not lying_in(running.folder / "data", SECRET)


def test_of_a_dropped_input_nothing_lies_anywhere(monitor, tmp_path):  # noqa: F811
    """An input by its name, in a log, in events, in the reference and in a schema: neither its values nor its name."""
    def run(folder, redact):
        folder.mkdir()
        with open(folder / "reference.csv", "w", encoding="utf-8") as out:
            out.write("age,hush_income\n" + "".join(f"{i % 50},{8_675_000 + i % 300}\n" for i in range(600)))
        with open(folder / "capture.jsonl", "w", encoding="utf-8") as out:
            for i in range(600):
                out.write(json.dumps({"request_id": f"r{i}", "prediction": i % 2, "hush_income": 8_675_000 + i % 300, "age": i % 50}) + "\n")
        config = folder / "leadsman.yaml"
        config.write_text(json.dumps({
            "monitor": {"redact": redact, "logs": [{"path": "capture.jsonl", "from": "beginning", "model": "credit"}]},
            "models": [{"name": "credit", "monitoring": {"reference": {"from": "file", "path": "reference.csv"}}}]}))
        watch = LogMonitor(folder, "--config", config)
        try:
            watch.await_metric(600, "leadsman_monitor_requests_total", model="credit")
            events = [{"model": "credit", "features": {"age": 5, "hush_income": 8_675_309}, "prediction": 1}] * 30
            assert requests.post(watch.admin + "/api/v1/events", json=events, timeout=10).json()["accepted"] == 30
            watch.await_metric(630, "leadsman_monitor_requests_total", model="credit")
            answers = [requests.get(watch.admin + path, timeout=10) for path in (
                "/metrics", "/api/v1/logs", "/readyz", "/api/v1/models/credit/drift", "/api/v1/models/credit/schema",
                "/api/v1/models/credit/versions/0/profile")]
            told = "".join(answer.text for answer in answers)
            notes = requests.get(watch.admin + "/api/v1/status", timeout=10).text
        finally:
            assert watch.stop() == 0, watch.log.read_text()
        return told, notes, watch

    told, _, watch = run(tmp_path / "plain", [])
    assert "hush_income" in told and "8675" in told and lying_in(watch.folder / "data", "hush_income"), "so the test can tell"
    told, notes, watch = run(tmp_path / "dropped", [{"field": "input", "inputs": ["hush_income", "mistyped"], "do": "drop"}])
    assert "age" in told and "hush_income" not in told and "8675" not in told, told
    assert not lying_in(watch.folder / "data", "hush_income")
    assert "no request and no file has had the input mistyped" in notes, notes
    text = explain("monitor", "--config", watch.folder / "leadsman.yaml", "--explain-privacy")
    assert "input: drop hush_income and mistyped" in text and "; nothing of hush_income and mistyped" in text, text


def explain(*arguments):
    done = subprocess.run([str(BINARY), *map(str, arguments)], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_gateway_explains_what_it_passes_on_and_keeps(tmp_path):
    config = tmp_path / "gateway.yaml"
    config.write_text(json.dumps({
        "data_dir": str(tmp_path / "kept"),
        "gateway": {"listeners": [{"port": 0}], "services": [
            {"name": "digits", "mirror": {"version": 2, "share": "25%"},
             "versions": [{"version": 1, "endpoints": ["10.0.0.1:80"], "weight": "100%"}, {"version": 2, "endpoints": ["10.0.0.2:80"], "weight": "0%"}]}]},
        "models": [{"name": "digits", "rollout": {}}],
        "alarms": {"webhooks": [{"url": "https://hook.example.org/services/hush", "rollouts": True}]}}))
    told = json.loads(explain("gateway", "--config", str(config), "--explain-privacy", "--json"))
    kept = {entry["what"]: entry for entry in told["kept"]}
    assert any(what.startswith("rollouts: counts") for what in kept), kept
    assert any("mirror of digits: rows" in what for what in kept)
    leaves = {entry["what"]: entry["to"] for entry in told["leaves"]}
    assert leaves["requests to digits, whole, for version 1 to answer them"] == "10.0.0.1:80"
    assert any("25 % of them" in what and to == "10.0.0.2:80 (mirror)" for what, to in leaves.items()), leaves
    assert leaves["alarms and what happens to rollouts: model, version, words and figures"] == "https://hook.example.org/…"
    assert "but to the services of the gateway" in told["never"][0]
    assert "hush" not in json.dumps(told) and not (tmp_path / "kept").exists()


def test_what_is_kept_is_explained_from_the_configuration(tmp_path):
    config = tmp_path / "leadsman.yaml"
    config.write_text(json.dumps({
        "data_dir": "kept",
        "monitor": {"history": "72h", "logs": [{"path": "app.jsonl"}],
                    "redact": [{"field": "request_id", "do": "truncate", "length": 8}]},
        "models": [{"name": "credit", "path": "models/credit", "monitoring": {"label_timeout": "48h"}}],
        "alarms": {"webhooks": [{"url": "https://chat.example.org/hook/s3cr3t"}]},
        "telemetry": {"tracing": {"otlp_url": "http://collector:4318/v1/traces"}}}))
    told = json.loads(explain("serve", "--config", config, "--explain-privacy", "--json"))
    rows, = (entry for entry in told["kept"] if "table predictions" in entry["where"])
    assert rows["where"].startswith(str(tmp_path / "kept")) and "credit: 2 days" in rows["how_long"]
    assert rows["texts"]["request_id"] == "truncate to 8 bytes" and rows["texts"]["class"] == "as it came"
    assert any("3 days" in entry["how_long"] for entry in told["kept"])
    judged, = (entry for entry in told["kept"] if "quality_details" in entry["where"])
    assert judged["texts"]["class"] == "as it came", "what was taken for what has names of classes"
    leaves = {entry["to"] for entry in told["leaves"]}
    assert "http://collector:4318/v1/traces (OTLP)" in leaves and "https://chat.example.org/…" in leaves
    assert not any("s3cr3t" in to for to in leaves)
    assert not (tmp_path / "kept").exists(), "explaining keeps nothing"

    text = explain("monitor", "--config", config, "--data-dir", "", "--explain-privacy")
    assert "request_id: truncate to 8 bytes" in text and "monitor.db" not in text and "collector" not in text

    config.write_text('{"monitor": {"logs": [{"path": "a"}], "redact": [{"field": "class", "do": "hash"}]}}')
    done = subprocess.run([str(BINARY), "monitor", "--config", str(config), "--check-config"], capture_output=True, text=True,
                          timeout=60, check=False)
    assert done.returncode == 2 and "monitor.redact[0].key_file: do: hash needs a key_file" in done.stderr, done.stderr
