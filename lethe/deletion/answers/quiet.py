"""Keeps the HTTP libraries from logging our calls.

httpx logs every URL, at level INFO, and httpcore hosts and headers, at DEBUG. A callback URL may
hold an identity and a webhook's URL be a secret. Calls that others make in this process, such as
Prefect's, are logged as before.
"""

import logging
from contextvars import ContextVar
from typing import Final

_LOGGERS: Final = ("httpx", "httpcore.connection", "httpcore.http11", "httpcore.proxy")
_ours: ContextVar[bool] = ContextVar("lethe_call", default=False)


def be_quiet() -> None:
    """Log nothing of the calls made in this context, such as an asyncio task, from now on."""
    _ours.set(True)
    for name in _LOGGERS:
        logging.getLogger(name).addFilter(_is_told)  # once: it is the same function


def _is_told(_record: logging.LogRecord) -> bool:
    return not _ours.get()
