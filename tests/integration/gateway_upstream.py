"""A model server of somebody else's, for gunicorn: says what it was asked, and answers as the query wants it."""
import hashlib
import json
import os
import random
import time
from urllib.parse import parse_qsl

VERSION = os.environ.get("UPSTREAM_VERSION", "1")
ERRORS = float(os.environ.get("UPSTREAM_ERRORS", "0"))


def described(environ, body):
    """What came, but for what a proxy may change: addresses and the connection."""
    headers = {key: value for key, value in environ.items()
               if key.startswith("HTTP_") and not key.startswith("HTTP_X_FORWARDED") and key != "HTTP_CONNECTION"}
    return {"method": environ["REQUEST_METHOD"], "target": environ["RAW_URI"], "headers": headers,
            "type": environ.get("CONTENT_TYPE"), "body": hashlib.sha256(body).hexdigest(), "bytes": len(body)}


def events():
    for number in range(5):
        yield f"data: {number}\n\n".encode()
        time.sleep(0.1)


def app(environ, start_response):
    query = dict(parse_qsl(environ.get("QUERY_STRING", "")))
    body = environ["wsgi.input"].read()
    path = environ["PATH_INFO"]
    if path == "/healthz":
        start_response("200 OK", [("Content-Length", "0")])
        return []
    if path == "/events":
        start_response("200 OK", [("Content-Type", "text/event-stream")])
        return events()
    if path == "/slow":
        time.sleep(float(query.get("seconds", "0.2")))
    if path == "/answer":
        rng = random.Random(int(query["seed"]))
        answer = rng.randbytes(int(query["size"]))
        headers = [(f"X-Random-{i}", "".join(rng.choices("abc ,;=\"'", k=rng.randrange(1, 40))).strip() or "x") for i in range(3)]
        headers.append(("X-Seen", json.dumps(described(environ, body), sort_keys=True)))
        headers.append(("Content-Type", "application/octet-stream"))
        if query.get("chunked") != "1":
            headers.append(("Content-Length", str(len(answer))))
        start_response(query["status"] + " Some Words", headers)
        return [answer[at:at + 7000] for at in range(0, len(answer), 7000)] if query.get("chunked") == "1" else [answer]
    if random.random() < ERRORS:
        start_response("500 Internal Server Error", [("Content-Length", "0")])
        return []
    text = json.dumps({"version": int(VERSION), "bytes": len(body)}).encode()
    start_response("200 OK", [("Content-Type", "application/json"), ("Content-Length", str(len(text)))])
    return [text]
