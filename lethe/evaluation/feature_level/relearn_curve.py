"""Numbers read off a relearn curve.

area(curve), area(curve, corrected=True), steps_to(curve, 0.8)
"""

from lethe.evaluation.feature_level.results import RelearnCurve


def corrected_accuracy(curve: RelearnCurve) -> tuple[float, ...] | None:
    """Forget accuracy less the share of retained rows that are taken for a forgotten class.

    In [0, 1], cut off at 0; Youden's index (Cancer 3, 1950). A network that answers every row with
    a forgotten class gets 0, where its plain forget accuracy is 1. None without retained rows.
    """
    if curve.claimed is None:
        return None
    return tuple(
        max(0.0, share - claimed)
        for share, claimed in zip(curve.forget, curve.claimed, strict=True)
    )


def steps_to(curve: RelearnCurve, level: float, *, corrected: bool = False) -> int | None:
    """Updates after which (corrected) forget accuracy was first measured at `level` or above.

    None if it never was, or cannot be corrected.
    """
    shares = corrected_accuracy(curve) if corrected else curve.forget
    if shares is None:
        return None
    reached = (step for step, share in zip(curve.steps, shares, strict=True) if share >= level)
    return next(reached, None)


def area(curve: RelearnCurve, *, corrected: bool = False) -> float | None:
    """Mean (corrected) forget accuracy over all planned updates: the area under the curve.

    In [0, 1], by trapezoids between measurements; a curve that ended early goes on at its last
    value. Less noisy than `steps_to`, which hangs on one measurement. None if it cannot be
    corrected.
    """
    found = corrected_accuracy(curve) if corrected else curve.forget
    if found is None:
        return None
    steps, shares = [*curve.steps, curve.planned], [*found, found[-1]]
    total = sum(
        (steps[i + 1] - steps[i]) * (shares[i] + shares[i + 1]) / 2 for i in range(len(found))
    )
    return min(1.0, total / curve.planned)


def anamnesis_index(
    successor: RelearnCurve, retrained: RelearnCurve, level: float, *, corrected: bool = False
) -> float | None:
    """Updates the successor needs to reach `level`, over those a retrained network needs.

    The Anamnesis index of Chundawat et al. 2023, "Zero-Shot Machine Unlearning" (arXiv 2201.05629):
    about 1 when it relearns like one that never knew the class, far below when the
    class was only hidden, above when it was merely made hard to learn. `level` is a little below
    the original's accuracy.

    Returns:
        None if either never reaches the level, or the retrained network has it from the start.
    """
    needed = steps_to(successor, level, corrected=corrected)
    reference = steps_to(retrained, level, corrected=corrected)
    return None if needed is None or not reference else needed / reference
