"""make_params_model.py FOLDER: two pyfuncs of MLflow's, one logged with a schema of parameters, and what they answer in MLflow itself."""
import json
import pathlib
import sys

import mlflow.pyfunc
import pandas as pd
from mlflow.models import ModelSignature
from mlflow.types import ColSpec, ParamSchema, ParamSpec, Schema

FOLDER = pathlib.Path(sys.argv[1])


class Scaled(mlflow.pyfunc.PythonModel):
    def predict(self, context, model_input, params=None):
        params = params or {}
        shift = sum(params.get("shifts", []))
        return model_input["x"] * params.get("factor", 100.0) + shift + (1000 if params.get("loud") else 0)


columns = {"inputs": Schema([ColSpec("double", "x")]), "outputs": Schema([ColSpec("double")])}
schema = ParamSchema([ParamSpec("factor", "double", 3.0), ParamSpec("loud", "boolean", False),
                      ParamSpec("shifts", "long", [0], shape=(-1,))])
for name, params in (("scaled", schema), ("plain", None)):
    mlflow.pyfunc.save_model(FOLDER / name / "1", python_model=Scaled(), signature=ModelSignature(**columns, params=params))

asked = [None, {}, {"factor": 2.0}, {"factor": 2, "shifts": [1, 2]}, {"loud": True, "unknown": 1}, {"factor": "two"}, {"shifts": 1}]
answers = []
for name in ("scaled", "plain"):
    model = mlflow.pyfunc.load_model(FOLDER / name / "1")
    for params in asked:
        try:
            answer = model.predict(pd.DataFrame({"x": [1.0, 2.0]}), params=params).tolist()
        except Exception as error:
            answer = {"error": getattr(error, "message", str(error))}
        answers.append([name, params, answer])
(FOLDER / "expected.json").write_text(json.dumps(answers))
