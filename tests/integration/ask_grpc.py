"""Run in the models' environment: ask_grpc.py <host:port> <expected.json> <root certificate>. Asks every model by tritonclient.grpc and by
tensorflow-serving-api's stubs, unchanged, and compares; prints how many answers agreed."""
import json
import sys

import grpc
import numpy as np
import tensorflow as tf
import tritonclient.grpc as triton
from tensorflow_serving.apis import predict_pb2, prediction_service_pb2_grpc

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


agreed = 0
client = triton.InferenceServerClient(address, ssl=True, root_certificates=certificate)
credentials = grpc.ssl_channel_credentials(open(certificate, "rb").read())
stub = prediction_service_pb2_grpc.PredictionServiceStub(grpc.secure_channel(address, credentials))
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
