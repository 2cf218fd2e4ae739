"""Forget sets resolved in real git and DVC repositories."""

import logging
import sys
import time
from collections import Counter
from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

sys.path.insert(0, str(Path(__file__).parent))

from dvc_tools import BUDGET, CLASSES, TEST, TRAIN, everything, make, resolve, spec

from lethe.data import errors
from lethe.data.dataset import dataset_rows
from lethe.data.listing import list_datasets, summarise
from lethe.data.parquet_rows import ParquetRows
from lethe.data.rows import TensorRows


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("dvc")
    revs = make(folder / "repository", {"url": str(folder / "remote")})
    return folder / "repository", folder / "remote", revs


@pytest.fixture(scope="module")
def repository(made):
    return str(made[0])


def test_a_class_is_resolved_to_a_commit_with_counts_and_hashes(made):
    root, _, (first, second) = made
    forget = resolve(spec(str(root), classes=("b",)))
    assert forget.spec.rev == forget.git_rev == first != second
    assert (forget.kind, forget.class_names) == ("class", ("b",))
    assert (forget.count, forget.total, forget.share) == (20, 60, 1 / 3)
    assert (forget.held_out_count, forget.held_out_total) == (8, 24)
    assert forget.repository == root.name
    out = (root / "data" / "toy.dvc").read_text()
    assert forget.dvc_md5 not in out
    assert resolve(spec(str(root), "HEAD", classes=("b",))).dvc_md5 in out
    assert len(forget.dvc_md5) == 36
    assert forget.info.classes == CLASSES


@pytest.mark.parametrize("budget", [BUDGET, 64])
def test_rows_are_those_selected_and_the_others(repository, budget):
    forget = resolve(spec(repository, classes=("b",)))
    kind = TensorRows if budget == BUDGET else ParquetRows
    order = ("c", "b")
    for split, size in (("train", TRAIN), ("test", TEST)):
        for part, wanted in (("forget", [1]), ("retained", [0, 2])):
            rows = forget.rows(split=split, part=part, classes=order, memory_budget=budget)
            positions, x, y = everything(rows, seed=3)
            expected = [i for i in range(size) if i % 3 in wanted]
            assert isinstance(rows, kind)
            assert x[:, 0].tolist() == [expected[p] for p in positions.tolist()]
            assert sorted(positions.tolist()) == list(range(len(expected)))
            assert y.tolist() == [(-1, 1, 0)[int(i) % 3] for i in x[:, 0].tolist()]


names = st.none() | st.lists(st.sampled_from(CLASSES), min_size=1).map(tuple)
people = st.none() | st.lists(st.sampled_from([f"person-{i}" for i in range(1, 5)]), min_size=1)
samples = st.none() | st.lists(st.integers(0, TRAIN - 1), min_size=1)


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(names, people.map(lambda p: p and tuple(p)), samples)
def test_forget_and_retained_rows_together_are_all_rows(repository, classes, subjects, ids):
    chosen = ids and tuple(f"train-{i}" for i in ids)
    selection = {"classes": classes, "subjects": subjects, "samples": chosen}
    try:
        forget = resolve(spec(repository, **selection), max_share=1)
    except (errors.EmptySelectionError, errors.WholeDatasetError):
        return
    parts = [
        everything(forget.rows(split="train", part=part, classes=CLASSES, memory_budget=64))[1]
        for part in ("forget", "retained")
    ]
    assert len(parts[0]) == forget.count
    assert sorted(torch.cat(parts)[:, 0].tolist()) == list(range(TRAIN))
    for i in map(int, parts[0][:, 0].tolist()):
        assert classes is None or CLASSES[i % 3] in classes
        assert subjects is None or f"person-{i % 5}" in subjects
        assert ids is None or i in ids


def test_the_digest_names_the_selected_rows_and_needs_the_key(repository):
    by_class = resolve(spec(repository, classes=("b",)))
    ids = tuple(f"train-{i}" for i in reversed(range(TRAIN)) if i % 3 == 1)
    by_ids = resolve(spec(repository, samples=ids))
    assert (by_class.kind, by_ids.kind) == ("class", "samples")
    assert by_class.set_digest == by_ids.set_digest
    assert by_class.set_digest != resolve(spec(repository, samples=ids[1:])).set_digest
    assert by_class.set_digest != resolve(spec(repository, classes=("b",)), key=b"other").set_digest


def test_a_tracked_file_is_a_forget_set_of_its_own(repository):
    path = "data/requests/r1.parquet"
    forget = resolve(spec(repository, dataset=path, whole=True), max_share=0.01)
    of_class = resolve(spec(repository, dataset=path, whole=True, classes=("a", "new")))
    assert (of_class.kind, of_class.count, of_class.total) == ("class", 2, 2)
    assert (forget.kind, forget.count, forget.held_out_count) == ("samples", 2, 0)
    assert len(forget.dvc_md5) == 32
    assert forget.info.classes == ("a", "new")
    rows = forget.rows(split="train", part="forget", classes=CLASSES, memory_budget=BUDGET)
    assert everything(rows)[2].tolist() == [0, -1]
    for split, part in (("train", "retained"), ("test", "forget")):
        assert forget.rows(split=split, part=part, classes=CLASSES, memory_budget=1) is None


REFUSED = [
    (spec("nowhere", classes=("a",)), errors.NotARepositoryError, "data.repository"),
    (spec("", rev="no-such", classes=("a",)), errors.MissingRevisionError, "'no-such'"),
    (spec("", rev="0" * 40, classes=("a",)), errors.MissingRevisionError, "has no revision"),
    (
        spec("", dataset="data/none", classes=("a",)),
        errors.MissingDatasetError,
        "dvc add data/none",
    ),
    (spec("", dataset="data", classes=("a",)), errors.MissingDatasetError, "tracks no data set"),
    (spec("", dataset="data/plain.txt", classes=("a",)), errors.MissingDatasetError, "tracks no"),
    (spec("", dataset="data/requests/text.txt", whole=True), errors.FormError, "no Parquet file"),
    (
        spec("", dataset="data/requests/r2.parquet", whole=True),
        errors.FormError,
        "lacks the column label",
    ),
    (
        spec("", dataset="data/requests/r1.parquet", subjects=("p",)),
        errors.FormError,
        "lacks the column subject_id",
    ),
    (spec("", classes=("a", "z")), errors.UnknownClassError, "'z'.*a, b, c"),
    (spec("", subjects=("Ada", "person-1")), errors.UnknownIdsError, "1 of the 2 subject ids"),
    (spec("", samples=("Ada", "Bob")), errors.UnknownIdsError, "2 of the 2 sample ids"),
    (spec(""), errors.EmptySelectionError, "--whole"),
    (spec("", classes=()), errors.EmptySelectionError, "names nothing"),
    (spec("", classes=("a",), samples=("train-1",)), errors.EmptySelectionError, "matches no"),
    (spec("", samples=("test-1",)), errors.EmptySelectionError, "matches no training row"),
    (spec("", classes=CLASSES), errors.WholeDatasetError, "all 60 training rows"),
    (spec("", classes=("a", "b")), errors.ShareExceededError, "40 of 60.*66.7%.*50%"),
]


@pytest.mark.parametrize(("asked", "error", "text"), REFUSED)
def test_what_cannot_be_forgotten_is_refused_with_its_own_error(
    repository, asked, error, text, caplog
):
    caplog.set_level(logging.DEBUG, "lethe")
    if not asked.repository:
        asked = asked.model_copy(update={"repository": repository})
    with pytest.raises(error, match=text) as caught:
        resolve(asked)
    assert type(caught.value) is error
    assert "Nothing was" in str(caught.value)
    for hidden in ("Ada", "Bob"):
        assert hidden not in str(caught.value) + caplog.text + repr(asked)


def test_subject_ids_come_in_the_order_of_the_rows(repository):
    """x of row i is i, so the rows say whose they are."""
    forget = resolve(spec(repository, classes=("a",)))
    for part in ("forget", "retained"):
        rows = forget.rows(split="train", part=part, classes=CLASSES, memory_budget=BUDGET)
        numbers = rows.x[:, 0].int().tolist()
        assert forget.subject_ids(part) == [f"person-{i % 5}" if i % 5 else None for i in numbers]
        assert 0 < len(numbers) < TRAIN
    without = spec(repository, dataset="data/requests/r1.parquet", whole=True)
    with pytest.raises(errors.FormError, match=r"lacks the column subject_id.*unseen_folds"):
        resolve(without).subject_ids("forget")


def test_all_rows_of_a_data_set_are_read_for_training(repository):
    found = dataset_rows(repository, "data/toy", "HEAD~1", memory_budget=BUDGET)
    assert (len(found.rows), found.info.classes) == (TRAIN, CLASSES)
    held_out = dataset_rows(repository, "data/toy", split="test", classes=("c",), memory_budget=64)
    assert isinstance(held_out.rows, ParquetRows)
    assert Counter(everything(held_out.rows)[2].tolist()) == {-1: 16, 0: 8}
    foreign = dataset_rows(repository, "data/requests/r1.parquet", memory_budget=BUDGET)
    assert foreign.info.classes == ("a", "new")
    with pytest.raises(errors.MissingDatasetError, match="no test rows"):
        dataset_rows(repository, "data/requests/r1.parquet", split="test", memory_budget=1)


def test_data_sets_are_listed_and_summarised(made):
    root, _, (first, _) = made
    found = {entry.dataset: entry for entry in list_datasets(root)}
    assert found["data/toy"].present
    assert found["data/toy"].dvc_md5 == summarise(str(root), "data/toy", "HEAD").dvc_md5
    summary = summarise(str(root), "data/toy", first)
    assert summary.rows == {"train": dict.fromkeys(CLASSES, 20), "test": dict.fromkeys(CLASSES, 8)}
    assert summary.row_groups == {"train": 2, "test": 1}


def test_resolving_takes_little_time(repository):
    resolve(spec(repository, classes=("b",)))
    started = time.perf_counter()
    resolve(spec(repository, classes=("b",)))
    assert time.perf_counter() - started < 2
