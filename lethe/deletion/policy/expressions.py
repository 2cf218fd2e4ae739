"""JMESPath expressions of the policy, with four functions beside JMESPath's own.

- `split(text)`: the parts between commas, semicolons and line ends. Blanks do not separate, since
  a class may be called "inner race": cut in two, it could name another class.
- `lines(text)`: the lines.
- `lower(text)`, `trim(text)`: in lower case; without blanks around it.

Each gives null for null, and `split` and `lines` leave an array as it is, which is what the
checkboxes of a form are. A literal stands in single quotes: `'digits@champion'`.

Source: jmespath.org/specification.html.
"""

import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from functools import lru_cache
from typing import Annotated, Any

import jmespath
from jmespath import functions
from jmespath.exceptions import JMESPathError
from jmespath.parser import ParsedResult
from pydantic import AfterValidator, Field

_SEPARATORS = re.compile(r"[,;\r\n]")


class _Functions(functions.Functions):
    """The functions of a policy's expressions."""

    @functions.signature({"types": ["string", "array", "null"]})
    def _func_split(self, text: str | list[Any] | None) -> list[Any] | None:
        return _parts(_SEPARATORS.split(text)) if isinstance(text, str) else text

    @functions.signature({"types": ["string", "array", "null"]})
    def _func_lines(self, text: str | list[Any] | None) -> list[Any] | None:
        return _parts(text.splitlines()) if isinstance(text, str) else text

    @functions.signature({"types": ["string", "null"]})
    def _func_lower(self, text: str | None) -> str | None:
        return None if text is None else text.lower()

    @functions.signature({"types": ["string", "null"]})
    def _func_trim(self, text: str | None) -> str | None:
        return None if text is None else text.strip()


_OPTIONS = jmespath.Options(custom_functions=_Functions())


class ExpressionError(ValueError):
    """An expression cannot be applied to a payload. It says nothing of the payload."""


def search(expression: str, payload: Mapping[str, Any]) -> Any:
    """What an expression finds in a payload, None if it finds nothing.

    Raises:
        ExpressionError: if a function met a value that it does not take.
    """
    # The library's own messages repeat values; its functions can also fail in Python's own ways.
    with suppress(JMESPathError, TypeError, ValueError, ArithmeticError, RecursionError):
        # Its functions know a dict only, no other mapping.
        return _compiled(expression).search(dict(payload), options=_OPTIONS)
    # Raised here, since an exception keeps the one that it was raised in.
    raise ExpressionError("the expression meets a value that it does not take")


def check_expression(text: str) -> str:
    """The expression, if it is one.

    Raises:
        ValueError: if it is misspelt, or calls a function that there is not.
    """
    try:
        tree = _compiled(text).parsed
    except (JMESPathError, RecursionError) as error:
        said = str(error).splitlines()[0].rstrip(":")
        message = f"is no JMESPath expression ({said}); a literal is 'text' in single quotes"
        raise ValueError(message) from None
    for name, given in _calls(tree):
        _check_call(name, given)
    return text


Expression = Annotated[str, Field(max_length=1000), AfterValidator(check_expression)]


@lru_cache(maxsize=1024)
def _compiled(expression: str) -> ParsedResult:
    return jmespath.compile(expression)


def _parts(texts: list[str]) -> list[str]:
    return [part for text in texts if (part := text.strip())]


def _calls(node: Any) -> Iterator[tuple[str, int]]:
    """Name and number of arguments of every call in a parsed expression."""
    if not isinstance(node, dict):
        return
    children = node.get("children", [])
    if node.get("type") == "function_expression":
        yield node["value"], len(children)
    for child in children:
        yield from _calls(child)


def _check_call(name: str, given: int) -> None:
    """The library itself would notice at the first ticket only."""
    known = _Functions.FUNCTION_TABLE
    if name not in known:
        message = f"calls {name}(), which is no function; there are {', '.join(sorted(known))}"
        raise ValueError(message)
    wanted = known[name]["signature"]
    more = bool(wanted) and bool(wanted[-1].get("variadic"))
    if given < len(wanted) or (given > len(wanted) and not more):
        message = f"calls {name}() with {given} arguments; it takes {len(wanted)}"
        raise ValueError(message)
