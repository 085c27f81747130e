"""Envoy on loopback, in front of any service, telling a monitor of what passes. `./dev install test` brings it."""
import json
import pathlib

from .process import HttpHost, free_port
from .stores import CACHE, _program

_TYPE = "type.googleapis.com/envoy.extensions."


def _cluster(name, port, http2=False):
    cluster = {"name": name, "type": "STATIC", "connect_timeout": "1s",
               "load_assignment": {"cluster_name": name, "endpoints": [{"lb_endpoints": [{"endpoint": {"address": {
                   "socket_address": {"address": "127.0.0.1", "port_value": port}}}}]}]}}
    if http2:
        cluster["typed_extension_protocol_options"] = {"envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
            "@type": _TYPE + "upstreams.http.v3.HttpProtocolOptions",
            "explicit_http_config": {"http2_protocol_options": {}}}}
    return cluster


def access_log():
    """Envoy's gRPC access log, sent every 100 ms."""
    return {"name": "envoy.access_loggers.http_grpc", "typed_config": {
        "@type": _TYPE + "access_loggers.grpc.v3.HttpGrpcAccessLogConfig",
        "common_config": {"log_name": "models", "transport_api_version": "V3", "buffer_flush_interval": "0.1s",
                          "grpc_service": {"envoy_grpc": {"cluster_name": "leadsman"}}},
        "additional_response_headers_to_log": ["grpc-status"],
        "additional_response_trailers_to_log": ["grpc-status"]}}


def ext_proc(observability=True, bodies="STREAMED", **more):
    """ext_proc with everything sent."""
    return {"name": "envoy.filters.http.ext_proc", "typed_config": {
        "@type": _TYPE + "filters.http.ext_proc.v3.ExternalProcessor",
        "grpc_service": {"envoy_grpc": {"cluster_name": "leadsman"}, "timeout": "1s"},
        "observability_mode": observability, "failure_mode_allow": observability, "message_timeout": "5s",
        "request_attributes": ["xds.cluster_name"],
        "processing_mode": {"request_header_mode": "SEND", "response_header_mode": "SEND", "request_body_mode": bodies,
                            "response_body_mode": bodies, "request_trailer_mode": "SEND",
                            "response_trailer_mode": "SEND"}, **more}}


class Envoy(HttpHost):
    """`upstream`: the service's port; /down/… goes to a port where nobody listens. `monitor_port` hears of everything."""

    ready_path = "/ready"

    def __init__(self, folder, upstream, monitor_port, log=(), filters=(), grpc_upstream=None, timeout=20):
        super().__init__()
        self.admin_port, self.front = self.port, free_port()
        self.ready_address = self.url
        self.folder = pathlib.Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        routes = [{"match": {"prefix": "/down/"}, "route": {"cluster": "down"}}]
        clusters = [_cluster("model", upstream), _cluster("down", free_port()),
                    _cluster("leadsman", monitor_port, http2=True)]
        if grpc_upstream:
            routes.append({"match": {"prefix": "/inference."}, "route": {"cluster": "model_grpc"}})
            clusters.append(_cluster("model_grpc", grpc_upstream, http2=True))
        routes.append({"match": {"prefix": "/"}, "route": {"cluster": "model", "timeout": "10s"}})
        router = {"name": "envoy.filters.http.router",
                  "typed_config": {"@type": _TYPE + "filters.http.router.v3.Router"}}
        manager = {"@type": _TYPE + "filters.network.http_connection_manager.v3.HttpConnectionManager",
                   "stat_prefix": "front", "access_log": list(log), "http_filters": [*filters, router],
                   "preserve_external_request_id": True,
                   "route_config": {"name": "routes", "virtual_hosts": [
                       {"name": "all", "domains": ["*"], "routes": routes}]}}
        listener = {"name": "front",
                    "address": {"socket_address": {"address": "127.0.0.1", "port_value": self.front}},
                    "filter_chains": [{"filters": [
                        {"name": "envoy.filters.network.http_connection_manager", "typed_config": manager}]}]}
        self.config = self.folder / "envoy.yaml"
        self.config.write_text(json.dumps({
            "admin": {"address": {"socket_address": {"address": "127.0.0.1", "port_value": self.admin_port}}},
            "static_resources": {"listeners": [listener], "clusters": clusters}}, indent=1))
        self.timeout = timeout
        self.run()

    def run(self):
        """Also after stop(): on the same ports."""
        self.start("envoy", [_program("envoy", CACHE / "stores/envoy/envoy"), "-c", self.config, "--concurrency", "1",
                             "--use-dynamic-base-id"], self.folder / "envoy.log", self.timeout)

    @property
    def service(self):
        return f"http://127.0.0.1:{self.front}"
