"""docs/methods/pte.md says what was measured."""

import importlib.util
import re
from pathlib import Path

import pytest

from lethe.unlearning.pte import PTE

ROOT = Path(__file__).resolve().parents[3]
PAGE = (ROOT / "docs" / "methods" / "pte.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("table", ["class_forgetting", "ablation"])
def test_the_tables_are_those_of_the_result_files(table):
    spec = importlib.util.spec_from_file_location("tables", ROOT / "benchmarks" / "tables.py")
    tables = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(tables)
    shown = re.search(rf"<!-- {table} -->\n(.*?)\n<!-- end -->", PAGE, flags=re.DOTALL)
    assert shown
    assert shown[1] == getattr(tables, table)()
    assert shown[1].count("\n") > 2


def test_the_bars_were_met_with_the_defaults():
    import json

    for name in ("digits", "cwru"):
        path = ROOT / "benchmarks" / "results" / f"class_forgetting_{name}.json"
        result = json.loads(path.read_text(encoding="utf-8"))
        assert result["missed"] == {}
        assert result["options"] == PTE().model_dump(mode="json")
