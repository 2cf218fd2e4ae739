"""Measure parent and edit on the same rows, and decide whether the edit may be registered.

Three things are measured: the whole forget set against everything that is retained, each request's
own rows, and what the line of the model forgot before.
"""

import time
from collections.abc import Sequence

from prefect import task

from lethe.data.attribution import owners
from lethe.data.forget_set import ForgetSet
from lethe.data.parquet import Split
from lethe.data.rows import Rows
from lethe.data.selection import Selection
from lethe.evaluation.gates import EarlierSet, GateResult, worst_relapse
from lethe.evaluation.output_level import evaluate
from lethe.evaluation.per_request import per_owner, recognised
from lethe.evaluation.results import FORGET_PARTS, Accuracy, Evaluation, Part
from lethe.evaluation.verdict import Decision, decide
from lethe.models.training import TrainedNetwork
from lethe.settings import Settings
from lethe.unlearning.method import Edit
from tasks.earlier import classes_to_measure_again
from tasks.features import with_features
from tasks.policy import IN_MEMORY
from tasks.progress import progress
from tasks.record import MIB, Record

SPLITS: dict[Part, Split] = {
    Part.FORGET_TRAIN: "train",
    Part.FORGET_HELD_OUT: "test",
    Part.RETAINED_TRAIN: "train",
    Part.RETAINED_HELD_OUT: "test",
}


@task(**IN_MEMORY)
def measure(
    record: Record, edit: Edit, retrained: TrainedNetwork | None
) -> tuple[Evaluation, float]:
    """Did it forget, and what did it cost, at output and feature level; and the seconds taken."""
    started = time.perf_counter()
    parts = rows_by_part(
        record.settings,
        record.forget,
        record.measured,
        without(record.classes, record.earlier_classes),
    )
    reference = None if retrained is None else retrained.model
    with progress("Evaluating") as report:
        evaluation = evaluate(
            record.parent.network,
            edit.model,
            parts,
            classes=record.classes,
            forgotten=record.forgotten,
            device=record.device,
            reference=reference,
            seed=record.settings.seed,
            progress=report,
        )
    evaluation = with_features(
        record.settings, evaluation, record.parent, edit.model, parts, retrained=reference
    )
    return evaluation, time.perf_counter() - started


@task(**IN_MEMORY)
def measure_requests(record: Record, edit: Edit) -> dict[str, Accuracy | None]:
    """Of each request's own training rows, how many the edit still recognises, by request id."""
    entries = record.batch.entries
    rows = record.forget.rows(
        split="train",
        part="forget",
        classes=record.classes,
        memory_budget=record.memory_budget,
    )
    if rows is None:
        return dict.fromkeys((entry.id for entry in entries), None)
    found = recognised(edit.model, rows, device=record.device, forgotten=record.forgotten)
    whose = owners(record.forget, [entry.request.forget.selection for entry in entries])
    shares = per_owner(found, whose, len(entries))
    return {entry.id: share for entry, share in zip(entries, shares, strict=True)}


@task(**IN_MEMORY)
def measure_earlier(record: Record, edit: Edit) -> GateResult | None:
    """Whether a class that the line forgot before has come back; None when there is none.

    Requests of which it is no longer kept what they selected are counted as not measured.
    """
    names, gone_requests = record.earlier_classes, record.earlier.gone
    if not names:
        return worst_relapse([], record.settings.gates, unmeasured=gone_requests)
    again = classes_to_measure_again(record.settings, record.earlier, record.measured)
    rows = again and again.rows(
        split="train",
        part="forget",
        classes=record.classes,
        memory_budget=record.memory_budget,
    )
    if not again or not rows:
        return worst_relapse([], record.settings.gates, unmeasured=len(names) + gone_requests)
    gone = [index for index, name in enumerate(record.classes) if name in names]
    each = [Selection(classes=(name,)) for name in again.class_names]
    whose = owners(again, each)
    before, after = (
        per_owner(recognised(network, rows, device=record.device, forgotten=gone), whose, len(each))
        for network in (record.parent.network, edit.model)
    )
    found = [
        EarlierSet(before=b, after=a, whole_classes=True)
        for b, a in zip(before, after, strict=True)
        if b is not None and a is not None
    ]
    left_out = len(names) - len(found) + gone_requests
    return worst_relapse(found, record.settings.gates, unmeasured=left_out)


@task(**IN_MEMORY)
def decide_verdict(
    record: Record, evaluation: Evaluation, relapse: GateResult | None, *, retrained: bool
) -> Decision:
    """Hold the figures against the thresholds."""
    return decide(
        evaluation,
        record.settings.gates,
        retrained=retrained,
        extra=() if relapse is None else (relapse,),
    )


def without(classes: Sequence[str], earlier: Sequence[str]) -> tuple[str, ...]:
    """The classes with those forgotten earlier unnamed: their rows are neither gain nor loss."""
    return tuple("" if name in earlier else name for name in classes)


def rows_by_part(
    settings: Settings, forget: ForgetSet, measured: ForgetSet, classes: tuple[str, ...]
) -> dict[Part, Rows]:
    """The rows of each part that there are: those that were forgotten, the others as measured."""
    found = {
        part: (forget if part is Part.FORGET_TRAIN else measured).rows(
            split=split,
            part="forget" if part in FORGET_PARTS else "retained",
            classes=classes,
            memory_budget=settings.data.memory_budget_mib * MIB,
        )
        for part, split in SPLITS.items()
    }
    return {part: rows for part, rows in found.items() if rows is not None}
