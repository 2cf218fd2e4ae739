"""Bodies: whole, small and in time, before anything looks at them.

A body is read up to the limit, whatever Content-Length promises, and handed on in one piece. What
is longer ends with 413, what does not arrive in time with 408, and what is compressed with 415:
signatures are over the bytes that were sent, and a small archive can hold a large body.
"""

import asyncio
from datetime import timedelta

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from lethe.deletion.intake.errors import ProblemError

IN_TIME = timedelta(seconds=20)


class BodyLimit:
    """ASGI middleware.

    Args:
        app: what is limited.
        limit: most bytes of a body.
        in_time: how long a body may take to arrive.
    """

    def __init__(self, app: ASGIApp, *, limit: int, in_time: timedelta = IN_TIME) -> None:
        self.app = app
        self.limit = limit
        self.in_time = in_time.total_seconds()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Read the body, then hand over."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        try:
            body = await self._read(Headers(scope=scope), receive)
        except ProblemError as error:
            await error.response()(scope, receive, send)
            return
        if body is not None:
            await self.app(scope, _once(body, receive), send)

    async def _read(self, headers: Headers, receive: Receive) -> bytes | None:
        """The body; None if the sender went away."""
        if headers.get("content-encoding", "identity").strip().lower() != "identity":
            raise ProblemError(
                415,
                "compressed",
                "Compressed bodies are not read. Nothing was kept. Send it uncompressed.",
                headers={"Accept-Encoding": "identity"},
            )
        promised = headers.get("content-length", "0")
        # The server has refused what is no number; be sure all the same.
        if not promised.isascii() or not promised.isdigit() or len(promised) > 18:
            raise self._too_large()
        if int(promised) > self.limit:
            raise self._too_large()
        try:
            async with asyncio.timeout(self.in_time):
                return await self._receive(receive)
        except TimeoutError:
            raise ProblemError(
                408,
                "too_slow",
                "The body did not arrive in time. Nothing was kept.",
                headers={"Connection": "close"},
            ) from None

    async def _receive(self, receive: Receive) -> bytes | None:
        body = bytearray()
        while True:
            message = await receive()
            if message["type"] != "http.request":
                return None
            body += message.get("body", b"")
            if len(body) > self.limit:
                raise self._too_large()
            if not message.get("more_body", False):
                return bytes(body)

    def _too_large(self) -> ProblemError:
        return ProblemError(
            413,
            "too_large",
            f"The body is larger than {self.limit} bytes. Nothing was kept. Send less, or raise "
            f"the setting intake.body_limit_kib.",
            headers={"Connection": "close"},
        )


def _once(body: bytes, receive: Receive) -> Receive:
    """A body that was read, as one message; after it what the server says, such as a disconnect."""
    given = False

    async def replay() -> Message:
        nonlocal given
        if given:
            return await receive()
        given = True
        return {"type": "http.request", "body": body, "more_body": False}

    return replay
