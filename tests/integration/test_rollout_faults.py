"""Rollouts while endpoints and the gateway are killed, stopped and spoilt: a few of those that ./dev bench faults plays by hundreds."""
import sys
from pathlib import Path

import pytest
from conftest import BINARY, MODELS_PYTHON

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "bench"))

import faults_one  # noqa: E402


@pytest.mark.parametrize(("seed", "wanted"), [(101, "promoted"), (102, "rolled_back")])
def test_a_rollout_ends_right_whatever_goes_wrong(tmp_path, seed, wanted):
    result = faults_one.run(seed, {"python": str(MODELS_PYTHON), "binary": str(BINARY), "timeout": 240}, tmp_path / "world")
    assert result["wanted"] == wanted
    assert result["right"], result
    assert result["failures"] == 0, result["failed"]
    assert result["answered"] > 100, result
