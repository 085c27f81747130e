"""Keras models: .keras and .h5."""
import os

from ..channel import INVALID_ARGUMENT, UNIMPLEMENTED, WorkerError
from ..tensors import NAME_OF_NUMPY, NUMPY_OF_NAME, Spec
from .model import Model


def load(wanted):
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    _limit_threads(wanted["threads"])
    import keras
    try:
        model = keras.saving.load_model(wanted["path"], compile=False)
    except ModuleNotFoundError:
        raise
    except Exception as error:
        raise WorkerError(INVALID_ARGUMENT, f"{wanted['model_file']} cannot be read by Keras {keras.__version__}: "
                          f"{type(error).__name__}: {error}") from None
    inputs = [_spec(t, "input", i, len(model.inputs)) for i, t in enumerate(model.inputs)]
    names = _names(model.outputs, getattr(model, "output_names", None), "output")
    outputs = [_spec(t, name, 0, 1) for name, t in zip(names, model.outputs)]
    single = len(inputs) == 1
    predict = model.predict_on_batch

    def run(arrays):
        answer = predict(arrays[0] if single else arrays)
        if isinstance(answer, dict):
            return [answer[name] for name in answer]
        return answer if isinstance(answer, (list, tuple)) else (answer,)

    run([spec.zeros(1) for spec in inputs])  # the first call compiles
    backend = {"jax": "jax", "torch": "torch"}.get(keras.backend.backend(), "tensorflow")
    return Model(inputs, outputs, run, libraries=["numpy", "keras", backend])


def _limit_threads(count):
    try:
        import tensorflow as tf
    except ImportError:
        return
    tf.config.threading.set_intra_op_parallelism_threads(count)
    tf.config.threading.set_inter_op_parallelism_threads(1)


def _names(tensors, names, kind):
    if names and len(names) == len(tensors) and len(set(names)) == len(names):
        return list(names)
    return [kind] if len(tensors) == 1 else [f"{kind}_{i}" for i in range(len(tensors))]


def _spec(tensor, name, index, count):
    import numpy as np
    if name == "input":
        # Keras makes names like keras_tensor_12 where the author gave none: they change from run to run.
        own = str(getattr(tensor, "name", "") or "")
        name = own if own and not own.startswith("keras_tensor") else ("input" if count == 1 else f"input_{index}")
    kind = str(tensor.dtype)
    if kind == "string":
        return Spec(name, "BYTES", tensor.shape)
    try:
        datatype = NAME_OF_NUMPY[np.dtype(kind)]
    except (TypeError, KeyError):
        raise WorkerError(UNIMPLEMENTED, f"{name} is of Keras's type {kind}; served are {', '.join(NUMPY_OF_NAME)}") from None
    return Spec(name, datatype, tensor.shape)
