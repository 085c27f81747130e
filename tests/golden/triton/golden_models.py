"""The models of the golden requests: identities, x… → y…, in the layouts of Triton and of Leadsman.

    types     one input of every data type that JSON can carry, all of shape [-1]
    halves    FP16 and BF16, which only binary data can carry
    text      BYTES [-1]
    classes   FP32 [batch, 3], versions 1 and 2, with labels
    pair      FP32 [batch, 2] and INT64 [batch, 1]
"""
import hashlib
import json

import onnx
from onnx import TensorProto, helper

ONNX_TYPES = {
    "BOOL": TensorProto.BOOL, "UINT8": TensorProto.UINT8, "UINT16": TensorProto.UINT16, "UINT32": TensorProto.UINT32,
    "UINT64": TensorProto.UINT64, "INT8": TensorProto.INT8, "INT16": TensorProto.INT16, "INT32": TensorProto.INT32,
    "INT64": TensorProto.INT64, "FP16": TensorProto.FLOAT16, "FP32": TensorProto.FLOAT, "FP64": TensorProto.DOUBLE,
    "BF16": TensorProto.BFLOAT16, "BYTES": TensorProto.STRING}
JSON_TYPES = [name for name in ONNX_TYPES if name not in ("FP16", "BF16")]
LABELS = ["setosa", "versicolor", "virginica"]

#: name → (versions, max_batch_size, [(input, data type, dims without the batch)])
MODELS = {
    "types": ([1], 0, [(f"x_{name.lower()}", name, [-1]) for name in JSON_TYPES]),
    "halves": ([1], 0, [("x_fp16", "FP16", [-1]), ("x_bf16", "BF16", [-1])]),
    "text": ([1], 0, [("x", "BYTES", [-1])]),
    "classes": ([1, 2], 8, [("x", "FP32", [3])]),
    "pair": ([1], 8, [("x_a", "FP32", [2]), ("x_b", "INT64", [1])]),
}


def output_name(name):
    return "y" + name[1:]


def _onnx(name, batch, inputs):
    def info(tensor, datatype, dims):
        shape = (["N"] if batch else []) + [f"{tensor}_{i}" if dim < 0 else dim for i, dim in enumerate(dims)]
        return helper.make_tensor_value_info(tensor, ONNX_TYPES[datatype], shape)

    graph = helper.make_graph(
        [helper.make_node("Identity", [tensor], [output_name(tensor)]) for tensor, _, _ in inputs], name,
        [info(*one) for one in inputs], [info(output_name(tensor), datatype, dims) for tensor, datatype, dims in inputs])
    # The input's own symbol names the output's dimension, too: nothing is checked between them.
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8).SerializeToString()


def _pbtxt(name, batch, inputs, versions):
    def tensors(field, names):
        entries = []
        for (_, datatype, dims), tensor in zip(inputs, names, strict=True):
            kind = "STRING" if datatype == "BYTES" else datatype
            label = ' label_filename: "labels.txt"' if name == "classes" and field == "output" else ""
            entries.append(f'{field} [ {{ name: "{tensor}" data_type: TYPE_{kind} dims: {dims}{label} }} ]\n')
        return "".join(entries)

    return (f'name: "{name}"\nbackend: "identity"\nmax_batch_size: {batch}\n'
            + tensors("input", [one[0] for one in inputs]) + tensors("output", [output_name(one[0]) for one in inputs])
            + f"version_policy: {{ specific: {{ versions: {versions} }} }}\n"
            + "instance_group [ { count: 1 kind: KIND_CPU } ]\n")


def write(folder):
    """folder/triton and folder/leadsman."""
    for name, (versions, batch, inputs) in MODELS.items():
        data = _onnx(name, batch, inputs)
        onnx.checker.check_model(onnx.load_from_string(data))
        for version in versions:
            (folder / "triton" / name / str(version)).mkdir(parents=True)
            ours = folder / "leadsman" / name / str(version)
            ours.mkdir(parents=True)
            (ours / "model.onnx").write_bytes(data)
            (ours / "manifest.json").write_text(json.dumps({
                "schema_version": 1, "name": name, "version": version, "format": "onnx", "model_file": "model.onnx",
                "files": [{"path": "model.onnx", "size_bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}],
                "created_at": "2026-01-01T00:00:00Z"}))
        config = _pbtxt(name, batch, inputs, versions)
        # Triton answers by the backend of this folder, Leadsman runs the model.
        for layout, backend in (("triton", "identity"), ("leadsman", "onnxruntime")):
            (folder / layout / name / "config.pbtxt").write_text(config.replace('"identity"', f'"{backend}"'))
            (folder / layout / name / "labels.txt").write_text("\n".join(LABELS) + "\n")
