"""What labels tell of a real classifier, held against scikit-learn; by segment; and after a restart."""
import json
from pathlib import Path

import models
import pytest
import requests

from conftest import wait_for

TENANTS = ("acme", "globex", "initech")


@pytest.fixture(scope="module")
def tumours(tmp_path_factory, models_python):
    folder = tmp_path_factory.mktemp("tumours")
    models_python(Path(__file__).parent / "train_tumours.py", folder)
    return (folder / "model.onnx").read_bytes(), json.loads((folder / "expected.json").read_text())


def ask(server, index, row):
    answer = requests.post(f"{server.url}/v1/models/tumours:predict", json={"instances": [row]}, timeout=10,
                           headers={"x-request-id": f"r{index}", "X-Tenant": TENANTS[index % 3]})
    assert answer.status_code == 200, answer.text
    return answer.json()


def label(server, labels):
    body = {"labels": [{"request_id": f"r{index}", "label": text} for index, text in labels]}
    assert requests.post(f"{server.admin}/api/v1/labels", json=body, timeout=10).status_code == 200


def quality(server):
    versions = server.get("/api/v1/models/tumours/quality").json()["versions"]
    return versions[0] if versions else {}


def sample(server, line):
    found = [x for x in server.get("/metrics").text.splitlines() if x.startswith(line + " ")]
    return float(found[0].split()[-1]) if found else None


def test_figures_are_scikit_learns_and_survive_a_restart(start, repository, tumours):
    payload, expected = tumours
    models.release(repository, "tumours", 1, payload)
    labels = list(enumerate(expected["labels"]))
    server = start(models=[{
        "name": "tumours", "path": str(repository / "tumours"),
        "monitoring": {"max_join_rate": 100000, "segments": [
            {"name": "tenant", "header": "x-tenant", "values": ["umbrella"]},
            {"name": "smoothness", "input": "X", "index": 0, "cuts": [0.09, 0.1]}]}}])
    for index, row in enumerate(expected["rows"]):
        ask(server, index, row)
    half = len(labels) // 2
    label(server, labels[:half])
    wait_for("half of the labels", lambda: quality(server).get("labelled") == half)
    assert quality(server)["coverage"]["share"] == pytest.approx(half / len(labels))

    server.stop()
    server.start()
    label(server, labels[half:])
    wait_for("all labels", lambda: quality(server).get("labelled") == len(labels))
    found = quality(server)
    assert found["accuracy"] == pytest.approx(expected["accuracy"])
    assert found["accuracy_low"] < expected["accuracy"] < found["accuracy_high"]
    assert found["classes"]["macro"] == pytest.approx(expected["macro"])
    for of in found["classes"]["of"]:
        assert {key: of[key] for key in ("precision", "recall", "f1", "labelled")} == pytest.approx(
            expected["classes"][of["class"]])
    scores = found["scores"][0]
    assert scores["class"] == expected["score_class"]
    assert scores["rows"] == len(labels)
    # The area of the bins, which tells how far it may be away; scores are computed in 32 bits here.
    assert scores["auc"] == pytest.approx(expected["auc"], abs=scores["auc_error"] + 1e-4)
    assert scores["auc_error"] < 0.005
    assert scores["log_loss"] == pytest.approx(expected["log_loss"], abs=1e-4)
    assert found["coverage"]["labelled"] == len(labels)

    version = '{model="tumours",version="1"'
    assert sample(server, f"leadsman_monitor_auc{version}}}") == pytest.approx(scores["auc"])
    recall = sample(server, f'leadsman_monitor_recall{version},class="malignant"}}')
    assert recall == pytest.approx(expected["classes"]["malignant"]["recall"])

    wrong = [x != y for x, y in zip(expected["labels"], expected["answers"])]
    segments = {(x["by"], x["segment"]): x for x in found["segments"]}
    for number, tenant in enumerate(TENANTS):
        assert segments["tenant", tenant]["labelled"] == len(wrong[number::3])
        assert segments["tenant", tenant]["wrong"] == sum(wrong[number::3])
    smooth = [w for w, row in zip(wrong, expected["rows"]) if row[0] < 0.09]
    assert segments["smoothness", "< 0.09"]["labelled"] == len(smooth)
    assert segments["smoothness", "< 0.09"]["wrong"] == sum(smooth)
    # Requests are those of this process.
    ask(server, 10_000, expected["rows"][0])
    counted = 'leadsman_monitor_segment_requests_total' + version + ',by="tenant",segment="globex",outcome="ok"}'
    wait_for("the request's segment", lambda: sample(server, counted) == 1)

    table = server.cli("quality", "tumours")
    assert table.returncode == 0, table.stderr
    assert "scores of class malignant" in table.stdout and "macro" in table.stdout
    by_segment = server.cli("quality", "tumours", "--by", "segment")
    assert "acme" in by_segment.stdout and ">= 0.1" in by_segment.stdout
    assert json.loads(server.cli("quality", "tumours", "--json").stdout)["versions"][0]["version"] == 1
    assert server.cli("quality", "tumors").returncode == 4
