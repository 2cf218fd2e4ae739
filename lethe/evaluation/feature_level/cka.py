"""Linear CKA: how alike two networks' features are, whatever the basis.

A successor whose layers are as they were in the original (CKA near 1 on forget rows) was edited in
its head only. The reverse is no proof: features may turn and still tell a class apart, so a low
CKA is no evidence of erasure.
"""

import math
from collections.abc import Mapping

from torch import Tensor

from lethe.evaluation.feature_level.results import LayerCKA

# Features that vary less than this around their mean, in squares, vary by float32's rounding.
_CONSTANT = 1e-12


def linear_cka(one: Tensor, other: Tensor, *, debiased: bool = False) -> float | None:
    """Linear CKA of the features of the same N rows, (N, D1) and (N, D2).

    ||Yc' Xc||^2 / (||Xc' Xc|| ||Yc' Yc||) in Frobenius norms with centred columns: Kornblith et al.
    2019, "Similarity of Neural Network Representations Revisited" (arXiv 1905.00414, section 3).
    In [0, 1]; 1 when one is the other up to rotation, reflection and one common scale. With few
    rows for the width, unrelated features come out far above 0.

    `debiased` takes the unbiased HSIC of Song et al. 2012 (JMLR 13) instead, as Nguyen et
    al. 2021 do (arXiv 2010.15327, section 3): near 0 for unrelated features, in [-1, 1].

    Costs O(N D1 D2) or O(N^2 (D1 + D2)), whichever is cheaper; debiased always the latter.

    Returns:
        None if features are constant or not finite, or rows fewer than 2, or 4 for debiased.

    Raises:
        ValueError: if the rows are not equally many.
    """
    if one.dim() != 2 or other.dim() != 2 or len(one) != len(other):
        message = f"{tuple(one.shape)} and {tuple(other.shape)} are not features of the same rows"
        raise ValueError(message)
    x, y = _centred(one), _centred(other)
    if x is None or y is None or (debiased and len(x) < 4):
        return None
    if debiased:
        k, ell = _u_centred(x @ x.T), _u_centred(y @ y.T)
        return _ratio((k * ell).sum(), k.norm() * ell.norm(), lowest=-1.0)
    if len(x) < max(x.shape[1], y.shape[1]):  # tr(KL) = ||Y'X||^2
        k, ell = x @ x.T, y @ y.T
        return _ratio((k * ell).sum(), k.norm() * ell.norm())
    return _ratio((y.T @ x).square().sum(), (x.T @ x).norm() * (y.T @ y).norm())


def layerwise_cka(one: Mapping[str, Tensor], other: Mapping[str, Tensor]) -> tuple[LayerCKA, ...]:
    """Both variants for every layer that both networks have, in the order of the first.

    Args:
        one: layer to (N, D) as `capture` gives them.
        other: of another network, on the same rows.
    """
    return tuple(
        LayerCKA(
            layer=layer,
            count=len(features),
            cka=linear_cka(features, other[layer]),
            debiased=linear_cka(features, other[layer], debiased=True),
        )
        for layer, features in one.items()
        if layer in other
    )


def _centred(features: Tensor) -> Tensor | None:
    """Centred columns at unit scale, (N, D) float64; None where nothing varies."""
    x = features.detach().cpu().double()
    if len(x) < 2 or not x.isfinite().all():
        return None
    centred = x - x.mean(0)
    size, spread = float(x.norm()), float(centred.norm())
    return centred / spread if spread**2 > _CONSTANT * size**2 else None


def _u_centred(gram: Tensor) -> Tensor:
    """The matrix whose products are unbiased HSICs, up to the factor N (N - 3).

    Zero diagonal and zero row sums (Szekely & Rizzo 2014, Annals of Statistics 42). The product of
    two is Song's estimator, and an inner product, so CKA stays in [-1, 1].
    """
    n = len(gram)
    k = gram.clone().fill_diagonal_(0)
    row = k.sum(1)
    k = k - (row[:, None] + row[None, :]) / (n - 2) + row.sum() / ((n - 1) * (n - 2))
    return k.fill_diagonal_(0)


def _ratio(above: Tensor, below: Tensor, *, lowest: float = 0.0) -> float | None:
    """A quotient within its mathematical limits, which rounding may pass."""
    # At unit scale: what is below is a norm of products of features of norm 1.
    if float(below) < 1e-15:
        return None
    value = float(above / below)
    return min(1.0, max(lowest, value)) if math.isfinite(value) else None
