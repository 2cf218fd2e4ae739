"""Which rows: choices that depend on labels and a seed only, so that every model sees the same."""

import torch
from torch import Tensor

from lethe.data.rows import Rows, TensorRows

BATCH_SIZE = 512


def choose(count: int, limit: int, *, seed: int) -> Tensor:
    """At most `limit` of the positions 0..count-1, rising; all of them where they are few."""
    if count <= limit:
        return torch.arange(count)
    generator = torch.Generator().manual_seed(seed)
    return torch.randperm(count, generator=generator)[:limit].sort().values


def balanced(labels: Tensor, per_class: int, *, seed: int) -> Tensor:
    """Positions, rising, of `per_class` rows of every class, or of all that a class has.

    Rows of a label below 0, which the model does not know, are never chosen.
    """
    generator = torch.Generator().manual_seed(seed)
    found = [torch.zeros(0, dtype=torch.int64)]
    for label in known_classes(labels):
        mine = (labels == label).nonzero().flatten()
        order = torch.randperm(len(mine), generator=generator)
        found.append(mine[order[:per_class]])
    return torch.cat(found).sort().values


def known_classes(labels: Tensor) -> Tensor:
    """Classes that occur, rising; labels below 0 are none."""
    return torch.bincount(labels[labels >= 0]).nonzero().flatten()


def labels_of(rows: Rows) -> Tensor:
    """Labels of all rows in stored order, (N,) int64; reads everything once."""
    found = [batch.y for batch in rows.batches(BATCH_SIZE)]
    return torch.cat(found) if found else torch.zeros(0, dtype=torch.int64)


def gather(rows: Rows, positions: Tensor) -> TensorRows:
    """The rows at these positions, in stored order, in memory; reads everything once."""
    x, y = [torch.zeros(0, *rows.shape)], [torch.zeros(0, dtype=torch.int64)]
    for batch in rows.batches(BATCH_SIZE):
        keep = torch.isin(batch.positions, positions)
        x.append(batch.x[keep])
        y.append(batch.y[keep])
    return TensorRows(torch.cat(x), torch.cat(y))
