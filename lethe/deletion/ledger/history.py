"""The one place where a request changes its state.

Every move is checked against the table of moves, written into the history, and announced; what the
announcement owes to others goes into the outbox, all in the transaction of the move.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import groupby
from typing import Any

from sqlalchemy import bindparam, select, update

from lethe.deletion.ledger import outbox
from lethe.deletion.ledger.read import FACTS, chunks, entries
from lethe.deletion.ledger.tables import moves, requests
from lethe.deletion.ledger.transaction import Transaction, one_line
from lethe.deletion.ledger.types import Entry, Facts, Move
from lethe.deletion.states import ANSWERED, ENDED, OPEN, State, check_move
from lethe.errors import RequestError

# It was not carried out and never will be: whoever asked for the same takes its place.
VOID = frozenset({State.REJECTED, State.CANCELLED})
NOTHING = Facts()
# Who makes the moves that follow from other moves.
LEDGER = "ledger"


@dataclass(frozen=True)
class Step:
    """A move to be made. `changes` are further fields of the entry that change with it."""

    entry: Entry
    to: State
    reason: str | None = None
    facts: Facts = NOTHING
    changes: Mapping[str, Any] = field(default_factory=dict)


def advance(tx: Transaction, step: Step, *, actor: str) -> Entry:
    """Make one move; see `advance_all`."""
    return advance_all(tx, [step], actor=actor)[0]


def advance_all(tx: Transaction, steps: Sequence[Step], *, actor: str) -> list[Entry]:
    """Make moves of different requests, and what follows from them for their duplicates.

    Returns:
        The entries as they are now, without histories, in the order of the steps.

    Raises:
        RequestError: if one of them is not in the table of moves, or would open again what was
            purged; then none is made.
    """
    for step in steps:
        check_move(step.entry.id, step.entry.state, step.to)
        _check_kept(step)
    lines = [_line(tx, step, actor) for step in steps]
    after = [_applied(step, line) for step, line in zip(steps, lines, strict=True)]
    _update(tx, [_columns(s, e) for s, e in zip(steps, after, strict=True)])
    write_moves(tx, zip((step.entry.id for step in steps), lines, strict=True))
    tell(tx, zip(after, lines, strict=True))
    _succeed(tx, after)
    return after


def note(tx: Transaction, entry: Entry, text: str, *, actor: str) -> Move:
    """Add a line to the history that changes no state. It is not announced."""
    line = Move(tx.now, actor, entry.state, entry.state, one_line(text))
    write_moves(tx, [(entry.id, line)])
    tx.sql.execute(update(requests).where(requests.c.id == entry.id).values(updated_at=tx.now))
    return line


def write_moves(tx: Transaction, lines: Iterable[tuple[str, Move]]) -> None:
    """Append to histories. Nothing ever changes or removes what is there."""
    rows = [
        {
            "request_id": request_id,
            "at": line.at,
            "actor": line.actor,
            "before": None if line.before is None else str(line.before),
            "after": str(line.after),
            "reason": line.reason,
        }
        for request_id, line in lines
    ]
    if rows:
        tx.sql.execute(moves.insert(), rows)


def tell(tx: Transaction, told: Iterable[tuple[Entry, Move]]) -> None:
    """Announce moves and owe the letters that come of it."""
    made = list(told)
    tx.moved.extend(made)
    if tx.announce is not None:
        letters = [letter for entry, line in made for letter in tx.announce(entry, line)]
        if letters:
            outbox.enqueue(tx, letters)


def merged(old: Facts, new: Facts) -> Facts:
    """The old facts with those of the new that are known."""
    return replace(old, **known(new))


def known(facts: Facts) -> dict[str, Any]:
    """The facts that are not None."""
    return {name: v for name in FACTS if (v := getattr(facts, name)) is not None}


def _check_kept(step: Step) -> None:
    entry = step.entry
    if entry.purged_at is not None and step.to in OPEN:
        raise RequestError(
            f"Request {entry.id} cannot become {step.to}: what it selected and where its answer "
            f"goes are no longer kept (since {entry.purged_at:%Y-%m-%d}). It was left unchanged "
            f"and is {entry.state}. File a new one: `lethe requests submit`."
        )


def _line(tx: Transaction, step: Step, actor: str) -> Move:
    return Move(tx.now, actor, step.entry.state, step.to, one_line(step.reason))


def _applied(step: Step, line: Move) -> Entry:
    return replace(
        step.entry,
        state=step.to,
        reason=line.reason,
        updated_at=line.at,
        facts=merged(step.entry.facts, step.facts),
        **step.changes,
    )


def _columns(step: Step, after: Entry) -> dict[str, Any]:
    values: dict[str, Any] = {
        "state": str(after.state),
        "reason": after.reason,
        "updated_at": after.updated_at,
        "ended_at": after.updated_at if after.state in ENDED else None,
        **known(step.facts),
        **step.changes,
    }
    if (held_from := values.get("held_from")) is not None:
        values["held_from"] = str(held_from)
    return {"_id": after.id, **values}


def _update(tx: Transaction, rows: Sequence[dict[str, Any]]) -> None:
    """Rows that change the same columns go in one statement."""
    for names, group in groupby(rows, _names):
        columns: dict[str, Any] = {name: bindparam(name) for name in names}
        query = update(requests).where(requests.c.id == bindparam("_id")).values(columns)
        tx.sql.execute(query, list(group))


def _names(row: Mapping[str, Any]) -> tuple[str, ...]:
    return tuple(name for name in row if name != "_id")


def _succeed(tx: Transaction, ended: Sequence[Entry]) -> None:
    """Duplicates of what was given up go on by themselves; those of what was done are told."""
    repeated = _repeated(tx, [entry.id for entry in ended if entry.state in ANSWERED])
    for entry in ended:
        if entry.id not in repeated:
            continue
        if entry.state in VOID:
            _promote(tx, entry)
        else:
            _share(tx, entry)


def _repeated(tx: Transaction, ids: Sequence[str]) -> set[str]:
    """Those of these requests that have duplicates."""
    of, is_one = requests.c.duplicate_of, requests.c.state == str(State.DUPLICATE)
    found: set[str] = set()
    for part in chunks(ids):
        found.update(tx.sql.scalars(select(of).where(of.in_(part), is_one).distinct()))
    return found


def _duplicates(tx: Transaction, entry: Entry) -> list[tuple[Entry, State, str]]:
    """Duplicates of a request, oldest first, with the state and reason they were judged to."""
    query = (
        select(requests)
        .where(requests.c.duplicate_of == entry.id, requests.c.state == str(State.DUPLICATE))
        .order_by(requests.c.seq)
    )
    rows = {row.id: row for row in tx.sql.execute(query)}
    return [
        (found, State(rows[found.id].judged_state), rows[found.id].judged_reason)
        for found in entries(tx, query)
    ]


def _promote(tx: Transaction, entry: Entry) -> None:
    """The oldest duplicate takes the place of what was given up; the others repeat that one now."""
    waiting = _duplicates(tx, entry)
    if not waiting:
        return
    (first, judged, reason), *others = waiting
    if others:
        tx.sql.execute(
            update(requests)
            .where(requests.c.id.in_([other.id for other, _, _ in others]))
            .values(duplicate_of=first.id)
        )
    why = f"{entry.id}, which it repeated, is {entry.state}"
    received = Step(first, State.RECEIVED, why, changes={"duplicate_of": None})
    after = advance(tx, received, actor=LEDGER)
    advance(tx, Step(after, judged, reason, changes=judged_changes(after, judged)), actor=LEDGER)


def judged_changes(entry: Entry, judged: State) -> dict[str, Any]:
    """What else changes when a request goes to its judged state.

    A hold by the policy keeps where the request would stand without it: a release leads there.
    """
    if judged != State.HELD:
        return {}
    free = State.AWAITING_APPROVAL if entry.approvals_needed else State.APPROVED
    return {"held_from": free}


def _share(tx: Transaction, entry: Entry) -> None:
    """Duplicates of what was carried out, or failed, get a note of it, and its facts."""
    text = f"{entry.id}, which it repeats, is {entry.state}"
    for duplicate, _, _ in _duplicates(tx, entry):
        note(tx, duplicate, text, actor=LEDGER)
        if values := known(entry.facts):
            tx.sql.execute(update(requests).where(requests.c.id == duplicate.id).values(**values))
