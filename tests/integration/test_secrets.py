"""No secret is ever shown. One server is given secrets of every kind, to stores that take them, to stores that refuse them and to
stores that repeat whatever they were sent; then everything it says, anywhere, is searched for each of them."""
import base64
import itertools
import json
import os
import subprocess
import urllib.parse

import grpc
import pytest
import requests
import tritonclient.grpc as triton
from Crypto.PublicKey import RSA
from remote_models import IMPATIENT, environment, put_version
from test_security import bearer, write_tokens
from tritonclient.grpc import service_pb2_grpc

from conftest import BINARY, wait_for
from tests.hosts.fault_proxy import FaultProxy
from tests.hosts.google_tokens import GoogleTokens
from tests.hosts.stores import MlflowServer

SECRET = {name: f"secret-{name}-{'0123456789abcdef' * 2}" for name in
          ("aws-key", "aws-session", "http-token", "netrc-password", "mlflow-token", "hdfs-token", "signature",
           "predict", "limited", "label", "metrics", "admin", "unknown")}

# How each kind of store words an error; S3 and STS, GCS, HDFS, MLflow. A web server's text is shown nowhere.
WORDS = {
    "s3": lambda text: f"<Error><Code>Odd</Code><Message>{text.replace('<', '').replace('&', '&amp;')}</Message></Error>",
    "gcs": lambda text: json.dumps({"error": {"code": 400, "message": text}}),
    "hdfs": lambda text: json.dumps({"RemoteException": {"exception": "OddException", "message": text}}),
    "mlflow": lambda text: json.dumps({"error_code": "ODD", "message": text}),
    "web": lambda text: text,
    "token": lambda text: json.dumps({"error": "invalid_grant", "error_description": text}),
}


def forms(secret):
    """As it is, and as requests carry it."""
    yield secret
    yield urllib.parse.quote(secret, safe="")
    yield base64.b64encode(secret.encode()).decode()


def searched(outputs, secrets):
    assert all(outputs.values()), [where for where, text in outputs.items() if not text]
    shown = [(where, name) for (where, text), (name, secret) in itertools.product(outputs.items(), secrets.items())
             if any(form in text for form in forms(secret))]
    assert not shown, shown


def everything_said(server, names):
    """Where → what. The admin port's and the serving port's answers, good and bad, gRPC's, the command line's, the log, and
    what lies in the data folder beside models."""
    said = {}
    admin = bearer(SECRET["admin"])
    paths = server.get("/openapi.json", headers=admin).json()["paths"]
    gets = [path for path, methods in paths.items() if "get" in methods]
    assert len(gets) > 8
    for path, name in itertools.product(gets, names):
        path = path.replace("{model}", name).replace("{version}", "1").replace("{label}", "stable").replace("{id}", "1")
        said[path] = server.get(path, headers=admin).text
    said["metrics as OpenMetrics"] = server.get("/metrics", headers={**admin, "accept": "application/openmetrics-text"}).text
    tokens = {"none": {}, "odd": {"authorization": SECRET["unknown"]}, **{name: bearer(SECRET[name]) for name in
              ("unknown", "label", "metrics", "limited", "predict", "admin")}}
    for (who, token), name in itertools.product(tokens.items(), names):
        for method, path, body in [("GET", f"/v1/models/{name}", None), ("POST", f"/v1/models/{name}:predict", {"instances": "x"}),
                                   ("GET", f"/v2/models/{name}", None), ("POST", f"/v2/models/{name}/infer", {"inputs": 1}),
                                   ("POST", "/v2/repository/index", {}), ("POST", f"/v2/repository/models/{name}/load", {}),
                                   ("POST", "/invocations", {"inputs": [1]}), ("POST", f"/predict/{name}", {"x": 1}),
                                   ("GET", f"/nothing/{SECRET['unknown'][:8]}", None)]:
            answer = requests.request(method, server.url + path, json=body, headers=token, timeout=10)
            said[f"{method} {path} by {who}"] = f"{answer.status_code} {answer.headers} {answer.text}"
        for path in ("/api/v1/status", "/metrics"):
            said[f"{path} by {who}"] = server.get(path, headers=token).text
        with grpc.insecure_channel(server.grpc) as channel:
            stub = service_pb2_grpc.GRPCInferenceServiceStub(channel)
            for call, request in [(stub.ModelMetadata, triton.service_pb2.ModelMetadataRequest(name=name)),
                                  (stub.ModelInfer, triton.service_pb2.ModelInferRequest(model_name=name)),
                                  (stub.RepositoryIndex, triton.service_pb2.RepositoryIndexRequest()),
                                  (stub.RepositoryModelLoad, triton.service_pb2.RepositoryModelLoadRequest(model_name=name))]:
                try:
                    text = str(call(request, metadata=list(token.items()), timeout=20))
                except grpc.RpcError as error:
                    text = f"{error.code()} {error.details()} {error.trailing_metadata()}"
                said[f"{call._method} of {name} by {who}"] = text or "empty"
    for command in (["status"], ["models"], ["models", "--json"], ["status", "--json"], ["rollout", "list"], ["rollout", "list", "--json"],
                    ["config", "show"], ["config", "check", str(server.path)], ["models", "label", names[0], "x", "9"]):
        for token in (SECRET["admin"], SECRET["unknown"]):
            offline = command[:2] == ["config", "check"]
            done = subprocess.run([str(BINARY), *command], capture_output=True, text=True, timeout=60, check=False,
                                  env={**os.environ, "LEADSMAN_TOKEN": token, **({} if offline else {"LEADSMAN_SERVER": server.admin})})
            said[f"{command} {token[:14]}"] = f"{done.returncode} {done.stdout} {done.stderr}"
    said["the log"] = server.log_text()
    data = server.folder / "data"
    for file in data.rglob("*"):
        if file.is_file() and "blobs" not in file.parts:
            said[str(file.relative_to(data))] = f"{file} " + file.read_bytes().decode("latin-1")
    return said


@pytest.fixture(scope="module")
def guarded_mlflow(tmp_path_factory):
    with MlflowServer(tmp_path_factory.mktemp("guarded"), guarded=True) as server:
        yield server


def test_no_secret_is_shown_anywhere(guarded_mlflow, tmp_path, start, monkeypatch):
    user, password = guarded_mlflow.reader
    key = RSA.generate(2048)
    secrets = {**SECRET, "mlflow password": password,
               "a service account's key": key.export_key().decode().splitlines()[7]}
    files = {"netrc": f"machine 127.0.0.1 login reader password {SECRET['netrc-password']}\n",
             "hdfs": SECRET["hdfs-token"], "google.json": ""}
    for name, content in files.items():
        (tmp_path / name).write_text(content)
    write_tokens(tmp_path / "tokens.json", [
        *({"name": role, "token": SECRET[role], "roles": [role]} for role in ("predict", "label", "metrics", "admin")),
        {"name": "limited", "token": SECRET["limited"], "roles": ["predict"], "models": ["digits"]}])

    with GoogleTokens() as tokens, guarded_mlflow.model("shown") as store, FaultProxy(guarded_mlflow.port) as echo:
        (tmp_path / "google.json").write_text(tokens.service_account(key).replace(tokens.host, f"127.0.0.1:{echo.port}"))
        put_version(store, tmp_path, 1)
        url = f"http://127.0.0.1:{echo.port}"
        # In this order, for the first that fits is taken; MLflow's own requests pass until the model is served.
        for part, words, code in [("/token", "token", 400), ("/s3bucket", "s3", 400), ("/webhdfs", "hdfs", 400), ("/web/", "web", 400)]:
            echo.fault("echo", path=part, times=10**9, code=code, body=WORDS[words])
        uri, mlflow, _ = store.through(echo.port)
        storage = {**IMPATIENT, **mlflow, "stall_timeout": "30s", "s3": {"endpoint": url}, "hdfs": {"endpoints": [url], "token_file": str(tmp_path / "hdfs")},
                   "gcs": {"endpoint": url, "credentials_file": str(tmp_path / "google.json")},
                   "http": {"netrc_file": str(tmp_path / "netrc")}}
        paths = {"digits": uri, "s3": "s3://s3bucket/m", "gcs": "gs://bucket/m", "hdfs": "hdfs://cluster/m", "web": f"{url}/web/m",
                 "signed": f"{url}/web/m-3.tar.gz?X-Signature={SECRET['signature']}"}
        env = {"AWS_ACCESS_KEY_ID": "access", "AWS_SECRET_ACCESS_KEY": SECRET["aws-key"], "AWS_SESSION_TOKEN": SECRET["aws-session"],
               "MLFLOW_TRACKING_USERNAME": user, "MLFLOW_TRACKING_PASSWORD": password, "LEADSMAN_HTTP_TOKEN": SECRET["http-token"]}
        with environment(monkeypatch, env):
            server = start(ready=False, models=[{"name": name, "path": path} for name, path in paths.items()], storage=storage,
                           log={"level": "debug"},
                           auth={"tokens_file": str(tmp_path / "tokens.json"), "protect_metrics": True})
        admin = bearer(SECRET["admin"])

        def note(name):
            return server.get(f"/api/v1/models/{name}", headers=admin).json()["note"]

        def predicted():
            return requests.post(server.url + "/v1/models/digits:predict", json={"instances": [4.0]}, timeout=10,
                                 headers=bearer(SECRET["limited"])).status_code == 200

        wait_for("the model out of MLflow", predicted, timeout=60)
        # What was repeated came without the secrets, which shows that it was repeated.
        for name in ("s3", "gcs", "hdfs"):
            wait_for(name, lambda: "(hidden)" in note(name))
        for name in ("web", "signed"):
            wait_for(name, lambda: "answered 400" in note(name))
        assert server.get("/api/v1/configuration", headers=admin).json()["log"]["level"] == "debug"
        searched(everything_said(server, list(paths)), secrets)

        echo.fault("echo", path="/mlflow/", times=10**9, code=400, body=WORDS["mlflow"])
        assert requests.post(server.admin + "/api/v1/models/digits/refresh", headers=admin, timeout=10).status_code == 202
        wait_for("MLflow's words", lambda: "(hidden)" in note("digits"))
        # Files that are no good are told about without what stands in them.
        (tmp_path / "tokens.json").write_text(json.dumps({"tokens": [{"name": SECRET["admin"], "tokn": SECRET["predict"], "roles": 1}]}))
        (tmp_path / "google.json").write_text(json.dumps({"type": "service_account", "private_key": secrets["a service account's key"]}))
        wait_for("the broken tokens", lambda: "the new tokens are not used" in server.log_text())
        assert requests.post(server.admin + "/api/v1/models/gcs/refresh", headers=admin, timeout=10).status_code == 202
        wait_for("the broken key", lambda: "client_email" in note("gcs"))
        searched({"the log": server.log_text(), "status": server.get("/api/v1/status", headers=admin).text,
                  "models": server.get("/api/v1/models", headers=admin).text}, secrets)
        server.stop()
        searched({"the log": server.log_text()}, secrets)
