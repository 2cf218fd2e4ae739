"""Secrets of the policy at the moment of sending, and the mark by which our comments are known."""

import hmac
from datetime import UTC, datetime

from lethe.deletion.answers.errors import SendError
from lethe.deletion.answers.statuses import SLOWLY
from lethe.deletion.policy.errors import UnknownSourceError
from lethe.deletion.policy.model import Answer, Policy, SecretRef
from lethe.deletion.tickets.errors import SecretError
from lethe.deletion.tickets.secrets import is_valid, read_secret


def utc_now() -> datetime:
    """The time."""
    return datetime.now(UTC)


def answer_of(policy: Policy, source: str) -> Answer:
    """How a source is answered now.

    Raises:
        SendError: if the policy has the source no more; it may come back.
    """
    try:
        return policy.source(source).answer
    except UnknownSourceError:
        raise SendError("the policy has no such source", retry_after=SLOWLY) from None


def secret(ref: SecretRef | None, now: datetime) -> bytes:
    """A secret that the policy refers to.

    Raises:
        SendError: if it is not there, or must not be used; somebody may be replacing it.
    """
    found = None
    if ref is not None and is_valid(ref, now):
        try:
            found = read_secret(ref.ref)
        except SecretError:
            found = None
    if found is None:
        raise SendError("a secret is not set or not usable", retry_after=SLOWLY, down=True)
    return found


def header_text(value: bytes) -> str:
    """A secret as it stands in a header.

    Raises:
        SendError: if it cannot stand there.
    """
    if not value.isascii() or any(byte < 0x21 or byte == 0x7F for byte in value):
        raise SendError("a secret does not fit into a header", retry_after=SLOWLY, down=True)
    return value.decode("ascii")


def mark(record_key: bytes, letter_key: str) -> str:
    """What our comment carries, so that it is found before it is written a second time.

    Keyed: a stranger who guesses the key of a letter cannot put a comment with its mark in front of
    ours and so keep ours away.
    """
    return hmac.new(record_key, b"lethe answer\0" + letter_key.encode(), "sha256").hexdigest()[:32]
