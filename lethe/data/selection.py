"""Which rows of a data set: by class labels, subject ids, sample ids, or a conjunction."""

from pathlib import Path
from typing import Annotated, Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import BaseModel, ConfigDict, Field

from lethe.data.errors import EmptySelectionError

Kind = Literal["class", "subject", "samples"]
# From JSON, which knows only lists.
_Values = Annotated[tuple[Annotated[str, Field(min_length=1)], ...], Field(strict=False)]

# A selection's lists and the columns they are about.
COLUMNS = {"classes": "label", "subjects": "subject_id", "samples": "sample_id"}


class Selection(BaseModel):
    """Rows whose label, subject id and sample id are each in the list given, if one is given.

    Ids are kept out of `repr`, so that a traceback or a log line does not show them.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    classes: _Values | None = None
    subjects: _Values | None = Field(default=None, repr=False)
    samples: _Values | None = Field(default=None, repr=False)

    @property
    def kind(self) -> Kind:
        """What is selected: whole classes, rows of subjects, or single rows."""
        if self.samples is not None:
            return "samples"
        return "class" if self.subjects is None else "subject"

    def columns(self) -> list[str]:
        """Names of the columns that decide."""
        return list(self.lists())

    def mask(self, rows: pa.RecordBatch) -> npt.NDArray[np.bool_]:
        """Which of the rows are selected; a missing subject id never is."""
        selected = np.ones(rows.num_rows, dtype=bool)
        for column, values in self.lists().items():
            wanted = pa.array(values, pa.string())
            selected &= pc.is_in(rows[column], value_set=wanted).to_numpy(zero_copy_only=False)
        return selected

    def lists(self) -> dict[str, tuple[str, ...]]:
        """The lists that are given, by column."""
        return {
            column: values
            for name, column in COLUMNS.items()
            if (values := getattr(self, name)) is not None
        }

    def check(self) -> None:
        """Refuse a selection that names nothing.

        Raises:
            EmptySelectionError: if no list is given, or one is empty.
        """
        if not self.lists() or not all(self.lists().values()):
            raise EmptySelectionError(
                "The selection names nothing to forget. Nothing was changed. Name classes, "
                "subjects or samples: `lethe unlearn MODEL --dataset PATH --classes A,B`."
            )


def read_ids(path: Path) -> tuple[str, ...]:
    """Ids from a text file, one per line; blank lines and repetitions are dropped.

    Raises:
        EmptySelectionError: if the file cannot be read as text or holds no id.
    """
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise EmptySelectionError(
            f"The list of ids cannot be read: {type(error).__name__}. Nothing was changed. Give "
            "a UTF-8 text file with one id per line."
        ) from error
    ids = tuple(dict.fromkeys(line.strip() for line in lines if line.strip()))
    if not ids:
        raise EmptySelectionError(
            "The list of ids is empty. Nothing was changed. Give a text file with one id per line."
        )
    return ids
