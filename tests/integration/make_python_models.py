"""Makes the models of test_python_models.py with the libraries that serve them, and what they answer there.

    make_python_models.py FOLDER     → FOLDER/<model>/1/…, FOLDER/expected.json
"""
import json
import pathlib
import pickle
import sys

import joblib
import mlflow
import mlflow.pyfunc
import mlflow.sklearn
import numpy as np
import pandas as pd
from mlflow.models import ModelSignature
from mlflow.types import ColSpec, Schema, TensorSpec
from sklearn.compose import ColumnTransformer
from sklearn.datasets import load_iris
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LinearRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

FOLDER = pathlib.Path(sys.argv[1])
EXPECTED = {}
X, Y = load_iris(return_X_y=True)
ROWS = X[[0, 60, 120, 149]]


def folder(name):
    path = FOLDER / name / "1"
    path.mkdir(parents=True)
    return path


def expect(name, inputs, outputs):
    """inputs: {name: (datatype, array)}"""
    EXPECTED[name] = {
        "inputs": [{"name": n, "datatype": t, "shape": list(np.shape(a)), "data": np.asarray(a).ravel().tolist()}
                   for n, (t, a) in inputs.items()],
        "outputs": {n: np.asarray(a).tolist() for n, a in outputs.items()}}


def sklearn_models():
    words = np.array(["setosa", "versicolor", "virginica"])[Y]
    forest = RandomForestClassifier(20, random_state=1).fit(X, words)
    (folder("pickled") / "model.pkl").write_bytes(pickle.dumps(forest))
    expect("pickled", {"input": ("FP64", ROWS)},
           {"output": forest.predict(ROWS), "probabilities": forest.predict_proba(ROWS)})
    line = make_pipeline(StandardScaler(), LinearRegression()).fit(X[:, :3], X[:, 3])
    joblib.dump(line, folder("joblibbed") / "model.joblib")
    expect("joblibbed", {"input": ("FP64", ROWS[:, :3])}, {"output": line.predict(ROWS[:, :3])})


def column_frame():
    return pd.DataFrame({"size": [1.0, 2.0, 3.5, 4.0, 9.0], "count": [1, 2, 3, 4, 5],
                         "colour": ["red", "blue", "red", "green", "blue"]})


def mlflow_models():
    frame, target = column_frame(), [1.0, 0.5, 2.0, 3.0, 4.0]
    chooser = make_pipeline(ColumnTransformer([("words", OneHotEncoder(handle_unknown="ignore"), ["colour"])],
                                              remainder="passthrough"), LinearRegression()).fit(frame, target)
    mlflow.sklearn.save_model(chooser, folder("columns"), serialization_format="cloudpickle", signature=ModelSignature(
        inputs=Schema([ColSpec("double", "size"), ColSpec("long", "count"), ColSpec("string", "colour")]),
        outputs=Schema([ColSpec("double")])))
    expect("columns", {"size": ("FP64", frame["size"]), "count": ("INT64", frame["count"]),
                       "colour": ("BYTES", frame["colour"])}, {"output": chooser.predict(frame)})

    class Scaled(mlflow.pyfunc.PythonModel):
        def predict(self, context, model_input, params=None):
            return model_input * (params or {}).get("factor", 1.5)

    mlflow.pyfunc.save_model(folder("tensors"), python_model=Scaled(), signature=ModelSignature(
        inputs=Schema([TensorSpec(np.dtype("float32"), (-1, 4))]), outputs=Schema([TensorSpec(np.dtype("float32"), (-1, 4))])))
    rows = ROWS.astype("float32")
    expect("tensors", {"input": ("FP32", rows)}, {"output": rows * 1.5})


def keras_models():
    import keras
    keras.utils.set_random_seed(1)
    rows = ROWS.astype("float32")
    for name, file in (("keras3", "model.keras"), ("hdf5", "model.h5")):
        features = keras.Input((4,), name="features")
        hidden = keras.layers.Dense(8, "relu")(features)
        model = keras.Model(features, keras.layers.Dense(3, "softmax", name="classes")(hidden))
        model.save(folder(name) / file)
        expect(name, {"features": ("FP32", rows)}, {"classes": model.predict(rows, verbose=0)})


sklearn_models()
mlflow_models()
keras_models()
(FOLDER / "expected.json").write_text(json.dumps(EXPECTED))
