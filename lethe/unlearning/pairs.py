"""In which order an edit sees forget and retained rows.

Each function yields the pairs of one epoch from `Rows` that stream; the generator decides the
orders.
"""

from collections.abc import Iterator
from itertools import zip_longest

import torch
from torch import Tensor

from lethe.data.rows import Batch, Rows
from lethe.unlearning.retain_edit import Pair


def shuffled(rows: Rows, batch_size: int, generator: torch.Generator) -> Iterator[Batch]:
    """Every row once, in an order of its own."""
    seed = int(torch.randint(2**31 - 1, (), generator=generator))
    yield from rows.batches(batch_size, seed=seed)


def retained_only(rows: Rows, batch_size: int, generator: torch.Generator) -> Iterator[Pair]:
    """Every retained row once."""
    for batch in shuffled(rows, batch_size, generator):
        yield Pair(None, batch)


def forget_only(rows: Rows, batch_size: int, generator: torch.Generator) -> Iterator[Pair]:
    """Every forget row once."""
    for batch in shuffled(rows, batch_size, generator):
        yield Pair(batch, None)


def cycled(
    forget: Rows, retained: Rows, batch_size: int, generator: torch.Generator
) -> Iterator[Pair]:
    """Every retained batch once, each with the next forget batch, which start over as needed."""

    def endless() -> Iterator[Batch]:
        while True:
            yield from shuffled(forget, batch_size, generator)

    for batch, other in zip(shuffled(retained, batch_size, generator), endless(), strict=False):
        yield Pair(other, batch)


def mixed(
    forget: Rows,
    retained: Rows,
    batch_size: int,
    generator: torch.Generator,
    chosen: Tensor | None = None,
) -> Iterator[Pair]:
    """Every row once; a step has both kinds in the proportion in which there are rows of them.

    Args:
        forget: rows to forget.
        retained: rows to keep.
        batch_size: rows of a step, of both kinds together.
        generator: of both orders.
        chosen: mask (n,) of the retained rows that take part; all if None.
    """
    taking_part = len(retained) if chosen is None else int(chosen.sum())
    share = len(forget) / (len(forget) + taking_part)
    of_forget = min(batch_size - 1, max(1, round(batch_size * share)))
    # Batches of all retained rows, of which the chosen ones fill their part of a step.
    of_retained = round((batch_size - of_forget) * len(retained) / max(1, taking_part))
    both = zip_longest(
        shuffled(forget, of_forget, generator), shuffled(retained, of_retained, generator)
    )
    for batch, other in both:
        if other is not None and chosen is not None:
            kept = chosen[other.positions]
            other = Batch(*(tensor[kept] for tensor in other))  # noqa: PLW2901
        yield Pair(batch, other)
