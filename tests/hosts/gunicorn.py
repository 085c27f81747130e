"""gunicorn with the Flask application of gunicorn_app/, out of the environment of bench/requirements.txt."""
import os
import pathlib

from .process import HostError, HttpHost


class Gunicorn(HttpHost):
    """Serves every <model>/1/model.onnx below `repository` with two worker processes of four threads each."""

    def __init__(self, repository, folder, timeout=60):
        cache = pathlib.Path(os.environ.get("LEADSMAN_CACHE") or pathlib.Path.home() / ".cache" / "leadsman")
        python = cache / "venv-bench" / "bin" / "python"
        if not python.exists():
            raise HostError("gunicorn is not here; `./dev install bench` fetches it")
        super().__init__()
        self.start("gunicorn", [
            python, "-m", "gunicorn", "--workers", "2", "--worker-class", "gthread", "--threads", "4", "--keep-alive", "75",
            "--bind", f"127.0.0.1:{self.port}", "--chdir", pathlib.Path(__file__).parent / "gunicorn_app", "app:app"],
            pathlib.Path(folder) / "gunicorn.log", timeout, env={"MODEL_REPOSITORY": str(repository), "OMP_NUM_THREADS": "1"})
