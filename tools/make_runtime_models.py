#!/usr/bin/env python3
"""Makes the small TensorFlow, XGBoost and LightGBM models of src/backend/testdata/.

The files are committed, so that the unit tests need no Python. To make them again, in the environment of
tests/requirements-models.txt (./dev install test makes it):
    ~/.cache/leadsman/venv-models/bin/python tools/make_runtime_models.py [folder]
iris_binary.xgb is the one that cannot be made so: XGBoost 3.1 dropped that format. With xgboost-cpu==3.0.5:
    python -c 'import xgboost as x; x.Booster(model_file="iris.json").save_model("iris_binary.xgb")'  (extension .deprecated)
"""
import os
import pathlib
import sys

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
os.environ["CUDA_VISIBLE_DEVICES"] = ""

import lightgbm
import numpy as np
import tensorflow as tf
import xgboost
from sklearn.datasets import load_iris

default = pathlib.Path(__file__).parent.parent / "src/backend/testdata"
folder = pathlib.Path(sys.argv[1]) if len(sys.argv) > 1 else default
X, Y = load_iris(return_X_y=True)
X = X.astype(np.float32)
FLOWERS = X[[0, 50, 100]]


def show(name, values):
    """What the tests expect, to be pasted."""
    print(name, np.asarray(values).tolist())


def xgboost_models():
    there = folder / "xgboost"
    there.mkdir(parents=True, exist_ok=True)
    matrix = xgboost.DMatrix(X, Y)
    settings = {"max_depth": 2, "seed": 1, "nthread": 1}
    iris = xgboost.train({**settings, "objective": "multi:softprob", "num_class": 3}, matrix, 3)
    iris.set_attr(best_iteration="1")
    iris.save_model(there / "iris.json")
    iris.save_model(there / "iris.ubj")
    show("iris", iris.predict(xgboost.DMatrix(FLOWERS)))
    show("iris margin", iris.predict(xgboost.DMatrix(FLOWERS), output_margin=True))
    show("iris best", iris.predict(xgboost.DMatrix(FLOWERS), iteration_range=(0, 2)))
    show("iris leaf", iris.predict(xgboost.DMatrix(FLOWERS), pred_leaf=True))
    show("iris contributions", iris.predict(xgboost.DMatrix(FLOWERS), pred_contribs=True)[0])
    whole = (there / "iris.json").read_bytes()
    (there / "truncated.json").write_bytes(whole[: len(whole) // 2])
    # Values are missing, as NaN; one class or the other.
    holes = X.copy()
    holes[::3, 2] = np.nan
    binary = xgboost.train({**settings, "objective": "binary:logistic"}, xgboost.DMatrix(holes, Y == 2), 3)
    binary.save_model(there / "binary.ubj")
    show("binary", binary.predict(xgboost.DMatrix(holes[[0, 1, 101, 102]])))
    linear = xgboost.train({"booster": "gblinear", "seed": 1, "nthread": 1}, matrix, 3)
    linear.save_model(there / "linear.json")
    show("linear", linear.predict(xgboost.DMatrix(FLOWERS)))


def lightgbm_models():
    there = folder / "lightgbm"
    there.mkdir(parents=True, exist_ok=True)
    settings = {"num_leaves": 4, "verbosity": -1, "seed": 1, "num_threads": 1, "deterministic": True}
    iris = lightgbm.train({**settings, "objective": "multiclass", "num_class": 3}, lightgbm.Dataset(X, Y), 3)
    iris.save_model(there / "iris.txt")
    for name, what in (("value", {}), ("raw", {"raw_score": True}), ("leaf", {"pred_leaf": True}),
                       ("two", {"num_iteration": 2})):
        show(f"lightgbm iris {name}", iris.predict(FLOWERS, **what))
    whole = (there / "iris.txt").read_bytes()
    (there / "truncated.txt").write_bytes(whole[: len(whole) // 2])
    binary = lightgbm.train({**settings, "objective": "binary"}, lightgbm.Dataset(X, Y == 2), 3)
    binary.save_model(there / "binary.txt")
    show("lightgbm binary", binary.predict(FLOWERS))


class Flowers(tf.Module):
    """Two signatures, a variable, a table, strings both ways, an input without a rank."""

    def __init__(self):
        super().__init__()
        weights = np.arange(12, dtype=np.float32).reshape(4, 3) / 10 - 0.5
        self.weights = tf.Variable(weights, name="weights")
        self.bias = tf.Variable(np.array([0.1, 0.2, 0.3], np.float32), name="bias")
        self.table = tf.lookup.StaticHashTable(
            tf.lookup.KeyValueTensorInitializer(tf.constant(["rose", "tulip", "a\0b"]),
                                                tf.constant([3, 7, 9], tf.int64)), -1)

    @tf.function(input_signature=[tf.TensorSpec([None, 4], tf.float32, name="x")])
    def scores(self, x):
        logits = tf.matmul(x, self.weights) + self.bias
        return {"label": tf.argmax(logits, axis=1), "probabilities": tf.nn.softmax(logits)}

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="name")])
    def petals(self, name):
        return {"petals": self.table.lookup(name), "greeting": tf.strings.join(["a fine and beautiful ", name])}

    @tf.function(input_signature=[tf.TensorSpec(None, tf.float32, name="anything")])
    def double(self, anything):
        return {"twice": anything * 2.0}

    @tf.function(input_signature=[tf.TensorSpec([None], tf.int64, name="index")])
    def pick(self, index):
        return {"bias": tf.gather(self.bias, index)}


TYPES = {"bool": tf.bool, "uint8": tf.uint8, "int8": tf.int8, "uint16": tf.uint16, "int16": tf.int16,
         "uint32": tf.uint32, "int32": tf.int32, "uint64": tf.uint64, "int64": tf.int64, "fp16": tf.float16,
         "fp32": tf.float32, "fp64": tf.float64, "string": tf.string, "bf16": tf.bfloat16}


def tensorflow_models():
    flowers = Flowers()
    options = tf.saved_model.SaveOptions(save_debug_info=False)
    there = folder / "tensorflow"
    tf.saved_model.save(flowers, there / "flowers", options=options, signatures={
        "serving_default": flowers.scores, "petals": flowers.petals, "double": flowers.double, "pick": flowers.pick})
    show("flowers", flowers.scores(tf.constant(FLOWERS))["probabilities"])
    identity = tf.Module()
    identity.all = tf.function(lambda **inputs: {f"out_{k}": tf.identity(v) for k, v in inputs.items()})
    concrete = identity.all.get_concrete_function(
        **{name: tf.TensorSpec([None, 2], dtype, name=name) for name, dtype in TYPES.items()})
    tf.saved_model.save(identity, there / "identity", options=options, signatures=concrete)
    for model in ("flowers", "identity"):
        (there / model / "fingerprint.pb").unlink(missing_ok=True)
        (there / model / "assets").rmdir()
    whole = (there / "flowers/saved_model.pb").read_bytes()
    (there / "broken").mkdir(exist_ok=True)
    (there / "broken/saved_model.pb").write_bytes(whole[: len(whole) // 2])


xgboost_models()
lightgbm_models()
tensorflow_models()
