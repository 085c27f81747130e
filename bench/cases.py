"""The kinds of request that `./dev bench serving` sends, and how an answer of each is read."""
import json
import struct
import urllib.request

from hosts.process import HostError

import grpc_answers
import measure

KINDS = ("json", "binary", "grpc", "tfs-grpc", "mlflow")
WIDTHS = {"iris": 4, "mlp": 784, "wide": 784}


def http_request(server, kind, model, folder):
    """(URL, file with the body, headers)"""
    body = folder / f"{model}.{kind}"
    if kind == "mlflow":
        return f"{server.url}/invocations", body, {"Content-Type": "application/json"}
    url = f"{server.url}/v2/models/{model}/infer"
    if kind == "json":
        return url, body, {"Content-Type": "application/json"}
    head = (folder / f"{model}.binary.head").read_text()
    return url, body, {"Content-Type": "application/octet-stream", "Inference-Header-Content-Length": head}


def row_of(folder, model):
    return json.loads((folder / f"{model}.json").read_text())["inputs"][0]["data"]


def values_of(kind, answer, headers):
    if kind == "json":
        return json.loads(answer)["outputs"][0]["data"]
    if kind == "mlflow":
        rows = json.loads(answer)["predictions"]
        return rows[0] if isinstance(rows, list) else next(iter(rows.values()))[0]
    data = answer[int(headers["Inference-Header-Content-Length"]):]
    return struct.unpack(f"<{len(data) // 4}f", data)


def check_answer(system, server, kind, model, folder, expected):
    """One request by hand: is the answer the model's? A server that is fast and wrong is not compared."""
    if kind in ("grpc", "tfs-grpc"):
        return check_values(system, kind, model, grpc_answers.ask(server, kind, model, row_of(folder, model)), expected)
    url, body, headers = http_request(server, kind, model, folder)
    request = urllib.request.Request(url, body.read_bytes(), headers)
    with urllib.request.urlopen(request, timeout=10) as answer:
        got = answer.read()
        if system == "echo":
            if got != body.read_bytes():
                raise HostError("echo does not echo")
            return
        values = values_of(kind, got, answer.headers)
    check_values(system, kind, model, values, expected)


def check_values(system, kind, model, values, expected):
    if len(values) != len(expected) or any(abs(a - b) > 1e-4 for a, b in zip(values, expected)):
        raise HostError(f"{system} answers {values} for {model} in {kind}; ONNX Runtime itself says {expected}")


def send(server, kind, model, folder, connections, seconds, options):
    if kind in ("grpc", "tfs-grpc"):
        return measure.grpc_load(options.bin / "grpc_load", f"127.0.0.1:{server.grpc_port}",
                                 "v2" if kind == "grpc" else "tfs", model, WIDTHS[model], connections, seconds)
    url, body, headers = http_request(server, kind, model, folder)
    return measure.http_load(url, body, headers, connections, seconds, folder / f"{model}-{kind}.lua")


def run(system, server, kind, model, connections, folder, expected, options):
    check_answer(system, server, kind, model, folder, expected)
    send(server, kind, model, folder, connections, 1, options)  # warm
    busy, cpu = measure.machine_busy_seconds(), measure.cpu_seconds(server.pid)
    result = send(server, kind, model, folder, connections, options.seconds, options)
    cpu = measure.cpu_seconds(server.pid) - cpu
    busy = measure.machine_busy_seconds() - busy
    check_answer(system, server, kind, model, folder, expected)
    return {"cpu_us_per_request": cpu / result["requests"] * 1e6, "requests_per_s": result["requests"] / result["seconds"],
            "p50_us": result["p50_us"], "p99_us": result["p99_us"], "rss_mb": measure.rss_mb(server.pid),
            "other_cpu": max(0.0, busy - cpu - result["own_cpu"]) / result["seconds"]}
