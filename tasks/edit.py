"""The two phases of a method, as two tasks."""

from prefect import task

from lethe.data.rows import Rows
from lethe.errors import ForgetSetError
from lethe.unlearning.method import Edit, ForgetTarget, Instructions
from tasks.earlier import with_earlier
from tasks.people import fingerprints_of
from tasks.policy import IN_MEMORY
from tasks.progress import progress
from tasks.record import Record


@task(**IN_MEMORY)
def probe(record: Record) -> Instructions:
    """Find out what to change: probe the boundary around the forget set."""
    with progress("Probing the boundary") as report:
        return record.method.probe(
            record.parent.network, forget_target(record), record.context(report)
        )


@task(**IN_MEMORY)
def push_pull(record: Record, instructions: Instructions) -> Edit:
    """Change a copy of the parent: push the forget set out, pull the rest back."""
    with progress("Pushing and pulling") as report:
        return record.method.edit(
            record.parent.network, forget_target(record), instructions, record.context(report)
        )


def forget_target(record: Record) -> ForgetTarget:
    """What the record's method is to forget, with the retained rows if it needs them.

    Raises:
        ForgetSetError: if there are no rows to forget, or none are retained where they are needed.
    """
    rows: Rows | None = record.forget.rows(
        split="train",
        part="forget",
        classes=record.classes,
        memory_budget=record.memory_budget,
    )
    if rows is None:
        raise ForgetSetError(
            "The forget set has no training rows. Nothing was changed. "
            "Select rows that the model was trained on."
        )
    retained = _retained(record) if record.method.needs == "retain" else None
    marks = fingerprints_of(record, whole=True) if record.forget.kind == "subject" else ()
    return ForgetTarget(rows, record.forget.kind, record.forgotten, retained, marks)


def _retained(record: Record) -> Rows:
    """Everything that was trained on and that nobody asked to be forgotten, now or earlier."""
    remaining = with_earlier(record.settings, record.earlier, record.forget)
    rows: Rows | None = remaining.rows(
        split="train",
        part="retained",
        classes=record.classes,
        memory_budget=record.memory_budget,
    )
    if rows is None:
        raise ForgetSetError(
            f"Method {record.method.name!r} needs retained rows, and there are none. Nothing was "
            f"changed. Name a method that needs forget rows alone: docs/methods/."
        )
    return rows
