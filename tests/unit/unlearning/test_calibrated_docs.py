"""docs/methods/calibrated.md shows what was measured with the defaults of today."""

import importlib.util
import json
import re
from pathlib import Path

import pytest

from lethe.models.card import CURVATURE_TEMPERATURE
from lethe.unlearning.calibrated import Calibrated

ROOT = Path(__file__).resolve().parents[3]
PAGE = (ROOT / "docs" / "methods" / "calibrated.md").read_text(encoding="utf-8")
RESULTS = ROOT / "benchmarks" / "results"


@pytest.mark.parametrize("name", ["people", "people_signed", "people_choice", "people_runs"])
def test_the_tables_are_those_of_the_result_files(name):
    spec = importlib.util.spec_from_file_location("tables", ROOT / "benchmarks" / "tables.py")
    tables = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(tables)
    shown = re.search(rf"<!-- {name} -->\n(.*?)\n<!-- end -->", PAGE, flags=re.DOTALL)
    assert shown
    assert shown[1] == getattr(tables, name)()
    assert shown[1].count("\n") >= 3


def test_what_is_reported_was_measured_with_the_defaults_and_not_with_the_seeds_they_come_from():
    result = json.loads((RESULTS / "person_forgetting_watch.json").read_text(encoding="utf-8"))
    choice = json.loads((RESULTS / "person_choice_watch.json").read_text(encoding="utf-8"))
    assert result["options"] == Calibrated().model_dump(mode="json")
    reported = {run["seed"] for run in result["runs"]}
    for one in choice:
        first, count = one["seeds"]
        assert not reported & set(range(first, first + count))
    chosen = (result["options"], CURVATURE_TEMPERATURE)
    assert chosen in [(one["options"], one["temperature"]) for one in choice]
