"""Information that features carry about a binary label: a lower bound from held-out answers.

    losses = held_out_losses(features, forgotten, seeds=(0, 1))     # (N,) nats
    entropy(forgotten) - losses.mean()                              # lower bound on I(Z; Y)

For benchmarks only; `idi` says why. The bound of Barber and Agakov 2003, "The IM Algorithm":
I(Z; Y) >= H(Y) - E[-log q(y | z)] for every q, with equality for the true posterior. For a binary
label H(Y) is known exactly, and q is a classifier. It is asked only about rows that it was not
fitted on, so that overfitting lowers the bound and never raises it. What it finds is the
information that this family of classifiers can use (Xu et al. 2020, arXiv 2002.10689), which is
never more than I.

The classifier is logistic regression on standardised features and on 64 landmarks of a radial
kernel (Nystroem), so that curved boundaries are found as well. It is convex: no restart and no
learning rate decides the figure. Its L2 penalty is chosen among three by the losses of the other
folds. Standardising and landmarks use features of all rows, never labels.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

FOLDS = 5
LANDMARKS = 64
PENALTIES = (0.001, 0.03, 1.0)

Array = NDArray[np.float64]


def entropy(labels: NDArray[np.bool_]) -> float:
    """Entropy of a binary label in nats, from its share in the rows."""
    from scipy.special import entr

    share = labels.mean()
    return float(entr(share) + entr(1 - share))


def held_out_losses(features: Array, labels: NDArray[np.bool_], *, seeds: Sequence[int]) -> Array:
    """Cross-entropy of each row's label by classifiers fitted without the row, (N,) in nats.

    Args:
        features: (N, D), finite.
        labels: (N,), at least five rows of each kind.
        seeds: of folds and landmarks; losses are averaged over them.
    """
    found = [_losses(features, labels, seed) for seed in seeds]
    return np.asarray(np.mean(found, axis=0))


def _losses(features: Array, labels: NDArray[np.bool_], seed: int) -> Array:
    from sklearn.model_selection import StratifiedKFold

    inputs = _inputs(features, seed)
    fold = np.empty(len(labels), dtype=np.intp)
    splits = StratifiedKFold(FOLDS, shuffle=True, random_state=seed).split(inputs, labels)
    losses = np.empty((len(PENALTIES), len(labels)))
    for number, (fitted, asked) in enumerate(splits):
        fold[asked] = number
        for row, strength in zip(losses, PENALTIES, strict=True):
            row[asked] = _asked(inputs, labels, fitted, asked, strength)
    chosen = np.empty(len(labels))
    for number in range(FOLDS):
        best = losses[:, fold != number].mean(axis=1).argmin()
        chosen[fold == number] = losses[best, fold == number]
    return chosen


def _asked(
    inputs: Array,
    labels: NDArray[np.bool_],
    fitted: NDArray[np.intp],
    asked: NDArray[np.intp],
    strength: float,
) -> Array:
    from sklearn.linear_model import LogisticRegression

    model = LogisticRegression(C=strength, max_iter=1000, tol=1e-3)
    odds = model.fit(inputs[fitted], labels[fitted]).decision_function(inputs[asked])
    return np.asarray(np.logaddexp(0, np.where(labels[asked], -odds, odds)))


def _inputs(features: Array, seed: int) -> Array:
    """Standardised features beside standardised landmarks, (N, D + at most 64)."""
    from sklearn.kernel_approximation import Nystroem
    from sklearn.preprocessing import StandardScaler

    scaled = StandardScaler().fit_transform(features)
    # Two random rows are at a squared distance of about 2 D.
    kernel = Nystroem(
        gamma=1 / (2 * features.shape[1]),
        n_components=min(LANDMARKS, len(features)),
        random_state=seed,
    )
    return np.hstack([scaled, StandardScaler().fit_transform(kernel.fit_transform(scaled))])
