"""The model server that everybody writes first: Flask, one process per core, the model in a global variable. Speaks the
V2 JSON of the other servers, so that one request body fits all."""
import os
import pathlib

import numpy as np
import onnxruntime
from flask import Flask, jsonify, request

app = Flask(__name__)


def load(path):
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


MODELS = {folder.name: load(folder / "1" / "model.onnx")
          for folder in sorted(pathlib.Path(os.environ["MODEL_REPOSITORY"]).iterdir())}


@app.get("/v2/health/ready")
def ready():
    return ""


@app.post("/v2/models/<name>/infer")
def infer(name):
    tensor = request.get_json()["inputs"][0]
    x = np.array(tensor["data"], dtype=np.float32).reshape(tensor["shape"])
    y = MODELS[name].run(["y"], {"x": x})[0]
    return jsonify(model_name=name, outputs=[{"name": "y", "datatype": "FP32", "shape": list(y.shape),
                                              "data": y.ravel().tolist()}])
