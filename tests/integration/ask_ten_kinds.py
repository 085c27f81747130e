"""Asks servers of the models of make_ten_kinds.py through every protocol, with the protocol's own client where it has one.

    ask_ten_kinds.py FOLDER SERVERS     SERVERS: JSON {kind: {"url": …, "grpc": …}}

Prints JSON: {kind: {protocol: the answer of each row, or {"error": …}}}.
"""
import json
import pathlib
import sys

import grpc
import numpy as np
import requests
import tritonclient.grpc as v2_grpc
import tritonclient.http as v2_http
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


def first(rows, output):
    """Rows of a model with several outputs are objects."""
    return [row[output] if isinstance(row, dict) else row for row in rows]


def over_triton_http(kind, at, metadata, binary):
    client = v2_http.InferenceServerClient(at["url"].removeprefix("http://"))
    given = metadata["inputs"][0]
    tensor = v2_http.InferInput(given["name"], ROWS.shape, given["datatype"])
    tensor.set_data_from_numpy(ROWS.astype(TYPES[given["datatype"]]), binary_data=binary)
    output = metadata["outputs"][0]["name"]
    answer = client.infer(kind, [tensor], outputs=[v2_http.InferRequestedOutput(output, binary_data=binary)])
    return answer.as_numpy(output).tolist()


def over_triton_grpc(kind, at, metadata):
    client = v2_grpc.InferenceServerClient(at["grpc"])
    given = metadata["inputs"][0]
    tensor = v2_grpc.InferInput(given["name"], ROWS.shape, given["datatype"])
    tensor.set_data_from_numpy(ROWS.astype(TYPES[given["datatype"]]))
    return client.infer(kind, [tensor]).as_numpy(metadata["outputs"][0]["name"]).tolist()


def over_tensorflow_grpc(kind, at, metadata):
    given = metadata["inputs"][0]
    request = predict_pb2.PredictRequest()
    request.model_spec.name = kind
    request.inputs[given["name"]].CopyFrom(make_tensor_proto(ROWS.astype(TYPES[given["datatype"]])))
    with grpc.insecure_channel(at["grpc"]) as channel:
        answer = prediction_service_pb2_grpc.PredictionServiceStub(channel).Predict(request, timeout=60)
    return make_ndarray(answer.outputs[metadata["outputs"][0]["name"]]).tolist()


def protocols(kind, at):
    """{name: function that gives the rows of the first output}"""
    asked = requests.get(f"{at['url']}/v2/models/{kind}", timeout=60)
    if asked.status_code != 200:
        raise RuntimeError(f"the model is not served: {asked.text[:500]}")
    metadata = asked.json()
    output = metadata["outputs"][0]["name"]
    predict = f"{at['url']}/v1/models/{kind}:predict"

    def column():
        outputs = post(predict, {"inputs": {metadata["inputs"][0]["name"]: ROWS.tolist()}})["outputs"]
        return outputs[output] if isinstance(outputs, dict) else outputs

    return {
        "tfserving rows": lambda: first(post(predict, {"instances": ROWS.tolist()})["predictions"], output),
        "tfserving columns": column,
        "v2 json": lambda: over_triton_http(kind, at, metadata, binary=False),
        "v2 binary": lambda: over_triton_http(kind, at, metadata, binary=True),
        "v2 grpc": lambda: over_triton_grpc(kind, at, metadata),
        "tfserving grpc": lambda: over_tensorflow_grpc(kind, at, metadata),
        "plain": lambda: first(post(f"{at['url']}/predict", {"input_data": ROWS.tolist()})["prediction"], output),
        "mlflow": lambda: first(post(f"{at['url']}/invocations", {"inputs": ROWS.tolist()})["predictions"], output),
    }


def main():
    said = {}
    for kind, at in json.loads(sys.argv[2]).items():
        said[kind] = {}
        try:
            asks = protocols(kind, at)
        except RuntimeError as error:
            said[kind]["metadata"] = {"error": str(error)}
            continue
        for name, ask in asks.items():
            try:
                said[kind][name] = ask()
            except Exception as error:  # whatever a client raises is what the test shows
                said[kind][name] = {"error": f"{type(error).__name__}: {error}"[:500]}
    print("ANSWERS " + json.dumps(said))


main()
