"""Values wanted of one column, looked up for many rows at once."""

from collections.abc import Iterable

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

Ints = npt.NDArray[np.int64]

# Arrow builds its hash table anew in every call, at about half the cost per value of a look-up in
# a dictionary per row: above this many values per row of a batch, the dictionary is faster.
VALUES_PER_ROW = 2


class Vocabulary:
    """The different values of one column that are wanted, numbered, and which have been met."""

    def __init__(self, column: str, values: Iterable[str]) -> None:
        self.column = column
        self._numbers = {value: number for number, value in enumerate(dict.fromkeys(values))}
        self._values = pa.array(list(self._numbers), pa.string())
        self._met = np.zeros(len(self._numbers), dtype=bool)

    def __len__(self) -> int:
        """Number of different values wanted."""
        return len(self._numbers)

    def numbers(self, values: Iterable[str]) -> list[int]:
        """Numbers of wanted values, each once.

        Raises:
            KeyError: if one of them is not wanted.
        """
        return [self._numbers[value] for value in dict.fromkeys(values)]

    def look_up(self, rows: pa.RecordBatch) -> Ints:
        """The number of each row's value, -1 where it is missing or not wanted, (N,)."""
        if self.column not in rows.schema.names:
            return np.full(rows.num_rows, -1, np.int64)
        column, get = rows[self.column], self._numbers.get
        found: Ints
        if len(self) <= VALUES_PER_ROW * len(column):
            at = pc.index_in(column, value_set=self._values).fill_null(-1)
            found = at.to_numpy().astype(np.int64)
        else:
            found = np.array([get(value, -1) for value in column.to_pylist()], np.int64)
        self._met[found[found >= 0]] = True
        return found

    @property
    def missing(self) -> int:
        """Number of wanted values that no row had so far."""
        return int((~self._met).sum())

    def lacks(self, values: Iterable[str]) -> int:
        """How many of these different wanted values no row had so far."""
        return int((~self._met[self.numbers(values)]).sum())
