"""What an adapter reads out of an authentic delivery, before the policy is asked what it means."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Event:
    """An authentic delivery, in the form that the policy's expressions read.

    Attributes:
        delivery_id: the sender's own id of the delivery, equal when it repeats it.
        ticket: key of the ticket, None if the sender has none.
        payload: what the expressions of the policy see.
        reply: where the answer goes.
        concerns: False for an event that is about no ticket at all, such as GitHub's ping.
    """

    delivery_id: str
    ticket: str | None = None
    payload: Mapping[str, Any] = field(default_factory=dict, repr=False)
    reply: Mapping[str, Any] = field(default_factory=dict, repr=False)
    concerns: bool = True
