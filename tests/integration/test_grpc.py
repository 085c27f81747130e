"""gRPC by the clients that people use: tritonclient, TensorFlow Serving's stubs, the health and reflection clients."""
import queue
from pathlib import Path

import grpc
import ml_dtypes  # noqa: F401  makes "bfloat16" a dtype
import models
import numpy as np
import onnx
import pytest
import tritonclient.grpc as triton
from conftest import wait_for
from google.protobuf.descriptor_pool import DescriptorPool
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase
from tritonclient.grpc import service_pb2, service_pb2_grpc
from tritonclient.utils import InferenceServerException

TYPES = {"BOOL": "bool", "UINT8": "uint8", "UINT16": "uint16", "UINT32": "uint32", "UINT64": "uint64", "INT8": "int8",
         "INT16": "int16", "INT32": "int32", "INT64": "int64", "FP16": "float16", "BF16": "bfloat16", "FP32": "float32",
         "FP64": "float64"}
# The field of inference.InferTensorContents that carries it. Halves have none.
FIELDS = {"BOOL": "bool", "UINT8": "uint", "UINT16": "uint", "UINT32": "uint", "UINT64": "uint64", "INT8": "int", "INT16": "int",
          "INT32": "int", "INT64": "int64", "FP32": "fp32", "FP64": "fp64"}


def same(dtype):
    """y = x, of one type."""
    of = onnx.helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
    graph = onnx.helper.make_graph([onnx.helper.make_node("Identity", ["x"], ["y"])], "same",
                                   [onnx.helper.make_tensor_value_info("x", of, ["N"])],
                                   [onnx.helper.make_tensor_value_info("y", of, ["N"])])
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 17)], ir_version=8)
    return model.SerializeToString()


@pytest.fixture
def server(start, repository):
    names = ["half_plus_two", "digits", "pair", "upper", "endless"]
    models.release(repository, "half_plus_two", 1, models.half_plus_two())
    models.release(repository, "digits", 3, models.classifier())
    models.release(repository, "pair", 1, models.pair())
    models.release(repository, "upper", 1, models.upper())
    models.release(repository, "endless", 1, models.endless())
    for dtype in TYPES.values():
        names.append(f"same_{dtype}")
        models.release(repository, names[-1], 1, same(dtype))
    return start(models=[{"name": n, "path": str(repository / n), "execution": "pool" if n == "endless" else "auto"}
                         for n in names], server={"pool_threads": 1})


@pytest.fixture
def client(server):
    with triton.InferenceServerClient(server.grpc) as made:
        yield made


def tensor(name, values, datatype):
    made = triton.InferInput(name, list(values.shape), datatype)
    made.set_data_from_numpy(values)
    return made


def fails(call, code, text):
    with pytest.raises(InferenceServerException) as error:
        call()
    assert error.value.status() == f"StatusCode.{code}" and text in error.value.message(), str(error.value)


def test_tritonclient_asks_about_the_server(client):
    assert client.is_server_live() and client.is_server_ready()
    assert client.is_model_ready("digits") and client.is_model_ready("digits", "3")
    assert not client.is_model_ready("digits", "4") and not client.is_model_ready("nope")
    assert client.get_server_metadata().name == "leadsman"
    metadata = client.get_model_metadata("pair", as_json=True)
    assert metadata["inputs"] == [{"name": "a", "datatype": "FP32", "shape": ["-1", "2"]},
                                  {"name": "b", "datatype": "FP32", "shape": ["-1", "2"]}]
    fails(lambda: client.get_model_metadata("nope"), "NOT_FOUND", "models here")


def test_tritonclient_infers(client):
    x = np.eye(10, dtype="f")[[3, 7]]
    answer = client.infer("digits", [tensor("x", x, "FP32")], outputs=[triton.InferRequestedOutput("label")],
                          request_id="7", headers={"x-request-id": "from-header"}, priority=1, timeout=5_000_000)
    assert answer.as_numpy("label").tolist() == [3, 7] and answer.as_numpy("probabilities") is None
    assert answer.get_response().id == "7" and answer.get_response().model_version == "3"
    for coding in ("gzip", "deflate"):
        packed = client.infer("digits", [tensor("x", x, "FP32")], compression_algorithm=coding)
        assert packed.as_numpy("label").tolist() == [3, 7]
    fails(lambda: client.infer("nope", [tensor("x", x, "FP32")]), "NOT_FOUND", "Servable not found")
    fails(lambda: client.infer("digits", [tensor("x", x[:, :5], "FP32")]), "INVALID_ARGUMENT", "dimension 1 must be 10")
    wrong = tensor("x", x.astype("d"), "FP64")
    fails(lambda: client.infer("digits", [wrong]), "INVALID_ARGUMENT", "the model takes FP32")


def test_tritonclient_asks_for_statistics_and_configuration(client):
    client.infer("digits", [tensor("x", np.eye(10, dtype="f"), "FP32")])
    counted = client.get_inference_statistics("digits").model_stats[0]
    assert counted.version == "3" and counted.inference_count == 10 and counted.inference_stats.success.count == 1
    config = client.get_model_config("pair").config
    assert [i.name for i in config.input] == ["a", "b"] and config.backend == "onnxruntime"
    index = {(m.name, m.version): m.state for m in client.get_model_repository_index().models}
    assert index[("digits", "3")] == "READY"


def test_every_type_travels(client):
    for datatype, dtype in TYPES.items():
        values = np.array([0, 1, 1], dtype)
        back = client.infer(f"same_{dtype}", [tensor("x", values, datatype)]).as_numpy("y")
        assert back.dtype == values.dtype and back.tolist() == values.tolist(), datatype
    texts = np.array([b"a\0b", b"", "ä".encode(), b"x" * 100_000], dtype=object)
    assert client.infer("upper", [tensor("text", texts, "BYTES")]).as_numpy("same").tolist() == texts.tolist()
    empty = client.infer("half_plus_two", [tensor("x", np.zeros([0], "f"), "FP32")])
    assert empty.as_numpy("y").shape == (0,)


def test_typed_contents(server):
    stub = service_pb2_grpc.GRPCInferenceServiceStub(grpc.insecure_channel(server.grpc))
    request = service_pb2.ModelInferRequest(model_name="half_plus_two")
    request.inputs.add(name="x", datatype="FP32", shape=[2]).contents.fp32_contents.extend([1, 5])
    answer = stub.ModelInfer(request, timeout=10, metadata=[("x-request-id", "typed-1")])
    assert list(answer.outputs[0].contents.fp32_contents) == [2.5, 4.5] and not answer.raw_output_contents
    _, call = stub.ModelInfer.with_call(request, timeout=10, metadata=[("x-request-id", "typed-1")])
    assert ("x-request-id", "typed-1") in [tuple(pair) for pair in call.initial_metadata()]


def test_typed_contents_of_every_type(server):
    def ask(model, name, datatype, field, values):
        request = service_pb2.ModelInferRequest(model_name=model)
        getattr(request.inputs.add(name=name, datatype=datatype, shape=[len(values)]).contents, f"{field}_contents").extend(values)
        return stub.ModelInfer(request, timeout=10)

    with grpc.insecure_channel(server.grpc) as channel:
        stub = service_pb2_grpc.GRPCInferenceServiceStub(channel)
        for datatype, field in FIELDS.items():
            kind = np.dtype(TYPES[datatype])
            if kind.kind == "f":
                values = [0.5, float(np.finfo(kind).max), -np.inf]
            else:
                values = [False, True] if kind.kind == "b" else [int(np.iinfo(kind).min), int(np.iinfo(kind).max), 1]
            answer = ask(f"same_{kind}", "x", datatype, field, values)
            assert list(getattr(answer.outputs[0].contents, f"{field}_contents")) == values, datatype
            assert answer.outputs[0].datatype == datatype and not answer.raw_output_contents
            if kind.kind in "iu" and kind.itemsize < 4:
                with pytest.raises(grpc.RpcError, match=f"a value does not fit into {datatype}"):
                    ask(f"same_{kind}", "x", datatype, field, [int(np.iinfo(kind).max) + 1])
        texts = [b"a\0b", b"", "ä".encode()]
        assert list(ask("upper", "text", "BYTES", "bytes", texts).outputs[0].contents.bytes_contents) == texts
        with pytest.raises(grpc.RpcError, match="contents"):
            ask("same_float16", "x", "FP16", "fp32", [0.5])


def test_a_call_that_ends_without_a_message_is_answered(server):
    with grpc.insecure_channel(server.grpc) as channel:
        for method in ("inference.GRPCInferenceService/ModelInfer", "tensorflow.serving.PredictionService/Predict",
                       "grpc.health.v1.Health/Check"):
            with pytest.raises(grpc.RpcError, match="the call ended without a message") as error:
                channel.stream_unary(f"/{method}")(iter(()), timeout=10)
            assert error.value.code() == grpc.StatusCode.INTERNAL
        # A stream of no requests is a stream of no answers.
        stub = service_pb2_grpc.GRPCInferenceServiceStub(channel)
        assert list(stub.ModelStreamInfer(iter(()), timeout=10)) == []
        assert stub.ServerLive(service_pb2.ServerLiveRequest(), timeout=10).live


def test_each_answer_says_that_it_is_the_last_to_who_asked_for_that(server, client):
    answers = queue.Queue()
    x = tensor("x", np.array([1], "f"), "FP32")
    client.start_stream(lambda result, error: answers.put((result, error)))
    for final in (True, False):
        client.async_stream_infer("half_plus_two", [x], enable_empty_final_response=final)
        result, error = answers.get(timeout=20)
        assert error is None
        told = result.get_response().parameters
        assert ("triton_final_response" in told) == final and (not final or told["triton_final_response"].bool_param)
    client.stop_stream()


def test_streaming(client):
    answers = queue.Queue()
    client.start_stream(lambda result, error: answers.put((result, error)))
    for i in range(20):
        client.async_stream_infer("half_plus_two", [tensor("x", np.array([i], "f"), "FP32")], request_id=str(i))
    client.async_stream_infer("nope", [tensor("x", np.array([1], "f"), "FP32")])
    client.async_stream_infer("half_plus_two", [tensor("x", np.array([2], "f"), "FP32")], request_id="last")
    for i in range(20):
        result, error = answers.get(timeout=20)
        assert error is None and result.get_response().id == str(i) and result.as_numpy("y")[0] == i / 2 + 2
    result, error = answers.get(timeout=20)
    assert result is None and "Servable not found" in error.message()
    result, error = answers.get(timeout=20)
    assert error is None and result.get_response().id == "last"
    client.stop_stream()


def test_deadline_and_cancellation(server, client):
    one = np.ones([1], "f")
    client.infer("endless", [tensor("x", 0 * one, "FP32")])
    long = queue.Queue()
    client.async_infer("endless", [tensor("x", 6_000 * one, "FP32")], lambda result, error: long.put((result, error)))
    # Both wait behind it for the only thread of the pool; one runs out of time, the other is given up.
    late = queue.Queue()
    client.async_infer("endless", [tensor("x", one, "FP32")], lambda result, error: late.put(error), client_timeout=0.2)
    handle = client.async_infer("endless", [tensor("x", one, "FP32")], lambda result, error: late.put(error))
    assert "DEADLINE_EXCEEDED" in str(late.get(timeout=30).status())
    handle.cancel()
    assert "CANCELLED" in str(late.get(timeout=30).status())
    result, error = long.get(timeout=60)
    assert error is None and result.as_numpy("y").shape == (1,)

    def counted(code):
        label = f'leadsman_serving_requests_total{{model="endless",version="1",protocol="v2_grpc",code="{code}"}}'
        lines = server.get("/metrics").text.splitlines()
        return sum(float(line.split()[-1]) for line in lines if line.startswith(label))
    wait_for("the requests that were given up", lambda: counted("CANCELLED") + counted("DEADLINE_EXCEEDED") == 2)
    assert counted("OK") == 2


def test_health_and_reflection(server):
    channel = grpc.insecure_channel(server.grpc)
    health = health_pb2_grpc.HealthStub(channel)
    serving = health_pb2.HealthCheckResponse.SERVING
    for service in ("", "inference.GRPCInferenceService", "tensorflow.serving.PredictionService"):
        assert health.Check(health_pb2.HealthCheckRequest(service=service), timeout=10).status == serving
    watch = health.Watch(health_pb2.HealthCheckRequest(), timeout=30)
    assert next(watch).status == serving
    database = ProtoReflectionDescriptorDatabase(channel)
    assert "tensorflow.serving.ModelService" in database.get_services()
    infer = DescriptorPool(database).FindMethodByName("inference.GRPCInferenceService.ModelInfer")
    assert infer.input_type.fields_by_name["raw_input_contents"].number == 7
    # The same messages under the name that newer clients ask for first.
    reflect = channel.stream_stream("/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
                                    request_serializer=reflection_pb2.ServerReflectionRequest.SerializeToString,
                                    response_deserializer=reflection_pb2.ServerReflectionResponse.FromString)
    listed, symbol = reflect(iter([reflection_pb2.ServerReflectionRequest(list_services=""), reflection_pb2.ServerReflectionRequest(
        file_containing_symbol="inference.GRPCInferenceService")]), timeout=10)
    assert {s.name for s in listed.list_services_response.service} == set(database.get_services())
    assert symbol.file_descriptor_response.file_descriptor_proto
    # A watch that is open does not hold the end up.
    assert server.stop(timeout=20) == 0


def test_http1_clients_are_told_the_port(server):
    import requests
    answer = requests.get(f"http://{server.grpc}/v2", timeout=5)
    assert answer.status_code == 400 and server.url.rsplit(":", 1)[1] in answer.text


def test_tensorflow_serving_stubs(server, models_python):
    assert "all good" in models_python(Path(__file__).parent / "tfs_grpc_client.py", server.grpc)
