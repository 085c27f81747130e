"""The p99 of a small model that is served while another, large one is loaded and unloaded again and again (--parts loading).

An open-loop client asks the small model at a fixed rate; latency counts from the moment when the request was due, so that a stall
shows in every request that it delays. Quiet windows and windows with loads take turns; the figure is the ratio of their p99.
"""
import hashlib
import http.client
import io
import json
import os
import pathlib
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request

import numpy as np
from hosts.process import HttpHost, free_port
from hosts.python_servers import python_of
from onnx import TensorProto, helper, numpy_helper

RATE = 200  # requests a second
WINDOW_S = 8
WIDTH = 4096  # of the large network's layers: 200 MB

# A child process of its own, as every Python model has: it reads as much, and computes for a while.
SCRIPT = """
import pathlib
import numpy

inputs = [("x", "FP32", [-1, 1])]
outputs = [("y", "FP32", [-1, 1])]

def load(directory, options):
    weights = numpy.load(pathlib.Path(directory) / "weights.npy")
    for _ in range(3):
        weights = numpy.sort(weights + 1, axis=0)
    return float(weights[0, 0])

def predict(state, inputs):
    return {"y": inputs["x"] + numpy.float32(state)}
"""


class Server(HttpHost):
    """Ready when its admin port says so."""

    def __init__(self):
        super().__init__()
        self.admin = free_port()

    @property
    def ready_url(self):
        return f"http://127.0.0.1:{self.admin}/readyz"


def network(widths):
    """Dense layers of these widths with random weights."""
    rng = np.random.default_rng(1)
    nodes, weights, before = [], [], "x"
    for i, (rows, columns) in enumerate(zip(widths, widths[1:])):
        weights.append(numpy_helper.from_array(rng.standard_normal((rows, columns), dtype="f"), f"w{i}"))
        last = i + 2 == len(widths)
        nodes += [helper.make_node("MatMul", [before, f"w{i}"], ["y" if last else f"m{i}"])]
        if not last:
            nodes += [helper.make_node("Relu", [f"m{i}"], [f"r{i}"])]
        before = f"r{i}"
    graph = helper.make_graph(nodes, "net", [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", widths[0]])],
                              [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["N", widths[-1]])], weights)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    return model.SerializeToString()


class Release:
    """A model whose files are written once; each version has links to them, so that nothing but the server's own work is measured."""

    def __init__(self, folder, name, model_format, model_file, files):
        self.folder, self.name, self.format, self.model_file = folder, name, model_format, model_file
        folder.mkdir()
        self.listed = []
        for path, data in files.items():
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / path).write_bytes(data)
            self.listed.append({"path": path, "size_bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()})

    def write(self, repository, version):
        folder = repository / self.name / str(version)
        folder.mkdir(parents=True)
        for file in self.listed:
            (folder / file["path"]).parent.mkdir(exist_ok=True)
            os.link(self.folder / file["path"], folder / file["path"])
        part = folder / "part"
        part.write_text(json.dumps({"schema_version": 1, "name": self.name, "version": version, "format": self.format,
                                    "model_file": self.model_file, "files": self.listed, "created_at": "2026-01-01T00:00:00Z"}))
        os.replace(part, folder / "manifest.json")


def python_files():
    weights = io.BytesIO()
    np.save(weights, np.random.default_rng(1).standard_normal((3 * WIDTH, WIDTH), dtype="f"))
    return {"model.py": SCRIPT.encode(), "weights.npy": weights.getvalue()}


def files_of(kind):
    """What a runtime's own library writes, {path: bytes}."""
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run([python_of("venv-models"), pathlib.Path(__file__).parent / "make_large_model.py", kind, folder], check=True, timeout=600,
                       stderr=subprocess.DEVNULL)
        root = pathlib.Path(folder)
        return {str(path.relative_to(root)): path.read_bytes() for path in sorted(root.rglob("*")) if path.is_file()}


KINDS = {  # {format: (the model's file, its files)}
    "onnx": ("model.onnx", lambda: {"model.onnx": network([WIDTH] * 4)}),
    "python": ("model.py", python_files),
    "tensorflow": ("saved_model.pb", lambda: files_of("tensorflow")),
    "xgboost": ("model.ubj", lambda: files_of("xgboost")),
    "lightgbm": ("model.txt", lambda: files_of("lightgbm")),
}


def window(port, seconds):
    """Latencies in milliseconds of requests that were due at a fixed rate."""
    connection = http.client.HTTPConnection("127.0.0.1", port)
    body = json.dumps({"instances": [[0.5] * 64]})
    latencies, due = [], time.perf_counter()
    end = due + seconds
    while due < end:
        pause = due - time.perf_counter()
        if pause > 0:
            time.sleep(pause)
        connection.request("POST", "/v1/models/small:predict", body=body)
        answer = connection.getresponse()
        answer.read()
        assert answer.status == 200, answer.status
        latencies.append((time.perf_counter() - due) * 1000)
        due += 1 / RATE
    return latencies


class Loads:
    """Releases a version of the large model, waits until it is ready, and the next, until stopped."""

    def __init__(self, repository, admin, model, first):
        self.repository, self.admin, self.model, self.version = repository, admin, model, first
        self.over = threading.Event()
        self.thread = threading.Thread(target=self.run)

    def state(self):
        with urllib.request.urlopen(f"http://127.0.0.1:{self.admin}/api/v1/models/large", timeout=30) as answer:
            versions = {v["version"]: v["state"] for v in json.load(answer)["versions"]}
        return versions.get(self.version)

    def run(self):
        while not self.over.is_set():
            self.model.write(self.repository, self.version)
            deadline = time.monotonic() + 300
            while self.state() != "ready":
                assert time.monotonic() < deadline, "the large model did not load within 300 s"
                time.sleep(0.05)
            shutil.rmtree(self.repository / "large" / str(self.version - 1), ignore_errors=True)
            self.version += 1


def p99(values):
    return float(np.percentile(values, 99))


def run(work, options):
    """{kind: [(p99 ms quiet, p99 ms loading) of a pair]}"""
    found = {}
    for kind, (model_file, files) in KINDS.items():
        folder = work / "loading" / kind
        shutil.rmtree(folder, ignore_errors=True)
        (folder / "repository" / "large").mkdir(parents=True)
        small = {"model.onnx": network([64, 64, 8])}
        Release(folder / "small", "small", "onnx", "model.onnx", small).write(folder / "repository", 1)
        model, server = Release(folder / "large", "large", kind, model_file, files()), Server()
        megabytes = sum(file["size_bytes"] for file in model.listed) / 1e6
        (folder / "config.yaml").write_text(json.dumps({
            "server": {"address": "127.0.0.1", "port": server.port, "grpc": False},
            "admin": {"address": "127.0.0.1", "port": server.admin}, "data_dir": "", "log": {"level": "warn"},
            "backends": {"python": {"interpreter": sys.executable}},
            "lifecycle": {"poll_interval": "20ms"},
            "models": [{"name": "small", "path": str(folder / "repository" / "small")},
                       {"name": "large", "path": str(folder / "repository" / "large"), "required": False}]}))
        server.start("leadsman", [options.bin / "leadsman", "serve", "--config", folder / "config.yaml"], folder / "log", 60)
        with server:
            window(server.port, 2)
            first = 1
            for number in range(options.loading_rounds):
                quiet = window(server.port, WINDOW_S)
                loads = Loads(folder / "repository", server.admin, model, first)
                loads.thread.start()
                busy = window(server.port, WINDOW_S)
                loads.over.set()
                loads.thread.join()
                found.setdefault(kind, []).append((p99(quiet), p99(busy)))
                print(f"  loading, round {number + 1}: {kind}, {megabytes:.0f} MB, {loads.version - first} loads, p99 {p99(quiet):.2f} and "
                      f"{p99(busy):.2f} ms", flush=True)
                first = loads.version
        shutil.rmtree(folder, ignore_errors=True)
    return found


def rows(found):
    return [{"bench": "serving", "system": "leadsman", "case": f"a hot model while {kind} loads", "metric": "p99_ratio", "unit": "1",
             "value": round(statistics.median(b / a for a, b in pairs), 3), "runs": [round(b / a, 3) for a, b in pairs]}
            for kind, pairs in found.items()]


def goals(found):
    return [(f"p99 of a model while a large {kind} model loads / quiet", 1.5, [b / a for a, b in pairs]) for kind, pairs in found.items()]
