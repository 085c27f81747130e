"""Ten kinds of model, through every protocol: the answers are those of the model's own runtime in Python, to 1e-6."""
import json
from pathlib import Path

import numpy as np
import pytest
import requests
from conftest import MODELS_PYTHON, wait_for

HERE = Path(__file__).parent
KINDS = ["onnx", "saved_model", "keras_export", "keras_file", "xgboost_json", "xgboost_ubj", "lightgbm", "sklearn_joblib",
         "mlflow_pyfunc", "user_script"]
PROTOCOLS = ["tfserving rows", "tfserving columns", "v2 json", "v2 binary", "v2 grpc", "tfserving grpc", "plain", "mlflow"]


@pytest.fixture(scope="module")
def trained(tmp_path_factory, models_python):
    folder = tmp_path_factory.mktemp("ten_kinds")
    models_python(HERE / "make_ten_kinds.py", folder, timeout=300)
    return folder


def test_every_protocol_gives_the_answers_of_the_original_runtime(start, trained, models_python):
    # One server a kind: /predict and /invocations name no model, and mean the only one.
    servers = {kind: start(ready=False, backends={"python": {"interpreter": str(MODELS_PYTHON)}},
                           models=[{"name": kind, "path": str(trained / kind), "settle_time": "0s"}]) for kind in KINDS}
    for kind, server in servers.items():
        wait_for(f"{kind} to be ready", lambda at=server: requests.get(at.admin + "/readyz", timeout=5).status_code == 200, timeout=120)
    at = {kind: {"url": server.url, "grpc": server.grpc} for kind, server in servers.items()}
    printed = models_python(HERE / "ask_ten_kinds.py", trained, json.dumps(at), timeout=300)
    said = json.loads(next(line for line in printed.splitlines() if line.startswith("ANSWERS ")).removeprefix("ANSWERS "))
    expected = json.loads((trained / "expected.json").read_text())
    wrong = []
    for kind in KINDS:
        if "metadata" in said[kind]:
            wrong.append(f"{kind}: {said[kind]['metadata']['error']}")
            continue
        for protocol in PROTOCOLS:
            answer = said[kind][protocol]
            if isinstance(answer, dict):
                wrong.append(f"{kind}, {protocol}: {answer['error']}")
                continue
            got, want = np.asarray(answer, float), np.asarray(expected[kind], float)
            if got.size != want.size or not np.allclose(got.reshape(want.shape), want, rtol=1e-6, atol=1e-6):
                wrong.append(f"{kind}, {protocol}: {answer}, not {expected[kind]}")
    assert not wrong, "\n".join(wrong)
