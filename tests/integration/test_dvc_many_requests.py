"""Many deletion requests against one data set: weighed, merged, resolved and told apart."""

import subprocess
from collections import Counter

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from dvc.repo import Repo
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lethe.data import errors
from lethe.data.attribution import owners, weigh_selections
from lethe.data.forget_set import ForgetSpec, resolve_forget_set
from lethe.data.info import DatasetInfo
from lethe.data.parquet import Block, write_parquet
from lethe.data.repository import OpenDataset
from lethe.data.selection import Selection
from lethe.data.union import AnyOf, merge

KEY = b"a key for tests"
CLASSES = ("a", "b", "c")
TRAIN, TEST = 60, 24
SLOW = settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def keys(i, split):
    """Row i of a split: its sample id, subject id and label."""
    person = f"person-{i % 5}" if i % 5 else None
    return {"sample_id": f"{split}-{i}", "subject_id": person, "label": CLASSES[i % 3]}


def block(rows, split):
    """x of row i is i."""
    found = [keys(i, split) for i in rows]
    return Block(
        [one["sample_id"] for one in found],
        [one["label"] for one in found],
        np.repeat(np.array(rows, np.float32)[:, None], 2, axis=1),
        [one["subject_id"] for one in found],
    )


@pytest.fixture(scope="module")
def repository(tmp_path_factory):
    """Data sets `data/toy` in three row groups and `data/nobody` without subject ids."""
    root = tmp_path_factory.mktemp("many")
    info = DatasetInfo(
        **dict.fromkeys(("name", "title", "source", "licence", "citation", "split"), "toy"),
        preprocessing="none",
        classes=CLASSES,
        shape=(2,),
    )
    pieces = [range(25), range(25, 40), range(40, TRAIN)]
    for name in ("toy", "nobody"):
        folder = root / "data" / name
        folder.mkdir(parents=True)
        write_parquet(folder / "train.parquet", info, [block(rows, "train") for rows in pieces])
        write_parquet(folder / "test.parquet", info, [block(range(TEST), "test")])
    for file in folder.iterdir():
        pq.write_table(pq.read_table(file).drop_columns("subject_id"), file)
    identity = ["-c", "user.name=Tests", "-c", "user.email=tests@example.org"]
    subprocess.run(["git", "init", "-q", "."], cwd=root, check=True)
    with Repo.init(str(root)) as repo:
        repo.add([str(root / "data" / name) for name in ("toy", "nobody")])
    for words in (["add", "-A"], [*identity, "commit", "-q", "-m", "data"]):
        subprocess.run(["git", *words], cwd=root, check=True)
    return str(root)


def weigh(repository, selections, dataset="data/toy"):
    return weigh_selections(repository, dataset, "HEAD", selections)


def resolve(repository, selection, **options):
    spec = ForgetSpec(repository=repository, dataset="data/toy", selection=selection)
    return resolve_forget_set(spec, key=KEY, **{"max_share": 1.0} | options)


def belongs(row, selection):
    """Membership, spelled out."""
    if selection is None:
        return True
    if isinstance(selection, AnyOf):
        return any(belongs(row, part) for part in selection.parts)
    return all(row[column] in values for column, values in selection.lists().items())


def some(values):
    return st.none() | st.lists(st.sampled_from(values), min_size=1, max_size=4).map(tuple)


IDS = [f"train-{i}" for i in range(TRAIN)] + ["test-3", "test-9", "gone-1", "gone-2"]
PEOPLE = [f"person-{i}" for i in range(1, 5)] + ["nobody"]
chosen = st.builds(
    Selection, classes=some(CLASSES), subjects=some(PEOPLE), samples=some(IDS)
).filter(lambda one: one != Selection())
requests = st.lists(chosen, min_size=1, max_size=6)


@SLOW
@given(requests)
def test_weighing_many_finds_what_resolving_one_by_one_finds(repository, selections):
    weights = weigh(repository, selections)
    assert (weights.total, weights.held_out_total) == (TRAIN, TEST)
    for weight, selection in zip(weights.each, selections, strict=True):
        ids = [*(selection.subjects or ()), *(selection.samples or ())]
        assert weight.wanted == len(set(ids))
        assert weight.unknown_classes == 0
        try:
            forget = resolve(repository, selection, missing_ok=True)
        except errors.EmptySelectionError:
            assert weight.rows == weight.dataset_share == weight.class_share == weight.share == 0
            continue
        except errors.WholeDatasetError:
            assert (weight.rows, weight.share) == (TRAIN, 1)
            continue
        assert (weights.git_rev, weights.dvc_md5) == (forget.git_rev, forget.dvc_md5)
        assert (weight.rows, weight.held_out) == (forget.count, forget.held_out_count)
        assert weight.dataset_share == pytest.approx(forget.share)
        assert weight.missing == forget.missing
        mine = [keys(i, "train") for i in range(TRAIN)]
        labels = Counter(row["label"] for row in mine if belongs(row, selection))
        assert weight.class_share == pytest.approx(max(labels.values()) / (TRAIN / 3))
        assert weight.share == max(weight.dataset_share, weight.class_share)
        if weight.missing:
            with pytest.raises(errors.UnknownIdsError):
                resolve(repository, selection)


@SLOW
@given(requests, st.sampled_from([64, 2**20]))
def test_forget_rows_belong_to_whom_comparing_every_row_says(repository, selections, budget):
    try:
        forget = resolve(repository, merge(selections), missing_ok=True)
    except (errors.EmptySelectionError, errors.WholeDatasetError):
        return
    for split in ("train", "test"):
        rows = forget.rows(split=split, part="forget", classes=CLASSES, memory_budget=budget)
        x = [] if rows is None else torch.cat([batch.x for batch in rows.batches(7)])[:, 0].tolist()
        found = owners(forget, selections, split)
        assert (found.rows, found.selections) == (len(x), len(selections))
        expected = [
            (row, at)
            for row, i in enumerate(x)
            for at, selection in enumerate(selections)
            if belongs(keys(int(i), split), selection)
        ]
        assert list(zip(found.row.tolist(), found.selection.tolist(), strict=True)) == expected
        # Every row of the merged set is somebody's.
        assert set(found.row.tolist()) == set(range(len(x)))
        starts = found.starts.tolist()
        for row in range(len(x)):
            mine = found.selection[starts[row] : starts[row + 1]].tolist()
            assert mine == [at for other, at in expected if other == row]


def test_the_merged_forget_set_is_the_union_of_the_resolved_ones(repository):
    selections = [
        Selection(classes=("a",), subjects=("person-1",)),
        Selection(samples=("train-2", "train-5")),
        Selection(subjects=("person-2",)),
        Selection(samples=("train-5",), classes=("c",)),
    ]
    whole = resolve(repository, merge(selections))
    union = [i for i in range(TRAIN) if any(belongs(keys(i, "train"), one) for one in selections)]
    assert (whole.kind, whole.count) == ("samples", len(union))
    same = resolve(repository, Selection(samples=tuple(f"train-{i}" for i in union)))
    assert whole.set_digest == same.set_digest
    rest = whole.rows(split="train", part="retained", classes=CLASSES, memory_budget=64)
    left = torch.cat([batch.x for batch in rest.batches(9)])[:, 0].tolist()
    assert left == [i for i in range(TRAIN) if i not in union]


def test_a_request_outside_the_forget_set_owns_nothing_of_it(repository):
    forget = resolve(repository, Selection(classes=("a",)))
    found = owners(forget, [Selection(classes=("b",)), None, Selection(samples=("train-3",))])
    assert set(found.selection.tolist()) == {1, 2}
    assert found.row[found.selection == 1].tolist() == list(range(20))
    assert found.row[found.selection == 2].tolist() == [1]


def test_one_bad_request_does_not_spoil_the_others(repository):
    weights = weigh(
        repository,
        [
            Selection(classes=("z", "a", "y", "z")),
            Selection(samples=()),
            Selection(),
            Selection(samples=("gone",)),
            Selection(subjects=("person-1",)),
            None,
            Selection(classes=("z",), subjects=("person-1",)),
        ],
    ).each
    assert [weight.rows for weight in weights] == [20, 0, 0, 0, 12, 60, 0]
    assert [weight.held_out for weight in weights] == [8, 0, 0, 0, 5, 24, 0]
    assert [weight.unknown_classes for weight in weights] == [2, 0, 0, 0, 0, 0, 1]
    assert [weight.missing for weight in weights] == [0, 0, 0, 1, 0, 0, 0]
    assert [weight.class_share for weight in weights] == [1, 0, 0, 0, 0.2, 1, 0]


def test_a_data_set_without_subject_ids_lacks_every_subject(repository):
    asked = [Selection(subjects=("person-1", "person-2")), Selection(samples=("train-1",))]
    people, sample = weigh(repository, asked, "data/nobody").each
    assert (people.rows, people.wanted, people.missing) == (0, 2, 2)
    assert (sample.rows, sample.missing) == (1, 0)
    spec = ForgetSpec(repository=repository, dataset="data/nobody", selection=asked[0])
    with pytest.raises(errors.FormError, match="subject_id"):
        resolve_forget_set(spec, max_share=1.0, key=KEY, missing_ok=True)


def test_missing_ids_are_counted_where_they_are_allowed(repository):
    asked = Selection(samples=("train-1", "gone-1", "gone-2"))
    with pytest.raises(errors.UnknownIdsError, match="2 of the 3 sample ids"):
        resolve(repository, asked)
    forget = resolve(repository, asked, missing_ok=True)
    assert (forget.count, forget.missing) == (1, 2)
    assert resolve(repository, Selection(samples=("train-1",))).missing == 0
    with pytest.raises(errors.EmptySelectionError):
        resolve(repository, Selection(samples=("gone-1",)), missing_ok=True)
    with pytest.raises(errors.UnknownClassError):
        resolve(repository, merge([asked, Selection(classes=("z",))]), missing_ok=True)


def test_a_mixture_names_its_classes_and_hides_its_ids(repository):
    mixed = merge([Selection(classes=("a",)), Selection(samples=("train-1",))])
    forget = resolve(repository, mixed)
    assert (forget.kind, forget.class_names, forget.count) == ("samples", ("a",), 21)
    assert "train-1" not in repr(forget.spec)


def test_the_files_are_read_as_often_for_many_requests_as_for_one(repository, monkeypatch):
    opened = Counter()
    honest = OpenDataset._open

    def counting(self, path):
        opened["times"] += 1
        return honest(self, path)

    monkeypatch.setattr(OpenDataset, "_open", counting)
    times = []
    for count in (1, TRAIN):
        opened.clear()
        selections = [Selection(samples=(f"train-{i % 29}",)) for i in range(count)]
        weigh(repository, selections)
        owners(resolve(repository, merge(selections)), selections)
        times.append(opened["times"])
    assert times[0] == times[1]
