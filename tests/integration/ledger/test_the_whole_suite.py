"""Nothing of the ledger's suite is left out on PostgreSQL."""

import ast
from pathlib import Path

HERE = Path(__file__).parent
SUITE = HERE.parents[1] / "unit" / "deletion" / "ledger"


def functions_of(path):
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return [n.name for n in tree.body if isinstance(n, ast.FunctionDef) and n.name[:5] == "test_"]


def test_every_part_of_the_suite_but_that_on_the_sqlite_file_runs_here():
    parts = {path.stem.removeprefix("test_ledger_") for path in SUITE.glob("test_ledger_*.py")}
    here = {
        path.stem.removeprefix("test_").removesuffix("_on_postgresql")
        for path in HERE.glob("test_*_on_postgresql.py")
    }
    assert parts - {"sqlite_file"} == here


def test_no_test_of_a_part_hides_another():
    for path in SUITE.glob("test_*.py"):
        names = functions_of(path)
        assert len(names) == len(set(names)) > 0
