"""Runs in the models' environment (tests/requirements-models.txt):

    mlflow_peer.py train FOLDER              an MLflow model, and the same as ONNX, stacked and by columns
    mlflow_peer.py ask PORT                  the requests below to a scoring server, answers as JSON lines
    mlflow_peer.py client PORT               MLflow's own client, answers as JSON
    mlflow_peer.py capture FOLDER            `mlflow models serve` of a trained model, asked; writes golden.jsonl
"""
import contextlib
import io
import json
import os
import pathlib
import sys

NAMES = ["a", "b", "c", "d"]


def data():
    from sklearn.datasets import load_iris
    x, y = load_iris(return_X_y=True, as_frame=True)
    x.columns = NAMES
    return x.astype("float32"), y


def train(folder):
    import mlflow
    from skl2onnx import to_onnx
    from sklearn.compose import ColumnTransformer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import Pipeline
    from sklearn.preprocessing import StandardScaler

    x, y = data()
    model = Pipeline([("scale", ColumnTransformer([("all", StandardScaler(), NAMES)])),
                      ("model", LogisticRegression(max_iter=500))]).fit(x, y)
    mlflow.sklearn.save_model(model, str(folder / "mlflow"), serialization_format="cloudpickle")
    options = {"zipmap": False}
    (folder / "table.onnx").write_bytes(
        to_onnx(model, x[:1], options={id(model): options}, target_opset=17).SerializeToString())
    stacked = LogisticRegression(max_iter=500).fit(x.values, y)
    (folder / "stacked.onnx").write_bytes(
        to_onnx(stacked, x.values[:1], options={id(stacked): options}, target_opset=17).SerializeToString())


def requests_to_send():
    x, _ = data()
    rows = x.iloc[[0, 60, 120]]
    split = json.loads(rows.to_json(orient="split"))
    values = split["data"]
    records = json.loads(rows.to_json(orient="records"))
    columns = {name: [row[i] for row in values] for i, name in enumerate(NAMES)}

    def as_json(document, content_type="application/json"):
        return content_type, json.dumps(document)

    return {
        "split": as_json({"dataframe_split": split}),
        "split without index": as_json({"dataframe_split": {"columns": NAMES, "data": values}}),
        "split, data first": as_json({"dataframe_split": {"data": values, "columns": NAMES}}),
        "split, other order": as_json({"dataframe_split": {"columns": NAMES[::-1], "data": [row[::-1] for row in values]}}),
        "split, one more column": as_json({"dataframe_split": {"columns": [*NAMES, "e"], "data": [[*row, 1] for row in values]}}),
        "records": as_json({"dataframe_records": records}),
        "records, other order": as_json({"dataframe_records": [records[0], dict(reversed(records[1].items()))]}),
        "one record": as_json({"dataframe_records": records[:1]}),
        "instances of records": as_json({"instances": records}),
        "inputs by columns": as_json({"inputs": columns}),
        "params": as_json({"dataframe_split": split, "params": {}}),
        "charset": as_json({"dataframe_split": split}, "application/json; charset=utf-8"),
        "csv": ("text/csv", rows.to_csv(index=False)),
        "csv, quoted": ("text/csv", rows.to_csv(index=False, quoting=1)),
        "csv, lines end with CRLF": ("text/csv", rows.to_csv(index=False, lineterminator="\r\n")),
        # Mistakes
        "missing column": as_json({"dataframe_split": {"columns": NAMES[:3], "data": [row[:3] for row in values]}}),
        "a row too long": as_json({"dataframe_split": {"columns": NAMES, "data": [[1, 2, 3, 4, 5]]}}),
        "text for a number": as_json({"dataframe_records": [dict(records[0], a="secret value")]}),
        "no field": as_json({"data": values}),
        "two fields": as_json({"dataframe_split": split, "instances": values}),
        "a list": as_json(values),
        "malformed": ("application/json", '{"dataframe_split": {"columns": ["a"'),
        "empty": ("application/json", ""),
        "split is a list": as_json({"dataframe_split": values}),
        "other type": ("text/html", "x"),
        "other charset": as_json({"dataframe_split": split}, "application/json; charset=latin-1"),
        "other parameter": as_json({"dataframe_split": split}, "application/json; format=pandas-split"),
        "empty csv": ("text/csv", ""),
        "ragged csv": ("text/csv", "a,b,c,d\n1,2,3,4,5,6\n1,2\n"),
    }


def shortened(text):
    """Without stack traces and file paths, which MLflow's errors carry."""
    if '"error_code"' not in text:
        return text
    return json.dumps({"error_code": json.loads(text)["error_code"]})


def ask(port):
    import requests
    base = f"http://127.0.0.1:{port}"
    for name, (content_type, body) in requests_to_send().items():
        answer = requests.post(base + "/invocations", data=body.encode(), headers={"Content-Type": content_type}, timeout=30)
        print(json.dumps({"name": name, "status": answer.status_code, "type": answer.headers["content-type"].split(";")[0],
                          "body": shortened(answer.text)}))
    for path in ("/ping", "/health", "/version"):
        answer = requests.get(base + path, timeout=30)
        print(json.dumps({"name": path, "status": answer.status_code, "type": answer.headers["content-type"].split(";")[0],
                          "body": answer.text}))


def client(port):
    from mlflow.pyfunc.scoring_server.client import ScoringServerClient
    x, _ = data()
    rows = x.iloc[[0, 60, 120]]
    server = ScoringServerClient("127.0.0.1", port)
    server.wait_server_ready(timeout=60)

    def ask_for(data, **more):
        return server.invoke(data, **more).get_predictions().iloc[:, 0].tolist()

    answers = {"frame": ask_for(rows), "params": ask_for(rows, params={"temperature": 1})}
    if "--array" in sys.argv:
        answers["array"] = ask_for(rows.to_numpy())
    server.get_version()
    print(json.dumps(answers))


def capture(folder):
    here = pathlib.Path(__file__).resolve().parent
    sys.path.insert(0, str(here.parents[1]))
    from hosts.process import HttpHost

    class Scoring(HttpHost):
        ready_path = "/ping"

        def __init__(self):
            super().__init__()
            tools = pathlib.Path(sys.executable).parent
            self.start("mlflow", [tools / "mlflow", "models", "serve", "-m", folder / "mlflow", "--env-manager", "local", "-h",
                                  "127.0.0.1", "-p", self.port], folder / "mlflow.log", 240,
                       env={"PATH": f"{tools}:{os.environ['PATH']}"})

    train(folder)
    lines = io.StringIO()
    with Scoring() as server, contextlib.redirect_stdout(lines):
        ask(server.port)
    (here / "golden.jsonl").write_text(lines.getvalue())


if __name__ == "__main__":
    if sys.argv[1] == "train":
        train(pathlib.Path(sys.argv[2]))
    elif sys.argv[1] == "capture":
        capture(pathlib.Path(sys.argv[2]).resolve())
    elif sys.argv[1] == "ask":
        ask(int(sys.argv[2]))
    else:
        client(int(sys.argv[2]))
