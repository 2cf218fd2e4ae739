"""docs/methods/prune.md shows what was measured, and the bars that a quarantine has."""

import importlib.util
import json
import re
from pathlib import Path

import pytest

from lethe.unlearning.prune import PRUNE

ROOT = Path(__file__).resolve().parents[3]
PAGE = (ROOT / "docs" / "methods" / "prune.md").read_text(encoding="utf-8")


def test_the_table_is_that_of_the_result_files():
    spec = importlib.util.spec_from_file_location("tables", ROOT / "benchmarks" / "tables.py")
    tables = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(tables)
    shown = re.search(r"<!-- quarantine -->\n(.*?)\n<!-- end -->", PAGE, flags=re.DOTALL)
    assert shown
    assert shown[1] == tables.quarantine()
    assert shown[1].count("\n") >= 2


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
