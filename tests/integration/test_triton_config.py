"""A Triton repository as it is, config.pbtxt and all, and Triton's own client: what the file says holds, or the load fails."""

import http.client
import json

import models
import numpy as np
import onnx
import pytest
import requests
import tritonclient.http as triton
from conftest import wait_for
from onnx import TensorProto, helper
from tritonclient.utils import InferenceServerException


def row_sums(width=4):
    """x: FP32 [N, width] → y: FP32 [N], the sum of each row."""
    def info(name, shape):
        return helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)

    axes = helper.make_tensor("axes", TensorProto.INT64, [1], [1])
    node = helper.make_node("ReduceSum", ["x", "axes"], ["y"], keepdims=0)
    graph = helper.make_graph([node], "sums", [info("x", ["N", width])], [info("y", ["N"])], initializer=[axes])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model)
    return model.SerializeToString()


SUMS = """
backend: "onnxruntime"
max_batch_size: 8
input [ { name: "x" data_type: TYPE_FP32 dims: [ 2, 2 ] reshape { shape: [ 4 ] } } ]
output [ { name: "y" data_type: TYPE_FP32 dims: [ 1 ] reshape { shape: [ ] } } ]
instance_group [ { count: 2 kind: KIND_CPU } ]
dynamic_batching { preferred_batch_size: [ 4 ] max_queue_delay_microseconds: 500 }
parameters { key: "intra_op_thread_count" value { string_value: "1" } }
"""


@pytest.fixture
def repository(tmp_path):
    """repository(name, config.pbtxt, file name) → the model's folder, with version 1."""
    def add(name, config, file="model.onnx", version=1):
        folder = tmp_path / "repository" / name
        (folder / str(version)).mkdir(parents=True, exist_ok=True)
        (folder / str(version) / file).write_bytes(row_sums())
        (folder / "config.pbtxt").write_text(config)
        return folder
    return add


def serve(start, folders, ready=True, **more):
    models = [{"name": folder.name, "path": str(folder), "settle_time": "0s", "required": ready} for folder in folders]
    return start(models=models, **more)


def ask(client, rows, shape=(2, 2), name="sums"):
    x = np.arange(rows * 4, dtype=np.float32).reshape(rows, *shape)
    tensor = triton.InferInput("x", list(x.shape), "FP32").set_data_from_numpy(x)
    return client.infer(name, [tensor]).as_numpy("y"), x.reshape(rows, 4).sum(axis=1)


def test_tritonclient_sees_what_the_file_says(start, repository):
    server = serve(start, [repository("sums", SUMS)], telemetry={"compat": ["triton"]})
    client = triton.InferenceServerClient(server.url.removeprefix("http://"))
    metadata = client.get_model_metadata("sums")
    assert metadata["platform"] == "onnxruntime_onnx"
    assert metadata["inputs"] == [{"name": "x", "datatype": "FP32", "shape": [-1, 2, 2]}]
    assert metadata["outputs"] == [{"name": "y", "datatype": "FP32", "shape": [-1, 1]}]
    config = client.get_model_config("sums")
    assert (config["max_batch_size"], config["backend"]) == (8, "onnxruntime")
    assert config["input"][0]["dims"] == [2, 2] and config["input"][0]["reshape"] == {"shape": [4]}
    assert config["output"][0]["dims"] == [1] and config["output"][0]["reshape"] == {"shape": []}
    assert config["instance_group"][0]["count"] == 2
    assert config["dynamic_batching"]["max_queue_delay_microseconds"] == 500
    assert config["dynamic_batching"]["preferred_batch_size"] == [4]
    assert config["parameters"]["intra_op_thread_count"] == {"string_value": "1"}

    got, sums = ask(client, 8)
    assert got.shape == (8, 1) and np.array_equal(got[:, 0], sums)
    with pytest.raises(InferenceServerException, match="inference request batch-size must be <= 8 for 'sums'") as refused:
        ask(client, 9)
    assert refused.value.status() == "400"
    with pytest.raises(InferenceServerException, match=r"expected FP32\[-1,2,2\], got FP32\[2,4\]"):
        ask(client, 2, shape=(4,))
    rows = requests.post(server.url + "/v1/models/sums:predict", json={"instances": [[[1, 2], [3, 4]]] * 9}, timeout=5)
    assert rows.status_code == 400 and "batch-size must be <= 8" in rows.json()["error"]

    metrics = server.get("/metrics").text
    for line in ('nv_inference_request_success{model="sums",version="1"} 1', 'nv_inference_count{model="sums",version="1"} 8',
                 'nv_inference_request_failure{model="sums",reason="OTHER",version="1"} 3',
                 'nv_inference_pending_request_count{model="sums",version="1"} 0'):
        assert line in metrics.splitlines()
    for name in ("nv_model_load_duration_secs{", "nv_cpu_utilization ", "nv_cpu_memory_total_bytes ", "nv_cpu_memory_used_bytes "):
        [value] = [float(line.split()[-1]) for line in metrics.splitlines() if line.startswith(name)]
        assert value >= 0


GRPC = """
import sys
import numpy as np
import tritonclient.grpc as triton
from tritonclient.utils import InferenceServerException

client = triton.InferenceServerClient(sys.argv[1])
config = client.get_model_config("sums").config
assert config.max_batch_size == 8 and list(config.input[0].dims) == [2, 2], config
assert list(config.input[0].reshape.shape) == [4] and list(config.output[0].dims) == [1], config
assert config.instance_group[0].count == 2 and config.instance_group[0].kind == config.instance_group[0].KIND_CPU, config
assert config.dynamic_batching.max_queue_delay_microseconds == 500, config
assert list(config.dynamic_batching.preferred_batch_size) == [4], config
assert config.parameters["intra_op_thread_count"].string_value == "1", config
metadata = client.get_model_metadata("sums")
assert list(metadata.inputs[0].shape) == [-1, 2, 2] and list(metadata.outputs[0].shape) == [-1, 1], metadata

def ask(rows):
    x = np.arange(rows * 4, dtype=np.float32).reshape(rows, 2, 2)
    tensor = triton.InferInput("x", [rows, 2, 2], "FP32")
    tensor.set_data_from_numpy(x)
    return client.infer("sums", [tensor]).as_numpy("y"), x.sum(axis=(1, 2))

got, sums = ask(8)
assert got.shape == (8, 1) and np.array_equal(got[:, 0], sums), got
try:
    ask(9)
    raise SystemExit("nine rows were taken")
except InferenceServerException as error:
    assert "batch-size must be <= 8 for 'sums'" in error.message(), error
    assert error.status() == "StatusCode.INVALID_ARGUMENT", error
print("ok")
"""


def test_tritonclient_over_grpc_sees_the_same(start, repository, models_python, tmp_path):
    server = serve(start, [repository("sums", SUMS)])
    script = tmp_path / "triton_grpc.py"
    script.write_text(GRPC)
    assert models_python(script, server.grpc).splitlines()[-1] == "ok"


def failed(server, name):
    version = {v["version"]: v for v in server.model(name)["versions"]}.get(1, {})
    return version.get("state") == "failed" and version["reason"]


@pytest.mark.parametrize(("config", "reason"), [
    ('input { name: "a" data_type: TYPE_FP32 dims: 4 }', "config.pbtxt names the input a, the model has none of that name; it has x"),
    ('input { name: "x" data_type: TYPE_INT32 dims: 4 }',
     "config.pbtxt says that the input x is INT32[-1,4], the batch dimension of max_batch_size included; the model's is FP32[-1,4]"),
    ('input { name: "x" data_type: TYPE_FP32 dims: 5 }',
     "config.pbtxt says that the input x is FP32[-1,5], the batch dimension of max_batch_size included; the model's is FP32[-1,4]"),
    ('output { name: "y" data_type: TYPE_FP32 dims: [ 3 ] }', "config.pbtxt says that the output y is FP32[-1,3]"),
    ('default_model_filename: "other.onnx"', "config.pbtxt: default_model_filename: the folder has no other.onnx"),
    ('ensemble_scheduling { }', "config.pbtxt:1:19: ensemble_scheduling: ensembles are not supported"),
    ('instance_groups { }', "config.pbtxt:1:35: unknown field instance_groups in ModelConfig; did you mean instance_group?"),
])
def test_what_does_not_agree_is_not_served(start, repository, config, reason):
    folder = repository("sums", "max_batch_size: 8 " + config)
    server = serve(start, [folder, repository("other", "")], ready=False)
    told = wait_for("the load to fail", lambda: failed(server, "sums"))
    assert told.startswith(reason), told
    index = {m["name"]: m for m in requests.post(server.url + "/v2/repository/index", timeout=5).json()}
    assert index["sums"]["state"] == "UNAVAILABLE" and index["sums"]["reason"].startswith(reason)
    wait_for("the other model", lambda: index["other"]["state"] == "READY" or server.version_state("other", 1) == "ready")
    # What is put right is tried again by itself.
    (folder / "config.pbtxt").write_text(SUMS)
    wait_for("version 1", lambda: server.version_state("sums", 1) == "ready")


def test_what_serves_goes_on_while_the_file_is_wrong(start, repository):
    folder = repository("sums", SUMS)
    server = serve(start, [folder])
    repository("sums", "backend: 'tensorrt'", version=2)
    wait_for("version 2 to fail", lambda: server.version_state("sums", 2) == "failed")
    client = triton.InferenceServerClient(server.url.removeprefix("http://"))
    got, sums = ask(client, 2)
    assert np.array_equal(got[:, 0], sums)


@pytest.mark.parametrize(("config", "files"), [
    ('default_model_filename: "b.onnx"', ["a.onnx", "b.onnx"]),
    ('cc_model_filenames [ { key: "7.5" value: "a.onnx" }, { key: "8.9" value: "b.onnx" } ]', ["a.onnx", "b.onnx"]),
    ('platform: "onnxruntime_onnx" default_model_filename: "net.bin"', ["net.bin"]),
])
def test_the_file_that_is_named_is_the_model(start, repository, config, files):
    for file in files:
        folder = repository("sums", config, file)
    if len(files) > 1:
        (folder / "1" / files[0]).write_bytes(b"not a model")
    server = serve(start, [folder])
    answer = requests.post(server.url + "/v1/models/sums:predict", json={"instances": [[1, 2, 3, 4]]}, timeout=5)
    assert answer.json() == {"predictions": [10.0]}


def test_an_edited_file_holds_after_unload_and_load(start, repository):
    folder = repository("sums", SUMS)
    server = serve(start, [folder], repository={"control": "explicit", "load_at_start": ["sums"]})
    client = triton.InferenceServerClient(server.url.removeprefix("http://"))
    assert client.get_model_config("sums")["max_batch_size"] == 8
    (folder / "config.pbtxt").write_text(SUMS.replace("max_batch_size: 8", "max_batch_size: 16"))
    client.unload_model("sums")
    wait_for("the model to go", lambda: not client.is_model_ready("sums"))
    client.load_model("sums")
    assert client.get_model_config("sums")["max_batch_size"] == 16
    got, sums = ask(client, 16)
    assert np.array_equal(got[:, 0], sums)


def test_an_edited_file_is_noticed_and_nobody_is_refused_meanwhile(start, repository):
    folder = repository("sums", SUMS)
    server = serve(start, [folder])
    client = triton.InferenceServerClient(server.url.removeprefix("http://"))
    (folder / "config.pbtxt").write_text(SUMS.replace("max_batch_size: 8", "max_batch_size: 16"))

    def taken():
        got, sums = ask(client, 8)  # an error would end the test
        assert np.array_equal(got[:, 0], sums)
        return client.get_model_config("sums")["max_batch_size"] == 16

    wait_for("the new file", taken)
    (folder / "config.pbtxt").write_text("sequence_batching { }")
    wait_for("a word about it", lambda: "it is served as it was before" in server.model("sums")["note"])
    got, sums = ask(client, 16)
    assert np.array_equal(got[:, 0], sums)


WARMED = SUMS + """
model_warmup { name: "rows" batch_size: 2 count: 3
  inputs { key: "x" value { data_type: TYPE_FP32 dims: [ 2, 2 ] input_data_file: "x.raw" } } }
model_warmup { name: "any" inputs { key: "x" value { data_type: TYPE_FP32 dims: [ 2, 2 ] random_data: true } } }
"""


def test_the_requests_of_model_warmup_are_sent_before_it_is_ready(start, repository):
    folder = repository("sums", WARMED)
    (folder / "warmup").mkdir()
    (folder / "warmup" / "x.raw").write_bytes(np.arange(4, dtype=np.float32).tobytes())
    server = serve(start, [folder])
    assert 'leadsman_lifecycle_warmup_requests_total{model="sums"} 4' in server.get("/metrics").text
    # One that does not fit says so, and what is loaded serves on.
    (folder / "warmup" / "x.raw").write_bytes(b"short")
    said = "warmup/x.raw has 5 bytes, FP32[2,2] takes 16"
    wait_for("a word about it", lambda: said in server.model("sums")["note"])
    assert ask(triton.InferenceServerClient(server.url.removeprefix("http://")), 1)[0].shape == (1, 1)


QUEUED = """
max_batch_size: 4
instance_group [ { count: 1 kind: KIND_CPU } ]
dynamic_batching {
  preferred_batch_size: [ 2 ] max_queue_delay_microseconds: 10000000
  priority_levels: 2 default_priority_level: 2
  default_queue_policy { default_timeout_microseconds: 50000 allow_timeout_override: true }
  priority_queue_policy { key: 1 value { max_queue_size: 1 } }
}
"""


def test_preferred_sizes_and_queue_policies_hold(start, repository):
    folder = repository("queued", QUEUED)
    (folder / "1" / "model.onnx").write_bytes(models.endless())
    server = serve(start, [folder])
    url = server.url + "/v2/models/queued/infer"

    def metric(name):
        return sum(float(line.split()[-1]) for line in server.get("/metrics").text.splitlines() if line.startswith(name))

    def body(*rows, **parameters):
        x = {"name": "x", "datatype": "FP32", "shape": [len(rows)], "data": rows}
        return {"inputs": [x], "parameters": parameters}

    # Two rows are a preferred batch, and wait for no others.
    assert requests.post(url, json=body(0, 0, priority=1), timeout=30).status_code == 200
    assert metric('leadsman_batching_batches_total{model="queued",version="1",reason="preferred"}') == 1
    assert metric("leadsman_batching_batch_rows_sum") == 2

    def send(*rows, **parameters):
        client = http.client.HTTPConnection(*server.url.removeprefix("http://").split(":"), timeout=60)
        client.request("POST", "/v2/models/queued/infer", body=json.dumps(body(*rows, **parameters)))
        return client

    running = send(1e12, 0, 0, 0)
    wait_for("it to run", lambda: metric("leadsman_batching_instances_busy") == 1)
    # The first level has a place for one, which waits as long as it takes; the second is refused after its time.
    waiting = send(0, priority=1)
    wait_for("it to wait", lambda: metric("leadsman_batching_queue_depth") == 1)
    full = requests.post(url, json=body(0, priority=1), timeout=30)
    assert (full.status_code, full.headers["Retry-After"]) == (503, "1") and "is full" in full.json()["error"]
    late = requests.post(url, json=body(0), timeout=30)
    assert late.status_code == 504, late.text
    assert metric('leadsman_batching_rejected_total{model="queued",version="1",reason="expired"}') == 1
    assert metric("leadsman_batching_queue_depth") == 1
    for client in (running, waiting):
        client.close()
    server.kill()  # it would wait for the endless one


def test_inspect_says_what_the_file_does_not_do(start, repository):
    folder = repository("sums", SUMS + "optimization { graph { level: 1 } }")
    server = serve(start, [folder])
    shown = server.cli("models", "inspect", str(folder))
    assert shown.returncode == 0 and "config.pbtxt: optimization does nothing" in shown.stdout, shown
    (folder / "config.pbtxt").write_text("sequence_batching { }")
    shown = server.cli("models", "inspect", str(folder))
    assert shown.returncode != 0 and "config.pbtxt:1:1: sequence_batching" in shown.stderr + shown.stdout, shown
