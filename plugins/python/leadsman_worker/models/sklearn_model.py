"""scikit-learn and whatever else has a predict(): a pickle or a joblib file."""
import os
import pickle
import sys
import traceback
import warnings

from ..channel import FAILED_PRECONDITION, INVALID_ARGUMENT, WorkerError
from ..tensors import Spec, spec_of_array
from . import add_to_path
from .model import Model, declared

_METHODS = ("predict", "predict_proba", "predict_log_proba", "decision_function", "transform", "score_samples")


def load(wanted):
    # Classes that were pickled from a module of the user's own: it may lie beside the pickle.
    add_to_path(wanted["directory"])
    estimator = unpickle(wanted["path"], wanted["model_file"])
    return wrap(estimator, wanted)


def unpickle(path, name):
    try:
        import joblib  # scikit-learn needs it too; reads plain pickles as well
        reader = joblib.load
    except ModuleNotFoundError:
        def reader(file):
            with open(file, "rb") as stream:
                return pickle.load(stream)
    try:
        return reader(path)
    except ModuleNotFoundError:
        raise
    except AttributeError as error:
        raise WorkerError(FAILED_PRECONDITION, f"{name} needs a class that is not there: {error}; put the module that "
                          "defines it into the version's folder, or install it") from None
    except MemoryError:
        raise
    except Exception as error:
        raise WorkerError(INVALID_ARGUMENT, unreadable(name, error)) from None


def unreadable(name, error):
    """pickle's own words are a byte's number at most: KeyError: 110."""
    said = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
    return (f"{name} is not a readable pickle or joblib file: it is damaged, cut short, of another kind, or written by versions "
            f"of Python or of its libraries that do not fit those here ({said})")


def is_of_pickle(error):
    """Whether it comes from reading the bytes of a pickle, and not from what they hold or from other code."""
    if isinstance(error, pickle.UnpicklingError):
        return True
    frames = traceback.extract_tb(error.__traceback__)
    inside = bool(frames) and frames[-1].filename == pickle.__file__
    return isinstance(error, KeyError) and inside or isinstance(error, EOFError) and (inside or "Ran out of input" in str(error))


def wrap(estimator, wanted):
    # Every request would tell of it: the columns come in the order of feature_names_in_, which is what matters.
    warnings.filterwarnings("ignore", message="X does not have valid feature names")
    methods = _methods(estimator, wanted)
    inputs = declared(wanted, "inputs")
    width = getattr(estimator, "n_features_in_", None)
    if inputs is None:
        if width is None:
            raise WorkerError(INVALID_ARGUMENT, f"{wanted['model_file']} ({type(estimator).__name__}) does not say how many "
                              "features it takes (n_features_in_): state the signature in manifest.json")
        inputs = [Spec("input", "FP64", [-1, int(width)])]
    make = _frame(inputs) if len(inputs) > 1 or not inputs[0].shape[1:] else (lambda arrays: arrays[0])

    if len(methods) == 1:
        only = methods[0][1]

        def run(arrays):
            return (only(make(arrays)),)
    elif _votes(estimator):
        classes, votes = estimator.classes_, estimator.predict_proba

        def run(arrays):
            shares = votes(make(arrays))
            return (classes.take(shares.argmax(axis=1)), shares)
    else:
        calls = [call for _, call in methods]

        def run(arrays):
            x = make(arrays)
            return [call(x) for call in calls]

    outputs = declared(wanted, "outputs") or _outputs(estimator, methods, inputs, make)
    if len(outputs) != len(methods):
        names = ", ".join(name for name, _ in methods)
        raise WorkerError(INVALID_ARGUMENT, f"the signature has {len(outputs)} outputs, the model gives {names}: choose by "
                          "the runtime option method")
    return Model(inputs, outputs, run, libraries=_libraries(estimator))


def _methods(estimator, wanted):
    """[(output's name, bound method)]"""
    asked = wanted["options"].get("method", "")
    if asked:
        if asked not in _METHODS or not hasattr(estimator, asked):
            has = [m for m in _METHODS if hasattr(estimator, m)]
            raise WorkerError(INVALID_ARGUMENT, f"runtime option method: the model has no {asked}; it has {', '.join(has)}")
        return [("probabilities" if asked == "predict_proba" else "output", getattr(estimator, asked))]
    if not hasattr(estimator, "predict"):
        if hasattr(estimator, "transform"):
            return [("output", estimator.transform)]
        raise WorkerError(INVALID_ARGUMENT, f"{wanted['model_file']} holds a {type(estimator).__name__}, which has neither "
                          "predict() nor transform()")
    methods = [("output", estimator.predict)]
    if hasattr(estimator, "predict_proba"):
        methods.append(("probabilities", estimator.predict_proba))
    return methods


def _votes(estimator):
    """Whether predict() is the class of the highest predict_proba(), as the documentation of forests says: asking the trees
    once then gives both. Only for the classes themselves, for what is derived from them may predict in another way."""
    if "sklearn.ensemble" not in sys.modules:
        return False
    from sklearn.ensemble import ExtraTreesClassifier, RandomForestClassifier
    from sklearn.pipeline import Pipeline
    last = estimator.steps[-1][1] if type(estimator) is Pipeline else estimator
    return type(last) in (ExtraTreesClassifier, RandomForestClassifier) and last.n_outputs_ == 1


def _frame(inputs):
    """One column an input: pipelines that choose columns by name."""
    import pandas as pd
    names = [spec.name for spec in inputs]

    def make(arrays):
        return pd.DataFrame({name: array.reshape(-1) for name, array in zip(names, arrays) if array is not None})
    return make


def _outputs(estimator, methods, inputs, make):
    """Found by asking for a row of zeros; a model that refuses zeros has said enough by its classes."""
    import numpy as np
    specs = []
    for name, call in methods:
        try:
            specs.append(spec_of_array(name, call(make([spec.zeros(1) for spec in inputs]))))
        except WorkerError:
            raise
        except Exception as error:
            classes = getattr(estimator, "classes_", None)
            if isinstance(classes, np.ndarray) and name == "output":
                specs.append(spec_of_array(name, classes))
            elif isinstance(classes, np.ndarray):
                specs.append(Spec(name, "FP64", [-1, len(classes)]))
            else:
                raise WorkerError(INVALID_ARGUMENT, f"what the model answers could not be found out, for it refuses a row of "
                                  f"zeros ({type(error).__name__}: {error}): state its signature in manifest.json") from None
    return specs


def _libraries(estimator):
    module = type(estimator).__module__.split(".")[0]
    return ["numpy", {"sklearn": "scikit-learn"}.get(module, module)]
