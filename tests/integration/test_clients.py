"""The official clients work unchanged."""
import json

import models
import numpy as np
import pytest
import requests
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


def test_plain_predict(server):
    answer = requests.post(server.url + "/predict", json={"input_data": np.eye(10)[4].tolist()}, timeout=5)
    assert answer.status_code == 200, answer.text
    assert answer.json()["prediction"] == 4
    answer = requests.post(server.url + "/predict", json={"input_data": np.eye(10)[[4, 5]].tolist()}, timeout=5)
    assert answer.json()["prediction"] == [4, 5]


def test_gzip_both_ways(server):
    import gzip
    body = gzip.compress(json.dumps({"instances": [1.0] * 2000}).encode())
    answer = requests.post(server.url + "/v1/models/half_plus_two:predict", data=body, timeout=5,
                           headers={"Content-Encoding": "gzip", "Accept-Encoding": "gzip"})
    assert answer.status_code == 200
    assert answer.headers["Content-Encoding"] == "gzip"
    assert answer.json()["predictions"] == [2.5] * 2000


def test_request_id_comes_back(server):
    body = {"instances": [1.0]}
    url = server.url + "/v1/models/half_plus_two:predict"
    assert requests.post(url, json=body, headers={"x-request-id": "mine"}, timeout=5).headers["x-request-id"] == "mine"
    made = [requests.post(url, json=body, timeout=5).headers["x-request-id"] for _ in range(3)]
    assert len(set(made)) == 3 and all(len(m) >= 16 for m in made)
