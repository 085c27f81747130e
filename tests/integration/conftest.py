"""Starts the real binary on free ports and stops it by process id. Nothing here waits without a deadline."""
import contextlib
import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import requests

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))
sys.path.insert(0, str(Path(__file__).parent))

BINARY = Path(os.environ.get("LEADSMAN_BINARY", ROOT / "build/release/bin/leadsman"))
# Has TensorFlow, XGBoost, LightGBM, MLflow, gRPC clients … (tests/requirements-models.txt); started as a process of its own.
MODELS_PYTHON = Path(os.environ.get("LEADSMAN_MODELS_PYTHON", Path.home() / ".cache/leadsman/venv-models/bin/python"))


def wait_for(what, condition, timeout=30.0, every=0.02):
    """Polls until `condition` gives something true; fails with `what` and the last value otherwise."""
    deadline = time.monotonic() + timeout
    last = None
    while time.monotonic() < deadline:
        try:
            last = condition()
            if last:
                return last
        except (requests.ConnectionError, requests.Timeout) as error:
            last = error
        time.sleep(every)
    raise AssertionError(f"waited {timeout} s for {what}; last seen: {last!r}")


class Server:
    """One `leadsman serve` process."""

    def __init__(self, folder, config, log_name="server.log"):
        self.folder = Path(folder)
        self.config = {"data_dir": str(self.folder / "data"), **config}
        self.config["server"] = {"address": "127.0.0.1", "port": 0, "grpc_port": 0, **config.get("server", {})}
        self.config["admin"] = {"address": "127.0.0.1", "port": 0, **config.get("admin", {})}
        self.config.setdefault("lifecycle", {"poll_interval": "50ms"})
        self.config["log"] = {**config.get("log", {}), "format": "json"}
        self.path = self.folder / "leadsman.yaml"
        self.log = self.folder / log_name
        self.process = None

    def start(self, ready=True):
        self.path.write_text(json.dumps(self.config, indent=1))
        with open(self.log, "ab") as out:
            offset = out.tell()
            self.process = subprocess.Popen([str(BINARY), "serve", "--config", str(self.path)], stderr=out, stdout=out,
                                            start_new_session=True)
        port, admin_port, grpc_port = wait_for("the ports in the log", lambda: self._ports(offset))
        self.url, self.admin = (f"http://127.0.0.1:{number}" for number in (port, admin_port))
        self.grpc = f"127.0.0.1:{grpc_port}"
        if ready:
            wait_for("/readyz", lambda: requests.get(self.admin + "/readyz", timeout=5).status_code == 200, timeout=90)
        return self

    def _ports(self, offset):
        assert self.process.poll() is None, f"leadsman ended with {self.process.returncode}:\n{self.log_text()}"
        with open(self.log, "rb") as lines:
            lines.seek(offset)
            for line in lines.read().decode(errors="replace").splitlines():
                with contextlib.suppress(ValueError):
                    entry = json.loads(line)
                    if entry.get("message") == "serving":
                        return entry["port"], entry["admin_port"], entry.get("grpc_port")
        return None

    def log_text(self):
        return self.log.read_text(errors="replace")

    def get(self, path, **kwargs):
        return requests.get(self.admin + path, timeout=10, **kwargs)

    def rollouts(self):
        return self.get("/api/v1/rollouts").json()["rollouts"]

    def model(self, name):
        return self.get(f"/api/v1/models/{name}").json()

    def version_state(self, name, version):
        return {v["version"]: v for v in self.model(name)["versions"]}.get(version, {}).get("state")

    def cli(self, *arguments, **kwargs):
        return subprocess.run([str(BINARY), *arguments], capture_output=True, text=True, timeout=60,
                              env={**os.environ, "LEADSMAN_SERVER": self.admin}, **kwargs)

    def kill(self):
        self.process.send_signal(signal.SIGKILL)
        self.process.wait(10)

    def stop(self, timeout=40):
        if self.process and self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                return self.process.wait(timeout)
            except subprocess.TimeoutExpired:
                self.kill()
                raise AssertionError(f"leadsman did not stop within {timeout} s of SIGTERM:\n{self.log_text()}")
        return self.process.returncode if self.process else None


def stable_version(server):
    """As the rollout engine has it, which is a moment after the version is ready."""
    line = next((x for x in server.get("/metrics").text.splitlines()
                 if x.startswith('leadsman_rollout_stable_version{model="digits"}')), "0")
    return int(float(line.split()[-1]))


@pytest.fixture
def start(tmp_path):
    """start(models=[…], **top-level configuration) → a running Server. Stopped, and its exit checked, at the end."""
    if not BINARY.exists():
        pytest.fail(f"{BINARY} is missing: run ./dev build release")
    servers = []

    def _start(ready=True, **config):
        folder = tmp_path / f"server{len(servers)}"
        folder.mkdir()
        server = Server(folder, config)
        servers.append(server)
        return server.start(ready)

    yield _start
    for server in servers:
        alive = server.process.poll() is None
        code = server.stop()
        if alive:
            assert code == 0, f"leadsman ended with {code}:\n{server.log_text()}"


@pytest.fixture(scope="session")
def models_python():
    """models_python(script, *arguments) → what the script printed; it runs in the models' environment."""
    if not MODELS_PYTHON.exists():
        pytest.fail(f"{MODELS_PYTHON} is missing: run ./dev install test")

    def run(script, *arguments, timeout=120, environment=None):
        environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "2", "CUDA_VISIBLE_DEVICES": "", **(environment or {})}
        done = subprocess.run([str(MODELS_PYTHON), str(script), *map(str, arguments)], capture_output=True, text=True,
                              timeout=timeout, env=environment, check=False)
        assert done.returncode == 0, f"{script} failed:\n{done.stdout[-2000:]}\n{done.stderr[-6000:]}"
        return done.stdout

    return run


@pytest.fixture(scope="session")
def trained(models_python):
    """The folder with the models of train_models.py. Kept in the cache for as long as the script and its packages are the same."""
    script = Path(__file__).with_name("train_models.py")
    key = hashlib.sha256(script.read_bytes() + (ROOT / "tests/requirements-models.txt").read_bytes()).hexdigest()[:16]
    cache = Path(os.environ.get("LEADSMAN_CACHE", Path.home() / ".cache/leadsman")) / "test-models"
    folder = cache / key
    if not (folder / "expected.json").exists():
        partial = cache / f".{key}.{os.getpid()}"
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(parents=True)
        models_python(script, partial, timeout=300)
        shutil.rmtree(folder, ignore_errors=True)
        partial.rename(folder)
    return folder


@pytest.fixture
def repository(tmp_path):
    folder = tmp_path / "repository"
    folder.mkdir()
    return folder


@pytest.fixture(scope="session")
def mlflow_server(tmp_path_factory):
    from tests.hosts.stores import MlflowServer
    with MlflowServer(tmp_path_factory.mktemp("mlflow")) as server:
        yield server
