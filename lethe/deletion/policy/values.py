"""Single values of a ticket, checked. They are a stranger's: no error repeats one.

Every function takes the field's name and raises `UnreadableTicketError`, which says what is wrong
with the field of this name.
"""

import re
import unicodedata
from collections.abc import Sequence
from typing import Any, Final

from lethe.deletion.policy.errors import UnreadableTicketError

MAX_TEXT: Final = 300
MAX_IDS: Final = 100_000
_MAX_BITS: Final = 128
# Control characters, halves of surrogate pairs, line and paragraph separators: PostgreSQL or
# UTF-8 cannot hold some of them, and no label or id needs the others.
_UNFIT: Final = frozenset({"Cc", "Cs", "Zl", "Zp"})
_MODEL = re.compile(r"[^\s@]+(@[^\s@]+|/[0-9]+)")
_REGULATION = re.compile(r"[a-z0-9][a-z0-9_-]{0,39}")
# No dash in front, so never an option of git.
_REV = re.compile(r"[0-9A-Za-z][0-9A-Za-z._/-]{0,99}")


def text(value: Any, name: str) -> str | None:
    """A text without blanks around it; None for null and for nothing but blanks."""
    if value is None:
        return None
    if not isinstance(value, str):
        raise UnreadableTicketError(f"{name} is no text")
    return _fit(value, name) or None


def ids(value: Any, name: str) -> tuple[str, ...] | None:
    """A list of texts or whole numbers, sorted, each once; None for null and for an empty list."""
    if value is None or value == []:
        return None
    if not isinstance(value, list):
        raise UnreadableTicketError(f"{name} is not a list of texts")
    if len(value) > MAX_IDS:
        raise UnreadableTicketError(f"{name} names too many")
    return tuple(sorted({_id(one, name) for one in value}))


def model(value: str, name: str, alias: str) -> str:
    """NAME@ALIAS or NAME/NUMBER; a name alone is given the alias."""
    if "@" not in value and not re.search(r"/[0-9]+$", value):
        value = f"{value}@{alias}"
    if not _MODEL.fullmatch(value):
        raise UnreadableTicketError(f"{name} is not NAME@ALIAS or NAME/NUMBER")
    return value


def path(value: str, name: str) -> str:
    """A path inside the repository, in its shortest form, so that equal ones are equal."""
    parts = [part for part in value.split("/") if part not in {"", "."}]
    if value.startswith("/") or "\\" in value or ".." in parts or not parts:
        raise UnreadableTicketError(f"{name} is no path inside the repository")
    return "/".join(parts)


def regulation(value: str, name: str) -> str:
    """A regulation's name, in lower case; whether there is one of this name is asked elsewhere."""
    value = value.lower()
    if not _REGULATION.fullmatch(value):
        raise UnreadableTicketError(f"{name} is none that the policy knows")
    return value


def rev(value: str, name: str) -> str:
    """A git revision: a branch, a tag or a sha, no range."""
    if not _REV.fullmatch(value) or ".." in value:
        raise UnreadableTicketError(f"{name} is no git revision")
    return value


def ground(value: str, name: str, listed: Sequence[str]) -> str:
    """One of the listed grounds, in their spelling.

    A ground stands in signed records, where free text from a ticket could be a person's name.
    """
    wanted = " ".join(value.split()).casefold()
    for one in listed:
        if one.casefold() == wanted:
            return one
    raise UnreadableTicketError(f"{name} is none that the policy lists")


def _id(value: Any, name: str) -> str:
    # A boolean is an int to Python, a fraction is no id, and no id has hundreds of digits.
    if isinstance(value, int) and not isinstance(value, bool) and value.bit_length() <= _MAX_BITS:
        return str(value)
    found = _fit(value, name) if isinstance(value, str) else ""
    if not found:
        raise UnreadableTicketError(f"{name} is not a list of texts")
    return found


def _fit(value: str, name: str) -> str:
    """The text without blanks around it, if it can be kept."""
    if len(value) > MAX_TEXT:
        raise UnreadableTicketError(f"{name} is too long")
    value = value.strip()
    if not value.isprintable() and any(unicodedata.category(sign) in _UNFIT for sign in value):
        raise UnreadableTicketError(f"{name} holds characters that cannot be kept")
    return value
