"""Why a model is not ready yet, word by word, at /readyz."""
import hashlib
import json
import sys

import models
import requests
from conftest import wait_for
from remote_models import IMPATIENT, environment, put_version

from tests.hosts.fault_proxy import FaultProxy
from tests.hosts.stores import WebServer

GATED = """
import os
import time

inputs, outputs = [("x", "FP32", [-1])], [("y", "FP32", [-1])]


def wait_for_gate(name):
    while not os.path.exists(os.path.join(r"%s", name)):
        time.sleep(0.01)


def load(directory, options):
    wait_for_gate("load")


def predict(state, inputs):
    wait_for_gate("predict")
    return inputs["x"]
"""


def word(server, model):
    """The word for the model, on both ports; "ready" once it is."""
    words = set()
    for url in (server.url, server.admin):
        answer = requests.get(url + "/readyz", timeout=5)
        if answer.status_code == 200:
            words.add("ready")
            continue
        [entry] = [m for m in answer.json()["models"] if m["model"] == model] or [None]
        if entry is None:
            return None
        assert entry["detail"] and any(model in reason for reason in answer.json()["reasons"])
        words.add(entry["state"])
    return words.pop() if len(words) == 1 else None


def shown(server, model, version=1):
    return {v["version"]: v for v in server.model(model)["versions"]}.get(version, {})


def test_loading_and_warming(start, repository, tmp_path):
    gates = tmp_path / "gates"
    gates.mkdir()
    path = models.release_script(repository, "gated", GATED % gates)
    server = start(ready=False, backends={"python": {"interpreter": sys.executable}}, models=[{"name": "gated", "path": path}])
    wait_for("the load", lambda: word(server, "gated") == "loading")
    assert shown(server, "gated")["state"] == "loading"
    (gates / "load").touch()
    wait_for("the warm-up", lambda: word(server, "gated") == "warming")
    (gates / "predict").touch()
    wait_for("readiness", lambda: word(server, "gated") == "ready")


def test_fetching(start, tmp_path, monkeypatch):
    with WebServer(tmp_path / "store") as store, FaultProxy(store.port) as proxy:
        proxy.fault("stall", path="/1/model.onnx", after=100_000)
        put_version(store, tmp_path, 1)
        uri, storage, env = store.through(proxy.port)
        with environment(monkeypatch, env):
            server = start(ready=False, models=[{"name": "digits", "path": uri}],
                           storage={**IMPATIENT, "stall_timeout": "60s", **storage})
        wait_for("bytes", lambda: shown(server, "digits").get("fetched_bytes", 0) > 50_000)
        assert word(server, "digits") == "fetching"
        proxy.clear()
        wait_for("readiness", lambda: word(server, "digits") == "ready")


def test_verifying_and_error(start, repository):
    """A file of a gibibyte takes its time to be read; that it is not what the manifest says is an error."""
    server = start(ready=False, models=[{"name": "half", "path": str(repository / "half"), "load_retries": 0}])
    size = 1 << 30
    payload = models.half_plus_two()
    folder = repository / "half/1"
    folder.mkdir(parents=True)
    (folder / "model.onnx").write_bytes(payload)
    with open(folder / "weights.bin", "wb") as file:
        file.truncate(size)
    files = [{"path": "model.onnx", "size_bytes": len(payload), "sha256": hashlib.sha256(payload).hexdigest()},
             {"path": "weights.bin", "size_bytes": size, "sha256": "0" * 64}]
    (folder / ".manifest").write_text(json.dumps({
        "schema_version": 1, "name": "half", "version": 1, "format": "onnx", "model_file": "model.onnx", "files": files,
        "created_at": "2026-01-01T00:00:00Z"}))
    (folder / ".manifest").rename(folder / "manifest.json")
    wait_for("the check of its files", lambda: word(server, "half") == "verifying", every=0.005)
    wait_for("its end", lambda: word(server, "half") == "failed", timeout=180)  # a load gives way to everybody else
    assert "weights.bin" in shown(server, "half")["reason"]


def test_memory(start, repository):
    models.release(repository, "half", 1, models.half_plus_two())
    server = start(ready=False, models=[{"name": "half", "path": str(repository / "half"), "load_retry_delay": "50ms"}],
                   lifecycle={"poll_interval": "50ms", "memory_limit": "1MB"})
    wait_for("the reason", lambda: word(server, "half") == "memory")
    [model] = requests.get(server.url + "/readyz", timeout=5).json()["models"]
    assert "waits for room: memory: needs about" in model["detail"]
    assert shown(server, "half")["state"] == "failed"
    assert "memory" in server.cli("status").stdout
