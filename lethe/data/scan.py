"""One pass over the key columns of a split: what is there, and how much of it is selected."""

from collections import Counter
from collections.abc import Generator, Iterable, Sequence
from dataclasses import dataclass, field

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from lethe.data.decode import input_column
from lethe.data.digest import SetDigest
from lethe.data.errors import FormError
from lethe.data.parquet_rows import Choice, Opener, open_parquet, read_group

PIECE_ROWS = 8192


@dataclass
class Scan:
    """Rows per row group, in all and selected, and how many rows each label has."""

    totals: list[int] = field(default_factory=list)
    selected: list[int] = field(default_factory=list)
    labels: Counter[str] = field(default_factory=Counter)

    @property
    def total(self) -> int:
        """Number of rows."""
        return sum(self.totals)

    @property
    def count(self) -> int:
        """Number of selected rows."""
        return sum(self.selected)


def scan(opener: Opener, name: str, choice: Choice | None, digest: SetDigest | None = None) -> Scan:
    """Count the rows and the selected ones; without a choice every row counts as selected.

    Args:
        opener: opens the Parquet file.
        name: how messages call it.
        choice: which rows to count.
        digest: takes the sample ids of the selected rows.

    Raises:
        FormError: if a column is missing.
    """
    result = Scan()
    with opener() as raw, open_parquet(raw) as file:
        columns = _columns(file.schema_arrow, name, choice)
        groups = range(file.metadata.num_row_groups)
        result.totals = [file.metadata.row_group(group).num_rows for group in groups]
        result.selected = [0] * len(groups)
        for group, rows in pieces(file, columns, groups):
            count_labels(result.labels, rows)
            ids = rows["sample_id"]
            if choice is not None:
                ids = ids.filter(pa.array(choice.mask(rows)))
            result.selected[group] += len(ids)
            if digest is not None:
                digest.update(ids.to_pylist())
    return result


def pieces(
    file: pq.ParquetFile, columns: Sequence[str], groups: Iterable[int]
) -> Generator[tuple[int, pa.RecordBatch], None, None]:
    """Key columns of row groups in stored order, a piece at a time, each with its group."""
    for group in groups:
        for rows in read_group(file, group, list(columns), PIECE_ROWS):
            yield group, rows


def count_labels(labels: Counter[str], rows: pa.RecordBatch) -> None:
    """Add the rows of each label."""
    for found in pc.value_counts(rows["label"]).to_pylist():
        labels[found["values"]] += found["counts"]


def _columns(schema: pa.Schema, name: str, choice: Choice | None) -> list[str]:
    input_column(schema, name)
    wanted = choice.columns() if choice else []
    if "subject_id" in wanted and "subject_id" not in schema.names:
        raise FormError(
            f"{name} lacks the column subject_id, so rows of a subject cannot be found. Nothing "
            "was read. Select by samples, or import the data set again with subject ids."
        )
    return list(dict.fromkeys(["sample_id", "label", *wanted]))
