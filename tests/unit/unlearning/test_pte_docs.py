"""docs/methods/pte.md says what was measured."""

import importlib.util
import json
import re
from pathlib import Path

import pytest

from lethe.unlearning.pte import PTE

ROOT = Path(__file__).resolve().parents[3]
PAGE = (ROOT / "docs" / "methods" / "pte.md").read_text(encoding="utf-8")


EVALUATION = (ROOT / "docs" / "evaluation.md").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("table", "page"),
    [
        ("class_forgetting", PAGE),
        ("ablation", PAGE),
        ("inside", PAGE),
        ("intensity", PAGE),
        ("controls", EVALUATION),
        ("cost", EVALUATION),
    ],
)
def test_the_tables_are_those_of_the_result_files(table, page):
    spec = importlib.util.spec_from_file_location("tables", ROOT / "benchmarks" / "tables.py")
    tables = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(tables)
    shown = re.search(rf"<!-- {table} -->\n(.*?)\n<!-- end -->", page, flags=re.DOTALL)
    assert shown
    assert shown[1] == getattr(tables, table)()
    assert shown[1].count("\n") >= 2


def test_no_control_was_judged_wrongly():
    for name in ("cwru", "watch", "fashion_mnist"):
        path = ROOT / "benchmarks" / "results" / f"negative_controls_{name}.json"
        result = json.loads(path.read_text(encoding="utf-8"))
        assert (result["wrong"], result["seeds"]) == (0, 3)


def test_measuring_without_retained_rows_costs_less_than_the_edit():
    path = ROOT / "benchmarks" / "results" / "evaluation_cost_cwru.json"
    result = json.loads(path.read_text(encoding="utf-8"))
    assert result["summary"]["forget_only_ratio_mean"] <= result["bar"]


def test_the_bars_were_met_with_the_defaults():
    for name in ("digits", "cwru"):
        path = ROOT / "benchmarks" / "results" / f"class_forgetting_{name}.json"
        result = json.loads(path.read_text(encoding="utf-8"))
        assert result["missed"] == {}
        assert result["options"] == PTE().model_dump(mode="json")
