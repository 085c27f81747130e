"""Trains regressions of how a disease progresses: one, another that is as good, and one that sees little of the patient.

    train_progression.py FOLDER  → FOLDER/1.onnx, 2.onnx, 3.onnx, expected.json: rows, labels, mean_absolute_error by version
"""
import json
import pathlib
import sys

import numpy as np
from skl2onnx import to_onnx
from sklearn.datasets import load_diabetes
from sklearn.linear_model import LinearRegression, Ridge
from sklearn.metrics import mean_absolute_error

FOLDER = pathlib.Path(sys.argv[1])
data = load_diabetes()
X = np.round(data.data * 65536).astype(np.float32) / 65536
Y = data.target
little = X.copy()
little[:, 2:] = 0
versions = {1: LinearRegression().fit(X, Y), 2: Ridge(alpha=1e-3).fit(X, Y), 3: LinearRegression().fit(little, Y)}
for number, model in versions.items():
    (FOLDER / f"{number}.onnx").write_bytes(to_onnx(model, X[:1]).SerializeToString())
(FOLDER / "expected.json").write_text(json.dumps({
    "rows": X.tolist(), "labels": Y.tolist(),
    "mean_absolute_error": {number: mean_absolute_error(Y, model.predict(X)) for number, model in versions.items()}}))
