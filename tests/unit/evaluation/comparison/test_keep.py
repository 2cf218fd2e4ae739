"""Comparisons as files."""

import math
from dataclasses import replace

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from lethe.errors import DataError
from lethe.evaluation.comparison.keep import About, read_rows, write_rows
from lethe.evaluation.comparison.picture import pareto_plot, save_small
from lethe.evaluation.comparison.row import Row
from lethe.evaluation.comparison.summary import summarise

ROW = Row(
    data="digits", target_kind="class", target="3", seed=0, method="pte", needs="forget_only",
    options='{"epochs": 5}', budget=0, trials=0, search_seconds=0.0, device="cpu",
    before_forget_train=1.0, after_forget_train=0.0, retrained_forget_train=0.0, gap=1 / 3,
    before_retained_train=0.9, retrained_retained_train=0.8,
    gap_forget_train=0.01, gap_retained_train=0.02, gap_retained_held_out=-0.01, cpu_ratio=0.2,
    epochs=4, verdict="suppressed",
)  # fmt: skip
FAILED = replace(ROW, method="jit", gap=None, verdict=None, epochs=None, failed="It diverged.")
ABOUT = About(
    command="lethe benchmark --data digits",
    git_commit="0" * 40,
    changed=False,
    versions={"torch": "2"},
    device="cpu",
    cpus=2,
    workers=2,
    data="digits",
    dvc_md5="a" * 32,
    rows_per_class=0,
    train_rows=10,
    held_out_rows=5,
    recipe={"network": "lethe.models.networks:digits_cnn", "epochs": 3},
    seeds=1,
    budget=0,
    feature_level=True,
)


def test_rows_and_facts_come_back_as_they_were(tmp_path):
    write_rows(tmp_path / "deep" / "a.parquet", [ROW, FAILED], ABOUT)
    assert read_rows(tmp_path / "deep" / "a.parquet") == ([ROW, FAILED], ABOUT)


def test_the_same_rows_give_the_same_bytes_and_nothing_half_written(tmp_path):
    paths = [tmp_path / name for name in ("a.parquet", "b.parquet")]
    for path in paths:
        write_rows(path, [ROW], ABOUT)
    assert paths[0].read_bytes() == paths[1].read_bytes()
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.parquet", "b.parquet"]


def test_any_other_reader_finds_columns_and_command(tmp_path):
    write_rows(tmp_path / "a.parquet", [ROW], ABOUT)
    table = pq.read_table(tmp_path / "a.parquet")
    assert table.schema.field("gap").type == pa.float64()
    assert math.isclose(table.column("gap")[0].as_py(), 1 / 3)
    assert b"lethe benchmark --data digits" in table.schema.metadata[b"lethe.comparison"]


def test_a_file_that_is_not_there_or_of_another_kind_is_refused(tmp_path):
    with pytest.raises(DataError, match="There is no file"):
        read_rows(tmp_path / "none.parquet")
    other = tmp_path / "other.parquet"
    pq.write_table(pa.table({"a": [1]}), other)
    with pytest.raises(DataError, match="no comparison"):
        read_rows(other)
    other.write_text("no Parquet", encoding="utf-8")
    with pytest.raises(DataError, match="no comparison"):
        read_rows(other)


def test_the_budget_is_said_in_words():
    assert "own settings" in ABOUT.search
    assert ABOUT.model_copy(update={"budget": 8}).search.startswith("8 trials per method")


def test_the_picture_is_small_and_names_every_method(tmp_path):
    lines = summarise([ROW, replace(ROW, method="delete", gap_retained_train=0.0), FAILED])
    figure = pareto_plot(lines, "digits")
    named = {text.get_text() for axes in figure.axes for text in axes.texts}
    assert {"pte", "delete", "(nothing done)"} <= named
    assert "jit" not in named  # it has no figures
    save_small(figure, tmp_path / "new" / "a.png")
    with Image.open(tmp_path / "new" / "a.png") as picture:
        assert picture.mode == "P"
        seen = {colour for _, colour in picture.convert("RGB").getcolors(1000)}
    for drawn in ((0, 0x72, 0xB2), (0xD5, 0x5E, 0)):  # a method's blue, the original's orange
        assert any(max(abs(a - b) for a, b in zip(drawn, c, strict=True)) < 24 for c in seen)
    assert (tmp_path / "new" / "a.png").stat().st_size < 100_000
