"""Models of every runtime, saved as their users save them and found by looking, answer as the original runtime does in
Python: to 1e-6, over V2 and TensorFlow Serving, REST and gRPC."""
import json
import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
import requests
from conftest import wait_for
from traffic import asked_on_and_on, memory_after, resident

HERE = Path(__file__).parent
MODELS = ("tf_module", "half_plus_two", "keras_mlp", "keras_two_inputs", "keras_words", "xgb_classes", "xgb_missing", "xgb_categories",
          "lgb_classes", "lgb_categories", "sklearn_pipeline", "sklearn_forest")


@pytest.fixture(scope="module")
def expected(trained):
    cases = json.loads((trained / "expected.json").read_text())
    assert set(cases) == set(MODELS)
    return cases


def configured(trained, names=MODELS):
    return [{"name": name, "path": str(trained / name), "settle_time": "0s"} for name in names]


@pytest.fixture
def server(start, trained):
    return start(models=configured(trained))


def tensor_of(data, tensor):
    if tensor["datatype"] == "BYTES":
        return [str(v) for v in np.array(data, dtype=object).ravel()]
    return np.array(data, dtype=np.float64).ravel()


def assert_agrees(data, tensor, what):
    got = tensor_of(data, tensor)
    if tensor["datatype"] == "BYTES":
        assert got == tensor["data"], what
    else:
        np.testing.assert_allclose(got, tensor["data"], rtol=1e-6, atol=1e-6, err_msg=str(what))


def nested(tensor):
    return np.array(tensor["data"], dtype=object).reshape(tensor["shape"]).tolist()


def post(url, body):
    # NaN for missing values, as Python's json writes it.
    answer = requests.post(url, data=json.dumps(body), headers={"Content-Type": "application/json"}, timeout=30)
    assert answer.status_code == 200, f"{url}: {answer.text[:2000]}"
    return answer.json()


def test_rest_answers_are_those_of_the_original_runtime(server, expected):
    for name, cases in expected.items():
        for case in cases:
            inputs, outputs, signature = case["inputs"], case["outputs"], case["signature"]
            if signature == "serving_default":  # V2 has no signatures
                answer = post(f"{server.url}/v2/models/{name}/infer",
                              {"inputs": [{"name": key, **tensor} for key, tensor in inputs.items()]})
                got = {output["name"]: output for output in answer["outputs"]}
                assert set(got) == set(outputs)
                for key, tensor in outputs.items():
                    assert got[key]["datatype"] == tensor["datatype"] and got[key]["shape"] == tensor["shape"], key
                    assert_agrees(got[key]["data"], tensor, (name, key))

            url = f"{server.url}/v1/models/{name}:predict"
            columns = {key: nested(tensor) for key, tensor in inputs.items()}
            answer = post(url, {"signature_name": signature, "inputs": columns})["outputs"]
            for key, tensor in outputs.items():
                assert_agrees(answer if len(outputs) == 1 else answer[key], tensor, (name, key))

            rows = [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]
            answer = post(url, {"signature_name": signature, "instances": rows})["predictions"]
            for key, tensor in outputs.items():
                got = answer if len(outputs) == 1 else [row[key] for row in answer]
                assert_agrees(got, tensor, (name, key))


def test_a_model_that_parses_examples_itself(start, trained):
    server = start(models=configured(trained, ("half_plus_two",)))
    for method, signature, results in (
            ("regress", "regress_x_to_y", [2.5, 4.5]),
            ("classify", "classify_x", [[["low", 1.0], ["high", 0.0]], [["low", 0.0], ["high", 1.0]]])):
        url = f"{server.url}/v1/models/half_plus_two:{method}"
        assert post(url, {"signature_name": signature, "examples": [{"x": 1.0}, {"x": [5.0]}]}) == {"results": results}
        assert post(url, {"signature_name": signature, "context": {"x": 5.0}, "examples": [{}]}) == {"results": results[1:]}
        bad = requests.post(url, json={"signature_name": signature, "examples": [{"z": 1.0}]}, timeout=10)
        assert bad.status_code == 400 and "x" in bad.json()["error"], bad.text


@pytest.mark.parametrize("watched, classes", [("", {"2.5", "4.5"}), ("classify_x", {"0", "1"})])
def test_of_several_signatures_one_is_watched(start, trained, watched, classes):
    [model] = configured(trained, ("half_plus_two",))
    server = start(models=[{**model, "monitoring": {"signature": watched}}])
    url = f"{server.url}/v1/models/half_plus_two"
    for x in (1.0, 5.0):
        post(url + ":predict", {"instances": [x]})
        post(url + ":regress", {"signature_name": "regress_x_to_y", "examples": [{"x": x + 100}]})
        post(url + ":classify", {"signature_name": "classify_x", "examples": [{"x": x}]})

    def counted(metric, label):
        found = re.findall(rf'^{metric}{{.*{label}="([^"]*)".*}} (\d+)$', server.get("/metrics").text, re.M)
        return {value for value, count in found if count != "0"}
    wait_for("the predictions", lambda: counted("leadsman_monitor_predictions_total", "class") == classes)
    wait_for("the others as requests", lambda: "\nleadsman_monitor_events_total 6\n" in server.get("/metrics").text)


def test_grpc_answers_over_tls_are_those_of_the_original_runtime(start, tmp_path, trained, expected, models_python):
    # With TLS: TensorFlow brings an OpenSSL and a gRPC of its own into the process, which must not meet the server's.
    certificate, key = tmp_path / "tls.crt", tmp_path / "tls.key"
    subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost",
                    "-addext", "subjectAltName=DNS:localhost", "-keyout", key, "-out", certificate], check=True, capture_output=True)
    server = start(server={"tls": {"cert_file": str(certificate), "key_file": str(key)}}, models=configured(trained))
    tensors = sum(len(case["outputs"]) * (2 if case["signature"] == "serving_default" else 1)
                  for cases in expected.values() for case in cases)
    address = server.grpc.replace("127.0.0.1", "localhost")
    printed = models_python(HERE / "ask_grpc.py", address, trained / "expected.json", certificate)
    assert int(printed.split()[-1]) == tensors


def test_metadata_and_bad_values(server):
    metadata = requests.get(f"{server.url}/v1/models/tf_module/metadata", timeout=10).json()
    signatures = metadata["metadata"]["signature_def"]["signature_def"]
    assert signatures["petals"]["inputs"]["name"]["dtype"] == "DT_STRING"
    metadata = requests.get(f"{server.url}/v2/models/xgb_classes", timeout=10).json()
    assert metadata["inputs"] == [{"name": "input__0", "datatype": "FP32", "shape": [-1, 4]}]
    assert metadata["outputs"] == [{"name": "output__0", "datatype": "FP32", "shape": [-1, 3]}]

    bad = requests.post(f"{server.url}/v1/models/xgb_classes:predict", json={"instances": [[1, 2, 3]]}, timeout=10)
    assert bad.status_code == 400 and "4" in bad.json()["error"]
    bad = requests.post(f"{server.url}/v1/models/keras_words:predict", json={"instances": [[1, 2]]}, timeout=10)
    assert bad.status_code == 400
    assert len(post(f"{server.url}/v1/models/lgb_classes:predict", {"instances": [[5, 3, 1, 0.2]]})["predictions"]) == 1


def test_versions_of_a_savedmodel_come_and_go(start, trained, tmp_path):
    path = tmp_path / "repository"
    shutil.copytree(trained / "keras_mlp/1", path / "1")
    server = start(models=[{"name": "m", "path": str(path), "settle_time": "0s"}])
    for version in (2, 3):
        partial = path / f".{version}"
        shutil.copytree(trained / "keras_mlp/1", partial)
        partial.rename(path / str(version))
        wait_for(f"version {version}", lambda v=version: server.version_state("m", v) == "ready")
        body = {"instances": [[5.1, 3.5, 1.4, 0.2]]}
        assert len(post(f"{server.url}/v1/models/m/versions/{version}:predict", body)["predictions"][0]) == 3


@pytest.mark.parametrize("name", ["tf_module", "xgb_classes", "lgb_classes"])
def test_memory_does_not_grow_over_a_hundred_reloads_under_load(start, trained, repository, name):
    for version in (1, 2):
        shutil.copytree(trained / name / "1", repository / "m" / str(version))
    # Few predictions are kept for labels: their number grows with the traffic, up to one of its own.
    server = start(lifecycle={"poll_interval": "10ms", "load_priority": "normal"}, models=[
        {"name": "m", "path": str(repository / "m"), "settle_time": "0s", "versions": {"specific": [1]},
         "batching": {"max_batch_size": 8}, "monitoring": {"max_join_rate": 1}}])

    def swap(wanted):
        """The other version takes over while the client goes on asking."""
        server.config["models"][0]["versions"] = {"specific": [wanted]}
        part = server.path.with_suffix(".part")
        part.write_text(json.dumps(server.config))
        part.replace(server.path)
        assert requests.post(server.admin + "/api/v1/reload", timeout=30).status_code == 200
        wait_for(f"version {wanted}", lambda: server.version_state("m", wanted) == "ready", every=0.005)
        wait_for("the other to go", lambda: server.version_state("m", 3 - wanted) == "gone", every=0.005)

    rows = [[5.1, 3.5, 1.4, 0.2], [6.3, 3.3, 6.0, 2.5]]
    predictions = post(f"{server.url}/v1/models/m:predict", {"instances": rows})["predictions"]
    with asked_on_and_on(server, "m", rows, predictions, clients=1):
        for i in range(50):
            swap(2 - i % 2)
        # After the first loads: the pools of the runtime and of the allocator are filled once.
        before, after = memory_after(lambda: [swap(2 - i % 2) for i in range(100)], lambda: resident(server))
    assert after <= before * 1.02, f"resident memory went from {before} to {after} kB over 100 reloads"


def test_a_missing_runtime_is_said_and_the_others_serve(start, trained, monkeypatch):
    monkeypatch.setenv("LEADSMAN_TENSORFLOW", "/nowhere/libtensorflow_cc.so.2")
    server = start(ready=False, models=configured(trained, ("tf_module", "xgb_classes")))
    wait_for("xgb_classes", lambda: server.version_state("xgb_classes", 1) == "ready")
    assert post(f"{server.url}/v1/models/xgb_classes:predict", {"instances": [[5, 3, 1, 0.2]]})
    wait_for("the reason", lambda: "fetch_runtimes.sh --only tensorflow" in json.dumps(server.model("tf_module")))
    assert "tensorflow-cpu" in json.dumps(server.model("tf_module"))
