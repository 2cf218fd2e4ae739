"""A bounded buffer that hands rows out in random order, or in the order they came."""

import numpy as np
import numpy.typing as npt
import torch
from torch import Generator, Tensor

from lethe.data.rows import Batch


class ShuffleBuffer:
    """Room for so many rows; `take` draws from all that are in it.

    Without a generator rows leave in the order they came.
    """

    def __init__(self, room: int, shape: tuple[int, ...], generator: Generator | None) -> None:
        self.room = room
        self._generator = generator
        self._rows = 0
        self._columns = Batch(
            torch.empty(room, dtype=torch.int64),
            torch.empty((room, *shape)),
            torch.empty(room, dtype=torch.int64),
        )

    def __len__(self) -> int:
        """Number of rows in the buffer."""
        return self._rows

    def put(
        self,
        positions: npt.NDArray[np.int64],
        x: npt.NDArray[np.float32],
        y: npt.NDArray[np.int64],
    ) -> None:
        """Add rows; there must be room for them."""
        stop = self._rows + len(y)
        for column, values in zip(self._columns, (positions, x, y), strict=True):
            column.numpy()[self._rows : stop] = values
        self._rows = stop

    def take(self, rows: int) -> Batch:
        """Remove and return that many rows, or all when there are fewer."""
        rows = min(rows, self._rows)
        left = self._rows - rows
        if self._generator is None:
            taken = Batch(*(column[:rows].clone() for column in self._columns))
            for column in self._columns:
                _shift(column, rows, left)
        else:
            chosen = torch.randperm(self._rows, generator=self._generator)[:rows]
            taken = Batch(*(column[chosen] for column in self._columns))
            # Rows at the end move into the holes, so only one batch is ever copied.
            tail = torch.arange(left, self._rows)
            movers = tail[~torch.isin(tail, chosen)]
            holes = chosen[chosen < left]
            for column in self._columns:
                column[holes] = column[movers]
        self._rows = left
        return taken


def _shift(column: Tensor, by: int, rows: int) -> None:
    """Move rows to the front, a step at a time so that source and target never overlap."""
    for start in range(0, rows, max(1, by)):
        stop = min(start + by, rows)
        column[start:stop] = column[start + by : stop + by]
