"""Asks forests through the Python worker's own code, once as they are and once without a predict(): both outputs come of one pass
over the trees, and are what the forests answer themselves.

    ask_forests.py FOLDER_OF_THE_WORKER
"""
import sys
from unittest import mock

import numpy as np
from sklearn.datasets import load_iris
from sklearn.ensemble import ExtraTreesClassifier, RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

sys.path.insert(0, sys.argv[1])
from leadsman_worker.models import sklearn_model  # noqa: E402

X, Y = load_iris(return_X_y=True)
WORDS = np.array(["setosa", "versicolor", "virginica"])[Y]


class Contrary(RandomForestClassifier):
    """What is derived from a forest may predict as it likes."""

    def predict(self, X):
        return super().predict(X)[::-1]


def check(estimator, target, once):
    estimator.fit(X, target)
    classes, shares = estimator.predict(X), estimator.predict_proba(X)
    last = estimator.steps[-1][1] if hasattr(estimator, "steps") else estimator
    asked, predict = [], type(last).predict

    def counted(self, X):
        asked.append(1)
        return predict(self, X)

    with mock.patch.object(type(last), "predict", counted):
        model = sklearn_model.wrap(estimator, {"model_file": "model.pkl", "options": {}})
        asked.clear()  # what it takes to find the outputs' shapes
        given = model.run([X])
    assert len(asked) == (0 if once else 1), f"{estimator}: predict() was called {len(asked)} times"
    np.testing.assert_array_equal(given[0], classes)
    assert given[0].dtype == classes.dtype
    np.testing.assert_array_equal(given[1], shares)


check(RandomForestClassifier(7, random_state=1), WORDS, once=True)
check(ExtraTreesClassifier(7, random_state=1), Y, once=True)
check(make_pipeline(StandardScaler(), RandomForestClassifier(7, random_state=1)), WORDS, once=True)
check(Contrary(7, random_state=1), WORDS, once=False)
check(LogisticRegression(max_iter=500), Y, once=False)
