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
    return subprocess.run([str(BINARY), "prove-quiet", *map(str, arguments)], capture_output=True, text=True, timeout=60, check=False)


def test_the_past_is_replayed_through_the_detectors(tmp_path):
    table = tmp_path / "history.csv"
    columns = ["--time-column", "at", "--answer-column", "answer"]
    write_history(table, 20_000)
    quiet = prove_quiet(table, *columns)
    assert quiet.returncode == 0, quiet.stdout + quiet.stderr
    assert "0 alarms in" in quiet.stdout and "income" in quiet.stdout and "class yes" in quiet.stdout

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
