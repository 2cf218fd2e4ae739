"""Which deliveries were taken in, and what became of each.

A delivery is known by a keyed digest of its source and its own id: ids are whatever a sender makes
up, of any length. One that was about something else is not kept.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import TypeAdapter, ValidationError
from sqlalchemy import bindparam, select, update

from lethe.audit.fields import TicketKey
from lethe.deletion.ledger.read import chunks
from lethe.deletion.ledger.tables import deliveries
from lethe.deletion.ledger.transaction import Transaction, one_line
from lethe.deletion.ledger.types import Arrival, Receipt, Reception

_TICKET: TypeAdapter[str] = TypeAdapter(TicketKey)
# These are read anew when they come again: the policy may read them now.
_OPEN = frozenset({Reception.UNREADABLE, Reception.IGNORED})


@dataclass(frozen=True)
class Delivered:
    """What became of a delivery."""

    reception: Reception
    request_id: str | None

    @property
    def settled(self) -> bool:
        """Whether it is a mere repetition when it comes again."""
        return self.reception not in _OPEN


def digest_of(tx: Transaction, arrival: Arrival) -> str:
    """What a delivery is known by."""
    return tx.vault.digest(["delivery", arrival.source, arrival.delivery_id])


def ticket_of(arrival: Arrival) -> str | None:
    """The ticket's key, if it is well formed; anything else may be somebody's words."""
    try:
        return None if arrival.ticket is None else _TICKET.validate_python(arrival.ticket)
    except ValidationError:
        return None


def delivered(tx: Transaction, digests: Iterable[str]) -> dict[str, Delivered]:
    """Those deliveries that came before."""
    found: dict[str, Delivered] = {}
    for part in chunks(digests):
        query = select(deliveries).where(deliveries.c.digest.in_(part))
        for row in tx.sql.execute(query):
            found[row.digest] = Delivered(Reception(row.reception), row.request_id)
    return found


def keep(
    tx: Transaction,
    became: Mapping[str, tuple[Arrival, Receipt]],
    known: Mapping[str, Delivered],
) -> None:
    """Note what became of deliveries, by digest; `known` are those that came before."""
    new, again = [], []
    for digest, (arrival, receipt) in became.items():
        row = {
            "source": one_line(arrival.source) or "",
            "ticket": ticket_of(arrival),
            "reception": str(receipt.reception),
            "request_id": receipt.request_id,
            "problem": one_line(arrival.problem),
            "at": tx.now,
        }
        if digest in known:
            again.append({"_digest": digest, **row})
        else:
            new.append({"digest": digest, **row})
    if new:
        tx.sql.execute(deliveries.insert(), new)
    if again:
        columns: dict[str, Any] = {n: bindparam(n) for n in again[0] if n != "_digest"}
        query = update(deliveries).where(deliveries.c.digest == bindparam("_digest"))
        tx.sql.execute(query.values(columns), again)
