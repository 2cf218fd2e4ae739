"""docs/benchmark.md shows what the files in benchmarks/results hold."""

import importlib.util
import re
from pathlib import Path

import pytest

from lethe.evaluation.comparison.keep import read_rows
from lethe.unlearning.method import load_method

ROOT = Path(__file__).resolve().parents[4]
PAGE = (ROOT / "docs" / "benchmark.md").read_text(encoding="utf-8")
FILES = sorted((ROOT / "benchmarks" / "results").glob("comparison_*.parquet"))


@pytest.fixture(scope="module")
def tables():
    path = ROOT / "benchmarks" / "comparison_tables.py"
    spec = importlib.util.spec_from_file_location("comparison_tables", path)
    found = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(found)
    return found


def test_the_tables_are_those_of_the_result_files(tables):
    shown = re.search(r"<!-- comparisons -->\n(.*?)\n<!-- end -->", PAGE, flags=re.DOTALL)
    assert shown
    assert shown[1] == tables.comparisons()


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_committed_comparisons_are_whole_and_say_how_they_were_made(path):
    rows, about = read_rows(path)
    cells = {(row.method, row.target, row.seed) for row in rows}
    methods, targets, seeds = (len(set(names)) for names in zip(*cells, strict=True))
    assert len(rows) == len(cells) == methods * targets * seeds
    assert seeds == about.seeds
    assert about.command.startswith(("lethe benchmark ", "python benchmarks/"))
    assert not re.search(r"(^|[\s=])/", about.command)  # no path of a machine
    assert {row.data for row in rows} == {about.data}
    assert all(row.method == "retrain" or load_method(row.method) for row in rows)
    assert all(not row.target.startswith("person") for row in rows if row.target_kind == "class")
    assert (ROOT / "docs" / "images" / f"{path.stem}.png").is_file()


def test_one_command_makes_them_all_but_what_an_accelerator_made():
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    recipe = re.search(r"^benchmark:.*\n((?:\t.*\n)+)", makefile, flags=re.MULTILINE)
    made = {line.strip().removeprefix("$(BIN)/") for line in recipe[1].splitlines()}
    for path in FILES:
        _, about = read_rows(path)
        assert about.command in made or path.stem.endswith("_accelerator")


def test_a_section_has_command_table_bars_and_who_is_ahead(tables, tmp_path):
    """On a file made here, so that it holds before results are committed."""
    spec = importlib.util.spec_from_file_location("keep", Path(__file__).parent / "test_keep.py")
    keep = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(keep)
    keep.write_rows(tmp_path / "comparison_digits.parquet", [keep.ROW, keep.FAILED], keep.ABOUT)
    shown = tables.comparisons(tmp_path)
    assert "    lethe benchmark --data digits" in shown
    assert "| pte ●" in shown
    assert "failed 1" in shown
    assert "Bars of `pte`" in shown
    assert "pte is nearest to retraining" in shown
