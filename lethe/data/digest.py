"""A keyed digest of a set of ids, in any order, in constant memory."""

import hmac
from collections.abc import Iterable

_MODULUS = 1 << 256


def subject_fingerprint(key: bytes, subject: str) -> str:
    """What a record names a person by, 64 hexadecimal digits; nobody makes it without the key.

    Raises:
        ValueError: if the key is empty, which would make it a plain hash of the id.
    """
    if not key:
        raise ValueError("an empty key would make the fingerprint a plain hash of the id")
    return hmac.digest(key, b"lethe.subject:" + subject.encode(), "sha256").hex()


class SetDigest:
    """Digest of ids that does not depend on their order.

    Every id becomes a 256-bit number by HMAC-SHA256 under the key; the numbers are added modulo
    2**256, and the digest is the HMAC of the sum and the count. So one number and one count are
    all that is kept, whatever the size of the set. Without the key nobody can test whether an id
    is in the set, nor find another set with the same digest (adding hashes is only safe while the
    key is secret: Bellare and Micciancio, Eurocrypt 1997).
    """

    def __init__(self, key: bytes) -> None:
        if not key:
            message = "an empty key would make the digest a plain hash of ids"
            raise ValueError(message)
        self._key = key
        self._sum = 0
        self._count = 0

    def update(self, ids: Iterable[str]) -> None:
        """Add ids; one that comes twice counts twice."""
        key, total, count = self._key, self._sum, self._count
        for one in ids:
            digest = hmac.digest(key, b"lethe.id:" + one.encode(), "sha256")
            total += int.from_bytes(digest, "big")
            count += 1
        self._sum, self._count = total % _MODULUS, count

    def hexdigest(self) -> str:
        """The digest of everything added so far, 64 hexadecimal digits."""
        text = b"lethe.set:%d:" % self._count + self._sum.to_bytes(32, "big")
        return hmac.digest(self._key, text, "sha256").hex()
