"""Trains a classifier of two classes on two measures of tumours, and writes what scikit-learn says of its answers.

    train_tumours.py FOLDER  → FOLDER/model.onnx, FOLDER/expected.json: rows, labels, answers, figures
"""
import json
import pathlib
import sys

import numpy as np
from skl2onnx import to_onnx
from sklearn import metrics
from sklearn.datasets import load_breast_cancer
from sklearn.linear_model import LogisticRegression

FOLDER = pathlib.Path(sys.argv[1])
data = load_breast_cancer()
X = np.round(data.data[:, [4, 8]] * 1024).astype(np.float32) / 1024
Y = data.target_names[data.target]
model = LogisticRegression(C=1000).fit(X[:250], Y[:250])
(FOLDER / "model.onnx").write_bytes(
    to_onnx(model, X[:1], options={"zipmap": False}).SerializeToString())

rows, truth = X[250:], Y[250:]
answers, scores = model.predict(rows), model.predict_proba(rows)[:, 1]
precision, recall, f1, support = metrics.precision_recall_fscore_support(truth, answers, labels=model.classes_)
macro = metrics.precision_recall_fscore_support(truth, answers, average="macro")
positive = truth == model.classes_[1]
(FOLDER / "expected.json").write_text(json.dumps({
    "rows": rows.tolist(), "labels": truth.tolist(), "answers": answers.tolist(),
    "accuracy": metrics.accuracy_score(truth, answers),
    "classes": {name: {"precision": precision[i], "recall": recall[i], "f1": f1[i], "labelled": int(support[i])}
                for i, name in enumerate(model.classes_)},
    "macro": dict(zip(("precision", "recall", "f1"), macro)),
    "score_class": model.classes_[1], "auc": metrics.roc_auc_score(positive, scores),
    "log_loss": metrics.log_loss(positive, scores)}))
