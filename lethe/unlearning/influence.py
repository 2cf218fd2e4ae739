"""Influence of forget rows, after IMU (arXiv 2508.01620): which rows to push hardest.

    weights = influence_weights(model, forget, outputs, top=0.5, batch_size=64)   # (n,), mean 1

Any edit that takes one loss per row can multiply it by them. The influence is that of a row on the
loss of the whole forget set, through the output layer alone and with a diagonal Fisher matrix in
place of the Hessian, so that two passes without a backward one are enough.
"""

from collections.abc import Iterator
from typing import Literal

import torch
from torch import Tensor, nn

from lethe.unlearning.classes import barred
from lethe.unlearning.layers import output_layer, with_features
from lethe.unlearning.method import ForgetTarget

Weights = Literal["uniform", "influence"]

DAMPING = 0.01  # added to the Fisher diagonal; released code
QUANTILE = 0.93  # weights above it are cut down to it; released code


def influence_weights(
    model: nn.Module, forget: ForgetTarget, outputs: Tensor, *, top: float, batch_size: int
) -> Tensor:
    """One weight (n,) per forget row, by position, on the CPU; their mean is 1.

    With the gradient g_i of a row's cross-entropy in the output layer's weights, the mean gradient
    G and F = mean g_i^2 + 0.01, a row's influence is I_i = -g_i . G / F. Rows that agree with the
    mean (I_i < 0) are ranked by it; the `top` share of all rows is given sqrt(-I_i), cut at its
    0.93 quantile, and every other row nothing. Where no row stands out, all weigh the same.

    Args:
        model: the original, in eval mode, on the device of `outputs`.
        forget: rows and, for a class request, classes.
        outputs: outputs (K,) that are barred for every row.
        top: share of the rows that are weighed at all, above 0 and up to 1.
        batch_size: rows at once.

    Raises:
        MethodError: if the model's logits do not come from a linear layer.
    """
    rows, device = len(forget.rows), outputs.device
    layer = model.get_submodule(output_layer(model, next(forget.rows.batches(1)).x.to(device)))
    mean = square = torch.zeros((), dtype=torch.float64, device=device)
    for _, error, features in _factors(model, layer, forget, outputs, batch_size):
        mean = mean + error.T @ features / rows
        square = square + error.square().T @ features.square() / rows
    direction = mean / (square + DAMPING)
    influence = torch.empty(rows, dtype=torch.float64)
    for positions, error, features in _factors(model, layer, forget, outputs, batch_size):
        influence[positions] = -((error @ direction) * features).sum(1).cpu()
    return ranked(influence, top)


def ranked(influence: Tensor, top: float) -> Tensor:
    """Weights (n,) float32 of mean 1 from influences (n,)."""
    agreeing = (-influence).clamp_min(0)
    chosen = agreeing.topk(max(1, round(top * len(influence)))).indices
    chosen = chosen[agreeing[chosen] > 0]
    if not len(chosen):
        return torch.ones(len(influence))
    roots = agreeing[chosen].sqrt()
    weights = torch.zeros_like(influence)
    weights[chosen] = roots.clamp_max(roots.quantile(QUANTILE))
    return (weights / weights.mean()).float()


def _factors(
    model: nn.Module, layer: nn.Module, forget: ForgetTarget, outputs: Tensor, batch_size: int
) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    """Positions, error (B, K) and features (B, D + 1): a row's gradient is their outer product.

    In double precision, where a row that the model is sure of still has a gradient. The feature
    that is always one belongs to the bias.
    """
    for batch in forget.rows.batches(batch_size):
        wrong = barred(outputs, batch.y.to(outputs.device))
        with torch.no_grad():
            features, logits = with_features(model, layer, batch.x.to(outputs.device))
        features, logits = features.double(), logits.double()
        error = logits.softmax(1) - logits.masked_fill(~wrong, -torch.inf).softmax(1)
        if layer.bias is not None:
            features = torch.cat([features, torch.ones_like(features[:, :1])], 1)
        yield batch.positions, error, features
