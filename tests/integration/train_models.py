"""Run in the models' environment (tests/requirements-models.txt): train_models.py <folder>.

Trains small models of every runtime, saves each as its users do into <folder>/<name>/1/, and writes what the original
runtime answers into <folder>/expected.json: name → [{"signature", "inputs", "outputs"}], tensors as
{"datatype" (of V2), "shape", "data"}."""
import json
import os
import sys
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import keras
import lightgbm
import numpy as np
import onnxruntime
import tensorflow as tf
import xgboost
from skl2onnx import to_onnx
from sklearn.datasets import load_digits, load_iris
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

FOLDER = Path(sys.argv[1])
EXPECTED = {}
X, Y = load_iris(return_X_y=True)
X = X.astype(np.float32)
ROWS = X[[0, 3, 50, 77, 100, 149]]
TYPES = {"float32": "FP32", "float64": "FP64", "int64": "INT64", "int32": "INT32", "object": "BYTES"}


def place(name):
    folder = FOLDER / name / "1"
    folder.mkdir(parents=True)
    return folder


def as_tensor(value):
    array = np.asarray(value)
    if array.dtype.kind in "SUO":
        texts = [v.decode() if isinstance(v, bytes) else str(v) for v in array.ravel()]
        return {"datatype": "BYTES", "shape": list(array.shape), "data": texts}
    return {"datatype": TYPES[array.dtype.name], "shape": list(array.shape), "data": array.ravel().tolist()}


def expect(name, inputs, outputs, signature="serving_default"):
    EXPECTED.setdefault(name, []).append({
        "signature": signature, "inputs": {k: as_tensor(v) for k, v in inputs.items()},
        "outputs": {k: as_tensor(v) for k, v in outputs.items()}})


class Module(tf.Module):
    """What tf.saved_model.save makes: two signatures, strings both ways, a table, a variable."""

    def __init__(self):
        super().__init__()
        self.weights = tf.Variable(tf.random.stateless_normal([4, 3], seed=[1, 2]))
        self.table = tf.lookup.StaticHashTable(
            tf.lookup.KeyValueTensorInitializer(tf.constant(["rose", "tulip"]), tf.constant([3, 7], tf.int64)), -1)

    @tf.function(input_signature=[tf.TensorSpec([None, 4], tf.float32, name="x")])
    def scores(self, x):
        return {"scores": tf.nn.softmax(tf.matmul(x, self.weights)), "best": tf.argmax(tf.matmul(x, self.weights), 1)}

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="name")])
    def petals(self, name):
        return {"petals": self.table.lookup(name), "shout": tf.strings.upper(name)}


def tensorflow_module():
    module = Module()
    tf.saved_model.save(module, str(place("tf_module")),
                        signatures={"serving_default": module.scores, "petals": module.petals})
    expect("tf_module", {"x": ROWS}, {k: v.numpy() for k, v in module.scores(tf.constant(ROWS)).items()})
    names = np.array(["rose", "nobody", "tulip"], dtype=object)
    expect("tf_module", {"name": names}, {k: v.numpy() for k, v in module.petals(tf.constant(names)).items()}, "petals")


def documented_model():
    """As TensorFlow 1's exporters write it, like that of TensorFlow Serving's documentation: y = x / 2 + 2 by rows of one number;
    the signatures for regress and classify are called so and parse tf.Examples themselves."""
    v1, saved = tf.compat.v1, tf.compat.v1.saved_model
    with v1.Graph().as_default(), v1.Session() as session:
        half, two = v1.get_variable("half", initializer=0.5), v1.get_variable("two", initializer=2.0)
        examples = v1.placeholder(tf.string, [None], "tf_example")
        x = tf.identity(tf.io.parse_example(examples, {"x": tf.io.FixedLenFeature([1], tf.float32)})["x"], "x")
        y = tf.add(half * x, two, "y")
        above = tf.cast(y > 3, tf.float32)
        classes = tf.tile([["low", "high"]], [tf.shape(y)[0], 1])
        session.run(v1.global_variables_initializer())
        builder = saved.Builder(str(place("half_plus_two")))
        builder.add_meta_graph_and_variables(session, [tf.saved_model.SERVING], {
            "serving_default": saved.predict_signature_def({"x": x}, {"y": y}),
            "regress_x_to_y": saved.regression_signature_def(examples, y),
            "classify_x": saved.classification_signature_def(examples, classes, tf.concat([1 - above, above], 1))})
        rows = np.array([[1], [2], [5]], np.float32)
        expect("half_plus_two", {"x": rows}, {"y": session.run(y, {x: rows})})
    builder.save()


def keras_models():
    keras.utils.set_random_seed(1)
    images = load_digits().images.astype(np.float32)[:256, ..., None] / 16
    mlp = keras.Sequential([keras.Input((4,), name="flower"), keras.layers.Dense(16, activation="relu"),
                            keras.layers.BatchNormalization(), keras.layers.Dropout(0.5),
                            keras.layers.Dense(3, activation="softmax")])
    mlp.compile("adam", "sparse_categorical_crossentropy")
    mlp.fit(X, Y, epochs=1, verbose=0)
    mlp.export(str(place("keras_mlp")), verbose=False)
    expect("keras_mlp", {"flower": ROWS}, {"output_0": mlp(ROWS).numpy()})

    image, extra = keras.Input((8, 8, 1), name="image"), keras.Input((2,), name="extra")
    seen = keras.layers.Flatten()(keras.layers.Conv2D(4, 3, activation="relu")(image))
    both = keras.layers.Concatenate()([seen, extra])
    two = keras.Model({"image": image, "extra": extra},
                      {"digit": keras.layers.Dense(10, activation="softmax", name="digit")(both),
                       "even": keras.layers.Dense(1, activation="sigmoid", name="even")(both)})
    two.export(str(place("keras_two_inputs")), verbose=False)
    inputs = {"image": images[:3], "extra": np.array([[0, 1], [1, 0], [0.5, -2]], np.float32)}
    expect("keras_two_inputs", inputs, {k: v.numpy() for k, v in two(inputs).items()})

    lookup = keras.layers.StringLookup(vocabulary=["red", "green", "blue"])
    words = keras.Sequential([keras.Input((2,), dtype="string", name="words"), lookup, keras.layers.Embedding(4, 3),
                              keras.layers.Flatten(), keras.layers.Dense(1)])
    words.export(str(place("keras_words")), verbose=False)
    texts = np.array([["red", "blue"], ["pink", "green"]], dtype=object)
    expect("keras_words", {"words": texts}, {"output_0": words(tf.constant(texts)).numpy()})


def xgboost_models():
    settings = {"max_depth": 3, "seed": 1, "nthread": 1}
    classes = xgboost.XGBClassifier(n_estimators=10, max_depth=3, n_jobs=1).fit(X, Y)
    classes.save_model(place("xgb_classes") / "model.json")
    expect("xgb_classes", {"input__0": ROWS}, {"output__0": classes.predict_proba(ROWS)})

    holes = X.copy()
    holes[::3, 2] = np.nan
    binary = xgboost.train({**settings, "objective": "binary:logistic"}, xgboost.DMatrix(holes, Y == 2), 10)
    binary.save_model(place("xgb_missing") / "model.ubj")
    rows = holes[[0, 1, 99, 102, 140]]
    expect("xgb_missing", {"input__0": rows}, {"output__0": binary.predict(xgboost.DMatrix(rows))})

    kinds = np.column_stack([X[:, :2], Y]).astype(np.float32)
    matrix = xgboost.DMatrix(kinds, X[:, 2], feature_types=["q", "q", "c"], enable_categorical=True)
    regressor = xgboost.train({**settings, "booster": "dart"}, matrix, 10)
    regressor.save_model(place("xgb_categories") / "model.ubj")
    expect("xgb_categories", {"input__0": kinds[[0, 60, 120]]}, {"output__0": regressor.predict(matrix)[[0, 60, 120]]})


def lightgbm_models():
    settings = {"num_leaves": 7, "verbosity": -1, "seed": 1, "num_threads": 1}
    classes = lightgbm.train({**settings, "objective": "multiclass", "num_class": 3}, lightgbm.Dataset(X, Y), 10)
    classes.save_model(place("lgb_classes") / "model.txt")
    expect("lgb_classes", {"input__0": ROWS}, {"output__0": classes.predict(ROWS)})

    kinds = np.column_stack([X[:, :2], Y]).astype(np.float32)
    kinds[::5, 0] = np.nan
    regressor = lightgbm.train(settings, lightgbm.Dataset(kinds, X[:, 2], categorical_feature=[2]), 10)
    regressor.save_model(place("lgb_categories") / "model.txt")
    rows = kinds[[0, 1, 60, 120]]
    expect("lgb_categories", {"input__0": rows}, {"output__0": regressor.predict(rows)})


def scikit_models():
    for name, model in (("sklearn_pipeline", make_pipeline(StandardScaler(), LogisticRegression())),
                        ("sklearn_forest", RandomForestClassifier(10, random_state=1))):
        model.fit(X, Y)
        converted = to_onnx(model, X[:1], options={"zipmap": False}).SerializeToString()
        (place(name) / "model.onnx").write_bytes(converted)
        session = onnxruntime.InferenceSession(converted, providers=["CPUExecutionProvider"])
        names = [output.name for output in session.get_outputs()]
        answers = dict(zip(names, session.run(names, {"X": ROWS}), strict=True))
        assert np.allclose(answers["probabilities"], model.predict_proba(ROWS), atol=1e-5)
        expect(name, {"X": ROWS}, answers)


for train in (tensorflow_module, documented_model, keras_models, xgboost_models, lightgbm_models, scikit_models):
    train()
(FOLDER / "expected.json").write_text(json.dumps(EXPECTED))
