#!/usr/bin/env python3
"""Writes golden.json: what a real tritonserver answers to the requests of golden_requests.py.

    $HOME/.cache/leadsman/venv/bin/python tests/golden/triton/capture.py

Needs g++ and what `./dev install bench` fetches. Run it when requests or models have changed, and read the difference.
"""
import argparse
import http.client
import json
import pathlib
import subprocess
import sys
import tempfile
import time

HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parents[1])]

import golden_models  # noqa: E402
from golden_requests import DEFAULT_CASES, EXPLICIT_CASES  # noqa: E402
from hosts.process import HttpHost  # noqa: E402
from hosts.triton import WHEEL, prepare  # noqa: E402

KEPT_HEADERS = ("content-type", "inference-header-content-length", "content-encoding", "accept-encoding", "allow")


class Triton(HttpHost):
    def __init__(self, repository, backends, folder, mode):
        server, _ = prepare()
        super().__init__()
        self.start("triton", [
            server / "pytriton/tritonserver/bin/tritonserver", f"--model-repository={repository}",
            f"--backend-directory={backends}", "--http-address=127.0.0.1", f"--http-port={self.port}", "--allow-grpc=false",
            "--allow-metrics=false", f"--model-control-mode={mode}"], pathlib.Path(folder) / f"triton-{mode}.log", 60,
            env={"LD_LIBRARY_PATH": str(server / "nvidia_pytriton.libs")})


def build_backend(folder):
    target = folder / "identity"
    target.mkdir(parents=True)
    subprocess.run(["g++", "-O1", "-std=c++17", "-Wall", "-shared", "-fPIC", HERE / "identity_backend.cc", "-o",
                    target / "libtriton_identity.so"], check=True)


def packed(data):
    """Text as it is, anything else as hex."""
    try:
        text = data.decode()
    except UnicodeDecodeError:
        return {"hex": data.hex()}
    return {"text": text} if text.isprintable() else {"hex": data.hex()}


def ask(port, case):
    """{status, headers, body}; each on a connection of its own, so that no case can spoil the next."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    try:
        headers = dict(case.get("headers", {}))
        connection.request(case["method"], case["path"], case["body"] or None,
                           {"Content-Type": "application/json", "Accept-Encoding": "identity", **headers})
        answer = connection.getresponse()
        body = answer.read()
        kept = {name: answer.getheader(name) for name in KEPT_HEADERS if answer.getheader(name) is not None}
        return {"status": answer.status, "headers": kept, "body": body}
    finally:
        connection.close()


def ended_soon(server):
    """A process that has crashed takes a moment to be gone."""
    deadline = time.monotonic() + 5
    while server.host.running() and time.monotonic() < deadline:
        time.sleep(0.05)
    return not server.host.running()


def capture(start, cases):
    """A request that ends the server gets the status 0, and the next ones a new server."""
    pairs = []
    server = start()
    for case in cases:
        try:
            answer = ask(server.port, case)
        except (http.client.HTTPException, OSError) as error:
            running = not ended_soon(server)
            answer = {"status": 0, "headers": {}, "body": b""}
            print(f"{case['name']}: {type(error).__name__}; the server {'goes on' if running else 'has ended'}", flush=True)
            if not running:
                server.stop()
                server = start()
        pairs.append({"name": case["name"], "method": case["method"], "path": case["path"], "headers": case.get("headers", {}),
                      "body": packed(case["body"]), "answer": {**answer, "body": packed(answer["body"])}})
    server.stop()
    return pairs


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=pathlib.Path, default=HERE / "golden.json")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = pathlib.Path(temporary)
        golden_models.write(folder)
        build_backend(folder / "backends")
        golden = {"peer": f"tritonserver 2.51.0 out of {WHEEL}", "command": "tests/golden/triton/capture.py"}
        for key, mode, cases in (("default", "none", DEFAULT_CASES), ("explicit", "explicit", EXPLICIT_CASES)):
            golden[key] = capture(lambda mode=mode: Triton(folder / "triton", folder / "backends", folder, mode), cases)
    options.output.write_text(json.dumps(golden, indent=1, ensure_ascii=False) + "\n")
    print(f"{options.output}: {sum(len(golden[key]) for key in ('default', 'explicit'))} pairs")


if __name__ == "__main__":
    main()
