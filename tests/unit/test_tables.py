"""Tables in the documentation are those of the result files."""

import importlib.util
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGES = {
    "choosing.md": ("ladder", "search"),
    "evaluation.md": ("controls", "cost"),
    "methods/calibrated.md": (
        "people",
        "people_by_person",
        "people_signed",
        "people_choice",
        "people_runs",
    ),
    "methods/prune.md": ("quarantine",),
    "methods/pte.md": ("class_forgetting", "ablation", "inside", "intensity"),
}


@pytest.fixture(scope="module")
def tables():
    spec = importlib.util.spec_from_file_location("tables", ROOT / "benchmarks" / "tables.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(
    ("page", "table"), [(page, table) for page, names in PAGES.items() for table in names]
)
def test_a_table_is_what_the_result_files_say(tables, page, table):
    text = (ROOT / "docs" / page).read_text(encoding="utf-8")
    shown = re.search(rf"<!-- {table} -->\n(.*?)\n<!-- end -->", text, flags=re.DOTALL)
    assert shown
    assert shown[1] == getattr(tables, table)()
    assert shown[1].count("\n") >= 2
