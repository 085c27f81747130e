"""The formats. Each module has load(wanted) → Model; the library behind it is imported there, when it is needed."""
import importlib

_MODULES = {"sklearn": "sklearn_model", "mlflow": "mlflow_model", "keras": "keras_model", "python": "script_model"}


def load(wanted):
    module = importlib.import_module("." + _MODULES[wanted["format"]], __name__)
    return module.load(wanted)
