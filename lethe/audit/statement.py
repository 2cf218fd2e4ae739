"""The statement of what was done: one JSON document per successor, or per refusal.

    statement = Statement.of(predicate)
    path.write_bytes(canonical_bytes(statement))
    digest(statement)  # what a later statement will be chained to

The outside is an in-toto Statement v1 (https://github.com/in-toto/attestation, spec/v1/statement),
so that existing tools can carry and verify it; the inside is Lethe's own predicate. The bytes are
canonical by RFC 8785, so that one statement has one digest on every machine.

It says who asked, what ran, on which hashes, with which measured result. It holds no name, address,
sample, id of a sample or of a person, ticket text or credential, and its types leave no room for
them: see `lethe.audit.predicate`.
"""

import hashlib
from typing import Annotated, Any, Final, Literal, Self

import rfc8785
from pydantic import Field, model_validator

from lethe.audit.dsse import Envelope
from lethe.audit.fields import Record, Sha256
from lethe.audit.predicate import Predicate

STATEMENT_TYPE: Final = "https://in-toto.io/Statement/v1"
PREDICATE_TYPE: Final = "https://lethe.dev/statement/v0.4"
BEFORE_CHOICE: Final = "https://lethe.dev/statement/v0.3"  # still read, no longer written

FLOAT_DIGITS = 6
LARGEST_INTEGER = 2**53 - 1
LARGEST_PLAIN = 1e21  # from here on RFC 8785 writes an exponent


class SubjectDigest(Record):
    """Digests of a subject by algorithm."""

    sha256: Sha256


class Subject(Record):
    """A model version that the statement is about; the digest is that of its weights."""

    name: str = Field(pattern=r"^models:/[^@\r\n]+$", max_length=300)
    digest: SubjectDigest


class Statement(Record):
    """An in-toto statement about the successor; about the parent, which stays, when refused."""

    type_: Literal["https://in-toto.io/Statement/v1"] = Field(default=STATEMENT_TYPE, alias="_type")
    subject: Annotated[tuple[Subject, ...], Field(min_length=1, max_length=1)]
    predicate_type: Literal[
        "https://lethe.dev/statement/v0.3", "https://lethe.dev/statement/v0.4"
    ] = Field(default=PREDICATE_TYPE, alias="predicateType")
    predicate: Predicate

    @classmethod
    def of(cls, predicate: Predicate) -> "Statement":
        """The statement that carries a predicate."""
        return cls(subject=(_subject(predicate),), predicate=predicate)

    @classmethod
    def of_line(cls, line: bytes) -> "Statement":
        """The statement in an envelope; no signature is checked.

        Raises:
            ValueError: if it is none.
        """
        return cls.model_validate_json(Envelope.parse(line).payload)

    @model_validator(mode="after")
    def _about_its_subject(self) -> Self:
        if self.subject != (_subject(self.predicate),):
            message = "subject must be the successor, or the parent when there is no successor"
            raise ValueError(message)
        if self.predicate_type == BEFORE_CHOICE and self.predicate.choice is not None:
            message = f"{BEFORE_CHOICE} has no choice"
            raise ValueError(message)
        return self


def _subject(predicate: Predicate) -> Subject:
    version = predicate.successor or predicate.parent
    return Subject(name=version.uri, digest=SubjectDigest(sha256=version.weights_sha256))


def canonical_bytes(statement: Statement) -> bytes:
    """The statement as RFC 8785 JSON, UTF-8: sorted keys, no spaces, one way to write a number.

    Floats are rounded to six significant digits, so that noise in the last bits does not count;
    whole numbers beyond 2**53 are written as strings, since JSON readers would round them. What an
    older predicate did not have is not written, so that its digest stays what it was.
    """
    plain = statement.model_dump(mode="json", by_alias=True)
    if statement.predicate_type == BEFORE_CHOICE:
        del plain["predicate"]["choice"]
    return rfc8785.dumps(_writable(plain))


def digest(statement: Statement) -> str:
    """SHA-256 of the canonical bytes, in hex."""
    return hashlib.sha256(canonical_bytes(statement)).hexdigest()


def _writable(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _writable(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_writable(item) for item in value]
    if isinstance(value, float):
        value = float(f"{value:.{FLOAT_DIGITS}g}")
        # RFC 8785 writes a whole float without a point: it would be read back as an integer.
        value = int(value) if value.is_integer() and abs(value) < LARGEST_PLAIN else value
    if isinstance(value, int) and abs(value) > LARGEST_INTEGER:
        return str(value)
    return value
