"""One pass over the key columns of a split: what is there, and how much of it is selected."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

import pyarrow as pa

from lethe.data.decode import input_column
from lethe.data.digest import SetDigest
from lethe.data.errors import FormError
from lethe.data.parquet_rows import Opener, open_parquet, read_group
from lethe.data.selection import Seen, Selection

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


def scan(
    opener: Opener,
    name: str,
    selection: Selection | None,
    digest: SetDigest | None = None,
    seen: Sequence[Seen] = (),
) -> Scan:
    """Count the rows and the selected ones; without a selection every row counts as selected.

    Args:
        opener: opens the Parquet file.
        name: how messages call it.
        selection: which rows to count.
        digest: takes the sample ids of the selected rows.
        seen: take note of wanted ids, whether or not the rest of the selection matches.

    Raises:
        FormError: if a column is missing.
    """
    result = Scan()
    with opener() as raw, open_parquet(raw) as file:
        columns = _columns(file.schema_arrow, name, selection)
        for group in range(file.metadata.num_row_groups):
            selected = 0
            for rows in read_group(file, group, columns, PIECE_ROWS):
                result.labels.update(rows["label"].to_pylist())
                for one in seen:
                    one.update(rows)
                ids = rows["sample_id"]
                if selection is not None:
                    ids = ids.filter(pa.array(selection.mask(rows)))
                selected += len(ids)
                if digest is not None:
                    digest.update(ids.to_pylist())
            result.totals.append(file.metadata.row_group(group).num_rows)
            result.selected.append(selected)
    return result


def _columns(schema: pa.Schema, name: str, selection: Selection | None) -> list[str]:
    input_column(schema, name)
    wanted = selection.columns() if selection else []
    if "subject_id" in wanted and "subject_id" not in schema.names:
        raise FormError(
            f"{name} lacks the column subject_id, so rows of a subject cannot be found. Nothing "
            "was read. Select by samples, or import the data set again with subject ids."
        )
    return list(dict.fromkeys(["sample_id", "label", *wanted]))
