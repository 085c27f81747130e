"""Asks a server of the model "columns" of make_python_models.py by MLflow's own scoring client.

    ask_mlflow.py PORT     → JSON: {form: predictions, or the error's text}
"""
import json
import sys

import pandas as pd
import requests
from mlflow.pyfunc.scoring_server import CONTENT_TYPE_CSV
from mlflow.pyfunc.scoring_server.client import ScoringServerClient

TABLE = pd.DataFrame({"size": [1.0, 2.0, 3.5, 4.0, 9.0], "count": [1, 2, 3, 4, 5],
                      "colour": ["red", "blue", "red", "green", "blue"]})
client = ScoringServerClient("127.0.0.1", sys.argv[1])
client.wait_server_ready(timeout=60)


def predictions(data):
    return client.invoke(data).get_predictions()[0].tolist()


def refused(data):
    try:
        return predictions(data)
    except Exception as error:  # a bare one is what the client raises
        return str(error)


def csv():
    """The client sends JSON alone."""
    answer = requests.post(client.url_prefix + "/invocations", data=TABLE.to_csv(index=False), timeout=60,
                           headers={"Content-Type": CONTENT_TYPE_CSV})
    return answer.json()["predictions"]


print(json.dumps({
    "split": predictions(TABLE), "split, other order": predictions(TABLE[["colour", "size", "count"]]),
    "records": predictions(json.dumps({"dataframe_records": TABLE.to_dict(orient="records")})), "csv": csv(),
    "missing column": refused(TABLE[["size", "count"]]),
    "text for a number": refused(TABLE.assign(size="secret value"))}))
