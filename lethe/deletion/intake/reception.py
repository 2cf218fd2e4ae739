"""One delivery, from raw bytes to a receipt, for every kind of source.

Authenticate, read, judge (`lethe.deletion.tickets`), commit (`writer`), count. What goes wrong
becomes a problem that says no more to a stranger than that he is one.
"""

import logging
from dataclasses import dataclass
from datetime import timedelta

from fastapi import Request
from pydantic import BaseModel, Field
from starlette.concurrency import run_in_threadpool

from lethe.deletion.intake.errors import ProblemError, unavailable
from lethe.deletion.intake.service import Service
from lethe.deletion.intake.writer import UnavailableError
from lethe.deletion.ledger.types import Arrival, ArrivalKind, Receipt, Reception
from lethe.deletion.policy.errors import UnknownSourceError
from lethe.deletion.tickets.delivery import Delivery
from lethe.deletion.tickets.errors import (
    BadTicketError,
    Flaw,
    NotAuthenticError,
    SecretError,
    WhyNot,
)
from lethe.deletion.tickets.receive import receive
from lethe.logs import own_id, trail

# Reading a body above this takes long enough to keep other senders waiting.
_LARGE_BYTES = 64 * 1024
_STATUS = {Flaw.CONTENT_TYPE: 415, Flaw.TOO_LARGE: 413, Flaw.SHAPE: 422, Flaw.UNSUPPORTED: 422}


class Accepted(BaseModel):
    """What became of a delivery. It says nothing of what the delivery holds."""

    request_id: str | None = Field(description="the request it is about, if there is one")
    reception: Reception = Field(description="what became of it")


@dataclass(frozen=True)
class Taken:
    """An arrival that is in the ledger, and what became of it."""

    arrival: Arrival
    receipt: Receipt

    def view(self) -> Accepted:
        """What the sender is told."""
        return Accepted(request_id=self.receipt.request_id, reception=self.receipt.reception)


async def delivery_of(request: Request) -> Delivery:
    """Headers and raw body of a request."""
    return Delivery(request.headers, await request.body())


async def take_in(service: Service, source: str, delivery: Delivery) -> Taken:
    """Believe, read and keep a delivery; returns after the ledger's commit.

    Raises:
        ProblemError: 401 if it is not authentic, for whatever reason; 400, 413, 415 or 422 if it
            cannot be read; 503 if the ledger cannot be written.
    """
    arrival = await _receive(service, source, delivery)
    receipt = await keep(service, arrival)
    unread = arrival.kind is ArrivalKind.UNREADABLE
    if unread or receipt.reception is Reception.UNREADABLE:
        raise ProblemError(
            422,
            "unreadable",
            "The ticket asks for a deletion, but not of what: "
            f"{arrival.problem or 'a field is wrong'}. It was noted for the operator. Correct it "
            "and send it again.",
            more={"reception": receipt.reception.value},
        )
    return Taken(arrival, receipt)


async def keep(service: Service, arrival: Arrival) -> Receipt:
    """Commit an arrival.

    Raises:
        ProblemError: 503 if the ledger cannot be written.
    """
    try:
        receipt = await service.writer.accept(arrival)
    except UnavailableError:
        service.metrics.refused(arrival.source, service.sources, "ledger_unavailable")
        raise unavailable() from None
    service.metrics.arrived(arrival.source, receipt.reception.value)
    _tell(arrival, receipt)
    if receipt.reception in {Reception.FILED, Reception.CANCELLED}:
        service.wake()
    return receipt


def _tell(arrival: Arrival, receipt: Receipt) -> None:
    """A line that ties the HTTP request, the delivery and the ticket to the deletion request."""
    if trail.isEnabledFor(logging.INFO):
        ids = {
            "request_id": receipt.request_id,
            "reception": receipt.reception.value,
            "source": arrival.source,
            "ticket": arrival.ticket,
            "delivery": own_id(arrival.delivery_id),
        }
        known = {name: value for name, value in ids.items() if value is not None}
        trail.info("A delivery was kept: %s", receipt.reception, extra=known)


async def _receive(service: Service, source: str, delivery: Delivery) -> Arrival:
    try:
        if len(delivery.body) > _LARGE_BYTES:
            return await run_in_threadpool(_read, service, source, delivery)
        return _read(service, source, delivery)
    except UnknownSourceError:
        reason, problem = WhyNot.SOURCE_UNKNOWN.value, not_authentic()
    except NotAuthenticError as error:
        reason, problem = error.reason.value, not_authentic()
    except SecretError:
        reason, problem = WhyNot.SECRET_MISCONFIGURED.value, not_authentic()
    except BadTicketError as error:
        reason = error.reason.value
        problem = ProblemError(
            _STATUS.get(error.reason, 400),
            reason,
            f"The ticket cannot be read: {error.detail}. Nothing was kept.",
        )
    service.metrics.refused(source, service.sources, reason)
    raise problem


def _read(service: Service, source: str, delivery: Delivery) -> Arrival:
    tolerance = timedelta(seconds=service.settings.intake.tolerance_seconds)
    return receive(service.policy(), source, delivery, tolerance=tolerance)


def not_authentic() -> ProblemError:
    """One answer for an unknown source, no secret, and a signature missing, wrong or old."""
    return ProblemError(
        401,
        "not_authentic",
        "The delivery cannot be trusted. Nothing was kept. Compare source, secret and headers.",
    )
