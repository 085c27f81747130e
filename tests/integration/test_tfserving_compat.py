"""The command line and the configuration files of tensorflow_model_server, as they stand in people's manifests."""
import http.client
import json
import os
import shutil
import signal
import socket
import subprocess
from pathlib import Path

import grpc
import models
import pytest
import requests
from certificates import Authority
from conftest import BINARY, wait_for
from grpc_health.v1 import health_pb2, health_pb2_grpc
from hosts.prometheus import Prometheus

CLIENT = Path(__file__).parent / "tfs_grpc_client.py"


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


class ModelServer:
    """The binary under a name of TensorFlow Serving's, with its arguments."""

    def __init__(self, folder, arguments, program="tensorflow_model_server", before=(), environment=None):
        self.port, self.grpc_port = free_port(), free_port()
        self.link = folder / program
        if not self.link.exists():
            self.link.symlink_to(BINARY)
        self.log = folder / "log"
        arguments = [*before, *arguments, f"--port={self.grpc_port}", f"--rest_api_port={self.port}", "--address=127.0.0.1",
                     "--admin-port=0", "--log-format=json"]
        with open(self.log, "wb") as out:
            self.process = subprocess.Popen([str(self.link), *arguments], stdout=out, stderr=out, cwd=folder,
                                            env={**os.environ, **(environment or {})}, start_new_session=True)
        self.url = f"http://127.0.0.1:{self.port}"

    def text(self):
        return self.log.read_text(errors="replace")

    def await_ready(self, path="/v1/models/half_plus_two", timeout=60):
        def state():
            assert self.process.poll() is None, self.text()
            answer = requests.get(self.url + path, timeout=5).json()
            return any(v["state"] == "AVAILABLE" for v in answer.get("model_version_status", []))
        wait_for(f"{path} to be available", state, timeout)
        return self

    def predict(self, model, values, expect=200):
        answer = requests.post(f"{self.url}/v1/models/{model}:predict", json={"instances": values}, timeout=5)
        assert answer.status_code == expect, answer.text
        return answer.json()


@pytest.fixture
def launch(tmp_path):
    if not BINARY.exists():
        pytest.fail(f"{BINARY} is missing: run ./dev build release")
    servers = []

    def _launch(arguments, **kwargs):
        folder = tmp_path / f"server{len(servers)}"
        folder.mkdir()
        servers.append(ModelServer(folder, arguments, **kwargs))
        return servers[-1]

    yield _launch
    for server in servers:
        if server.process.poll() is None:
            server.process.send_signal(signal.SIGTERM)
            assert server.process.wait(20) == 0, server.text()


@pytest.fixture
def export(repository, trained):
    """export(name, version): a SavedModel into the repository, alone in its folder, as TensorFlow leaves it."""
    def copy(name, version):
        partial = repository / f".{name}.{version}"
        shutil.copytree(trained / "half_plus_two" / "1", partial)
        (repository / name).mkdir(exist_ok=True)
        partial.rename(repository / name / str(version))

    return copy


def run(*arguments, program="tensorflow_model_server"):
    return subprocess.run([str(BINARY), program, *arguments], capture_output=True, text=True, timeout=30)


def config_file(path, repository, **wanted):
    """model_config_list with name → (text of the policy, labels)."""
    text = "model_config_list {\n"
    for name, (policy, labels) in wanted.items():
        text += f"  config {{\n    name: '{name}'\n    base_path: '{repository / name}'\n    model_platform: \"tensorflow\"\n"
        text += f"    model_version_policy {{ {policy} }}\n"
        for label, version in labels.items():
            text += f"    version_labels {{ key: '{label}' value: {version} }}\n"
        text += "  }\n"
    path.write_text(text + "}\n")
    return path


def test_the_arguments_of_the_documentation(launch, repository, export):
    export("half_plus_two", 123)
    server = launch(["--model_name=half_plus_two", f"--model_base_path={repository}/half_plus_two",
                     "--rest_api_num_threads=64", "--file_system_poll_wait_seconds", "1"]).await_ready()
    assert server.predict("half_plus_two", [[1.0], [2.0], [5.0]]) == {"predictions": [[2.5], [3.0], [4.5]]}
    # The documentation's own example, of a model whose x is [-1, 1]: TensorFlow Serving leaves shapes to the graph.
    assert server.predict("half_plus_two", [1.0, 2.0, 5.0]) == {"predictions": [2.5, 3.0, 4.5]}
    status = requests.get(server.url + "/v1/models/half_plus_two", timeout=5).json()
    assert status == {"model_version_status": [{"version": "123", "state": "AVAILABLE",
                                                "status": {"error_code": "OK", "error_message": ""}}]}
    regressed = requests.post(server.url + "/v1/models/half_plus_two:regress", timeout=5, json={
        "signature_name": "regress_x_to_y", "examples": [{"x": 1.0}, {"x": 2.0}]})
    assert regressed.json() == {"results": [2.5, 3.0]}
    assert "--rest_api_num_threads=64 does nothing" in server.text()
    # The next version by copying it there.
    export("half_plus_two", 124)
    server.await_ready("/v1/models/half_plus_two/versions/124")


def test_the_entry_point_of_the_image(launch, repository):
    models.release(repository, "half_plus_two", 1, models.half_plus_two())
    server = launch([], program="tf_serving_entrypoint.sh",
                    environment={"MODEL_NAME": "half_plus_two", "MODEL_BASE_PATH": str(repository)}).await_ready()
    assert server.predict("half_plus_two", [2.0]) == {"predictions": [3.0]}


def test_the_flags_behind_leadsman_serve(launch, repository):
    models.release(repository, "half_plus_two", 1, models.half_plus_two())
    server = launch(["--model_name=half_plus_two", "--model_base_path", str(repository / "half_plus_two"),
                     "--rest_api_enable_cors_support", "--enable_batching=true"],
                    program="leadsman", before=["serve"]).await_ready()
    assert server.predict("half_plus_two", [2.0]) == {"predictions": [3.0]}
    answer = requests.options(server.url + "/v1/models/half_plus_two:predict", headers={"Origin": "http://page.example"}, timeout=5)
    assert answer.status_code == 200
    assert answer.headers["Access-Control-Allow-Origin"] == "*"
    assert answer.headers["Access-Control-Allow-Headers"] == "Content-Type"
    for headers in ({}, {"Origin": "file:///home/page.html"}, {"Origin": "null"}):
        refused = requests.options(server.url + "/v1/models/half_plus_two:predict", headers=headers, timeout=5)
        assert refused.status_code == 400 and "Origin" in refused.json()["error"], (headers, refused.text)
    for body in ({"instances": [1.0]}, {"instances": ["a"]}):
        answer = requests.post(server.url + "/v1/models/half_plus_two:predict", json=body, timeout=5)
        assert answer.headers["Access-Control-Allow-Methods"] == "POST, GET", answer.text


def test_a_model_config_file_is_followed(launch, repository, tmp_path, export):
    for version in (1, 2):
        export("half_plus_two", version)
    export("other", 1)
    both = "specific { versions: 1 versions: 2 }"
    path = config_file(tmp_path / "models.config", repository, half_plus_two=(both, {"stable": 1}), other=("all {}", {}))
    monitoring = tmp_path / "monitoring.config"
    monitoring.write_text("prometheus_config {\n  enable: true,\n  path: \"/monitoring/prometheus/metrics\"\n}\n")
    batching = tmp_path / "batching.txt"
    batching.write_text("max_batch_size { value: 32 }\nbatch_timeout_micros { value: 0 }\nnum_batch_threads { value: 2 }\n")
    server = launch([f"--model_config_file={path}", "--model_config_file_poll_wait_seconds=1",
                     f"--monitoring_config_file={monitoring}", "--enable_batching", f"--batching_parameters_file={batching}"])
    server.await_ready("/v1/models/half_plus_two/versions/1").await_ready("/v1/models/half_plus_two/versions/2").await_ready("/v1/models/other")
    assert server.predict("half_plus_two/labels/stable", [[2.0]]) == {"predictions": [[3.0]]}
    metrics = requests.get(server.url + "/monitoring/prometheus/metrics", timeout=5)
    assert 'leadsman_serving_requests_total{' in metrics.text

    # A label moves to a version that is ready; what is omitted goes.
    config_file(path, repository, half_plus_two=(both, {"stable": 2}))
    wait_for("other to be gone", lambda: requests.post(server.url + "/v1/models/other:predict", json={"instances": [1.0]},
                                                       timeout=5).status_code == 404)
    labelled = requests.get(server.url + "/v1/models/half_plus_two/labels/stable", timeout=5).json()
    assert labelled["model_version_status"][0]["version"] == "2"

    # A file that is wrong, or that moves a live label to nowhere, changes nothing.
    for text, reason in (("model_config_list { config { nme: 'x' } }", "unknown field nme"),
                         (None, "which is not currently available for inference")):
        seen = server.text().count("configuration not reloaded")
        if text:
            path.write_text(text)
        else:
            config_file(path, repository, half_plus_two=("all {}", {"stable": 7}))
        wait_for("the reload to fail", lambda seen=seen: server.text().count("configuration not reloaded") > seen)
        assert reason in server.text()
        assert server.predict("half_plus_two/labels/stable", [[2.0]]) == {"predictions": [[3.0]]}

    # SIGHUP does what the next look would.
    config_file(path, repository, half_plus_two=(both, {"stable": 1}), other=("latest {}", {}))
    server.process.send_signal(signal.SIGHUP)
    server.await_ready("/v1/models/other")


@pytest.mark.parametrize("allowed", [False, True])
def test_a_new_label_may_wait_for_its_version_where_that_is_allowed_and_a_live_one_may_not(launch, repository, tmp_path, allowed):
    models.release(repository, "half_plus_two", 1, models.half_plus_two(), manifest=False)
    path = config_file(tmp_path / "models.config", repository, half_plus_two=("all {}", {"stable": 1}))
    server = launch([f"--model_config_file={path}", "--file_system_poll_wait_seconds=1",
                     f"--allow_version_labels_for_unavailable_models={str(allowed).lower()}"]).await_ready()

    def reload(labels, words):
        config_file(path, repository, half_plus_two=("all {}", labels))
        seen = server.text().count(words)
        server.process.send_signal(signal.SIGHUP)
        wait_for(words, lambda: server.text().count(words) > seen)

    refused = "configuration not reloaded"
    unavailable = "of model half_plus_two to version 7, which is not currently available for inference"
    reload({"stable": 1, "next": 7}, "configuration reloaded" if allowed else refused)
    told = server.predict("half_plus_two/labels/next", [2.0], expect=400)["error"]
    assert told.startswith("Unrecognized servable version label: next")
    if not allowed:
        assert f"Request to assign label next {unavailable}" in server.text()
        return
    reload({"stable": 7, "next": 7}, refused)
    assert f"Request to assign label stable {unavailable}" in server.text()
    assert server.predict("half_plus_two/labels/stable", [2.0]) == {"predictions": [3.0]}
    models.release(repository, "half_plus_two", 7, models.half_plus_two(), manifest=False)
    server.await_ready("/v1/models/half_plus_two/versions/7")
    wait_for("the label", lambda: requests.get(server.url + "/v1/models/half_plus_two/labels/next", timeout=5).status_code == 200)
    assert server.predict("half_plus_two/labels/next", [2.0]) == {"predictions": [3.0]}


def test_a_batching_parameters_file_is_what_batches_are_made_by(launch, repository, tmp_path):
    models.release(repository, "half_plus_two", 1, models.endless(), manifest=False)
    monitoring, batching = tmp_path / "monitoring.config", tmp_path / "batching.txt"
    monitoring.write_text("prometheus_config { enable: true }")
    batching.write_text("max_batch_size { value: 4 } batch_timeout_micros { value: 10000000 } max_enqueued_batches { value: 1 }\n"
                        "num_batch_threads { value: 1 }\n")
    server = launch([f"--model_base_path={repository / 'half_plus_two'}", "--model_name=half_plus_two", "--enable_batching",
                     f"--batching_parameters_file={batching}", f"--monitoring_config_file={monitoring}"]).await_ready()

    def metric(name):
        lines = requests.get(server.url + "/monitoring/prometheus/metrics", timeout=5).text.splitlines()
        return sum(float(line.split()[-1]) for line in lines if line.startswith(name))

    def send(*rows):
        """Whoever sends need not wait for the answer."""
        client = http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)
        client.request("POST", "/v1/models/half_plus_two:predict", body=json.dumps({"instances": rows}))
        return client

    # Four clients of one row each wait for one another; a fifth row has no place.
    together = [send(0) for _ in range(4)]
    assert [client.getresponse().status for client in together] == [200] * 4
    assert metric('leadsman_batching_batches_total{model="half_plus_two",version="1",reason="full"}') == 1
    assert metric("leadsman_batching_batch_rows_count") == 1 and metric("leadsman_batching_batch_rows_sum") == 4
    assert "4" in server.predict("half_plus_two", [0] * 5, expect=400)["error"]
    # While the only thread is busy, one batch of so many may wait.
    running = send(1e12, 0, 0, 0)
    wait_for("it to run", lambda: metric("leadsman_batching_instances_busy") == 1)
    waiting = [send(0) for _ in range(4)]
    wait_for("four to wait", lambda: metric("leadsman_batching_queue_depth") == 4)
    answer = send(0).getresponse()
    assert (answer.status, answer.getheader("Retry-After")) == (503, "1") and b"is full" in answer.read()
    for client in (running, *waiting):
        client.close()
    server.process.kill()  # it would wait for the endless one
    server.process.wait(20)


def test_dashboards_go_on(launch, repository, tmp_path):
    """What Grafana's TensorFlow Serving dashboard and people's alerts ask for, of a Prometheus that scrapes."""
    models.release(repository, "half_plus_two", 1, models.half_plus_two(), manifest=False)
    monitoring = tmp_path / "monitoring.config"
    monitoring.write_text("prometheus_config { enable: true }")
    server = launch([f"--model_base_path={repository / 'half_plus_two'}", "--model_name=half_plus_two",
                     f"--monitoring_config_file={monitoring}", "--enable_batching"]).await_ready()
    for _ in range(3):
        server.predict("half_plus_two", [2.0])
    server.predict("half_plus_two", ["a"], expect=400)
    requests.post(server.url + "/v1/models/half_plus_two:regress", json={"examples": [{"x": 1.0}]}, timeout=5)
    server.predict("no_such_model", [2.0], expect=404)
    page = "/monitoring/prometheus/metrics"
    with Prometheus(tmp_path / "prometheus", {"tf": server.url.removeprefix("http://")}, metrics_path=page) as prometheus:
        wait_for("a scrape", lambda: prometheus.query(":tensorflow:serving:request_count"))
        for query, expected in (
                (':tensorflow:serving:request_count{model_name="half_plus_two",status="OK"}', 4),
                (':tensorflow:serving:request_count{model_name="half_plus_two",status="INVALID_ARGUMENT"}', 1),
                ('sum(:tensorflow:serving:request_count{status!="OK"}) / sum(:tensorflow:serving:request_count)', 2 / 6),
                (':tensorflow:serving:request_latency_count{API="predict",entrypoint="REST"}', 3),
                (':tensorflow:serving:request_latency_bucket{API="regress",entrypoint="REST",le="1.47476e+09"}', 1),
                ('sum by (model_name) (:tensorflow:serving:runtime_latency_count{model_name="half_plus_two"})', 4),
                ("sum(:tensorflow:serving:batching_session:queuing_latency_count)", 4)):
            assert [round(value, 6) for _, value in prometheus.query(query)] == [round(expected, 6)], query
        mean, = prometheus.query(":tensorflow:serving:request_latency_sum{API='predict'} / :tensorflow:serving:request_latency_count")
        assert 1 < mean[1] < 10e6  # microseconds
        assert prometheus.query('histogram_quantile(0.99, :tensorflow:serving:request_latency_bucket{API="predict"})')[0][1] > 10


def reload(models_python, address, config, token=""):
    """What TensorFlow Serving's own client prints about HandleReloadConfigRequest with a file's ModelServerConfig."""
    return models_python(CLIENT, address, "reload", config, environment={"TOKEN": token}).strip()


def test_a_client_says_which_models_are_served(launch, repository, tmp_path, models_python):
    for version in (1, 2):
        models.release(repository, "half_plus_two", version, models.half_plus_two(), manifest=False)
    models.release(repository, "other", 1, models.half_plus_two(), manifest=False)
    (repository / "broken" / "1").mkdir(parents=True)
    (repository / "broken" / "1" / "model.onnx").write_bytes(b"not a model")
    server = launch([f"--model_base_path={repository / 'half_plus_two'}", "--model_name=half_plus_two",
                     "--max_num_load_retries=0", "--file_system_poll_wait_seconds=0"]).await_ready()
    address = f"127.0.0.1:{server.grpc_port}"
    path = tmp_path / "sent.config"

    # The answer comes when the new model is there; what was served in between is served all the time.
    both = "specific { versions: 1 versions: 2 }"
    config_file(path, repository, half_plus_two=(both, {}), other=("latest {}", {}))
    assert reload(models_python, address, path) == "OK"
    assert server.predict("other", [2.0]) == {"predictions": [3.0]}
    server.await_ready("/v1/models/half_plus_two/versions/1")

    # Labels; a label that moves to nowhere changes nothing; nor does a policy that is wrong.
    config_file(path, repository, half_plus_two=(both, {"stable": 1}), other=("latest {}", {}))
    assert reload(models_python, address, path) == "OK"
    assert server.predict("half_plus_two/labels/stable", [2.0]) == {"predictions": [3.0]}
    config_file(path, repository, half_plus_two=("all {}", {"stable": 7}))
    assert reload(models_python, address, path).startswith("FAILED_PRECONDITION Request to assign label stable")
    config_file(path, repository, half_plus_two=("specific {}", {}))
    assert reload(models_python, address, path).startswith("INVALID_ARGUMENT model_config_list.config[0].model_version_policy")
    path.write_text("")
    assert reload(models_python, address, path).startswith("INVALID_ARGUMENT ServerModelConfig type not supported")
    assert server.predict("half_plus_two/labels/stable", [2.0]) == server.predict("other", [2.0])

    # A model that cannot be loaded is told, and stands in nobody's way; what is omitted goes.
    config_file(path, repository, half_plus_two=("latest {}", {}), broken=("latest {}", {}))
    told = reload(models_python, address, path)
    assert told.startswith("UNKNOWN model(s) did not become available: ") and "broken" in told
    wait_for("other to be gone", lambda: requests.post(server.url + "/v1/models/other:predict", json={"instances": [1.0]},
                                                       timeout=5).status_code == 404)
    assert server.predict("half_plus_two", [2.0]) == {"predictions": [3.0]}


def test_only_an_admin_says_which_models_are_served(start, repository, tmp_path, models_python):
    models.release(repository, "half_plus_two", 1, models.half_plus_two())
    models.release(repository, "other", 1, models.half_plus_two())
    tokens = tmp_path / "tokens.json"
    tokens.write_text(json.dumps({"tokens": [{"name": "client", "token": "client-token-0123456789", "roles": ["predict"]},
                                             {"name": "boss", "token": "admin-token-0123456789", "roles": ["admin"]}]}))
    tokens.chmod(0o600)
    server = start(models=[{"name": "half_plus_two", "path": str(repository / "half_plus_two"),
                            "monitoring": {"prediction_output": "y"}}], auth={"tokens_file": str(tokens)})
    path = config_file(tmp_path / "sent.config", repository, half_plus_two=("latest {}", {}), other=("latest {}", {}))
    assert reload(models_python, server.grpc, path).startswith("UNAUTHENTICATED ")
    assert reload(models_python, server.grpc, path, "client-token-0123456789").startswith("PERMISSION_DENIED ")
    assert reload(models_python, server.grpc, path, "admin-token-0123456789") == "OK"
    boss = {"authorization": "Bearer admin-token-0123456789"}
    answer = requests.post(server.url + "/v1/models/other:predict", json={"instances": [2.0]}, headers=boss, timeout=5)
    assert answer.json() == {"predictions": [3.0]}
    # What the server's own file says of a model beyond the request stays.
    shown = server.get("/api/v1/configuration", headers=boss).json()
    assert [m["monitoring"]["prediction_output"] for m in shown["models"]] == ["y", ""]
    assert server.get("/api/v1/status", headers=boss).json()["config_reload"]["last_trigger"] == "client"


def test_a_unix_socket(launch, repository, tmp_path):
    models.release(repository, "half_plus_two", 1, models.half_plus_two(), manifest=False)
    path = tmp_path / "grpc.sock"
    server = launch([f"--model_base_path={repository / 'half_plus_two'}", "--model_name=half_plus_two",
                     f"--grpc_socket_path={path}"]).await_ready()
    for target in (f"unix:{path}", f"127.0.0.1:{server.grpc_port}"):
        with grpc.insecure_channel(target) as channel:
            assert health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest(), timeout=5).status == 1
    server.process.send_signal(signal.SIGTERM)
    assert server.process.wait(20) == 0, server.text()
    assert not path.exists()


def test_warm_up_requests(launch, tmp_path, models_python):
    """Of a SavedModel that TensorFlow wrote; the requests are TFRecords of PredictionLogs."""
    folder = tmp_path / "half_plus_two"
    models_python(Path(__file__).parent / "make_warmup_model.py", folder)
    requests_file = folder / "%s" / "assets.extra" / "tf_serving_warmup_requests"
    config = tmp_path / "models.config"
    config.write_text(f"model_config_list {{ config {{ name: 'half_plus_two' base_path: '{folder}' "
                      "model_version_policy { all {} } } }")
    monitoring = tmp_path / "monitoring.config"
    monitoring.write_text("prometheus_config { enable: true }")
    server = launch([f"--model_config_file={config}", "--max_num_load_retries=0", "--num_request_iterations_for_warmup=2",
                     f"--monitoring_config_file={monitoring}"]).await_ready()

    def states():
        answer = requests.get(server.url + "/v1/models/half_plus_two", timeout=5).json()
        versions = {v["version"]: v for v in answer["model_version_status"]}
        return versions if [versions.get(v, {}).get("state") for v in "123"] == ["AVAILABLE", "END", "END"] else None
    versions = wait_for("one to be there and two to fail", states)
    second, third = (versions[v]["status"] for v in "23")
    assert second["error_code"] == "INVALID_ARGUMENT"
    assert f"warm-up request 2 of {requests_file}" % 2 in second["error_message"]
    assert third["error_code"] == "DATA_LOSS"
    assert f"{requests_file}: the record at byte 0 is corrupt" % 3 in third["error_message"]
    assert server.predict("half_plus_two", [2.0]) == {"predictions": [3.0]}
    metrics = requests.get(server.url + "/monitoring/prometheus/metrics", timeout=5).text
    assert 'leadsman_lifecycle_warmup_requests_total{model="half_plus_two"} 6' in metrics
    assert ":tensorflow:core:graph_runs 1\n" in metrics


def quoted(pem):
    """A PEM text as people write it into a text proto: a string a line."""
    return "".join(f'\n  "{line}\\n"' for line in Path(pem).read_text().splitlines())


@pytest.mark.parametrize("verify", [False, True])
def test_an_ssl_config_file(launch, repository, tmp_path, verify):
    models.release(repository, "half_plus_two", 1, models.half_plus_two(), manifest=False)
    servers, clients, strangers = (Authority(tmp_path / name, name) for name in ("servers", "clients", "strangers"))
    certificate, key = servers.issue("server")
    ssl = tmp_path / "ssl.config"
    ssl.write_text(f"server_key: {quoted(key)}\nserver_cert: {quoted(certificate)}\ncustom_ca: {quoted(clients.certificate)}\n"
                   f"client_verify: {str(verify).lower()}\n")
    server = launch([f"--model_base_path={repository / 'half_plus_two'}", "--model_name=half_plus_two",
                     f"--ssl_config_file={ssl}"]).await_ready()  # REST stays as it is

    def answered(pair=None, root=servers.certificate):
        chain, of = (Path(p).read_bytes() for p in pair) if pair else (None, None)
        credentials = grpc.ssl_channel_credentials(Path(root).read_bytes(), of, chain)
        with grpc.secure_channel(f"localhost:{server.grpc_port}", credentials) as channel:
            request = health_pb2.HealthCheckRequest(service="tensorflow.serving.PredictionService")
            try:
                return health_pb2_grpc.HealthStub(channel).Check(request, timeout=5).status == 1
            except grpc.RpcError as error:
                assert error.code() in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED), error
                return False

    assert answered(clients.issue("client"))
    assert answered() == (not verify)
    assert answered(strangers.issue("stranger")) == (not verify)
    assert not answered(root=strangers.certificate)
    assert server.predict("half_plus_two", [2.0]) == {"predictions": [3.0]}
    # A new pair is taken when the file changes.
    certificate, key = strangers.issue("server")
    part = ssl.with_suffix(".part")
    part.write_text(f"server_key: {quoted(key)}\nserver_cert: {quoted(certificate)}\ncustom_ca: {quoted(clients.certificate)}\n"
                    f"client_verify: {str(verify).lower()}\n")
    part.rename(ssl)
    own = clients.issue("client")
    wait_for("the new certificate", lambda: answered(own, root=strangers.certificate))
    assert not answered(own)


def test_what_cannot_be_is_told_before_anything_starts(repository, tmp_path):
    for arguments, words in (
            (["--model_base_pth=/m"], "did you mean --model_base_path?"),
            ([], "nothing to serve: give --model_base_path"),
            (["--model_base_path=/m", "--port=8501", "--rest_api_port=8501"], "--rest_api_port cannot be same as --port"),
            (["--model_config_file=/none"], "--model_config_file: "),
            (["--model_base_path=/m", "--use_alts_credentials"], "use --ssl_config_file")):
        ended = run(*arguments)
        assert ended.returncode == 2, ended
        assert words in ended.stderr
    wrong = tmp_path / "batching.txt"
    wrong.write_text("max_batch_size { value: 8 }\nallowed_batch_sizes: 4")
    ended = run("--model_base_path=/m", "--enable_batching", f"--batching_parameters_file={wrong}")
    assert f"{wrong}:2:1: allowed_batch_sizes: the last must be max_batch_size (8), not 4" in ended.stderr
    assert "--model_config_file_poll_wait_seconds" in run("--help").stdout
    assert run("--version").stdout.startswith("Leadsman ")
    checked = run("--check-config", "--model_base_path=/m", "--num_unload_threads=1")
    assert (checked.returncode, checked.stdout.splitlines()[-1]) == (0, "configuration ok")
    assert json.dumps(checked.stdout).count("does nothing") == 1
