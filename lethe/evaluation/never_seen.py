"""Requests for people and single rows: does the successor treat them like rows it never saw?

A model that never saw a person's rows may still answer many of them correctly, so that their
accuracy should be low is no aim. The aim is to be like a network that never saw them, and pushing
further is a failure too: rows that are answered worse than strangers' stand out just as well.

    for reading in never_seen(evaluation):
        reading.position    # 0: like never seen, 1: as before, below 0: pushed beyond

| reading      | original, successor                      | never seen                             |
|--------------|------------------------------------------|----------------------------------------|
| `membership` | area of the attack on the person's       | the retrained network's area, else 0.5 |
|              | training against held-out rows           |                                        |
| `accuracy`   | accuracy on the person's training rows   | the retrained network's; else none     |
"""

from collections.abc import Iterator

from lethe.evaluation.feature_level.readings import Reading
from lethe.evaluation.gate import GateResult, fail, judge, percent, undecided
from lethe.evaluation.membership import CHANCE, Membership
from lethe.evaluation.results import FORGET_PARTS, Accuracy, Evaluation

REMEMBERED = "remembered"
OVERSHOOT = "overshoot"


def never_seen(evaluation: Evaluation) -> tuple[Reading, ...]:
    """Readings of the output level that hold for people and single rows."""
    found: list[Reading] = []
    sides = evaluation.membership
    if sides is not None and sides.before is not None and sides.after is not None:
        found.append(
            Reading(
                name="membership",
                needs="forget_rows",
                original=sides.before.auc,
                successor=sides.after.auc,
                fresh=CHANCE,
                retrained=None if sides.reference is None else sides.reference.auc,
                noise=_noise(sides.before),
            )
        )
    before, after = evaluation.before.forget_train, evaluation.after.forget_train
    reference = None if evaluation.reference is None else evaluation.reference.forget_train
    if before is not None and after is not None and reference is not None:
        found.append(
            Reading(
                name="accuracy",
                needs="forget_rows",
                original=before.share,
                successor=after.share,
                retrained=reference.share,
                noise=_noise(before),
            )
        )
    return tuple(found)


def row_gates(
    evaluation: Evaluation, accuracy_limit: float, limits: tuple[float, float] | None
) -> Iterator[GateResult]:
    """The gates of a request for people or rows.

    Args:
        evaluation: what was measured.
        accuracy_limit: given with the accuracies, which are not judged.
        limits: highest position, and how far below 0 is allowed; None for a network that was
            rebuilt without the rows: it never saw them by construction.
    """
    yield from _accuracies(evaluation, accuracy_limit, rebuilt=limits is None)
    if limits is None:
        return
    remembered, overshoot = limits
    readings = never_seen(evaluation)
    telling = {one.name: one.position for one in readings if one.position is not None}
    if not telling:
        why = (
            "The parent itself hardly tells these rows from rows that it never saw"
            if readings
            else "There are no held-out rows of the same kind to compare with"
        )
        words = f"{why}, so forgetting was not shown."
        yield fail(REMEMBERED, remembered, words)
        yield undecided(OVERSHOOT, overshoot, words)
        return
    high, low = (pick(telling, key=telling.__getitem__) for pick in (max, min))
    yield judge(
        REMEMBERED,
        telling[high],
        remembered,
        f"{_words(high)}, the rows stand at {telling[high]:.2f} between never seen (0) and before "
        f"(1); at most {remembered:.2f} allowed.",
    )
    beyond = max(0.0, -telling[low])
    yield judge(
        OVERSHOOT,
        beyond,
        overshoot,
        f"{_words(low)}, the rows were pushed {beyond:.2f} beyond never seen, where 1 is the way "
        f"there from before; at most {overshoot:.2f} allowed.",
    )


def _accuracies(evaluation: Evaluation, limit: float, *, rebuilt: bool) -> Iterator[GateResult]:
    for part in FORGET_PARTS:
        name = f"forget_accuracy_{part.value.removeprefix('forget_')}"
        accuracy = evaluation.after.get(part)
        if accuracy is None:
            yield undecided(name, limit, f"No {part.words} were given.")
            continue
        why = (
            "The network was rebuilt without the forget set, so this is what it answers to rows it "
            "never saw; it is not judged."
            if rebuilt
            else "A network that never saw them may answer so too; it is not judged."
        )
        words = (
            f"{percent(accuracy.share)} of {accuracy.count:,} {part.words} are answered with their "
            f"label. {why}"
        )
        yield judge(name, accuracy.share, limit, words).model_copy(update={"passed": None})


def _noise(one: Membership | Accuracy) -> float:
    """Half the interval's half-width: all networks are read on the very same rows."""
    return (one.high - one.low) / 4


def _words(name: str) -> str:
    return {"membership": "By the membership attack", "accuracy": "By their accuracy"}[name]
