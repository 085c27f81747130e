"""Stopping while a model still computes: what nothing can interrupt must not run into what has been taken apart."""
import contextlib
import http.client
import json
import signal
import socket
import sys
import threading

import models
import pytest
import requests
from conftest import wait_for


SLEEPS = """
import pathlib
import time

inputs, outputs = [("x", "FP32", [-1])], [("y", "FP32", [-1])]


def load(directory, options):
    return pathlib.Path(options["begun"])


def predict(begun, inputs):
    if inputs["x"].any():  # not to warm up
        begun.touch()
        time.sleep(3600)
    return inputs["x"]
"""


def serve_endless(start, repository):
    models.release(repository, "endless", 1, models.endless())
    return start(models=[{"name": "endless", "path": str(repository / "endless"), "execution": "pool"}],
                 plain={"model": "endless"}, server={"drain_timeout": "50ms"})


@contextlib.contextmanager
def asked(server, rounds):
    def ask():
        with contextlib.suppress(requests.RequestException):  # the drain is over before the model is
            requests.post(server.url + "/predict", json={"input_data": [rounds]}, timeout=60)

    def running():
        lines = server.get("/metrics").text.splitlines()
        return "leadsman_serving_in_flight 1" in lines and "leadsman_serving_pool_queue_depth 0" in lines

    client = threading.Thread(target=ask)
    client.start()
    wait_for("the model to compute", running)
    yield
    client.join(60)


def test_a_model_that_ends_soon_is_waited_for(start, repository):
    server = serve_endless(start, repository)
    with asked(server, 10_000):
        server.process.send_signal(signal.SIGTERM)
        assert server.process.wait(20) == 0, server.log_text()


def test_a_model_that_does_not_end_ends_with_the_process(start, repository):
    server = serve_endless(start, repository)
    with asked(server, 1e12):
        server.process.send_signal(signal.SIGTERM)
        assert server.process.wait(20) == 1, server.log_text()
    told = [line for line in server.log_text().splitlines() if "a model still computes after the drain" in line]
    assert [json.loads(line)["models"] for line in told] == ["endless:1"]


@pytest.mark.parametrize("client", ["waits", "has gone"])
def test_a_python_worker_that_does_not_end_is_ended(start, repository, tmp_path, client):
    begun = tmp_path / "begun"
    model = models.release_script(repository, "slow", SLEEPS)
    server = start(models=[{"name": "slow", "path": model, "runtime_options": {"hang_timeout": "3600s", "option.begun": str(begun)}}],
                   backends={"python": {"interpreter": sys.executable}}, server={"drain_timeout": "50ms"})
    body = b'{"instances": [1.0]}'
    with socket.create_connection(("127.0.0.1", int(server.url.rsplit(":", 1)[1])), 60) as asking:
        asking.sendall(b"POST /v1/models/slow:predict HTTP/1.1\r\nHost: t\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body))
        wait_for("the model to compute", begun.exists)
        if client == "has gone":
            asking.close()
        server.process.send_signal(signal.SIGTERM)
        if client == "waits":
            answer = http.client.HTTPResponse(asking)
            answer.begin()
            assert answer.status == 503 and "was ended while it worked on this request" in answer.read().decode()
        assert server.process.wait(20) == 0, server.log_text()
    told = [line for line in server.log_text().splitlines() if "their Python workers are ended" in line]
    assert [json.loads(line)["models"] for line in told] == ["slow:1"]
