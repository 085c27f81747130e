"""A queue without room: each protocol says it as its own server does, so that clients which try again go on doing so."""
import threading
from contextlib import suppress

import grpc
import models
import numpy as np
import pytest
import requests
import tritonclient.grpc as triton
import tritonclient.http as triton_http
from conftest import wait_for
from requests.adapters import HTTPAdapter
from tritonclient.utils import InferenceServerException
from urllib3.util.retry import Retry


def metric(server, name, *labels):
    return sum(float(line.rsplit(" ", 1)[1]) for line in server.get("/metrics").text.splitlines()
               if line.startswith(name + "{") and all(label in line for label in labels))


@pytest.fixture
def full(start, repository):
    """A server whose only model computes on and on, with as many requests waiting as may."""
    models.release(repository, "endless", 1, models.endless())
    server = start(models=[{"name": "endless", "path": str(repository / "endless"), "instances": 1,
                            "batching": {"max_batch_size": 1, "queue": {"max_size": 1}}}],
                   plain={"model": "endless"})

    def ask(rounds):
        with suppress(requests.RequestException):
            requests.post(server.url + "/v1/models/endless:predict", json={"instances": [rounds]}, timeout=120)

    threads = [threading.Thread(target=ask, args=[rounds]) for rounds in (1e12, 0)]
    for thread, seen in zip(threads, ("leadsman_batching_instances_busy", "leadsman_batching_queue_depth"), strict=True):
        thread.start()
        wait_for(seen, lambda seen=seen: metric(server, seen, 'model="endless"') == 1)
    yield server
    server.kill()
    for thread in threads:
        thread.join(60)


def tensor(made):
    made.set_data_from_numpy(np.zeros([1], "f"))
    return made


def test_each_protocol_says_it_as_its_own_server_does(full):
    v2 = {"inputs": [{"name": "x", "datatype": "FP32", "shape": [1], "data": [0]}]}
    for path, body in (("/v1/models/endless:predict", {"instances": [0]}), ("/v2/models/endless/infer", v2),
                       ("/invocations", {"inputs": [0]}), ("/predict", {"input_data": [0]})):
        answer = requests.post(full.url + path, json=body, timeout=10)
        assert (answer.status_code, answer.headers.get("retry-after")) == (503, "1"), (path, answer.text)
        assert "is full (1 requests)" in answer.text
    mlflow = requests.post(full.url + "/invocations", json={"inputs": [0]}, timeout=10).json()
    assert mlflow["error_code"] == "TEMPORARILY_UNAVAILABLE"

    with triton.InferenceServerClient(full.grpc) as client, pytest.raises(InferenceServerException) as refused:
        client.infer("endless", [tensor(triton.InferInput("x", [1], "FP32"))])
    assert refused.value.status() == "StatusCode.UNAVAILABLE"
    with triton_http.InferenceServerClient(full.url.removeprefix("http://")) as client, \
            pytest.raises(InferenceServerException) as refused:
        client.infer("endless", [tensor(triton_http.InferInput("x", [1], "FP32"))])
    assert refused.value.status() == "503"

    # PredictionService.Predict: model_spec { name: "endless" } inputs { key: "x" value { dtype: DT_FLOAT … float_val: 0 } }
    proto = (b"\x0a\x09\x0a\x07endless" b"\x12\x13\x0a\x01x\x12\x0e\x08\x01\x12\x04\x12\x02\x08\x01\x2a\x04\0\0\0\0")
    with grpc.insecure_channel(full.grpc) as channel:
        call = channel.unary_unary("/tensorflow.serving.PredictionService/Predict")
        with pytest.raises(grpc.RpcError) as refused:
            call(proto, timeout=10)
    assert refused.value.code() == grpc.StatusCode.UNAVAILABLE, refused.value.details()

    assert metric(full, "leadsman_batching_rejected_total", 'reason="full"') == 8


def test_a_client_that_tries_again_on_503_does(full):
    before = metric(full, "leadsman_batching_rejected_total", 'reason="full"')
    with requests.Session() as session:
        session.mount("http://", HTTPAdapter(max_retries=Retry(2, status_forcelist=[503], allowed_methods=None,
                                                               backoff_factor=0)))
        with pytest.raises(requests.exceptions.RetryError):
            session.post(full.url + "/v1/models/endless:predict", json={"instances": [0]}, timeout=30)
    assert metric(full, "leadsman_batching_rejected_total", 'reason="full"') == before + 3
