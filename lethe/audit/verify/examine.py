"""What can be told of a record without any other: its form, signature and content.

    found = examine(line, ring)
    found.link                 # its place, as it says; None where it cannot be read
    found.problems             # why it cannot be read, or what is wrong with its signature
    found.content              # what is wrong with what it says
    found.statement()          # the statement itself

Nearly all of the work is here, and it may be done in any order, and in other processes
(`lethe.audit.verify.shared`): `packed` and `unpacked` carry it over.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

from lethe.audit.chain import Link, read_record, signature_problems
from lethe.audit.keyring import KeyRing
from lethe.audit.verify.content import Said, content_problems, said_of
from lethe.audit.verify.report import printable


@dataclass(frozen=True)
class Examined:
    """What was found; `content`, `said` and `statement` are only there where it can be read.

    Attributes:
        link: its place in the chain; None where it cannot be read.
        problems: why not, one text; else what is wrong with the signature.
        content: what is wrong with what it says.
        said: what it says of its run, for `lethe.audit.verify.content.Runs`.
        statement: gives the statement; few records need it once they are examined.
    """

    link: Link | None
    problems: list[str]
    content: list[str]
    said: list[Said]
    statement: Callable[[], dict[str, Any]]


def examine(line: bytes, ring: KeyRing) -> Examined:
    """Examine one record.

    Args:
        line: the record, without line break.
        ring: the keys that are trusted; one that remembers is faster.
    """
    try:
        envelope, statement, link = read_record(line)
    except ValueError as error:
        return Examined(None, [str(error)], [], [], dict)
    return Examined(
        link,
        signature_problems(envelope, link, ring),
        content_problems(statement, link.digest),
        said_of(statement),
        lambda: statement,
    )


def packed(found: Examined) -> list[Any]:
    """What was found as values for JSON, without the statement.

    Texts are made `printable` here as the report would do it: JSON joins halves of a character
    that came singly. A key's id is not needed any more, and of `previous` only whether it is the
    text that it should be.
    """
    link = found.link
    place = None
    if link is not None:
        previous = link.previous
        known = previous is None or type(previous) is str
        place = [link.sequence, link.digest, previous if known else "?", link.signed_at]
    said = [[about.hex(), value.hex(), words] for about, value, words in found.said]
    texts = [[printable(words) for words in some] for some in (found.problems, found.content)]
    return [place, *texts, said]


def unpacked(values: list[Any], line: bytes) -> Examined:
    """What `packed` packed, of this line.

    Raises:
        ValueError: if it is not that, or TypeError.
    """
    place, problems, content, said = values
    link = None
    if place is not None:
        sequence, digest, previous, signed_at = place
        link = Link(sequence, digest, previous, "", signed_at)
    told = [(bytes.fromhex(about), bytes.fromhex(value), words) for about, value, words in said]
    return Examined(link, problems, content, told, partial(_statement, line))


def _statement(line: bytes) -> dict[str, Any]:
    return read_record(line)[1]
