"""Whether bytes were signed with a secret (HMAC-SHA256, RFC 2104), or a bearer knows a token."""

import hashlib
import hmac
import re
from collections.abc import Sequence

from lethe.deletion.tickets.errors import NotAuthenticError, WhyNot

_SHA256_HEX = re.compile(r"sha256=([0-9a-f]{64})")
_BEARER = re.compile(r"[Bb]earer +([\x21-\x7e]{1,1000})")


def check_hex(secrets: Sequence[bytes], message: bytes, header: str | None) -> None:
    """Check a header of the form `sha256=<64 lower-case hexadecimal digits>`.

    Args:
        secrets: all that are valid; one must match.
        message: the bytes that were signed.
        header: its value, None if it did not come.

    Raises:
        NotAuthenticError: `signature_missing` or `signature_wrong`, the latter for another
            algorithm too.
    """
    if header is None:
        raise NotAuthenticError(WhyNot.SIGNATURE_MISSING)
    given = _SHA256_HEX.fullmatch(header)
    if given is None:
        raise NotAuthenticError(WhyNot.SIGNATURE_WRONG)
    check_digests(secrets, message, [bytes.fromhex(given[1])])


def check_digests(secrets: Sequence[bytes], message: bytes, given: Sequence[bytes]) -> None:
    """Check that one of the given digests is that of one of the secrets.

    Every pair is compared, in constant time: how long it takes says neither how much of a digest
    is right nor which secret it was made with.

    Raises:
        NotAuthenticError: `signature_wrong`.
    """
    expected = [hmac.digest(secret, message, "sha256") for secret in secrets]
    matches = [hmac.compare_digest(ours, theirs) for ours in expected for theirs in given]
    if not any(matches):
        raise NotAuthenticError(WhyNot.SIGNATURE_WRONG)


def check_bearer(tokens: Sequence[bytes], header: str | None) -> int:
    """Check an `Authorization: Bearer` header (RFC 6750, 2.1).

    Args:
        tokens: all that may do what is asked.
        header: its value, None if it did not come.

    Returns:
        The position of the token that it is.

    Raises:
        NotAuthenticError: `signature_missing` or `signature_wrong`.
    """
    if header is None:
        raise NotAuthenticError(WhyNot.SIGNATURE_MISSING)
    given = _BEARER.fullmatch(header)
    digest = hashlib.sha256(given[1].encode() if given else b"").digest()
    # Of digests, for the time of a comparison tells the length of what is compared.
    matches = [hmac.compare_digest(hashlib.sha256(token).digest(), digest) for token in tokens]
    if given is None or not any(matches):
        raise NotAuthenticError(WhyNot.SIGNATURE_WRONG)
    return matches.index(True)
