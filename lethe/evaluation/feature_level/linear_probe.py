"""The linear probe: what a new head recovers from features that stay as they are.

Jeon et al. 2024 (IDI, arXiv 2405.17878): a network with only its head distilled answers no row of
the forgotten class, and a head retrained on 2 % of the data brings over 82 % of it back, against
41 % for a network retrained without the class. So the figure is to be compared with a retrained
or fresh network's, never with zero.
"""

import warnings
from collections.abc import Sequence

import torch
from torch import Tensor

from lethe.evaluation.feature_level.results import LinearProbe, Spread
from lethe.evaluation.feature_level.sampling import balanced, known_classes

SHARES = (0.02, 0.10)
SEEDS = (0, 1, 2, 3, 4)
MIN_PER_CLASS = 2
MAX_ITERATIONS = 200


def linear_probe(
    features: Tensor,
    labels: Tensor,
    held_out: Tensor,
    held_out_labels: Tensor,
    *,
    forgotten: Sequence[int],
    share: float = SHARES[0],
    total: int | None = None,
    seeds: Sequence[int] = SEEDS,
) -> LinearProbe | None:
    """Accuracy on held-out rows of a new linear head that few labelled rows trained.

    Standardised features, multinomial logistic regression (scikit-learn's, lbfgs, L2 with C = 1,
    at most 200 iterations). For requests of whole classes. The rows depend on labels and seeds
    alone: every model is read with the same ones. Held-out rows of a class without labelled rows
    are not counted, nor are rows of a label below 0. Costs seconds for a thousand rows.

    Args:
        features: frozen, (N, D), of labelled rows of all classes, the forgotten ones as well.
        labels: (N,).
        held_out: features (M, D) of rows that were not trained on.
        held_out_labels: (M,).
        forgotten: indices of the forgotten classes.
        share: of the labelled rows, above 0 and up to 1; at least two rows per class are used.
        total: how many labelled rows `share` is of, where not all of them were captured.
        seeds: one repeat each.

    Returns:
        None if features are not finite, fewer than two classes are labelled, or no held-out row
        is left.

    Raises:
        ValueError: if the share is not in (0, 1], or no seed is given.
    """
    if not 0 < share <= 1 or not seeds:
        message = f"a share in (0, 1] and at least one seed are needed, not {share} and {seeds}"
        raise ValueError(message)
    known = known_classes(labels)
    countable = torch.isin(held_out_labels, known)
    held_out, truth = held_out[countable], held_out_labels[countable]
    finite = bool(features[labels >= 0].isfinite().all() and held_out.isfinite().all())
    if len(known) < 2 or not len(truth) or not finite:
        return None
    per_class = rows_per_class(labels, share, total=total)
    gone = torch.isin(truth, torch.tensor(list(forgotten), dtype=truth.dtype))
    right, used = [], 0
    for seed in seeds:
        rows = balanced(labels, per_class, seed=seed)
        right.append(_answers(features[rows], labels[rows], held_out, seed) == truth)
        used = len(rows)
    return LinearProbe(
        share=share,
        rows=used,
        classes=len(known),
        repeats=len(right),
        forgotten=_spread([one[gone] for one in right]),
        retained=_spread([one[~gone] for one in right]),
    )


def rows_per_class(labels: Tensor, share: float, *, total: int | None = None) -> int:
    """Rows of each class that make up `share` of `total` rows (default: all known), at least 2."""
    count = int((labels >= 0).sum()) if total is None else total
    return max(MIN_PER_CLASS, round(share * count / max(1, len(known_classes(labels)))))


def _answers(features: Tensor, labels: Tensor, held_out: Tensor, seed: int) -> Tensor:
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler
    from threadpoolctl import threadpool_limits

    head = make_pipeline(
        StandardScaler(), LogisticRegression(max_iter=MAX_ITERATIONS, random_state=seed)
    )
    # Small fits: many threads would spend minutes waiting for each other.
    with warnings.catch_warnings(), threadpool_limits(1):
        # Where it ends after 200 iterations is the same for every run.
        warnings.simplefilter("ignore", ConvergenceWarning)
        head.fit(features.double().numpy(), labels.numpy())
    return torch.from_numpy(head.predict(held_out.double().numpy()))


def _spread(right: Sequence[Tensor]) -> Spread | None:
    if not len(right[0]):
        return None
    shares = [int(one.sum()) / len(one) for one in right]
    return Spread(
        # The mean of equal shares may differ from them by rounding.
        mean=min(max(sum(shares) / len(shares), min(shares)), max(shares)),
        lowest=min(shares),
        highest=max(shares),
        count=len(right[0]),
    )
