"""The servers that `./dev bench serving` compares, each started on free ports with the models of make_models.py."""
import os
import pathlib
import shutil

from hosts.gunicorn import Gunicorn
from hosts.process import HttpHost, free_port
from hosts.python_servers import KServe, MlflowServer, MlServer
from hosts.triton import Triton

# Which kinds of request each takes; see cases.py.
SPEAKS = {
    "echo": {"json"},
    "leadsman": {"json", "binary", "grpc", "tfs-grpc", "mlflow"},
    "leadsman-unmonitored": {"json", "binary", "grpc", "tfs-grpc", "mlflow"},
    "leadsman-batching": {"json", "binary", "grpc", "tfs-grpc", "mlflow"},
    "triton": {"json", "binary", "grpc"},
    "triton-batching": {"json", "binary", "grpc"},
    "gunicorn": {"json"},
    "mlserver": {"json"},
    "kserve": {"json"},
    "mlflow": {"mlflow"},
}
PYTHON_SERVERS = ("gunicorn", "mlserver", "kserve", "mlflow")

LEADSMAN_CONFIG = """
server: {{address: 127.0.0.1, port: {port}, grpc_port: {grpc_port}}}
admin: {{address: 127.0.0.1, port: {admin_port}}}
data_dir: {data}
log: {{level: warn}}
models:
"""
LEADSMAN_MODEL = "  - {{name: {name}, path: {repository}/{name}, monitoring: {{enabled: {monitored}}}{more}}}\n"


class Leadsman(HttpHost):
    """`unmonitored`: those of the models. `more`: further settings of every model, as YAML behind the others
    (", batching: {…}")."""

    def __init__(self, folder, work, binary, models=("iris", "mlp"), unmonitored=(), more="", name="leadsman"):
        super().__init__()
        self.grpc_port, self.admin_port = free_port(), free_port()
        config = work / f"{name}.yaml"
        text = LEADSMAN_CONFIG.format(port=self.port, grpc_port=self.grpc_port, admin_port=self.admin_port,
                                      data=work / f"{name}-data")
        for model in models:
            text += LEADSMAN_MODEL.format(name=model, repository=folder / "repository", more=more,
                                          monitored="false" if model in unmonitored else "true")
        # /invocations names no model, so that one is configured.
        text += f"mlflow: {{model: {models[-1]}}}\n"
        config.write_text(text)
        self.start(name, [binary, "serve", "--config", config], work / f"{name}.log", 30)

    @property
    def ready_url(self):
        return f"http://127.0.0.1:{self.admin_port}/readyz"


class Echo(HttpHost):
    ready_path = "/"

    def __init__(self, work, binary):
        super().__init__()
        self.start("echo", [binary, self.port, os.cpu_count()], work / "echo.log", 10)


def triton_that_batches(folder):
    """The same models with Triton's dynamic batcher as its documentation turns it on, in a repository of their own."""
    target = folder / "triton-batching"
    shutil.rmtree(target, ignore_errors=True)
    shutil.copytree(folder / "triton", target)
    for config in target.glob("*/config.pbtxt"):
        config.write_text(config.read_text() + "dynamic_batching { }\n")
    return target


def start(system, folder: pathlib.Path, work: pathlib.Path, options):
    if system == "echo":
        return Echo(work, options.bin / "echo_server")
    if system == "triton":
        return Triton(folder / "triton", work)
    if system == "gunicorn":
        return Gunicorn(folder / "repository", work)
    if system == "mlserver":
        return MlServer(folder, work)
    if system == "kserve":
        return KServe(folder, work)
    if system == "mlflow":
        return MlflowServer(folder, work)
    if system == "triton-batching":
        return Triton(triton_that_batches(folder), work)
    more = ", batching: {}" if system == "leadsman-batching" else ""
    models = ("iris", "mlp")
    unmonitored = models if system == "leadsman-unmonitored" else ()
    return Leadsman(folder, work, options.bin / "leadsman", models, unmonitored, more, system)
