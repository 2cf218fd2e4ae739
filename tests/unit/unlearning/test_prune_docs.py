"""What docs/methods/prune.md shows meets the bars that a quarantine has."""

import json
from pathlib import Path

import pytest

from lethe.unlearning.prune import PRUNE

ROOT = Path(__file__).resolve().parents[3]


@pytest.mark.parametrize("name", ["digits", "cwru"])
def test_every_row_that_was_certified_was_blocked_by_the_defaults_and_nothing_else(name):
    path = ROOT / "benchmarks" / "results" / f"quarantine_{name}.json"
    result = json.loads(path.read_text(encoding="utf-8"))
    assert result["broken"] == 0
    assert result["options"] == PRUNE().model_dump(mode="json")
    for run in result["runs"]:
        assert run["same_weights"]
        assert run["certified"] <= run["blocked"] == 100
        assert run["retained_train_loss"] <= 0
