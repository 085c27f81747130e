"""`leadsman gateway` in front of other people's inference servers, two versions each: their answers pass as they are, and each version's
inputs and accuracy are known."""
import contextlib
import json
import sys
from pathlib import Path

import numpy as np
import pytest
import requests
from conftest import wait_for
from hosts.python_servers import KServe, MlServer
from hosts.triton import Triton
from onnx import helper
from test_gateway_bodies import bodies, by_version, gateway, profile, versions  # noqa: F401

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "bench"))
import make_models  # noqa: E402

CLASSES, REQUESTS, WRONG = 10, 200, 3


def release(folder, weights):
    nodes = [helper.make_node("MatMul", ["x", "w"], ["logits"]), helper.make_node("Softmax", ["logits"], ["y"], axis=1)]
    make_models.save("mlp", nodes, {"w": weights}, CLASSES, CLASSES, folder)


@pytest.fixture
def peers(request, tmp_path):
    """Two versions of one server; the second takes every row of one class for the next."""
    def start(kind, folder):
        return Triton(folder / "triton", folder) if kind is Triton else kind(folder, folder)

    with contextlib.ExitStack() as started:
        ports = []
        for number in range(2):
            weights = np.eye(CLASSES) * 8
            if number:
                weights[WRONG] = np.roll(weights[WRONG], 1)
            release(tmp_path / str(number), weights)
            ports.append(started.enter_context(start(request.param, tmp_path / str(number))).port)
        yield [f"127.0.0.1:{port}" for port in ports]


def outputs(answer):
    return [{key: output[key] for key in ("name", "datatype", "shape", "data")} for output in answer.json()["outputs"]]


@pytest.mark.parametrize("peers", [MlServer, KServe, Triton], indirect=True, ids=lambda kind: kind.__name__)
def test_two_versions_of_a_v2_server_are_told_apart(peers, gateway):  # noqa: F811
    server = gateway(services=[versions("mlp", *peers)], models=[{"name": "mlp", "monitoring": {"max_join_rate": 100000}}])
    rng = np.random.default_rng(4)
    truth, answered = [], []
    for number in range(REQUESTS):
        row = np.roll(np.linspace(1, 0, CLASSES), number) + rng.normal(0, 0.01, CLASSES)
        body = json.dumps({"id": f"r{number}", "inputs": [{"name": "x", "shape": [1, CLASSES], "datatype": "FP32", "data": row.tolist()}]})
        headers = {"X-Request-Id": f"r{number}", "Content-Type": "application/json"}
        answer = requests.post(f"{server.url}/v2/models/mlp/infer", data=body, headers=headers, timeout=10)
        assert answer.status_code == 200, answer.text
        direct = [requests.post(f"http://{peer}/v2/models/mlp/infer", data=body, headers=headers, timeout=10) for peer in peers]
        assert outputs(answer) in [outputs(one) for one in direct]
        truth.append(int(row.argmax()))
        answered.append(int(np.argmax(outputs(answer)[0]["data"])))
    wait_for("all to be decoded", lambda: bodies(server, "request", "decoded") == bodies(server, "response", "decoded") == REQUESTS)
    labels = {"labels": [{"request_id": f"r{number}", "label": str(label)} for number, label in enumerate(truth)]}
    assert requests.post(server.admin + "/api/v1/labels", json=labels, timeout=10).status_code == 200
    wait_for("all labels", lambda: sum(v.get("labelled", 0) for v in by_version(server, "mlp", "quality").values()) == REQUESTS)
    quality = by_version(server, "mlp", "quality")
    assert quality[1]["wrong"] == 0
    assert quality[2]["wrong"] == sum(x != y for x, y in zip(truth, answered)) > 0
    for version in (1, 2):
        assert len(profile(server, "mlp", version)) == CLASSES
