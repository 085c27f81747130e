#!/usr/bin/env python3
"""Trains three versions of a digit classifier and releases them into a model repository.

    train.py train --staging DIR                                 all three, with their held-out errors
    train.py release --staging DIR --repository DIR --version N  copies one into DIR/digits/N, manifest last

The data are the 1,797 scanned handwritten digits that scikit-learn carries (UCI "Optical Recognition of Handwritten
Digits"), 64 grey values each. Split and seeds are fixed, so every run trains the same three models:

    1  logistic regression
    2  support vector machine with an RBF kernel: better
    3  the same as 2, but its job silently read only the first 120 rows of the training file; nothing raises an error
"""
import argparse
import datetime
import hashlib
import json
import os
import pathlib
import shutil
import sys
import warnings

import numpy as np

MODEL = "digits"
SEED = 0
HELD_OUT_SHARE = 0.3
ROWS_READ_BY_MISTAKE = 120
CLASSES = 10


def split():
    """The training and the held-out part: (train_x, train_y, test_x, test_y)."""
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split

    x, y = load_digits(return_X_y=True)
    train_x, test_x, train_y, test_y = train_test_split(
        x.astype(np.float32), y, test_size=HELD_OUT_SHARE, random_state=SEED, stratify=y)
    return train_x, train_y, test_x, test_y


def write_training_file(path, x, y):
    """The training data as the job finds it: one row a scan, its digit in the last column."""
    np.savetxt(path, np.column_stack([x, y]), fmt="%d", delimiter=",")


def read_training_file(path, rows=None):
    table = np.loadtxt(path, delimiter=",", dtype=np.float32, max_rows=rows)
    return table[:, :-1], table[:, -1].astype(np.int64)


def estimators():
    """Version → (what it is, unfitted estimator, rows that its job reads; None = all)."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.svm import SVC

    def svm():
        # `probability` is deprecated in favour of CalibratedClassifierCV, which skl2onnx turns into a far bigger graph.
        return SVC(gamma=0.001, probability=True, random_state=SEED)

    return {
        1: ("logistic regression", LogisticRegression(max_iter=3000), None),
        2: ("RBF support vector machine", svm(), None),
        3: (f"the same, but its job read only {ROWS_READ_BY_MISTAKE} rows", svm(), ROWS_READ_BY_MISTAKE),
    }


def export_onnx(estimator, path):
    from skl2onnx import to_onnx
    from skl2onnx.common.data_types import FloatTensorType

    model = to_onnx(
        estimator,
        initial_types=[("x", FloatTensorType([None, 64]))],
        options={id(estimator): {"zipmap": False}},
        target_opset={"": 17, "ai.onnx.ml": 3})
    path.write_bytes(model.SerializeToString())


def held_out_errors(path, x, y):
    """Counts what the exported model gets wrong, run as the server will run it."""
    import onnxruntime

    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    label, probabilities = session.run(["label", "probabilities"], {"x": x})
    if label.shape != (len(x),) or probabilities.shape != (len(x), CLASSES):
        raise SystemExit(f"{path}: unexpected outputs {label.shape} {probabilities.shape}")
    return int((label != y).sum())


def manifest(version, folder, description, errors, held_out):
    model = folder / "model.onnx"
    data = model.read_bytes()
    return {
        "schema_version": 1,
        "name": MODEL,
        "version": version,
        "format": "onnx",
        "model_file": model.name,
        "signature": {
            "inputs": [{"name": "x", "datatype": "FP32", "shape": [-1, 64]}],
            "outputs": [
                {"name": "label", "datatype": "INT64", "shape": [-1]},
                {"name": "probabilities", "datatype": "FP32", "shape": [-1, CLASSES]},
            ],
        },
        "files": [{"path": model.name, "size_bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}],
        "created_at": datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "metadata": {"description": description, "held_out_errors": str(errors), "held_out_rows": str(held_out)},
    }


def write_atomically(path, text):
    """The file appears whole or not at all; a reader never sees half of it."""
    part = path.with_name("." + path.name + ".part")
    with open(part, "w", encoding="utf-8") as out:
        out.write(text)
        out.flush()
        os.fsync(out.fileno())
    os.rename(part, path)


def train(staging):
    """Trains and exports all versions into staging/<version>/. Returns [{version, description, rows, errors, held_out}]."""
    train_x, train_y, test_x, test_y = split()
    staging.mkdir(parents=True, exist_ok=True)
    training_file = staging / "train.csv"
    write_training_file(training_file, train_x, train_y)
    results = []
    for version, (description, estimator, rows) in estimators().items():
        folder = staging / str(version)
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        x, y = read_training_file(training_file, rows)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)
            estimator.fit(x, y)
            export_onnx(estimator, folder / "model.onnx")
        errors = held_out_errors(folder / "model.onnx", test_x, test_y)
        write_atomically(folder / "manifest.json",
                         json.dumps(manifest(version, folder, description, errors, len(test_y)), indent=2) + "\n")
        results.append({"version": version, "description": description, "rows": len(y), "errors": errors,
                        "held_out": len(test_y)})
    return results


def release(staging, repository, version):
    """Copies a version into repository/digits/<version>: first its files, last its manifest, by rename."""
    source = staging / str(version)
    if not (source / "manifest.json").exists():
        raise SystemExit(f"{source} holds no trained version; run `train.py train --staging {staging}` first")
    target = repository / MODEL / str(version)
    if target.exists():
        raise SystemExit(f"{target} exists already: versions are immutable, release a new number")
    target.mkdir(parents=True)
    for file in sorted(source.iterdir()):
        if file.name != "manifest.json":
            shutil.copyfile(file, target / file.name)
    write_atomically(target / "manifest.json", (source / "manifest.json").read_text(encoding="utf-8"))
    return target


def results_table(results):
    lines = [f"  {'version':8} {'trained on':>10}  {'wrong of ' + str(results[0]['held_out']):>14}  what it is"]
    for row in results:
        wrong = f"{row['errors']} ({100 * row['errors'] / row['held_out']:.1f} %)"
        lines.append(f"  v{row['version']:<7} {row['rows']:>10,}  {wrong:>14}  {row['description']}")
    return "\n".join(lines)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    command = commands.add_parser("train", help="train and export all three versions")
    command.add_argument("--staging", type=pathlib.Path, required=True)
    command = commands.add_parser("release", help="copy one version into the model repository")
    command.add_argument("--staging", type=pathlib.Path, required=True)
    command.add_argument("--repository", type=pathlib.Path, required=True)
    command.add_argument("--version", type=int, required=True)
    arguments = parser.parse_args()
    if arguments.command == "train":
        print(results_table(train(arguments.staging)))
    else:
        print(release(arguments.staging, arguments.repository, arguments.version))
    return 0


if __name__ == "__main__":
    sys.exit(main())
