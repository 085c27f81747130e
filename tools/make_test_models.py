#!/usr/bin/env python3
"""Makes the small models of src/backend/testdata/, which the tests and benchmarks load.

The files are committed, so that tests need no Python. To make them again:
    python3 -m venv venv && venv/bin/pip install -r tools/requirements-models.txt
    venv/bin/python tools/make_test_models.py [folder]
"""
import pathlib
import sys

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from skl2onnx import convert_sklearn
from skl2onnx.common.data_types import FloatTensorType
from sklearn.datasets import load_iris
from sklearn.linear_model import LogisticRegression

OPSETS = [helper.make_opsetid("", 17), helper.make_opsetid("ai.onnx.ml", 3)]
default = pathlib.Path(__file__).parent.parent / "src/backend/testdata"
folder = pathlib.Path(sys.argv[1]) if len(sys.argv) > 1 else default
folder.mkdir(parents=True, exist_ok=True)


def save(name, model):
    model.producer_name, model.producer_version, model.doc_string = "", "", ""
    model.graph.doc_string = ""
    # The converter's order of these changes from run to run.
    model.opset_import.sort(key=lambda opset: opset.domain)
    for node in model.graph.node:
        node.attribute.sort(key=lambda attribute: attribute.name)
    onnx.checker.check_model(model)
    (folder / name).write_bytes(model.SerializeToString(deterministic=True))


def graph(name, nodes, inputs, outputs, initializers=()):
    made = helper.make_graph(nodes, "g", inputs, outputs, list(initializers))
    model = helper.make_model(made, opset_imports=OPSETS, ir_version=8)
    save(name, model)


def value(name, dtype, dims):
    return helper.make_tensor_value_info(name, dtype, dims)


def iris_models():
    x, y = load_iris(return_X_y=True)
    x = x.astype(np.float32)
    numbers = LogisticRegression(max_iter=1000).fit(x, y)
    words = LogisticRegression(max_iter=1000).fit(x, np.array(["setosa", "versicolor", "virginica"])[y])
    for name, model, zipmap in (
        ("iris.onnx", numbers, False),
        ("iris_zipmap.onnx", numbers, True),
        ("iris_words.onnx", words, False),
        ("iris_words_zipmap.onnx", words, True),
    ):
        converted = convert_sklearn(model, initial_types=[("x", FloatTensorType([None, 4]))], target_opset=17,
                                    options={id(model): {"zipmap": zipmap}})
        converted.graph.name = "iris"
        save(name, converted)
    whole = (folder / "iris.onnx").read_bytes()
    (folder / "truncated.onnx").write_bytes(whole[: len(whole) // 2])
    # What the tests expect, printed to be pasted.
    rows = x[[0, 50, 100]]
    print("iris rows", rows.tolist(), "classes", numbers.predict(rows).tolist(), numbers.predict_proba(rows).tolist())


def typed_models():
    types = {
        "bool": TensorProto.BOOL, "uint8": TensorProto.UINT8, "int8": TensorProto.INT8, "uint16": TensorProto.UINT16,
        "int16": TensorProto.INT16, "uint32": TensorProto.UINT32, "int32": TensorProto.INT32,
        "uint64": TensorProto.UINT64, "int64": TensorProto.INT64, "fp16": TensorProto.FLOAT16,
        "fp32": TensorProto.FLOAT, "fp64": TensorProto.DOUBLE, "string": TensorProto.STRING,
        "bf16": TensorProto.BFLOAT16,
    }
    # One model that hands every type through.
    graph("identity.onnx",
          [helper.make_node("Identity", [f"in_{t}"], [f"out_{t}"]) for t in types],
          [value(f"in_{t}", p, ["n", 2]) for t, p in types.items()],
          [value(f"out_{t}", p, ["n", 2]) for t, p in types.items()])


def odd_models():
    # The shape of the output follows from the values.
    graph("nonzero.onnx", [helper.make_node("NonZero", ["x"], ["y"])],
          [value("x", TensorProto.FLOAT, ["n"])], [value("y", TensorProto.INT64, [1, None])])
    # Fails for an index out of range.
    table = numpy_helper.from_array(np.arange(10, dtype=np.float32), "table")
    graph("gather.onnx", [helper.make_node("Gather", ["table", "index"], ["y"])],
          [value("index", TensorProto.INT64, ["n"])], [value("y", TensorProto.FLOAT, ["n"])], [table])
    # No tensor form: a sequence of tensors.
    graph("sequence.onnx", [helper.make_node("SplitToSequence", ["x"], ["y"])],
          [value("x", TensorProto.FLOAT, ["n"])],
          [helper.make_tensor_sequence_value_info("y", TensorProto.FLOAT, None)])
    # A valid file with an operator that nobody has.
    made = helper.make_graph([helper.make_node("NoSuchOperator", ["x"], ["y"], domain="com.example")], "g",
                             [value("x", TensorProto.FLOAT, ["n"])], [value("y", TensorProto.FLOAT, ["n"])])
    model = helper.make_model(made, opset_imports=[*OPSETS, helper.make_opsetid("com.example", 1)], ir_version=8)
    (folder / "unknown_operator.onnx").write_bytes(model.SerializeToString(deterministic=True))


def mlp():
    """784-256-10 as in the benchmark, in 5 KB: the weights repeat a row of 1,021 numbers (a prime, so that no two columns
    are alike), and the runtime folds that into plain constants when it loads the model."""
    rng = np.random.default_rng(1)
    inits, nodes, last = [numpy_helper.from_array(rng.normal(size=1021).astype(np.float32), "numbers")], [], "x"

    def constant(name, array):
        inits.append(numpy_helper.from_array(np.asarray(array), name))
        return name

    zero, one = constant("zero", np.int64(0)), constant("one", np.int64(1))
    prime = constant("prime", np.int64(1021))
    for i, (fan_in, fan_out) in enumerate(((784, 256), (256, 10))):
        nodes += [
            helper.make_node("Range", [zero, constant(f"size{i}", np.int64(fan_in * fan_out)), one], [f"range{i}"]),
            helper.make_node("Mod", [f"range{i}", prime], [f"index{i}"]),
            helper.make_node("Gather", ["numbers", f"index{i}"], [f"flat{i}"]),
            helper.make_node("Reshape", [f"flat{i}", constant(f"shape{i}", np.array([fan_in, fan_out]))], [f"raw{i}"]),
            helper.make_node("Mul", [f"raw{i}", constant(f"scale{i}", np.float32(fan_in ** -0.5))], [f"w{i}"]),
            helper.make_node("Gemm", [last, f"w{i}", constant(f"b{i}", np.zeros(fan_out, np.float32))], [f"h{i}"]),
        ]
        last = f"h{i}"
        if i == 0:
            nodes.append(helper.make_node("Relu", [last], ["r0"]))
            last = "r0"
    nodes.append(helper.make_node("Softmax", [last], ["y"], axis=1))
    graph("mlp.onnx", nodes, [value("x", TensorProto.FLOAT, ["n", 784])], [value("y", TensorProto.FLOAT, ["n", 10])],
          inits)


iris_models()
typed_models()
odd_models()
mlp()
