"""Bearer tokens of the policy: who may do what, of which source."""

from collections.abc import Sequence
from datetime import datetime

from lethe.deletion.policy.model import Policy, Source, Token
from lethe.deletion.tickets.delivery import Delivery
from lethe.deletion.tickets.errors import NotAuthenticError, WhyNot
from lethe.deletion.tickets.secrets import resolve_secrets
from lethe.deletion.tickets.signature import check_bearer


def check_token(policy: Policy, source: Source, delivery: Delivery, *, may: str) -> Token:
    """The token that a delivery to a source came with.

    Raises:
        NotAuthenticError: if it came with none or a wrong one, or if no token of this source may
            do so.
    """
    able = [t for t in policy.tokens if t.source == source.name and may in t.may]
    return find_token(able, delivery.header("authorization"), delivery.received_at)


def find_token(tokens: Sequence[Token], header: str | None, now: datetime) -> Token:
    """The one of some tokens that an `Authorization` header holds.

    Raises:
        NotAuthenticError: if it holds none of them, or none of them has a secret.
    """
    known: list[tuple[bytes, Token]] = []
    for token in tokens:
        try:
            known.extend((secret, token) for secret in resolve_secrets([token.secret], now))
        except NotAuthenticError:
            continue  # this one has expired, or is not set
    if not known:
        raise NotAuthenticError(WhyNot.NO_SECRET_CONFIGURED)
    return known[check_bearer([secret for secret, _ in known], header)][1]
