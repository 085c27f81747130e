#!/usr/bin/env python3
"""bench/load_interference.py: the p99 of a small model that is served while another, large one is loaded and unloaded again and again.

An open-loop client asks the small model at a fixed rate; latency counts from the moment when the request was due, so that a stall
shows in every request that it delays. Quiet windows and windows with loads take turns; the figure is the ratio of their p99.
"""
import argparse
import hashlib
import http.client
import json
import os
import pathlib
import statistics
import sys
import tempfile
import threading
import time
import urllib.request

import numpy as np
from onnx import TensorProto, helper, numpy_helper

ROOT = pathlib.Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests"))

from hosts.process import HttpHost, free_port  # noqa: E402


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


def release(repository, name, version, payload, digest):
    folder = repository / name / str(version)
    folder.mkdir(parents=True)
    (folder / "model.onnx").write_bytes(payload)
    part = folder / "part"
    part.write_text(json.dumps({
        "schema_version": 1, "name": name, "version": version, "format": "onnx", "model_file": "model.onnx",
        "files": [{"path": "model.onnx", "size_bytes": len(payload), "sha256": digest}],
        "created_at": "2026-01-01T00:00:00Z"}))
    os.replace(part, folder / "manifest.json")


def window(port, seconds, rate):
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
        due += 1 / rate
    return latencies


class Loads:
    """Releases a version of the large model, waits until it is ready, and the next, until stopped."""

    def __init__(self, repository, admin, payload, first):
        self.repository, self.admin, self.payload, self.version = repository, admin, payload, first
        self.digest = hashlib.sha256(payload).hexdigest()
        self.over = threading.Event()
        self.thread = threading.Thread(target=self.run)
        self.done = 0

    def state(self):
        with urllib.request.urlopen(f"http://127.0.0.1:{self.admin}/api/v1/models/large", timeout=30) as answer:
            versions = {v["version"]: v["state"] for v in json.load(answer)["versions"]}
        return versions.get(self.version)

    def run(self):
        while not self.over.is_set():
            release(self.repository, "large", self.version, self.payload, self.digest)
            deadline = time.monotonic() + 300
            while self.state() != "ready":
                assert time.monotonic() < deadline, "the large model did not load within 300 s"
                time.sleep(0.05)
            self.version += 1
            self.done += 1


def p99(values):
    return float(np.percentile(values, 99))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--binary", default=str(ROOT / "build/release/bin/leadsman"))
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=8, help="of each window")
    parser.add_argument("--rate", type=float, default=200, help="requests a second")
    parser.add_argument("--width", type=int, default=4096, help="of the large model's layers: 4096 makes 200 MB")
    parser.add_argument("--priority", default="low", choices=["low", "normal"], help="lifecycle.load_priority")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        work = pathlib.Path(folder)
        repository = work / "repository"
        small, large = network([64, 64, 8]), network([options.width] * 4)
        release(repository, "small", 1, small, hashlib.sha256(small).hexdigest())
        (repository / "large").mkdir()
        server = Server()
        port, admin = server.port, server.admin
        (work / "config.yaml").write_text(json.dumps({
            "server": {"address": "127.0.0.1", "port": port, "grpc": False},
            "admin": {"address": "127.0.0.1", "port": admin}, "data_dir": "", "log": {"level": "warn"},
            "lifecycle": {"poll_interval": "20ms", "load_priority": options.priority},
            "models": [{"name": "small", "path": str(repository / "small")},
                       {"name": "large", "path": str(repository / "large"), "required": False}]}))
        server.start("leadsman", [options.binary, "serve", "--config", work / "config.yaml"], work / "log", 60)
        with server:
            window(port, 2, options.rate)
            version, quiet, loaded, loads_done = 1, [], [], 0
            for _ in range(options.rounds):
                quiet.append(window(port, options.seconds, options.rate))
                loads = Loads(repository, admin, large, version)
                loads.thread.start()
                loaded.append(window(port, options.seconds, options.rate))
                loads.over.set()
                loads.thread.join()
                version, loads_done = loads.version, loads_done + loads.done
    print(f"large model {len(large) / 1e6:.0f} MB, {loads_done} loads, {options.rate:.0f} requests/s, priority {options.priority}")
    for name, rounds in (("quiet", quiet), ("loading", loaded)):
        merged = sum(rounds, [])
        print(f"{name:8} p50 {np.percentile(merged, 50):6.2f} ms   p99 {p99(merged):6.2f} ms   p99.9 "
              f"{np.percentile(merged, 99.9):6.2f} ms   max {max(merged):6.2f} ms")
    ratios = [p99(b) / p99(a) for a, b in zip(quiet, loaded)]
    print(f"p99 loading / quiet: median of the rounds {statistics.median(ratios):.2f}, each "
          + " ".join(f"{r:.2f}" for r in ratios))


if __name__ == "__main__":
    main()
