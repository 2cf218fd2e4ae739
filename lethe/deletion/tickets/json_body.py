"""JSON of a stranger, read strictly (RFC 8259, and I-JSON of RFC 7493 where that is stricter).

Two readers of one text must not see two things in it: a key twice, NaN, a number beyond what a
float holds, half a surrogate pair and a NUL are refused, and so is nesting that only serves to
exhaust a stack.
"""

import json
import math
from typing import Any, NoReturn

from lethe.deletion.tickets.errors import BadTicketError, Flaw

# An issue event is about 10 levels deep, a document of Jira about 30.
MAX_DEPTH = 64
# GitHub sends no more; the intake service's own limit is lower.
MAX_BYTES = 25 * 2**20


def read_json(body: bytes) -> dict[str, Any]:
    """The object in a body.

    Raises:
        BadTicketError: if it is anything else.
    """
    if len(body) > MAX_BYTES:
        raise BadTicketError(Flaw.TOO_LARGE, "it is too large")
    value, error = _parse(body)
    # Raised here and not where it was met: a decoder's error keeps the document, and an exception
    # keeps the one that it was raised in.
    if error is not None:
        raise error
    if not isinstance(value, dict):
        raise BadTicketError(Flaw.NOT_AN_OBJECT, "its JSON is not an object")
    _check(value)
    return value


def _parse(body: bytes) -> tuple[Any, BadTicketError | None]:
    try:
        value = json.loads(
            body.decode(), object_pairs_hook=_object, parse_constant=_constant, parse_float=_float
        )
    except BadTicketError as error:
        return None, error
    except UnicodeDecodeError:
        return None, BadTicketError(Flaw.NOT_UTF8, "it is not UTF-8")
    except RecursionError:
        return None, _too_deep()
    except ValueError:
        return None, BadTicketError(Flaw.NOT_JSON, "it is not JSON")
    return value, None


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise BadTicketError(Flaw.REPEATED_KEY, "an object in its JSON has a key twice")
    return found


def _constant(_: str) -> NoReturn:
    raise BadTicketError(Flaw.NOT_JSON, "NaN and Infinity are not JSON")


def _float(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise BadTicketError(Flaw.NOT_JSON, "a number in it is too large")
    return number


def _check(value: dict[str, Any]) -> None:
    """Depth and texts of a tree, level by level, without recursion."""
    level: list[Any] = [value]
    for _ in range(MAX_DEPTH):
        below: list[Any] = []
        for item in level:
            if isinstance(item, dict):
                below.extend(item)
                below.extend(item.values())
            elif isinstance(item, list):
                below.extend(item)
            elif isinstance(item, str):
                _check_text(item)
        if not below:
            return
        level = below
    raise _too_deep()


def _check_text(text: str) -> None:
    if text.isascii():
        broken = "\0" in text
    else:
        broken = "\0" in text or any("\ud800" <= letter <= "\udfff" for letter in text)
    if broken:
        raise BadTicketError(Flaw.NOT_JSON, "a text in it holds a NUL or half a surrogate pair")


def _too_deep() -> BadTicketError:
    return BadTicketError(Flaw.TOO_DEEP, f"its JSON is nested deeper than {MAX_DEPTH} levels")
