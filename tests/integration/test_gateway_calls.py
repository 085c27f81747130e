"""What `leadsman gateway` reads out of calls of gRPC and of predictions over HTTP/2, and what it mirrors of them: as of those over HTTP/1.1."""
import gzip
import json
import os
import subprocess
from pathlib import Path

import grpc
import models
import numpy as np
import onnx
import pytest
import requests
import tritonclient.grpc as triton
from certificates import Authority
from conftest import wait_for
from hosts.stores import CACHE, _program
from hosts.triton import Triton
from test_gateway import free_port
from test_gateway_bodies import bodies, by_version, gateway, profile, versions  # noqa: F401
from test_grpc import TYPES, same

HERE = Path(__file__).parent
READY = {"path": "/inference.GRPCInferenceService/ServerReady"}


def digits(start, folder, wrong=None, **config):
    """A server of the ten digits, which takes those of the class `wrong` for the next."""
    repository = folder / f"repository-{wrong}"
    models.release(repository, "digits", 1, models.classifier(wrong))
    return start(models=[{"name": "digits", "path": str(repository / "digits")}], **config)


def rows_of(count, seed=4):
    rng = np.random.default_rng(seed)
    return [np.roll(np.linspace(1, 0, 10, dtype="f"), number % 10) + rng.normal(0, 0.01, 10).astype("f") for number in range(count)]


def tensor(row):
    x = triton.InferInput("x", [1, 10], "FP32")
    x.set_data_from_numpy(row.reshape(1, 10))
    return x


def label_of(client, row, **options):
    return int(client.infer("digits", [tensor(row)], **options).as_numpy("label")[0])


def flipped_by(wrong, rows):
    """Which rows a classifier that takes `wrong` for the next one has another class for."""
    weights = np.eye(10, dtype="f")
    weights[wrong] = np.roll(weights[wrong], 1)
    return [number for number, row in enumerate(rows) if (row @ weights).argmax() != row.argmax()]


def mirrored(live, shadow, **service):
    return {"name": "digits", "mirror": {"version": 2, "max_concurrent": 1000, "timeout": "60s"}, "versions": [
        {"version": 1, "endpoints": [live], "weight": 1}, {"version": 2, "endpoints": [shadow], "weight": 0}], **service}


def compared(server):
    return {name: count for pair in server.service()["mirror"]["compared"] for name, count in pair["results"].items() if count}


def test_calls_of_v2_are_monitored_as_requests_of_rest_are(start, gateway, tmp_path):  # noqa: F811
    upstreams = [digits(start, tmp_path, wrong).grpc for wrong in (None, 3)]
    server = gateway(services=[{**versions("digits", *upstreams), "protocol": "grpc", "health": READY}],
                     models=[{"name": "digits", "monitoring": {"max_join_rate": 100000, "reference": {"requests": 500}, "schema": {"requests": 300},
                                                               "segments": [{"name": "tenant", "header": "x-tenant"}]}}])
    rows = rows_of(1400)
    truth, answered = [int(row.argmax()) for row in rows], []
    with triton.InferenceServerClient(f"127.0.0.1:{server.port}") as client:
        for number, row in enumerate(rows):
            # By the message, as tritonclient says it, or by metadata, as everybody else does.
            said = {"request_id": f"r{number}"} if number % 2 else {"headers": {"x-request-id": f"r{number}", "x-tenant": "acme"}}
            answered.append(label_of(client, row, compression_algorithm=(None, "gzip", "deflate")[number % 3], **said))
        # Of a stream nothing is read, and it counts as one. Both versions have the same answer to it.
        results, plain = [], next(number for number in range(len(rows)) if number not in flipped_by(3, rows))
        client.start_stream(callback=lambda result, error: results.append(error or result))
        for _ in range(5):
            client.async_stream_infer("digits", [tensor(rows[plain])])
        client.stop_stream()
        assert [int(result.as_numpy("label")[0]) for result in results] == [truth[plain]] * 5
    wait_for("all to be decoded", lambda: bodies(server, "response", "decoded") == 1400)
    assert bodies(server, "request", "decoded") == 1400
    wait_for("the stream", lambda: server.metric("leadsman_monitor_requests_total") == 1401)
    assert bodies(server, "request", "content_type") == 1
    labels = {"labels": [{"request_id": f"r{number}", "label": str(label)} for number, label in enumerate(truth)]}
    assert requests.post(server.admin + "/api/v1/labels", json=labels, timeout=10).status_code == 200
    wait_for("all labels", lambda: sum(v.get("labelled", 0) for v in by_version(server, "digits", "quality").values()) == 1400)
    quality = by_version(server, "digits", "quality")
    assert quality[1]["wrong"] == 0
    assert quality[2]["wrong"] == sum(x != y for x, y in zip(truth, answered)) > 10
    for version in (1, 2):
        seen = profile(server, "digits", version)
        assert len(seen) == 10
        assert all(-0.2 < f["min"] < f["max"] < 1.2 for f in seen.values())
    wait_for("the references", lambda: {v["inputs"]["reference"]["state"] for v in by_version(server, "digits", "drift").values()} == {"ready"})
    wait_for("the schemas", lambda: {v["state"] for v in by_version(server, "digits", "schema").values()} == {"frozen"})
    assert {len(v["schema"]["features"]) for v in by_version(server, "digits", "schema").values()} == {10}
    assert 'leadsman_monitor_predictions_total{model="digits",version="1",class="3"}' in server.get("/metrics").text
    segments = {(s["by"], s["segment"]): s["labelled"] for s in quality[1]["segments"]}
    assert 0 < segments["tenant", "acme"] < quality[1]["labelled"]
    assert server.metric("leadsman_gateway_held_bytes") == 0


@pytest.mark.parametrize("tls", [False, True])
def test_a_mirrors_answers_to_calls_are_compared(start, gateway, tmp_path, tls):  # noqa: F811
    count, more, config = 300, {}, {}
    if tls:
        authority = Authority(tmp_path / "ca", "authority")
        pair = authority.issue("service")
        config = {"server": {"tls": {"cert_file": str(pair[0]), "key_file": str(pair[1])}}}
        more = {"tls": {"ca_file": str(authority.certificate)}}
    live, shadow = (digits(start, tmp_path, wrong, **config) for wrong in (None, 3))
    server = gateway(services=[mirrored(live.grpc, shadow.grpc, protocol="grpc", health=READY, **more)],
                     models=[{"name": "digits", "monitoring": {"max_join_rate": 100000}}])
    rows = rows_of(count)
    with triton.InferenceServerClient(f"127.0.0.1:{server.port}") as client:
        for number, row in enumerate(rows):
            answer = label_of(client, row, request_id=f"r{number}", compression_algorithm="gzip" if number % 3 == 0 else None)
            assert answer == int(row.argmax()), "the live one"
    wait_for("all to be compared", lambda: server.metric("leadsman_gateway_mirror_compared_total") == count)
    flipped = flipped_by(3, rows)
    results = compared(server)
    assert results["class_flip"] == len(flipped) > 0
    assert sum(results.values()) == count and set(results) <= {"equal", "differs", "class_flip", "within_tolerance"}, results
    mirror = server.service()["mirror"]
    assert (mirror["sent"], mirror["answered"], mirror["in_flight"], mirror["errors"]) == (count, count, 0, 0)
    (compared_pair,) = mirror["compared"]
    assert set(compared_pair["examples"]["class_flip"]) <= {f"r{number}" for number in flipped}
    # Nothing of the shadow is in what is said of versions, and it has the same requests, marked.
    assert set(by_version(server, "digits", "quality")) == {1}
    one, two = server.service()["versions"]
    assert (one["requests"], two["requests"], two["endpoints"][0]["connections"]) == (count, 0, 0)
    # The ids are the messages' own: labels find the rows by them.
    labels = [{"request_id": f"r{number}", "label": str(int(row.argmax()))} for number, row in enumerate(rows)]
    assert requests.post(server.admin + "/api/v1/labels", json={"labels": labels}, timeout=10).status_code == 200
    wait_for("the labels", lambda: server.metric("leadsman_gateway_mirror_labelled_total") == len(flipped))
    labelled = server.service()["mirror"]["compared"][0]["labelled"]
    assert (labelled["live_right"], labelled["shadow_right"]) == (len(flipped), 0)


def test_long_messages_are_read_and_mirrored_up_to_their_limits(start, gateway, tmp_path):  # noqa: F811
    models.release(tmp_path / "repository", "half", 1, models.half_plus_two())
    live, shadow = (start(models=[{"name": "half", "path": str(tmp_path / "repository" / "half")}]) for _ in range(2))
    service = mirrored(live.grpc, shadow.grpc, protocol="grpc")
    server = gateway(services=[service])

    def ask(client, count):
        values = np.arange(count, dtype=np.float32)
        x = triton.InferInput("x", [count], "FP32")
        x.set_data_from_numpy(values)
        np.testing.assert_array_equal(client.infer("half", [x]).as_numpy("y"), values / 2 + 2)

    with triton.InferenceServerClient(f"127.0.0.1:{server.port}") as client:
        for _ in range(5):
            ask(client, 200_000)  # of the megabyte that each may have
        wait_for("all to be compared", lambda: server.metric("leadsman_gateway_mirror_compared_total") == 5)
        assert compared(server) == {"equal": 5}
        wait_for("all to be decoded", lambda: bodies(server, "response", "decoded") == bodies(server, "request", "decoded") == 5)
        ask(client, 400_000)
    wait_for("what is too long", lambda: bodies(server, "response", "too_long") == bodies(server, "request", "too_long") == 1)
    mirror = server.service()["mirror"]
    assert (mirror["sent"], mirror["answered"], mirror["unsent"]) == (5, 5, {"too_large": 1})
    wait_for("nothing held", lambda: server.metric("leadsman_gateway_mirror_held_bytes") == server.metric("leadsman_gateway_held_bytes") == 0)


def test_a_shadow_that_dies_costs_no_call(start, gateway, tmp_path):  # noqa: F811
    live, shadow = digits(start, tmp_path), digits(start, tmp_path, 3)
    server = gateway(services=[mirrored(live.grpc, shadow.grpc, protocol="grpc")])
    rows = rows_of(200)
    with triton.InferenceServerClient(f"127.0.0.1:{server.port}") as client:
        for number, row in enumerate(rows):
            if number == 100:
                wait_for("the answers so far", lambda: server.service()["mirror"]["answered"] == 100)
                shadow.kill()
            assert label_of(client, row) == int(row.argmax())

    def over():
        mirror = server.service()["mirror"]
        return mirror["in_flight"] == 0 and mirror["sent"] + sum(mirror["unsent"].values()) == 200
    wait_for("all copies to be over", over)
    mirror = server.service()["mirror"]
    assert mirror["answered"] == 100 and set(mirror["unsent"]) == {"not_connected"}
    assert server.service()["versions"][1]["endpoints"][0]["failures"] == 0


def test_tensorflow_servings_own_client_is_read_and_mirrored(start, gateway, tmp_path, models_python):  # noqa: F811
    repository = tmp_path / "repository"
    names = {"pair": models.pair(), "upper": models.upper(), "half_plus_two": models.half_plus_two(),
             **{f"same_{dtype}": same(dtype) for dtype in TYPES.values()}}
    for name, model in names.items():
        models.release(repository, name, 1, model)
    models.release(repository, "digits", 3, models.classifier())
    upstreams = [start(models=[{"name": name, "path": str(repository / name)} for name in [*names, "digits"]]) for _ in range(2)]
    server = gateway(services=[mirrored(*(one.grpc for one in upstreams), protocol="grpc")], routes=[
        {"path": "/tensorflow.serving.PredictionService/", "service": "digits"}, {"service": "digits", "predictions": "none"}])
    assert "all good" in models_python(HERE / "tfs_grpc_client.py", f"127.0.0.1:{server.port}")
    good = len(TYPES) - 1 + 3 + 2  # of Predict (its client sends no BF16), and of Classify and Regress
    wait_for("all to be decoded", lambda: bodies(server, "response", "decoded") == good)
    assert bodies(server, "response", "not_understood") == 0
    wait_for("all to be compared", lambda: server.metric("leadsman_gateway_mirror_compared_total") == server.service()["mirror"]["sent"])
    # Those that failed did so twice.
    assert compared(server) == {"equal": good, "both_failed": 4}


def scores(wrong=None):
    """y = softmax of ten inputs, as the benchmarks' backend of Triton takes it; of the class `wrong` those of the next one."""
    weights = np.eye(10, dtype="f")
    if wrong is not None:
        weights[wrong] = np.roll(weights[wrong], 1)
    graph = onnx.helper.make_graph(
        [onnx.helper.make_node("MatMul", ["x", "w"], ["logits"]), onnx.helper.make_node("Softmax", ["logits"], ["y"], axis=1)], "scores",
        [onnx.helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, ["N", 10])],
        [onnx.helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, ["N", 10])], [onnx.numpy_helper.from_array(weights, "w")])
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 17)], ir_version=8)
    return model.SerializeToString()


def test_a_real_triton_is_monitored_through_the_gateway(gateway, tmp_path):  # noqa: F811
    for number, wrong in ((1, None), (2, 3)):
        folder = tmp_path / f"models{number}" / "digits"
        (folder / "1").mkdir(parents=True)
        (folder / "1" / "model.onnx").write_bytes(scores(wrong))
        (folder / "config.pbtxt").write_text("""
            name: "digits" backend: "ort" max_batch_size: 64
            input [ { name: "x" data_type: TYPE_FP32 dims: [ 10 ] } ]
            output [ { name: "y" data_type: TYPE_FP32 dims: [ 10 ] } ]
            instance_group [ { count: 1 kind: KIND_CPU } ]""")
    with Triton(tmp_path / "models1", tmp_path / "models1") as live, Triton(tmp_path / "models2", tmp_path / "models2") as shadow:
        server = gateway(services=[mirrored(f"127.0.0.1:{live.grpc_port}", f"127.0.0.1:{shadow.grpc_port}", protocol="grpc", health=READY)])
        rows = rows_of(100)
        with triton.InferenceServerClient(f"127.0.0.1:{server.port}") as client:
            for number, row in enumerate(rows):
                answer = client.infer("digits", [tensor(row)], request_id=f"r{number}", compression_algorithm="gzip" if number % 2 else None)
                assert answer.as_numpy("y").argmax() == row.argmax()
        wait_for("all to be decoded", lambda: bodies(server, "response", "decoded") == bodies(server, "request", "decoded") == 100)
        wait_for("all to be compared", lambda: server.metric("leadsman_gateway_mirror_compared_total") == 100)
        assert compared(server)["class_flip"] == len(flipped_by(3, rows))
        assert len(profile(server, "digits", 1)) == 10


def test_predictions_over_http2_are_read_and_mirrored(start, gateway, tmp_path):  # noqa: F811
    binary = _program("nginx", CACHE / "stores/nginx/usr/sbin/nginx", "/usr/sbin/nginx")
    user = ["-g", "user root;"] if os.geteuid() == 0 else []
    ports = [free_port(), free_port()]
    fronts = "".join(
        f"server {{ listen 127.0.0.1:{port} http2; location / {{ proxy_pass {digits(start, tmp_path, wrong).url}; }} }}"
        for port, wrong in zip(ports, (None, 3)))
    folder = tmp_path / "nginx"
    folder.mkdir()
    (folder / "nginx.conf").write_text(f"""
        daemon off; pid {folder}/pid; error_log {folder}/error.log; worker_processes 1;
        events {{}}
        http {{ access_log off; client_body_temp_path {folder}/a; proxy_temp_path {folder}/b; fastcgi_temp_path {folder}/c;
                uwsgi_temp_path {folder}/d; scgi_temp_path {folder}/e; {fronts} }}""")
    nginx = subprocess.Popen([binary, "-e", str(folder / "error.log"), "-p", str(folder), "-c", str(folder / "nginx.conf"), *user], start_new_session=True)
    try:
        server = gateway(services=[mirrored(*(f"127.0.0.1:{port}" for port in ports), protocol="http2", health={"path": "/v2/health/ready"})])
        rows = rows_of(40)
        for number, row in enumerate(rows):
            body = json.dumps({"inputs": [{"name": "x", "shape": [1, 10], "datatype": "FP32", "data": [float(x) for x in row]}]}).encode()
            packed = ["-H", "Content-Encoding: gzip"] if number % 2 else []
            done = subprocess.run(
                ["curl", "-sS", "--http2-prior-knowledge", "-H", "Content-Type: application/json", "-H", f"X-Request-Id: r{number}", *packed,
                 "--data-binary", "@-", f"http://127.0.0.1:{server.port}/v2/models/digits/infer"],
                input=gzip.compress(body) if packed else body, capture_output=True, timeout=20)
            outputs = {output["name"]: output["data"] for output in json.loads(done.stdout)["outputs"]}
            assert outputs["label"] == [int(row.argmax())]
        wait_for("all to be decoded", lambda: bodies(server, "response", "decoded") == bodies(server, "request", "decoded") == len(rows))
        wait_for("all to be compared", lambda: server.metric("leadsman_gateway_mirror_compared_total") == len(rows))
        assert compared(server)["class_flip"] == len(flipped_by(3, rows))
        assert len(profile(server, "digits", 1)) == 10
    finally:
        nginx.terminate()
        nginx.wait(10)


def test_what_is_no_message_passes_and_is_counted(start, gateway, tmp_path):  # noqa: F811
    server = gateway(services=[{**versions("digits", digits(start, tmp_path).grpc), "protocol": "grpc"}], decode={"max_body": "10KiB"})
    with grpc.insecure_channel(f"127.0.0.1:{server.port}") as channel:
        call = channel.unary_unary("/inference.GRPCInferenceService/ModelInfer")
        for message in (b"\xff" * 20, b"\0" * 20_000, b""):
            with pytest.raises(grpc.RpcError) as raised:
                call(message, timeout=10)
            assert raised.value.code() == grpc.StatusCode.INVALID_ARGUMENT
        # A bomb: a megabyte of nothing in a thousand bytes.
        packed = channel.unary_unary("/inference.GRPCInferenceService/ModelInfer")
        with pytest.raises(grpc.RpcError):
            packed(b"\0" * 1_000_000, timeout=10, compression=grpc.Compression.Gzip)
    for result, count in (("not_understood", 2), ("too_long", 1), ("encoding", 1)):
        wait_for(result, lambda result=result, count=count: bodies(server, "request", result) == count)
    wait_for("the events", lambda: server.metric("leadsman_monitor_requests_total") == 4)
    assert server.metric("leadsman_gateway_held_bytes") == 0
