"""Which of several results are worth having: the Pareto front, and one number for a whole set.

    front = pareto([(0.99, 0.97), (0.90, 0.99), (0.90, 0.96)])    # True, True, False
    hypervolume([(0.99, 0.97), (0.90, 0.99)], (0, 0))             # 0.9783

Each row is one result, each column one objective, and more is better in all of them: turn a cost or
a loss round first. Computed by moocore (López-Ibáñez and others), exactly.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray


def pareto(points: ArrayLike) -> NDArray[np.bool_]:
    """Which points no other point dominates.

    A point dominates another if it is at least as good in each objective and better in one, so of
    equal points all are on the front or none.

    Args:
        points: (N, M), M objectives of which more is better.

    Returns:
        (N,) bool; empty where there are no points.

    Raises:
        ValueError: if a figure is not finite, or the points have no objectives.
    """
    import moocore

    found = _table(points)
    if not len(found):
        return np.zeros(0, dtype=bool)
    mask: NDArray[np.bool_] = moocore.is_nondominated(found, maximise=True, keep_weakly=True)
    return mask


def hypervolume(points: ArrayLike, reference: Sequence[float]) -> float:
    """Volume of what the points dominate, down to the reference point (Zitzler and Thiele 1998).

    It grows with every point that no other dominates, so it rewards how good results are and how
    wide they spread. Points that are not better than the reference in each objective add nothing.
    Two sets compare only from the same reference.

    Args:
        points: (N, M), M objectives of which more is better.
        reference: the M worst figures that still count.

    Returns:
        The volume, in the product of the objectives' units; 0 without points.

    Raises:
        ValueError: if a figure is not finite, or the reference has another number of objectives.
    """
    import moocore

    found = _table(points)
    worst = np.asarray(reference, dtype=float)
    if not np.isfinite(worst).all():
        raise ValueError(f"the reference {tuple(reference)} is not finite")
    if not len(found):
        return 0.0
    if worst.shape != (found.shape[1],):
        raise ValueError(f"the reference needs {found.shape[1]} figures, not {worst.size}")
    return float(moocore.hypervolume(found, worst, maximise=True))


def _table(points: ArrayLike) -> NDArray[np.float64]:
    """The points as a table of finite figures."""
    found = np.asarray(points, dtype=float)
    if found.size == 0 and found.ndim < 2:
        return np.zeros((0, 0))
    if found.ndim != 2 or found.shape[1] == 0:
        raise ValueError(f"points have the shape {found.shape}, expected are rows of objectives")
    if not np.isfinite(found).all():
        raise ValueError("points hold figures that are not finite")
    return found
