"""Taking deliveries in: many in one transaction, each ticket once, none spoiled by another.

A sender repeats a delivery until it is told that it arrived, so every delivery may come any number
of times, also at once. It is known by its source and its own id, and a ticket by its source and
key. What a ticket first asked for is what is carried out; that it was changed later is noted. A
delivery that could not be read is read anew when it comes again, since the policy may read it now.
"""

from collections.abc import Sequence
from dataclasses import replace
from itertools import groupby

from sqlalchemy import select
from sqlalchemy.exc import StatementError

from lethe.deletion.ledger import deliveries
from lethe.deletion.ledger.arrival_group import ArrivalGroup
from lethe.deletion.ledger.engine import explain
from lethe.deletion.ledger.errors import LedgerUnavailableError
from lethe.deletion.ledger.history import Step, advance, note
from lethe.deletion.ledger.read import current
from lethe.deletion.ledger.tables import requests
from lethe.deletion.ledger.transaction import Transaction
from lethe.deletion.ledger.types import Arrival, ArrivalKind, Receipt, Reception
from lethe.deletion.states import MOVES, State

TAKEN_BACK = "its ticket took it back"
TOO_LATE = "its ticket took it back, but too late"


def accept(tx: Transaction, arrivals: Sequence[Arrival]) -> list[Receipt]:
    """Take arrivals in, in their order."""
    receipts: list[Receipt] = []
    for takes_back, some in groupby(arrivals, lambda a: a.kind == ArrivalKind.CANCEL):
        if takes_back:
            receipts += [_take_back(tx, arrival) for arrival in some]
        else:
            receipts += ArrivalGroup(tx, list(some)).take_in()
    return receipts


def accept_singly(tx: Transaction, arrivals: Sequence[Arrival]) -> list[Receipt]:
    """Take arrivals in of which one fails: that one is kept as unreadable, the others as usual.

    Raises:
        LedgerUnavailableError: if it is the database that fails.
    """
    receipts: list[Receipt] = []
    for arrival in arrivals:
        try:
            with tx.sql.begin_nested():
                receipts += accept(tx, [arrival])
        except Exception as error:  # noqa: BLE001 (whatever it is, the others are not to blame)
            if isinstance(error, StatementError) and isinstance(
                told := explain(error), LedgerUnavailableError
            ):
                raise told from None
            problem = f"it could not be kept: {type(error).__name__}"
            unread = replace(arrival, kind=ArrivalKind.UNREADABLE, problem=problem)
            receipts += accept(tx, [unread])
    return receipts


def _take_back(tx: Transaction, arrival: Arrival) -> Receipt:
    """Cancel the request of a ticket, if it is not too late."""
    digest = deliveries.digest_of(tx, arrival)
    known = deliveries.delivered(tx, [digest])
    if digest in known and known[digest].settled:
        request_id = known[digest].request_id
    else:
        request_id = _request_of(tx, arrival)
        if request_id is not None:
            receipt = _cancel(tx, request_id, f"intake:{arrival.source}")
            deliveries.keep(tx, {digest: (arrival, receipt)}, known)
            return receipt
    if request_id is None:
        return Receipt(Reception.IGNORED)
    return Receipt(Reception.REPEATED, request_id, current(tx, request_id).state)


def _request_of(tx: Transaction, arrival: Arrival) -> str | None:
    """The latest request of the ticket: all before it were cancelled or rejected."""
    ticket = deliveries.ticket_of(arrival)
    if ticket is None:
        return None
    query = (
        select(requests.c.id)
        .where(
            requests.c.source == arrival.source,
            requests.c.ticket == ticket,
            requests.c.by_delivery,
        )
        .order_by(requests.c.seq.desc())
        .limit(1)
    )
    return tx.sql.scalar(query)


def _cancel(tx: Transaction, request_id: str, actor: str) -> Receipt:
    entry = current(tx, request_id)
    if entry.state == State.CANCELLED:
        return Receipt(Reception.REPEATED, request_id, entry.state)
    if State.CANCELLED not in MOVES[entry.state]:
        note(tx, entry, TOO_LATE, actor=actor)
        return Receipt(Reception.TOO_LATE, request_id, entry.state)
    changes = {} if entry.held_from is None else {"held_from": None}
    after = advance(tx, Step(entry, State.CANCELLED, TAKEN_BACK, changes=changes), actor=actor)
    return Receipt(Reception.CANCELLED, request_id, after.state)
