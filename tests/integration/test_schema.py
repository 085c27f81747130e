"""A model's first requests make its schema; requests that break it are counted, shown and an alarm; files are checked likewise."""
import json

import models
import numpy as np
import requests
from conftest import wait_for


def test_requests_that_break_the_schema_are_seen_everywhere(start, repository, tmp_path):
    models.release(repository, "digits", 1, models.classifier())
    server = start(
        models=[{"name": "digits", "path": str(repository / "digits"), "monitoring": {"schema": {"requests": 300}}}],
        alarms={"evaluation_interval": "100ms", "for": "0s"})
    random = np.random.default_rng(7)
    session = requests.Session()

    def ask(rows):
        for row in rows:
            answer = session.post(f"{server.url}/v1/models/digits:predict", json={"instances": [row]}, timeout=10)
            assert answer.status_code == 200, answer.text

    def shown():
        versions = server.get("/api/v1/models/digits/schema").json()["versions"]
        return versions[0] if versions else {}

    good = random.uniform(0.1, 0.9, (420, 10)).round(3).tolist()
    ask(good[:300])
    wait_for("the schema", lambda: shown().get("state") == "frozen")
    schema = shown()["schema"]
    assert [f["name"] for f in schema["features"]] == [f"f{i}" for i in range(10)]
    assert schema["features"][3]["type"] == "number" and 0 <= schema["features"][3]["min"] <= 0.11
    ask(good[300:])
    wait_for("rows", lambda: shown()["rows"] == 120)
    assert shown()["violating_rows"] <= 2

    broken = [list(row) for row in good[:60]]
    for row in broken:
        row[3] = 17.5
    ask(broken)
    wait_for("rows", lambda: shown()["rows"] == 180)
    worst = shown()["violations"][0]
    assert (worst["feature"], worst["rule"]) == ("f3", "range") and worst["count"] >= 60
    assert "17.5" not in server.get("/api/v1/models/digits/schema").text
    metrics = server.get("/metrics").text
    assert f'leadsman_monitor_schema_violations_total{{model="digits",version="1",feature="f3",rule="range"}} {worst["count"]}' in metrics
    alarm = wait_for("the alarm", lambda: [a for a in server.get("/api/v1/alarms").json()["alarms"] if a["state"] == "firing"])[0]
    assert alarm["kind"] == "schema_violation" and alarm["severity"] == "info" and "most: f3 must be" in alarm["summary"]
    table = server.cli("schema", "show", "digits")
    assert table.returncode == 0 and "f3" in table.stdout and "range" in table.stdout, table

    # Frozen: a restart knows it still, and what it says is a file that data can be held against.
    assert server.stop() == 0
    server.start()
    assert server.cli("schema", "show", "digits", "--version", "1").returncode == 0
    ask(broken[:3])
    wait_for("rows", lambda: shown().get("violating_rows") == 3)
    assert shown()["schema"] == schema
    (tmp_path / "schema.json").write_text(json.dumps(schema))
    np.savez(tmp_path / "good.npz", x=np.array(good[:300], "f"))
    np.savez(tmp_path / "broken.npz", x=np.array(broken, "f"))
    check = ["schema", "check", "--schema", str(tmp_path / "schema.json")]
    assert server.cli(*check, str(tmp_path / "good.npz")).returncode == 0
    found = server.cli(*check, str(tmp_path / "broken.npz"), "--json")
    assert found.returncode == 1 and json.loads(found.stdout)["violating_rows"] == 60, found
    assert server.cli(*check, str(tmp_path / "none.npz")).returncode == 2


def test_a_schema_file_that_cannot_be_read_keeps_nothing_from_being_served(start, repository, tmp_path):
    models.release(repository, "digits", 1, models.classifier())
    schema = tmp_path / "schema.yaml"
    schema.write_text("features:\n- {name: f, typ: number}\n")
    server = start(models=[{"name": "digits", "path": str(repository / "digits"),
                            "monitoring": {"schema": {"from": "file", "path": str(schema)}}}])

    def ask(value):
        answer = requests.post(f"{server.url}/v1/models/digits:predict", json={"instances": [[value] * 10]}, timeout=10)
        assert answer.status_code == 200, answer.text

    def state():
        versions = server.get("/api/v1/models/digits/schema").json()["versions"]
        return versions[0]["state"] if versions else None

    ask(0.5)
    wait_for("the schema", lambda: state() == "unreadable")
    why = "features[0].typ: unknown key; did you mean type?"
    status = server.cli("status")
    assert status.returncode == 0 and "note: the inputs of digits are held against no schema" in status.stdout, status
    assert why in status.stdout, status
    assert why in server.cli("schema", "show", "digits").stdout
    assert 'leadsman_monitor_schema_unreadable{model="digits"} 1' in server.get("/metrics").text
    refused = server.cli("schema", "relearn", "digits")
    assert refused.returncode != 0 and why in refused.stderr, refused

    schema.write_text("features:\n" + "".join(f"- {{name: f{i}, type: number, max: 1}}\n" for i in range(10)))
    taken = server.cli("schema", "relearn", "digits")
    assert taken.returncode == 0 and "the schema of digits:1 is taken anew" in taken.stdout, taken
    ask(2)
    wait_for("the schema", lambda: state() == "frozen")
    wait_for("the row", lambda: server.get("/api/v1/models/digits/schema").json()["versions"][0]["violating_rows"] == 1)
    assert "note:" not in server.cli("status").stdout


def test_a_schema_is_learnt_anew_after_a_change_that_was_meant(start, repository):
    models.release(repository, "digits", 1, models.classifier())
    server = start(models=[{"name": "digits", "path": str(repository / "digits"), "monitoring": {"schema": {"requests": 200}}}])
    session = requests.Session()

    def ask(times, value):
        for _ in range(times):
            answer = session.post(f"{server.url}/v1/models/digits:predict", json={"instances": [[value] * 10]}, timeout=10)
            assert answer.status_code == 200, answer.text

    def shown():
        versions = server.get("/api/v1/models/digits/schema").json()["versions"]
        return versions[0] if versions else {}

    ask(200, 0.5)
    wait_for("the schema", lambda: shown().get("state") == "frozen")
    ask(5, 20.5)
    wait_for("rows", lambda: shown().get("violating_rows") == 5)
    assert server.cli("schema", "relearn", "digits").returncode == 0
    assert shown()["state"] == "collecting"
    assert server.stop() == 0
    server.start()
    ask(200, 20.5)
    wait_for("the new schema", lambda: shown().get("state") == "frozen")
    assert shown()["schema"]["features"][0]["max"] > 20
