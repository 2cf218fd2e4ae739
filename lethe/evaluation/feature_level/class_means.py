"""Nearest class mean: do rows still lie where rows of their class lie?

The simplest classifier on features, without anything to train: if forgotten rows lie nearest to the
mean of their own class, the class is still there as a cluster. A network that never saw the class
may show it too; compare with a retrained or fresh one.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from lethe.evaluation.base import Accuracy
from lethe.evaluation.feature_level.results import ClassMeans
from lethe.evaluation.feature_level.sampling import known_classes


def class_means(features: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """Mean features of the M classes that occur, (M, D) float64, and their indices (M,) int64.

    Args:
        features: (N, D).
        labels: (N,); rows of a label below 0 are left out.
    """
    classes = known_classes(labels)
    means = [features[labels == label].double().mean(0) for label in classes]
    return torch.stack(means) if means else features[:0].double(), classes


def nearest_own_mean(
    features: Tensor,
    labels: Tensor,
    held_out: Tensor,
    held_out_labels: Tensor,
    *,
    forgotten: Sequence[int],
) -> ClassMeans | None:
    """Share of held-out rows nearest to their class's mean in the network's own features.

    The nearest centroid classifier (scikit-learn's `NearestCentroid`) in Euclidean distance.

    Args:
        features: (N, D) of labelled rows of all classes, the forgotten ones as well.
        labels: (N,).
        held_out: features (M, D) of rows that were not trained on.
        held_out_labels: (M,).
        forgotten: indices of the forgotten classes.

    Returns:
        None if features are not finite, or fewer than two classes are labelled.
    """
    means, classes = class_means(features, labels)
    return _nearest(means, classes, held_out, held_out_labels, forgotten, own=True)


def nearest_original_mean(
    means: Tensor,
    classes: Tensor,
    held_out: Tensor,
    held_out_labels: Tensor,
    *,
    forgotten: Sequence[int],
) -> ClassMeans | None:
    """Share of held-out rows nearest to the mean that the *original* had for their class.

    Needs no retained rows: the means may have been stored when the original was trained, and
    `held_out` may hold rows of the forgotten classes alone. A high share shows that the features
    did not move. A low one shows little: they may have moved all together.

    Args:
        means: (M, D) of the original's features, as a training card keeps them.
        classes: (M,) index of the class of each mean.
        held_out: features (M, D) of the network in question.
        held_out_labels: (M,).
        forgotten: indices of the forgotten classes.

    Returns:
        None if means or features are not finite, or there are fewer than two means.

    Raises:
        ValueError: if means and features differ in width.
    """
    return _nearest(means, classes, held_out, held_out_labels, forgotten, own=False)


def _nearest(
    means: Tensor,
    classes: Tensor,
    held_out: Tensor,
    labels: Tensor,
    forgotten: Sequence[int],
    *,
    own: bool,
) -> ClassMeans | None:
    if means.shape[1] != held_out.shape[1]:
        message = f"means of width {means.shape[1]} do not fit features of {held_out.shape[1]}"
        raise ValueError(message)
    # A class without a mean cannot be found again; its rows would count as erased.
    countable = torch.isin(labels, classes)
    rows, truth = held_out[countable].double(), labels[countable]
    if len(classes) < 2 or not rows.isfinite().all() or not means.isfinite().all():
        return None
    # The exact form: the usual expansion of squares loses digits far from the origin.
    mode = "donot_use_mm_for_euclid_dist"
    distances = torch.cdist(rows, means.double(), compute_mode=mode)
    right = classes[distances.argmin(1)] == truth
    gone = torch.isin(truth, torch.tensor(list(forgotten), dtype=truth.dtype))
    return ClassMeans(
        means="own" if own else "original",
        classes=len(classes),
        forgotten=Accuracy.of(int(right[gone].sum()), int(gone.sum())),
        retained=Accuracy.of(int(right[~gone].sum()), int((~gone).sum())),
    )
