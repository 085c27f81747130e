"""Real collectors of traces on loopback: Jaeger (OTLP) and Zipkin. `./dev install test` brings them into the cache."""
import json
import os
import pathlib

import requests

from .process import HostError, HttpHost, free_port
from .stores import CACHE, _program


class Jaeger(HttpHost):
    """Takes OTLP over HTTP and gRPC; `traces` asks its query API. Metrics that come by gRPC are on a page for Prometheus."""

    ready_path = "/api/services"

    def __init__(self, folder, timeout=30):
        super().__init__()
        binary = _program("jaeger", CACHE / "stores/bin/jaeger")
        self.otlp_port, self.grpc_port, self.metrics_port = free_port(), free_port(), free_port()
        folder = pathlib.Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        local = "127.0.0.1"
        config = {
            "service": {
                "extensions": ["jaeger_storage", "jaeger_query"],
                "pipelines": {"traces": {"receivers": ["otlp"], "exporters": ["jaeger_storage_exporter"]},
                              "metrics": {"receivers": ["otlp"], "exporters": ["prometheus"]}},
                "telemetry": {"metrics": {"level": "none"}, "logs": {"level": "warn"}}},
            "extensions": {
                "jaeger_query": {"storage": {"traces": "memory"}, "http": {"endpoint": f"{local}:{self.port}"},
                                 "grpc": {"endpoint": f"{local}:{free_port()}"}},
                "jaeger_storage": {"backends": {"memory": {"memory": {"max_traces": 10_000}}}}},
            "receivers": {"otlp": {"protocols": {"http": {"endpoint": f"{local}:{self.otlp_port}"},
                                                 "grpc": {"endpoint": f"{local}:{self.grpc_port}"}}}},
            "exporters": {"jaeger_storage_exporter": {"trace_storage": "memory"},
                          "prometheus": {"endpoint": f"{local}:{self.metrics_port}"}}}
        (folder / "jaeger.json").write_text(json.dumps(config))
        self.command = [binary, "--config", folder / "jaeger.json"]
        self.log, self.timeout = folder / "jaeger.log", timeout
        self.run()

    def run(self):
        """Also after stop(): on the same ports, without the traces that were there."""
        self.start("jaeger", self.command, self.log, self.timeout)

    @property
    def otlp_url(self):
        return f"http://127.0.0.1:{self.otlp_port}/v1/traces"

    @property
    def grpc_url(self):
        return f"http://127.0.0.1:{self.grpc_port}"

    def metrics(self):
        return requests.get(f"http://127.0.0.1:{self.metrics_port}/metrics", timeout=5).text

    def trace(self, trace_id):
        """Its spans by name, or nothing while it is not there."""
        answer = requests.get(f"{self.url}/api/traces/{trace_id}", timeout=5)
        traces = answer.json().get("data") if answer.ok else None
        return {span["operationName"]: span for span in traces[0]["spans"]} if traces else {}

    def traces(self, service="leadsman", limit=1000):
        return requests.get(f"{self.url}/api/traces", params={"service": service, "limit": limit}, timeout=10).json()["data"] or []


class Zipkin(HttpHost):
    ready_path = "/health"

    def __init__(self, folder, timeout=60):
        super().__init__()
        jar = CACHE / "stores/zipkin.jar"
        if not os.access(jar, os.R_OK):
            raise HostError("Zipkin is not here; `./dev install test` brings it")
        self.start("zipkin", [_program("java"), "-Xms64m", "-Xmx192m", "-XX:TieredStopAtLevel=1", "-jar", jar,
                              "--logging.level.root=WARN"], pathlib.Path(folder) / "zipkin.log", timeout,
                   env={"QUERY_PORT": str(self.port), "STORAGE_TYPE": "mem"})

    @property
    def spans_url(self):
        return f"{self.url}/api/v2/spans"

    def trace(self, trace_id):
        answer = requests.get(f"{self.url}/api/v2/trace/{trace_id}", timeout=5)
        return {span["name"]: span for span in answer.json()} if answer.ok else {}
