"""All rows of a data set under DVC, for training and evaluation."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from lethe.data.decode import input_column, input_shape
from lethe.data.errors import MissingDatasetError
from lethe.data.info import DatasetInfo
from lethe.data.parquet import Split
from lethe.data.parquet_rows import Choice, ParquetRows, open_parquet, rows_within
from lethe.data.repository import OpenDataset, open_dataset
from lethe.data.rows import Rows
from lethe.data.scan import scan


@dataclass(frozen=True)
class DatasetRows:
    """All rows of one split, and what identifies the data set they come from."""

    rows: Rows
    info: DatasetInfo
    dvc_md5: str
    git_rev: str
    repository: str


def dataset_rows(
    repository: str,
    dataset: str,
    rev: str = "HEAD",
    split: Split = "train",
    *,
    classes: Sequence[str] | None = None,
    memory_budget: int,
) -> DatasetRows:
    """Every row of one split.

    Args:
        repository: path or URL of the git repository.
        dataset: path of the data set inside it.
        rev: git revision.
        split: training or held-out rows.
        classes: labels in the order of the model's outputs, the data set's own when None; other
            labels become -1.
        memory_budget: bytes; rows that need more when decoded are streamed.

    Raises:
        DataError: as `lethe.data.repository.open_dataset` does, or when the split has no rows.
    """
    opened = open_dataset(repository, dataset, rev)
    counts: list[int] = []
    if split in opened.paths:
        with opened.opener(split)() as raw, open_parquet(raw) as file:
            input_column(file.schema_arrow, opened.paths[split])
            groups = range(file.metadata.num_row_groups)
            counts = [file.metadata.row_group(group).num_rows for group in groups]
    info = opened.info or describe(opened, _labels(opened))
    known = info.classes if classes is None else classes
    rows = read_rows(opened, split, EveryRow(), counts, classes=known, memory_budget=memory_budget)
    if rows is None:
        raise MissingDatasetError(
            f"{dataset} in {opened.repository} at {opened.git_rev[:12]} has no {split} rows. "
            "Nothing was read. `lethe data show` tells what a data set holds."
        )
    return DatasetRows(rows, info, opened.dvc_md5, opened.git_rev, opened.repository)


class EveryRow:
    """The choice of all rows."""

    def columns(self) -> list[str]:
        """No column decides."""
        return []

    def mask(self, rows: pa.RecordBatch) -> npt.NDArray[np.bool_]:
        """All of them."""
        return np.ones(rows.num_rows, dtype=bool)


def read_rows(
    opened: OpenDataset,
    split: Split,
    choice: Choice,
    counts: Sequence[int],
    *,
    classes: Sequence[str],
    memory_budget: int,
) -> Rows | None:
    """The chosen rows of a split, in memory or streamed; None when there are none.

    `counts` is the number of chosen rows in each row group.
    """
    if not sum(counts):
        return None
    declared = opened.info.shape if opened.info else None
    shape = input_shape(opened.schema, declared)
    return rows_within(
        ParquetRows(
            opened.opener(split), choice, tuple(counts), tuple(classes), shape, memory_budget
        )
    )


def describe(opened: OpenDataset, labels: Iterable[str]) -> DatasetInfo:
    """Facts about a data set that carries none: what its rows show."""
    return DatasetInfo(
        name=opened.dataset.rpartition("/")[2].removesuffix(".parquet"),
        title=opened.dataset,
        source="not stated",
        licence="not stated",
        citation="not stated",
        classes=tuple(sorted(set(labels))),
        shape=input_shape(opened.schema, None),
        split="not stated",
        preprocessing="not stated",
    )


def _labels(opened: OpenDataset) -> set[str]:
    return {
        label
        for split, path in opened.paths.items()
        for label in scan(opened.opener(split), path, None).labels
    }
