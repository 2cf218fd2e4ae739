r"""The chain of records: every statement names the digest of the one before it.

    check = ChainCheck(ring, checkpoint)
    for line in file:
        check.take(line.rstrip(b"\n"))     # problems as they are found
    check.end()                            # is the end where the signed checkpoint says it is?

A record is a DSSE envelope around a statement, on one line; the statement's `predicate.record` says
its place (`sequence`, from 1), the digest of the one before (`previous`), who signs (`key_id`) and
when. A change of any byte breaks a signature; leaving one out, putting one in or swapping two
breaks a link; cutting off the end is seen by a checkpoint, which says how many records there are,
the digest of the last, and the root of the Merkle tree (RFC 6962) over all digests. Memory stays
the same however many records there are.

Needs the standard library, `cryptography` and `rfc8785` alone.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import rfc8785

from lethe.audit.dsse import CHECKPOINT, IN_TOTO, Envelope, Signs, sign
from lethe.audit.keyring import KeyRing, moment
from lethe.audit.merkle import CompactRange

FORMAT: Final = "https://lethe.dev/checkpoint/v1"


@dataclass(frozen=True)
class Link:
    """What the chain says of one record; `previous` is None for the first."""

    sequence: int
    digest: str
    previous: str | None
    key_id: str
    signed_at: str

    @property
    def name(self) -> str:
        """How messages call it."""
        return f"record {self.sequence} (sha256 {self.digest[:16]})"


@dataclass(frozen=True)
class Checkpoint:
    """How far the chain goes: number of records, digest of the last, root over all digests."""

    size: int
    head: str | None
    root: str
    signed_at: str
    key_id: str

    def payload(self) -> bytes:
        """What is signed."""
        return rfc8785.dumps(
            {
                "format": FORMAT,
                "size": self.size,
                "head": self.head,
                "root": self.root,
                "signedAt": self.signed_at,
                "keyId": self.key_id,
            }
        )

    def signed(self, signer: Signs) -> Envelope:
        """The checkpoint in an envelope of its own type."""
        return sign(self.payload(), signer, CHECKPOINT)

    @classmethod
    def read(cls, line: bytes, ring: KeyRing) -> "Checkpoint":
        """Read a signed checkpoint.

        Raises:
            ValueError: if it is none, or the signature does not hold.
        """
        envelope = Envelope.parse(line)
        if envelope.payload_type != CHECKPOINT:
            raise ValueError("it is not a checkpoint")
        try:
            found = json.loads(envelope.payload)
            made = cls(
                int(found["size"]), found["head"], str(found["root"]), found["signedAt"],
                found["keyId"],
            )  # fmt: skip
            written = made.payload()
        except (ValueError, TypeError, KeyError, RecursionError):
            raise ValueError("it is not a checkpoint") from None
        if written != envelope.payload:
            raise ValueError("it is not a checkpoint")
        check_signer(envelope, made.key_id, made.signed_at, ring)
        return made


def check_signer(envelope: Envelope, key_id: str, signed_at: str, ring: KeyRing) -> None:
    """See that an envelope has one signature, by the key it names, which might sign then.

    Raises:
        ValueError: if not, with the reason.
    """
    if [known for known, _ in envelope.signatures] != [key_id]:
        raise ValueError("it is not signed by the key that it names")
    if key_id not in ring.public():
        raise ValueError(f"its key {key_id[:16]} is not in the key ring")
    if envelope.signers(ring.public()) != [key_id]:
        raise ValueError("its signature does not hold: it was changed after it was signed")
    if not ring.accepts(key_id, moment(signed_at)):
        raise ValueError(f"key {key_id[:16]} was not to sign at {signed_at}")


def signature_problems(envelope: Envelope, link: Link, ring: KeyRing) -> list[str]:
    """What is wrong with a record's signature, in words; no other record is needed for it."""
    try:
        check_signer(envelope, link.key_id, link.signed_at, ring)
    except ValueError as error:
        return [str(error)]
    return []


def read_link(envelope: Envelope, statement: Mapping[str, Any]) -> Link:
    """A statement's place in the chain.

    Raises:
        ValueError: if it has none.
    """
    try:
        record = statement["predicate"]["record"]
        link = Link(
            sequence=record["sequence"],
            digest=hashlib.sha256(envelope.payload).hexdigest(),
            previous=record["previous"],
            key_id=record["key_id"],
            signed_at=record["signed_at"],
        )
        moment(link.signed_at)
        good = type(link.sequence) is int and link.sequence > 0
    except (ValueError, TypeError, KeyError):
        good = False
    if not good:
        raise ValueError("it does not say its place in the chain")
    return link


class ChainCheck:
    """Checks records in their order, holding nothing but the last one's place.

    Args:
        ring: the keys that are trusted.
        checkpoint: how far the chain goes at least, signed; None where there is none.
    """

    def __init__(self, ring: KeyRing, checkpoint: Checkpoint | None = None) -> None:
        self._ring = ring
        self._checkpoint = checkpoint
        self.last: Link | None = None
        self.tree = CompactRange()

    def take(self, line: bytes) -> tuple[Link | None, dict[str, Any] | None, list[str]]:
        """The next record: its place, its statement, and what is wrong with it in words.

        After a record that cannot be read the next one is still held to the last that could.
        """
        try:
            envelope, statement, link = read_record(line)
        except ValueError as error:
            return None, None, [f"record {self.expected}: {error}"]
        problems = self.follow(link, signature_problems(envelope, link, self._ring))
        return link, statement, [f"{link.name}: {words}" for words in problems]

    @property
    def expected(self) -> int:
        """The number that the next record should have."""
        return 1 if self.last is None else self.last.sequence + 1

    def follow(self, link: Link, signature: list[str]) -> list[str]:
        """The next record, where its signature was checked already.

        Args:
            link: its place.
            signature: what `signature_problems` found.

        Returns:
            What is wrong with it, these words first, without its name.
        """
        found = [*signature]
        if link.sequence != self.expected:
            found.append(f"it stands where record {self.expected} belongs")
        if link.previous != (None if self.last is None else self.last.digest):
            found.append("it does not follow the record before it")
        self.last = link
        self.tree = self.tree.append(bytes.fromhex(link.digest))
        return found + self._against_checkpoint(link)

    def end(self) -> list[str]:
        """What is wrong with where the chain ends."""
        size = 0 if self.last is None else self.last.sequence
        if self._checkpoint is None or size >= self._checkpoint.size:
            return []
        said = f"its checkpoint of {self._checkpoint.signed_at} says {self._checkpoint.size}"
        return [f"record {size} is the last one, but {said}: what came after it is missing"]

    def _against_checkpoint(self, link: Link) -> list[str]:
        known = self._checkpoint
        if known is None or link.sequence != known.size:
            return []
        if link.digest != known.head:
            return ["it is not the one that the checkpoint names as the last"]
        if self.tree.root().hex() != known.root:
            return ["the records up to here are not those that the checkpoint covers"]
        return []


def read_record(line: bytes) -> tuple[Envelope, dict[str, Any], Link]:
    """A record's envelope, statement and place; no signature is checked.

    Raises:
        ValueError: if it is no record.
    """
    envelope = Envelope.parse(line)
    if envelope.payload_type != IN_TOTO:
        raise ValueError("it is not a statement")
    try:
        statement = json.loads(envelope.payload)
    except (ValueError, RecursionError):
        raise ValueError("it is not a statement") from None
    return envelope, statement, read_link(envelope, statement)
