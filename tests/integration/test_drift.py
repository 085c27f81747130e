"""Drift from outside: the past is replayed before anything is armed, and a reference is taken anew while the old one goes on."""
import json
import random
import subprocess

import models
import requests
from conftest import BINARY, Server, wait_for


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
