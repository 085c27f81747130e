"""Everything from outside that can be wrong: the server stays up and says which field is wrong and what to do."""
import concurrent.futures
import json
import os
import socket
import subprocess
import zlib
from pathlib import Path

import conftest
import grpc
import models
import numpy as np
import pytest
import requests
from conftest import stable_version, wait_for


@pytest.fixture
def server(start, repository):
    models.release(repository, "digits", 1, models.classifier())
    models.release(repository, "pair", 1, models.pair())
    return start(models=[{"name": n, "path": str(repository / n)} for n in ("digits", "pair")], mlflow={"model": "digits"},
                 server={"limits": {"read_timeout": "1s", "max_connections": 200}})


def still_serves(server):
    answer = requests.post(server.url + "/v1/models/digits:predict", json={"instances": np.eye(10)[:1].tolist()}, timeout=5)
    assert answer.status_code == 200, answer.text


GOOD = np.eye(10)[:1].tolist()
PREDICT = "/v1/models/digits:predict"
INFER = "/v2/models/digits/infer"


def v2(data, shape=(1, 10), datatype="FP32", name="x"):
    return {"inputs": [{"name": name, "shape": list(shape), "datatype": datatype, "data": data}]}


@pytest.mark.parametrize("path,body,status,words", [
    ("/v1/models/nothing:predict", {"instances": GOOD}, 404, ["nothing"]),
    ("/v1/models/digits/versions/9:predict", {"instances": GOOD}, 404, ["digits", "9"]),
    ("/v1/models/digits/labels/canary:predict", {"instances": GOOD}, 400, ["canary"]),
    ("/v1/models/digits/versions/99999999999999999999:predict", {"instances": GOOD}, 400, ["version"]),
    (PREDICT, "", 400, ["empty"]),
    (PREDICT, "{", 400, ["JSON"]),
    (PREDICT, '{"instances": [[1,2,3', 400, ["JSON"]),
    (PREDICT, '{"instances": ' + "[" * 50_000, 400, []),
    (PREDICT, '{"other": ' + '{"a":' * 50_000 + "1", 400, []),
    (PREDICT, {"instances": []}, 400, ["instances"]),
    (PREDICT, {"rows": GOOD}, 400, ["instances", "inputs"]),
    (PREDICT, {"instances": GOOD, "inputs": GOOD}, 400, ["instances", "inputs"]),
    (PREDICT, {"instances": [[1, 2, 3]]}, 400, ["x", "10", "3"]),
    (PREDICT, {"instances": [[0] * 10, [0] * 9]}, 400, []),
    (PREDICT, {"instances": [["a"] * 10]}, 400, ["float"]),
    (PREDICT, {"instances": [[[0] * 10]]}, 400, ["x"]),
    (PREDICT, {"instances": 7}, 400, ["instances"]),
    (PREDICT, {"instances": GOOD, "signature_name": "other"}, 400, ["other"]),
    ("/v1/models/pair:predict", {"instances": [{"a": [1, 2]}]}, 400, ["b"]),
    ("/v1/models/pair:predict", {"inputs": {"a": [[1, 2]], "c": [[1, 2]]}}, 400, ["b"]),
    ("/v2/models/nothing/infer", v2([0] * 10), 404, ["nothing"]),
    (INFER, v2([0] * 10, shape=(1, 9)), 400, ["x"]),
    (INFER, v2([0] * 9), 400, ["x", "10", "9"]),
    (INFER, v2([0] * 10, datatype="INT32"), 400, ["x", "INT32", "FP32"]),
    (INFER, v2([0] * 10, datatype="FLOAT"), 400, ["FLOAT"]),
    (INFER, v2([0] * 10, name="y"), 400, ["y", "x"]),
    (INFER, v2([0] * 10, shape=(1, -10)), 400, ["shape"]),
    (INFER, v2([0] * 10, shape=(2**40, 2**40)), 400, ["shape"]),
    (INFER, {"inputs": []}, 400, ["inputs"]),
    (INFER, {}, 400, ["inputs"]),
    (INFER, "[1,2", 400, ["JSON"]),
])
def test_bad_requests_name_the_field(server, path, body, status, words):
    data = body if isinstance(body, str) else json.dumps(body)
    answer = requests.post(server.url + path, data=data, headers={"Content-Type": "application/json"}, timeout=10)
    assert answer.status_code == status, answer.text
    error = answer.json()["error"]
    for word in words:
        assert word in error, error
    still_serves(server)


@pytest.mark.parametrize("path, good", [(PREDICT, {"instances": GOOD}), (INFER, v2([0] * 10)),
                                        ("/predict/digits", {"input_data": GOOD}), ("/invocations", {"inputs": GOOD})])
def test_json_nests_a_hundred_levels_deep_and_no_deeper(server, path, good):
    for lists, status in ((99, 200), (100, 400)):
        body = '{"more": ' + "[" * lists + "]" * lists + ", " + json.dumps(good)[1:]
        answer = requests.post(server.url + path, data=body, headers={"Content-Type": "application/json"}, timeout=10)
        assert answer.status_code == status and (status == 200 or "Nested deeper than 100 levels" in answer.text), answer.text


@pytest.mark.parametrize("token", ["NaN", "Infinity", "-Infinity"])
def test_not_finite_numbers_survive_json(server, token):
    body = '{"instances": [[' + token + "," + ",".join(["0.5"] * 9) + "]]}"
    answer = requests.post(server.url + PREDICT, data=body, timeout=5)
    assert answer.status_code == 200, answer.text
    still_serves(server)


def test_a_body_of_a_gibibyte_is_refused_at_once(server):
    host, port = server.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=10) as s:
        s.sendall(b"POST /v1/models/digits:predict HTTP/1.1\r\nHost: x\r\nContent-Length: 1073741824\r\n\r\n" + b"x" * 1000)
        answer = s.recv(4096)
    assert b" 413 " in answer and b"67108864" in answer
    still_serves(server)


def bomb(coding, size):
    """Zeros that a thousandth of `size` says: one block that needs nothing before it, over and over."""
    packer = zlib.compressobj(9, wbits={"gzip": 31, "deflate": 15}[coding])
    blocks = [packer.compress(bytes(32 << 20)) + packer.flush(zlib.Z_FULL_FLUSH) for _ in range(2)]
    return blocks[0] + blocks[1] * (size // (32 << 20) - 1)


def memory(server, which):
    """In bytes; VmHWM is the most that VmRSS has been."""
    status = dict(line.split(":", 1) for line in Path(f"/proc/{server.process.pid}/status").read_text().splitlines())
    return int(status[which].split()[0]) * 1024


def test_a_bomb_takes_no_more_memory_than_a_body_may(start, repository):
    limit = 16 << 20
    models.release(repository, "digits", 1, models.classifier())
    server = start(models=[{"name": "digits", "path": str(repository / "digits")}], server={"limits": {"max_body": "16MiB"}})
    still_serves(server)
    before = memory(server, "VmRSS")
    for coding in ("gzip", "deflate"):
        body = bomb(coding, 10 << 30)
        assert len(body) < limit
        answer = requests.post(server.url + PREDICT, data=body, headers={"Content-Encoding": coding}, timeout=30)
        assert answer.status_code == 413 and "max_body" in answer.json()["error"], answer.text
    with grpc.insecure_channel(server.grpc) as channel:
        for coding in (grpc.Compression.Gzip, grpc.Compression.Deflate):
            with pytest.raises(grpc.RpcError, match="max_body") as error:
                channel.unary_unary("/inference.GRPCInferenceService/ModelInfer")(bytes(8 * limit), compression=coding, timeout=30)
            assert error.value.code() == grpc.StatusCode.RESOURCE_EXHAUSTED
    assert memory(server, "VmHWM") < before + 5 * limit
    still_serves(server)


def test_a_chunked_body_over_the_limit_is_refused(server):
    def endless():
        for _ in range(1100):
            yield b" " * 65536
    try:
        answer = requests.post(server.url + PREDICT, data=endless(), timeout=30)
        assert answer.status_code == 413
    except requests.ConnectionError:
        pass  # refused and cut while the client was still sending
    still_serves(server)


def test_slow_loris_is_cut_and_hurts_nobody(server):
    host, port = server.url.removeprefix("http://").split(":")
    slow = [socket.create_connection((host, int(port)), timeout=10) for _ in range(50)]
    for s in slow:
        s.sendall(b"POST /v1/models/digits:predict HTTP/1.1\r\nHost")
    still_serves(server)
    for s in slow:
        answer = s.recv(4096)  # blocks until the server gives up
        assert answer == b"" or b" 408 " in answer
        s.close()
    still_serves(server)


def test_disconnect_in_mid_request(server):
    host, port = server.url.removeprefix("http://").split(":")
    for sent in (b"POST /v1/mo", b"POST " + PREDICT.encode() + b" HTTP/1.1\r\nHost: x\r\nContent-Length: 500\r\n\r\n{\"inst"):
        for _ in range(20):
            with socket.create_connection((host, int(port)), timeout=5) as s:
                s.sendall(sent)
    still_serves(server)


def test_a_version_without_manifest_is_waited_for_and_said(server, repository):
    models.release(repository, "digits", 2, models.classifier(), manifest=False)
    note = wait_for("the note on version 2", lambda: server.model("digits")["note"])
    assert "2" in note and "manifest.json" in note
    still_serves(server)
    models.release(repository, "digits", 2, models.classifier())
    wait_for("version 2 to be ready", lambda: server.version_state("digits", 2) == "ready")


@pytest.mark.parametrize("kind,words", [
    ("truncated", ["model.onnx", "bytes"]), ("tampered", ["model.onnx", "sha256"]), ("missing", ["model.onnx"]),
    ("not onnx", []), ("lying signature", ["x", "INT64", "FP32"]), ("another model's", ["other", "digits"])])
def test_a_bad_version_says_why_and_the_old_one_serves_on(server, repository, kind, words):
    good = models.classifier()
    if kind == "not onnx":
        models.release(repository, "digits", 2, b"this is not an ONNX file at all")
    elif kind == "lying signature":
        models.release(repository, "digits", 2, good, said={"signature": {
            "inputs": [{"name": "x", "datatype": "INT64", "shape": [-1, 10]}],
            "outputs": [{"name": "label", "datatype": "INT64", "shape": [-1]},
                        {"name": "probabilities", "datatype": "FP32", "shape": [-1, 10]}]}})
    elif kind == "another model's":
        models.release(repository, "digits", 2, good, said={"name": "other"})
    else:
        staging = repository.parent / "staging"
        folder = models.release(staging, "digits", 2, good)
        if kind == "truncated":
            (folder / "model.onnx").write_bytes(good[:50])
        elif kind == "tampered":
            (folder / "model.onnx").write_bytes(good[:-1] + bytes([good[-1] ^ 1]))
        else:
            os.unlink(folder / "model.onnx")
        os.rename(folder, repository / "digits" / "2")

    failed = wait_for("version 2 to fail", lambda: next(
        (v for v in server.model("digits")["versions"] if v["version"] == 2 and v["state"] == "failed"), None))
    for word in words:
        assert word in failed["reason"], failed["reason"]
    assert failed["reason"]
    still_serves(server)
    shown = requests.get(server.url + "/v1/models/digits/versions/2", timeout=5).json()["model_version_status"][0]
    assert shown["status"]["error_code"] != "OK" and shown["status"]["error_message"]


def test_labels_for_unknown_ids_twice_and_malformed(server):
    answer = requests.post(server.url + PREDICT, json={"instances": GOOD}, headers={"x-request-id": "r1"}, timeout=5)
    assert answer.status_code == 200
    post = lambda body: requests.post(server.admin + "/api/v1/labels", data=json.dumps(body), timeout=5)
    assert post({"labels": [{"request_id": "r1", "label": 0}]}).json()["accepted"] == 1
    monitor = lambda: server.get("/api/v1/status").json()["monitor"]
    wait_for("the join", lambda: monitor()["labels_joined"] == 1)
    post({"labels": [{"request_id": "r1", "label": 0}]})
    wait_for("the duplicate", lambda: monitor()["labels_duplicate"] == 1)
    post({"labels": [{"request_id": "never-seen", "label": 0}]})
    wait_for("the unknown id", lambda: monitor()["labels_pending"] + monitor()["labels_unknown"] == 1)
    bad = post({"labels": [{"request_id": "r1", "label": 1}, {"request_id": "r2"}]})
    assert bad.status_code == 400 and "labels[1].label" in bad.text
    assert post({"labels": [{"request_id": "r1", "label": [1]}]}).status_code == 400
    assert requests.post(server.admin + "/api/v1/labels", data="{", timeout=5).status_code == 400
    still_serves(server)


def test_port_taken_says_so(server, tmp_path):
    port = int(server.url.rsplit(":", 1)[1])
    second = subprocess.run([str(conftest.BINARY), "serve", "--model", f"digits={tmp_path}", "--address", "127.0.0.1",
                             "--port", str(port), "--grpc-port", "0", "--admin-port", "0", "--data-dir", str(tmp_path / "d2")],
                            capture_output=True, text=True, timeout=20)
    assert second.returncode not in (0, None)
    assert str(port) in second.stderr and "another process listens" in second.stderr
    still_serves(server)


def test_a_second_server_on_one_data_dir_is_refused(server, repository):
    data = server.config["data_dir"]
    second = subprocess.run([str(conftest.BINARY), "serve", "--model", f"digits={repository / 'digits'}", "--address",
                             "127.0.0.1", "--port", "0", "--grpc-port", "0", "--admin-port", "0", "--data-dir", data],
                            capture_output=True, text=True, timeout=20)
    assert second.returncode == 1
    assert f"data_dir {data} is in use by another leadsman (pid {server.process.pid})" in second.stderr, second.stderr
    assert "--data-dir" in second.stderr
    still_serves(server)
    server.kill()  # the lock goes with the process
    server.start()
    still_serves(server)


def test_bad_configuration_shows_all_errors_with_lines(tmp_path):
    path = tmp_path / "bad.yaml"
    path.write_text("server: {port: 99999}\nmodels:\n  - name: digits\n    pth: x\n    rollout:\n      steps:\n"
                    "        - {wieght: 10%}\n      alpha: 2\nmodells: []\n")
    for command in (["serve", "--config", str(path)], ["config", "check", str(path)]):
        run = subprocess.run([str(conftest.BINARY), *command], capture_output=True, text=True, timeout=20)
        assert run.returncode == 2
        text = run.stderr + run.stdout
        for line, word in ((1, "port"), (4, "pth"), (7, "wieght"), (8, "alpha"), (9, "modells")):
            assert f"bad.yaml:{line}:" in text and word in text, text
        assert "did you mean" in text


def test_two_rollouts_at_once_are_refused(start, repository):
    for version in (1, 2, 3):
        models.release(repository, "digits", version, models.classifier())
    server = start(models=[{"name": "digits", "path": str(repository / "digits"), "versions": {"latest": 1},
                            "rollout": {"interval": "100ms"}}])
    wait_for("version 3 to be the stable one", lambda: stable_version(server) == 3)
    assert not server.rollouts()
    models.release(repository, "digits", 4, models.classifier())
    rollout = wait_for("the rollout of 4", lambda: next((r for r in server.rollouts() if r["candidate"] == 4), None))
    again = requests.post(server.admin + "/api/v1/rollouts", json={"model": "digits", "candidate": 3}, timeout=5)
    assert again.status_code == 409, again.text
    assert rollout["phase"] == "progressing"


def test_head_is_answered_as_get_is(server):
    """Load balancers ask so."""
    for url in [server.url + path for path in ("/livez", "/readyz", "/v2/health/live", "/v2/health/ready", "/v2/models/digits/ready", "/ping",
                                               "/health", "/v1/models/digits", "/v2")] + [
                server.admin + path for path in ("/livez", "/readyz", "/openapi.json")]:
        # Compressed answers have the length of what a client takes.
        got, head = (requests.request(method, url, headers={"Accept-Encoding": "identity"}, timeout=5) for method in ("GET", "HEAD"))
        assert head.status_code == got.status_code, url
        assert head.content == b"" and head.headers["Content-Length"] == str(len(got.content)), url
        assert head.headers["Content-Type"] == got.headers["Content-Type"], url
    still_serves(server)


def test_options_are_answered_with_what_is_allowed(server):
    """A browser's preflight: without CORS there is none of its fields, and TensorFlow Serving's API answers as that does without its flag."""
    for path, allowed in ((INFER, "POST"), ("/v2/health/ready", "GET, HEAD"), ("/invocations", "POST"), ("/predict", "POST"), ("/ping", "GET, HEAD"),
                          ("/readyz", "GET, HEAD")):
        answer = requests.options(server.url + path, headers={"Origin": "http://elsewhere", "Access-Control-Request-Method": "POST"}, timeout=5)
        assert (answer.status_code, answer.headers.get("Allow")) == (405, allowed), (path, answer.text)
        assert "Access-Control-Allow-Origin" not in answer.headers
    assert requests.options(server.url + PREDICT, headers={"Origin": "http://elsewhere"}, timeout=5).status_code == 400
    still_serves(server)


def test_inputs_of_other_batch_sizes_share_no_batch(start, repository):
    """What the model says to them it says with batching, too, and requests beside it are answered as ever."""
    models.release(repository, "pair", 1, models.pair())
    models.release(repository, "batched", 1, models.pair())
    server = start(models=[{"name": "pair", "path": str(repository / "pair")},
                           {"name": "batched", "path": str(repository / "batched"), "batching": {"max_batch_size": 8, "max_delay": "20ms"}}])

    def ask(name, a, b):
        answer = requests.post(f"{server.url}/v1/models/{name}:predict", json={"inputs": {"a": a, "b": b}}, timeout=10)
        return answer.status_code, answer.json()
    uneven = [[[1.0, 2.0]] * 3, [[1.0, 2.0]] * 2]
    even = [[[1.0, 2.0]] * 2, [[1.0, 2.0]] * 2]
    status, said = ask("pair", *uneven)
    assert status == 400, said
    good = ask("pair", *even)
    assert good[0] == 200
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(lambda i: ask("batched", *(uneven if i % 2 else even)), range(20)))
    assert {status for status, _ in answers[1::2]} == {400} and answers[0::2] == [good] * 10, answers
