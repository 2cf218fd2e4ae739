"""Measure parent and edit on the same rows, and decide whether the edit may be registered."""

import time
from collections.abc import Sequence

from prefect import task

from lethe.data.forget_set import ForgetSet
from lethe.data.parquet import Split
from lethe.data.rows import Rows
from lethe.evaluation.output_level import evaluate
from lethe.evaluation.results import FORGET_PARTS, Evaluation, Part
from lethe.evaluation.verdict import Decision, decide
from lethe.models.training import TrainedNetwork
from lethe.settings import Settings
from lethe.unlearning.method import Edit
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
    """Did it forget, and what did it cost, on training and held-out rows; and the seconds taken."""
    started = time.perf_counter()
    with progress("Evaluating") as report:
        evaluation = evaluate(
            record.parent.network,
            edit.model,
            rows_by_part(
                record.settings,
                record.forget,
                record.measured,
                without(record.classes, record.earlier),
            ),
            classes=record.classes,
            forgotten=record.forgotten,
            device=record.device,
            reference=None if retrained is None else retrained.model,
            progress=report,
        )
    return evaluation, time.perf_counter() - started


@task(**IN_MEMORY)
def decide_verdict(record: Record, evaluation: Evaluation) -> Decision:
    """Hold the figures against the thresholds."""
    return decide(evaluation, record.settings.gates)


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
