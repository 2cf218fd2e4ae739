"""Around every answer: headers that browsers obey, a line in the log, a duration, an incident.

The log line has method, route template, status and time. It has no address of the caller, no path
as it was sent and no query: ids and worse stand there.
"""

import logging
import secrets
import time

from fastapi.routing import APIRoute
from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from lethe.deletion.intake.errors import incident
from lethe.deletion.intake.metrics import Metrics
from lethe.logs import bound

access = logging.getLogger("lethe.intake.access")

# For what is no page. The page sets a wider policy of its own, which stays.
_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'; base-uri 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
    "Cross-Origin-Resource-Policy": "same-origin",
    "X-Frame-Options": "DENY",
}


class Around:
    """ASGI middleware.

    Args:
        app: what answers.
        metrics: where durations go.
    """

    def __init__(self, app: ASGIApp, *, metrics: Metrics) -> None:
        self.app = app
        self.metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, and note how it went."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        started = time.perf_counter()
        status = 0
        number = secrets.token_hex(8)  # ours; what a sender calls its request may be anything

        async def with_headers(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = MutableHeaders(scope=message)
                for name, value in _HEADERS.items():
                    headers.setdefault(name, value)
                headers["X-Request-Id"] = number
            await send(message)

        with bound(http_request_id=number):
            try:
                await self.app(scope, receive, with_headers)
            except Exception as error:  # noqa: BLE001 (nothing else catches it, and the log must not quote it)
                answer = incident(error)
                if not status:
                    await answer(scope, receive, with_headers)
            finally:
                self._note(scope, status, time.perf_counter() - started)

    def _note(self, scope: Scope, status: int, seconds: float) -> None:
        route = scope.get("route")
        template = getattr(route, "path", None)
        self.metrics.answered(scope["method"], template, status, seconds)
        access.info(
            "%s %s %d %.1f ms",
            scope["method"] if isinstance(route, APIRoute) else "-",
            template or "-",
            status,
            seconds * 1000,
        )
