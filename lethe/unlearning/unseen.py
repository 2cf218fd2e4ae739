"""What rows never seen look like to a model: quantiles of their loss, and ranks among them.

    targets = matched_targets(losses, labels, quantiles)        # (n,)
    ranks = share_above(losses, quantiles[labels])              # (n,), their mean is an AUC

A training card keeps, for each class, quantiles of the loss of held-out rows. Between two levels
the loss is taken as linear.
"""

import torch
from torch import Tensor

from lethe.data.card_facts import LEVELS

# Float32 has no loss between zero and about this one; the log-odds of less would be infinite.
LEAST_LOSS = 1e-7


def matched_targets(losses: Tensor, labels: Tensor, quantiles: Tensor) -> Tensor:
    """The loss that each row should have, matched by rank.

    Of n rows of a class, that with the k-th lowest loss is given the loss at level (k - 1/2) / n.
    A row whose loss is higher keeps it: nothing is learned better in order to be forgotten.

    Args:
        losses: (n,) of the forget rows.
        labels: (n,) in 0..K-1.
        quantiles: (K, Q) at `LEVELS`, of rows never seen.
    """
    targets = torch.empty_like(losses)
    levels = torch.tensor(LEVELS, dtype=torch.float64)
    for label in sorted(set(labels.tolist())):
        at = (labels == label).nonzero().flatten()
        order = at[losses[at].argsort(stable=True)]
        wanted = (torch.arange(len(order), dtype=torch.float64) + 0.5) / len(order)
        upper = torch.searchsorted(levels, wanted).clamp(1, len(levels) - 1)
        share = (wanted - levels[upper - 1]) / (levels[upper] - levels[upper - 1])
        table = quantiles[label].double()
        found = table[upper - 1] + share * (table[upper] - table[upper - 1])
        targets[order] = found.to(losses.dtype)
    return torch.maximum(targets, losses)


def share_above(losses: Tensor, quantiles: Tensor) -> Tensor:
    """The share of unseen rows whose loss is higher, ties counting one half, (n,) in 0..1.

    Its mean over training rows is the area under the curve (AUC) of the membership attack by the
    loss: above 0.5, training rows still stand out.

    Args:
        losses: (n,).
        quantiles: (n, Q), of each row's class.
    """
    table, values = quantiles.double().contiguous(), losses.double()[:, None].contiguous()
    levels = torch.tensor(LEVELS, dtype=torch.float64)
    first = torch.searchsorted(table, values)[:, 0]
    last = torch.searchsorted(table, values, right=True)[:, 0]
    upper = first.clamp(1, len(levels) - 1)
    low, high = (table.gather(1, at[:, None])[:, 0] for at in (upper - 1, upper))
    width = (high - low).clamp_min(torch.finfo(torch.float64).tiny)
    share = ((values[:, 0] - low) / width).clamp(0, 1)
    between = levels[upper - 1] + share * (levels[upper] - levels[upper - 1])
    tied = (levels[first.clamp_max(len(levels) - 1)] + levels[(last - 1).clamp_min(0)]) / 2
    below = torch.where(last > first, tied, between)
    return 1 - below


def log_odds_of(losses: Tensor) -> Tensor:
    """log(p / (1 - p)) of the probability p = exp(-loss)."""
    exact = losses.double().clamp_min(LEAST_LOSS)
    return -(exact + (-(-exact).expm1()).log()).to(losses.dtype)
