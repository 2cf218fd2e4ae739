"""What was checked of a record, and what came of it. Standard library only."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Check:
    """One thing that was looked at.

    Attributes:
        what: the kind of check, a few words, such as `signature` or `weights`.
        record: what it is about, as messages call it; empty for the whole trail.
        result: `ok`, `wrong`, or `not checked` where it could not be looked at.
        words: what is wrong, or why it could not be checked; empty when all is well.
    """

    what: str
    record: str
    result: Literal["ok", "wrong", "not checked"]
    words: str = ""


def ok(what: str, record: str = "") -> Check:
    """It is as it was recorded."""
    return Check(what, record, "ok")


def wrong(what: str, record: str, words: str) -> Check:
    """It is not as it was recorded."""
    return Check(what, record, "wrong", words)


def not_checked(what: str, record: str, words: str) -> Check:
    """It could not be looked at."""
    return Check(what, record, "not checked", words)
