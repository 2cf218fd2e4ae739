"""The plain JSON API, for a portal or a script of your own.

    POST /api/v1/requests
    Authorization: Bearer <token>
    Idempotency-Key: 5f0c2a8e-...
    Content-Type: application/json

    {"ticket": "PRIV-7", "model": "digits@champion", "dataset": "data/digits", "subjects": ["..."]}

The token is one of the policy's `[[tokens]]` that may "submit" and names this source.
`Idempotency-Key` is required: a client that does not know whether its first attempt arrived sends
the same key again (draft-ietf-httpapi-idempotency-key-header). `ticket` is optional; with it a
second delivery about the same ticket files nothing new, and a cancellation finds its request.
"""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from lethe.deletion.policy.model import Policy, Source
from lethe.deletion.tickets.bearer import check_token
from lethe.deletion.tickets.delivery import Delivery, delivery_id
from lethe.deletion.tickets.errors import BadTicketError, Flaw
from lethe.deletion.tickets.event import Event


def authenticate(
    policy: Policy, source: Source, delivery: Delivery, *, tolerance: timedelta
) -> None:
    """Check the token.

    Raises:
        NotAuthenticError: if it is missing or wrong, the source has none, or the key is missing.
    """
    del tolerance  # a token has no time
    check_token(policy, source, delivery, may="submit")
    delivery_id(_key(delivery))


def read(_source: Source, delivery: Delivery, payload: Mapping[str, Any]) -> Event:
    """The event in a payload.

    Raises:
        BadTicketError: if `ticket` is given and is no text.
    """
    ticket = payload.get("ticket")
    if ticket is not None and not isinstance(ticket, str):
        raise BadTicketError(Flaw.SHAPE, "its ticket is no text")
    return Event(delivery_id(_key(delivery)), ticket=ticket or None, payload=payload)


def _key(delivery: Delivery) -> str | None:
    key = delivery.header("idempotency-key")
    # The draft makes it a structured field, a string in quotes; most clients send it bare.
    return key[1:-1] if key and len(key) > 2 and key[0] == key[-1] == '"' else key
