"""The rows that the feature level works on: few, in memory, the same for every network."""

from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass

import torch

from lethe.data.rows import Rows, TensorRows
from lethe.evaluation.base import Part

# Enough for a linear head over ten classes, few enough to take less time than the edit did.
FORGET_ROWS = 300
RETAINED_ROWS = 900


@dataclass(frozen=True)
class Samples:
    """Rows to learn from and to be measured on; None where there are none.

    Training rows are learned from and held-out rows measured on. Without retained training rows
    half of the retained held-out rows are learned from instead, and the other half is measured on;
    the same for forget rows. `total` is the number of labelled rows that there are to learn from.
    """

    forget: TensorRows | None
    forget_held_out: TensorRows | None
    retained: TensorRows | None
    retained_held_out: TensorRows | None
    total: int

    @property
    def forgotten(self) -> TensorRows | None:
        """All forget rows."""
        return join(self.forget, self.forget_held_out)

    @property
    def labelled(self) -> TensorRows | None:
        """All rows to learn from; None unless both kinds are there."""
        return join(self.forget, self.retained) if self.forget and self.retained else None

    @property
    def held_out(self) -> TensorRows | None:
        """All rows to be measured on; None unless both kinds are there."""
        both = self.forget_held_out and self.retained_held_out
        return join(self.forget_held_out, self.retained_held_out) if both else None


def draw(parts: Mapping[Part, Rows], *, seed: int) -> Samples:
    """A bounded sample of each part; rows of a label that the model does not know are left out."""
    forget, forget_held_out = _sides(
        parts, (Part.FORGET_TRAIN, Part.FORGET_HELD_OUT), FORGET_ROWS, seed
    )
    retained, retained_held_out = _sides(
        parts, (Part.RETAINED_TRAIN, Part.RETAINED_HELD_OUT), RETAINED_ROWS, seed
    )
    training = [parts[p] for p in (Part.FORGET_TRAIN, Part.RETAINED_TRAIN) if p in parts]
    drawn = sum(len(one) for one in (forget, retained) if one is not None)
    total = sum(len(rows) for rows in training) if len(training) == 2 else drawn
    return Samples(forget, forget_held_out, retained, retained_held_out, max(total, drawn))


def join(*parts: TensorRows | None) -> TensorRows | None:
    """The rows of all parts that there are, in their order."""
    found = [part for part in parts if part is not None]
    if not found:
        return None
    return TensorRows(torch.cat([one.x for one in found]), torch.cat([one.y for one in found]))


def _sides(
    parts: Mapping[Part, Rows], names: tuple[Part, Part], limit: int, seed: int
) -> tuple[TensorRows | None, TensorRows | None]:
    learned, measured = (_first(parts.get(name), limit, seed) for name in names)
    if learned is not None and measured is not None:
        return learned, measured
    only = learned or measured
    if only is None or len(only) < 2:
        return only, None
    half = len(only) // 2
    return TensorRows(only.x[:half], only.y[:half]), TensorRows(only.x[half:], only.y[half:])


def _first(rows: Rows | None, limit: int, seed: int) -> TensorRows | None:
    if rows is None or not len(rows):
        return None
    with closing(rows.batches(limit, seed=seed)) as batches:
        batch = next(batches)
    known = batch.y >= 0
    return TensorRows(batch.x[known], batch.y[known]) if bool(known.any()) else None
