"""Log lines: text, or one JSON object each that carries the ids of what it is about.

    configure(settings)                       # logs.format; does nothing twice
    with bound(flow_run_id="…"):              # every line from here has it
        trail.info("…", extra={"request_id": "req-…"})

With `LETHE_LOGS__FORMAT=json` each log line of this process is a JSON object, of other libraries
too. The logger `lethe.trail` then tells each move of a request once it is committed. Ids of ours
and keys of tickets are all that stands there; nothing that was sent, no reason, no actor.
docs/operations.md names the fields.
"""

import logging
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID

if TYPE_CHECKING:
    from lethe.settings import Settings

trail: Final = logging.getLogger("lethe.trail")
# Off where lines are text: the ledger has the same, and whoever reads a terminal has asked it.
trail.setLevel(logging.WARNING)
_BOUND: ContextVar[Mapping[str, Any]] = ContextVar("lethe_log_ids", default={})  # noqa: B039 (never changed)


@contextmanager
def bound(**ids: Any) -> Iterator[None]:
    """Have every line of this context carry these ids; threads begin with none."""
    token = _BOUND.set({**_BOUND.get(), **ids})
    try:
        yield
    finally:
        _BOUND.reset(token)


def configure(settings: "Settings") -> None:
    """Write JSON lines where the settings say so; else leave logging as it is."""
    if settings.logs.format != "json":
        return
    trail.setLevel(logging.INFO)
    root = logging.getLogger()
    named = root.manager.loggerDict.values()  # loggers, and placeholders
    known = [root, *(one for one in named if isinstance(one, logging.Logger))]
    for logger in known:
        for handler in [one for one in logger.handlers if _is_terminal(one)]:
            logger.removeHandler(handler)
            logger.addHandler(json_handler(handler.level))
    if not any(isinstance(one.formatter, _json_formatter()) for one in root.handlers):
        root.addHandler(json_handler())


def json_handler(level: int = logging.NOTSET) -> logging.Handler:
    """A handler that writes JSON lines to stderr."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setLevel(level)
    handler.addFilter(_add_ids)
    handler.setFormatter(json_formatter())
    return handler


def json_formatter() -> logging.Formatter:
    """Writes a record with all that was given beside its message."""
    made: logging.Formatter = _json_formatter()(
        ["levelname", "name", "message"],
        rename_fields={"levelname": "level", "name": "logger"},
        timestamp=True,
    )
    return made


def own_id(text: str) -> str | None:
    """A sender's id of a delivery, if it is a UUID: anything else may be anything."""
    try:
        return str(UUID(text))
    except ValueError:
        return None


def _add_ids(record: logging.LogRecord) -> bool:
    """Give a record the ids that are bound, beside those that it has."""
    for name, value in _BOUND.get().items():
        if not hasattr(record, name):
            setattr(record, name, value)
    return True


def _json_formatter() -> Any:
    from pythonjsonlogger.json import JsonFormatter

    return JsonFormatter


def _is_terminal(handler: logging.Handler) -> bool:
    """Whether a handler writes to the terminal, in a form of its own."""
    stream = getattr(handler, "stream", None)
    terminal = stream in (sys.stderr, sys.stdout, sys.__stderr__, sys.__stdout__)
    return stream is not None and terminal and not isinstance(handler.formatter, _json_formatter())
