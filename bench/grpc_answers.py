"""One request by gRPC, for its values. TensorFlow Serving's messages are written by hand: its Python package would bring TensorFlow."""
import struct

import grpc
import numpy as np
import tritonclient.grpc as triton


def ask(server, kind, model, row):
    return ask_v2(server, model, row) if kind == "grpc" else ask_tensorflow_serving(server, model, row)


def ask_v2(server, model, row):
    with triton.InferenceServerClient(f"127.0.0.1:{server.grpc_port}") as client:
        x = triton.InferInput("x", [1, len(row)], "FP32")
        x.set_data_from_numpy(np.array([row], "f"))
        return client.infer(model, [x], client_timeout=10).as_numpy("y").ravel().tolist()


def varint(value):
    out = b""
    while value > 127:
        out += bytes([value & 127 | 128])
        value >>= 7
    return out + bytes([value])


def field(number, data):
    """Of wire type 2."""
    return varint(number << 3 | 2) + varint(len(data)) + data


def fields(message):
    """(number, bytes) of those of wire type 2, and (number, value) of numbers."""
    at = 0

    def number():
        nonlocal at
        value, shift = 0, 0
        while True:
            value |= (message[at] & 127) << shift
            at += 1
            if not message[at - 1] & 128:
                return value
            shift += 7

    while at < len(message):
        tag = number()
        size = number()
        if tag & 7 == 2:
            yield tag >> 3, message[at:at + size]
            at += size
        else:
            yield tag >> 3, size


def ask_tensorflow_serving(server, model, row):
    """PredictRequest {1: ModelSpec {1: name}, 2: inputs {1: key, 2: TensorProto {1: dtype, 2: shape {2: dim {1}}, 4: content}}};
    PredictResponse {1: outputs}, whose floats stand in 4 or, packed, in 5."""
    shape = b"".join(field(2, b"\x08" + varint(size)) for size in (1, len(row)))
    tensor = b"\x08\x01" + field(2, shape) + field(4, np.array(row, "<f").tobytes())
    request = field(1, field(1, model.encode())) + field(2, field(1, b"x") + field(2, tensor))
    with grpc.insecure_channel(f"127.0.0.1:{server.grpc_port}") as channel:
        answer = channel.unary_unary("/tensorflow.serving.PredictionService/Predict")(request, timeout=10)
    outputs = dict(tuple(value for _, value in fields(entry)) for number, entry in fields(answer) if number == 1)
    data = next(data for number, data in fields(outputs[b"y"]) if number in (4, 5))
    return struct.unpack(f"<{len(data) // 4}f", data)
