"""The formats. Each module has load(wanted) → Model; the library behind it is imported there, when it is needed."""
import importlib
import sys

_MODULES = {"sklearn": "sklearn_model", "mlflow": "mlflow_model", "keras": "keras_model", "python": "script_model"}


def load(wanted):
    module = importlib.import_module("." + _MODULES[wanted["format"]], __name__)
    return module.load(wanted)


def add_to_path(directory):
    """Makes the modules beside a model importable: before the packages that are installed, behind the standard library,
    which a file called types.py must not replace."""
    at = next((i for i, entry in enumerate(sys.path) if entry.endswith(("site-packages", "dist-packages"))), len(sys.path))
    sys.path.insert(at, directory)
