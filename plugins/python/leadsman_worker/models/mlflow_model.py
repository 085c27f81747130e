"""Any MLflow model with the python_function flavour."""
import json
import logging
import os

from ..channel import FAILED_PRECONDITION, INVALID_ARGUMENT, UNIMPLEMENTED, WorkerError
from ..tensors import NAME_OF_NUMPY, Spec, spec_of_array
from .model import Model, declared
from .sklearn_model import is_of_pickle, unreadable

_COLUMN_TYPES = {"boolean": "BOOL", "integer": "INT32", "long": "INT64", "float": "FP32", "double": "FP64",
                 "string": "STRING", "binary": "BYTES", "datetime": "STRING"}

_PARAMS = "params"


def load(wanted):
    # Nothing is to be fetched or reported from here.
    os.environ.setdefault("MLFLOW_TRACKING_URI", "file:///nonexistent")
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    import mlflow.pyfunc
    logging.getLogger("mlflow").setLevel(logging.ERROR)
    folder = wanted["path"] if os.path.isdir(wanted["path"]) else os.path.dirname(wanted["path"])
    try:
        model = mlflow.pyfunc.load_model(folder)
    except (ModuleNotFoundError, MemoryError):
        raise
    except Exception as error:
        if is_of_pickle(error):
            raise WorkerError(INVALID_ARGUMENT, f"MLflow cannot load the model: {unreadable(_file_of(folder), error)}") from None
        raise WorkerError(INVALID_ARGUMENT, f"MLflow cannot load the model: {type(error).__name__}: {error}") from None
    signature = model.metadata.signature
    schema = signature.inputs if signature is not None else None
    if schema is not None:
        inputs, convert = _inputs(schema)
    else:
        inputs, convert = _inputs_without_signature(model, wanted)
    flavor = model.metadata.flavors.get("python_function", {}).get("loader_module", "")

    def call(arrays, params=None):
        return _outputs_of(model.predict(convert(arrays), params=params) if params is not None
                           else model.predict(convert(arrays)))

    outputs = _outputs(signature.outputs if signature is not None else None, wanted, inputs, call)
    names = [spec.name for spec in outputs]
    columns = len(inputs)
    if _takes_params(signature, inputs):
        inputs = [*inputs, Spec(_PARAMS, "STRING", [1], optional=True)]

    def run(arrays):
        answer = call(arrays[:columns], _params(arrays[columns]) if len(arrays) > columns else None)
        if len(names) == 1 and len(answer) == 1:
            return list(answer.values())
        missing = [name for name in names if name not in answer]
        if missing:
            raise WorkerError(INVALID_ARGUMENT, f"the model gave no output {missing[0]}; it gave {', '.join(answer)}")
        return [answer[name] for name in names]

    library = {"mlflow.sklearn": "scikit-learn", "mlflow.xgboost": "xgboost", "mlflow.lightgbm": "lightgbm",
               "mlflow.tensorflow": "tensorflow", "mlflow.pytorch": "torch"}.get(flavor)
    return Model(inputs, outputs, run, libraries=["mlflow-skinny" if _skinny() else "mlflow", *([library] if library else [])])


def _takes_params(signature, inputs):
    """Whether the model was logged with a schema of parameters. A column of that name has been there first."""
    schema = getattr(signature, "params", None)
    return schema is not None and bool(schema.params) and all(spec.name != _PARAMS for spec in inputs)


def _params(array):
    """What MLflow's own server gives a model: MLflow fills in defaults, and refuses what is of a wrong type."""
    if array is None:
        return None
    try:
        params = json.loads(array[0])
    except ValueError as error:
        raise WorkerError(INVALID_ARGUMENT, f"the input {_PARAMS} is no JSON: {error}") from None
    if not isinstance(params, dict):
        raise WorkerError(INVALID_ARGUMENT, f"the input {_PARAMS} must be a JSON object, as {{\"temperature\": 0.5}}")
    return params


def _file_of(folder):
    """What the MLmodel file says that the model lies in."""
    import mlflow.models
    try:
        flavor = mlflow.models.Model.load(folder).flavors["python_function"]
        return flavor.get("model_path") or flavor["python_model"]
    except Exception:
        return "its file"


def _skinny():
    import importlib.metadata
    try:
        importlib.metadata.version("mlflow")
        return False
    except importlib.metadata.PackageNotFoundError:
        return True


def _inputs(schema):
    if schema.is_tensor_spec():
        return _tensor_inputs(schema)
    import pandas as pd
    specs, dates = [], set()
    for position, column in enumerate(schema.inputs):
        name = column.name if column.name is not None else str(position)
        kind = getattr(column.type, "name", "")
        if kind not in _COLUMN_TYPES:
            raise WorkerError(UNIMPLEMENTED, f"the signature's column {name} is of MLflow's type {column.type}; served are "
                              f"{', '.join(_COLUMN_TYPES)}")
        if kind == "datetime":
            dates.add(name)
        specs.append(Spec(name, _COLUMN_TYPES[kind], [-1], optional=not getattr(column, "required", True)))
    names = [spec.name for spec in specs]
    unnamed = schema.inputs[0].name is None

    def convert(arrays):
        columns = {name: array for name, array in zip(names, arrays) if array is not None}
        lengths = {array.shape[0] for array in columns.values()}
        if len(lengths) > 1:
            text = ", ".join(f"{name} {array.shape[0]}" for name, array in columns.items())
            raise WorkerError(INVALID_ARGUMENT, f"the columns are not of one length: {text}")
        for name in dates & columns.keys():
            columns[name] = pd.to_datetime(columns[name])
        frame = pd.DataFrame(columns, copy=False)
        if unnamed:
            frame.columns = range(len(names))
        return frame
    return specs, convert


def _tensor_inputs(schema):
    specs = []
    for tensor in schema.inputs:
        name = tensor.name or "input"
        kind = tensor.type
        if kind.kind in "OUS":
            specs.append(Spec(name, "STRING", tensor.shape))
        elif kind in NAME_OF_NUMPY:
            specs.append(Spec(name, NAME_OF_NUMPY[kind], tensor.shape))
        else:
            raise WorkerError(UNIMPLEMENTED, f"the signature's tensor {name} is of numpy's type {kind}")
    if len(specs) == 1 and not schema.inputs[0].name:
        return specs, lambda arrays: arrays[0]
    names = [spec.name for spec in specs]
    return specs, lambda arrays: {n: a for n, a in zip(names, arrays) if a is not None}


def _inputs_without_signature(model, wanted):
    inputs = declared(wanted, "inputs")
    if inputs is None:
        inner = getattr(getattr(model, "_model_impl", None), "sklearn_model", None)
        width = getattr(inner, "n_features_in_", None)
        if width is None:
            raise WorkerError(FAILED_PRECONDITION, "the MLmodel file has no signature: log the model with one "
                              "(mlflow.models.infer_signature), or state it in manifest.json")
        inputs = [Spec("input", "FP64", [-1, int(width)])]
    if len(inputs) == 1 and len(inputs[0].shape) != 1:
        return inputs, lambda arrays: arrays[0]
    import pandas as pd
    names = [spec.name for spec in inputs]
    return inputs, lambda arrays: pd.DataFrame({n: a for n, a in zip(names, arrays) if a is not None})


def _outputs_of(answer):
    """{name: array} of whatever a pyfunc gives."""
    if isinstance(answer, dict):
        return {str(k): v for k, v in answer.items()}
    if type(answer).__name__ == "DataFrame":
        return {str(name): answer[name].to_numpy() for name in answer.columns}
    return {"output": answer}


def _outputs(schema, wanted, inputs, call):
    stated = declared(wanted, "outputs")
    if stated is not None:
        return stated
    try:
        answer = call([None if spec.optional else spec.zeros(1) for spec in inputs])
        return [spec_of_array(name, value) for name, value in answer.items()]
    except WorkerError:
        raise
    except Exception as error:
        if schema is not None:
            return _outputs_of_schema(schema)
        raise WorkerError(INVALID_ARGUMENT, "what the model answers could not be found out, for it refuses a row of zeros "
                          f"({type(error).__name__}: {error}), and its signature does not say it") from None


def _outputs_of_schema(schema):
    if schema.is_tensor_spec():
        return _tensor_inputs(schema)[0] if schema.inputs[0].name else [
            Spec("output", s.datatype, s.shape) for s in _tensor_inputs(schema)[0]]
    specs = []
    for column in schema.inputs:
        kind = _COLUMN_TYPES.get(getattr(column.type, "name", ""))
        if kind is None:
            raise WorkerError(UNIMPLEMENTED, f"the signature's output {column.name} is of MLflow's type {column.type}")
        specs.append(Spec(column.name or "output", kind, [-1]))
    return specs
