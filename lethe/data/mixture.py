"""Quantiles of several sets of values together, from the quantiles of each.

    mixed = mixture(tables, weights)     # (Q,)

Between two levels a set's quantile function is taken as linear.
"""

import numpy as np
import torch
from torch import Tensor

from lethe.data.card_facts import LEVELS

_POINTS = 401  # of one set's quantile function


def mixture(tables: Tensor, weights: Tensor) -> Tensor:
    """Quantiles (Q,) float32 at `LEVELS` of all sets together.

    Args:
        tables: (M, Q), quantiles of M sets at `LEVELS`.
        weights: (M,) positive, the number of values in each set.
    """
    levels = np.asarray(LEVELS)
    fine = np.linspace(0, 1, _POINTS)
    points = np.stack([np.interp(fine, levels, line) for line in tables.numpy()])
    repeated = np.repeat(weights.numpy(), _POINTS).astype(float)
    mixed = np.quantile(points.ravel(), levels, weights=repeated, method="inverted_cdf")
    return torch.tensor(mixed, dtype=torch.float32)
