#!/usr/bin/env python3
"""The benchmark's two models, in the layouts of Leadsman and of Triton, and a request body for each.

    iris   logistic regression on the four iris measurements, as Gemm + Softmax: 4 → 3
    mlp    784 → 256 → 10 with ReLU and Softmax, random weights (fixed seed)

Both have one FP32 input "x" and one FP32 output "y".
"""
import argparse
import hashlib
import json
import pathlib

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper


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
    (triton / "config.pbtxt").write_text(
        f'name: "{model_name}"\nbackend: "ort"\nmax_batch_size: 64\n'
        f'input [ {{ name: "x" data_type: TYPE_FP32 dims: [ {width} ] }} ]\n'
        f'output [ {{ name: "y" data_type: TYPE_FP32 dims: [ {classes} ] }} ]\n'
        "instance_group [ { count: 1 kind: KIND_CPU } ]\n")


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
    for name, row in rows.items():
        (folder / f"{name}-v2.json").write_text(json.dumps(
            {"inputs": [{"name": "x", "shape": [1, len(row)], "datatype": "FP32", "data": row}]}, separators=(",", ":")))
        (folder / f"{name}-instances.json").write_text(json.dumps({"instances": [row]}, separators=(",", ":")))
    return rows


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=pathlib.Path)
    make(parser.parse_args().folder)


if __name__ == "__main__":
    main()
