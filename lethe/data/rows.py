"""Labelled rows that can be read again and again, in batches.

Methods and evaluations see data only through `Rows`: a handful of rows in memory and a forget set
larger than memory look the same to them.

    for batch in rows.batches(128, seed=0):
        logits = model(batch.x)
"""

from collections.abc import Generator
from contextlib import closing
from dataclasses import dataclass
from typing import NamedTuple, Protocol, runtime_checkable

import torch
from torch import Tensor


class Batch(NamedTuple):
    """Some rows: their positions in the set, inputs and labels.

    `positions` is (B,) int64, `x` is (B, *shape) float32, `y` is (B,) int64, -1 for a label that
    the model does not know.
    """

    positions: Tensor
    x: Tensor
    y: Tensor


@runtime_checkable
class Rows(Protocol):
    """A re-readable sequence of labelled rows."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of one input, without the batch dimension."""

    def __len__(self) -> int:
        """Number of rows."""

    def batches(self, batch_size: int, *, seed: int | None = None) -> Generator[Batch, None, None]:
        """Every row once, in stored order, or shuffled when a seed is given.

        The same seed gives the same order on every machine. A batch may be smaller than asked.
        """


@dataclass(frozen=True)
class TensorRows:
    """Rows held in memory: `x` is (N, *shape) float32, `y` is (N,) int64."""

    x: Tensor
    y: Tensor

    def __post_init__(self) -> None:
        """Refuse inputs and labels of different lengths.

        Raises:
            ValueError: if `x` and `y` do not have one entry per row each.
        """
        if len(self.x) != len(self.y):
            message = f"{len(self.x)} inputs do not match {len(self.y)} labels"
            raise ValueError(message)

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of one input, without the batch dimension."""
        return tuple(self.x.shape[1:])

    def __len__(self) -> int:
        """Number of rows."""
        return len(self.x)

    def batches(self, batch_size: int, *, seed: int | None = None) -> Generator[Batch, None, None]:
        """Every row once, in stored order, or shuffled when a seed is given."""
        if seed is None:
            order = torch.arange(len(self))
        else:
            order = torch.randperm(len(self), generator=torch.Generator().manual_seed(seed))
        for positions in torch.split(order, batch_size):
            yield Batch(positions, self.x[positions], self.y[positions])


@dataclass(frozen=True)
class SomeRows:
    """Those of `rows` whose positions are in the mask `kept` (N,), renumbered from 0."""

    rows: Rows
    kept: Tensor

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of one input, without the batch dimension."""
        return self.rows.shape

    def __len__(self) -> int:
        """Number of rows."""
        return int(self.kept.sum())

    def batches(self, batch_size: int, *, seed: int | None = None) -> Generator[Batch, None, None]:
        """Every row once, in the order in which `rows` streams; batches may be smaller."""
        number = self.kept.cumsum(0) - 1
        with closing(self.rows.batches(batch_size, seed=seed)) as batches:
            for batch in batches:
                mine = self.kept[batch.positions]
                if mine.any():
                    yield Batch(number[batch.positions[mine]], batch.x[mine], batch.y[mine])


def rows_where(rows: Rows, kept: Tensor) -> Rows:
    """The rows in the mask `kept` (N,): a copy of what lies in memory, a view of what streams."""
    if isinstance(rows, TensorRows):
        return TensorRows(rows.x[kept], rows.y[kept])
    return SomeRows(rows, kept)
