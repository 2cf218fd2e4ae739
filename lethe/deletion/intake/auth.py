"""Who calls: bearer tokens of the policy file.

A token names an actor, what it may do (`submit`, `read`, `approve`, `operate`) and, where it is
meant for one, the source whose requests alone it sees. Tokens are compared by keyed digests in
constant time, every one of them, so that time tells nothing about any.

    caller = identify(policy, "the token", now)            # None: nobody's
    reader = Depends(Guard(service.policy, "read"))        # in a route: the caller, or 401 or 403
"""

import base64
import hmac
import logging
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated

from fastapi import Request, Security
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from lethe.deletion.intake.errors import ProblemError
from lethe.deletion.ledger.types import Entry
from lethe.deletion.policy.model import Policy
from lethe.deletion.tickets.errors import SecretError
from lethe.deletion.tickets.secrets import MIN_BYTES, Reference, is_valid, read_secret

log = logging.getLogger("lethe.intake")

bearer = HTTPBearer(auto_error=False, description="a token of the policy file")
Credentials = Annotated[HTTPAuthorizationCredentials | None, Security(bearer)]
# Digests are compared, not tokens, so that unequal lengths take the same time.
_SALT = secrets.token_bytes(32)


@dataclass(frozen=True)
class Caller:
    """Who calls, by the token that was shown. `source` None: it sees requests of every source."""

    name: str
    actor: str
    may: frozenset[str]
    source: str | None

    def sees(self, entry: Entry) -> bool:
        """Whether a request is one of those that this caller may know of."""
        return self.source is None or self.source == entry.request.source


@dataclass(frozen=True)
class Guard:
    """A route's dependency: the caller, if it may do this.

    Raises:
        ProblemError: 401 without a good token, 403 if the token does not allow it.
    """

    policy: Callable[[], Policy]
    permission: str

    def __call__(self, credentials: Credentials) -> Caller:
        """Find the caller by its bearer token."""
        token = credentials.credentials if credentials else ""
        return _allowed(self.policy(), token, self.permission, "Bearer")


@dataclass(frozen=True)
class PageGuard:
    """Likewise for what a browser shows, which asks for a user name and a password.

    The token is the password (RFC 7617), the user name does not matter.
    """

    policy: Callable[[], Policy]

    def __call__(self, request: Request) -> Caller:
        """Find the caller by its token, a password or a bearer's."""
        scheme, _, value = request.headers.get("authorization", "").partition(" ")
        token = value.strip()
        if scheme.lower() != "bearer":
            token = _password(token) if scheme.lower() == "basic" else ""
        return _allowed(self.policy(), token, "read", 'Basic realm="Lethe", charset="UTF-8"')


def identify(policy: Policy, token: str, now: datetime) -> Caller | None:
    """The caller a token stands for, None if it is nobody's.

    A token whose secret is not set, or not valid at this time, is nobody's.
    """
    shown = _digest(token.encode(errors="surrogatepass"))
    found: Caller | None = None
    for one in policy.tokens:
        secret = _secret(one.secret, now)
        if secret and hmac.compare_digest(_digest(secret), shown):
            found = Caller(one.name, one.actor, frozenset(one.may), one.source)
    return found


def _allowed(policy: Policy, token: str, permission: str, challenge: str) -> Caller:
    caller = identify(policy, token, datetime.now(UTC)) if token else None
    if caller is None:
        raise ProblemError(
            401,
            "not_authenticated",
            "A good token is needed. Nothing was changed. Send Authorization: Bearer TOKEN.",
            headers={"WWW-Authenticate": challenge},
        )
    if permission not in caller.may:
        raise forbidden(
            f"The token does not allow to {permission}. Nothing was changed. See `may` of the "
            f"policy's tokens."
        )
    return caller


def _password(encoded: str) -> str:
    try:
        return base64.b64decode(encoded, validate=True).decode().partition(":")[2]
    except ValueError:
        return ""


def forbidden(detail: str) -> ProblemError:
    """The caller is known and may not do this."""
    return ProblemError(403, "forbidden", detail)


def _secret(reference: Reference, now: datetime) -> bytes | None:
    if not is_valid(reference, now):
        return None
    try:
        return read_secret(reference.ref, min_bytes=MIN_BYTES)
    except SecretError as error:
        log.warning("A token of the policy cannot be used. %s", error)
        return None


def _digest(value: bytes) -> bytes:
    return hmac.digest(_SALT, value, "sha256")
