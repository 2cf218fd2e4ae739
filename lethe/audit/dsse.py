"""DSSE envelopes with Ed25519: the bytes of a record, and who signed them.

    envelope = sign(payload, signer)
    file.write(envelope.line())            # one line of JSON Lines
    Envelope.parse(line).signers(keys)     # the key ids whose signatures hold

Dead Simple Signing Envelope, protocol and JSON form version 1.0.2
(https://github.com/secure-systems-lab/dsse). The signature is over the pre-authentication encoding,
so a payload can never be read as one of another type. A line has one way to be written (RFC 8785),
and any other is refused: base64 has spare bits that would otherwise let a byte change unseen.

Needs the standard library and `cryptography` alone: the stand-alone verifier reads with it.
"""

import base64
import binascii
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Protocol

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

IN_TOTO: Final = "application/vnd.in-toto+json"
CHECKPOINT: Final = "application/vnd.lethe.checkpoint+json"


class Signs(Protocol):
    """What signs: a key in a file, in the environment, or in a key management service."""

    @property
    def key_id(self) -> str:
        """SHA-256 of the public key, hex; see `lethe.audit.keyring.key_id`."""

    def sign(self, message: bytes) -> bytes:
        """The Ed25519 signature (RFC 8032), 64 bytes."""


@dataclass(frozen=True)
class Envelope:
    """A payload, its type, and signatures by key id."""

    payload: bytes
    payload_type: str
    signatures: tuple[tuple[str, bytes], ...]

    def line(self) -> bytes:
        """The envelope as canonical JSON (RFC 8785), without a line break."""
        # All values are ASCII without anything to escape, and the keys are in order.
        signed = ",".join(
            f'{{"keyid":"{key_id}","sig":"{_text(signature)}"}}'
            for key_id, signature in self.signatures
        )
        return (
            f'{{"payload":"{_text(self.payload)}","payloadType":"{self.payload_type}",'
            f'"signatures":[{signed}]}}'
        ).encode("ascii")

    @classmethod
    def parse(cls, line: bytes) -> "Envelope":
        """Read an envelope; it must be written as `line` writes it.

        Raises:
            ValueError: if it is not, with what is wrong in a few words.
        """
        try:
            found = _read(json.loads(line))
            written = found.line()
        except (ValueError, TypeError, KeyError, RecursionError):
            raise ValueError("it is not a DSSE envelope") from None
        if written != line:
            raise ValueError("it is not written as it was signed")
        return found

    def signers(self, keys: Mapping[str, Ed25519PublicKey]) -> list[str]:
        """Ids of the given keys whose signature is there and holds."""
        message = pae(self.payload_type, self.payload)
        return [
            key_id
            for key_id, signature in self.signatures
            if key_id in keys and _holds(keys[key_id], signature, message)
        ]


def sign(payload: bytes, signer: Signs, payload_type: str = IN_TOTO) -> Envelope:
    """Sign a payload."""
    signature = signer.sign(pae(payload_type, payload))
    return Envelope(payload, payload_type, ((signer.key_id, signature),))


def pae(payload_type: str, payload: bytes) -> bytes:
    """Pre-authentication encoding: what is signed (DSSE protocol, "Signature Definition")."""
    kind = payload_type.encode()
    return b"DSSEv1 %d %s %d %s" % (len(kind), kind, len(payload), payload)


def _read(found: dict[str, Any]) -> Envelope:
    signatures = tuple(
        (str(one["keyid"]), base64.b64decode(one["sig"], validate=True))
        for one in found["signatures"]
    )
    payload = base64.b64decode(found["payload"], validate=True)
    return Envelope(payload, str(found["payloadType"]), signatures)


def _holds(key: Ed25519PublicKey, signature: bytes, message: bytes) -> bool:
    try:
        key.verify(signature, message)
    except InvalidSignature:
        return False
    return True


def _text(data: bytes) -> str:
    return binascii.b2a_base64(data, newline=False).decode("ascii")
