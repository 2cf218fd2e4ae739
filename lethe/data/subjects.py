"""Whose row is which."""

from lethe.data.errors import FormError
from lethe.data.parquet import Split
from lethe.data.parquet_rows import Choice, open_parquet
from lethe.data.repository import OpenDataset
from lethe.data.scan import pieces


def subject_ids(opened: OpenDataset, split: Split, choice: Choice) -> list[str | None]:
    """Subject ids of the chosen rows in stored order, which is that of positions in `Rows`.

    They identify people: for fingerprints and folds, never for a record.

    Raises:
        FormError: if there is no such column.
    """
    found: list[str | None] = []
    with opened.opener(split)() as raw, open_parquet(raw) as file:
        if "subject_id" not in file.schema_arrow.names:
            raise FormError(
                f"{opened.dataset} lacks the column subject_id, so no network can be trained "
                "without some people. Nothing was trained. Set `unseen_folds` to 0 in params.yaml, "
                "or import the data set again with subject ids."
            )
        columns = list(dict.fromkeys(["subject_id", *choice.columns()]))
        for _, rows in pieces(file, columns, range(file.metadata.num_row_groups)):
            mask = choice.mask(rows)
            found += [
                one for one, kept in zip(rows["subject_id"].to_pylist(), mask, strict=True) if kept
            ]
    return found
