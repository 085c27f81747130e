"""A user's own module: docs/python-models.md says what stands in it."""
import importlib.util
import inspect
import sys

from ..channel import INTERNAL, INVALID_ARGUMENT, WorkerError
from ..tensors import Spec
from . import add_to_path
from .model import Model, declared
from .sklearn_model import is_of_pickle, unreadable


def load(wanted):
    add_to_path(wanted["directory"])
    module = _import(wanted["path"], wanted["model_file"])
    predict = _function(module, "predict", wanted)
    if predict is None:
        raise WorkerError(INVALID_ARGUMENT, f"{wanted['model_file']} has no function predict(state, inputs)")
    options = {key[len("option."):]: value for key, value in wanted["options"].items() if key.startswith("option.")}
    loader = _function(module, "load", wanted)
    state = _loaded(loader, wanted, options) if loader else None
    inputs, outputs = _signature(module, state, wanted)
    names_in, names_out = [s.name for s in inputs], [s.name for s in outputs]
    optional = any(spec.optional for spec in inputs)

    def run(arrays):
        given = dict(zip(names_in, arrays))
        if optional:
            given = {name: array for name, array in given.items() if array is not None}
        answer = predict(state, given)
        if type(answer) is dict:
            try:
                return [answer[name] for name in names_out]
            except KeyError as missing:
                have = ", ".join(map(str, answer)) or "nothing"
                raise WorkerError(INTERNAL, f"predict() gave no output {missing.args[0]}; it gave {have}") from None
        if len(names_out) == 1:
            return (answer,)
        raise WorkerError(INTERNAL, f"predict() gave a {type(answer).__name__}; a model of {len(names_out)} outputs gives a "
                          f"dict of {', '.join(names_out)}")

    closer = _function(module, "close", wanted)
    return Model(inputs, outputs, run, libraries=["numpy"], close=(lambda: closer(state)) if closer else None)


def _loaded(loader, wanted, options):
    try:
        return loader(wanted["directory"], options)
    except Exception as error:
        if is_of_pickle(error):
            what = unreadable("what it unpickles", error)
            raise WorkerError(INVALID_ARGUMENT, f"load() of {wanted['model_file']}: {what}") from None
        raise


def _import(path, name):
    spec = importlib.util.spec_from_file_location("leadsman_model", path)
    if spec is None:
        raise WorkerError(INVALID_ARGUMENT, f"{name} is not a Python module: its name must end in .py")
    module = importlib.util.module_from_spec(spec)
    sys.modules["leadsman_model"] = module  # for pickles and dataclasses made in it
    try:
        spec.loader.exec_module(module)
    except SyntaxError as error:
        raise WorkerError(INVALID_ARGUMENT, f"{name} line {error.lineno}: {error.msg}") from None
    return module


def _function(module, name, wanted):
    found = getattr(module, name, None)
    if found is None:
        return None
    count = {"load": 2, "predict": 2, "close": 1}[name]
    form = {"load": "load(directory, options)", "predict": "predict(state, inputs)", "close": "close(state)"}[name]
    try:
        inspect.signature(found).bind(*range(count))
    except (TypeError, ValueError):
        raise WorkerError(INVALID_ARGUMENT, f"{wanted['model_file']}: {name} must be a function {form}") from None
    return found


def _signature(module, state, wanted):
    inputs, outputs = getattr(module, "inputs", None), getattr(module, "outputs", None)
    if callable(getattr(module, "signature", None)):
        try:
            inputs, outputs = module.signature(state)
        except (TypeError, ValueError) as error:
            raise WorkerError(INVALID_ARGUMENT, f"{wanted['model_file']}: signature(state) must give (inputs, outputs): "
                              f"{error}") from None
    found = []
    for which, specs in (("inputs", inputs), ("outputs", outputs)):
        specs = declared(wanted, which) if specs is None else specs
        if specs is None:
            raise WorkerError(INVALID_ARGUMENT, f"{wanted['model_file']} does not say what it takes and gives: add the list "
                              f'{which}, like {which} = [("x", "FP32", [-1, 4])], or state the signature in manifest.json')
        found.append([spec if isinstance(spec, Spec) else _spec(spec, which, wanted) for spec in specs])
    return found


def _spec(entry, which, wanted):
    try:
        if isinstance(entry, dict):
            return Spec(entry["name"], entry["datatype"], entry["shape"], entry.get("optional", False))
        name, datatype, shape = entry
        return Spec(name, datatype, shape)
    except (TypeError, ValueError, KeyError):
        raise WorkerError(INVALID_ARGUMENT, f"{wanted['model_file']}: {which} holds {entry!r}; an entry is (name, type, shape), "
                          'like ("x", "FP32", [-1, 4]), or a dict of name, datatype, shape and optional') from None
