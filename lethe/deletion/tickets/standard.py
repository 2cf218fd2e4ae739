"""Any sender of Standard Webhooks 1.0.

- `webhook-id`: id of the message, the same when it is sent again.
- `webhook-timestamp`: seconds since 1970, refused beyond the tolerance in both directions.
- `webhook-signature`: `v1,<base64>` of the HMAC-SHA256 over `id.timestamp.body`; several, with
  spaces between them, while the sender changes its secret. Other versions are passed over.

A secret `whsec_<base64>` is decoded, as the specification wants it. One without that prefix is
used as it is, which is what MLflow's webhooks do.

Lethe signs what it sends with the library `standardwebhooks`. Here its `verify` does not fit: its
tolerance and clock are fixed, it takes text where signatures are over bytes, and a malformed
header ends in a ValueError. The tests hold this module to its `sign`.

Source: github.com/standard-webhooks/standard-webhooks, spec/standard-webhooks.md.
"""

import base64
import binascii
import contextlib
import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from lethe.deletion.policy.errors import UnreadableTicketError
from lethe.deletion.policy.fields import read_ticket as ticket_key
from lethe.deletion.policy.model import Policy, Source
from lethe.deletion.tickets.delivery import Delivery, delivery_id
from lethe.deletion.tickets.errors import (
    BadTicketError,
    Flaw,
    NotAuthenticError,
    SecretError,
    WhyNot,
)
from lethe.deletion.tickets.event import Event
from lethe.deletion.tickets.secrets import MIN_BYTES, resolve_secrets
from lethe.deletion.tickets.signature import check_digests

_PREFIX = b"whsec_"
_SECONDS = re.compile(r"[0-9]{1,12}")
_MAX_SIGNATURES = 16


def authenticate(
    _policy: Policy, source: Source, delivery: Delivery, *, tolerance: timedelta
) -> None:
    """Check signature and time.

    Raises:
        NotAuthenticError: if a header is missing, the time is too far away or no signature
            matches, or the source has no secret.
    """
    keys = [decode(s) for s in resolve_secrets(source.secrets, delivery.received_at)]
    signatures = delivery.header("webhook-signature")
    if signatures is None:
        raise NotAuthenticError(WhyNot.SIGNATURE_MISSING)
    key = delivery_id(delivery.header("webhook-id"))
    moment = delivery.header("webhook-timestamp")
    check_time(moment, delivery.received_at, tolerance)
    message = f"{key}.{moment}.".encode() + delivery.body
    check_digests(keys, message, _digests(signatures))


def check_time(moment: str | None, now: datetime, tolerance: timedelta) -> None:
    """Refuse seconds since 1970 that are further from now than the tolerance.

    Raises:
        NotAuthenticError: `timestamp_missing` or `timestamp_old`.
    """
    if moment is None or not _SECONDS.fullmatch(moment):
        raise NotAuthenticError(WhyNot.TIMESTAMP_MISSING)
    try:
        sent = datetime.fromtimestamp(int(moment), tz=UTC)
    except (ValueError, OverflowError, OSError):
        raise NotAuthenticError(WhyNot.TIMESTAMP_OLD) from None
    if abs(now - sent) > tolerance:
        raise NotAuthenticError(WhyNot.TIMESTAMP_OLD)


def decode(secret: bytes) -> bytes:
    """The key in a secret.

    Raises:
        SecretError: if it is no base64 after `whsec_`, or too short.
    """
    if not secret.startswith(_PREFIX):
        return secret
    encoded = secret.removeprefix(_PREFIX)
    try:
        key = base64.b64decode(encoded + b"=" * (-len(encoded) % 4), validate=True)
    except binascii.Error:
        key = b""
    if len(key) < MIN_BYTES:
        raise SecretError(
            f"A secret that begins with whsec_ does not go on with {MIN_BYTES} or more bytes in "
            "base64. Nothing was believed on its word. Copy it from the sender once more."
        )
    return key


def read(source: Source, delivery: Delivery, payload: Mapping[str, Any]) -> Event:
    """The event in a payload; its ticket is what `fields.ticket` of the source finds, if anything.

    Raises:
        NotAuthenticError: if the message has no id.
        BadTicketError: if what is found is no text.
    """
    try:
        ticket = ticket_key(source, payload)
    except UnreadableTicketError as error:
        problem = error.problem
    else:
        return Event(delivery_id(delivery.header("webhook-id")), ticket=ticket, payload=payload)
    raise BadTicketError(Flaw.SHAPE, problem)


def _digests(header: str) -> list[bytes]:
    """The well-formed digests of version 1 in a header."""
    found = []
    for signature in header.split(" ")[:_MAX_SIGNATURES]:
        version, _, encoded = signature.partition(",")
        if version != "v1":
            continue
        with contextlib.suppress(ValueError):  # of which binascii.Error is one
            digest = base64.b64decode(encoded, validate=True)
            # Base64 has several spellings of some bytes; the sender's is the canonical one.
            if base64.b64encode(digest).decode() == encoded:
                found.append(digest)
    return found
