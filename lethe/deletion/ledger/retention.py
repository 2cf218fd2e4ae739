"""The end of keeping: what may be personal is emptied some months after a request has ended.

    ledger.retention.purge_all(6, actor="settle")

The record stays: states, history, facts, approvals, the digest of the content and all statements.
What goes is what was sealed, the selection and where the answer goes, letters that were given up,
and which deliveries told of the request. A request that is open stays whole, and so does one whose
outbox still owes somebody a letter, or gave one up less than those months ago. A duplicate goes
after what it repeats: that may still be tried again, be cancelled, and leave it its place.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any

from dateutil.relativedelta import relativedelta
from sqlalchemy import ColumnElement, and_, bindparam, delete, exists, func, or_, select, update

from lethe.deletion.ledger.history import write_moves
from lethe.deletion.ledger.read import entries
from lethe.deletion.ledger.tables import deliveries, letters, requests
from lethe.deletion.ledger.transaction import Transaction, Transactions, checked_actor
from lethe.deletion.ledger.types import Entry, Move
from lethe.deletion.states import ENDED, State

BATCH = 500
WORDS = "what it selected and where its answer goes are no longer kept"
_ENDED = [str(state) for state in sorted(ENDED)]
_ORIGINALS = requests.alias("originals")


@dataclass(frozen=True)
class Purged:
    """How many requests and letters were emptied, and how many deliveries were deleted."""

    requests: int = 0
    letters: int = 0
    deliveries: int = 0

    @property
    def total(self) -> int:
        """All of them."""
        return sum(getattr(self, one.name) for one in fields(self))

    def __add__(self, other: "Purged") -> "Purged":
        return Purged(
            self.requests + other.requests,
            self.letters + other.letters,
            self.deliveries + other.deliveries,
        )


class Retention:
    """Ends the keeping of what may be personal; `Ledger.retention`."""

    def __init__(self, transactions: Transactions) -> None:
        self._run = transactions

    def due(self, months: int) -> Purged:
        """What `purge`, called until nothing is left, would empty now."""
        return self._run.read(_due, months)

    def purge(self, months: int, *, actor: str, limit: int = BATCH) -> Purged:
        """Empty what is past its time: at most `limit` of each kind, in one transaction.

        Whoever does it again, also at the same time, finds what is left.

        Args:
            months: calendar months since the request ended, or the letter was given up.
            actor: who; it stands in the history.
            limit: bounds how long the ledger has no other writer.
        """
        # Whether there is anything is asked without keeping writers waiting.
        if not self.due(months).total:
            return Purged()
        done = self._run.write(_purge, months, actor=checked_actor(actor), limit=limit)
        if done.total:
            self._run.database.settle()
        return done

    def purge_all(self, months: int, *, actor: str) -> Purged:
        """Purge in batches until nothing is left; what was emptied in all."""
        found = Purged()
        while (done := self.purge(months, actor=actor)).total:
            found += done
        return found


def ceiling(now: datetime, months: int) -> datetime:
    """What ended then or before is past its time."""
    return now - relativedelta(months=months)


def _due(tx: Transaction, months: int) -> Purged:
    before = ceiling(tx.now, months)
    going = or_(requests.c.purged_at.is_not(None), _past(requests, before))
    going_too = or_(going, _duplicate(before, or_(_gone(_ORIGINALS), _past(_ORIGINALS, before))))
    named = select(requests.c.id).where(going_too)
    of_one = or_(letters.c.request_id.is_(None), letters.c.request_id.in_(named))
    return Purged(
        requests=_count(tx, requests.c.seq, and_(going_too, requests.c.purged_at.is_(None))),
        letters=_count(tx, letters.c.seq, and_(_given_up(before), of_one)),
        deliveries=_count(
            tx,
            deliveries.c.seq,
            and_(deliveries.c.at <= before, deliveries.c.request_id.in_(named)),
        ),
    )


def _purge(tx: Transaction, months: int, *, actor: str, limit: int) -> Purged:
    before = ceiling(tx.now, months)
    emptied = _empty(tx, _past(requests, before), actor, limit)
    emptied += _empty(tx, _duplicate(before, _gone(_ORIGINALS)), actor, limit - emptied)
    purged = select(requests.c.id).where(_gone(requests))
    of_one = or_(letters.c.request_id.is_(None), letters.c.request_id.in_(purged))
    old = _some(tx, letters.c.seq, and_(_given_up(before), of_one), limit)
    tx.sql.execute(update(letters).where(letters.c.seq.in_(old)).values(payload=None))
    told = and_(deliveries.c.at <= before, deliveries.c.request_id.in_(purged))
    known = _some(tx, deliveries.c.seq, told, limit)
    tx.sql.execute(delete(deliveries).where(deliveries.c.seq.in_(known)))
    return Purged(emptied, len(old), len(known))


def _empty(tx: Transaction, which: ColumnElement[bool], actor: str, limit: int) -> int:
    """Empty requests, the oldest first, each with a line in its history; returns how many."""
    found = entries(tx, select(requests).where(which).order_by(requests.c.seq).limit(limit))
    if not found:
        return 0
    query = update(requests).where(requests.c.id == bindparam("_id"))
    emptied = {"selection": None, "reply": None, "purged_at": tx.now, "updated_at": tx.now}
    tx.sql.execute(
        query.values(**emptied, selected_by=bindparam("_kind")), [_kind_of(one) for one in found]
    )
    write_moves(tx, [(one.id, Move(tx.now, actor, one.state, one.state, WORDS)) for one in found])
    return len(found)


def _kind_of(entry: Entry) -> Mapping[str, Any]:
    selection = entry.request.forget.selection
    return {"_id": entry.id, "_kind": None if selection is None else selection.kind}


def _past(table: Any, before: datetime) -> ColumnElement[bool]:
    """Requests that ended so long ago and owe nothing."""
    return and_(
        table.c.purged_at.is_(None),
        table.c.ended_at <= before,
        table.c.state.in_(_ENDED),
        ~_owes(table, before),
    )


def _duplicate(before: datetime, ended: ColumnElement[bool]) -> ColumnElement[bool]:
    """Duplicates that owe nothing, of originals (`_ORIGINALS`) for which `ended` holds."""
    return and_(
        requests.c.purged_at.is_(None),
        requests.c.state == str(State.DUPLICATE),
        exists().where(_ORIGINALS.c.id == requests.c.duplicate_of, ended),
        ~_owes(requests, before),
    )


def _owes(table: Any, before: datetime) -> ColumnElement[bool]:
    """Whether a letter waits to be sent, or was given up so lately that a person may send it."""
    return exists().where(
        letters.c.request_id == table.c.id,
        letters.c.sent_at.is_(None),
        or_(letters.c.dead_at.is_(None), letters.c.dead_at > before),
    )


def _given_up(before: datetime) -> ColumnElement[bool]:
    return and_(
        letters.c.sent_at.is_(None), letters.c.dead_at <= before, letters.c.payload.is_not(None)
    )


def _gone(table: Any) -> ColumnElement[bool]:
    return table.c.purged_at.is_not(None)  # type: ignore[no-any-return]


def _count(tx: Transaction, column: Any, which: ColumnElement[bool]) -> int:
    return int(tx.sql.scalar(select(func.count(column)).where(which)) or 0)


def _some(tx: Transaction, column: Any, which: ColumnElement[bool], limit: int) -> Sequence[int]:
    return tx.sql.scalars(select(column).where(which).order_by(column).limit(limit)).all()
