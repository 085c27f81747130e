#!/usr/bin/env python3
"""Writes quality.golden: what scikit-learn says of predictions.

    python3 src/math/testdata/make_quality_golden.py > src/math/testdata/quality.golden
"""
import numpy as np
import sklearn
from sklearn import metrics

rng = np.random.default_rng(21)


def line(key, *values):
    print(key, *(repr(float(v)) if not float(v).is_integer() else int(v) for v in values))


print(f"# make_quality_golden.py with scikit-learn {sklearn.__version__}, NumPy {np.__version__}")

# Class 3 is never predicted, class 5 never true, class 4 does not occur.
actual = rng.choice([0, 1, 2, 3], 300, p=[0.5, 0.3, 0.15, 0.05])
predicted = np.where(rng.random(300) < 0.75, actual, rng.choice([0, 1, 2, 5], 300))
predicted[predicted == 3] = 0
line("actual", *actual)
line("predicted", *predicted)
line("accuracy", metrics.accuracy_score(actual, predicted))
classes = [0, 1, 2, 3, 5]
each = metrics.precision_recall_fscore_support(actual, predicted, labels=classes, zero_division=0)
for i, c in enumerate(classes):
    line("class", c, each[0][i], each[1][i], each[2][i])
line("macro", *metrics.precision_recall_fscore_support(actual, predicted, average="macro", zero_division=0)[:3])

truth = rng.random(400) < 0.3
scores = np.clip(rng.normal(0.35 + 0.3 * truth, 0.2), 0, 1)
line("truth", *truth)
line("scores", *scores)
line("auc", metrics.roc_auc_score(truth, scores))
line("auc_in_bins", metrics.roc_auc_score(truth, np.minimum((scores * 1000).astype(int), 999)))
line("log_loss", metrics.log_loss(truth, scores))
bins = np.minimum((scores * 10).astype(int), 9)
line("calibration_error", sum(abs(scores[bins == b].sum() - truth[bins == b].sum()) for b in range(10)) / 400)

numbers = rng.standard_normal(100) * 20
guesses = numbers + rng.standard_normal(100) + 0.5
line("numbers", *numbers)
line("guesses", *guesses)
line("mae", metrics.mean_absolute_error(numbers, guesses))
line("rmse", metrics.root_mean_squared_error(numbers, guesses))
