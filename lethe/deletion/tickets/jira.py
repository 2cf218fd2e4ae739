"""Jira Cloud and Data Center issues, through an administrator's webhook with a secret.

- `X-Hub-Signature: sha256=<hex>`: HMAC-SHA256 of the raw body. It comes only if a secret was set
  on the webhook; another algorithm in front of the `=` is refused.
- `x-atlassian-webhook-identifier`: id of the delivery, unchanged when Jira repeats it.
- `webhookEvent`: events of issues are read (`jira:issue_created`, `jira:issue_updated`,
  `jira:issue_deleted`), everything else is ignored.

`timestamp` in the signed body is when the event happened. Jira repeats a delivery that failed and
sends bulk changes late, so the usual five minutes would refuse Jira itself: what repeats is found
by its identifier and its ticket, and only what is older than a day is refused.

Expressions of the policy see `plain` beside the payload: every field of the issue as text, see
`lethe.deletion.tickets.jira_text`.

Source: developer.atlassian.com, "Webhooks" (Jira Cloud platform), "Secure admin webhooks".
"""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from lethe.deletion.policy.model import Policy, Source
from lethe.deletion.tickets.delivery import Delivery, delivery_id
from lethe.deletion.tickets.errors import BadTicketError, Flaw, NotAuthenticError, WhyNot
from lethe.deletion.tickets.event import Event
from lethe.deletion.tickets.jira_text import plain_fields
from lethe.deletion.tickets.secrets import resolve_secrets
from lethe.deletion.tickets.signature import check_hex

OLDEST = timedelta(days=1)


def authenticate(
    _policy: Policy, source: Source, delivery: Delivery, *, tolerance: timedelta
) -> None:
    """Check the signature; the time is in the body and is checked by `check_age` after it.

    Raises:
        NotAuthenticError: if it is missing or wrong, or the source has no secret.
    """
    del tolerance
    secrets = resolve_secrets(source.secrets, delivery.received_at)
    check_hex(secrets, delivery.body, delivery.header("x-hub-signature"))
    delivery_id(delivery.header("x-atlassian-webhook-identifier"))


def check_age(delivery: Delivery, payload: Mapping[str, Any], tolerance: timedelta) -> None:
    """Refuse an event that happened long ago, or is to happen.

    Args:
        delivery: with the time it was received.
        payload: its `timestamp` is in milliseconds since 1970; an event without one passes.
        tolerance: applied where it is more than a day.

    Raises:
        NotAuthenticError: `timestamp_old`.
    """
    moment = payload.get("timestamp")
    if moment is None:
        return
    if not isinstance(moment, int) or isinstance(moment, bool):
        raise BadTicketError(Flaw.SHAPE, "its timestamp is no number of milliseconds")
    try:
        happened = datetime.fromtimestamp(moment / 1000, tz=UTC)
    except (ValueError, OverflowError, OSError):
        raise NotAuthenticError(WhyNot.TIMESTAMP_OLD) from None
    if abs(delivery.received_at - happened) > max(tolerance, OLDEST):
        raise NotAuthenticError(WhyNot.TIMESTAMP_OLD)


def read(_source: Source, delivery: Delivery, payload: Mapping[str, Any]) -> Event:
    """The event in a payload, with its fields as text in `plain`.

    Raises:
        BadTicketError: if it is no event of an issue.
    """
    key = delivery_id(delivery.header("x-atlassian-webhook-identifier"))
    name = payload.get("webhookEvent")
    if not isinstance(name, str) or not name.startswith("jira:issue_"):
        return Event(key, concerns=False)
    match payload.get("issue"):
        case {"key": str(ticket), **issue} if ticket:
            fields = issue.get("fields")
        case _:
            raise BadTicketError(Flaw.SHAPE, "it lacks issue.key of an issue event")
    plain = plain_fields(fields) if isinstance(fields, Mapping) else {}
    return Event(key, ticket=ticket, payload={**payload, "plain": plain}, reply={"issue": ticket})
