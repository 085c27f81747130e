"""Drift from outside: the past is replayed before anything is armed, and a reference is taken anew while the old one goes on."""
import itertools
import json
import random
import subprocess

import models
import requests
from conftest import BINARY, Server, wait_for
from test_monitor_logs import monitor  # noqa: F401: a fixture


def write_history(path, rows, shift_from=None):
    """A row a minute of two numbers and an answer; from `shift_from` on the second number is higher."""
    numbers = random.Random(3)
    lines = ["age,at,income,answer"]
    for row in range(rows):
        moved = 0.7 if shift_from is not None and row >= shift_from else 0
        lines.append(f"{numbers.gauss(40, 5):.4f},{1_772_366_400 + 60 * row},{numbers.gauss(moved, 1):.4f},"
                     f"{'yes' if numbers.random() < 0.3 else 'no'}")
    path.write_text("\n".join(lines) + "\n")


def prove_quiet(*arguments):
    return subprocess.run([str(BINARY), "prove-quiet", *map(str, arguments)], capture_output=True, text=True, timeout=300, check=False)


def test_the_past_is_replayed_through_the_detectors(tmp_path):
    table = tmp_path / "history.csv"
    columns = ["--time-column", "at", "--answer-column", "answer"]
    write_history(table, 20_000)
    quiet = prove_quiet(table, *columns)
    assert quiet.returncode == 0, quiet.stdout + quiet.stderr
    assert "0 alarms, of drift and risk 0 in" in quiet.stdout and "income" in quiet.stdout and "class yes" in quiet.stdout

    write_history(table, 20_000, shift_from=12_000)
    loud = prove_quiet(table, *columns, "--json")
    assert loud.returncode == 13, loud.stderr
    fired = {detector["name"] for detector in json.loads(loud.stdout)["models"][0]["detectors"] if detector["alarms"]}
    assert fired == {"income"}


def test_logs_are_replayed_too(tmp_path):
    numbers = random.Random(4)
    log = tmp_path / "predictions.jsonl"
    log.write_text("".join(json.dumps({"row": [numbers.gauss(40, 5)], "answer": "yes" if numbers.random() < 0.3 else "no"}) + "\n"
                           for _ in range(6000)))
    replay = prove_quiet("--log", log, "--field", "predicted=answer", "--field", "features=row", "--requests-per-day", 20_000,
                         "--json")
    assert replay.returncode == 0, replay.stdout + replay.stderr
    said = json.loads(replay.stdout)
    assert said["models"][0]["requests"] == 6000 and said["models"][0]["reference"]["rows"] == 5000
    assert prove_quiet("--log", tmp_path / "none.jsonl").returncode in (2, 4)


def write_capture(path, minutes, bad_minutes=(), columns=("status_code", "latency_ms", "label")):
    """Ten predictions a minute of one number; in `bad_minutes` half of them fail."""
    numbers = random.Random(9)
    lines = [",".join(["timestamp", "age", "prediction", *columns])]
    for minute in range(minutes):
        for k in range(10):
            answer = "yes" if numbers.random() < 0.3 else "no"
            values = {"status_code": 500 if minute in bad_minutes and k % 2 else 200,
                      "latency_ms": 400 if numbers.random() < 0.001 else 20,
                      "label": answer if numbers.random() < 0.95 else {"yes": "no", "no": "yes"}[answer]}
            lines.append(",".join(map(str, [1_772_366_400 + 60 * minute + 6 * k, f"{numbers.gauss(40, 5):.3f}", answer,
                                            *(values[name] for name in columns)])))
    path.write_text("\n".join(lines) + "\n")


def test_the_past_is_replayed_through_every_watch(tmp_path):
    config, log = tmp_path / "leadsman.yaml", tmp_path / "predictions.csv"
    objectives = {"latency": {"threshold": "100ms", "objective": "99%"}, "accuracy": "85%"}
    config.write_text(json.dumps({"models": [{"name": "credit", "monitoring": {"objectives": objectives}}]}))
    ask = ["--log", log, "--config", config, "--model", "credit"]

    write_capture(log, 2 * 1440)
    quiet = prove_quiet(*ask, "--json")
    assert quiet.returncode == 0, quiet.stdout + quiet.stderr
    said = json.loads(quiet.stdout)
    watches = {watch["detector"]: watch for watch in said["watches"]}
    assert set(watches) == {"error_burn", "latency_burn", "accuracy", "traffic_stopped", "schema_violation"}
    assert all(watch["alarms"] == 0 and watch["not_guaranteed_because"] for watch in watches.values())
    assert 0.01 < watches["error_burn"]["smallest_change_found_in_a_day"] < 0.1
    assert watches["accuracy"]["usual"] - watches["accuracy"]["found"] > 0.1
    assert 180 <= watches["traffic_stopped"]["smallest_change_found_in_a_day"] <= 600
    rate = watches["error_burn"]["alarms_per_90_days"]
    assert rate["estimate"] == 0 and 150 < rate["high"] < 180, "none in two days may be 166 in 90"
    unsaid = {one["detector"]: one["why"] for one in said["not_replayed"]}
    assert set(unsaid) == {"quality", "capture_loss"} and "monitoring.objectives.quality" in unsaid["quality"]
    risk = [detector for detector in said["models"][0]["detectors"] if detector["detector"] == "risk_increase"]
    assert [one["name"] for one in risk] == ["wrong"] and risk[0]["alarms"] == 0

    write_capture(log, 2 * 1440, bad_minutes=range(2000, 2040))
    loud = prove_quiet(*ask)
    assert loud.returncode == 13, loud.stdout + loud.stderr
    assert "error_burn of credit" in loud.stdout and "would have fired" in loud.stdout
    assert "  2026-03-02T21:" in loud.stdout, "it began at 21:20"

    write_capture(log, 600, columns=[])
    little = prove_quiet("--log", log, "--model", "credit")
    for why in ("error_burn of credit: the history does not say how requests ended", "latency_burn of credit: no latency is asked for",
                "accuracy of credit: no accuracy is asked for", "risk_increase of credit: the history has no labels",
                "traffic_stopped of credit"):
        assert why in little.stdout, little.stdout


def test_a_reference_is_taken_anew_while_the_old_one_goes_on(tmp_path):
    repository = tmp_path / "models"
    models.release(repository, "half_plus_two", 1, models.half_plus_two())
    server = Server(tmp_path, {"models": [{"name": "half_plus_two", "path": str(repository / "half_plus_two"),
                                           "monitoring": {"reference": {"requests": 500}}}]}).start()
    try:
        numbers, session = random.Random(5), requests.Session()

        def ask(times):
            for _ in range(times):
                answer = session.post(f"{server.url}/v1/models/half_plus_two:predict", json={"instances": [numbers.gauss(0, 1)]}, timeout=5)
                assert answer.status_code == 200, answer.text

        def reference():
            versions = requests.get(f"{server.admin}/api/v1/models/half_plus_two/drift", timeout=5).json()["versions"]
            return versions[0]["inputs"]["reference"] if versions else {}

        ask(500)
        wait_for("a reference", lambda: reference().get("state") == "ready")
        before = reference()
        reset = subprocess.run([str(BINARY), "drift", "reset", "half_plus_two", "--server", server.admin], capture_output=True,
                               text=True, timeout=30, check=False)
        assert reset.returncode == 0, reset.stderr
        assert "references of half_plus_two:1 are taken anew" in reset.stdout
        ask(100)
        wait_for("rows of the next one", lambda: reference().get("next", {}).get("rows") == 100)
        assert reference()["taken"] == before["taken"]
        ask(400)
        wait_for("the next one", lambda: "next" not in reference())
        assert reference()["taken"] > before["taken"]
    finally:
        server.stop()


def test_features_are_compared_by_name_over_a_restart(monitor, tmp_path):  # noqa: F811
    """Events name a and b in one order before a restart and in the other after it; a reference file has a third order."""
    numbers = random.Random(6)
    watch = monitor("--cloudevents-port", "0")
    minute = itertools.count()

    def send(order):
        values = [{"a": numbers.gauss(0, 1), "b": numbers.gauss(100, 1)} for _ in range(1000)]
        events = [{"model": "credit", "version": 1, "timestamp": 1_772_366_400 + 60 * next(minute), "status": 200,
                   "features": {name: row[name] for name in order}} for row in values]
        answer = requests.post(watch.admin + "/api/v1/events", json=events, timeout=10)
        assert answer.json()["accepted"] == 1000, answer.text

    def seen(what):
        answer = requests.get(f"{watch.admin}/api/v1/models/credit/{what}", timeout=5).json()
        return answer["versions"][0] if answer["versions"] else {}

    def inputs():
        return seen("drift").get("inputs", {"reference": {}})

    def compared(order):
        send(order)
        return inputs().get("window_rows", 0) > 0

    for _ in range(5):
        send("ab")
    wait_for("a reference", lambda: inputs()["reference"].get("state") == "ready")
    assert watch.stop() == 0
    watch.start()
    wait_for("a window", lambda: compared("ba"))
    now = inputs()
    assert [n["name"] for n in now["numbers"]] == ["a", "b"]
    assert all(abs(n["shift"]) < 0.3 for n in now["numbers"]), now["numbers"]
    assert not any(stream["alarm"] for stream in now["streams"])
    schema = seen("schema")
    assert [f["name"] for f in schema["schema"]["features"]] == ["a", "b"]
    assert schema["violating_rows"] < 0.02 * schema["rows"], schema["violations"]
    assert watch.stop() == 0

    table = tmp_path / "train.csv"
    table.write_text("b,c,a\n" + "".join(f"{numbers.gauss(100, 1)},7,{numbers.gauss(0, 1)}\n" for _ in range(1000)))
    config = tmp_path / "monitor.yaml"
    config.write_text(json.dumps({"models": [{"name": "credit", "path": str(tmp_path), "monitoring": {
        "reference": {"from": "file", "path": str(table)}}}]}))
    watch.arguments += ["--config", str(config)]
    watch.start()
    wait_for("a window", lambda: compared("ab"))
    now = inputs()
    assert now["reference"]["from"] == "file" and now["never_seen"] == ["c"], now
    assert {n["name"]: abs(n["shift"]) < 0.3 for n in now["numbers"] if "shift" in n} == {"a": True, "b": True}
    shown = subprocess.run([str(BINARY), "drift", "credit", "--server", watch.admin], capture_output=True, text=True, timeout=30, check=False)
    assert "no request has had: c" in shown.stdout, shown.stdout + shown.stderr
