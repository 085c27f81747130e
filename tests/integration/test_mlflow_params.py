"""`params` of /invocations, by models that MLflow made: what MLflow itself answers to them."""
import concurrent.futures
import json
from pathlib import Path

import numpy as np
import pytest
import requests
from conftest import MODELS_PYTHON, wait_for

HERE = Path(__file__).parent


@pytest.fixture(scope="module")
def made(tmp_path_factory, models_python):
    folder = tmp_path_factory.mktemp("params")
    models_python(HERE / "make_params_model.py", folder, timeout=240)
    return folder


def serve(start, made, name, **model):
    server = start(ready=False, backends={"python": {"interpreter": str(MODELS_PYTHON)}},
                   models=[{"name": name, "path": str(made / name), "settle_time": "0ms", **model}])
    wait_for(name, lambda: server.version_state(name, 1) == "ready", timeout=150, every=0.1)
    return server


def invoke(server, body):
    return requests.post(server.url + "/invocations", json=body, timeout=30)


@pytest.mark.parametrize("name", ["scaled", "plain"])
def test_the_answers_are_mlflows_own(start, made, name):
    server = serve(start, made, name)
    expected = [case[1:] for case in json.loads((made / "expected.json").read_text()) if case[0] == name]
    assert [answer for _, answer in expected if isinstance(answer, dict)] if name == "scaled" else True
    for params, wanted in expected:
        for table in ({"dataframe_split": {"columns": ["x"], "data": [[1.0], [2.0]]}}, {"dataframe_records": [{"x": 1.0}, {"x": 2.0}]},
                      {"inputs": {"x": [1.0, 2.0]}}):
            for body in ({**table, "params": params}, {"params": params, **table}):
                answer = invoke(server, body)
                if isinstance(wanted, dict):
                    assert answer.status_code == 400, answer.text
                    assert answer.json()["error_code"] == "BAD_REQUEST"
                    assert "Invalid parameters found" in answer.json()["message"], (wanted, answer.text)
                else:
                    assert (answer.status_code, answer.json()) == (200, {"predictions": wanted}), (params, answer.text)
    assert invoke(server, {"inputs": {"x": [1.0]}, "params": [1]}).status_code == 400
    # A model without a schema gets none of them, and that is counted.
    ignored = sum(6 for params, _ in expected if params) if name == "plain" else 0
    assert f"leadsman_mlflow_ignored_params_total {ignored}" in server.get("/metrics").text.splitlines()
    assert ("`params` of a request are ignored" in server.log_text()) == (name == "plain")


def test_other_protocols_carry_them_as_an_input(start, made):
    server = serve(start, made, "scaled")
    inputs = requests.get(server.url + "/v2/models/scaled", timeout=10).json()["inputs"]
    assert inputs == [{"name": "x", "datatype": "FP64", "shape": [-1]}, {"name": "params", "datatype": "BYTES", "shape": [1]}]

    def ask(*params):
        made = [{"name": "x", "datatype": "FP64", "shape": [1], "data": [2.0]}]
        made += [{"name": "params", "datatype": "BYTES", "shape": [1], "data": [text]} for text in params]
        return requests.post(server.url + "/v2/models/scaled/infer", json={"inputs": made}, timeout=30)

    assert ask().json()["outputs"][0]["data"] == [6.0]
    assert ask('{"factor": 10}').json()["outputs"][0]["data"] == [20.0]
    for wrong, words in (("not JSON", "is no JSON"), ("[1]", "must be a JSON object")):
        answer = ask(wrong)
        assert answer.status_code == 400 and words in answer.text, answer.text
    answer = requests.post(server.url + "/v1/models/scaled:predict", json={"instances": [2.0, 3.0]}, timeout=30)
    assert answer.json() == {"predictions": [6.0, 9.0]}, answer.text


def test_a_raw_request_is_the_column(start, made):
    server = serve(start, made, "scaled")
    answer = requests.post(server.url + "/v2/models/scaled/infer", data=np.array([2.0, 3.0]).tobytes(), timeout=30,
                           headers={"Inference-Header-Content-Length": "0"})
    assert answer.status_code == 200, answer.text
    assert np.frombuffer(answer.content[int(answer.headers["Inference-Header-Content-Length"]):]).tolist() == [6.0, 9.0]


def test_requests_with_other_params_never_share_a_batch(start, made):
    server = serve(start, made, "scaled", instances=1, batching={"max_batch_size": 32, "max_delay": "5ms"})

    def client(factor):
        with requests.Session() as session:
            for x in range(40):
                answer = session.post(server.url + "/invocations", timeout=30, json={
                    "dataframe_records": [{"x": float(x)}], "params": {"factor": factor}})
                assert answer.json() == {"predictions": [x * factor]}, (factor, x, answer.text)

    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        list(pool.map(client, [1.0, 1.0, 2.0, 2.0, 5.0, 5.0, 7.0, 7.0]))
