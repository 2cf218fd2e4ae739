"""One HTTP call on behalf of a letter: bounded in time and size, verified, not led astray.

httpx bounds each read alone, and a server that gives one byte at a time could hold a thread for
days. So a call runs under `asyncio.timeout`, and all calls of a letter share one budget. Bodies are
read up to a limit. Certificates are verified always; `SSL_CERT_FILE` names other authorities.

Redirects are not followed, except, where an API documents them, to the same scheme, host and port.
"""

import asyncio
import json
import ssl
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Any
from urllib.parse import urljoin

import httpx

from lethe.deletion.answers.errors import SendError
from lethe.deletion.answers.quiet import be_quiet

SMALL = 64 * 2**10
# A page of 100 comments of GitHub has at most 100 x 64 Ki characters.
LARGE = 16 * 2**20
_AGENT = "lethe"
_MOVED = frozenset({301, 302, 307, 308})


@dataclass(frozen=True)
class Patience:
    """How long is waited, in seconds.

    Attributes:
        step: for a connection, and for each read and write.
        call: for one call in all.
        letter: for all calls of one letter.
    """

    step: float = 10.0
    call: float = 30.0
    letter: float = 60.0


PATIENCE = Patience()


@dataclass(frozen=True)
class Call:
    """A request to be made.

    Attributes:
        method: of HTTP.
        url: checked before.
        headers: of the request.
        body: its bytes.
        addresses: the only IP addresses to connect to, one after the other until there is a
            connection, without a proxy; empty for those that the host has.
        most: bytes of the answer that are read.
        redirects: how many are followed, on the same scheme, host and port only.
    """

    method: str
    url: str = field(repr=False)
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    body: bytes | None = field(default=None, repr=False)
    addresses: Sequence[str] = ()
    most: int = SMALL
    redirects: int = 0


@dataclass(frozen=True)
class Reply:
    """What a server answered. `body` may be cut off at the limit, then `whole` is False."""

    status: int
    headers: httpx.Headers = field(repr=False)
    body: bytes = field(repr=False)
    whole: bool = True

    @property
    def ok(self) -> bool:
        """Whether the status is 2xx."""
        return 200 <= self.status < 300

    def json(self) -> Any:
        """The body as JSON.

        Raises:
            SendError: if it is cut off or no JSON.
        """
        problem = "is too long"
        if self.whole:
            try:
                return json.loads(self.body)
            except (ValueError, RecursionError):
                problem = "is no JSON"
        # Outside of the handler: an exception keeps the one it was raised in, which has the body.
        raise SendError(f"HTTP {self.status}, but the answer {problem}")


class Caller:
    """Makes the calls of one letter, all of them within `patience.letter`."""

    def __init__(self, patience: Patience) -> None:
        self._patience = patience
        self._ends = time.monotonic() + patience.letter

    def make(self, call: Call) -> Reply:
        """Send a request and read the answer.

        Raises:
            SendError: if there is no answer. It is then not known whether the request arrived.
        """
        reply = self._connect(call)
        if call.redirects and reply.status in _MOVED and "location" in reply.headers:
            target = urljoin(call.url, reply.headers["location"])
            if _origin(target) == _origin(call.url):
                return self.make(replace(call, url=target, redirects=call.redirects - 1))
        return reply

    def _connect(self, call: Call) -> Reply:
        """The answer from the first address with which there is a connection."""
        problem = SendError("no address", down=True)
        for address in call.addresses or (None,):
            try:
                return self._once(call, address)
            except (httpx.ConnectError, httpx.ConnectTimeout) as error:
                problem = _unknown(error)
            # Their texts may hold the address, or a header with a secret in it.
            except (httpx.HTTPError, httpx.InvalidURL, OSError, ValueError) as error:
                problem = _unknown(error)
                break
        raise problem

    def _once(self, call: Call, address: str | None) -> Reply:
        left = min(self._patience.call, self._ends - time.monotonic())
        if left <= 0:
            raise TimeoutError
        return asyncio.run(_exchange(call, address, self._patience.step, left))


async def _exchange(call: Call, address: str | None, step: float, seconds: float) -> Reply:
    be_quiet()
    async with (
        asyncio.timeout(seconds),
        httpx.AsyncClient(
            verify=_trusted(), timeout=step, follow_redirects=False, trust_env=address is None
        ) as client,
    ):
        url, headers, extensions = _addressed(call, address)
        request = client.build_request(
            call.method, url, headers=headers, content=call.body, extensions=extensions
        )
        response = await client.send(request, stream=True)
        try:
            body = bytearray()
            async for piece in response.aiter_bytes():
                body += piece
                if len(body) > call.most:
                    break
        finally:
            await response.aclose()
    return Reply(
        response.status_code, response.headers, bytes(body[: call.most]), len(body) <= call.most
    )


def _addressed(
    call: Call, address: str | None
) -> tuple[httpx.URL, dict[str, str], dict[str, Any] | None]:
    """URL, headers and extensions of a call, to be made to this IP address if one is given."""
    url = httpx.URL(call.url)
    # Compressed, a small answer can become a large one.
    headers = {"User-Agent": _AGENT, "Accept-Encoding": "identity", **call.headers}
    if address is None:
        return url, headers, None
    headers["Host"] = url.netloc.decode("ascii")
    return url.copy_with(host=address), headers, {"sni_hostname": url.host}


def _unknown(error: Exception) -> SendError:
    return SendError(type(error).__name__, down=True)


def _origin(url: str) -> tuple[str, str, int | None]:
    parts = httpx.URL(url)
    return parts.scheme, parts.host, parts.port


@lru_cache(maxsize=1)
def _trusted() -> ssl.SSLContext:
    return httpx.create_ssl_context()
