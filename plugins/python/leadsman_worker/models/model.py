"""What every format makes of its model."""
import importlib.metadata

from ..channel import INVALID_ARGUMENT, WorkerError
from ..tensors import Spec, spec_of_array


class Model:
    """`inputs` and `outputs` are Specs; `run` takes one array per input (None for an optional one that did not come) and
    gives one value per output. Whatever `run` raises becomes an error of that one request."""

    def __init__(self, inputs, outputs, run, libraries=(), close=None):
        self.inputs, self.outputs, self.run = list(inputs), list(outputs), run
        self.libraries = {name: version_of(name) for name in libraries}
        self.close = close or (lambda: None)
        for what, specs in (("inputs", self.inputs), ("outputs", self.outputs)):
            names = [s.name for s in specs]
            twice = {name for name in names if names.count(name) > 1} if len(set(names)) < len(names) else ()
            if not names or twice:
                why = f"name {sorted(twice)[0]} twice" if twice else "are none"
                raise WorkerError(INVALID_ARGUMENT, f"the model's {what} {why}")


def version_of(package):
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return "unknown"


def declared(wanted, which):
    """What manifest.json says of the inputs or outputs; None when it says nothing. Strings come as str."""
    specs = wanted.get(which)
    if not specs:
        return None
    return [Spec(s["name"], s["datatype"], s["shape"], s.get("optional", False), text=True) for s in specs]


def observed_outputs(inputs, call, names=None):
    """What the model answers to a row of zeros. `call` gives a dict, or one value, which is named "output"."""
    answer = call([None if spec.optional else spec.zeros(1) for spec in inputs])
    if not isinstance(answer, dict):
        answer = {(names or ["output"])[0]: answer}
    return [spec_of_array(str(name), value) for name, value in answer.items()]
