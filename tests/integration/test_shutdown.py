"""Stopping while a model still computes: what nothing can interrupt must not run into what has been taken apart."""
import contextlib
import signal
import threading

import models
import requests
from conftest import wait_for


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
    assert "a model still computes after the drain" in server.log_text()
