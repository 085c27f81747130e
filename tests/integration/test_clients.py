"""The official clients work unchanged."""
import json
import sys
from pathlib import Path

import ml_dtypes
import models
import numpy as np
import pytest
import requests
import tritonclient.grpc as triton_grpc
import tritonclient.http as triton
from tritonclient.utils import InferenceServerException


@pytest.fixture
def server(start, repository):
    models.release(repository, "half_plus_two", 1, models.half_plus_two())
    models.release(repository, "digits", 3, models.classifier())
    models.release(repository, "pair", 1, models.pair())
    models.release(repository, "upper", 1, models.upper())
    return start(models=[{"name": n, "path": str(repository / n)} for n in ("half_plus_two", "digits", "pair", "upper")],
                 plain={"model": "digits"})


def test_tensorflow_serving_documentation_examples(server):
    # The walk through the REST API: status, metadata, predict in row form.
    status = requests.get(server.url + "/v1/models/half_plus_two", timeout=5)
    assert status.status_code == 200
    assert status.json() == {"model_version_status": [
        {"version": "1", "state": "AVAILABLE", "status": {"error_code": "OK", "error_message": ""}}]}
    data = json.dumps({"instances": [1.0, 2.0, 5.0]})
    for path in ("/v1/models/half_plus_two:predict", "/v1/models/half_plus_two/versions/1:predict"):
        answer = requests.post(server.url + path, data=data, timeout=5)
        assert answer.status_code == 200, answer.text
        assert answer.json() == {"predictions": [2.5, 3.0, 4.5]}
    metadata = requests.get(server.url + "/v1/models/half_plus_two/metadata", timeout=5).json()
    assert metadata["model_spec"] == {"name": "half_plus_two", "signature_name": "", "version": "1"}
    signature = metadata["metadata"]["signature_def"]["signature_def"]["serving_default"]
    assert signature["inputs"]["x"]["dtype"] == "DT_FLOAT"


def test_tensorflow_serving_column_form_and_several_inputs(server):
    url = server.url + "/v1/models/pair:predict"
    column = requests.post(url, json={"inputs": {"a": [[1, 2]], "b": [[3, 5]]}}, timeout=5)
    assert column.json() == {"outputs": {"sum": [[4.0, 7.0]], "difference": [[-2.0, -3.0]]}}
    row = requests.post(url, json={"instances": [{"a": [1, 2], "b": [3, 5]}, {"a": [0, 0], "b": [1, 1]}]}, timeout=5)
    assert row.json() == {"predictions": [{"sum": [4.0, 7.0], "difference": [-2.0, -3.0]},
                                          {"sum": [1.0, 1.0], "difference": [-1.0, -1.0]}]}


def test_tritonclient_http(server):
    client = triton.InferenceServerClient(server.url.removeprefix("http://"))
    assert client.is_server_live() and client.is_server_ready()
    assert client.is_model_ready("digits") and client.is_model_ready("digits", "3")
    assert not client.is_model_ready("digits", "4")
    assert client.get_server_metadata()["name"] == "leadsman"
    metadata = client.get_model_metadata("digits")
    assert metadata["inputs"] == [{"name": "x", "datatype": "FP32", "shape": [-1, 10]}]

    x = np.eye(10, dtype="f")[[3, 7]]
    tensor = triton.InferInput("x", [2, 10], "FP32")
    tensor.set_data_from_numpy(x, binary_data=False)
    outputs = [triton.InferRequestedOutput("label", binary_data=False)]
    result = client.infer("digits", [tensor], outputs=outputs, request_id="r-1")
    assert result.as_numpy("label").tolist() == [3, 7]
    assert result.get_response()["id"] == "r-1"
    assert result.get_response()["model_version"] == "3"

    text = triton.InferInput("text", [2], "BYTES")
    text.set_data_from_numpy(np.array(["Zürich", "a\"b"], dtype=object), binary_data=False)
    same = client.infer("upper", [text], outputs=[triton.InferRequestedOutput("same", binary_data=False)])
    assert [t if isinstance(t, str) else t.decode() for t in same.as_numpy("same")] == ["Zürich", "a\"b"]

    with pytest.raises(InferenceServerException, match="nothing"):
        client.infer("nothing", [tensor], outputs=outputs)


def test_tritonclient_http_with_its_defaults(server):
    # Binary tensor data both ways is what the client does unless told otherwise.
    client = triton.InferenceServerClient(server.url.removeprefix("http://"))
    assert "binary_tensor_data" in client.get_server_metadata()["extensions"]

    def given(name, array, datatype):
        return triton.InferInput(name, list(array.shape), datatype).set_data_from_numpy(array)

    x = np.eye(10, dtype="f")[[3, 7]]
    result = client.infer("digits", [given("x", x, "FP32")], request_id="r-2")
    assert result.get_response()["id"] == "r-2"
    assert "data" not in result.get_output("label")
    assert result.as_numpy("label").tolist() == [3, 7] and result.as_numpy("label").dtype == np.int64
    assert result.as_numpy("probabilities").shape == (2, 10)
    assert result.as_numpy("probabilities").argmax(axis=1).tolist() == [3, 7]

    # Outputs asked for by name, one of them as JSON.
    result = client.infer("digits", [given("x", x, "FP32")], outputs=[
        triton.InferRequestedOutput("probabilities", binary_data=False), triton.InferRequestedOutput("label")])
    assert result.get_output("probabilities")["data"] and "data" not in result.get_output("label")
    assert result.as_numpy("label").tolist() == [3, 7]

    # Binary and JSON inputs in one request, in another order than the model's.
    a, b = np.array([[1, 2]], "f"), np.array([[3, 5]], "f")
    as_json = triton.InferInput("b", [1, 2], "FP32").set_data_from_numpy(b, binary_data=False)
    result = client.infer("pair", [as_json, given("a", a, "FP32")])
    assert result.as_numpy("sum").tolist() == [[4, 7]] and result.as_numpy("difference").tolist() == [[-2, -3]]

    texts = ["Zürich".encode(), b"", b"a\0b\xff"]
    result = client.infer("upper", [given("text", np.array(texts, dtype=object), "BYTES")])
    assert result.as_numpy("same").tolist() == texts

    # Large, compressed both ways, and the same values back.
    big = np.linspace(-1e6, 1e6, 100_000, dtype="f")
    result = client.infer("half_plus_two", [given("x", big, "FP32")], request_compression_algorithm="gzip",
                          response_compression_algorithm="gzip")
    assert np.array_equal(result.as_numpy("y"), big * np.float32(0.5) + np.float32(2))

    empty = client.infer("half_plus_two", [given("x", np.zeros(0, "f"), "FP32")])
    assert empty.as_numpy("y").shape == (0,)
    with pytest.raises(InferenceServerException, match="input \"x\": expected FP32"):
        client.infer("digits", [given("x", x[:, :9], "FP32")])
    calls = [client.async_infer("digits", [given("x", x[[i % 2]], "FP32")]) for i in range(20)]
    assert [call.get_result().as_numpy("label").tolist() for call in calls] == [[3], [7]] * 10


def test_a_chunked_body_of_json_and_binary_data(server):
    """In pieces that end in the middle of both parts."""
    x = np.eye(10, dtype="f")[[3, 7]]
    head = json.dumps({"inputs": [{"name": "x", "shape": [2, 10], "datatype": "FP32", "parameters": {"binary_data_size": x.nbytes}}]})
    body = head.encode() + x.tobytes()
    for size in (7, len(head) + 3, len(body)):
        pieces = (body[i:i + size] for i in range(0, len(body), size))
        sent = requests.Request("POST", server.url + "/v2/models/digits/infer", data=pieces,
                                headers={"Inference-Header-Content-Length": str(len(head))}).prepare()
        assert sent.headers["Transfer-Encoding"] == "chunked" and "Content-Length" not in sent.headers
        answer = requests.Session().send(sent, timeout=10)
        assert answer.status_code == 200, answer.text
        assert answer.json()["outputs"][0]["data"] == [3, 7]


def test_plain_predict(server):
    answer = requests.post(server.url + "/predict", json={"input_data": np.eye(10)[4].tolist()}, timeout=5)
    assert answer.status_code == 200, answer.text
    assert answer.json()["prediction"] == 4
    answer = requests.post(server.url + "/predict", json={"input_data": np.eye(10)[[4, 5]].tolist()}, timeout=5)
    assert answer.json()["prediction"] == [4, 5]


def test_plain_predict_with_other_field_names(start, repository):
    models.release(repository, "digits", 3, models.classifier())
    server = start(models=[{"name": "digits", "path": str(repository / "digits")}],
                   plain={"input_field": "rows", "output_field": "classes"})
    for path in ("/predict", "/predict/digits"):
        answer = requests.post(server.url + path, json={"rows": np.eye(10)[[4, 5]].tolist(), "input_data": 1}, timeout=5)
        assert answer.json() == {"classes": [4, 5]}, answer.text
    refused = requests.post(server.url + "/predict", json={"input_data": np.eye(10)[4].tolist()}, timeout=5)
    assert refused.status_code == 400 and "'rows' is missing" in refused.json()["error"]


def test_gzip_both_ways(server):
    import gzip
    body = gzip.compress(json.dumps({"instances": [1.0] * 2000}).encode())
    for coding in ("gzip", "gzip, identity", "x-gzip"):
        answer = requests.post(server.url + "/v1/models/half_plus_two:predict", data=body, timeout=5,
                               headers={"Content-Encoding": coding, "Accept-Encoding": "gzip"})
        assert answer.status_code == 200, answer.text
        assert answer.headers["Content-Encoding"] == "gzip"
        assert answer.json()["predictions"] == [2.5] * 2000


def test_request_id_comes_back(server):
    body = {"instances": [1.0]}
    url = server.url + "/v1/models/half_plus_two:predict"
    assert requests.post(url, json=body, headers={"x-request-id": "mine"}, timeout=5).headers["x-request-id"] == "mine"
    made = [requests.post(url, json=body, timeout=5).headers["x-request-id"] for _ in range(3)]
    assert len(set(made)) == 3 and all(len(m) >= 16 for m in made)


DATATYPES = {"BOOL": np.array([True, False]), "UINT8": np.array([0, 255], np.uint8), "INT8": np.array([-128, 127], np.int8),
             "UINT16": np.array([0, 65535], np.uint16), "INT16": np.array([-32768, 32767], np.int16),
             "UINT32": np.array([0, 2**32 - 1], np.uint32), "INT32": np.array([-2**31, 2**31 - 1], np.int32),
             "UINT64": np.array([0, 2**64 - 1], np.uint64), "INT64": np.array([-2**63, 2**63 - 1], np.int64),
             "FP32": np.array([0.1, -np.inf], np.float32), "FP64": np.array([0.1, 1e300]),
             "BYTES": np.array([b"a\0b", "Zürich".encode()], object)}
HALVES = {"FP16": np.array([0.5, -65504], np.float16), "BF16": np.array([0.5, -3e38], ml_dtypes.bfloat16)}


@pytest.fixture
def golden_server(start, tmp_path):
    """The models of tests/golden/triton: identities of every data type, one with labels."""
    sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "golden" / "triton"))
    import golden_models
    golden_models.write(tmp_path)
    return lambda **more: start(models=[{"name": name, "path": str(tmp_path / "leadsman" / name), "versions": {"all": True}}
                                        for name in golden_models.MODELS], **more)


@pytest.mark.parametrize("model, types, binary", [("types", DATATYPES, True), ("types", DATATYPES, False), ("halves", HALVES, True)])
def test_tritonclient_carries_every_datatype(golden_server, model, types, binary):
    client = triton.InferenceServerClient(golden_server().url.removeprefix("http://"))
    inputs, outputs = [], []
    for datatype, values in types.items():
        if datatype == "BYTES" and not binary:
            values = np.array(["a\0b", "Zürich"], object)
        name = datatype.lower()
        inputs.append(triton.InferInput(f"x_{name}", [2], datatype).set_data_from_numpy(values, binary_data=binary))
        outputs.append(triton.InferRequestedOutput(f"y_{name}", binary_data=binary))
    for coding in (None, "gzip", "deflate"):
        result = client.infer(model, inputs, outputs=outputs, request_compression_algorithm=coding,
                              response_compression_algorithm=coding)
        for datatype, values in types.items():
            got = result.as_numpy(f"y_{datatype.lower()}")
            if datatype == "BYTES":
                got = [v if isinstance(v, bytes) else v.encode() for v in got]
                assert got == list(values)
            else:
                assert got.dtype == values.dtype and np.array_equal(got, values), datatype


def test_tritonclient_uses_tritons_extensions(golden_server):
    server = golden_server(telemetry={"compat": ["triton"]})
    client = triton.InferenceServerClient(server.url.removeprefix("http://"))
    scores = np.array([[0.5, 0.25, 2], [3, 1, 2]], "f")
    x = triton.InferInput("x", [2, 3], "FP32").set_data_from_numpy(scores)
    result = client.infer("classes", [x], outputs=[triton.InferRequestedOutput("y", class_count=2)])
    assert result.as_numpy("y").tolist() == [[b"2.000000:2:virginica", b"0.500000:0:setosa"],
                                             [b"3.000000:0:setosa", b"2.000000:2:virginica"]]
    by_grpc = triton_grpc.InferInput("x", [2, 3], "FP32").set_data_from_numpy(scores)
    with triton_grpc.InferenceServerClient(server.grpc) as grpc_client:
        asked = [triton_grpc.InferRequestedOutput("y", class_count=2)]
        result_by_grpc = grpc_client.infer("classes", [by_grpc], model_version="1", outputs=asked)
    assert result_by_grpc.as_numpy("y").tolist() == result.as_numpy("y").tolist()
    [stats] = client.get_inference_statistics("classes", "2")["model_stats"]
    assert (stats["inference_count"], stats["execution_count"]) == (2, 1)
    assert stats["inference_stats"]["success"]["count"] == 1 and stats["inference_stats"]["success"]["ns"] > 0
    assert [batch["batch_size"] for batch in stats["batch_stats"]] == [2]
    assert {s["name"] for s in client.get_inference_statistics()["model_stats"]} >= {"classes", "types", "pair"}
    config = client.get_model_config("classes")
    assert config["max_batch_size"] == 8 and config["input"][0]["dims"] == [3]
    assert config["input"][0]["data_type"] == "TYPE_FP32"
    assert {(m["name"], m["version"]) for m in client.get_model_repository_index()} >= {("classes", "1"), ("classes", "2")}
    with pytest.raises(InferenceServerException, match="explicit model load / unload is not allowed"):
        client.load_model("classes")
    metrics = server.get("/metrics").text
    assert 'nv_inference_count{model="classes",version="2"} 2' in metrics
    assert 'nv_inference_request_success{model="classes",version="2"} 1' in metrics


@pytest.mark.parametrize("client_of", [lambda at: triton.InferenceServerClient(at.url.removeprefix("http://")),
                                       lambda at: triton_grpc.InferenceServerClient(at.grpc)], ids=["http", "grpc"])
def test_tritonclient_loads_and_unloads(golden_server, client_of):
    client = client_of(golden_server(repository={"control": "explicit", "load_at_start": ["pair"]}))
    assert client.is_model_ready("pair") and not client.is_model_ready("text")
    client.load_model("text")
    assert client.is_model_ready("text")
    client.unload_model("text", unload_dependents=True)
    assert not client.is_model_ready("text")
    with pytest.raises(InferenceServerException, match="it is not configured"):
        client.load_model("nowhere")


KSERVE = """
import asyncio, sys
import numpy as np
from kserve import InferenceGRPCClient, InferenceRESTClient, InferInput, InferRequest, RESTConfig
from kserve.protocol.infer_type import RequestedOutput

def given(name, array, datatype, binary):
    x = InferInput(name, list(array.shape), datatype)
    x.set_data_from_numpy(array, binary_data=binary)
    return x

async def refused(call):
    try:
        print(await call)
    except Exception as error:
        print(type(error).__name__, str(error).replace("\\n", " "))

async def ask(url, grpc_address):
    client = InferenceRESTClient(RESTConfig(protocol="v2"))
    assert await client.is_server_ready(url) and await client.is_server_live(url)
    assert await client.is_model_ready(url, "half_plus_two")
    x = np.array([1, 2, 5], np.float32)
    both = [given("a", x[:2].reshape(1, 2), "FP32", True), given("b", x[1:].reshape(1, 2), "FP32", False)]
    texts = np.array([b"a\\0b", "Z\u00fcrich".encode()], object)
    for binary in (False, True):
        answer = await client.infer(url, InferRequest("half_plus_two", [given("x", x, "FP32", binary)]), model_name="half_plus_two")
        assert answer.outputs[0].as_numpy().tolist() == [2.5, 3, 4.5], answer
    wanted = [RequestedOutput("sum", {"binary_data": True}), RequestedOutput("difference", {"binary_data": False})]
    answer = await client.infer(url, InferRequest("pair", both, request_outputs=wanted), model_name="pair")
    assert {o.name: o.as_numpy().tolist() for o in answer.outputs} == {"sum": [[3, 7]], "difference": [[-1, -3]]}, answer
    answer = await client.infer(url, InferRequest("upper", [given("text", texts, "BYTES", True)],
                                                  request_outputs=[RequestedOutput("same", {"binary_data": True})]), model_name="upper")
    assert answer.outputs[0].data == [text.decode() for text in texts], answer  # the client decodes what came as bytes
    v1 = InferenceRESTClient(RESTConfig(protocol="v1"))
    assert await v1.infer(url, {"instances": [1.0, 2.0, 5.0]}, model_name="half_plus_two") == {"predictions": [2.5, 3, 4.5]}
    async with InferenceGRPCClient(grpc_address) as by_grpc:
        assert await by_grpc.is_server_ready() and await by_grpc.is_server_live() and await by_grpc.is_model_ready("pair")
        for binary in (False, True):
            answer = await by_grpc.infer(InferRequest("half_plus_two", [given("x", x, "FP32", binary)]))
            assert answer.outputs[0].as_numpy().tolist() == [2.5, 3, 4.5], answer
        await refused(client.infer(url, InferRequest("nothing", both), model_name="nothing"))
        await refused(v1.infer(url, {"instances": ["a"]}, model_name="half_plus_two"))
        await refused(by_grpc.infer(InferRequest("half_plus_two", [given("a", x, "FP32", True)])))

asyncio.run(ask(*sys.argv[1:]))
"""


def test_kserves_client(server, models_python, tmp_path):
    script = tmp_path / "kserve_client.py"
    script.write_text(KSERVE)
    unknown, wrong, unexpected = models_python(script, server.url, server.grpc).splitlines()[-3:]
    assert unknown.startswith("HTTPStatusError Servable not found for request: Latest(nothing)") and "404" in unknown
    assert wrong.startswith("HTTPStatusError JSON Value: ") and "400" in wrong
    assert "StatusCode.INVALID_ARGUMENT" in unexpected and "unexpected inference input 'a'" in unexpected
