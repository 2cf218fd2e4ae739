"""Many selections as one: the rows that any of them selects.

    everything = merge([request.forget.selection for request in batch])

Deletion requests that are carried out together become one forget set. `merge` joins lists where
that does not change what is selected, so that a thousand requests for one person each are one
selection of a thousand people; only conjunctions that have nothing in common stay apart.
"""

from collections.abc import Iterable, Sequence
from typing import Annotated

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from pydantic import BaseModel, ConfigDict, Field

from lethe.data.errors import EmptySelectionError
from lethe.data.selection import COLUMNS, Kind, Selection

_Shape = frozenset[str]
_Lists = dict[str, frozenset[str]]


class AnyOf(BaseModel):
    """Rows that any of the parts selects. Ids are kept out of `repr`, as in `Selection`."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    parts: Annotated[tuple[Selection, ...], Field(strict=False)]

    @property
    def kind(self) -> Kind:
        """What is selected: whole classes and nothing else, rows of subjects, or single rows.

        A mixture of whole classes and rows is of the kind "samples".
        """
        kinds = {part.kind for part in self.parts}
        return kinds.pop() if len(kinds) == 1 else "samples"

    @property
    def classes(self) -> tuple[str, ...] | None:
        """Labels that the parts name, each once; None when none does."""
        return _values(part.classes for part in self.parts)

    @property
    def subjects(self) -> tuple[str, ...] | None:
        """Subject ids that the parts name, each once; None when none does."""
        return _values(part.subjects for part in self.parts)

    @property
    def samples(self) -> tuple[str, ...] | None:
        """Sample ids that the parts name, each once; None when none does."""
        return _values(part.samples for part in self.parts)

    def columns(self) -> list[str]:
        """Names of the columns that decide."""
        return list(dict.fromkeys(column for part in self.parts for column in part.columns()))

    def mask(self, rows: pa.RecordBatch) -> npt.NDArray[np.bool_]:
        """Which of the rows are selected; for many batches make one `Matcher` instead."""
        from lethe.data.matching import Matcher

        return Matcher([self]).mask(rows)

    def check(self) -> None:
        """Refuse a union that names nothing, or has a part that does not.

        Raises:
            EmptySelectionError: if there is no part, or one names nothing.
        """
        if not self.parts:
            raise EmptySelectionError(
                "No selection was given. Nothing was changed. Name classes, subjects or samples: "
                "`lethe unlearn MODEL --dataset PATH --classes A,B`."
            )
        for part in self.parts:
            part.check()


def merge(selections: Sequence[Selection | AnyOf]) -> Selection | AnyOf:
    """One selection of the rows that any of these selects, with as few parts as that allows.

    Selections that name only classes, only subjects or only samples become one of their kind;
    conjunctions become one where they differ in a single list. The same selections in any order
    give the same result.

    Raises:
        EmptySelectionError: if there are none, or one of them names nothing.
    """
    parts = tuple(part for one in selections for part in parts_of(one))
    AnyOf(parts=parts).check()
    if len(parts) == 1:
        return parts[0]
    by_shape: dict[_Shape, list[_Lists]] = {}
    for part in parts:
        lists = {name: frozenset(v) for name, v in part if v is not None}
        by_shape.setdefault(frozenset(lists), []).append(lists)
    joined = [
        Selection(**{name: tuple(sorted(values)) for name, values in lists.items()})
        for shape, several in by_shape.items()
        for lists in _join(shape, several)
    ]
    if len(joined) == 1:
        return joined[0]
    return AnyOf(parts=tuple(sorted(joined, key=_order)))


def parts_of(selection: Selection | AnyOf) -> tuple[Selection, ...]:
    """The conjunctions that a selection is made of."""
    return selection.parts if isinstance(selection, AnyOf) else (selection,)


def _join(shape: _Shape, parts: Sequence[_Lists]) -> Sequence[_Lists]:
    """Join parts of one shape that differ in one list: (A and x) or (A and y) is A and (x or y)."""
    before = len(parts) + 1
    while len(parts) < before:
        before = len(parts)
        for varying in [name for name in COLUMNS if name in shape]:
            groups: dict[frozenset[tuple[str, frozenset[str]]], set[str]] = {}
            for part in parts:
                fixed = frozenset((name, part[name]) for name in shape - {varying})
                groups.setdefault(fixed, set()).update(part[varying])
            parts = [{**dict(fixed), varying: frozenset(v)} for fixed, v in groups.items()]
    return parts


def _values(lists: Iterable[tuple[str, ...] | None]) -> tuple[str, ...] | None:
    given = [values for values in lists if values is not None]
    return tuple(dict.fromkeys(v for values in given for v in values)) if given else None


def _order(part: Selection) -> list[tuple[str, ...]]:
    return [getattr(part, name) or () for name in COLUMNS]
