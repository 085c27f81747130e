"""Messages of gRPC beyond 64 MiB, as the clients of TensorFlow Serving and Triton may send them."""
import gzip
import socket

import grpc
import models
import numpy as np
import pytest
import requests
import tritonclient.grpc as triton
from conftest import wait_for
from tritonclient.utils import InferenceServerException

MIB = 1 << 20
VALUES = np.arange(65 * MIB // 4, dtype="f")


@pytest.fixture
def serving(start, repository):
    models.release(repository, "half", 1, models.half_plus_two())
    return lambda **server: start(models=[{"name": "half", "path": str(repository / "half")}], server=server)


def infer(client, values, **more):
    made = triton.InferInput("x", list(values.shape), "FP32")
    made.set_data_from_numpy(values)
    return client.infer("half", [made], **more).as_numpy("y")


def varint(number):
    out = b""
    while number > 127:
        out += bytes([number & 127 | 128])
        number >>= 7
    return out + bytes([number])


def field(number, content):
    return varint(number << 3 | 2) + varint(len(content)) + content


def predict_request(values):
    """PredictRequest { model_spec { name: "half" } inputs { key: "x" value { DT_FLOAT, shape, tensor_content } } }"""
    shape = field(2, b"\x08" + varint(len(values)))
    tensor = b"\x08\x01" + field(2, shape) + field(4, values.tobytes())
    return field(1, field(1, b"half")) + field(2, field(1, b"x") + field(2, tensor))


def test_a_message_of_65_mib_is_answered(serving):
    server = serving()
    with triton.InferenceServerClient(server.grpc) as client:
        np.testing.assert_array_equal(infer(client, VALUES), VALUES / 2 + 2)
    options = [("grpc.max_send_message_length", -1), ("grpc.max_receive_message_length", -1)]
    with grpc.insecure_channel(server.grpc, options=options) as channel:
        call = channel.unary_unary("/tensorflow.serving.PredictionService/Predict")
        answer = call(predict_request(VALUES), timeout=60)
        assert len(answer) > VALUES.nbytes
        at = answer.index((VALUES[:100] / 2 + 2).astype("f").tobytes())
        np.testing.assert_array_equal(np.frombuffer(answer, "f", VALUES.size, at), VALUES / 2 + 2)


def test_a_compressed_message_grows_as_far_as_what_came_allows(serving):
    server = serving(limits={"max_body": "1MiB"})
    with triton.InferenceServerClient(server.grpc) as client:
        noise = np.random.default_rng(1).random(2 * MIB // 4, "f")  # hardly smaller when it is compressed
        np.testing.assert_allclose(infer(client, noise, compression_algorithm="gzip"), noise / 2 + 2, rtol=1e-6)
        zeros = np.zeros(2 * MIB // 4, "f")
        assert len(gzip.compress(zeros.tobytes())) < MIB // 16
        with pytest.raises(InferenceServerException) as refused:
            infer(client, zeros, compression_algorithm="gzip")
        assert refused.value.status() == "StatusCode.RESOURCE_EXHAUSTED" and "server.limits.max_body" in refused.value.message()


def test_an_operator_can_set_the_limit(serving):
    server = serving(limits={"max_message": "1MiB"})
    with triton.InferenceServerClient(server.grpc) as client:
        small = VALUES[:MIB // 8]
        np.testing.assert_array_equal(infer(client, small), small / 2 + 2)
        with pytest.raises(InferenceServerException) as refused:
            infer(client, VALUES[:MIB])
        assert refused.value.status() == "StatusCode.RESOURCE_EXHAUSTED"
        assert "server.limits.max_message" in refused.value.message()
        np.testing.assert_array_equal(infer(client, small), small / 2 + 2)


def test_requests_that_would_be_too_much_together_are_to_come_again(serving):
    server = serving(limits={"max_held": "16MiB"})
    host, port = server.url.removeprefix("http://").split(":")

    def metric(name):
        return sum(float(line.split()[-1]) for line in server.get("/metrics").text.splitlines() if line.startswith(name))

    with socket.create_connection((host, int(port)), timeout=30) as slow:
        slow.sendall(b"POST /predict HTTP/1.1\r\nHost: t\r\nContent-Length: 14000000\r\n\r\n" + b"x" * 13_000_000)
        wait_for("what it holds", lambda: metric("leadsman_http_held_bytes") > 12_000_000)
        values = np.zeros(2 * MIB, "f")
        with triton.InferenceServerClient(server.grpc) as client, pytest.raises(InferenceServerException) as refused:
            infer(client, values)
        assert refused.value.status() == "StatusCode.RESOURCE_EXHAUSTED" and "server.limits.max_held" in str(refused.value)
        answer = requests.post(server.url + "/v2/models/half/infer", data=b"x" * (8 * MIB), timeout=30)
        assert (answer.status_code, answer.headers["Retry-After"]) == (503, "1") and "server.limits.max_held" in answer.text
        assert metric('leadsman_http_bodies_refused_total{server="grpc"}') == 1
        assert metric('leadsman_http_bodies_refused_total{server="serving"}') == 1
        with triton.InferenceServerClient(server.grpc) as client:
            assert infer(client, np.ones(10, "f")).shape == (10,)
    wait_for("room", lambda: metric("leadsman_http_held_bytes") == 0)
    with triton.InferenceServerClient(server.grpc) as client:
        np.testing.assert_array_equal(infer(client, values), values / 2 + 2)
