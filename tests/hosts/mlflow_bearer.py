"""Loaded by `mlflow server --app-name basic-auth` as its authorization_function: the bearer token that MLFLOW_BEARER_FILE holds
at the moment is MLFLOW_BEARER_USER; whoever brings a user and a password is MLflow's own affair."""
import os
import pathlib

from flask import request
from mlflow.server.auth import authenticate_request_basic_auth, make_basic_auth_response
from werkzeug.datastructures import Authorization


def authenticate():
    sent = request.authorization
    if sent is None or sent.type != "bearer":
        return authenticate_request_basic_auth()
    accepted = pathlib.Path(os.environ["MLFLOW_BEARER_FILE"]).read_text(encoding="utf-8")
    if not accepted or sent.token != accepted:
        return make_basic_auth_response()
    return Authorization("basic", {"username": os.environ["MLFLOW_BEARER_USER"], "password": ""})
