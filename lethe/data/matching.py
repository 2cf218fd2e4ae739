"""Which rows belong to which of many selections.

    matcher = Matcher(selections)
    rows, owners = matcher.pairs(batch)   # row rows[i] of the batch belongs to selection owners[i]

An inverted index: every conjunction is filed under the values of its narrowest column (sample ids
before subject ids before labels). A row is looked up once per column, however many selections there
are; the other columns of a conjunction are then checked for the pairs found, all at once. So the
cost grows with the rows and the pairs found, not with rows times selections.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from lethe.data.selection import Selection
from lethe.data.union import AnyOf, parts_of
from lethe.data.vocabulary import Ints, Vocabulary

AnySelection = Selection | AnyOf | None

_Lists = Mapping[str, Sequence[str]]

NARROWEST_FIRST = ("sample_id", "subject_id", "label")


class Pairs(NamedTuple):
    """Rows of a batch and the selections they belong to, (P,) each, sorted by row, then owner."""

    rows: Ints
    owners: Ints


class Matcher:
    """Finds, batch by batch, which rows belong to which selections.

    Args:
        selections: what to find; None selects every row. A conjunction that names nothing selects
            nothing.
    """

    def __init__(self, selections: Sequence[AnySelection]) -> None:
        self._every = _positions(i for i, one in enumerate(selections) if one is None)
        parts = [(i, part) for i, one in enumerate(selections) if one for part in parts_of(one)]
        self._owners = _positions(i for i, _ in parts)
        self._several = len(parts) > len(np.unique(self._owners))
        # An empty list is met by no row.
        named = [part.lists() for _, part in parts]
        self.vocabularies = {
            column: Vocabulary(column, (v for lists in named for v in lists.get(column, ())))
            for column in NARROWEST_FIRST
        }
        self._indexes = [
            _Index(self.vocabularies[column], named)
            for column in NARROWEST_FIRST
            if any(column in lists for lists in named)
        ]

    def columns(self) -> list[str]:
        """Names of the columns that decide."""
        return [index.vocabulary.column for index in reversed(self._indexes)]

    def mask(self, rows: pa.RecordBatch) -> npt.NDArray[np.bool_]:
        """Which of the rows belong to any selection."""
        # Values are looked up even when every row is selected: those that are met are counted.
        found, _ = self._find(rows)
        selected = np.full(rows.num_rows, bool(len(self._every)))
        selected[found] = True
        return selected

    def pairs(self, rows: pa.RecordBatch) -> Pairs:
        """Every pair of a row and a selection that it belongs to."""
        found, parts = self._find(rows)
        every = np.repeat(np.arange(rows.num_rows), len(self._every))
        at = np.concatenate((found, every))
        owners = np.concatenate((self._owners[parts], np.tile(self._every, rows.num_rows)))
        order = np.lexsort((owners, at))
        pairs = Pairs(at[order], owners[order])
        return _once(pairs) if self._several else pairs

    def _find(self, rows: pa.RecordBatch) -> tuple[Ints, Ints]:
        """Pairs of a row and a conjunction, in no order."""
        numbers = [index.vocabulary.look_up(rows) for index in self._indexes]
        found = [(np.empty(0, np.int64), np.empty(0, np.int64))]
        for narrowest, of_rows in zip(self._indexes, numbers, strict=True):
            at, parts = narrowest.candidates(of_rows)
            for other, of_others in zip(self._indexes, numbers, strict=True):
                if other is not narrowest and other.restricts:
                    allowed = other.allows(parts, of_others[at])
                    at, parts = at[allowed], parts[allowed]
            found.append((at, parts))
        return np.concatenate([at for at, _ in found]), np.concatenate([one for _, one in found])


class _Index:
    """One column: which conjunctions are filed under a value, and which are restricted to it."""

    def __init__(
        self, vocabulary: Vocabulary, named: Sequence[Mapping[str, Sequence[str]]]
    ) -> None:
        self.vocabulary = vocabulary
        column = vocabulary.column
        self._restricted = np.zeros(len(named), dtype=bool)
        filed: list[int] = []
        filed_parts: list[int] = []
        restricting: list[int] = []
        for part, lists in enumerate(named):
            if column not in lists:
                continue
            numbers = vocabulary.numbers(lists[column])
            if column == next(name for name in NARROWEST_FIRST if name in lists):
                filed += numbers
                filed_parts += [part] * len(numbers)
            else:
                self._restricted[part] = True
                restricting += [part * len(vocabulary) + number for number in numbers]
        values = np.array(filed, np.int64)
        order = np.argsort(values, kind="stable")
        self._parts = np.array(filed_parts, np.int64)[order]
        self._starts = np.searchsorted(values[order], np.arange(len(vocabulary) + 1))
        # The last key is none: it spares searches a bound.
        self._keys = np.sort(np.array([*restricting, np.iinfo(np.int64).max]))

    @property
    def restricts(self) -> bool:
        """Whether any conjunction is filed elsewhere and restricted by this column."""
        return bool(self._restricted.any())

    def candidates(self, numbers: Ints) -> tuple[Ints, Ints]:
        """Rows and the conjunctions filed under their values; `numbers` are the values', (N,)."""
        rows = np.flatnonzero(numbers >= 0)
        starts = self._starts[numbers[rows]]
        counts = self._starts[numbers[rows] + 1] - starts
        offsets = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
        return np.repeat(rows, counts), self._parts[np.repeat(starts, counts) + offsets]

    def allows(self, parts: Ints, numbers: Ints) -> npt.NDArray[np.bool_]:
        """Whether each conjunction accepts the value of the row it is paired with, (P,)."""
        wanted = parts * len(self.vocabulary) + numbers
        listed = self._keys[np.searchsorted(self._keys, wanted)] == wanted
        allowed: npt.NDArray[np.bool_] = ~self._restricted[parts] | (listed & (numbers >= 0))
        return allowed


def _positions(positions: Iterable[int]) -> Ints:
    return np.fromiter(positions, np.int64)


def _once(pairs: Pairs) -> Pairs:
    """Sorted pairs, each once: two parts of one union may select the same row."""
    new = np.ones(len(pairs.rows), dtype=bool)
    new[1:] = (np.diff(pairs.rows) != 0) | (np.diff(pairs.owners) != 0)
    return Pairs(pairs.rows[new], pairs.owners[new])
