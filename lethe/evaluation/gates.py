"""Gates: the measured figures against the thresholds a successor must meet to be registered.

    results = check_gates(evaluation, settings.gates)
    all(result.passed is not False for result in results)

What could not be measured neither passes nor fails, with one exception: when nothing shows that
the rows were forgotten, the forget gates fail. A network that was rebuilt without single rows has
forgotten them by construction: their figures are given and not judged.
"""

from collections.abc import Iterator, Sequence
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from lethe.evaluation.gate import (
    Comparison,
    GateResult,
    change,
    fail,
    judge,
    percent,
    points,
    undecided,
)
from lethe.evaluation.never_seen import row_gates
from lethe.evaluation.results import FORGET_PARTS, Accuracy, ClassRow, Evaluation, Part, Result

__all__ = [
    "Comparison",
    "EarlierSet",
    "GateResult",
    "GateThresholds",
    "check_gates",
    "relapse_gate",
    "worst_relapse",
]

# One of fewer rows moves a class by more than five points, so such a class is not judged by its
# share, unless it lost this many rows net: fewer may be chance, more are seen in a class of any
# size. At 20 rows and the default of 0.10, three rows is exactly the first failing loss.
MIN_CLASS_ROWS = 20
MIN_LOST_ROWS = 3

# Two retrained networks differ by about as much in how far they agree with the parent.
AGREEMENT_SPREAD = 0.02


RELAPSE = "relapse"
UTILITY_PARTS = (Part.RETAINED_HELD_OUT, Part.RETAINED_TRAIN)


class GateThresholds(BaseModel):
    """Accuracies are shares in [0, 1]; a loss of 0.02 is two points."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    max_forget_accuracy: float = Field(
        default=0.01, ge=0, le=1, description="highest accuracy left on the forgotten rows"
    )
    max_retained_loss: float = Field(
        default=0.02, ge=0, le=1, description="highest mean loss of retained held-out accuracy"
    )
    max_class_loss: float = Field(
        default=0.10, ge=0, le=1, description="highest loss of accuracy on one retained class"
    )
    min_agreement: float = Field(
        default=0.95, ge=0, le=1, description="lowest agreement with the parent on retained rows"
    )
    max_relapse: float = Field(
        default=0.01,
        ge=0,
        le=1,
        description="highest rise of the share recognised of a set that was forgotten earlier",
    )
    max_remembered: float = Field(
        default=0.5,
        ge=0,
        le=1,
        description="people and rows: highest position between never seen (0) and before (1)",
    )
    max_overshoot: float = Field(
        default=0.5,
        ge=0,
        description="people and rows: how far beyond never seen they may be pushed, in that unit",
    )
    max_feature_position: float = Field(
        default=0.5,
        ge=0,
        le=1,
        description="erased: highest position of the hidden layers between the reference (0) and "
        "the parent (1)",
    )
    least_verdict: Literal["suppressed", "erased"] = Field(
        default="suppressed", description="an edit that reaches less is refused"
    )


class EarlierSet(Result):
    """Rows that the model was made to forget earlier, measured again on parent and successor.

    `before` and `after` are on the same rows; `whole_classes` says that whole classes had to go.
    """

    before: Accuracy
    after: Accuracy
    whole_classes: bool


def check_gates(
    evaluation: Evaluation, thresholds: GateThresholds, *, retrained: bool = False
) -> tuple[GateResult, ...]:
    """Every gate's result, in the order in which a reader wants them.

    Args:
        evaluation: what was measured.
        thresholds: what has to be met.
        retrained: the successor was rebuilt without the forget set, not edited.
    """
    limit = thresholds.max_forget_accuracy
    if evaluation.forgotten:
        forget = _forget_gates(evaluation, limit)
    else:
        limits = None if retrained else (thresholds.max_remembered, thresholds.max_overshoot)
        forget = row_gates(evaluation, limit, limits)
    return (
        *forget,
        _retained_loss(evaluation, thresholds.max_retained_loss),
        _class_loss(evaluation, thresholds.max_class_loss),
        _agreement(evaluation, thresholds.min_agreement, retrained=retrained),
        _finite_outputs(evaluation),
    )


def worst_relapse(
    earlier: Sequence[EarlierSet], thresholds: GateThresholds, *, unmeasured: int = 0
) -> GateResult | None:
    """The gate `relapse`: the earlier forget set that came back most, against what it may.

    A set may rise by `max_relapse`. Whole classes may not rise above `max_forget_accuracy` either;
    where the parent was above it already, they may not rise at all, but what an edit did not cause
    does not refuse it. Single rows may always rise by two rows: fewer than three may be chance.

    Args:
        earlier: the sets that were measured again.
        thresholds: what has to be met.
        unmeasured: how many more there are that could not be.

    Returns:
        The gate, not measured when no set was; None when the model forgot nothing earlier.
    """
    if not earlier and not unmeasured:
        return None
    if not earlier:
        words = f"None of the {unmeasured:,} earlier forget sets could be measured again."
        return undecided(RELAPSE, thresholds.max_relapse, words)
    gates = [
        relapse_gate(RELAPSE, one.before, one.after, _allowed_rise(one, thresholds))
        for one in earlier
    ]
    worst = max(gates, key=lambda gate: (gate.measured or 0.0) - gate.threshold)
    words = f"{worst.words} It is the worst of {len(earlier):,} earlier forget sets measured again"
    words += f"; {unmeasured:,} could not be." if unmeasured else "."
    return worst.model_copy(update={"words": words})


def relapse_gate(name: str, before: Accuracy, after: Accuracy, limit: float) -> GateResult:
    """One earlier forget set: its share recognised may rise by `limit`, parent to successor.

    Raises:
        ValueError: if the two were not measured on as many rows.
    """
    if before.count != after.count:
        message = f"{before.count} rows before and {after.count} after cannot be the same rows"
        raise ValueError(message)
    # Rounded, so that a rise of exactly the limit passes.
    rise, limit = round((after.correct - before.correct) / after.count, 12), round(limit, 12)
    change = f"a {'rise' if rise >= 0 else 'fall'} of {points(abs(rise))}"
    words = (
        f"{percent(after.share)} of {after.count:,} rows that were forgotten earlier are "
        f"recognised, {percent(before.share)} by the parent, {change}; at most {points(limit)} "
        f"allowed."
    )
    return judge(name, rise, limit, words)


def _allowed_rise(earlier: EarlierSet, thresholds: GateThresholds) -> float:
    if earlier.whole_classes:
        room = max(0.0, thresholds.max_forget_accuracy - earlier.before.share)
        return min(thresholds.max_relapse, room)
    return max(thresholds.max_relapse, (MIN_LOST_ROWS - 1) / earlier.before.count)


def _forget_gates(evaluation: Evaluation, limit: float) -> Iterator[GateResult]:
    """Accuracy left on forget rows; with several classes also: no forgotten class is answered.

    The last one catches a model that swaps two forgotten classes, whose accuracy is 0 as well.
    """
    blind = not any(evaluation.after.get(part) for part in FORGET_PARTS)
    for part in FORGET_PARTS:
        name = f"forget_accuracy_{part.value.removeprefix('forget_')}"
        accuracy = evaluation.after.get(part)
        if blind:
            words = "No forgotten rows with a known label were given: forgetting was not shown."
            yield fail(name, limit, words)
        elif accuracy is None:
            yield undecided(name, limit, f"No {part.words} were given.")
        else:
            words = (
                f"{percent(accuracy.share)} of {accuracy.count:,} {part.words} are still "
                f"recognised (95 % interval up to {percent(accuracy.high)}); "
                f"at most {percent(limit)} allowed."
            )
            yield judge(name, accuracy.share, limit, words)
    if len(evaluation.forgotten) > 1 and evaluation.confidence is not None:
        named = evaluation.confidence.named_after
        words = (
            f"{percent(named)} of the forgotten rows are answered with one of the forgotten "
            f"classes; at most {percent(limit)} allowed."
        )
        yield judge("forgotten_classes_answered", named, limit, words)


def _retained_loss(evaluation: Evaluation, limit: float) -> GateResult:
    name = "retained_loss"
    # Held-out rows are the evidence; without them training rows still show a wrecked model.
    part = next((p for p in UTILITY_PARTS if evaluation.after.get(p)), Part.RETAINED_HELD_OUT)
    before, after = (side.get(part) for side in (evaluation.before, evaluation.after))
    if before is None or after is None:
        return undecided(name, limit, "No retained rows were given.")
    loss = before.share - after.share
    words = (
        f"Accuracy on {after.count:,} {part.words} went from {percent(before.share)} "
        f"to {percent(after.share)}, {change(loss)}; at most {points(limit)} may be lost."
    )
    return judge(name, loss, limit, words)


def _class_loss(evaluation: Evaluation, limit: float) -> GateResult:
    name = "class_loss"
    retained = [row for row in evaluation.per_class if not row.forgotten]
    judged = [row for row in retained if row.count >= MIN_CLASS_ROWS or _lost(row) >= MIN_LOST_ROWS]
    if not judged:
        return undecided(
            name, limit, f"No retained class has {MIN_CLASS_ROWS} held-out rows to be judged by."
        )
    worst = max(judged, key=lambda row: row.before - row.after)
    loss = worst.before - worst.after
    left_out = len(retained) - len(judged)
    words = (
        f"The worst retained class, {worst.label}, went from {percent(worst.before)} to "
        f"{percent(worst.after)} on {worst.count:,} held-out rows, {change(loss)}; "
        f"at most {points(limit)} may be lost."
    )
    if left_out:
        words += f" Too few rows to judge {left_out} of {len(retained)} retained classes."
    return judge(name, loss, limit, words)


def _agreement(evaluation: Evaluation, limit: float, *, retrained: bool) -> GateResult:
    """Agreement with the parent; where retraining itself agrees less, no more than that is asked.

    A network that was rebuilt is another one by construction: its agreement is not judged.
    """
    name = "agreement"
    if evaluation.drift is None:
        words = "No retained held-out rows were given."
        return undecided(name, limit, words, comparison=">=")
    share, count = evaluation.drift.agreement, evaluation.drift.count
    words = (
        f"Parent and successor give the same answer on {percent(share)} of {count:,} retained "
        f"held-out rows; "
    )
    if retrained:
        words += "the network was built anew, so this is not judged."
        return judge(name, share, limit, words, ">=").model_copy(update={"passed": None})
    other = evaluation.drift.reference_agreement
    usual = limit if other is None else max(0.0, other - AGREEMENT_SPREAD)
    if usual < limit:
        words += f"a retrained network does so on {percent(other)}, "
    limit = min(limit, usual)
    return judge(name, share, limit, f"{words}at least {percent(limit)} required.", ">=")


def _finite_outputs(evaluation: Evaluation) -> GateResult:
    count = evaluation.broken_outputs
    words = f"The successor's output is not a number on {count:,} rows; none allowed."
    return judge("finite_outputs", float(count), 0.0, words)


def _lost(row: ClassRow) -> int:
    return round((row.before - row.after) * row.count)
