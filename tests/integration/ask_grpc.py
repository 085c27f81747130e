"""Run in the models' environment: ask_grpc.py <host:port> <expected.json> <root certificate>. Asks every model by tritonclient.grpc and by
tensorflow-serving-api's stubs, unchanged, and compares; prints how many answers agreed."""
import json
import sys

import grpc
import numpy as np
import tensorflow as tf
import tritonclient.grpc as triton
from tensorflow_serving.apis import (
    classification_pb2,
    inference_pb2,
    predict_pb2,
    prediction_service_pb2_grpc,
    regression_pb2,
)

NUMPY = {"FP32": np.float32, "FP64": np.float64, "INT64": np.int64, "INT32": np.int32, "BYTES": object}
address, file, certificate = sys.argv[1:]
expected = json.loads(open(file, encoding="utf-8").read())


def array(tensor):
    values = [v.encode() for v in tensor["data"]] if tensor["datatype"] == "BYTES" else tensor["data"]
    return np.array(values, dtype=NUMPY[tensor["datatype"]]).reshape(tensor["shape"])


def agree(what, got, tensor):
    wanted = array(tensor)
    if tensor["datatype"] == "BYTES":
        assert [bytes(v) for v in got.ravel()] == wanted.ravel().tolist(), (what, got, wanted)
    else:
        np.testing.assert_allclose(got, wanted, rtol=1e-6, atol=1e-6, err_msg=str(what))
    assert list(got.shape) == tensor["shape"], what


def ask_with_examples(stub):
    """half_plus_two, whose signatures for classify and regress parse tf.Examples themselves."""
    classify, regress = classification_pb2.ClassificationRequest(), regression_pb2.RegressionRequest()
    both = inference_pb2.MultiInferenceRequest()
    for value in (1.0, 5.0):
        feature = tf.train.Feature(float_list=tf.train.FloatList(value=[value]))
        for request in (classify, regress, both):
            request.input.example_list.examples.append(tf.train.Example(features=tf.train.Features(feature={"x": feature})))
    specs = (classify.model_spec, regress.model_spec, both.tasks.add(method_name="tensorflow/serving/classify").model_spec,
             both.tasks.add(method_name="tensorflow/serving/regress").model_spec)
    for spec, signature in zip(specs, ["classify_x", "regress_x_to_y"] * 2, strict=True):
        spec.name, spec.signature_name = "half_plus_two", signature
    first, second = stub.MultiInference(both, timeout=20).results
    assert (first.model_spec.signature_name, second.model_spec.signature_name) == ("classify_x", "regress_x_to_y")
    for classified, regressed in ((stub.Classify(classify, timeout=20).result, stub.Regress(regress, timeout=20).result),
                                  (first.classification_result, second.regression_result)):
        assert [[(c.label, c.score) for c in one.classes] for one in classified.classifications] == [
            [("low", 1), ("high", 0)], [("low", 0), ("high", 1)]], classified
        assert [one.value for one in regressed.regressions] == [2.5, 4.5], regressed


agreed = 0
client = triton.InferenceServerClient(address, ssl=True, root_certificates=certificate)
credentials = grpc.ssl_channel_credentials(open(certificate, "rb").read())
stub = prediction_service_pb2_grpc.PredictionServiceStub(grpc.secure_channel(address, credentials))
ask_with_examples(stub)
for model, cases in expected.items():
    for case in cases:
        if case["signature"] == "serving_default":  # V2 has no signatures
            inputs = []
            for name, tensor in case["inputs"].items():
                inputs.append(triton.InferInput(name, tensor["shape"], tensor["datatype"]))
                inputs[-1].set_data_from_numpy(array(tensor))
            answer = client.infer(model, inputs, client_timeout=20)
            for name, tensor in case["outputs"].items():
                agree((model, name, "V2"), answer.as_numpy(name), tensor)
                agreed += 1
        request = predict_pb2.PredictRequest()
        request.model_spec.name, request.model_spec.signature_name = model, case["signature"]
        for name, tensor in case["inputs"].items():
            request.inputs[name].CopyFrom(tf.make_tensor_proto(array(tensor), shape=tensor["shape"]))
        answer = stub.Predict(request, timeout=20)
        assert set(answer.outputs) == set(case["outputs"]), (model, set(answer.outputs))
        for name, tensor in case["outputs"].items():
            agree((model, name, "TensorFlow Serving"), tf.make_ndarray(answer.outputs[name]), tensor)
            agreed += 1
print(agreed)
