"""The reverse proxies that `./dev bench gateway` compares, one worker each, and the service behind them: nginx, which answers every
request with the same words. All add X-Forwarded-For and X-Forwarded-Proto, keep connections on both sides, and write no log
unless their name says so."""
import json
import os
import re
import shutil
import urllib.request

from hosts.process import HostError, HttpHost, free_port
from hosts.stores import CACHE

SYSTEMS = ["leadsman", "leadsman-unmonitored", "leadsman-capture", "leadsman-mirror", "envoy", "envoy-log", "envoy-mirror", "nginx", "haproxy",
           "bare"]
MIRRORS = ["leadsman-mirror", "envoy-mirror"]
IDLE_SYSTEMS = ["leadsman", "envoy", "nginx", "haproxy"]
ANSWER = '{"predictions":[{"class":"setosa","probabilities":[0.97,0.02,0.01]}]}'
MANY = 1_000_000_000  # requests of one connection: no proxy is to close it


def program(name, place):
    for candidate in (CACHE / place, shutil.which(name), f"/usr/sbin/{name}"):
        if candidate and os.access(candidate, os.X_OK):
            return candidate
    raise HostError(f"{name} is not here; `./dev install bench-gateway` brings it")


def start_nginx(host, folder, name, server, before=""):
    """`server`: what stands in the server block; `before`: in the http block."""
    folder.mkdir(parents=True, exist_ok=True)
    places = "".join(f"{kind}_temp_path {folder}/{kind}; " for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
    (folder / "nginx.conf").write_text(
        f"daemon off; worker_processes 1; worker_rlimit_nofile {open_files()}; pid {folder}/nginx.pid; error_log {folder}/error.log warn;\n"
        f"events {{ worker_connections {open_files() - 64}; }}\n"
        f"http {{ access_log off; {places} keepalive_requests {MANY}; keepalive_timeout 10m;\n{before}\n"
        f"server {{ listen 127.0.0.1:{host.port} backlog=4096;\n{server}\n}} }}\n")
    user = ["-g", "user root;"] if os.getuid() == 0 else []
    binary = program("nginx", "stores/nginx/usr/sbin/nginx")
    host.start(name, [binary, "-e", folder / "error.log", "-p", folder, "-c", folder / "nginx.conf", *user], folder / "out.log", 10)


def open_files():
    import resource
    return resource.getrlimit(resource.RLIMIT_NOFILE)[0]


def status_of(text):
    """(connections taken, requests) of nginx's stub_status."""
    match = re.search(r"^\s*(\d+)\s+(\d+)\s+(\d+)\s*$", text, re.MULTILINE)
    if not match:
        raise HostError(f"nginx's status is not understood: {text[:200]}")
    return int(match.group(1)), int(match.group(3))


class Upstream(HttpHost):
    """The model service: nginx, the same answer to whatever is asked."""

    ready_path = "/status"

    def __init__(self, folder, name="upstream"):
        super().__init__()
        start_nginx(self, folder / name, name,
                    "location = /status { stub_status; }\n"
                    f"location / {{ default_type application/json; return 200 '{ANSWER}'; }}")

    def status(self):
        """(connections taken, requests) so far, this one among both."""
        with urllib.request.urlopen(self.ready_url, timeout=10) as answer:
            return status_of(answer.read().decode())


class Nginx(HttpHost):
    ready_path = "/ready"

    def __init__(self, folder, upstream):
        super().__init__()
        start_nginx(self, folder / "nginx", "nginx",
                    "location / { proxy_pass http://model; proxy_http_version 1.1; proxy_set_header Connection ''; "
                    "proxy_set_header Host $http_host; proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for; "
                    "proxy_set_header X-Forwarded-Proto $scheme; }",
                    f"upstream model {{ server 127.0.0.1:{upstream.port}; keepalive 64; keepalive_requests {MANY}; }}")


class HAProxy(HttpHost):
    ready_path = "/ready"

    def __init__(self, folder, upstream, connections):
        super().__init__()
        folder = folder / "haproxy"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "haproxy.cfg").write_text(
            f"global\n  nbthread 1\n  maxconn {connections + 256}\n  no strict-limits\n"
            "defaults\n  mode http\n  timeout connect 1s\n  timeout client 10m\n  timeout server 10m\n  timeout http-keep-alive 10m\n"
            f"  http-reuse always\n  option forwardfor\n"
            f"frontend front\n  bind 127.0.0.1:{self.port} backlog 4096\n  maxconn {connections + 256}\n"
            "  http-request set-header X-Forwarded-Proto http\n  default_backend model\n"
            f"backend model\n  server model 127.0.0.1:{upstream.port}\n")
        # Debian's package unpacked, with the libraries that it brings along.
        binary, libraries = program("haproxy", "haproxy/usr/sbin/haproxy"), CACHE / "haproxy/usr/lib/x86_64-linux-gnu"
        env = {"LD_LIBRARY_PATH": str(libraries)} if str(binary).startswith(str(CACHE)) else {}
        self.start("haproxy", [binary, "-db", "-f", folder / "haproxy.cfg"], folder / "out.log", 10, env=env)


def envoy_cluster(name, port):
    return {"name": name, "type": "STATIC", "connect_timeout": "1s",
            "load_assignment": {"cluster_name": name, "endpoints": [{"lb_endpoints": [{"endpoint": {"address": {
                "socket_address": {"address": "127.0.0.1", "port_value": port}}}}]}]}}


class Envoy(HttpHost):
    """`log`: a line of JSON per request into this file. `shadow`: an upstream that gets a copy of every request."""

    ready_path = "/ready"

    def __init__(self, folder, name, upstream, log=None, shadow=None):
        super().__init__()
        folder = folder / name
        folder.mkdir(parents=True, exist_ok=True)
        kind = "type.googleapis.com/envoy.extensions."
        route = {"cluster": "model", "timeout": "30s"}
        clusters = [envoy_cluster("model", upstream.port)]
        if shadow:
            route["request_mirror_policies"] = [{"cluster": "shadow"}]
            clusters.append(envoy_cluster("shadow", shadow.port))
        manager = {"@type": kind + "filters.network.http_connection_manager.v3.HttpConnectionManager", "stat_prefix": "front",
                   "use_remote_address": True,
                   "route_config": {"virtual_hosts": [{"name": "all", "domains": ["*"],
                                                       "routes": [{"match": {"prefix": "/"}, "route": route}]}]},
                   "http_filters": [{"name": "router", "typed_config": {"@type": kind + "filters.http.router.v3.Router"}}]}
        if log:
            words = {"time": "%START_TIME%", "method": "%REQ(:METHOD)%", "path": "%REQ(:PATH)%", "status": "%RESPONSE_CODE%",
                     "took_ms": "%DURATION%", "bytes": "%BYTES_SENT%", "upstream": "%UPSTREAM_HOST%", "id": "%REQ(X-REQUEST-ID)%"}
            manager["access_log"] = [{"name": "file", "typed_config": {
                "@type": kind + "access_loggers.file.v3.FileAccessLog", "path": str(log), "log_format": {"json_format": words}}}]
        listener = {"name": "front", "address": {"socket_address": {"address": "127.0.0.1", "port_value": self.port}},
                    "filter_chains": [{"filters": [{"name": "manager", "typed_config": manager}]}]}
        self.admin_port = free_port()
        config = {"admin": {"address": {"socket_address": {"address": "127.0.0.1", "port_value": self.admin_port}}},
                  "static_resources": {"listeners": [listener], "clusters": clusters}}
        (folder / "envoy.json").write_text(json.dumps(config, indent=1))
        self.log = log
        self.start(name, [program("envoy", "stores/envoy/envoy"), "-c", folder / "envoy.json", "--concurrency", "1",
                          "--use-dynamic-base-id", "--log-level", "warn"], folder / "out.log", 20)

    @property
    def ready_url(self):
        return f"http://127.0.0.1:{self.admin_port}{self.ready_path}"

    def stop(self):
        status = super().stop()
        if self.log:
            self.log.unlink(missing_ok=True)
        return status


class Leadsman(HttpHost):
    """`monitored`: each request leaves an event for the monitor, as it comes; `captured`: with what its bodies say. `shadow`: an upstream that gets a
    copy of every request, and whose answers are compared."""

    def __init__(self, folder, name, upstream, binary, connections, monitored, captured, shadow=None):
        super().__init__()
        folder = folder / name
        folder.mkdir(parents=True, exist_ok=True)
        self.admin_port = free_port()
        service = {"name": "model", "versions": [{"version": 1, "endpoints": [f"127.0.0.1:{upstream.port}"], "weight": 1}]}
        if shadow:
            service["versions"].append({"version": 2, "endpoints": [f"127.0.0.1:{shadow.port}"], "weight": 0})
            service["mirror"] = {"version": 2, "max_concurrent": 1024}
        config = {"admin": {"address": "127.0.0.1", "port": self.admin_port}, "data_dir": str(folder / "data"), "log": {"level": "warn"},
                  "gateway": {"listeners": [{"address": "127.0.0.1", "port": self.port}], "io_threads": 1,
                              "routes": [{"service": "model", "predictions": "all" if monitored else "none",
                                          "decode": {"sample": 1 if captured else 0}}],
                              "services": [service],
                              "limits": {"max_connections": connections + 256, "idle_timeout": "10m"}}}
        (folder / "leadsman.yaml").write_text(json.dumps(config, indent=1))
        self.start(name, [binary, "gateway", "--config", folder / "leadsman.yaml"], folder / "out.log", 30)

    @property
    def ready_url(self):
        return f"http://127.0.0.1:{self.admin_port}/readyz"


class Bare:
    """No proxy: the upstream is asked, and its own CPU time is told."""

    def __init__(self, upstream):
        self.port, self.pid = upstream.port, upstream.pid

    def stop(self):
        pass


def start(system, work, upstream, shadow, options):
    if system == "bare":
        return Bare(upstream)
    if system == "nginx":
        return Nginx(work, upstream)
    if system == "haproxy":
        return HAProxy(work, upstream, options.idle_connections)
    if system.startswith("envoy"):
        return Envoy(work, system, upstream, work / "envoy-access.log" if system == "envoy-log" else None,
                     shadow if system == "envoy-mirror" else None)
    return Leadsman(work, system, upstream, options.bin / "leadsman", options.idle_connections, system != "leadsman-unmonitored",
                    system == "leadsman-capture", shadow if system == "leadsman-mirror" else None)
