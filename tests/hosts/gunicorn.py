"""gunicorn with the Flask application of gunicorn_app/, out of the environment of bench/requirements.txt."""
import os
import pathlib
import urllib.error
import urllib.request

from .process import HostError, HostProcess, free_port


class Gunicorn:
    """Serves every <model>/1/model.onnx below `repository` with two worker processes of four threads each."""

    def __init__(self, repository, folder, timeout=60):
        cache = pathlib.Path(os.environ.get("LEADSMAN_CACHE") or pathlib.Path.home() / ".cache" / "leadsman")
        python = cache / "venv-bench" / "bin" / "python"
        if not python.exists():
            raise HostError("gunicorn is not here; `./dev install bench` fetches it")
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.host = HostProcess("gunicorn", [
            python, "-m", "gunicorn", "--workers", "2", "--worker-class", "gthread", "--threads", "4", "--keep-alive", "75",
            "--bind", f"127.0.0.1:{self.port}", "--chdir", pathlib.Path(__file__).parent / "gunicorn_app", "app:app"],
            pathlib.Path(folder) / "gunicorn.log", env={"MODEL_REPOSITORY": str(repository), "OMP_NUM_THREADS": "1"})
        try:
            self.host.wait_until(self._ready, timeout)
        except BaseException:
            self.host.stop()
            raise

    @property
    def pid(self):
        return self.host.pid

    def _ready(self):
        try:
            with urllib.request.urlopen(self.url + "/v2/health/ready", timeout=2) as answer:
                return answer.status == 200
        except (urllib.error.URLError, OSError):
            return False

    def stop(self):
        return self.host.stop()
