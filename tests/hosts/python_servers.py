"""The Python model servers of the field, each with the benchmark's MLP, out of the environments of
bench/requirements-*.txt and tests/requirements-models.txt."""
import json
import os
import pathlib
import subprocess

from .process import HostError, HttpHost, free_port

APPS = pathlib.Path(__file__).parent / "python_apps"


def python_of(environment):
    """The interpreter of one of them."""
    cache = pathlib.Path(os.environ.get("LEADSMAN_CACHE") or pathlib.Path.home() / ".cache" / "leadsman")
    python = cache / environment / "bin" / "python"
    if not python.exists():
        raise HostError(f"the environment {environment} is not here; `./dev install bench` or `./dev install test` makes it")
    return python


def _one_thread(folder):
    return {"OMP_NUM_THREADS": "1", "MLP": str(pathlib.Path(folder) / "repository" / "mlp" / "1" / "model.onnx")}


class MlServer(HttpHost):
    """MLServer without its worker processes, which is the quicker of its two ways."""

    ready_path = "/v2/models/mlp/ready"

    def __init__(self, folder, work, timeout=120):
        python = python_of("venv-mlserver")
        super().__init__()
        home = pathlib.Path(work) / "mlserver"
        (home / "mlp").mkdir(parents=True, exist_ok=True)
        (home / "settings.json").write_text(json.dumps({
            "host": "127.0.0.1", "http_port": self.port, "grpc_port": free_port(), "metrics_port": free_port(),
            "debug": False, "parallel_workers": 0}))
        (home / "mlp" / "model-settings.json").write_text(json.dumps({"name": "mlp", "implementation": "mlserver_app.Onnx"}))
        self.start("mlserver", [python, "-m", "mlserver.cli.main", "start", home], pathlib.Path(work) / "mlserver.log", timeout,
                   env={**_one_thread(folder), "PYTHONPATH": str(APPS)})


class KServe(HttpHost):
    ready_path = "/v2/models/mlp/ready"

    def __init__(self, folder, work, timeout=120):
        python = python_of("venv-kserve")
        super().__init__()
        self.start("kserve", [python, APPS / "kserve_app.py", "--http_port", self.port, "--grpc_port", free_port(),
                              "--workers", "1"], pathlib.Path(work) / "kserve.log", timeout, env=_one_thread(folder))


class MlflowServer(HttpHost):
    ready_path = "/ping"

    def __init__(self, folder, work, timeout=120):
        python = python_of("venv-models")
        super().__init__()
        home = pathlib.Path(work) / "mlflow-model"
        environment = {**_one_thread(folder), "PATH": os.pathsep.join([str(python.parent), os.environ.get("PATH", os.defpath)]),
                       "MLFLOW_TRACKING_URI": (pathlib.Path(work) / "mlflow-runs").resolve().as_uri()}
        if not (home / "MLmodel").exists():
            saved = subprocess.run([python, APPS / "mlflow_save.py", home], env={**os.environ, **environment},
                                   capture_output=True, text=True, check=False)
            if saved.returncode != 0:
                raise HostError(f"mlflow could not save the model: {saved.stderr[-800:]}")
        self.start("mlflow", [python, "-m", "mlflow", "models", "serve", "-m", home, "--env-manager", "local", "-h", "127.0.0.1",
                              "-p", self.port], pathlib.Path(work) / "mlflow.log", timeout, env=environment)
