"""From raw bytes to what the ledger keeps.

    arrival = receive(policy, "privacy-issues", delivery, tolerance=timedelta(minutes=5))

In this order, and not in another: the source is known; the raw bytes are authentic; they are
strict JSON; they are an event of a ticket; the policy's expressions say whether it files or takes
back; its mapping makes a request; the policy judges it. What is not authentic is not even parsed.
An authentic ticket that cannot be mapped is kept as unreadable, for a person to look at; it is
never lost.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from lethe.deletion.ledger.types import Arrival
from lethe.deletion.policy.errors import UnknownSourceError
from lethe.deletion.policy.model import Policy, Source
from lethe.deletion.tickets import github, jira, opendsr, plain, standard
from lethe.deletion.tickets.arrival import to_arrival
from lethe.deletion.tickets.delivery import Delivery
from lethe.deletion.tickets.errors import NotAuthenticError, SecretError, WhyNot
from lethe.deletion.tickets.event import Event
from lethe.deletion.tickets.json_body import read_json


@dataclass(frozen=True)
class Adapter:
    """How deliveries of one kind are authenticated and read."""

    authenticate: Callable[..., None]
    read: Callable[[Source, Delivery, Mapping[str, Any]], Event]


ADAPTERS: Mapping[str, Adapter] = {
    "github": Adapter(github.authenticate, github.read),
    "jira": Adapter(jira.authenticate, jira.read),
    "opendsr": Adapter(opendsr.authenticate, opendsr.read),
    "standard-webhooks": Adapter(standard.authenticate, standard.read),
    "plain": Adapter(plain.authenticate, plain.read),
}


def receive(policy: Policy, source: str, delivery: Delivery, *, tolerance: timedelta) -> Arrival:
    """What an authentic delivery means.

    Args:
        policy: says which sources there are, their secrets and their mapping.
        source: name that the delivery was addressed to.
        delivery: as it came in.
        tolerance: how far a signed time may be from now; see the adapters for who signs one.

    Raises:
        NotAuthenticError: if it is not from whom it says, or there is no such source. Its
            `reason` tells which, for the metric.
        BadTicketError: if it is authentic, and still no ticket of this kind of source.
    """
    known = _source(policy, source)
    authenticate(policy, known, delivery, tolerance=tolerance)
    delivery.check_json()
    payload = read_json(delivery.body)
    if known.kind == "jira":
        jira.check_age(delivery, payload, tolerance)
    return read_ticket(policy, known, delivery, payload)


def authenticate(
    policy: Policy, source: Source, delivery: Delivery, *, tolerance: timedelta
) -> None:
    """Believe a delivery, or not; parses nothing.

    Raises:
        NotAuthenticError: if it is not believed.
    """
    try:
        ADAPTERS[source.kind].authenticate(policy, source, delivery, tolerance=tolerance)
    except SecretError as error:
        raise NotAuthenticError(WhyNot.SECRET_MISCONFIGURED) from error


def read_ticket(
    policy: Policy, source: Source, delivery: Delivery, payload: Mapping[str, Any]
) -> Arrival:
    """What a payload means, if it is authentic; `lethe policy check` asks without a signature.

    Raises:
        BadTicketError: if it is no ticket of this kind of source.
    """
    event = ADAPTERS[source.kind].read(source, delivery, payload)
    return to_arrival(policy, source, event, delivery.received_at)


def _source(policy: Policy, name: str) -> Source:
    try:
        source = policy.source(name)
    except UnknownSourceError:
        source = None
    if source is None or source.kind not in ADAPTERS:
        raise NotAuthenticError(WhyNot.SOURCE_UNKNOWN)
    return source
