"""Two servers, one Redis: a label counts once, whichever of them gets it, also when Redis was away."""
import json
import subprocess

import models
import pytest
import requests
from conftest import BINARY, wait_for
from hosts.redis import Redis


@pytest.fixture
def replicas(start, repository, tmp_path):
    models.release(repository, "digits", 1, models.classifier(wrong_class=3))
    with Redis(tmp_path / "redis") as redis:
        yield redis, [start(models=[{"name": "digits", "path": str(repository / "digits")}],
                            monitor={"labels": {"redis": {"address": redis.address}}}) for _ in range(2)]


def ask(server, request_id):
    answer = requests.post(f"{server.url}/v1/models/digits:predict", json={"instances": [[0.0] * 10]}, timeout=10,
                           headers={"x-request-id": request_id})
    assert answer.status_code == 200, answer.text


def label(server, *labels):
    body = {"labels": [{"request_id": request_id, "label": text} for request_id, text in labels]}
    assert requests.post(f"{server.admin}/api/v1/labels", json=body, timeout=10).json()["accepted"] == len(labels)


def counts(server):
    return {key.removeprefix("labels_"): value for key, value in server.get("/api/v1/status").json()["monitor"].items()}


def totals(server):
    totals = server.model("digits")["versions"][0]["totals"]
    return totals["labelled"], totals["wrong"]


def store(server):
    return server.get("/api/v1/status").json()["label_store"]


def test_a_label_counts_once_wherever_it_comes(replicas):
    redis, (a, b) = replicas
    label(b, ("early", "0"))  # before there is a prediction
    for i in range(20):
        ask(a, f"r{i}")
    wait_for("the predictions in Redis", lambda: redis.ask("EXISTS", "leadsman:p:0:r19") == "1")
    label(b, *((f"r{i}", "5") for i in range(20)))
    wait_for("all of them at the other one", lambda: counts(b)["joined"] == 20)
    label(a, *((f"r{i}", "5") for i in range(20)))
    wait_for("the second ones", lambda: counts(a)["duplicate"] == 20)
    assert totals(b) == (20, 20) and totals(a) == (0, 0)
    ask(a, "early")
    wait_for("the early one", lambda: counts(b)["joined"] == 21)
    assert counts(a)["joined"] == 0
    assert redis.ask("EXISTS", "leadsman:p:0:r0", "leadsman:l:0:r0") == "1", "what is joined leaves its label alone"
    kept = redis.ask("KEYS", "*")
    assert all(line.startswith("leadsman:l:0:") for line in kept.splitlines()), kept


def test_redis_goes_and_comes_back(replicas):
    redis, (a, b) = replicas
    wait_for("both", lambda: store(a)["ready"] and store(b)["ready"])
    ask(a, "lost")
    wait_for("the prediction in Redis", lambda: redis.ask("EXISTS", "leadsman:p:0:lost") == "1")
    redis.stop()
    for i in range(10):
        ask(a, f"r{i}")
    label(b, *((f"r{i}", "5") for i in range(10)))
    wait_for("the word of it", lambda: not store(a)["ready"] and "cannot connect" in store(a)["reason"])
    assert store(a)["redis"] == redis.address and store(a)["predictions_lost"] == 0
    assert "labels: redis away since " in a.cli("status").stdout
    redis.run()  # without what it held
    wait_for("what had to wait", lambda: counts(b)["joined"] == 10)
    assert totals(b) == (10, 10) and store(a)["ready"] and store(b)["ready"]
    assert "redis away" not in a.cli("status").stdout
    # What Redis lost is known where it was answered, and nowhere else.
    label(a, ("lost", "5"))
    wait_for("the label", lambda: counts(a)["joined"] == 1)
    assert a.log_text().count("redis takes no predictions and labels") <= 2 and "takes predictions and labels again" in a.log_text()


def test_what_lies_there_is_explained_and_files_are_checked(tmp_path):
    config = {"models": [{"name": "m", "path": "m"}], "data_dir": "",
              "monitor": {"labels": {"redis": {"address": "redis:6379", "database": 2}}}}
    (tmp_path / "leadsman.yaml").write_text(json.dumps(config))
    run = ["serve", "--config", str(tmp_path / "leadsman.yaml")]
    told = json.loads(subprocess.run([str(BINARY), *run, "--explain-privacy", "--json"], capture_output=True, text=True, timeout=60,
                                     check=True).stdout)
    rows, = (entry for entry in told["kept"] if "redis at redis:6379, database 2" in entry["where"])
    assert "1 hour" in rows["how_long"] and set(rows["texts"]) == {"request_id", "class"}
    assert any(entry["to"] == "redis at redis:6379" for entry in told["leaves"])
    config["monitor"]["labels"]["redis"]["password_file"] = "gone"
    (tmp_path / "leadsman.yaml").write_text(json.dumps(config))
    checked = subprocess.run([str(BINARY), *run, "--check-config"], capture_output=True, text=True, timeout=60, check=False)
    assert checked.returncode == 2 and "monitor.labels.redis.password_file" in checked.stdout + checked.stderr
