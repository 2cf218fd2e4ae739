"""What docs/methods/calibrated.md shows was measured with the defaults of today."""

import json
from pathlib import Path

from lethe.models.card import CURVATURE_TEMPERATURE
from lethe.unlearning.calibrated import Calibrated

RESULTS = Path(__file__).resolve().parents[3] / "benchmarks" / "results"


def test_what_is_reported_was_measured_with_the_defaults_and_not_with_the_seeds_they_come_from():
    result = json.loads((RESULTS / "person_forgetting_watch.json").read_text(encoding="utf-8"))
    choice = json.loads((RESULTS / "person_choice_watch.json").read_text(encoding="utf-8"))
    assert result["options"] == Calibrated().model_dump(mode="json")
    assert result["card"]["unseen_folds"] == 5
    reported = {run["seed"] for run in result["runs"]}
    for one in choice:
        first, count = one["seeds"]
        assert not reported & set(range(first, first + count))
    chosen = (result["options"], CURVATURE_TEMPERATURE)
    assert chosen in [(one["options"], one["temperature"]) for one in choice]
