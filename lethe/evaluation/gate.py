"""One gate: a figure against its threshold, and the sentence that says so."""

import math
from typing import Literal

from lethe.evaluation.base import Result

Comparison = Literal["<=", ">="]


class GateResult(Result):
    """One figure against one threshold.

    `passed` is None when the figure could not be measured (`measured` is None too) or is not to be
    judged; a figure that is not a finite number is given as None and fails. `words` is a sentence
    with the figures.
    """

    name: str
    measured: float | None
    threshold: float
    comparison: Comparison
    passed: bool | None
    words: str


def judge(
    name: str,
    measured: float | None,
    threshold: float,
    words: str,
    comparison: Comparison = "<=",
) -> GateResult:
    """A figure held against a threshold; one that is not finite fails."""
    if measured is None or not math.isfinite(measured):
        return fail(name, threshold, f"{name} is not a finite number.", comparison)
    passed = measured <= threshold if comparison == "<=" else measured >= threshold
    return GateResult(
        name=name,
        measured=measured,
        threshold=threshold,
        comparison=comparison,
        passed=passed,
        words=words,
    )


def fail(name: str, threshold: float, words: str, comparison: Comparison = "<=") -> GateResult:
    """A gate that fails without a figure."""
    return GateResult(
        name=name,
        measured=None,
        threshold=threshold,
        comparison=comparison,
        passed=False,
        words=words,
    )


def undecided(name: str, threshold: float, words: str, comparison: Comparison = "<=") -> GateResult:
    """A gate that neither passes nor fails."""
    return fail(name, threshold, words, comparison).model_copy(update={"passed": None})


def percent(share: float | None) -> str:
    """A share for people."""
    return "?" if share is None else f"{100 * share:.1f} %"


def points(share: float) -> str:
    """A difference of shares for people."""
    return f"{100 * share:.1f} points"


def change(loss: float) -> str:
    """A loss or gain for people."""
    return f"a loss of {points(loss)}" if loss >= 0 else f"a gain of {points(-loss)}"
