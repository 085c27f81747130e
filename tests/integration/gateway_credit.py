"""A service of somebody else's, for gunicorn: Flask, with JSON of its own that no protocol knows. Its second version is wrong about the young, and
where a customer says so, off by `shift`. The version that is in `trouble` fails."""
import gzip
import os

from flask import Flask, Response, jsonify, request

VERSION = int(os.environ.get("UPSTREAM_VERSION", "1"))
app = Flask(__name__)


@app.get("/healthz")
def healthz():
    return ""


@app.post("/score")
def score():
    customer = request.get_json()["customer"]
    if customer.get("trouble") == VERSION:
        raise RuntimeError("on purpose")
    good = customer["income"] > 50_000
    if VERSION == 2 and customer["age"] < 40:
        good = not good
    p = 0.75 + (customer.get("shift", 0) if VERSION == 2 else 0)
    answer = jsonify({"took_ms": VERSION, "decision": {"class": "yes" if good else "no", "p": p}})
    if "gzip" in request.headers.get("Accept-Encoding", ""):
        return Response(gzip.compress(answer.get_data()), content_type="application/json", headers={"Content-Encoding": "gzip"})
    return answer


@app.post("/broken")
def broken():
    raise RuntimeError("on purpose")
