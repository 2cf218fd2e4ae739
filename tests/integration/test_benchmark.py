"""The comparison of methods through real Prefect and MLflow, and from the command line."""

import json
import shutil

import pytest

from lethe.evaluation.comparison.keep import read_rows
from lethe.settings import load_settings
from model_registry import tags
from model_registry.comparison_run import PARENT
from model_registry.connection import connect, experiment_id


@pytest.fixture
def project(seed_project, prefect_server, tmp_path, monkeypatch):
    """A copy of the project with digits in it and nothing trained, which is the working folder."""
    folder = tmp_path / "project"
    shutil.copytree(seed_project, folder, symlinks=True)
    monkeypatch.chdir(folder)
    return folder


def test_two_methods_are_compared_logged_kept_and_not_measured_again(project, tmp_path, lethe):
    words = (
        "benchmark", "--data", "digits", "--methods", "pte,retrain", "--seeds", "1",
        "--classes", "3", "--no-feature-level", "--processes", "2", "--out", str(tmp_path / "out"),
    )  # fmt: skip
    code, printed, error = lethe(*words)
    assert code == 0, error
    assert "digits, digits_cnn: classes forgotten, 1 seed" in printed
    assert "Bars for pte" in printed
    assert "pte is nearest to retraining" in printed
    assert "each method" not in printed
    assert "with its own settings" in printed

    rows, about = read_rows(tmp_path / "out" / "comparison_digits.parquet")
    assert {row.method: row.verdict for row in rows} == {
        "pte": "suppressed",
        "retrain": "retrained",
    }
    (pte,) = [row for row in rows if row.method == "pte"]
    assert (pte.target, pte.seed, pte.after_forget_held_out) == ("3", 0, 0.0)
    assert about.command.startswith("lethe benchmark --data digits")
    assert len(about.git_commit) == 40
    assert (about.train_rows, about.held_out_rows, about.workers) == (1258, 539, 2)
    assert (tmp_path / "out" / "comparison_digits.png").stat().st_size < 150_000

    client = connect(load_settings())
    runs = client.search_runs([experiment_id(client, load_settings())])
    (parent,) = [run for run in runs if tags.COMPARISON in run.data.tags]
    assert parent.info.status == "FINISHED"
    assert parent.data.metrics["digits/pte/gap"] == pytest.approx(pte.gap)
    files = {file.path for file in client.list_artifacts(parent.info.run_id)}
    assert files == {"comparison_digits.parquet", "comparison_digits.png"}
    children = [run for run in runs if run.data.tags.get(PARENT) == parent.info.run_id]
    assert {run.data.tags[tags.METHOD] for run in children} == {"pte", "retrain"}
    assert all(run.data.params["seed"] == "0" for run in children)

    cells = load_settings().state / "benchmark" / "cells"
    times = {path: path.stat().st_mtime_ns for path in cells.iterdir()}
    assert len(times) == 2
    code, _, error = lethe(*words)
    assert code == 0, error
    assert {path: path.stat().st_mtime_ns for path in cells.iterdir()} == times
    again, _ = read_rows(tmp_path / "out" / "comparison_digits.parquet")
    assert again == rows

    code, shown, _ = lethe(
        "benchmark", "--show", str(tmp_path / "out" / "comparison_digits.parquet")
    )
    assert code == 0
    assert shown in printed


def test_json_has_the_same_figures(project, tmp_path, lethe):
    code, printed, error = lethe(
        "benchmark", "--data", "digits", "--methods", "delete", "--seeds", "1", "--classes", "1",
        "--no-feature-level", "--processes", "1", "--rows-per-class", "40", "--json",
    )  # fmt: skip
    assert code == 0, error
    said = json.loads(printed)
    assert said["about"]["rows_per_class"] == 40
    assert said["about"]["train_rows"] == 400
    assert {line["method"] for line in said["methods"]} == {"delete", "(nothing done)"}
    kept = load_settings().state / "benchmark" / "results"
    assert [path.name for path in kept.glob("*.parquet")] == [
        "comparison_digits_40_per_class.parquet"
    ]
