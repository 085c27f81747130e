"""The requests that are sent to a real Triton (capture.py) and to Leadsman (test_golden_triton.py)."""
import gzip
import json
import struct
import zlib

LENGTH = "Inference-Header-Content-Length"


def tensor(name, datatype, shape, data=None, **parameters):
    entry = {"name": name, "shape": shape, "datatype": datatype}
    if data is not None:
        entry["data"] = data
    if parameters:
        entry["parameters"] = parameters
    return entry


def infer(*inputs, **fields):
    return json.dumps({"inputs": list(inputs), **fields}).encode()


def with_binary(head, raw):
    return head + raw, {LENGTH: str(len(head))}


X = tensor("x", "FP32", [1, 3], [5.5, 3.25, -1])
VALUES = {"BOOL": [True, False], "UINT8": [0, 255], "UINT16": [0, 65535], "UINT32": [0, 4294967295],
          "UINT64": [0, 18446744073709551615], "INT8": [-128, 127], "INT16": [-32768, 32767],
          "INT32": [-2147483648, 2147483647], "INT64": [-9223372036854775808, 9223372036854775807],
          "FP32": [0.5, 16777216.0], "FP64": [0.1, 1e300], "BYTES": ["a", "Zürich \"quoted\" \\ /"]}
ALL = [tensor(f"x_{name.lower()}", name, [2], data) for name, data in VALUES.items()]


def one_type(name, data, shape=None):
    """A request to `types` with one input's values replaced."""
    return infer(*[tensor(f"x_{name.lower()}", name, shape or [2], data) if one["datatype"] == name else one for one in ALL])


def _infer_cases():
    classes = "/v2/models/classes/infer"
    types = "/v2/models/types/infer"
    text = "/v2/models/text/infer"
    pair = "/v2/models/pair/infer"
    deep = b'{"inputs":' + b"[" * 200 + b"]" * 200 + b"}"
    cases = {
        "infer": (classes, infer(X)),
        "infer: id": (classes, infer(X, id="42")),
        "infer: empty id": (classes, infer(X, id="")),
        "infer: id is a number": (classes, infer(X, id=42)),
        "infer: a version": ("/v2/models/classes/versions/1/infer", infer(X)),
        "infer: nested data": (classes, infer(tensor("x", "FP32", [2, 3], [[1, 2, 3], [4, 5, 6]]))),
        "infer: requested output": (classes, infer(X, outputs=[{"name": "y"}])),
        "infer: no output requested": (classes, infer(X, outputs=[])),
        "infer: two of two outputs, the other order": (
            pair, infer(tensor("x_a", "FP32", [1, 2], [1, 2]), tensor("x_b", "INT64", [1, 1], [3]),
                        outputs=[{"name": "y_b"}, {"name": "y_a"}])),
        "infer: one of two outputs": (
            pair, infer(tensor("x_b", "INT64", [1, 1], [3]), tensor("x_a", "FP32", [1, 2], [1, 2]), outputs=[{"name": "y_b"}])),
        "infer: every type": (types, infer(*ALL)),
        "infer: no elements": (types, infer(*[tensor(one["name"], one["datatype"], [0], []) for one in ALL])),
        "infer: floats": (types, one_type("FP32", [0.1, -1e-30])),
        "infer: integers as floats": (types, one_type("FP32", [1, -2])),
        "infer: text with NUL": (text, infer(tensor("x", "BYTES", [2], ["a\0b", ""]))),
        "infer: NaN and infinity": (
            classes, b'{"inputs":[{"name":"x","shape":[1,3],"datatype":"FP32","data":[NaN,Infinity,-Infinity]}]}'),
        "infer: unknown fields": (classes, infer(dict(X, more=[1]), extra={"a": 1})),
        # Parameters
        "parameters: unknown ones": (classes, infer(X, parameters={"mine": "text", "n": 5, "b": True, "f": 0.5})),
        "parameters: priority and timeout": (classes, infer(X, parameters={"priority": 1, "timeout": 60_000_000})),
        "parameters: timeout is text": (classes, infer(X, parameters={"timeout": "soon"})),
        "parameters: timeout is negative": (classes, infer(X, parameters={"timeout": -1})),
        "parameters: priority is text": (classes, infer(X, parameters={"priority": "high"})),
        "parameters: priority is negative": (classes, infer(X, parameters={"priority": -1})),
        "parameters: an object": (classes, infer(X, parameters={"mine": {"a": 1}})),
        "parameters: null": (classes, infer(X, parameters={"mine": None})),
        "parameters: a list": (classes, infer(X, parameters=[1])),
        "parameters: a reserved prefix": (classes, infer(X, parameters={"triton_enable_empty_final_response": True})),
        "parameters: an unknown reserved one": (classes, infer(X, parameters={"triton_mine": 1})),
        "parameters: sequence": (classes, infer(X, parameters={"sequence_id": 7, "sequence_start": True})),
        "parameters: no sequence": (classes, infer(X, parameters={"sequence_id": 0, "sequence_start": False, "sequence_end": False})),
        "parameters: sequence by text": (classes, infer(X, parameters={"sequence_id": "s", "sequence_start": True})),
        "parameters: binary_data_output is a number": (classes, infer(X, parameters={"binary_data_output": 1})),
        # Classification
        "classification: 1": (classes, infer(X, outputs=[{"name": "y", "parameters": {"classification": 1}}])),
        "classification: all of a batch": (
            classes, infer(tensor("x", "FP32", [2, 3], [0.25, 0.75, 0.5, -1, -3, -2]),
                           outputs=[{"name": "y", "parameters": {"classification": 3}}])),
        "classification: more than there are": (classes, infer(X, outputs=[{"name": "y", "parameters": {"classification": 9}}])),
        "classification: 0": (classes, infer(X, outputs=[{"name": "y", "parameters": {"classification": 0}}])),
        "classification: negative": (classes, infer(X, outputs=[{"name": "y", "parameters": {"classification": -1}}])),
        "classification: text": (classes, infer(X, outputs=[{"name": "y", "parameters": {"classification": "1"}}])),
        "classification: ties": (classes, infer(tensor("x", "FP32", [1, 3], [2, 2, 1]),
                                                outputs=[{"name": "y", "parameters": {"classification": 2}}])),
        "classification: no batch, no labels": (
            types, infer(*ALL, outputs=[{"name": "y_int8", "parameters": {"classification": 2}}])),
        "classification: FP64": (types, infer(*ALL, outputs=[{"name": "y_fp64", "parameters": {"classification": 2}}])),
        "classification: BOOL": (types, infer(*ALL, outputs=[{"name": "y_bool", "parameters": {"classification": 2}}])),
        "classification: BYTES": (types, infer(*ALL, outputs=[{"name": "y_bytes", "parameters": {"classification": 2}}])),
        "classification: binary": (classes, infer(X, outputs=[
            {"name": "y", "parameters": {"classification": 2, "binary_data": True}}])),
        # Wrong
        "wrong: unknown model": ("/v2/models/nowhere/infer", infer(X)),
        "wrong: unknown version": ("/v2/models/classes/versions/9/infer", infer(X)),
        "wrong: version is no number": ("/v2/models/classes/versions/x/infer", infer(X)),
        "wrong: version 0": ("/v2/models/classes/versions/0/infer", infer(X)),
        "wrong: no body": (classes, b""),
        "wrong: empty object": (classes, b"{}"),
        "wrong: a list": (classes, b"[]"),
        "wrong: malformed": (classes, b'{"inputs":[{"name":"x"'),
        "wrong: something follows": (classes, infer(X) + b"}"),
        "wrong: 200 lists deep": (classes, deep),
        "wrong: no inputs": (classes, infer()),
        "wrong: inputs is an object": (classes, b'{"inputs":{}}'),
        "wrong: an input is a number": (classes, b'{"inputs":[5]}'),
        "wrong: no name": (classes, b'{"inputs":[{"shape":[1,3],"datatype":"FP32","data":[1,2,3]}]}'),
        "wrong: no shape": (classes, b'{"inputs":[{"name":"x","datatype":"FP32","data":[1,2,3]}]}'),
        "wrong: no datatype": (classes, b'{"inputs":[{"name":"x","shape":[1,3],"data":[1,2,3]}]}'),
        "wrong: no data": (classes, b'{"inputs":[{"name":"x","shape":[1,3],"datatype":"FP32"}]}'),
        "wrong: unknown input": (classes, infer(tensor("z", "FP32", [1, 3], [1, 2, 3]))),
        "wrong: a second unknown input": (classes, infer(X, tensor("z", "FP32", [1, 3], [1, 2, 3]))),
        "wrong: input twice": (classes, infer(X, X)),
        "wrong: one of two inputs": (pair, infer(tensor("x_a", "FP32", [1, 2], [1, 2]))),
        "wrong: batches differ": (pair, infer(tensor("x_a", "FP32", [2, 2], [1, 2, 3, 4]), tensor("x_b", "INT64", [1, 1], [3]))),
        "wrong: batch too large": (classes, infer(tensor("x", "FP32", [9, 3], [0] * 27))),
        "wrong: datatype": (classes, infer(tensor("x", "INT64", [1, 3], [1, 2, 3]))),
        "wrong: unknown datatype": (classes, infer(tensor("x", "FLOAT", [1, 3], [1, 2, 3]))),
        "wrong: shape": (classes, infer(tensor("x", "FP32", [1, 4], [1, 2, 3, 4]))),
        "wrong: rank": (classes, infer(tensor("x", "FP32", [3], [1, 2, 3]))),
        "wrong: rank 0": (classes, infer(tensor("x", "FP32", [], [1]))),
        "wrong: too few values": (classes, infer(tensor("x", "FP32", [1, 3], [1, 2]))),
        "wrong: too many values": (classes, infer(tensor("x", "FP32", [1, 3], [1, 2, 3, 4]))),
        "wrong: ragged": (classes, infer(tensor("x", "FP32", [2, 3], [[1, 2, 3], [4, 5]]))),
        "wrong: negative dimension": (classes, infer(tensor("x", "FP32", [-1, 3], [1, 2, 3]))),
        "wrong: dimension is a fraction": (classes, infer(tensor("x", "FP32", [1.5, 3], [1, 2, 3]))),
        "wrong: dimension is text": (classes, infer(tensor("x", "FP32", ["1", 3], [1, 2, 3]))),
        "wrong: count overflows": (classes, infer(tensor("x", "FP32", [9223372036854775807, 3], [1, 2, 3]))),
        "wrong: count overflows 64 bits": (types, one_type("FP32", [1, 2], [4294967296, 4294967296])),
        "wrong: text for a number": (classes, infer(tensor("x", "FP32", [1, 3], [1, "2", 3]))),
        "wrong: null for a number": (classes, infer(tensor("x", "FP32", [1, 3], [1, None, 3]))),
        "wrong: fraction for an integer": (types, one_type("INT32", [1.5, 2])),
        "wrong: INT8 out of range": (types, one_type("INT8", [128, 0])),
        "wrong: UINT8 negative": (types, one_type("UINT8", [-1, 0])),
        "wrong: number for text": (text, infer(tensor("x", "BYTES", [1], [5]))),
        "wrong: number for BOOL": (types, one_type("BOOL", [1, 0])),
        "wrong: FP16 as JSON": ("/v2/models/halves/infer", infer(tensor("x_fp16", "FP16", [1], [1]), tensor("x_bf16", "BF16", [1], [1]))),
        "wrong: unknown output": (classes, infer(X, outputs=[{"name": "z"}])),
        "wrong: output twice": (classes, infer(X, outputs=[{"name": "y"}, {"name": "y"}])),
        "wrong: output without a name": (classes, infer(X, outputs=[{}])),
        "wrong: shared memory": (classes, infer(tensor("x", "FP32", [1, 3], shared_memory_region="r", shared_memory_byte_size=12))),
    }
    return [{"name": name, "method": "POST", "path": path, "body": body} for name, (path, body) in cases.items()]


def _binary_cases():
    classes = "/v2/models/classes/infer"
    raw = struct.pack("<3f", 5.5, 3.25, -1)
    head = infer(tensor("x", "FP32", [1, 3], binary_data_size=12))
    types_raw = {"BOOL": b"\1\0", "UINT8": b"\0\xff", "UINT16": b"\0\0\xff\xff", "UINT32": b"\0" * 4 + b"\xff" * 4,
                 "UINT64": b"\0" * 8 + b"\xff" * 8, "INT8": b"\x80\x7f", "INT16": b"\0\x80\xff\x7f",
                 "INT32": struct.pack("<2i", -2**31, 2**31 - 1), "INT64": struct.pack("<2q", -2**63, 2**63 - 1),
                 "FP32": struct.pack("<2f", 0.1, float("-inf")), "FP64": struct.pack("<2d", 0.1, 1e300),
                 "BYTES": struct.pack("<I3s", 3, b"a\0b") + struct.pack("<I2s", 2, b"\xff\xfe")}
    every = infer(*[tensor(f"x_{name.lower()}", name, [2], binary_data_size=len(data)) for name, data in types_raw.items()],
                  parameters={"binary_data_output": True})
    halves = infer(tensor("x_fp16", "FP16", [2], binary_data_size=4), tensor("x_bf16", "BF16", [2], binary_data_size=4),
                   parameters={"binary_data_output": True})
    mixed = infer(tensor("x_b", "INT64", [1, 1], [3]), tensor("x_a", "FP32", [1, 2], binary_data_size=8),
                  outputs=[{"name": "y_a"}, {"name": "y_b", "parameters": {"binary_data": True}}])
    text = b'{"inputs":[{"name":"x","shape":[1],"datatype":"BYTES","parameters":{"binary_data_size":%d}}]}'
    cases = {
        "binary: in": (classes, *with_binary(head, raw)),
        "binary: out": (classes, infer(X, parameters={"binary_data_output": True}), {}),
        "binary: out, not this one": (classes, infer(X, parameters={"binary_data_output": True},
                                                     outputs=[{"name": "y", "parameters": {"binary_data": False}}]), {}),
        "binary: every type": ("/v2/models/types/infer", *with_binary(every, b"".join(types_raw.values()))),
        "binary: halves": ("/v2/models/halves/infer", *with_binary(halves, bytes(range(8)))),
        "binary: mixed with JSON": ("/v2/models/pair/infer", *with_binary(mixed, struct.pack("<2f", 1, 2))),
        "binary: length says all is JSON": (classes, infer(X), {LENGTH: str(len(infer(X)))}),
        "raw": (classes, raw, {LENGTH: "0"}),
        "raw: no bytes": (classes, b"", {LENGTH: "0"}),
        "raw: text": ("/v2/models/text/infer", b"any \0 bytes", {LENGTH: "0"}),
        "raw: wrong size": (classes, raw + b"1", {LENGTH: "0"}),
        "raw: two inputs": ("/v2/models/pair/infer", raw, {LENGTH: "0"}),
        "binary: too few bytes": (classes, *with_binary(head, raw[:-1])),
        "binary: too many bytes": (classes, *with_binary(head, raw + b"1")),
        "binary: size is not the shape's": (classes, *with_binary(infer(tensor("x", "FP32", [1, 3], binary_data_size=8)), raw[:8])),
        "binary: negative size": (classes, *with_binary(infer(tensor("x", "FP32", [1, 3], binary_data_size=-12)), raw)),
        "binary: size is text": (classes, *with_binary(infer(tensor("x", "FP32", [1, 3], binary_data_size="12")), raw)),
        "binary: no length": (classes, head + raw, {}),
        "binary: length too large": (classes, head, {LENGTH: str(len(head) + 1)}),
        "binary: length is negative": (classes, head, {LENGTH: "-1"}),
        "binary: length is text": (classes, head, {LENGTH: "many"}),
        "binary: length is huge": (classes, head, {LENGTH: "99999999999999999999"}),
        "binary: text without its length": ("/v2/models/text/infer", *with_binary(text % 2, b"ab")),
        "binary: text cut short": ("/v2/models/text/infer", *with_binary(text % 6, struct.pack("<I2s", 9, b"ab"))),
        "binary: text with bytes left": ("/v2/models/text/infer", *with_binary(text % 7, struct.pack("<I3s", 2, b"abc"))),
        "compression: gzip in": (classes, gzip.compress(infer(X), mtime=0), {"Content-Encoding": "gzip"}),
        "compression: deflate in": (classes, zlib.compress(infer(X)), {"Content-Encoding": "deflate"}),
        "compression: binary, gzip in": (
            classes, gzip.compress(head + raw, mtime=0), {"Content-Encoding": "gzip", LENGTH: str(len(head))}),
        "compression: unknown": (classes, infer(X), {"Content-Encoding": "br"}),
        "compression: not gzip": (classes, infer(X), {"Content-Encoding": "gzip"}),
        "compression: gzip out": (classes, infer(tensor("x", "FP32", [8, 3], [0] * 24)), {"Accept-Encoding": "gzip"}),
        "compression: deflate out": (classes, infer(tensor("x", "FP32", [8, 3], [0] * 24)), {"Accept-Encoding": "deflate"}),
        "compression: either out": (classes, infer(tensor("x", "FP32", [8, 3], [0] * 24)), {"Accept-Encoding": "gzip, deflate"}),
    }
    return [{"name": name, "method": "POST", "path": path, "body": body, "headers": headers}
            for name, (path, body, headers) in cases.items()]


def _other_cases():
    def post(name, path, document=None):
        body = b"" if document is None else document if isinstance(document, bytes) else json.dumps(document).encode()
        return {"name": name, "method": "POST", "path": path, "body": body}

    paths = ["/v2", "/v2/health/live", "/v2/health/ready", "/v2/models/classes", "/v2/models/classes/versions/1", "/v2/models/types",
             "/v2/models/text", "/v2/models/nowhere", "/v2/models/classes/versions/9", "/v2/models/classes/ready",
             "/v2/models/classes/versions/2/ready", "/v2/models/classes/versions/9/ready", "/v2/models/nowhere/ready",
             "/v2/models/classes/versions/x", "/v2/models/classes/versions/x/ready", "/v2/models/classes/config",
             "/v2/models/classes/versions/2/config", "/v2/models/types/config", "/v2/models/nowhere/config",
             "/v2/models/classes/versions/9/config", "/v2/models/text/stats", "/v2/models/nowhere/stats",
             "/v2/models/classes/versions/9/stats", "/v2/models/classes/infer", "/v2/models/classes/other", "/v2/other",
             "/v2/systemsharedmemory/status", "/v2/cudasharedmemory/status", "/v2/trace/setting", "/v2/models/classes/trace/setting",
             "/v2/logging", "/v2/repository/index", "/v2/models/classes/generate", "/v3"]
    cases = [{"name": f"GET {path}", "method": "GET", "path": path, "body": b""} for path in paths]
    cases += [post(f"POST {path}", path) for path in
              ("/v2", "/v2/health/live", "/v2/health/ready", "/v2/models/classes", "/v2/models/classes/ready",
               "/v2/models/classes/config", "/v2/models/classes/stats")]
    cases += [
        post("index", "/v2/repository/index"),
        post("index: empty object", "/v2/repository/index", {}),
        post("index: ready", "/v2/repository/index", {"ready": True}),
        post("index: ready is text", "/v2/repository/index", {"ready": "yes"}),
        post("index: malformed", "/v2/repository/index", b"{"),
        post("index: of one repository", "/v2/repository/mine/index"),
        post("load: not allowed", "/v2/repository/models/text/load"),
        post("unload: not allowed", "/v2/repository/models/text/unload"),
        post("load: of one repository", "/v2/repository/mine/models/text/load"),
        post("unload: of one repository", "/v2/repository/mine/models/text/unload"),
        post("system shared memory: register", "/v2/systemsharedmemory/region/r/register",
             {"key": "/nowhere", "offset": 0, "byte_size": 8}),
        post("system shared memory: unregister", "/v2/systemsharedmemory/region/r/unregister"),
        post("system shared memory: unregister all", "/v2/systemsharedmemory/unregister"),
        post("cuda shared memory: register", "/v2/cudasharedmemory/region/r/register",
             {"raw_handle": {"b64": "AAAA"}, "device_id": 0, "byte_size": 8}),
        post("cuda shared memory: unregister all", "/v2/cudasharedmemory/unregister"),
        post("trace: set", "/v2/trace/setting", {"trace_rate": "500"}),
        post("logging: set", "/v2/logging", {"log_verbose_level": 0}),
        post("logging: unknown setting", "/v2/logging", {"log_colour": "blue"}),
        post("generate", "/v2/models/classes/generate", {"text": "a"}),
    ]
    return cases


def _explicit_cases():
    def post(name, path, document=None):
        body = b"" if document is None else json.dumps(document).encode()
        return {"name": f"explicit: {name}", "method": "POST", "path": path, "body": body}

    return [
        post("index before", "/v2/repository/index"),
        {"name": "explicit: ready before", "method": "GET", "path": "/v2/models/text/ready", "body": b""},
        post("infer before", "/v2/models/text/infer", {"inputs": [tensor("x", "BYTES", [1], ["a"])]}),
        post("load", "/v2/repository/models/text/load"),
        {"name": "explicit: ready after", "method": "GET", "path": "/v2/models/text/ready", "body": b""},
        post("index after", "/v2/repository/index"),
        post("index after, ready", "/v2/repository/index", {"ready": True}),
        post("load again", "/v2/repository/models/text/load", {}),
        post("load with parameters", "/v2/repository/models/text/load", {"parameters": {}}),
        post("load with an unknown parameter", "/v2/repository/models/text/load", {"parameters": {"mine": "1"}}),
        post("load with a config", "/v2/repository/models/text/load", {"parameters": {"config": "{"}}),
        post("load nothing", "/v2/repository/models/nowhere/load"),
        post("unload nothing", "/v2/repository/models/nowhere/unload"),
        post("unload", "/v2/repository/models/text/unload", {"parameters": {"unload_dependents": True}}),
        post("unload again", "/v2/repository/models/text/unload"),
        {"name": "explicit: ready at the end", "method": "GET", "path": "/v2/models/text/ready", "body": b""},
    ]


DEFAULT_CASES = _infer_cases() + _binary_cases() + _other_cases()
EXPLICIT_CASES = _explicit_cases()
