"""Networks and cells are made once, whatever happens in between."""

import importlib.util
import json
import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from lethe.evaluation.gates import GateThresholds
from tasks.benchmark import jobs
from tasks.benchmark.cell import Way, _target, find_method
from tasks.benchmark.rows import subject_targets

HERE = Path(__file__).parent
ROOT = HERE.parents[3]
SPEC = importlib.util.spec_from_file_location("small_digits", HERE / "small_digits.py")
small = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(small)


@pytest.fixture(autouse=True)
def _small_data(monkeypatch):
    monkeypatch.setattr(jobs, "read_splits", small.splits)
    yield
    jobs._case.cache_clear()
    jobs._card.cache_clear()


def figures(row):
    """All that does not depend on the clock."""
    timed = ("seconds", "ratio")
    return {k: v for k, v in row.__dict__.items() if not k.endswith(timed)}


def test_a_killed_program_is_gone_on_with_and_nothing_is_measured_twice(tmp_path):
    """Killed without warning after two of four cells; the rows are those of an unbroken run."""
    wanted = small.cells(tmp_path)
    program = subprocess.Popen(
        [sys.executable, str(HERE / "small_digits.py"), str(tmp_path)],
        cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)}, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    told = [program.stdout.readline().strip() for _ in range(2)]
    program.send_signal(signal.SIGKILL)
    program.wait()
    assert told == [job.key for job in wanted[:2]]
    kept_before = {job.path: job.path.stat().st_mtime_ns for job in wanted if job.path.exists()}
    assert 2 <= len(kept_before) < len(wanted)

    found = [jobs.cell_once(job) for job in wanted]
    assert [kept for _, kept in found] == [job.path in kept_before for job in wanted]
    assert {path: path.stat().st_mtime_ns for path in kept_before} == kept_before

    jobs._case.cache_clear()
    unbroken = [jobs.cell_once(job)[0] for job in small.cells(tmp_path / "other")]
    assert [figures(row) for row, _ in found] == [figures(row) for row in unbroken]


def test_networks_are_trained_once_for_all_methods(tmp_path, monkeypatch):
    trained = []
    train = jobs.train
    monkeypatch.setattr(jobs, "train", lambda *a, **k: trained.append(1) or train(*a, **k))
    for job in small.cells(tmp_path, methods=("gradient_ascent", "delete"), seeds=1):
        jobs.cell_once(job)
    assert len(trained) == 3  # the original, and one without each of two classes


def test_a_torn_file_is_measured_anew(tmp_path):
    (job, *_) = small.cells(tmp_path, seeds=1)
    row, _ = jobs.cell_once(job)
    job.path.write_text(json.dumps(row.__dict__)[:100], encoding="utf-8")
    again, kept = jobs.cell_once(job)
    assert not kept
    assert figures(again) == figures(row)


def test_the_key_holds_everything_that_decides_the_row(tmp_path):
    (job, *_) = small.cells(tmp_path, seeds=1)
    recipe = small.RECIPE.model_copy(update={"epochs": 3}).model_dump_json()
    others = [
        replace(job, seed=1),
        replace(job, target=small.cells(tmp_path)[1].target),
        replace(job, way=Way("delete")),
        replace(job, way=Way("gradient_ascent", {"epochs": 3})),
        replace(job, way=Way("gradient_ascent", budget=4)),
        replace(job, thresholds=GateThresholds(max_retained_loss=0.5)),
        replace(job, feature_level=True),
        replace(job, source=replace(job.source, dvc_md5="e" * 32)),
        replace(job, source=replace(job.source, rows_per_class=5)),
        replace(job, source=replace(job.source, recipe_json=recipe)),
    ]
    assert len({job.key, *(other.key for other in others)}) == len(others) + 1
    assert replace(job, way=Way("gradient_ascent", {})).key == job.key


def test_changed_code_makes_the_cell_anew(tmp_path, monkeypatch):
    (job, *_) = small.cells(tmp_path, seeds=1)
    before = job.key
    monkeypatch.setattr(jobs, "source_digest", lambda *modules: f"changed {modules}")
    assert job.key != before


def test_how_the_card_is_made_decides_the_cells_that_read_it_and_no_others(tmp_path, monkeypatch):
    (job, *_) = small.cells(tmp_path, seeds=1)
    reads, reads_not = replace(job, way=Way("ssd")), replace(job, way=Way("delete"))
    before = reads.key, reads_not.key
    digest = jobs.source_digest
    monkeypatch.setattr(
        jobs,
        "source_digest",
        lambda *modules: digest(*modules) + "changed" * ("lethe.models.card" in modules),
    )
    assert reads.key != before[0]
    assert reads_not.key == before[1]


def test_data_that_changed_in_the_meantime_are_not_measured(tmp_path):
    (job, *_) = small.cells(tmp_path, seeds=1)
    with pytest.raises(RuntimeError, match="changed while"):
        jobs.cell_once(replace(job, source=replace(job.source, dvc_md5="e" * 32)))


def test_the_card_of_people_names_them_as_their_requests_do(tmp_path, monkeypatch):
    found = small.splits()
    people = tuple(np.arange(len(rows.y)) % 4 - 1 for rows in (found.train, found.held_out))
    monkeypatch.setattr(jobs, "read_splits", lambda *_: replace(found, people=people))
    recipe = small.RECIPE.model_copy(update={"unseen_folds": 3})
    source = jobs.Source(".", "small", "d" * 32, recipe.model_dump_json(), tmp_path, subjects=True)
    card = jobs._card(source, 0)
    names = [target.name for target in subject_targets(source.splits(), None)]
    assert list(card.unseen.fingerprints) == names == ["person 0", "person 1", "person 2"]
    assert card.unseen.rows.sum().item() == 300  # those of nobody are in no table
    assert card.facts.curvature_rows == 400
    target = jobs.Target("subject", 1, "person 1")
    case = jobs._case(source, 0, target)
    assert _target(case, find_method("calibrated", {})).fingerprints == ("person 1",)
    plain = jobs._card(replace(source, recipe_json=small.RECIPE.model_dump_json()), 0)
    assert (plain.unseen, plain.curvature) == (None, {})
