"""How a batch ends in the ledger: every request with its own outcome, or in smaller batches."""

from collections.abc import Sequence
from contextlib import suppress
from itertools import groupby

from prefect import task

from lethe.deletion.ledger.errors import LedgerUnavailableError
from lethe.deletion.ledger.types import Batch, Entry, Facts, Outcome
from lethe.deletion.states import State
from tasks.desk import Desk
from tasks.earlier import Earlier
from tasks.finish import Finished
from tasks.policy import IN_MEMORY


@task(**IN_MEMORY)
def conclude_covered(desk: Desk, batch: Batch, earlier: Earlier) -> Batch:
    """Conclude the requests whose rows the line forgot already; the others stay in the batch."""
    outcomes = {
        entry.id: Outcome(
            State.REGISTERED,
            f"{step.version} had forgotten it already",
            step.facts,
        )
        for entry in batch.entries
        if (step := earlier.covering(entry.request.forget)) is not None
    }
    return desk.ledger.conclude(batch, outcomes) if outcomes else batch


@task(**IN_MEMORY)
def conclude_registered(desk: Desk, batch: Batch, done: Finished) -> None:
    """Note the successor with every request of the batch."""
    desk.ledger.conclude(
        batch,
        {
            entry.id: Outcome(
                State.REGISTERED,
                f"Registered as {done.successor}: {done.verdict}",
                done.facts_of(entry.id),
            )
            for entry in batch.entries
        },
    )


@task(**IN_MEMORY)
def set_aside(
    desk: Desk, batch: Batch, state: State, reason: str, done: Finished | None = None
) -> list[str]:
    """End a batch that could not be carried out: a single request so, several in smaller batches.

    Returns:
        The ids of the smaller batches.
    """
    if len(batch.entries) > 1:
        return desk.ledger.split(batch, groups(batch.entries, desk, done))
    desk.ledger.conclude(
        batch,
        {
            entry.id: Outcome(state, reason, done.facts_of(entry.id) if done else Facts())
            for entry in batch.entries
        },
    )
    return []


def note_wait(desk: Desk, batch: Batch, reason: str) -> None:
    """Tell in each request's history what a batch waits for, as far as the ledger answers."""
    with suppress(LedgerUnavailableError):
        desk.ledger.many.waits([entry.id for entry in batch.entries], reason, actor=desk.worker)


def groups(entries: Sequence[Entry], desk: Desk, done: Finished | None) -> list[list[str]]:
    """How to take requests apart that failed together.

    By kind when they are mixed, for a method may be able to do one kind alone; else those whose own
    rows were still recognised apart from those that went well; else in two halves.
    """
    kinds = [
        [entry.id for entry in group] for _, group in groupby(sorted(entries, key=_kind), key=_kind)
    ]
    if len(kinds) > 1:
        return kinds
    limit = desk.settings.gates.max_forget_accuracy
    bad = [e.id for e in entries if done is not None and _above(done.facts_of(e.id), limit)]
    good = [e.id for e in entries if e.id not in set(bad)]
    if good and bad:
        return [good, bad]
    half = len(entries) // 2
    ids = [entry.id for entry in entries]
    return [ids[:half], ids[half:]]


def _above(facts: Facts, limit: float) -> bool:
    return facts.forget_accuracy is not None and facts.forget_accuracy > limit


def _kind(entry: Entry) -> str:
    selection = entry.request.forget.selection
    return "whole" if selection is None else selection.kind
