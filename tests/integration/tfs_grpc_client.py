#!/usr/bin/env python3
"""TensorFlow Serving's own Python client (tensorflow-serving-api), for test_grpc.py and
test_tfserving_compat.py: it needs TensorFlow, and so an interpreter of its own.

    tfs_grpc_client.py HOST:PORT                  calls every method of PredictionService and ModelService
    tfs_grpc_client.py HOST:PORT reload FILE      sends the ModelServerConfig of a file in the text format
"""
import os
import sys

import grpc
import numpy as np
import tensorflow as tf
from google.protobuf import text_format
from tensorflow_serving.apis import (
    classification_pb2,
    get_model_metadata_pb2,
    get_model_status_pb2,
    inference_pb2,
    model_management_pb2,
    model_service_pb2_grpc,
    predict_pb2,
    prediction_service_pb2_grpc,
    regression_pb2,
)

TYPES = {"bool": tf.bool, "uint8": tf.uint8, "uint16": tf.uint16, "uint32": tf.uint32, "uint64": tf.uint64,
         "int8": tf.int8, "int16": tf.int16, "int32": tf.int32, "int64": tf.int64, "float16": tf.half,
         "float32": tf.float32, "float64": tf.float64}


def fails(call, code, text):
    try:
        call()
    except grpc.RpcError as error:
        assert error.code() == code, (error.code(), error.details())
        assert text in error.details(), error.details()
    else:
        raise AssertionError(f"was to fail with {code}")


def predict(stub, model, inputs, output_filter=(), **spec):
    request = predict_pb2.PredictRequest(output_filter=output_filter)
    request.model_spec.name = model
    if "label" in spec:
        request.model_spec.version_label = spec["label"]
    if "version" in spec:
        request.model_spec.version.value = spec["version"]
    for name, tensor in inputs.items():
        request.inputs[name].CopyFrom(tensor)
    return stub.Predict(request, timeout=10)


def predictions(stub):
    answer = predict(stub, "pair", {"a": tf.make_tensor_proto([[1.0, 2.0]]), "b": tf.make_tensor_proto([[3.0, 5.0]])})
    assert list(answer.outputs["sum"].float_val) == [4.0, 7.0]
    assert answer.model_spec.name == "pair" and answer.model_spec.version.value == 1
    constants = {"a": tf.make_tensor_proto(1.0, shape=[3, 2]), "b": tf.make_tensor_proto(0.5, shape=[3, 2])}
    answer = predict(stub, "pair", constants, ["difference"])
    assert list(answer.outputs) == ["difference"]
    np.testing.assert_array_equal(tf.make_ndarray(answer.outputs["difference"]), np.full((3, 2), 0.5, "f"))
    for name, dtype in TYPES.items():
        values = np.array([0, 1, 1], name)
        answer = predict(stub, f"same_{name}", {"x": tf.make_tensor_proto(values, dtype)})
        back = tf.make_ndarray(answer.outputs["y"])
        assert back.dtype == values.dtype and back.tolist() == values.tolist(), name
    texts = [b"a\0b", b"", "ä".encode()]
    answer = predict(stub, "upper", {"text": tf.make_tensor_proto(texts)})
    assert list(answer.outputs["same"].string_val) == texts
    fails(lambda: predict(stub, "nope", {}), grpc.StatusCode.NOT_FOUND, "Servable not found")
    fails(lambda: predict(stub, "pair", {}, label="nope"), grpc.StatusCode.INVALID_ARGUMENT, "label")
    fails(lambda: predict(stub, "pair", {}, version=9), grpc.StatusCode.NOT_FOUND, "9")
    fails(lambda: predict(stub, "pair", {"a": tf.make_tensor_proto([[1.0, 2.0]])}), grpc.StatusCode.INVALID_ARGUMENT,
          "Missing named input: b")


def examples(stub):
    feature = tf.train.Feature(float_list=tf.train.FloatList(value=np.eye(10)[4]))
    example = tf.train.Example(features=tf.train.Features(feature={"x": feature}))
    request = classification_pb2.ClassificationRequest()
    request.model_spec.name = "digits"
    request.input.example_list.examples.append(example)
    answer = stub.Classify(request, timeout=10)
    classes = answer.result.classifications[0].classes
    assert max(classes, key=lambda c: c.score).label == "4", classes
    assert answer.model_spec.version.value == 3
    request = regression_pb2.RegressionRequest()
    request.model_spec.name = "half_plus_two"
    number = tf.train.Feature(float_list=tf.train.FloatList(value=[5.0]))
    request.input.example_list.examples.append(tf.train.Example(features=tf.train.Features(feature={"x": number})))
    assert stub.Regress(request, timeout=10).result.regressions[0].value == 4.5
    request_of_several = inference_pb2.MultiInferenceRequest(input=request.input)
    request_of_several.tasks.add(method_name="tensorflow/serving/regress").model_spec.name = "half_plus_two"
    answer = stub.MultiInference(request_of_several, timeout=10)
    assert answer.results[0].regression_result.regressions[0].value == 4.5


def information(stub, models):
    request = get_model_metadata_pb2.GetModelMetadataRequest(metadata_field=["signature_def"])
    request.model_spec.name = "pair"
    answer = stub.GetModelMetadata(request, timeout=10)
    definitions = get_model_metadata_pb2.SignatureDefMap()
    assert answer.metadata["signature_def"].Unpack(definitions)
    inputs = definitions.signature_def["serving_default"].inputs
    assert inputs["a"].dtype == tf.float32.as_datatype_enum
    assert [dim.size for dim in inputs["a"].tensor_shape.dim] == [-1, 2]
    request = get_model_status_pb2.GetModelStatusRequest()
    request.model_spec.name = "digits"
    statuses = models.GetModelStatus(request, timeout=10).model_version_status
    available = get_model_status_pb2.ModelVersionStatus.AVAILABLE
    assert [(s.version, s.state, s.status.error_code) for s in statuses] == [(3, available, 0)]


def reload(models, path, token):
    request = model_management_pb2.ReloadConfigRequest(metric_names=["/tensorflow/serving/no_such_metric"])
    with open(path, encoding="utf-8") as file:
        text_format.Parse(file.read(), request.config)
    try:
        answer = models.HandleReloadConfigRequest(request, timeout=60,
                                                  metadata=[("authorization", f"Bearer {token}")] if token else None)
    except grpc.RpcError as error:
        print(error.code().name, error.details())
        return
    assert answer.HasField("status") and answer.status.error_message == ""
    assert [(m.name, m.int64_value_increase) for m in answer.metric] == [("/tensorflow/serving/no_such_metric", 0)]
    print("OK" if answer.status.error_code == 0 else answer.status)


def main():
    channel = grpc.insecure_channel(sys.argv[1])
    if sys.argv[2:3] == ["reload"]:
        return reload(model_service_pb2_grpc.ModelServiceStub(channel), sys.argv[3], os.environ.get("TOKEN"))
    stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)
    predictions(stub)
    examples(stub)
    information(stub, model_service_pb2_grpc.ModelServiceStub(channel))
    print("all good")


if __name__ == "__main__":
    main()
