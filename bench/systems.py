"""The servers that `./dev bench serving` compares, each started on free ports with the models of make_models.py."""
import os
import pathlib
import urllib.error
import urllib.request

from hosts.gunicorn import Gunicorn
from hosts.process import HostProcess, free_port
from hosts.python_servers import KServe, MlflowServer, MlServer
from hosts.triton import Triton

# Which kinds of request each takes; see cases.py.
SPEAKS = {
    "echo": {"json"},
    "leadsman": {"json", "binary", "grpc", "tfs-grpc", "mlflow"},
    "leadsman-unmonitored": {"json", "binary", "grpc", "tfs-grpc", "mlflow"},
    "triton": {"json", "binary", "grpc"},
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


def answers(url):
    try:
        with urllib.request.urlopen(url, timeout=2) as answer:
            return answer.status == 200
    except (urllib.error.URLError, OSError):
        return False


class Leadsman:
    """`more`: further settings of every model, as YAML behind the others (", batching: {…}")."""

    def __init__(self, folder, work, binary, monitored=True, models=("iris", "mlp"), more=""):
        name = "leadsman" if monitored else "leadsman-unmonitored"
        self.port, self.grpc_port, admin_port = free_port(), free_port(), free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        config = work / f"{name}.yaml"
        text = LEADSMAN_CONFIG.format(port=self.port, grpc_port=self.grpc_port, admin_port=admin_port,
                                      data=work / f"{name}-data")
        for model in models:
            text += LEADSMAN_MODEL.format(name=model, repository=folder / "repository", more=more,
                                          monitored="true" if monitored else "false")
        # /invocations names no model, so that one is configured.
        text += f"mlflow: {{model: {models[-1]}}}\n"
        config.write_text(text)
        self.host = HostProcess(name, [binary, "serve", "--config", config], work / f"{name}.log")
        try:
            self.host.wait_until(lambda: answers(f"http://127.0.0.1:{admin_port}/readyz"), 30)
        except BaseException:
            self.host.stop()
            raise

    pid = property(lambda self: self.host.pid)

    def stop(self):
        return self.host.stop()


class Echo:
    def __init__(self, work, binary):
        port = free_port()
        self.url = f"http://127.0.0.1:{port}"
        self.host = HostProcess("echo", [binary, port, os.cpu_count()], work / "echo.log")
        try:
            self.host.wait_until(lambda: answers(self.url + "/"), 10)
        except BaseException:
            self.host.stop()
            raise

    pid = property(lambda self: self.host.pid)

    def stop(self):
        return self.host.stop()


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
    return Leadsman(folder, work, options.bin / "leadsman", monitored=system == "leadsman")
