"""TLS, client certificates and tokens on the real binary; certificates are made by the openssl command line at test time."""
import contextlib
import hashlib
import http.client
import json
import os
import signal
import socket
import ssl
import subprocess
import threading

import grpc
import models
import numpy as np
import pytest
import requests
import tritonclient.grpc as triton
from certificates import Authority, install
from conftest import BINARY, wait_for
from tritonclient.grpc import service_pb2, service_pb2_grpc
from tritonclient.utils import InferenceServerException

PREDICT, LABEL, ADMIN, SCRAPE = ("predict-token-0123456789", "label-token-0123456789", "admin-token-0123456789",
                                 "metrics-token-0123456789")


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("ca"), "authority")


def serve(start, repository, server=None, **config):
    models.release(repository, "half_plus_two", 1, models.half_plus_two())
    models.release(repository, "digits", 1, models.classifier())
    tls = "tls" in (server or {})
    running = start(ready=False, server=server or {}, models=[{"name": n, "path": str(repository / n)}
                                                             for n in ("half_plus_two", "digits")], **config)
    if tls:
        running.url = running.url.replace("http://127.0.0.1", "https://localhost")
    wait_for("/readyz", lambda: requests.get(running.admin + "/readyz", timeout=5).status_code == 200)
    return running


def predict(server, model="half_plus_two", **kwargs):
    rows = [1.0] if model == "half_plus_two" else [[0.0] * 10]
    return requests.post(f"{server.url}/v1/models/{model}:predict", json={"instances": rows}, timeout=5, **kwargs)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of the versions that the server must not speak
def test_tls_is_spoken_and_plain_text_is_told_so(start, repository, authority, tmp_path):
    server = serve(start, repository, {"tls": install(authority.issue("server"), tmp_path)})
    answer = predict(server, verify=authority.certificate)
    assert answer.json() == {"predictions": [2.5]}
    with pytest.raises(requests.exceptions.SSLError):
        predict(server)  # the system does not know this authority
    plain = requests.get(server.url.replace("https", "http"), timeout=5)
    assert plain.status_code == 400 and "use https://" in plain.json()["error"]
    context = ssl.create_default_context(cafile=authority.certificate)
    context.set_alpn_protocols(["h2", "http/1.1"])
    port = int(server.url.rsplit(":", 1)[1])
    with socket.create_connection(("127.0.0.1", port), 5) as raw, context.wrap_socket(raw, server_hostname="localhost") as tls:
        assert tls.version() == "TLSv1.3" and tls.selected_alpn_protocol() == "http/1.1"
    context.minimum_version = ssl.TLSVersion.TLSv1
    context.maximum_version = ssl.TLSVersion.TLSv1_1
    context.set_ciphers("ALL:@SECLEVEL=0")
    with socket.create_connection(("127.0.0.1", port), 5) as raw, pytest.raises((ssl.SSLError, ConnectionResetError)):
        context.wrap_socket(raw, server_hostname="localhost")
    metrics = server.get("/metrics").text
    assert 'leadsman_tls_certificate_expiry_timestamp_seconds{server="serving"}' in metrics


@pytest.mark.parametrize("client_auth", ["optional", "required"])
def test_client_certificates(start, repository, authority, tmp_path, client_auth):
    clients = Authority(tmp_path / "clients", "clients")
    strangers = Authority(tmp_path / "strangers", "strangers")
    tls = {**install(authority.issue("server"), tmp_path), "client_ca_file": str(clients.certificate),
           "client_auth": client_auth}
    server = serve(start, repository, {"tls": tls})

    def answered(pair):
        try:
            return predict(server, verify=authority.certificate, cert=pair and tuple(map(str, pair))).status_code == 200
        except (requests.exceptions.SSLError, requests.exceptions.ConnectionError):
            return False

    assert answered(clients.issue("good"))
    assert answered(None) == (client_auth == "optional")
    assert not answered(strangers.issue("wrong"))
    assert not answered(clients.issue("expired", days=-1))


def test_certificates_change_under_load_without_a_failed_request(start, repository, authority, tmp_path):
    server = serve(start, repository, {"tls": install(authority.issue("first"), tmp_path)})
    done, failures, answered = threading.Event(), [], []

    def load():
        while not done.is_set():
            with requests.Session() as session:  # a few requests on each connection
                for _ in range(3):
                    try:
                        answer = session.post(server.url + "/v1/models/half_plus_two:predict", json={"instances": [1.0]},
                                              timeout=10, verify=authority.certificate)
                        (answered if answer.status_code == 200 else failures).append(answer.status_code)
                    except requests.RequestException as error:
                        failures.append(error)

    def reloads(outcome):
        for line in server.get("/metrics").text.splitlines():
            if line.startswith("leadsman_tls_certificate_reloads_total") and f'outcome="{outcome}"' in line:
                return int(float(line.split()[-1]))
        return 0

    threads = [threading.Thread(target=load) for _ in range(2)]
    for thread in threads:
        thread.start()
    try:
        install(authority.issue("second"), tmp_path)
        wait_for("the second pair", lambda: reloads("success") == 1)
        (tmp_path / "cert.pem").write_text("broken")
        wait_for("the broken one told", lambda: reloads("failure") == 1)
        install(authority.issue("third"), tmp_path)
        os.kill(server.process.pid, signal.SIGHUP)  # need not be waited for
        wait_for("the third pair", lambda: reloads("success") == 2)
        count = len(answered)
        wait_for("requests with the third", lambda: len(answered) > count + 5 or failures)
    finally:
        done.set()
        for thread in threads:
            thread.join(20)
    assert not failures
    assert server.log_text().count("new TLS files are not used") == 1


def test_the_grpc_port_takes_new_certificates_and_keeps_its_connections(start, repository, authority, tmp_path):
    server = serve(start, repository, {"tls": install(authority.issue("first"), tmp_path)})
    successor = Authority(tmp_path / "successor", "successor")

    def client(trusts):
        return triton.InferenceServerClient(server.grpc.replace("127.0.0.1", "localhost"), ssl=True,
                                            root_certificates=str(trusts.certificate))

    def trusted(authority):
        with client(authority) as one:
            try:
                return one.is_server_ready(client_timeout=5)
            except InferenceServerException as error:
                assert error.status() in ("StatusCode.UNAVAILABLE", "StatusCode.DEADLINE_EXCEEDED"), error
                return False

    assert trusted(authority) and not trusted(successor)
    with client(authority) as before:
        assert before.is_model_ready("digits")
        install(successor.issue("second"), tmp_path)
        wait_for("the successor's certificate", lambda: trusted(successor))
        assert not trusted(authority)
        assert before.is_model_ready("digits"), "a connection keeps the certificate that it began with"


def write_tokens(path, tokens):
    part = path.with_suffix(".part")
    part.write_text(json.dumps({"tokens": tokens}))
    part.chmod(0o600)
    os.replace(part, path)


def bearer(token):
    return {"authorization": f"Bearer {token}"}


@pytest.fixture
def guarded(start, repository, tmp_path):
    path = tmp_path / "tokens.json"
    write_tokens(path, [
        {"name": "shop", "sha256": hashlib.sha256(PREDICT.encode()).hexdigest(), "roles": ["predict"], "models": ["half*"]},
        {"name": "labeller", "token": LABEL, "roles": ["label"]},
        {"name": "prometheus", "token": SCRAPE, "roles": ["metrics"]},
        {"name": "operator", "token": ADMIN, "roles": ["admin"]}])
    return serve(start, repository, auth={"tokens_file": str(path), "protect_metrics": True}), path


def test_tokens_and_their_roles(guarded):
    server, _ = guarded
    missing = predict(server)
    assert missing.status_code == 401 and missing.headers["www-authenticate"].startswith("Bearer")
    assert predict(server, headers=bearer("some-other-token-012345")).status_code == 401
    assert predict(server, headers=bearer(PREDICT)).json() == {"predictions": [2.5]}
    assert predict(server, "digits", headers=bearer(PREDICT)).status_code == 403  # not its model
    assert predict(server, "digits", headers=bearer(ADMIN)).status_code == 200
    assert predict(server, headers=bearer(LABEL)).status_code == 403
    for path in ("/v2/health/live", "/v2/health/ready"):
        assert requests.get(server.url + path, timeout=5).status_code == 200
    for path in ("/livez", "/readyz"):
        assert server.get(path).status_code == 200

    label = {"request_id": "r1", "label": "7"}
    statuses = [requests.post(server.admin + "/api/v1/labels", json=label, headers=bearer(token), timeout=5).status_code
                for token in (PREDICT, LABEL, ADMIN)]
    assert statuses[0] == 403 and 401 not in statuses[1:] and 403 not in statuses[1:]
    assert server.get("/api/v1/status").status_code == 401
    assert server.get("/api/v1/status", headers=bearer(LABEL)).status_code == 403
    assert server.get("/api/v1/status", headers=bearer(ADMIN)).status_code == 200
    assert server.get("/metrics").status_code == 401
    metrics = server.get("/metrics", headers=bearer(SCRAPE)).text
    assert 'leadsman_auth_checks_total{outcome="unknown"} 1' in metrics
    assert "leadsman_auth_tokens 4" in metrics
    for secret in (PREDICT, LABEL, ADMIN, SCRAPE):
        assert secret not in server.log_text()


@pytest.mark.parametrize("protect", [False, True])
def test_metrics_on_the_serving_port_are_guarded_as_on_the_other(start, repository, tmp_path, protect):
    path = tmp_path / "tokens.json"
    write_tokens(path, [{"name": "prometheus", "token": SCRAPE, "roles": ["metrics"]}])
    server = serve(start, repository, auth={"tokens_file": str(path), "protect_metrics": protect},
                   server={"metrics_path": "/monitoring/metrics"})
    url = server.url + "/monitoring/metrics"
    assert requests.get(url, timeout=5).status_code == (401 if protect else 200)
    assert "leadsman_" in requests.get(url, headers=bearer(SCRAPE), timeout=5).text


def test_without_a_token_no_body_is_taken(guarded):
    server, _ = guarded

    def port(url):
        return int(url.rsplit(":", 1)[1])

    def refused(connection, status):
        connection.settimeout(10)
        answer = http.client.HTTPResponse(connection)
        answer.begin()
        assert answer.status == status and answer.headers["Connection"] == "close", answer.headers
        assert ("WWW-Authenticate" in answer.headers) == (status == 401)
        assert "error" in json.loads(answer.read())

    length = 60_000_000
    for url, path, token, status in (
            (server.url, "/v1/models/half_plus_two:predict", None, 401), (server.url, "/v2/models/digits/infer", "unknown-token-012345", 401),
            (server.url, "/v2/models/digits/infer", PREDICT, 403), (server.url, "/predict", None, 401), (server.url, "/invocations", LABEL, 403),
            (server.admin, "/api/v1/labels", None, 401), (server.admin, "/api/v1/labels", PREDICT, 403)):
        head = f"POST {path} HTTP/1.1\r\nHost: t\r\nContent-Length: {length}\r\n" + (f"Authorization: Bearer {token}\r\n" if token else "")
        for more in ("", "Expect: 100-continue\r\n"):
            with socket.create_connection(("127.0.0.1", port(url)), 10) as one:
                one.sendall(f"{head}{more}\r\n".encode())
                refused(one, status)  # an interim 100 would be skipped, but then nothing more would come

    head = f"POST /v1/models/half_plus_two:predict HTTP/1.1\r\nHost: t\r\nContent-Length: {length}\r\n\r\n".encode()
    with contextlib.ExitStack() as open_ones:
        many = [open_ones.enter_context(socket.create_connection(("127.0.0.1", port(server.url)), 10)) for _ in range(15)]
        for one in many:
            one.sendall(head + b"x" * 100_000)
        for one in many:
            refused(one, 401)
        metrics = server.get("/metrics", headers=bearer(SCRAPE)).text.splitlines()
        held = next(float(line.split()[1]) for line in metrics if line.startswith("leadsman_http_held_bytes "))
        assert held < 1_000_000
    assert predict(server, headers=bearer(PREDICT)).json() == {"predictions": [2.5]}


def test_rest_and_grpc_give_a_token_the_same(guarded):
    """PREDICT is for half* alone, LABEL has another role."""
    server, _ = guarded
    with triton.InferenceServerClient(server.grpc) as client, grpc.insecure_channel(server.grpc) as channel:
        stub = service_pb2_grpc.GRPCInferenceServiceStub(channel)
        pb = triton.service_pb2

        def rest(method, path, token, body=None):
            answer = requests.request(method, server.url + path, json=body, headers=token and bearer(token), timeout=5)
            return {401: "UNAUTHENTICATED", 403: "PERMISSION_DENIED"}.get(answer.status_code, "passed")

        def by_grpc(call, request, token):
            try:
                call(request, metadata=list(bearer(token).items()) if token else None, timeout=5)
            except grpc.RpcError as error:
                name = error.code().name
                return name if name in ("UNAUTHENTICATED", "PERMISSION_DENIED") else "passed"
            return "passed"

        # Of a model: predictions, metadata, readiness, statistics. Of any: the lists. For admins: loading.
        same = [("of a model", [
            (("POST", "/v2/models/{}/infer", {}), stub.ModelInfer, lambda name: pb.ModelInferRequest(model_name=name)),
            (("GET", "/v2/models/{}", None), stub.ModelMetadata, lambda name: pb.ModelMetadataRequest(name=name)),
            (("GET", "/v2/models/{}/ready", None), stub.ModelReady, lambda name: pb.ModelReadyRequest(name=name)),
            (("GET", "/v2/models/{}/config", None), stub.ModelConfig, lambda name: pb.ModelConfigRequest(name=name)),
            (("GET", "/v2/models/{}/stats", None), stub.ModelStatistics, lambda name: pb.ModelStatisticsRequest(name=name))]),
                ("of any", [
            (("GET", "/v2/models/stats", None), stub.ModelStatistics, lambda _: pb.ModelStatisticsRequest()),
            (("POST", "/v2/repository/index", {}), stub.RepositoryIndex, lambda _: pb.RepositoryIndexRequest())]),
                ("for admins", [
            (("POST", "/v2/repository/models/{}/load", {}), stub.RepositoryModelLoad,
             lambda name: pb.RepositoryModelLoadRequest(model_name=name))]),
                ("of none", [(("GET", "/v2", None), stub.ServerMetadata, lambda _: pb.ServerMetadataRequest())])]
        denied, unknown = "PERMISSION_DENIED", "UNAUTHENTICATED"
        allowed = {"of a model": {"half_plus_two": "passed", "digits": denied, "nope": denied}, "of any": denied,
                   "for admins": denied, "of none": "passed"}
        for kind, requests_ in same:
            for (method, path, body), call, message in requests_:
                for name in ("half_plus_two", "digits", "nope"):
                    limited = allowed[kind][name] if kind == "of a model" else allowed[kind]
                    for token, expected in [(PREDICT, limited), (LABEL, denied), ("", unknown), ("some-other-token-012345", unknown),
                                            (ADMIN, "passed")]:
                        asked = (path, name, token[:5])
                        assert rest(method, path.format(name), token, body) == expected, asked
                        assert by_grpc(call, message(name), token) == expected, asked
        assert client.is_server_live() and client.is_server_ready()


def test_a_request_is_counted_once_whatever_its_door(guarded):
    server, _ = guarded

    def counted():
        # The scrape itself is allowed, and counted.
        counted.scrapes += 1
        lines = server.get("/metrics", headers=bearer(ADMIN)).text.splitlines()
        total = {line.split('"')[1]: int(float(line.split()[-1])) for line in lines if line.startswith("leadsman_auth_checks_total")}
        return {**total, "allowed": total["allowed"] - counted.scrapes}

    counted.scrapes = 0
    before = counted()
    assert predict(server, headers=bearer(PREDICT)).status_code == 200
    assert predict(server, "digits", headers=bearer(PREDICT)).status_code == 403
    by_rest = counted()
    x = triton.InferInput("x", [1], "FP32")
    x.set_data_from_numpy(np.ones(1, "f"))
    with triton.InferenceServerClient(server.grpc) as client:
        client.infer("half_plus_two", [x], headers=bearer(PREDICT))
        with pytest.raises(InferenceServerException, match="not for this model"):
            client.infer("digits", [x], headers=bearer(PREDICT))
    by_grpc = counted()
    for counts, earlier in ((by_rest, before), (by_grpc, by_rest)):
        assert {name: counts[name] - earlier[name] for name in counts} == {"allowed": 1, "forbidden": 1, "missing": 0, "unknown": 0}


def test_tokens_change_without_a_restart(guarded):
    server, path = guarded
    fresh = "a-fresh-token-0123456789"
    write_tokens(path, [{"name": "shop", "token": fresh, "roles": ["predict"]},
                        {"name": "operator", "token": ADMIN, "roles": ["admin"]}])
    wait_for("the fresh token", lambda: predict(server, headers=bearer(fresh)).status_code == 200)
    assert predict(server, headers=bearer(PREDICT)).status_code == 401
    path.write_text("tokens: [{name: shop, token: short}]")
    failed = 'leadsman_auth_token_reloads_total{outcome="failure"} 1'
    wait_for("the broken file told", lambda: failed in server.get("/metrics", headers=bearer(ADMIN)).text)
    assert predict(server, headers=bearer(fresh)).status_code == 200
    assert server.log_text().count("the new tokens are not used") == 1


def test_the_command_line_brings_its_token_and_speaks_https(start, repository, authority, tmp_path):
    write_tokens(tmp_path / "tokens.json", [{"name": "operator", "token": ADMIN, "roles": ["admin"]}])
    models.release(repository, "half_plus_two", 1, models.half_plus_two())
    tls = install(authority.issue("server"), tmp_path)
    server = start(ready=False, models=[{"name": "half_plus_two", "path": str(repository / "half_plus_two")}],
                   admin={"tls": tls}, auth={"tokens_file": str(tmp_path / "tokens.json")})
    url = server.admin.replace("http://127.0.0.1", "https://localhost")
    (tmp_path / "token").write_text(ADMIN + "\n")
    trust = ["--server", url, "--ca-file", str(authority.certificate)]

    def run(*words, token=""):
        environment = {**os.environ, "LEADSMAN_TOKEN": token}
        return subprocess.run([str(BINARY), "status", *words], capture_output=True, text=True, timeout=30, env=environment)

    assert run(*trust, token=ADMIN).returncode == 0
    assert run(*trust, "--token-file", str(tmp_path / "token")).returncode == 0
    without = run(*trust)
    assert without.returncode == 1 and "--token-file" in without.stderr
    distrusted = run("--server", url, token=ADMIN)
    assert distrusted.returncode == 3 and "not trusted" in distrusted.stderr


def test_traces_come_back(start, repository):
    server = serve(start, repository)
    trace, span = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
    answer = predict(server, headers={"traceparent": f"00-{trace}-{span}-01", "x-request-id": "mine"})
    version, trace_back, span_back, flags = answer.headers["traceparent"].split("-")
    assert (version, trace_back, flags) == ("00", trace, "01") and span_back != span
    assert answer.headers["x-request-id"] == "mine" and "b3" not in answer.headers
    assert predict(server, headers={"b3": f"{trace}-{span}-0"}).headers["b3"].startswith(trace)
    assert "traceparent" not in predict(server).headers
    # B3 in several fields, and all of it over gRPC, whose answer's first metadata has it.
    several = {"x-b3-traceid": trace, "x-b3-spanid": span, "x-b3-sampled": "1"}
    answered = predict(server, headers=several).headers
    assert [answered[f"x-b3-{name}"] for name in ("traceid", "parentspanid", "sampled")] == [trace, span, "1"]
    assert answered["x-b3-spanid"] != span and "b3" not in answered
    request = service_pb2.ModelInferRequest(model_name="half_plus_two")
    request.inputs.add(name="x", datatype="FP32", shape=[1]).contents.fp32_contents.append(1)
    with grpc.insecure_channel(server.grpc) as channel:
        stub = service_pb2_grpc.GRPCInferenceServiceStub(channel)

        def by_grpc(**fields):
            _, call = stub.ModelInfer.with_call(request, timeout=10, metadata=list(fields.items()))
            return dict(call.initial_metadata())

        single = by_grpc(b3=f"{trace}-{span}-1")["b3"].split("-")
        assert (single[0], single[2], single[3]) == (trace, "1", span) and single[1] != span
        answered = by_grpc(**several)
        assert [answered[f"x-b3-{name}"] for name in ("traceid", "parentspanid", "sampled")] == [trace, span, "1"]
        assert answered["x-b3-spanid"] != span
