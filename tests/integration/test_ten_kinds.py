"""Ten kinds of model, two of them in both of their formats, through every protocol: all outputs are those of the model's own
runtime in Python, to 1e-6."""
import json
from pathlib import Path

import numpy as np
import pytest
import requests
from conftest import MODELS_PYTHON, wait_for

HERE = Path(__file__).parent
KINDS = ["onnx", "saved_model", "keras_export", "keras_file", "keras_h5", "xgboost_json", "xgboost_ubj", "lightgbm",
         "sklearn_joblib", "sklearn_pickle", "mlflow_pyfunc", "user_script"]
PROTOCOLS = ["tfserving rows", "tfserving columns", "v2 json", "v2 binary", "v2 grpc", "tfserving grpc", "plain", "mlflow"]


@pytest.fixture(scope="module")
def trained(tmp_path_factory, models_python):
    folder = tmp_path_factory.mktemp("ten_kinds")
    models_python(HERE / "make_ten_kinds.py", folder, timeout=300)
    return folder


def differs(got, want):
    got, want = np.asarray(got), np.asarray(want)
    if want.dtype.kind == "U":
        return got.tolist() != want.tolist()
    return got.size != want.size or not np.allclose(got.reshape(want.shape), want, rtol=1e-6, atol=1e-6)


def test_every_protocol_gives_the_answers_of_the_original_runtime(start, trained, models_python):
    # One server a kind: /predict and /invocations name no model, and mean the only one.
    servers = {kind: start(ready=False, backends={"python": {"interpreter": str(MODELS_PYTHON)}}, mlflow={"output": "*"},
                           models=[{"name": kind, "path": str(trained / kind), "settle_time": "0s"}]) for kind in KINDS}
    for kind, server in servers.items():
        wait_for(f"{kind} to be ready", lambda at=server: requests.get(at.admin + "/readyz", timeout=5).status_code == 200, timeout=120)
    at = {kind: {"url": server.url, "grpc": server.grpc} for kind, server in servers.items()}
    printed = models_python(HERE / "ask_ten_kinds.py", trained, json.dumps(at), timeout=300)
    said = json.loads(next(line for line in printed.splitlines() if line.startswith("ANSWERS ")).removeprefix("ANSWERS "))
    expected = json.loads((trained / "expected.json").read_text())
    wrong = []
    for kind in KINDS:
        for protocol in PROTOCOLS:
            answer = said[kind].get("metadata") or said[kind][protocol]
            if isinstance(answer, str):
                wrong.append(f"{kind}, {protocol}: {answer}")
                continue
            want = expected[kind]
            if "*" in want:
                want = {output: want["*"] for output in answer}
            # Plain is the first output alone.
            if len(answer) != (1 if protocol == "plain" else len(expected[kind])) or not answer.keys() <= want.keys():
                wrong.append(f"{kind}, {protocol}: the outputs {list(answer)}, not {list(want)}")
            wrong += [f"{kind}, {protocol}, {output}: {rows}, not {want[output]}"
                      for output, rows in answer.items() if output in want and differs(rows, want[output])]
    assert not wrong, "\n".join(wrong)
