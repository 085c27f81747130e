#!/usr/bin/env python3
"""The benchmark's models, in the layouts of Leadsman and of Triton, and request bodies for each.

    iris   logistic regression on the four iris measurements, as Gemm + Softmax: 4 → 3
    mlp    784 → 256 → 10 with ReLU and Softmax, random weights (fixed seed)
    wide   784 → 1024 → 1024 → 10, alike: dear enough that batches pay

All have one FP32 input "x" and one FP32 output "y".
"""
import argparse
import hashlib
import json
import pathlib

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper


TRITON_CONFIG = """name: "{name}"
backend: "ort"
max_batch_size: 64
input [ {{ name: "x" data_type: TYPE_FP32 dims: [ {width} ] }} ]
output [ {{ name: "y" data_type: TYPE_FP32 dims: [ {classes} ] }} ]
instance_group [ {{ count: {instances} kind: KIND_CPU }} ]
{more}"""


def triton_config(name, width, classes, instances=1, more=""):
    return TRITON_CONFIG.format(name=name, width=width, classes=classes, instances=instances, more=more)


def save(model_name, nodes, weights, width, classes, folder):
    graph = helper.make_graph(
        nodes, model_name, [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", width])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["N", classes])],
        [numpy_helper.from_array(array.astype(np.float32), name) for name, array in weights.items()])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model)
    data = model.SerializeToString()

    version = folder / "repository" / model_name / "1"
    version.mkdir(parents=True, exist_ok=True)
    (version / "model.onnx").write_bytes(data)
    (version / "manifest.json").write_text(json.dumps({
        "schema_version": 1, "name": model_name, "version": 1, "format": "onnx", "model_file": "model.onnx",
        "signature": {"inputs": [{"name": "x", "datatype": "FP32", "shape": [-1, width]}],
                      "outputs": [{"name": "y", "datatype": "FP32", "shape": [-1, classes]}]},
        "files": [{"path": "model.onnx", "size_bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}],
        "created_at": "2026-01-01T00:00:00Z"}, indent=1))

    triton = folder / "triton" / model_name
    (triton / "1").mkdir(parents=True, exist_ok=True)
    (triton / "1" / "model.onnx").write_bytes(data)
    (triton / "config.pbtxt").write_text(triton_config(model_name, width, classes))


def make(folder):
    """Writes everything below `folder`. Returns {model: one row of input values}."""
    from sklearn.datasets import load_iris
    from sklearn.linear_model import LogisticRegression

    x, y = load_iris(return_X_y=True)
    iris = LogisticRegression(max_iter=500).fit(x, y)
    save("iris", [helper.make_node("Gemm", ["x", "w", "b"], ["logits"], transB=1),
                  helper.make_node("Softmax", ["logits"], ["y"], axis=1)],
         {"w": iris.coef_, "b": iris.intercept_}, 4, 3, folder)

    random = np.random.RandomState(0)
    weights = {"w1": random.randn(784, 256) * 0.05, "b1": random.randn(256) * 0.05,
               "w2": random.randn(256, 10) * 0.05, "b2": random.randn(10) * 0.05}
    save("mlp", [helper.make_node("Gemm", ["x", "w1", "b1"], ["a"]), helper.make_node("Relu", ["a"], ["r"]),
                 helper.make_node("Gemm", ["r", "w2", "b2"], ["logits"]),
                 helper.make_node("Softmax", ["logits"], ["y"], axis=1)], weights, 784, 10, folder)
    rows = {"iris": [5.1, 3.5, 1.4, 0.2], "mlp": [round(float(value), 4) for value in random.rand(784)]}
    wide = {"w1": random.randn(784, 1024) * 0.03, "b1": random.randn(1024) * 0.05, "w2": random.randn(1024, 1024) * 0.03,
            "b2": random.randn(1024) * 0.05, "w3": random.randn(1024, 10) * 0.05, "b3": random.randn(10) * 0.05}
    save("wide", [helper.make_node("Gemm", ["x", "w1", "b1"], ["a"]), helper.make_node("Relu", ["a"], ["ra"]),
                  helper.make_node("Gemm", ["ra", "w2", "b2"], ["b"]), helper.make_node("Relu", ["b"], ["rb"]),
                  helper.make_node("Gemm", ["rb", "w3", "b3"], ["logits"]),
                  helper.make_node("Softmax", ["logits"], ["y"], axis=1)], wide, 784, 10, folder)
    rows["wide"] = rows["mlp"]
    for name, row in rows.items():
        write_bodies(folder, name, row)
    return rows


def write_bodies(folder, name, row):
    """<name>.json, <name>.binary (and the length of its head in <name>.binary.head), <name>.mlflow"""
    def compact(value):
        return json.dumps(value, separators=(",", ":"))

    tensor = {"name": "x", "shape": [1, len(row)], "datatype": "FP32"}
    (folder / f"{name}.json").write_text(compact({"inputs": [{**tensor, "data": row}]}))
    head = compact({"inputs": [{**tensor, "parameters": {"binary_data_size": 4 * len(row)}}],
                    "outputs": [{"name": "y", "parameters": {"binary_data": True}}]}).encode()
    (folder / f"{name}.binary").write_bytes(head + np.array(row, np.float32).tobytes())
    (folder / f"{name}.binary.head").write_text(str(len(head)))
    (folder / f"{name}.mlflow").write_text(compact({"inputs": [row]}))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=pathlib.Path)
    make(parser.parse_args().folder)


if __name__ == "__main__":
    main()
