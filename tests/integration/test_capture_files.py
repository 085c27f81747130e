"""`leadsman monitor` on capture files: CSV and JSON lines as pandas and Python's csv module write them, followed and once."""
import csv
import json
import os
import subprocess

import requests
from conftest import BINARY, MODELS_PYTHON
from test_monitor_logs import LogMonitor, monitor  # noqa: F401

PANDAS = """
import sys
import numpy as np, pandas as pd
path, first, rows, how = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), sys.argv[4]
at = np.arange(first, first + rows)
frame = pd.DataFrame({
    "timestamp": pd.Timestamp("2026-11-28T22:11:21Z") + pd.to_timedelta(at, unit="s"),
    "request_id": [f"r-{n}" for n in at],
    "comment": ["plain", "with, comma", 'with "quotes"', "over\\ntwo lines"] * (rows // 4),
    "age": 20 + at % 50, "income": np.where(at % 7 == 0, np.nan, 1000.5 + at), "member": at % 2 == 0,
    "prediction": at % 3,
    "label": np.where(at % 10 == 0, np.nan, np.where(at % 4 == 0, (at + 1) % 3, at % 3))})
if how == "jsonl":
    frame.to_json(path, orient="records", lines=True, date_format="iso")
else:
    frame.to_csv(path, mode=how, header=how == "w", index=False, sep="\\t" if path.endswith(".tsv") else ",")
"""


def pandas(path, first, rows, how="w"):
    subprocess.run([str(MODELS_PYTHON), "-c", PANDAS, str(path), str(first), str(rows), how], check=True, timeout=120)


def labelled(first, rows):
    """(with a label, of these predicted otherwise)"""
    known = [n for n in range(first, first + rows) if n % 10]
    return len(known), sum(n % 4 == 0 for n in known)


def once(*arguments):
    done = subprocess.run([str(BINARY), "monitor", *map(str, arguments), "--once", "--json"], capture_output=True, text=True,
                          timeout=120, check=False)
    return done.returncode, json.loads(done.stdout) if done.stdout else done.stderr


def test_a_csv_that_pandas_writes_is_followed_through_rotation_and_restart(monitor, tmp_path):  # noqa: F811
    log = tmp_path / "predictions.csv"
    pandas(log, 0, 400)
    watch = monitor("--log", log, "--model", "credit", "--from-beginning")
    total, right = "leadsman_monitor_requests_total", "leadsman_monitor_labelled_total"
    watch.await_metric(400, total, model="credit")
    seen = watch.logs()["sources"][0]
    assert seen["files"][0]["format"] == "csv", seen
    assert "prediction from prediction, label from label, request id from request_id" in seen["files"][0]["reads"]
    assert seen["features"] == ["age", "income", "member"] and seen["malformed_lines"] == 0
    known, wrong = labelled(0, 400)
    assert watch.metric(right, model="credit") == known
    assert watch.metric("leadsman_monitor_wrong_total", model="credit") == wrong
    assert watch.metric("leadsman_monitor_predictions_total", model="credit", **{"class": "1"}) == 133

    # On, behind the header; then a new file in its place, and one without a header, whose writer goes on.
    pandas(log, 400, 100, "a")
    watch.await_metric(500, total, model="credit")
    os.rename(log, tmp_path / "predictions.csv.1")
    pandas(log, 500, 100)
    watch.await_metric(600, total, model="credit")
    os.rename(log, tmp_path / "predictions.csv.2")
    pandas(log, 600, 100, "a")
    watch.await_metric(700, total, model="credit")

    # After a restart lines begin in the middle: the file's first line still names the columns.
    os.rename(log, tmp_path / "predictions.csv.3")
    pandas(log, 700, 100)
    watch.await_metric(800, total, model="credit")
    assert watch.stop() == 0
    pandas(log, 800, 20, "a")
    watch.start()
    watch.await_metric(20, total, model="credit")
    assert watch.metric(right, model="credit") == labelled(0, 820)[0], "labels go on with the history"
    assert watch.logs()["sources"][0]["malformed_lines"] == 0
    assert requests.get(watch.admin + "/api/v1/models/credit/windows", timeout=10).json()["versions"]["0"]


def test_once_tells_of_csv_tsv_and_json_lines(tmp_path):
    pandas(tmp_path / "a.csv", 0, 200)
    pandas(tmp_path / "a.tsv", 0, 200)
    pandas(tmp_path / "a.jsonl", 0, 200, "jsonl")
    for name, kind in (("a.csv", "csv"), ("a.tsv", "csv"), ("a.jsonl", "json")):
        code, told = once("--log", tmp_path / name, "--model", "credit")
        assert code == 0, told
        assert told["sources"][0]["files"][0]["format"] == kind
        assert told["sources"][0]["features"] == ["age", "income", "member"]
        model, = told["models"]
        known, wrong = labelled(0, 200)
        assert model["requests"] == 200 and model["labelled"] == known, (name, model)
        assert abs(model["accuracy"] - (1 - wrong / known)) < 1e-9

    with open(tmp_path / "own.csv", "w", newline="", encoding="utf-8-sig") as out:
        rows = csv.writer(out, delimiter=";", quoting=csv.QUOTE_ALL)
        rows.writerow(["Nummer", "Antwort", "Wahrheit", "x.laenge", "x.breite", "ms"])
        for number in range(30):
            rows.writerow([f"n;{number}", ["ja", "nein"][number % 2], "ja", f"{number / 10}".replace(".", ","), number, 12])
    code, told = once("--log", tmp_path / "own.csv", "--field", "request_id=Nummer", "--field", "predicted=Antwort",
                      "--field", "label=Wahrheit", "--field", "features=x.*", "--field", "latency_ms=ms")
    assert code == 0, told
    model, = told["models"]
    assert model["predicted"] == {"ja": 15, "nein": 15} and model["accuracy"] == 0.5
    assert model["latency"]["count"] == 30 and told["sources"][0]["features"] == ["x.laenge", "x.breite"]

    code, told = once("--log", tmp_path / "own.csv", "--field", "predicted=Antwrot")
    assert code == 1 and "did you mean Antwort?" in told["sources"][0]["files"][0]["reason"], told


def test_segments_of_a_capture_file(tmp_path):
    log = tmp_path / "predictions.csv"
    pandas(log, 0, 400)
    code, report = once("--log", log, "--model", "credit", "--field", "segment.comment=comment", "--field", "segment.member=member")
    assert code == 0, report
    segments = {(x["by"], x["segment"]): x for x in report["models"][0]["segments"]}
    assert segments["comment", "over?two lines"]["requests"]["ok"] + segments["comment", "over?two lines"]["requests"]["unknown"] == 100
    plain = [n for n in range(0, 400, 4) if n % 10]
    assert segments["comment", "plain"]["labelled"] == segments["comment", "plain"]["wrong"] == len(plain)
    assert set(segments) >= {("member", "True"), ("member", "False")}
    assert [f["name"] for f in report["models"][0]["features"]] == ["age", "income", "member"], "a segment is a feature, too"
    table = subprocess.run([str(BINARY), "monitor", "--log", str(log), "--field", "segment.comment=comment", "--once"],
                           capture_output=True, text=True, timeout=60, check=False)
    assert "segment comment from comment" in table.stdout and "with, comma" in table.stdout, table
