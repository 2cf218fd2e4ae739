"""Deliveries that file tickets, looked up together and written together.

Three questions to the database for the whole group (which deliveries, which tickets and ids, which
contents are known) and four writes, however many deliveries there are; between them everything is
decided in memory. This is what lets one commit carry hundreds of tickets.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import Select, select

from lethe.deletion.ledger import deliveries, filing
from lethe.deletion.ledger.deliveries import Delivered
from lethe.deletion.ledger.filing import Filing
from lethe.deletion.ledger.history import VOID, note
from lethe.deletion.ledger.read import chunks, current
from lethe.deletion.ledger.tables import requests
from lethe.deletion.ledger.transaction import Transaction
from lethe.deletion.ledger.types import Arrival, ArrivalKind, Judgement, Receipt, Reception
from lethe.deletion.request import DeletionRequest
from lethe.deletion.states import MOVES, State

CHANGED = (
    "the ticket was changed after it was filed; what was first asked is what will be carried out"
)
_JUDGED = MOVES[State.RECEIVED] - {State.DUPLICATE, State.CANCELLED}


@dataclass(frozen=True)
class _Known:
    """A request that is in the ledger, or will be with this transaction."""

    id: str
    source: str
    ticket: str | None
    digest: str
    state: State


class ArrivalGroup:
    """Takes a group of deliveries in; none of them is a cancellation."""

    def __init__(self, tx: Transaction, arrivals: Sequence[Arrival]) -> None:
        self._tx = tx
        self._arrivals = [(deliveries.digest_of(tx, arrival), arrival) for arrival in arrivals]
        self._before = deliveries.delivered(tx, {digest for digest, _ in self._arrivals})
        self._by_id: dict[str, _Known] = {}
        self._by_ticket: dict[tuple[str, str | None], _Known] = {}
        self._became: dict[str, tuple[Arrival, Receipt]] = {}
        self._new: list[tuple[Filing, str]] = []
        self._changed: list[tuple[str, str]] = []
        self._look_up()

    def take_in(self) -> list[Receipt]:
        """Decide about each, in order, then write."""
        receipts = [self._take(digest, arrival) for digest, arrival in self._arrivals]
        contents = {digest for _, digest in self._new}
        known = filing.originals(self._tx, contents) if contents else {}
        for entry in filing.file_all(self._tx, self._new, known):
            self._by_id[entry.id] = replace(self._by_id[entry.id], state=entry.state)
        for request_id, actor in self._changed:
            note(self._tx, current(self._tx, request_id), CHANGED, actor=actor)
        deliveries.keep(self._tx, self._became, self._before)
        return [self._with_state(receipt) for receipt in receipts]

    def _take(self, digest: str, arrival: Arrival) -> Receipt:
        before = self._before.get(digest)
        if digest in self._became:
            _, earlier = self._became[digest]
            before = Delivered(earlier.reception, earlier.request_id)
        if before is not None and before.settled:
            return Receipt(Reception.REPEATED, before.request_id)
        if arrival.kind == ArrivalKind.IGNORE:
            return Receipt(Reception.IGNORED)
        receipt, problem = self._read(arrival)
        self._became[digest] = replace(arrival, problem=problem), receipt
        return receipt

    def _read(self, arrival: Arrival) -> tuple[Receipt, str | None]:
        """What becomes of a delivery, and what is wrong with it."""
        problem = arrival.problem if arrival.kind == ArrivalKind.UNREADABLE else flaw(arrival)
        request, judgement = arrival.request, arrival.judgement
        if problem is not None or request is None or judgement is None:
            return Receipt(Reception.UNREADABLE), problem or "a field is wrong"
        content = filing.content_digest(self._tx, request)
        there = self._by_ticket.get((request.source, request.ticket))
        if there is not None:
            if there.digest != content:
                self._changed.append((there.id, f"intake:{arrival.source}"))
            return Receipt(Reception.REPEATED, there.id), None
        taken = self._by_id.get(request.id)
        if taken is None:
            self._file(arrival, request, judgement, content)
            return Receipt(Reception.FILED, request.id), None
        asked = (taken.source, taken.ticket, taken.digest)
        if asked == (request.source, request.ticket, content):
            return Receipt(Reception.REPEATED, taken.id), None
        return Receipt(Reception.UNREADABLE), "its request id belongs to another request"

    def _file(
        self, arrival: Arrival, request: DeletionRequest, judgement: Judgement, content: str
    ) -> None:
        actor = f"intake:{arrival.source}"
        self._new.append((Filing(request, judgement, actor, arrival.reply, True), content))
        # What is rejected here leaves its ticket free, even for a delivery of the same group.
        self._know(_Known(request.id, request.source, request.ticket, content, judgement.state))

    def _know(self, one: _Known, *, by_ticket: bool = True) -> None:
        self._by_id[one.id] = one
        if by_ticket and one.ticket is not None and one.state not in VOID:
            self._by_ticket[one.source, one.ticket] = one

    def _look_up(self) -> None:
        asked = [arrival.request for _, arrival in self._arrivals if arrival.request is not None]
        ids = {request.id for request in asked}
        ids |= {d.request_id for d in self._before.values() if d.request_id is not None}
        tickets = {request.ticket for request in asked if request.ticket is not None}
        query = select(
            requests.c.id,
            requests.c.source,
            requests.c.ticket,
            requests.c.content_digest,
            requests.c.state,
            requests.c.by_delivery,
        )
        for part in chunks(ids):
            self._shelve(query.where(requests.c.id.in_(part)))
        for part in chunks(tickets):
            self._shelve(query.where(requests.c.ticket.in_(part)))

    def _shelve(self, query: Select[Any]) -> None:
        for row in self._tx.sql.execute(query):
            one = _Known(row.id, row.source, row.ticket, row.content_digest, State(row.state))
            self._know(one, by_ticket=row.by_delivery)

    def _with_state(self, receipt: Receipt) -> Receipt:
        known = self._by_id.get(receipt.request_id or "")
        return receipt if known is None else replace(receipt, state=known.state)


def flaw(arrival: Arrival) -> str | None:
    """Why what an adapter read cannot be filed, None if it can. No value is repeated."""
    request, judgement = arrival.request, arrival.judgement
    if request is None or judgement is None:
        return "it was not read to its end"
    if request.source != arrival.source:
        return "it names another source than the one it came from"
    if arrival.ticket not in {None, request.ticket}:
        return "it names two tickets"
    if judgement.state not in _JUDGED:
        return "it was judged to a state that a new request cannot have"
    forget = request.forget
    for name, text in (
        ("model", request.model),
        ("dataset", forget.dataset),
        ("repository", forget.repository),
        ("rev", forget.rev),
        ("evaluation", request.evaluation or ""),
    ):
        if not _is_storable(text):
            return f"{name} holds a character that cannot be stored"
    return None


def _is_storable(text: str) -> bool:
    """PostgreSQL stores no NUL, nobody stores half a character."""
    try:
        return b"\0" not in text.encode()
    except UnicodeEncodeError:
        return False
