"""GitHub issues, through a repository's or an organisation's webhook.

- `X-Hub-Signature-256: sha256=<hex>`: HMAC-SHA256 of the raw body with the webhook's secret.
- `X-GitHub-Delivery`: id of the delivery, kept by a redelivery.
- `X-GitHub-Event`: `issues` is read, everything else is ignored, `ping` too.

GitHub signs the body alone and no time, so there is no replay window: a body that comes again,
with the same delivery id or another one, finds its ticket in the ledger.

Source: docs.github.com, "Validating webhook deliveries" and "Webhook events and payloads".
"""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from lethe.deletion.policy.model import Policy, Source
from lethe.deletion.tickets.delivery import Delivery, delivery_id
from lethe.deletion.tickets.errors import BadTicketError, Flaw
from lethe.deletion.tickets.event import Event
from lethe.deletion.tickets.issue_form import read_form
from lethe.deletion.tickets.secrets import resolve_secrets
from lethe.deletion.tickets.signature import check_hex


def authenticate(
    _policy: Policy, source: Source, delivery: Delivery, *, tolerance: timedelta
) -> None:
    """Check the signature.

    Raises:
        NotAuthenticError: if it is missing or wrong, or the source has no secret.
    """
    del tolerance  # GitHub signs no time
    secrets = resolve_secrets(source.secrets, delivery.received_at)
    check_hex(secrets, delivery.body, delivery.header("x-hub-signature-256"))
    delivery_id(delivery.header("x-github-delivery"))


def read(_source: Source, delivery: Delivery, payload: Mapping[str, Any]) -> Event:
    """The event in a payload; `form` in it is what the issue form was filled in with.

    Raises:
        BadTicketError: if it is no event of an issue of a repository.
    """
    key = delivery_id(delivery.header("x-github-delivery"))
    # The header is not signed. The comment that a recorded comment event holds tells it apart.
    if delivery.header("x-github-event") != "issues" or "comment" in payload:
        return Event(key, concerns=False)
    repository, number = _issue(payload)
    return Event(
        key,
        ticket=f"{repository}#{number}",
        payload=with_form(payload),
        reply={"repo": repository, "number": number},
    )


def with_form(payload: Mapping[str, Any]) -> dict[str, Any]:
    """The payload with the issue form as `form`: keys in lower case with underscores."""
    issue = payload.get("issue")
    body = issue.get("body") if isinstance(issue, Mapping) else None
    return {**payload, "form": read_form(body) if isinstance(body, str) else {}}


def _issue(payload: Mapping[str, Any]) -> tuple[str, int]:
    match payload:
        case {
            "action": str(),
            "issue": {"number": int(number)},
            "repository": {"full_name": str(name)},
        } if not isinstance(number, bool):
            return name, number
    raise BadTicketError(
        Flaw.SHAPE, "it lacks action, issue.number or repository.full_name of an issues event"
    )
