"""Asks servers of the models of make_ten_kinds.py through every protocol, with the protocol's own client where it has one.

    ask_ten_kinds.py FOLDER SERVERS     SERVERS: JSON {kind: {"url": …, "grpc": …}}

Prints JSON: {kind: {protocol: {output: the answer of each row}, or an error's text}}.
"""
import json
import pathlib
import sys

import grpc
import numpy as np
import requests
import tritonclient.grpc as v2_grpc
import tritonclient.http as v2_http
from mlflow.pyfunc.scoring_server.client import ScoringServerClient
from tensorflow import make_ndarray, make_tensor_proto
from tensorflow_serving.apis import predict_pb2, prediction_service_pb2_grpc

FOLDER = pathlib.Path(sys.argv[1])
ROWS = np.array(json.loads((FOLDER / "rows.json").read_text()))
TYPES = {"FP32": np.float32, "FP64": np.float64}


def post(url, body):
    answer = requests.post(url, json=body, timeout=60)
    if answer.status_code != 200:
        raise RuntimeError(f"{answer.status_code}: {answer.text[:300]}")
    return answer.json()


def as_lists(array):
    """Texts come as bytes in binary protocols."""
    return np.vectorize(lambda v: v.decode() if isinstance(v, bytes) else v, otypes=[object])(array).tolist()


def by_output(rows, outputs):
    """Rows of a model with several outputs are objects."""
    return {outputs[0]: rows} if len(outputs) == 1 else {output: [row[output] for row in rows] for output in outputs}


def over_triton(client, tensor, wanted, kind, outputs, **how):
    """how: binary_data, of HTTP."""
    answer = client.infer(kind, [tensor], outputs=[wanted(output, **how) for output in outputs])
    return {output: as_lists(answer.as_numpy(output)) for output in outputs}


def over_triton_http(kind, at, given, outputs, binary):
    tensor = v2_http.InferInput(given["name"], ROWS.shape, given["datatype"])
    tensor.set_data_from_numpy(ROWS.astype(TYPES[given["datatype"]]), binary_data=binary)
    client = v2_http.InferenceServerClient(at["url"].removeprefix("http://"), network_timeout=60)
    return over_triton(client, tensor, v2_http.InferRequestedOutput, kind, outputs, binary_data=binary)


def over_triton_grpc(kind, at, given, outputs):
    tensor = v2_grpc.InferInput(given["name"], ROWS.shape, given["datatype"])
    tensor.set_data_from_numpy(ROWS.astype(TYPES[given["datatype"]]))
    return over_triton(v2_grpc.InferenceServerClient(at["grpc"]), tensor, v2_grpc.InferRequestedOutput, kind, outputs)


def over_tensorflow_grpc(kind, at, given):
    request = predict_pb2.PredictRequest()
    request.model_spec.name = kind
    request.inputs[given["name"]].CopyFrom(make_tensor_proto(ROWS.astype(TYPES[given["datatype"]])))
    with grpc.insecure_channel(at["grpc"]) as channel:
        answer = prediction_service_pb2_grpc.PredictionServiceStub(channel).Predict(request, timeout=60)
    return {output: as_lists(make_ndarray(tensor)) for output, tensor in answer.outputs.items()}


def over_mlflow(at, outputs):
    """By MLflow's own client, of servers with mlflow.output: "*"."""
    client = ScoringServerClient(*at["url"].removeprefix("http://").split(":"))
    return by_output(client.invoke(ROWS)["predictions"], outputs)


def protocols(kind, at):
    """{name: function that gives the rows of each output}"""
    asked = requests.get(f"{at['url']}/v2/models/{kind}", timeout=60)
    if asked.status_code != 200:
        raise RuntimeError(f"the model is not served: {asked.text[:500]}")
    given, outputs = asked.json()["inputs"][0], [output["name"] for output in asked.json()["outputs"]]
    predict = f"{at['url']}/v1/models/{kind}:predict"

    def columns():
        answer = post(predict, {"inputs": {given["name"]: ROWS.tolist()}})["outputs"]
        return {outputs[0]: answer} if len(outputs) == 1 else answer

    return {
        "tfserving rows": lambda: by_output(post(predict, {"instances": ROWS.tolist()})["predictions"], outputs),
        "tfserving columns": columns,
        "v2 json": lambda: over_triton_http(kind, at, given, outputs, binary=False),
        "v2 binary": lambda: over_triton_http(kind, at, given, outputs, binary=True),
        "v2 grpc": lambda: over_triton_grpc(kind, at, given, outputs),
        "tfserving grpc": lambda: over_tensorflow_grpc(kind, at, given),
        "plain": lambda: {outputs[0]: post(f"{at['url']}/predict", {"input_data": ROWS.tolist()})["prediction"]},
        "mlflow": lambda: over_mlflow(at, outputs),
    }


def main():
    said = {}
    for kind, at in json.loads(sys.argv[2]).items():
        said[kind] = {}
        try:
            asks = protocols(kind, at)
        except RuntimeError as error:
            said[kind]["metadata"] = str(error)
            continue
        for name, ask in asks.items():
            try:
                said[kind][name] = ask()
            except Exception as error:  # whatever a client raises is what the test shows
                said[kind][name] = f"{type(error).__name__}: {error}"[:500]
    print("ANSWERS " + json.dumps(said))


main()
