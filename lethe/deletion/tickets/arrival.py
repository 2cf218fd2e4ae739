"""What an event means by the policy: a ticket to file, one taken back, or nothing of ours."""

from datetime import datetime
from typing import Any

from pydantic import TypeAdapter, ValidationError

from lethe.audit.fields import TicketKey
from lethe.deletion.ledger.types import Arrival, ArrivalKind
from lethe.deletion.policy.errors import UnreadableTicketError
from lethe.deletion.policy.events import meaning
from lethe.deletion.policy.fields import read_fields, to_request
from lethe.deletion.policy.judge import judge
from lethe.deletion.policy.model import Policy, Source
from lethe.deletion.tickets.errors import BadTicketError, Flaw
from lethe.deletion.tickets.event import Event

_TICKET_KEY: TypeAdapter[str] = TypeAdapter(TicketKey)


def to_arrival(policy: Policy, source: Source, event: Event, received_at: datetime) -> Arrival:
    """What an authentic event means.

    A ticket that asks for a deletion, but cannot be mapped to one, is UNREADABLE with the problem;
    the payload is in neither.

    Args:
        policy: judges what is filed.
        source: whose expressions are applied.
        event: from the source's adapter.
        received_at: with a time zone; deadlines count from it.

    Raises:
        BadTicketError: if the ticket's key could not stand in a record.
    """
    ticket = _checked(event.ticket)

    def arrival(kind: ArrivalKind, **more: Any) -> Arrival:
        return Arrival(
            source.name, event.delivery_id, kind, ticket=ticket, reply=event.reply, **more
        )

    if not event.concerns:
        return arrival(ArrivalKind.IGNORE)
    try:
        kind = meaning(source, event.payload)
        if kind is not ArrivalKind.FILE:
            return arrival(kind)
        fields = read_fields(source, event.payload)
        request = to_request(policy, source, fields, ticket, received_at)
    except UnreadableTicketError as error:
        return arrival(ArrivalKind.UNREADABLE, problem=error.problem)
    judgement = judge(policy, request, now=received_at)
    return arrival(kind, request=request, judgement=judgement)


def _checked(ticket: str | None) -> str | None:
    if ticket is None:
        return None
    try:
        return _TICKET_KEY.validate_python(ticket)
    except ValidationError:
        pass
    raise BadTicketError(Flaw.SHAPE, "the key of its ticket is none that can be recorded")
