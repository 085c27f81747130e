"""The parts of ./dev bench rollout that decide which figures are told, and a few seeds of the whole of it."""
import json
import os
import pathlib
import sys
import xml.etree.ElementTree

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "bench")]
import rollout  # noqa: E402
import rollout_picture  # noqa: E402

BUILDS = [pathlib.Path(os.environ.get("LEADSMAN_BUILD_DIR", ROOT / "build/release")), ROOT / "build/release", ROOT / "build/dev"]
PROGRAM = next((build / "bin/rollout_judges" for build in BUILDS if (build / "bin/rollout_judges").exists()), None)


def result(verdicts, worse):
    return {"worse": worse, "verdicts": verdicts, "exposed": list(range(len(verdicts))), "seconds": [60.0] * len(verdicts)}


def test_a_promotion_is_a_miss_of_a_worse_version_and_a_rollback_a_false_one_of_an_equal():
    assert rollout.figures(result("pprn", True)) == {"misses": 50, "no_verdict": 25, "exposed_requests": 1.5, "seconds": 60}
    assert rollout.figures(result("pprn", False)) == {"false_rollbacks": 25, "no_verdict": 25, "exposed_requests": 1.5, "seconds": 60}


def test_parts_are_put_together_in_the_order_of_their_seeds():
    whole = rollout.together([result("pp", True), result("rn", True)])
    assert whole["verdicts"] == "pprn" and whole["exposed"] == [0, 1, 0, 1] and len(whole["seconds"]) == 4


def test_goals_are_of_leadsman_and_of_what_its_plan_promises(capsys):
    results = {("leadsman", "equal"): result("p" * 98 + "rr", False), ("flagger", "equal"): result("r" * 100, False),
               ("leadsman", "errors x5"): result("r" * 95 + "p" * 5, True),
               ("leadsman", "accuracy -2 points"): result("p" * 100, True)}
    goals = rollout.goals_of(results)
    assert goals == [("equal: false rollbacks by leadsman", 1, 2), ("errors x5: misses by leadsman", 5, 5)]
    assert not rollout.print_goals(goals)
    assert rollout.print_goals(goals[1:])
    assert "NO" in capsys.readouterr().out


def test_rows_name_system_case_and_metric():
    rows = rollout.rows_of({("argo", "errors x2"): result("pr", True)})
    assert rows[0] == {"bench": "rollout", "system": "argo", "case": "errors x2", "metric": "misses", "unit": "%", "value": 50, "runs": 2}
    assert [row["metric"] for row in rows] == ["misses", "no_verdict", "exposed_requests", "seconds"]


def test_the_picture_is_an_svg_with_every_release(tmp_path):
    figures = {("leadsman", "equal"): {"worse": False, **rollout.figures(result("pr", False))},
               ("leadsman", "errors x2"): {"worse": True, **rollout.figures(result("pn", True))}}
    rollout_picture.write(tmp_path / "a.svg", ["equal", "errors x2"], ["leadsman"], figures)
    text = (tmp_path / "a.svg").read_text()
    assert xml.etree.ElementTree.fromstring(text).tag.endswith("svg")
    assert "errors x2" in text and "50 % no verdict" in text


@pytest.mark.skipif(PROGRAM is None, reason="rollout_judges comes with ./dev build")
def test_judges_releases_the_same_from_the_same_seeds(tmp_path, capsys):
    words = ["--bin", str(PROGRAM.parent), "--seeds", "3", "--releases", "errors x5;shared incident", "--json", str(tmp_path / "rows.json"),
             "--picture", str(tmp_path / "picture.svg")]
    assert rollout.main(words) == 0, capsys.readouterr().out
    rows = json.loads((tmp_path / "rows.json").read_text())
    value = {(row["system"], row["case"], row["metric"]): row["value"] for row in rows}
    assert value["leadsman", "errors x5", "misses"] == 0
    assert value["argo", "errors x5", "misses"] == 100, "its example allows 5 % of errors"
    assert value["leadsman", "shared incident", "false_rollbacks"] == 0
    assert {row["system"] for row in rows} == set(rollout.SYSTEMS)
    assert rollout.main(words) == 0
    assert json.loads((tmp_path / "rows.json").read_text()) == rows


@pytest.mark.skipif(PROGRAM is None, reason="rollout_judges comes with ./dev build")
def test_says_which_releases_there_are(tmp_path, capsys):
    assert rollout.main(["--bin", str(PROGRAM.parent), "--releases", "errors x3"]) == 2
    assert "errors x3 is not among equal; errors x2" in capsys.readouterr().err
