"""The public keys that records are signed with, each endorsed by the one before it.

    ring = KeyRing.parse(path.read_bytes())
    ring.problems()                          # empty when every endorsement holds
    ring.accepts(key_id, signed_at)          # whether that key might sign then

A key ring is a list. Its first entry signs itself; every later one is signed by its predecessor and
says until when that one may go on signing (the overlap of a rotation). So who knows the first key
can tell whether the rest belongs to it, and nobody can add a key without the last one. (Knowing a
later key would not do: anybody can put keys of their own before it.) Whoever checks records should
have the ring, or the id of its first key, from somewhere else than the records:
`lethe audit keys export`.

Needs the standard library, `cryptography` and `rfc8785` alone.
"""

import base64
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import rfc8785
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from lethe.audit.dsse import Signs, pae

FORMAT: Final = "https://lethe.dev/keyring/v1"
_ENDORSES: Final = "application/vnd.lethe.key+json"


@dataclass(frozen=True)
class Key:
    """A public key, 32 raw bytes in base64, and its predecessor's word for it.

    `overlap_until` is when the predecessor stops being accepted; times are UTC, RFC 3339.
    """

    public_key: str
    created_at: str
    endorsed_by: str
    overlap_until: str | None
    endorsement: str

    @property
    def public(self) -> Ed25519PublicKey:
        """The key itself."""
        return Ed25519PublicKey.from_public_bytes(base64.b64decode(self.public_key, validate=True))

    @property
    def key_id(self) -> str:
        """Its id."""
        return key_id(self.public)

    def said(self) -> bytes:
        """What the endorsement signs."""
        facts = {
            "createdAt": self.created_at,
            "endorsedBy": self.endorsed_by,
            "overlapUntil": self.overlap_until,
            "publicKey": self.public_key,
        }
        return pae(_ENDORSES, rfc8785.dumps(facts))


@dataclass(frozen=True)
class KeyRing:
    """Keys, the oldest first."""

    keys: tuple[Key, ...]

    @property
    def newest(self) -> Key:
        """The key that signs."""
        return self.keys[-1]

    def public(self) -> dict[str, Ed25519PublicKey]:
        """The keys by their ids."""
        return {key.key_id: key.public for key in self.keys}

    def accepts(self, known: str, at: datetime) -> bool:
        """Whether the key might sign at that time."""
        for number, key in enumerate(self.keys):
            if key.key_id == known:
                following = self.keys[number + 1 : number + 2]
                ends = following[0].overlap_until if following else None
                return moment(key.created_at) <= at and (ends is None or at <= moment(ends))
        return False

    def with_key(
        self, public: Ed25519PublicKey, by: Signs, *, now: datetime, overlap: timedelta
    ) -> "KeyRing":
        """The ring with one key more, endorsed by the newest so far; by itself when it is first."""
        raw = public.public_bytes(Encoding.Raw, PublicFormat.Raw)
        draft = Key(
            public_key=base64.b64encode(raw).decode(),
            created_at=stamp(now),
            endorsed_by=by.key_id,
            overlap_until=stamp(now + overlap) if self.keys else None,
            endorsement="",
        )
        signed = base64.b64encode(by.sign(draft.said())).decode()
        return KeyRing((*self.keys, Key(**{**vars(draft), "endorsement": signed})))

    def problems(self) -> list[str]:
        """What is wrong with it, in words; empty if every key is endorsed as it should be."""
        found = []
        for number, key in enumerate(self.keys):
            endorser = self.keys[max(0, number - 1)]
            if key.endorsed_by != endorser.key_id:
                found.append(f"key {key.key_id[:16]} was not endorsed by the one before it")
                continue
            try:
                endorser.public.verify(base64.b64decode(key.endorsement), key.said())
            except (InvalidSignature, ValueError):
                found.append(f"the endorsement of key {key.key_id[:16]} does not hold")
        if len(self.public()) != len(self.keys):
            found.append("a key is in the ring twice")
        return found

    def dumps(self) -> bytes:
        """The ring as canonical JSON."""
        keys = [
            {
                "keyId": key.key_id,
                "publicKey": key.public_key,
                "createdAt": key.created_at,
                "endorsedBy": key.endorsed_by,
                "overlapUntil": key.overlap_until,
                "endorsement": key.endorsement,
            }
            for key in self.keys
        ]
        return rfc8785.dumps({"format": FORMAT, "keys": keys})

    @classmethod
    def parse(cls, data: bytes) -> "KeyRing":
        """Read a ring.

        Raises:
            ValueError: if it is none, or a key's id is not its own.
        """
        try:
            found: Mapping[str, Any] = json.loads(data)
            ring = cls(tuple(_key(one) for one in found["keys"]))
            same = [one["keyId"] for one in found["keys"]] == [key.key_id for key in ring.keys]
            known = found["format"] == FORMAT and bool(ring.keys)
        except (ValueError, TypeError, KeyError, RecursionError):
            known = False
        if not known:
            raise ValueError("it is not a key ring")
        if not same:
            raise ValueError("a key's id is not that of the key")
        return ring


def key_id(public: Ed25519PublicKey) -> str:
    """SHA-256 of the key as DER SubjectPublicKeyInfo (RFC 8410), in hex."""
    der = public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return hashlib.sha256(der).hexdigest()


def stamp(at: datetime) -> str:
    """A moment as RFC 3339 in UTC with whole seconds."""
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def moment(text: str) -> datetime:
    """The moment of an RFC 3339 text; aware.

    Raises:
        ValueError: if it is none, or has no zone.
    """
    at = datetime.fromisoformat(text)
    if at.tzinfo is None:
        raise ValueError("a moment without a time zone")
    return at


def _key(one: Mapping[str, Any]) -> Key:
    key = Key(
        public_key=str(one["publicKey"]),
        created_at=str(one["createdAt"]),
        endorsed_by=str(one["endorsedBy"]),
        overlap_until=None if one["overlapUntil"] is None else str(one["overlapUntil"]),
        endorsement=str(one["endorsement"]),
    )
    for text in (key.created_at, key.overlap_until):
        if text is not None:
            moment(text)
    return key
