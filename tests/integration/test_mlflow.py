"""MLflow's scoring protocol: the answers of a real `mlflow models serve` (tests/golden/mlflow), and MLflow's own client."""
import json
from pathlib import Path

import models
import pytest
import requests

PEER = Path(__file__).resolve().parents[1] / "golden" / "mlflow" / "mlflow_peer.py"
GOLDEN = [json.loads(line) for line in PEER.with_name("golden.jsonl").read_text().splitlines()]
# As in the table of tests/golden/mlflow/README.md.
ANSWERED_HERE = {"instances of records", "inputs by columns"}


@pytest.fixture(scope="module")
def trained(tmp_path_factory, models_python):
    folder = tmp_path_factory.mktemp("mlflow")
    models_python(PEER, "train", folder)
    return folder


def serve(start, repository, trained, name):
    models.release(repository, name, 1, (trained / f"{name}.onnx").read_bytes())
    return start(models=[{"name": name, "path": str(repository / name)}])


def port(server):
    return server.url.rsplit(":", 1)[1]


def test_the_same_requests_get_the_same_answers(start, repository, trained, models_python):
    server = serve(start, repository, trained, "table")
    ours = [json.loads(line) for line in models_python(PEER, "ask", port(server)).splitlines()]
    assert [a["name"] for a in ours] == [a["name"] for a in GOLDEN]
    for theirs, mine in zip(GOLDEN, ours, strict=True):
        if mine["name"] in ANSWERED_HERE:
            assert (theirs["status"], mine["status"]) == (400, 200)
            assert json.loads(mine["body"]) == {"predictions": [0, 1, 2]}
            continue
        assert (mine["status"], mine["type"]) == (theirs["status"], theirs["type"]), (theirs, mine)
        if theirs["status"] in (200, 400) and mine["name"] != "/version" and theirs["body"] != "\n":
            assert json.loads(mine["body"]) == json.loads(theirs["body"]), mine["name"]


@pytest.mark.parametrize("name", ["table", "stacked"])
def test_mlflows_own_client(start, repository, trained, models_python, name):
    server = serve(start, repository, trained, name)
    more = ["--array"] if name == "stacked" else []
    answers = json.loads(models_python(PEER, "client", port(server), *more).splitlines()[-1])
    assert answers == {key: [0, 1, 2] for key in ("frame", "params", *(["array"] if more else []))}


def test_another_output_or_all(start, repository, trained):
    models.release(repository, "stacked", 1, (trained / "stacked.onnx").read_bytes())
    body = {"inputs": [[5.1, 3.5, 1.4, 0.2]]}
    configuration = {"models": [{"name": "stacked", "path": str(repository / "stacked")}]}
    server = start(**configuration, mlflow={"output": "probabilities"})
    [row] = requests.post(server.url + "/invocations", json=body, timeout=10).json()["predictions"]
    assert len(row) == 3 and sum(row) == pytest.approx(1)
    server = start(**configuration, mlflow={"output": "*"})
    [record] = requests.post(server.url + "/invocations", json=body, timeout=10).json()["predictions"]
    assert record["label"] == 0 and record["probabilities"] == pytest.approx(row)


def test_an_error_shows_neither_a_trace_nor_the_data(start, repository, trained):
    server = serve(start, repository, trained, "table")
    record = {"a": "s3cret", "b": 1, "c": 2, "d": 3}
    answer = requests.post(server.url + "/invocations", json={"dataframe_records": [record]}, timeout=10)
    assert answer.status_code == 400 and answer.json()["error_code"] == "BAD_REQUEST"
    assert "input 'a', row 0" in answer.json()["message"] and "s3cret" not in answer.text
