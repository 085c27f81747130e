"""Load one model, then answer requests until the server says stop or is gone."""
import json
import os
import signal
import sys
import traceback

from . import priority
from .channel import (DONE, FAILED_PRECONDITION, HELLO, INTERNAL, INVALID_ARGUMENT, LOAD, LOADED, PROTOCOL, QUIT, UNIMPLEMENTED,
                      RESOURCE_EXHAUSTED, RUN, Channel, WorkerError)


def main():
    sys.stdout.reconfigure(line_buffering=True, errors="backslashreplace")
    sys.stderr.reconfigure(line_buffering=True, errors="backslashreplace")
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    channel = Channel()
    channel.send(HELLO, PROTOCOL, 0, os.getpid())
    message = channel.receive()
    if message is None or message[0] != LOAD:
        return 0
    _, protocol, _, size, _ = message
    try:
        if protocol != PROTOCOL:
            raise WorkerError(FAILED_PRECONDITION, f"the worker in {os.path.dirname(__file__)} speaks version {PROTOCOL} of "
                              f"the channel, this server version {protocol}: install both from one release")
        normal = priority.lower()
        runner = _load(channel, json.loads(channel.requests[:size]))
        normal()
    except BaseException as error:
        _log(error)
        failure = _load_failure(error)
        channel.send_failure(0, failure.code, str(failure))
        return 1
    runner.serve()
    # The model was closed. What an interpreter takes apart in the end is memory that the kernel takes back anyway, and with
    # a large library that takes seconds for which somebody waits.
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)


def _load(channel, wanted):
    if sys.version_info < (3, 9):
        raise WorkerError(FAILED_PRECONDITION, f"{sys.executable} is Python {sys.version.split()[0]}; the worker needs 3.9 "
                          "or newer")
    try:
        import numpy  # noqa: F401
    except ImportError as error:
        raise missing_module(error) from None
    from .models import load
    from .serve import Runner
    _limit_memory(wanted["max_memory"])
    if not os.path.exists(wanted["path"]):
        raise WorkerError(5, f"there is no {wanted['model_file']} in the version's folder")
    model = load(wanted)
    runner = Runner(channel, model)
    answer = json.dumps({"inputs": [s.describe() for s in model.inputs], "outputs": [s.describe() for s in model.outputs],
                         "python": sys.version.split()[0], "libraries": model.libraries}).encode()
    if len(answer) > len(channel.responses):
        raise WorkerError(RESOURCE_EXHAUSTED, f"the model's signature is too long ({len(answer)} bytes)")
    channel.responses[:len(answer)] = answer
    runner.loaded = (LOADED, len(answer))
    return runner


def _limit_memory(limit):
    """The server looks at the memory from time to time; this is for what grows faster. It counts what is set aside, too,
    of which libraries set much aside that they never use: hence the room."""
    if limit > 0:
        import resource
        most = 2 * limit + (1 << 30)
        _, hard = resource.getrlimit(resource.RLIMIT_DATA)
        if hard == resource.RLIM_INFINITY or hard > most:
            resource.setrlimit(resource.RLIMIT_DATA, (most, most))


def missing_module(error):
    """The sentence for a package that is not installed. `name` is the module's, which is not always the package's."""
    packages = {"sklearn": "scikit-learn", "cv2": "opencv-python-headless", "PIL": "pillow", "yaml": "pyyaml",
                "skimage": "scikit-image", "bs4": "beautifulsoup4", "dateutil": "python-dateutil"}
    packages |= {name: name for name in ("numpy", "pandas", "scipy", "joblib", "cloudpickle", "mlflow", "torch", "torchvision",
                                         "tensorflow", "keras", "xgboost", "lightgbm", "catboost", "statsmodels", "transformers",
                                         "tokenizers", "onnxruntime", "requests", "pyarrow", "polars", "spacy", "nltk")}
    name = (getattr(error, "name", None) or "").split(".")[0]
    if not name:
        return WorkerError(FAILED_PRECONDITION, f"{type(error).__name__}: {error}")
    if name == "triton_python_backend_utils":
        return WorkerError(UNIMPLEMENTED, "models of Triton's Python backend (TritonPythonModel) are not supported: write load(), "
                           "predict() and close() instead, see docs/python-models.md")
    # The name of a module that nobody knows may be anybody's package: no command is made of it.
    how = f"{sys.executable} -m pip install {packages[name]}" if name in packages else (
        f"{sys.executable} -m pip install and the name of its package; or, if it is a module of your own, put it beside the model")
    return WorkerError(FAILED_PRECONDITION, f"{type(error).__name__}: no module {name}: install it into the interpreter that "
                       f"runs this model: {how}; or name another interpreter by the model's runtime option python")


def _load_failure(error):
    if isinstance(error, WorkerError):
        return error
    if isinstance(error, ImportError) and getattr(error, "name", None):
        return missing_module(error)
    if isinstance(error, MemoryError):
        return WorkerError(RESOURCE_EXHAUSTED, "the model does not fit into the memory that it may use")
    code = INTERNAL if isinstance(error, (SystemExit, KeyboardInterrupt)) else INVALID_ARGUMENT
    return WorkerError(code, f"{type(error).__name__}: {error}")


def _log(error):
    """Where it happened, to the server's log; the message goes to whoever asked, for it may quote their data."""
    if isinstance(error, WorkerError):
        return
    frames = traceback.extract_tb(error.__traceback__)[-20:]
    where = " < ".join(f"{os.path.basename(f.filename)}:{f.lineno} {f.name}" for f in reversed(frames))
    print(f"{type(error).__name__} at {where}", file=sys.stderr)


log_error = _log
__all__ = ["DONE", "QUIT", "RUN", "main", "log_error", "missing_module"]
