"""Rollouts of a real regression model, decided by how far off it was once the true numbers have come."""
import json
import re
from pathlib import Path

import models
import pytest
from conftest import wait_for
from test_rollout import ended, run_alone
from traffic import Traffic

PLAN = {"steps": [{"weight": "20%", "duration": "300ms"}, {"weight": "50%", "duration": "300ms"}],
        "gates": [{"kind": "errors", "floor": "5%"},
                  {"kind": "loss", "metric": "absolute_error", "highest": 300, "margin": 1.25}],
        "interval": "100ms", "max_duration": "5m"}


@pytest.fixture(scope="module")
def progression(tmp_path_factory, models_python):
    folder = tmp_path_factory.mktemp("progression")
    models_python(Path(__file__).parent / "train_progression.py", folder)
    expected = json.loads((folder / "expected.json").read_text())
    return {number: (folder / f"{number}.onnx").read_bytes() for number in (1, 2, 3)}, expected


def loss_gate(rollout):
    return next(gate for gate in rollout["gates"] if gate["gate"] == "loss")


def test_an_equal_regression_is_promoted_and_a_worse_one_taken_back(start, repository, tmp_path, progression):
    payloads, expected = progression
    means = {int(number): mean for number, mean in expected["mean_absolute_error"].items()}
    assert means[2] == pytest.approx(means[1], rel=0.02) and means[3] > 1.3 * means[1]
    models.release(repository, "progression", 1, payloads[1])
    server = start(models=[{"name": "progression", "path": str(repository / "progression"), "rollout": PLAN,
                            "monitoring": {"window": "1s", "task": "regression"}}])
    cases = list(zip(expected["rows"], expected["labels"]))
    with Traffic(server, "progression", label_delay=1.0, cases=cases, model_input="X") as traffic:
        known = wait_for("losses of before", lambda: (server.get("/api/v1/models/progression/rollout").json()["traffic"] or {})
                         .get("losses"))
        assert known["metric"] == "absolute_error"
        wait_for("traffic", lambda: traffic.sent > 1000)
        plan = server.cli("rollout", "plan", "progression")
        assert plan.returncode == 0, plan.stderr
        assert re.search(r"mean loss \d+(\.\d+)? \(spread \d+", plan.stdout), plan.stdout
        assert re.search(r"loss +\d+ +\S+ .*\d+ \(1\.\d+x\)", plan.stdout), plan.stdout

        models.release(repository, "progression", 2, payloads[2])
        good = wait_for("the verdict on 2", lambda: ended(server, 2), timeout=90)
        assert good["phase"] == "promoted", good["reason"]
        assert "loss: the mean absolute error of version 2 is " in good["reason"], good["reason"]
        assert loss_gate(good)["loss"]["candidate_mean"] == pytest.approx(means[2], rel=0.3)
        assert loss_gate(good)["loss"]["unmeasured"] == 0
        assert any(note.startswith("loss: the mean absolute error of version 1 is ") for note in good["plan_notes"])

        models.release(repository, "progression", 3, payloads[3])
        bad = wait_for("the verdict on 3", lambda: ended(server, 3), timeout=90)
    assert traffic.failures == []
    assert bad["phase"] == "rolled_back"
    assert bad["reason"].startswith("rolled back: loss: the mean absolute error of version 3 is "), bad["reason"]
    gate = loss_gate(bad)
    assert gate["loss"]["metric"] == "absolute_error" and gate["loss"]["highest"] == 300
    assert gate["loss"]["candidate_mean"] > gate["loss"]["stable_mean"]
    assert gate["harm_log_e"] >= gate["harm_log_bound"]
    shown = server.cli("rollout", "show", str(bad["id"])).stdout
    assert re.search(r"mean absolute_error: stable \d+(\.\d+)? of \d+, candidate \d+(\.\d+)? of \d+", shown), shown
    watched = server.cli("rollout", "watch", str(bad["id"]))
    assert "the mean absolute error of version 3 is" in watched.stdout, watched.stdout + watched.stderr

    for rollout in (good, bad):
        record = tmp_path / f"verdict-{rollout['id']}.json"
        record.write_text(server.cli("rollout", "record", str(rollout["id"])).stdout)
        replayed = run_alone("rollout", "replay", str(record))
        assert replayed.returncode == 0, replayed.stdout + replayed.stderr
    planned = run_alone("rollout", "plan", "--record", str(record), "--simulate=20", "--worse", "1.6")
    assert planned.returncode == 0, planned.stderr
    assert re.search(r"loss x1\.6 +0% +100%", planned.stdout), planned.stdout


def test_sums_of_losses_survive_a_kill(start, repository, progression):
    payloads, expected = progression
    models.release(repository, "progression", 1, payloads[1])
    plan = {**PLAN, "steps": [{"weight": "50%", "duration": "1h"}], "max_duration": "2h"}
    server = start(models=[{"name": "progression", "path": str(repository / "progression"), "rollout": plan,
                            "monitoring": {"window": "1s", "task": "regression"}}])
    cases = list(zip(expected["rows"], expected["labels"]))

    def counted():
        return loss_gate(server.rollouts()[0])["candidate"]["exposure"] if server.rollouts() else 0

    with Traffic(server, "progression", cases=cases, model_input="X") as traffic:
        wait_for("traffic", lambda: traffic.sent > 200)
        models.release(repository, "progression", 2, payloads[2])
        before = wait_for("losses", lambda: counted() > 100 and counted())
    assert traffic.failures == []
    server.kill()
    server.start()
    with Traffic(server, "progression", cases=cases, model_input="X") as traffic:
        wait_for("more losses", lambda: counted() > before + 100)
    assert traffic.failures == []
