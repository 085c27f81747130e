"""Every type, there and back; an input that may be left out."""
import numpy as np

NAMES = ["BOOL", "UINT8", "UINT16", "UINT32", "UINT64", "INT8", "INT16", "INT32", "INT64", "FP16", "FP32", "FP64", "STRING",
         "BYTES"]
inputs = [(name.lower(), name, [-1, 2]) for name in NAMES]
inputs.append({"name": "more", "datatype": "FP64", "shape": [-1], "optional": True})
outputs = [(name.lower(), name, [-1, 2]) for name in NAMES] + [("more", "FP64", [-1])]


def predict(state, inputs):
    kinds = {"STRING": str, "BYTES": bytes}
    for name in NAMES:
        array = inputs[name.lower()]
        if name in kinds:
            assert all(type(v) is kinds[name] for v in array.flat), name
        else:
            wanted = {"BOOL": "bool", "FP16": "float16", "FP32": "float32", "FP64": "float64"}.get(name, name.lower())
            assert array.dtype == wanted, name
    return {**inputs, "more": inputs.get("more", np.zeros(0))}
