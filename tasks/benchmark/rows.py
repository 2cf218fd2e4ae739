"""The rows of a comparison and its requests: both splits in memory, or some rows of each class.

    splits = read_splits(".", "digits", 0, False)
    targets = class_targets(splits, None)
    splits.parts(targets[3])

A person is named by a position among the sorted ids, never by an id.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lethe.data.dataset import dataset_rows
from lethe.data.parquet import Split
from lethe.data.rows import TensorRows
from lethe.errors import DataError
from lethe.evaluation.results import Part
from lethe.unlearning.method import ForgetKind

IN_MEMORY = 2**62  # bytes: a comparison passes over its rows thousands of times
BATCH = 4096
SPLITS: tuple[Split, Split] = ("train", "test")


@dataclass(frozen=True)
class Target:
    """What one request asks to forget: a class or a person, by position and by name."""

    kind: ForgetKind
    index: int
    name: str

    @property
    def forgotten(self) -> tuple[int, ...]:
        """Indices of the classes that are gone."""
        return (self.index,) if self.kind == "class" else ()


@dataclass(frozen=True)
class Splits:
    """A data set in memory. `people` holds each row's position among the sorted ids, or -1.

    `people` is empty where the data set has no subjects.
    """

    data: str
    train: TensorRows
    held_out: TensorRows
    classes: tuple[str, ...]
    dvc_md5: str
    people: tuple[NDArray[np.int64], ...] = ()

    def mask(self, target: Target, split: int) -> Tensor:
        """Which rows (N,) of the training (0) or held-out (1) split are to be forgotten."""
        if target.kind == "class":
            return (self.train, self.held_out)[split].y == target.index
        return torch.from_numpy(self.people[split] == target.index)

    def parts(self, target: Target) -> Mapping[Part, TensorRows]:
        """The four parts of a request."""
        found = {}
        for split, rows, forget, retained in (
            (0, self.train, Part.FORGET_TRAIN, Part.RETAINED_TRAIN),
            (1, self.held_out, Part.FORGET_HELD_OUT, Part.RETAINED_HELD_OUT),
        ):
            mask = self.mask(target, split)
            found[forget] = TensorRows(rows.x[mask], rows.y[mask])
            found[retained] = TensorRows(rows.x[~mask], rows.y[~mask])
        return found


@lru_cache(maxsize=1)
def read_splits(repository: str, data: str, rows_per_class: int, subjects: bool) -> Splits:
    """Both splits of data/<data> as committed; kept, as one process does many cells of a data set.

    Args:
        repository: path or URL.
        data: name of the data set.
        rows_per_class: the first so many of each class in each split; 0: all.
        subjects: read whose rows they are.

    Raises:
        DataError: if it cannot be read, or has no subjects that are asked for.
    """
    path = f"data/{data}"
    read = [
        dataset_rows(repository, path, split=split, memory_budget=IN_MEMORY) for split in SPLITS
    ]
    rows = []
    for one in read:
        batches = list(one.rows.batches(BATCH))
        rows.append(
            TensorRows(torch.cat([b.x for b in batches]), torch.cat([b.y for b in batches]))
        )
    people = _people(repository, path) if subjects else ()
    kept = [first_of_each(one.y, rows_per_class) for one in rows]
    train, held_out = (TensorRows(one.x[at], one.y[at]) for one, at in zip(rows, kept, strict=True))
    return Splits(
        data,
        train,
        held_out,
        read[0].info.classes,
        read[0].dvc_md5,
        tuple(ids[at.numpy()] for ids, at in zip(people, kept, strict=False)),
    )


def first_of_each(labels: Tensor, count: int) -> Tensor:
    """Positions of the first `count` rows of each class in stored order; all for 0."""
    if not count:
        return torch.arange(len(labels))
    found = [torch.nonzero(labels == label)[:count, 0] for label in set(labels.tolist())]
    return torch.cat(found).sort().values


def class_targets(splits: Splits, names: Sequence[str] | None) -> list[Target]:
    """The named classes, or all.

    Raises:
        DataError: if a name is none of the data set's.
    """
    chosen = splits.classes if names is None else tuple(names)
    strange = [name for name in chosen if name not in splits.classes]
    if strange:
        raise DataError(
            f"{splits.data} has no class {', '.join(strange)}; it has {', '.join(splits.classes)}. "
            f"Nothing was measured."
        )
    return [Target("class", splits.classes.index(name), name) for name in chosen]


def subject_targets(splits: Splits, positions: Sequence[int] | None) -> list[Target]:
    """People by their position among the sorted ids, or all.

    Raises:
        DataError: if a position is too high.
    """
    count = 1 + max(int(ids.max(initial=-1)) for ids in splits.people)
    chosen = range(count) if positions is None else positions
    if any(not 0 <= position < count for position in chosen):
        raise DataError(
            f"{splits.data} has {count} people, at positions 0 to {count - 1}. "
            f"Nothing was measured."
        )
    return [Target("subject", position, person_name(position)) for position in chosen]


def person_name(position: int) -> str:
    """How a person is called, in tables and in the training card."""
    return f"person {position}"


def _people(repository: str, path: str) -> tuple[NDArray[np.int64], ...]:
    import pyarrow.parquet as pq

    from lethe.data.repository import open_dataset

    opened = open_dataset(repository, path, "HEAD")
    columns = []
    for split in SPLITS:
        with opened.opener(split)() as raw:
            columns.append(pq.read_table(raw, columns=["subject_id"])["subject_id"].to_pylist())
    ids = sorted({one for one in columns[0] if one is not None})
    if not ids:
        raise DataError(
            f"{path} does not say whose rows are whose. Nothing was measured. Leave --subjects out."
        )
    places = {one: place for place, one in enumerate(ids)}
    return tuple(np.array([places.get(one, -1) for one in ids_of]) for ids_of in columns)
