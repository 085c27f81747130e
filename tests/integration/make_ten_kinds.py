"""Trains ten kinds of model, and two of them in another file format, each taking rows of four numbers, and writes all that
its own runtime answers.

    make_ten_kinds.py FOLDER     → FOLDER/<kind>/1/…, FOLDER/rows.json,
                                   FOLDER/expected.json: {kind: {output: [answer of each row]}}, an output without a name: "*"

The numbers are multiples of 1/64, so that FP32 and FP64 hold the same ones.
"""
import json
import pathlib
import pickle
import sys

import joblib
import keras
import lightgbm
import mlflow
import numpy as np
import onnxruntime
import tensorflow as tf
import xgboost
from mlflow.models import ModelSignature
from mlflow.types import Schema, TensorSpec
from skl2onnx import to_onnx
from sklearn.datasets import load_iris
from sklearn.ensemble import RandomForestClassifier, RandomForestRegressor
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

FOLDER = pathlib.Path(sys.argv[1])
X, Y = load_iris(return_X_y=True)
X = np.round(X * 64) / 64
ROWS = X[[0, 60, 99, 149]]
ROWS32 = ROWS.astype(np.float32)
EXPECTED = {}

SCRIPT = '''
import numpy as np

inputs = [{"name": "x", "datatype": "FP64", "shape": [-1, 4]}]
outputs = [{"name": "y", "datatype": "FP64", "shape": [-1]}, {"name": "sign", "datatype": "STRING", "shape": [-1]}]


def load(directory, options):
    return np.array([0.5, -1.0, 2.0, 0.25])


def predict(weights, inputs):
    y = np.tanh(inputs["x"] @ weights)
    return {"y": y, "sign": np.where(y < 0, "minus", "plus")}
'''


def folder(kind):
    path = FOLDER / kind / "1"
    path.mkdir(parents=True)
    return path


def expect(kind, only=None, **outputs):
    """The only output, whatever its name; or all of them by their names."""
    EXPECTED[kind] = {name: np.asarray(answers).tolist() for name, answers in (outputs or {"*": only}).items()}


def onnx():
    model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=500)).fit(X, Y)
    exported = to_onnx(model, ROWS32[:1], options={"zipmap": False}, target_opset=17)
    (folder("onnx") / "model.onnx").write_bytes(exported.SerializeToString())
    session = onnxruntime.InferenceSession(exported.SerializeToString(), providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    expect("onnx", **dict(zip(names, session.run(names, {"X": ROWS32}), strict=True)))


def saved_model():
    class Affine(tf.Module):
        def __init__(self):
            super().__init__()
            self.weights = tf.Variable(np.linspace(-1, 1, 12).reshape(4, 3).astype(np.float32))

        @tf.function(input_signature=[tf.TensorSpec([None, 4], tf.float32, name="x")])
        def serve(self, x):
            return {"y": tf.nn.softmax(x @ self.weights), "best": tf.argmax(x @ self.weights, 1)}

    module = Affine()
    tf.saved_model.save(module, str(folder("saved_model")), signatures={"serving_default": module.serve})
    expect("saved_model", **module.serve(tf.constant(ROWS32)))


def network():
    keras.utils.set_random_seed(7)
    return keras.Sequential([keras.Input((4,)), keras.layers.Dense(8, activation="relu"), keras.layers.Dense(2)])


def keras_models():
    exported = network()
    exported.export(str(folder("keras_export")), verbose=False)
    expect("keras_export", exported(ROWS32).numpy())
    for kind, file in (("keras_file", "model.keras"), ("keras_h5", "model.h5")):
        saved = network()
        saved.save(folder(kind) / file)
        expect(kind, saved(ROWS32).numpy())


def boosters():
    classifier = xgboost.XGBClassifier(n_estimators=20, max_depth=3, n_jobs=1).fit(X, Y)
    classifier.save_model(folder("xgboost_json") / "model.json")
    expect("xgboost_json", classifier.predict_proba(ROWS))
    regressor = xgboost.XGBRegressor(n_estimators=20, max_depth=3, n_jobs=1).fit(X, X[:, 0] * X[:, 2])
    regressor.save_model(folder("xgboost_ubj") / "model.ubj")
    expect("xgboost_ubj", regressor.predict(ROWS))
    light = lightgbm.train({"objective": "multiclass", "num_class": 3, "verbose": -1, "num_threads": 1, "min_data_in_leaf": 5},
                           lightgbm.Dataset(X, Y), 20)
    light.save_model(folder("lightgbm") / "model.txt")
    expect("lightgbm", light.predict(ROWS))


def python_models():
    forest = RandomForestRegressor(10, random_state=3).fit(X, X[:, 3])
    joblib.dump(forest, folder("sklearn_joblib") / "model.joblib")
    expect("sklearn_joblib", forest.predict(ROWS))
    names = np.array(["setosa", "versicolor", "virginica"])[Y]
    classes = RandomForestClassifier(10, random_state=3).fit(X, names)
    (folder("sklearn_pickle") / "model.pkl").write_bytes(pickle.dumps(classes))
    expect("sklearn_pickle", output=classes.predict(ROWS), probabilities=classes.predict_proba(ROWS))

    class Halved(mlflow.pyfunc.PythonModel):
        def predict(self, context, model_input, params=None):
            return model_input / 2

    tensor = Schema([TensorSpec(np.dtype("float64"), (-1, 4))])
    mlflow.pyfunc.save_model(folder("mlflow_pyfunc"), python_model=Halved(), signature=ModelSignature(inputs=tensor, outputs=tensor),
                             pip_requirements=[])
    expect("mlflow_pyfunc", ROWS / 2)
    (folder("user_script") / "model.py").write_text(SCRIPT)
    y = np.tanh(ROWS @ np.array([0.5, -1.0, 2.0, 0.25]))
    expect("user_script", y=y, sign=np.where(y < 0, "minus", "plus"))


for make in (onnx, saved_model, keras_models, boosters, python_models):
    make()
(FOLDER / "rows.json").write_text(json.dumps(ROWS.tolist()))
(FOLDER / "expected.json").write_text(json.dumps(EXPECTED))
