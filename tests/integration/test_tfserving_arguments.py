"""What the arguments of tensorflow_model_server do, seen from outside: batching parameters, gRPC's arguments, a session's threads."""
import concurrent.futures
import json
import time

import grpc
import models
import pytest
import requests
from conftest import wait_for
from grpc_health.v1 import health_pb2, health_pb2_grpc
from test_tfserving_compat import ModelServer


@pytest.fixture
def launch(tmp_path, repository):
    servers = []

    def _launch(*arguments, model="half_plus_two", payload=None):
        models.release(repository, model, 1, payload or models.half_plus_two())
        servers.append(ModelServer(tmp_path, [f"--model_name={model}", f"--model_base_path={repository / model}", *arguments]))
        return servers[-1].await_ready(f"/v1/models/{model}")

    yield _launch
    for server in servers:
        server.process.terminate()
        assert server.process.wait(30) == 0, server.text()


def metric(server, name, *labels):
    port = next(entry["admin_port"] for entry in map(json.loads, server.text().splitlines()) if entry.get("message") == "serving")
    text = requests.get(f"http://127.0.0.1:{port}/metrics", timeout=5).text
    return sum(float(line.rsplit(" ", 1)[1]) for line in text.splitlines()
               if line.startswith(name + "{") and all(label in line for label in labels))


def test_old_connections_are_told_to_go_and_no_call_fails(launch):
    server = launch("--grpc_channel_arguments=grpc.max_connection_age_ms=500,grpc.max_concurrent_streams=64,grpc.so_reuseport=0")
    assert "without effect: grpc.so_reuseport=0" in server.text()
    with grpc.insecure_channel(f"127.0.0.1:{server.grpc_port}") as channel:
        stub = health_pb2_grpc.HealthStub(channel)
        until = time.monotonic() + 4
        while time.monotonic() < until:
            stub.Check(health_pb2.HealthCheckRequest(), timeout=5)
            time.sleep(0.02)
    assert metric(server, "leadsman_http_connections_accepted_total", 'server="grpc"') >= 3


def test_a_request_larger_than_an_execution_is_split(launch, tmp_path):
    parameters = tmp_path / "batching"
    parameters.write_text("max_batch_size { value: 64 } max_execution_batch_size { value: 8 } batch_timeout_micros { value: 0 }\n"
                          "enable_large_batch_splitting { value: true } allowed_batch_sizes: [4, 8]\n"
                          "num_batch_threads { value: 2 }\n")
    server = launch("--enable_batching", f"--batching_parameters_file={parameters}")
    before = metric(server, "leadsman_batching_batches_total")
    values = [float(x) for x in range(50)]
    assert server.predict("half_plus_two", values) == {"predictions": [x / 2 + 2 for x in values]}
    assert metric(server, "leadsman_batching_batches_total") - before >= 7, "pieces of 8 rows"
    assert metric(server, "leadsman_batching_split_requests_total") == 1


def test_without_splitting_it_is_refused(launch, tmp_path):
    parameters = tmp_path / "batching"
    parameters.write_text("max_batch_size { value: 64 } max_execution_batch_size { value: 8 }")
    server = launch("--enable_batching", f"--batching_parameters_file={parameters}")
    values = [float(x) for x in range(50)]
    assert server.predict("half_plus_two", values) == {"predictions": [x / 2 + 2 for x in values]}, "8 is not looked at"
    assert "64" in server.predict("half_plus_two", values * 2, expect=400)["error"]


def test_ragged_requests_are_padded_with_their_own_first_value(launch, tmp_path):
    """Two requests that share a batch: the model gives each row back, filled up to the longest."""
    from onnx import TensorProto, helper
    graph = helper.make_graph([helper.make_node("Identity", ["x"], ["y"])], "same",
                              [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", "M"])],
                              [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["N", "M"])])
    same = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8).SerializeToString()
    parameters = tmp_path / "batching"
    parameters.write_text("max_batch_size { value: 2 } batch_timeout_micros { value: 5000000 } pad_variable_length_inputs: true\n"
                          "num_batch_threads { value: 1 }")
    server = launch("--enable_batching", f"--batching_parameters_file={parameters}", model="same", payload=same)
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        short, long = pool.map(lambda row: server.predict("same", [row])["predictions"][0], ([7.0, 8.0], [1.0, 2.0, 3.0, 4.0]))
    assert (short, long) == ([7.0, 8.0, 7.0, 7.0], [1.0, 2.0, 3.0, 4.0])


def test_a_session_configuration_is_taken_as_far_as_it_goes(launch, tmp_path):
    session = tmp_path / "session"
    session.write_text("intra_op_parallelism_threads: 2 gpu_options { allow_growth: true }")
    server = launch(f"--tensorflow_session_config_file={session}", "--prefer_tflite_model", "--mixed_precision=bfloat16",
                    "--thread_pool_factory_config_file=/none")
    assert server.predict("half_plus_two", [2.0]) == {"predictions": [3.0]}
    wait_for("the warnings", lambda: server.text().count("does nothing") == 3)
    assert "without effect: gpu_options" in server.text()


def test_a_version_is_batched_as_its_own_file_says(launch, repository, tmp_path):
    parameters = tmp_path / "batching"
    parameters.write_text("max_batch_size { value: 8 } num_batch_threads { value: 2 }")
    flags = ("--enable_batching", f"--batching_parameters_file={parameters}", "--enable_per_model_batching_parameters",
             "--file_system_poll_wait_seconds=1")
    server = launch(*flags)
    values = [float(x) for x in range(20)]
    # Without a file of its own a version is not batched, so that no batch is too small.
    assert server.predict("half_plus_two", values) == {"predictions": [x / 2 + 2 for x in values]}

    staged = models.release(tmp_path / "staged", "half_plus_two", 2, models.half_plus_two(), manifest=False)
    (staged / "batching_params.pbtxt").write_text("max_batch_size { value: 4 } allowed_batch_sizes: 4 batch_timeout_micros { value: 0 }")
    staged.rename(repository / "half_plus_two" / "2")
    server.await_ready("/v1/models/half_plus_two/versions/2")
    assert "4" in server.predict("half_plus_two", values[:5], expect=400)["error"]
    assert server.predict("half_plus_two", values[:3]) == {"predictions": [x / 2 + 2 for x in values[:3]]}
    assert metric(server, "leadsman_batching_batches_total", 'version="2"') == 1


def test_allowed_batch_sizes_are_filled_up_and_nobody_sees_it(launch, tmp_path):
    parameters = tmp_path / "batching"
    parameters.write_text("max_batch_size { value: 8 } batch_timeout_micros { value: 0 } allowed_batch_sizes: [4, 8]")
    server = launch("--enable_batching", f"--batching_parameters_file={parameters}")
    for rows in (1, 4, 5, 8):
        values = [float(x) for x in range(rows)]
        before = metric(server, "leadsman_batching_padded_rows_total")
        assert server.predict("half_plus_two", values) == {"predictions": [x / 2 + 2 for x in values]}
        assert metric(server, "leadsman_batching_padded_rows_total") - before == -rows % 4, rows
    assert "8" in server.predict("half_plus_two", [0.0] * 9, expect=400)["error"]


def test_any_label_may_be_given_to_a_version_that_is_not_there_yet(launch, repository, tmp_path):
    """The label answered by version 1; once it says 2, it waits for that one, as it was asked to."""
    config = tmp_path / "models"

    def configure(version):
        config.write_text(f"model_config_list {{ config {{ name: 'half_plus_two' base_path: '{repository / 'half_plus_two'}' "
                          f"model_version_policy {{ all {{ }} }} version_labels {{ key: 'stable' value: {version} }} }} }}")
    configure(1)
    server = launch(f"--model_config_file={config}", "--model_config_file_poll_wait_seconds=1",
                    "--force_allow_any_version_labels_for_unavailable_models")

    def stable():
        return requests.get(server.url + "/v1/models/half_plus_two/labels/stable", timeout=5)
    wait_for("the label", lambda: stable().status_code == 200)
    configure(2)
    wait_for("the label's move", lambda: stable().status_code == 400)
    models.release(repository, "half_plus_two", 2, models.half_plus_two())
    wait_for("version 2", lambda: stable().status_code == 200)
    assert [v["version"] for v in stable().json()["model_version_status"]] == ["2"]
