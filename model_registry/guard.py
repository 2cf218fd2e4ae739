"""Credentials for everything that a server answers, its health alone excepted.

MLflow's basic-auth app and Prefect's server hand out their web pages, and MLflow its facts about
itself, to whoever asks. Behind this they do not: a browser asks for user and password once.

    guarded = Guard(app, realm="mlflow", open_paths={"/health"}, check=check)
"""

import base64
import hashlib
import time
from collections.abc import Awaitable, Callable, Collection, MutableMapping
from typing import Any

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]
Check = Callable[[str, str], Awaitable[bool]]

# How long a password that was right is not looked up again; what the server behind this protects
# itself, it checks itself each time.
BELIEVED_SECONDS = 30.0


class Guard:
    """An ASGI application in front of another.

    Args:
        app: what is guarded.
        realm: shown by browsers that ask for user and password.
        open_paths: paths that GET and HEAD may have without credentials, exactly.
        check: whether user and password are right.
        sockets: let WebSockets through, where the application asks for credentials inside them.
    """

    def __init__(
        self,
        app: App,
        *,
        realm: str,
        open_paths: Collection[str],
        check: Check,
        sockets: bool = False,
    ) -> None:
        self._app = app
        self._realm = realm
        self._open = frozenset(open_paths)
        self._check = check
        self._sockets = sockets
        self._believed: dict[bytes, float] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on what may pass; 401 for the rest."""
        if scope["type"] == "lifespan" or await self._may_pass(scope):
            await self._app(scope, receive, send)
        elif scope["type"] == "websocket":
            await receive()
            await send({"type": "websocket.close", "code": 1008})
        else:
            await _refuse(send, self._realm)

    async def _may_pass(self, scope: Scope) -> bool:
        if scope["type"] == "websocket" and self._sockets:
            return True
        is_read = scope.get("method") in {"GET", "HEAD"}
        if is_read and scope["path"] in self._open:
            return True
        shown = _credentials(scope)
        return shown is not None and await self._is_right(*shown)

    async def _is_right(self, user: str, word: str) -> bool:
        key = hashlib.sha256(f"{user}:{word}".encode()).digest()
        if self._believed.get(key, 0.0) > time.monotonic():
            return True
        if not await self._check(user, word):
            self._believed.pop(key, None)
            return False
        self._believed = {k: t for k, t in self._believed.items() if t > time.monotonic()}
        self._believed[key] = time.monotonic() + BELIEVED_SECONDS
        return True


def _credentials(scope: Scope) -> tuple[str, str] | None:
    """User and password of HTTP's basic scheme (RFC 7617)."""
    found = [value for name, value in scope["headers"] if name == b"authorization"]
    scheme, _, encoded = found[0].partition(b" ") if len(found) == 1 else (b"", b"", b"")
    if scheme.lower() != b"basic":
        return None
    try:
        user, colon, word = base64.b64decode(encoded.strip(), validate=True).decode().partition(":")
    except ValueError:
        return None
    return (user, word) if colon else None


async def _refuse(send: Send, realm: str) -> None:
    body = b"Credentials are needed."
    headers = [
        (b"content-type", b"text/plain; charset=utf-8"),
        (b"content-length", str(len(body)).encode()),
        (b"www-authenticate", f'Basic realm="{realm}", charset="UTF-8"'.encode()),
        (b"cache-control", b"no-store"),
    ]
    await send({"type": "http.response.start", "status": 401, "headers": headers})
    await send({"type": "http.response.body", "body": body})
