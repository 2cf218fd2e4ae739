"""Labelled rows that can be read again and again, in batches.

Methods and evaluations see data only through `Rows`: a handful of rows in memory and a forget set
larger than memory look the same to them.

    for batch in rows.batches(128, seed=0):
        logits = model(batch.x)
"""

from collections.abc import Generator
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
