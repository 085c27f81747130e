"""Traces of served requests, read back from a real Jaeger (OTLP) and a real Zipkin."""
import json
import socket
import subprocess

import grpc
import models
import pytest
import requests
from conftest import BINARY, wait_for
from hosts.tracing import Jaeger, Zipkin
from tritonclient.grpc import service_pb2, service_pb2_grpc

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
CALLER = "00f067aa0ba902b7"


@pytest.fixture
def repository_of_one(repository):
    models.release(repository, "digits", 1, models.classifier(wrong_class=3))
    return [{"name": "digits", "path": str(repository / "digits")}]


def ask(server, headers=None, rows=1, model="digits"):
    return requests.post(f"{server.url}/v1/models/{model}:predict", json={"instances": [[0.0] * 10] * rows},
                         headers=headers or {}, timeout=10)


def metric(server, name, **labels):
    wanted = [f'{key}="{value}"' for key, value in labels.items()]
    return sum(float(line.rsplit(" ", 1)[1]) for line in server.get("/metrics").text.splitlines()
               if line.startswith(name + "{") and all(label in line for label in wanted))


def test_jaeger_has_the_request_and_its_stages_below_the_callers_span(start, repository_of_one, tmp_path):
    jaeger = Jaeger(tmp_path / "jaeger")
    server = start(models=repository_of_one, telemetry={"tracing": {"otlp_url": jaeger.otlp_url, "service_name": "digits-service"}})
    answer = ask(server, {"traceparent": f"00-{TRACE}-{CALLER}-01", "x-request-id": "r-1"}, rows=2)
    assert answer.status_code == 200
    own = answer.headers["traceparent"].split("-")[2]
    spans = wait_for("the trace in Jaeger", lambda: jaeger.trace(TRACE))
    request = spans["predict digits"]
    assert request["spanID"] == own, "the span that the answer names"
    assert request["references"][0]["spanID"] == CALLER
    tags = {tag["key"]: tag["value"] for tag in request["tags"]}
    assert tags["leadsman.model"] == "digits" and tags["leadsman.rows"] == 2 and tags["leadsman.request_id"] == "r-1"
    assert tags["leadsman.protocol"] == "tfserving_rest" and tags["span.kind"] == "server"
    assert {"receive", "compute", "respond"} <= set(spans)
    end = request["startTime"] + request["duration"]
    for name in ("receive", "compute", "respond"):
        assert spans[name]["references"][0]["spanID"] == own
        # Microseconds, rounded down one by one.
        assert request["startTime"] <= spans[name]["startTime"] and spans[name]["startTime"] + spans[name]["duration"] <= end + 2
    # An error is kept although its caller does not sample it.
    other = TRACE[::-1]
    assert requests.post(f"{server.url}/v1/models/digits:predict", json={"instances": [[1.0]]}, timeout=10,
                         headers={"traceparent": f"00-{other}-{CALLER}-00"}).status_code == 400
    failed = wait_for("the error in Jaeger", lambda: jaeger.trace(other))["predict digits"]
    tags = {tag["key"]: tag["value"] for tag in failed["tags"]}
    assert tags["leadsman.outcome"] == "INVALID_ARGUMENT" and "error" not in tags, "the client is to blame"
    # One for a model that is not here has its place in its caller's trace, without the name that the client made up.
    third = TRACE[1:] + TRACE[:1]
    assert requests.post(f"{server.url}/v1/models/digist:predict", json={"instances": [[1.0]]}, timeout=10,
                         headers={"traceparent": f"00-{third}-{CALLER}-01"}).status_code == 404
    assert "predict" in wait_for("the unknown model in Jaeger", lambda: jaeger.trace(third))
    # One that nobody samples and that is fine is not kept.
    assert ask(server).status_code == 200
    assert metric(server, "leadsman_tracing_requests_kept_total") == 3


def test_by_grpc_jaeger_has_traces_and_metrics(start, repository_of_one, tmp_path):
    jaeger = Jaeger(tmp_path / "jaeger")
    server = start(models=repository_of_one, telemetry={
        "tracing": {"otlp_url": jaeger.grpc_url, "otlp_protocol": "grpc"},
        "metrics": {"otlp": {"url": jaeger.grpc_url, "protocol": "grpc", "interval": "1s"}}})
    assert ask(server, {"traceparent": f"00-{TRACE}-{CALLER}-01"}, rows=2).status_code == 200
    spans = wait_for("the trace in Jaeger", lambda: jaeger.trace(TRACE))
    tags = {tag["key"]: tag["value"] for tag in spans["predict digits"]["tags"]}
    assert tags["leadsman.rows"] == 2 and tags["span.kind"] == "server" and {"receive", "compute", "respond"} <= set(spans)
    wait_for("the counter in Jaeger", lambda: any(
        line.startswith("leadsman_serving_requests_total{") and 'model="digits"' in line and line.endswith(" 1")
        for line in jaeger.metrics().splitlines()))
    assert metric(server, "leadsman_tracing_exported_total", result="sent") == 1
    assert metric(server, "leadsman_tracing_exported_total", result="refused") == 0


def test_a_batched_request_shows_its_time_in_the_queue(start, repository_of_one, tmp_path):
    jaeger = Jaeger(tmp_path / "jaeger")
    repository_of_one[0]["batching"] = {"max_delay": "30ms"}
    server = start(models=repository_of_one, telemetry={"tracing": {"otlp_url": jaeger.otlp_url}})
    assert ask(server, {"traceparent": f"00-{TRACE}-{CALLER}-01"}).status_code == 200
    spans = wait_for("the trace", lambda: jaeger.trace(TRACE))
    assert spans["queue"]["duration"] >= 25_000


def test_zipkin_has_the_trace_of_a_b3_client(start, repository_of_one, tmp_path):
    zipkin = Zipkin(tmp_path / "zipkin")
    server = start(models=repository_of_one, telemetry={"tracing": {"zipkin_url": zipkin.spans_url}})
    short = "a3ce929d0e0e4736"
    assert ask(server, {"b3": f"{short}-{CALLER}-1"}).status_code == 200
    spans = wait_for("the trace in Zipkin", lambda: zipkin.trace(short))
    request = spans["predict digits"]
    assert request["parentId"] == CALLER and request["kind"] == "SERVER" and request["tags"]["leadsman.outcome"] == "OK"
    assert spans["compute"]["parentId"] == request["id"]
    assert request["localEndpoint"]["serviceName"] == "leadsman"
    # In several fields, and over gRPC in both forms.
    infer = service_pb2.ModelInferRequest(model_name="digits")
    infer.inputs.add(name="x", datatype="FP32", shape=[1, 10]).contents.fp32_contents.extend([0] * 10)
    traces = [TRACE[i:] + TRACE[:i] for i in (2, 4, 6)]
    several = [{"x-b3-traceid": trace, "x-b3-spanid": CALLER, "x-b3-sampled": "1"} for trace in traces]
    assert ask(server, several[0]).status_code == 200
    with grpc.insecure_channel(server.grpc) as channel:
        stub = service_pb2_grpc.GRPCInferenceServiceStub(channel)
        stub.ModelInfer(infer, timeout=10, metadata=list(several[1].items()))
        stub.ModelInfer(infer, timeout=10, metadata=[("b3", f"{traces[2]}-{CALLER}-1")])
    for trace in traces:
        spans = wait_for(f"the trace {trace} in Zipkin", lambda trace=trace: zipkin.trace(trace))
        assert spans["predict digits"]["parentId"] == CALLER


def test_what_a_collector_that_is_away_misses_comes_later(start, repository_of_one, tmp_path):
    jaeger = Jaeger(tmp_path / "jaeger")
    server = start(models=repository_of_one, telemetry={"tracing": {"otlp_url": jaeger.otlp_url, "keep_share": 1}})
    assert ask(server).status_code == 200
    wait_for("the first trace", lambda: len(jaeger.traces()) == 1)
    jaeger.stop()
    for _ in range(20):
        assert ask(server).status_code == 200
    wait_for("a failed export", lambda: metric(server, "leadsman_tracing_export_requests_total", result="failed") >= 1)
    jaeger.run()
    wait_for("all of them", lambda: len(jaeger.traces()) == 20)
    assert metric(server, "leadsman_tracing_exported_total", destination="otlp", result="sent") == 21
    assert metric(server, "leadsman_tracing_exported_total", result="dropped") == 0


def test_nothing_of_a_hanging_collector_reaches_the_clients(start, repository_of_one):
    with socket.socket() as silent:  # takes connections, and says nothing
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        server = start(models=repository_of_one, telemetry={
            "tracing": {"otlp_url": f"http://127.0.0.1:{silent.getsockname()[1]}/v1/traces", "keep_share": 1}})
        for _ in range(50):
            assert ask(server).status_code == 200
        assert server.stop() == 0, "nor does it hold up the end"


@pytest.mark.parametrize("tracing, told", [
    ({"otlp_url": "http://127.0.0.1:4317/v1/traces"}, "4318/v1/traces"),
    ({"otlp_url": "http://127.0.0.1:4318/v1/traces", "headers_file": "gone"}, "headers_file")])
def test_what_cannot_be_is_refused_with_the_way_out(tmp_path, tracing, told):
    (tmp_path / "leadsman.yaml").write_text(json.dumps({"models": [{"name": "m", "path": "m"}], "telemetry": {"tracing": tracing}}))
    checked = subprocess.run([str(BINARY), "serve", "--check-config", "--config", str(tmp_path / "leadsman.yaml")],
                             capture_output=True, text=True, timeout=20)
    assert checked.returncode == 2 and told in checked.stdout + checked.stderr
