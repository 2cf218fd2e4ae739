"""One cell of a comparison: a method on one request of one data set with one seed, in figures.

A row is flat, so that it is a line of a table anywhere. Accuracies, gaps and losses are shares (a
point is 0.01), times are seconds; what was not measured is None. Imports nothing heavy.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

from lethe.evaluation.results import Evaluation, Part, Partition

# Over these the gap to retraining is averaged: forgotten, retained and held-out accuracy.
GAP_PARTS = (Part.FORGET_TRAIN, Part.RETAINED_TRAIN, Part.RETAINED_HELD_OUT)
RETRAIN = "retrain"


@dataclass(frozen=True)
class Row:
    """A cell.

    Attributes:
        data: name of the data set.
        target_kind: what is forgotten, `class` or `subject`.
        target: its name; a person is named by a position, never by an id.
        seed: of the networks, the method and the bootstrap.
        method: name; `retrain` is the network retrained with another seed, which shows how far
            apart two retrainings are.
        needs: data that the method needs beside the forget rows.
        options: all settings that were used, JSON.
        budget: trials that a search of the settings might make; 0: the method's own settings.
        trials: trials made.
        search_seconds: wall time of the search, which is in no other figure.
        device: where was computed.
        before_*, after_*, retrained_*: accuracy of the original, the edited and the retrained
            network on each part.
        gap_*: accuracy after minus that of the retrained network.
        gap: mean of the absolute gaps on forget training, retained training and retained
            held-out rows.
        retained_loss: retained held-out accuracy before minus after.
        worst_class: retained class that lost most held-out accuracy.
        worst_class_loss: what it lost.
        membership_*: area of the membership attack on the forgotten rows.
        seconds, cpu_seconds: of both phases of the method.
        retrain_seconds, retrain_cpu_seconds: of retraining.
        time_ratio, cpu_ratio: method through retraining.
        verdict, rule: as `lethe.evaluation.verdict.decide` gives them.
        failed_gates: names of the gates that were not passed, with commas; "" if all were.
        epochs: of the edit.
        stopped: why it ended, in words.
        failed: what the method said where it could not edit; then all it would have is None.
    """

    data: str
    target_kind: str
    target: str
    seed: int
    method: str
    needs: str
    options: str
    budget: int
    trials: int
    search_seconds: float
    device: str
    before_forget_train: float | None = None
    before_forget_held_out: float | None = None
    before_retained_train: float | None = None
    before_retained_held_out: float | None = None
    after_forget_train: float | None = None
    after_forget_held_out: float | None = None
    after_retained_train: float | None = None
    after_retained_held_out: float | None = None
    retrained_forget_train: float | None = None
    retrained_forget_held_out: float | None = None
    retrained_retained_train: float | None = None
    retrained_retained_held_out: float | None = None
    gap_forget_train: float | None = None
    gap_forget_held_out: float | None = None
    gap_retained_train: float | None = None
    gap_retained_held_out: float | None = None
    gap: float | None = None
    retained_loss: float | None = None
    worst_class: str | None = None
    worst_class_loss: float | None = None
    membership_before: float | None = None
    membership_after: float | None = None
    membership_retrained: float | None = None
    seconds: float | None = None
    cpu_seconds: float | None = None
    retrain_seconds: float | None = None
    retrain_cpu_seconds: float | None = None
    time_ratio: float | None = None
    cpu_ratio: float | None = None
    verdict: str | None = None
    rule: str | None = None
    failed_gates: str | None = None
    epochs: int | None = None
    stopped: str | None = None
    failed: str | None = None


def figures(evaluation: Evaluation) -> dict[str, Any]:
    """The figures of a row that an evaluation with a retrained reference gives, by field."""
    sides = {
        "before": evaluation.before,
        "after": evaluation.after,
        "retrained": evaluation.reference or Partition(),
    }
    found: dict[str, Any] = {}
    for side, partition in sides.items():
        for part in Part:
            accuracy = partition.get(part)
            found[f"{side}_{part}"] = None if accuracy is None else accuracy.share
    for part in Part:
        found[f"gap_{part}"] = _minus(found[f"after_{part}"], found[f"retrained_{part}"])
    found["gap"] = mean_gap(found)
    was, now = found["before_retained_held_out"], found["after_retained_held_out"]
    found["retained_loss"] = _minus(was, now)
    retained = [one for one in evaluation.per_class if not one.forgotten]
    if retained:
        worst = max(retained, key=lambda one: one.before - one.after)
        found |= {"worst_class": worst.label, "worst_class_loss": worst.before - worst.after}
    attacked = evaluation.membership
    names = {"before": "before", "after": "after", "retrained": "reference"}
    for side, name in names.items():
        one = getattr(attacked, name, None)
        found[f"membership_{side}"] = None if one is None else one.auc
    return found


def mean_gap(found: Mapping[str, Any]) -> float | None:
    """Mean of the absolute gaps of the parts that were measured; None when none was."""
    gaps: Sequence[float] = [
        abs(found[f"gap_{part}"]) for part in GAP_PARTS if found[f"gap_{part}"] is not None
    ]
    return fmean(gaps) if gaps else None


def _minus(one: float | None, other: float | None) -> float | None:
    return None if one is None or other is None else one - other
