"""Why a model is not ready yet, word by word, at /readyz; and the states of its versions in the words of others."""
import concurrent.futures
import contextlib
import hashlib
import json
import sys
from pathlib import Path

import grpc
import models
import requests
import tritonclient.grpc as triton_grpc
from conftest import wait_for
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message_factory import GetMessageClass
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase
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


def told(server, model, version=1):
    """The version's state by TensorFlow Serving's REST and gRPC and by Triton's: in that order."""
    path = f"/v1/models/{model}/versions/{version}"
    by_rest = requests.get(server.url + path, timeout=5).json()["model_version_status"]
    index = requests.post(server.url + "/v2/repository/index", timeout=5).json()
    with grpc.insecure_channel(server.grpc) as channel:
        pool = DescriptorPool(ProtoReflectionDescriptorDatabase(channel))
        request, response = (GetMessageClass(pool.FindMessageTypeByName(f"tensorflow.serving.GetModelStatus{kind}"))
                             for kind in ("Request", "Response"))
        asked = request()
        asked.model_spec.name, asked.model_spec.version.value = model, version
        status = channel.unary_unary("/tensorflow.serving.ModelService/GetModelStatus",
                                     request_serializer=request.SerializeToString, response_deserializer=response.FromString)
        by_grpc = status(asked, timeout=5).model_version_status
        of = by_grpc[0].DESCRIPTOR.fields_by_name["state"].enum_type.values_by_number
    with triton_grpc.InferenceServerClient(server.grpc) as client:
        index_by_grpc = client.get_model_repository_index().models
    [rest] = by_rest
    [v2] = [m for m in index if (m["name"], m["version"]) == (model, str(version))]
    [v2_grpc] = [m for m in index_by_grpc if (m.name, m.version) == (model, str(version))]
    assert rest["version"] == str(version) and by_grpc[0].version == version
    return rest["state"], of[by_grpc[0].state].name, v2["state"], v2_grpc.state


def test_the_states_of_a_version_in_the_words_of_others(start, repository, tmp_path):
    gates = tmp_path / "gates"
    gates.mkdir()
    for version in (1, 2):
        models.release_script(repository, "gated", GATED % gates, version)
    unfinished = models.release(repository, "half", 1, models.half_plus_two(), manifest=False)
    server = start(ready=False, backends={"python": {"interpreter": sys.executable}}, models=[
        {"name": "gated", "path": str(repository / "gated"), "versions": {"all": True}},
        {"name": "half", "path": str(unfinished.parent), "require_manifest": True}])

    def becomes(state, *words):
        wait_for(state, lambda: shown(server, "gated").get("state") == state)
        assert told(server, "gated") == words

    becomes("loading", "LOADING", "LOADING", "LOADING", "LOADING")
    assert told(server, "half") == ("START", "START", "LOADING", "LOADING")
    (gates / "load").touch()
    becomes("warming", "LOADING", "LOADING", "LOADING", "LOADING")
    (gates / "predict").touch()
    becomes("ready", "AVAILABLE", "AVAILABLE", "READY", "READY")
    wait_for("the other version", lambda: shown(server, "gated", 2)["state"] == "ready")

    # A request holds it while it is unloaded.
    (gates / "predict").unlink()
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        try:
            asked = pool.submit(requests.post, server.url + "/v1/models/gated/versions/1:predict", json={"instances": [2.5]}, timeout=60)
            wait_for("it to run", lambda: 'leadsman_batching_instances_busy{model="gated",version="1"} 1' in server.get("/metrics").text)
            server.config["models"][0]["versions"] = {"specific": [2]}
            server.path.write_text(json.dumps(server.config))
            assert requests.post(server.admin + "/api/v1/reload", timeout=30).status_code == 200
            becomes("draining", "UNLOADING", "UNLOADING", "UNLOADING", "UNLOADING")
        finally:
            (gates / "predict").touch()
        assert asked.result(60).json() == {"predictions": [2.5]}
    becomes("gone", "END", "END", "UNAVAILABLE", "UNAVAILABLE")


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


def running_at(server):
    """The nice values of the threads that run, or wait for a disk."""
    values = []
    for task in Path(f"/proc/{server.process.pid}/task").iterdir():
        with contextlib.suppress(OSError):  # one that has just ended
            state, *rest = (task / "stat").read_text().rpartition(")")[2].split()
            if state in "RD":
                values.append(int(rest[15]))
    return values


def test_verifying_and_error(start, repository):
    """A file of a gibibyte takes its time to be read, by a thread of low priority; that it is not what the manifest says is an error."""
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
    wait_for("a thread of low priority at it", lambda: 15 in running_at(server), every=0.005)  # there is no other work
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
