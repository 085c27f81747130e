"""Model repositories for the tests: tiny ONNX models made here, laid out as a training job would."""
import hashlib
import json
import os
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper


def _save(graph):
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model)
    return model.SerializeToString()


def half_plus_two():
    """y = x / 2 + 2, the model of TensorFlow Serving's documentation: one number in, one number out."""
    graph = helper.make_graph(
        [helper.make_node("Mul", ["x", "half"], ["h"]), helper.make_node("Add", ["h", "two"], ["y"])],
        "half_plus_two",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N"])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["N"])],
        [numpy_helper.from_array(np.array(0.5, "f"), "half"), numpy_helper.from_array(np.array(2.0, "f"), "two")])
    return _save(graph)


def classifier(wrong_class=None):
    """label = argmax of ten inputs. `wrong_class` makes a version that takes every row of that class for the next."""
    weights = np.eye(10, dtype="f")
    if wrong_class is not None:
        weights[wrong_class] = np.roll(weights[wrong_class], 1)
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["x", "w"], ["logits"]),
         helper.make_node("Softmax", ["logits"], ["probabilities"], axis=1),
         helper.make_node("ArgMax", ["logits"], ["label"], axis=1, keepdims=0)],
        "classifier",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", 10])],
        [helper.make_tensor_value_info("label", TensorProto.INT64, ["N"]),
         helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, ["N", 10])],
        [numpy_helper.from_array(weights, "w")])
    return _save(graph)


def endless():
    """Computes for as many rounds as the input says; x = 0 is quick."""
    f, i64 = TensorProto.FLOAT, TensorProto.INT64
    body = helper.make_graph(
        [helper.make_node("Identity", ["go_on"], ["go_on_too"]),
         helper.make_node("MatMul", ["state", "state"], ["product"]),
         helper.make_node("Softmax", ["product"], ["next_state"], axis=1)],
        "round",
        [helper.make_tensor_value_info("round", i64, []), helper.make_tensor_value_info("go_on", TensorProto.BOOL, []),
         helper.make_tensor_value_info("state", f, [128, 128])],
        [helper.make_tensor_value_info("go_on_too", TensorProto.BOOL, []),
         helper.make_tensor_value_info("next_state", f, [128, 128])])
    graph = helper.make_graph(
        [helper.make_node("ReduceMax", ["x"], ["longest"], keepdims=0),
         helper.make_node("Cast", ["longest"], ["rounds"], to=i64),
         helper.make_node("Loop", ["rounds", "", "start"], ["end"], body=body),
         helper.make_node("ReduceMin", ["end"], ["least"], keepdims=0),
         helper.make_node("Add", ["x", "least"], ["y"])],
        "endless",
        [helper.make_tensor_value_info("x", f, ["N"])], [helper.make_tensor_value_info("y", f, ["N"])],
        [numpy_helper.from_array(np.ones((128, 128), "f"), "start")])
    return _save(graph)


def pair():
    """Two inputs, two outputs: sum and difference."""
    f = TensorProto.FLOAT
    graph = helper.make_graph(
        [helper.make_node("Add", ["a", "b"], ["sum"]), helper.make_node("Sub", ["a", "b"], ["difference"])], "pair",
        [helper.make_tensor_value_info("a", f, ["N", 2]), helper.make_tensor_value_info("b", f, ["N", 2])],
        [helper.make_tensor_value_info("sum", f, ["N", 2]), helper.make_tensor_value_info("difference", f, ["N", 2])])
    return _save(graph)


def upper():
    """Strings in, the same strings out."""
    graph = helper.make_graph(
        [helper.make_node("Identity", ["text"], ["same"])], "upper",
        [helper.make_tensor_value_info("text", TensorProto.STRING, ["N"])],
        [helper.make_tensor_value_info("same", TensorProto.STRING, ["N"])])
    return _save(graph)


def release(repository, name, version, payload, *, manifest=True, said=None):
    """Puts a version into the repository the way a careful job does: files first, manifest.json last and by rename.

    `said` replaces what the manifest says; without `manifest` the copy looks unfinished."""
    folder = Path(repository) / name / str(version)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "model.onnx").write_bytes(payload)
    document = {
        "schema_version": 1, "name": name, "version": version, "format": "onnx", "model_file": "model.onnx",
        "files": [{"path": "model.onnx", "size_bytes": len(payload), "sha256": hashlib.sha256(payload).hexdigest()}],
        "created_at": "2026-01-01T00:00:00Z"}
    document.update(said or {})
    if manifest:
        partial = folder / ".manifest.json.partial"
        partial.write_text(json.dumps(document))
        os.replace(partial, folder / "manifest.json")
    return folder


def write_manifest(folder, model_format, model_file):
    """Of a folder whose other files are there: written last, as a careful job does."""
    files = [{"path": str(path.relative_to(folder)), "size_bytes": path.stat().st_size,
              "sha256": hashlib.sha256(path.read_bytes()).hexdigest()}
             for path in sorted(folder.rglob("*")) if path.is_file()]
    (folder / "manifest.json").write_text(json.dumps({
        "schema_version": 1, "name": folder.parent.name, "version": int(folder.name), "format": model_format,
        "model_file": model_file, "files": files, "created_at": "2026-01-01T00:00:00Z"}))


def release_script(repository, name, source, version=1, files=()):
    folder = repository / name / str(version)
    folder.mkdir(parents=True)
    (folder / "model.py").write_text(source)
    for file, text in files:
        (folder / file).write_text(text)
    write_manifest(folder, "python", "model.py")
    return str(folder.parent)
