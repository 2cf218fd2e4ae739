"""Which keys to believe, and how far the chain goes at least.

Whoever writes a bundle writes its key ring too, so the ring proves nothing by itself. It is held to
a ring from elsewhere, or to the id of the first key: each later key is endorsed by the one before
it. The id of a later key would not do, since anybody can endorse a public key.
"""

import base64
import binascii
import re
from datetime import datetime
from functools import cached_property
from typing import Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from lethe.audit.chain import Checkpoint
from lethe.audit.keyring import KeyRing, moment
from lethe.audit.verify.report import Report

NOBODY: Final = KeyRing(())
_SHA256: Final = re.compile(r"[0-9a-f]{64}")


class Remembered(KeyRing):
    """A ring that works out its keys and their times once: it is asked for every record."""

    @cached_property
    def _public(self) -> dict[str, Ed25519PublicKey]:
        return super().public()

    @cached_property
    def _times(self) -> dict[str, tuple[datetime, datetime | None]]:
        ends = [key.overlap_until for key in self.keys[1:]]
        return {
            key.key_id: (moment(key.created_at), None if end is None else moment(end))
            for key, end in zip(self.keys, [*ends, None], strict=True)
        }

    def public(self) -> dict[str, Ed25519PublicKey]:
        """The keys by their ids."""
        return self._public

    def accepts(self, known: str, at: datetime) -> bool:
        """Whether the key might sign at that time."""
        if known not in self._times:
            return False
        begin, end = self._times[known]
        return begin <= at and (end is None or at <= end)


def trusted_ring(
    data: bytes | None, keys: KeyRing | None, key_id: str | None, report: Report
) -> KeyRing:
    """The keys to check records by; what is wrong with them is reported.

    Args:
        data: the bundle's key ring; None if it could not be read, which was reported.
        keys: a ring from elsewhere; it is believed.
        key_id: id of the first key, from elsewhere, hex.
        report: where it is told.

    Returns:
        The longer of two rings that agree; the one from elsewhere if they do not.
    """
    own = None if data is None else _read(data, report)
    if keys is None:
        if own is not None:
            _first_key(own, key_id, report)
        return own or NOBODY
    if problems := keys.problems():
        report.bad("keys", "the keys that were given", "; ".join(problems))
        return NOBODY
    if own is None:
        return keys
    shared = min(len(own.keys), len(keys.keys))
    if own.keys[:shared] != keys.keys[:shared]:
        report.bad("keys", "keyring.json", "its keys are not those that were given")
        return keys
    return own if len(own.keys) > len(keys.keys) else keys


def read_checkpoint(line: bytes, ring: KeyRing, name: str, report: Report) -> Checkpoint | None:
    """A signed checkpoint; None if it cannot be believed, which is reported."""
    try:
        found = Checkpoint.read(line, ring)
        hashes = [found.root, *([] if found.head is None else [found.head])]
        good = all(map(_SHA256.fullmatch, hashes)) and found.size >= 0
        words = "it is not a checkpoint"
    except (ValueError, TypeError, OverflowError) as error:
        good = False
        words = str(error) if type(error) is ValueError else "it is not a checkpoint"
    if not good:
        report.bad("checkpoint", name, words)
        return None
    report.good("checkpoint")
    return found


def _read(data: bytes, report: Report) -> KeyRing | None:
    try:
        ring = KeyRing.parse(data)
        problems = ring.problems() or _not_as_written(ring, data)
    except (ValueError, TypeError) as error:
        problems = [str(error) if type(error) is ValueError else "it is not a key ring"]
    if problems:
        report.bad("keys", "keyring.json", "; ".join(problems))
        return None
    report.good("keys", len(ring.keys))
    return ring


def _not_as_written(ring: KeyRing, data: bytes) -> list[str]:
    """Spare bits of base64 and of JSON must not carry a change unseen."""
    exact = all(_exact(key.endorsement) and _exact(key.public_key) for key in ring.keys)
    return [] if exact and ring.dumps() == data else ["it is not written as it was made"]


def _exact(text: str) -> bool:
    return binascii.b2a_base64(base64.b64decode(text), newline=False).decode() == text


def _first_key(own: KeyRing, key_id: str | None, report: Report) -> None:
    first = own.keys[0].key_id
    if key_id is None:
        report.skip(
            "keys",
            "the keys are the bundle's own, and whoever made it could have made them. Compare the "
            f"id of its first key with the one that the controller published: {first}, or give "
            "that one with --key-id",
        )
    elif key_id.lower() != first:
        later = any(key.key_id == key_id.lower() for key in own.keys)
        words = "is a later key's; give the first one's" if later else "is in no place of the ring"
        report.bad(
            "keys", "keyring.json", f"its first key is {first}; the id that was given {words}"
        )
