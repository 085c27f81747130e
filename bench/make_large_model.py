"""Writes a large model of a runtime that only its own library can write: make_large_model.py {tensorflow,xgboost,lightgbm} FOLDER.

Runs in the environment that has these libraries. Each has some 200 MB: of weights, or of 100 trees of 1,024 leaves many times over.
"""
import json
import pathlib
import sys

import numpy as np

WIDTH = 4096
ROWS, FEATURES, TREES, LEAVES = 20_000, 16, 100, 1024
COPIES = 25  # of the trees


def tensorflow(folder):
    import tensorflow as tf

    class Network(tf.Module):
        def __init__(self):
            super().__init__()
            self.weights = [tf.Variable(tf.random.stateless_normal((WIDTH, WIDTH), seed=(1, i))) for i in range(3)]

        @tf.function(input_signature=[tf.TensorSpec((None, WIDTH), tf.float32, name="x")])
        def serve(self, x):
            for weight in self.weights:
                x = tf.nn.relu(x @ weight)
            return {"y": x}

    network = Network()
    tf.saved_model.save(network, str(folder), signatures={"serving_default": network.serve})


def table():
    rng = np.random.default_rng(1)
    x = rng.standard_normal((ROWS, FEATURES), dtype="f")
    return x, (x ** 2).sum(axis=1) + rng.standard_normal(ROWS, dtype="f")


def xgboost(folder):
    import xgboost as xgb
    x, y = table()
    settings = {"max_leaves": LEAVES, "grow_policy": "lossguide", "max_depth": 0, "min_child_weight": 0, "lambda": 0, "max_bin": 64, "nthread": 1}
    document = json.loads(xgb.train(settings, xgb.DMatrix(x, y), TREES).save_raw("json"))
    model = document["learner"]["gradient_booster"]["model"]
    model["trees"] = [{**tree, "id": number} for number, tree in enumerate(model["trees"] * COPIES)]
    model["tree_info"] *= COPIES
    model["iteration_indptr"] = list(range(TREES * COPIES + 1))
    model["gbtree_model_param"]["num_trees"] = str(TREES * COPIES)
    xgb.Booster(model_file=bytearray(json.dumps(document).encode())).save_model(folder / "model.ubj")


def lightgbm(folder):
    import lightgbm as lgb
    x, y = table()
    settings = {"objective": "l2", "num_leaves": LEAVES, "min_data_in_leaf": 1, "max_bin": 63, "num_threads": 1, "verbosity": -1}
    text = lgb.train(settings, lgb.Dataset(x, y), TREES).model_to_string()
    head, *trees = text.split("\nTree=")
    trees[-1], end = trees[-1].split("end of trees")
    bodies = [tree.split("\n", 1)[1].rstrip("\n") for tree in trees] * COPIES
    head = "\n".join(line for line in head.split("\n") if not line.startswith("tree_sizes="))
    (folder / "model.txt").write_text(head + "".join(f"\nTree={number}\n{body}\n\n" for number, body in enumerate(bodies)) + "\nend of trees" + end)


if __name__ == "__main__":
    {"tensorflow": tensorflow, "xgboost": xgboost, "lightgbm": lightgbm}[sys.argv[1]](pathlib.Path(sys.argv[2]))
