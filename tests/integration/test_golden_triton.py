"""Answers of a real tritonserver (tests/golden/triton, captured by its capture.py) beside ours to the same requests.

What may differ stands in tests/golden/triton/README.md: two rules, and a table of single cases. A row of the table that
no longer differs fails, too, so that the table stays true."""
import fnmatch
import gzip
import http.client
import json
import struct
import sys
import zlib
from pathlib import Path

import pytest

GOLDEN = Path(__file__).resolve().parents[1] / "golden" / "triton"
sys.path.insert(0, str(GOLDEN))

import golden_models  # noqa: E402

LENGTH = "inference-header-content-length"


def unpacked(body):
    return body["text"].encode() if "text" in body else bytes.fromhex(body["hex"])


def ask(url, pair):
    connection = http.client.HTTPConnection(url.removeprefix("http://"), timeout=30)
    try:
        connection.request(pair["method"], pair["path"], unpacked(pair["body"]) or None,
                           {"Content-Type": "application/json", "Accept-Encoding": "identity", **pair["headers"]})
        answer = connection.getresponse()
        return {"status": answer.status, "headers": {k.lower(): v for k, v in answer.getheaders()}, "body": answer.read()}
    finally:
        connection.close()


def plain_body(answer):
    coding = answer["headers"].get("content-encoding", "")
    if coding == "gzip":
        return gzip.decompress(answer["body"])
    return zlib.decompress(answer["body"]) if coding == "deflate" else answer["body"]


def as_fp32(value):
    return struct.pack("<f", value) if isinstance(value, (int, float)) else value


def outputs_by_name(document, raw):
    """{name: (datatype, shape, values)}: Triton's order of outputs is that of a hash table."""
    outputs = {}
    for output in document.pop("outputs"):
        size = output.get("parameters", {}).get("binary_data_size")
        if size is not None:
            values, raw = raw[:size], raw[size:]
        else:
            values = [as_fp32(v) for v in output["data"]] if output["datatype"] == "FP32" else output["data"]
        outputs[output["name"]] = (output["datatype"], output["shape"], repr(values))
    assert raw == b"", "bytes behind the last output"
    return outputs


def comparable(answer):
    body = plain_body(answer)
    if not body:
        return None
    size = int(answer["headers"].get(LENGTH, len(body)))
    document = json.loads(body[:size])
    if isinstance(document, dict) and "outputs" in document and "model_version" in document:
        return {"outputs": outputs_by_name(document, body[size:]), **document}
    return document


def keys_of(document):
    """The form of a document: its keys, and the kinds of its values."""
    if isinstance(document, dict):
        return {key: keys_of(value) for key, value in document.items()}
    if isinstance(document, list):
        return [keys_of(document[0])] if document else []
    return type(document).__name__


def difference(theirs, ours):
    """None, or what differs in few words."""
    if ours["status"] >= 400:
        assert isinstance(json.loads(ours["body"])["error"], str)
        if theirs["status"] == ours["status"] or (theirs["status"], ours["status"]) == (500, 400):
            return None
    if theirs["status"] != ours["status"]:
        return f"status {theirs['status']} → {ours['status']}"
    if theirs["headers"].get("content-encoding") != ours["headers"].get("content-encoding"):
        return f"encoding {theirs['headers'].get('content-encoding')} → {ours['headers'].get('content-encoding')}"
    a, b = comparable(theirs), comparable(ours)
    if a == b and theirs["headers"]["content-type"] == ours["headers"]["content-type"]:
        return None
    if a is None:
        return "body empty → JSON"
    if keys_of(a) == keys_of(b):
        return "values"
    return "body"


def table():
    """[(pattern, difference)] of the README's table."""
    rows = []
    for line in (GOLDEN / "README.md").read_text().splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if line.startswith("| `") and len(cells) == 3:
            rows += [(name.strip().strip("`"), cells[1]) for name in cells[0].split(";")]
    assert rows
    return rows


def check(url, pairs):
    rows, used, wrong, same_bytes = table(), set(), [], 0
    for pair in pairs:
        theirs = {**pair["answer"], "body": unpacked(pair["answer"]["body"])}
        ours = ask(url, pair)
        same_bytes += theirs["body"] == ours["body"] and theirs["status"] == ours["status"]
        found = difference(theirs, ours)
        expected = next((row for row in rows if fnmatch.fnmatchcase(pair["name"], row[0])), (None, None))
        used.add(expected)
        if found != expected[1]:
            wrong.append(f"{pair['name']}: {found}; the table says {expected[1]}\n   {theirs['status']} {theirs['body'][:300]}\n"
                         f"   {ours['status']} {ours['body'][:300]}")
    assert not wrong, "\n".join(wrong)
    return used, same_bytes


@pytest.fixture
def golden():
    return json.loads((GOLDEN / "golden.json").read_text())


def configuration(folder):
    return [{"name": name, "path": str(folder / "leadsman" / name), "versions": {"all": True}} for name in golden_models.MODELS]


def test_the_same_requests_get_the_same_answers(start, tmp_path, golden):
    golden_models.write(tmp_path)
    server = start(models=configuration(tmp_path))
    used, same_bytes = check(server.url, golden["default"])
    assert same_bytes >= 30
    unused = [row for row in table() if row not in used and not row[0].startswith("explicit:")]
    assert not unused, f"rows of the table that no request needs: {unused}"


def test_models_are_loaded_and_unloaded_by_request(start, tmp_path, golden):
    golden_models.write(tmp_path)
    server = start(models=configuration(tmp_path), repository={"control": "explicit"})
    used, _ = check(server.url, golden["explicit"])
    unused = [row for row in table() if row not in used and row[0].startswith("explicit:")]
    assert not unused, f"rows of the table that no request needs: {unused}"
