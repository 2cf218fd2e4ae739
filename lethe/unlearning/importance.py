"""Importance of weights for some rows, without labels (MAS, arXiv 1711.09601).

    importances(model, rows, most=256, seed=0, device=device)["head.weight"]     # in 0..1

A weight matters where a small change of it would change the length of the logits.
"""

import torch
from torch import Tensor, nn

from lethe.data.rows import Rows


def importances(
    model: nn.Module, rows: Rows, *, most: int, seed: int, device: torch.device
) -> dict[str, Tensor]:
    """Mean over rows of |d norm(f(x)) / d w| for every floating weight, min-max scaled to 0..1.

    Row by row, since the absolute value is of each row's own gradient; scaled in each tensor by
    itself. Where all weights of a tensor matter alike, all are 0. On the CPU.

    Args:
        model: in eval mode, on the device; left without gradients and frozen.
        rows: seen in an order drawn from the seed.
        most: rows that are looked at.
        seed: of the order.
        device: the model's.
    """
    weights = {n: w for n, w in model.named_parameters() if w.is_floating_point()}
    sums = {name: torch.zeros_like(weight) for name, weight in weights.items()}
    model.requires_grad_(requires_grad=True)
    left = most
    for batch in rows.batches(min(most, 64), seed=seed):
        for row in batch.x[:left].to(device):
            norm = model(row[None]).norm()
            found = torch.autograd.grad(norm, list(weights.values()), allow_unused=True)
            for name, gradient in zip(weights, found, strict=True):
                if gradient is not None:
                    sums[name] += gradient.abs()
        left -= len(batch.x)
        if left <= 0:
            break
    model.requires_grad_(requires_grad=False)
    return {name: _scaled(total).cpu() for name, total in sums.items()}


def _scaled(values: Tensor) -> Tensor:
    low, high = values.min(), values.max()
    return (values - low) / (high - low).clamp_min(torch.finfo(values.dtype).tiny)
