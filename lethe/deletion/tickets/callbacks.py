"""Where a sender may have itself called back. A URL in a ticket is a stranger's wish.

`https` to an address that begins with one of the source's `answer.callbacks`; `http` only to this
machine, for trying things out. Without `callbacks` every public host is allowed, and a literal
address inside a private network is not. A name that leads into one is, so list what you allow.
"""

import ipaddress
import re
from collections.abc import Sequence
from urllib.parse import SplitResult, urlsplit

from lethe.deletion.tickets.errors import BadTicketError, Flaw

_LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})
_PORTS = {"https": 443, "http": 80}
_CLIMBS = re.compile(r"(^|/)(\.|%2e){1,2}(/|$)", re.IGNORECASE)


def check_callback(url: str, allowed: Sequence[str] = ()) -> None:
    """Refuse a callback URL that must not be called.

    Args:
        url: as the sender gave it.
        allowed: beginnings of addresses, up to a whole segment of the path; empty for every
            public host.

    Raises:
        BadTicketError: without the URL, which may hold an identity.
    """
    parts = _parts(url)
    if parts is None:
        raise _refusal("is not https with a host and without credentials")
    if allowed and not any(_begins(parts, urlsplit(beginning)) for beginning in allowed):
        raise _refusal("is none that the source's callbacks allow")
    if not allowed and _is_inside(parts.hostname or ""):
        raise _refusal("leads into a private network")


def _parts(url: str) -> SplitResult | None:
    """A well-formed URL of an allowed scheme in its parts, None for any other text."""
    if not url.isascii() or re.search(r"[\x00-\x20\x7f\\]", url):
        return None
    try:
        parts = urlsplit(url)
        _ = parts.port  # raises where it is no number
    except ValueError:
        return None
    clean = not parts.fragment and "@" not in parts.netloc and not _CLIMBS.search(parts.path)
    secure = parts.scheme == "https" or (parts.scheme == "http" and parts.hostname in _LOOPBACK)
    return parts if parts.hostname and clean and secure else None


def _begins(parts: SplitResult, beginning: SplitResult) -> bool:
    place, allowed = (_place(p) for p in (parts, beginning))
    folder = beginning.path.rstrip("/") + "/"
    return place == allowed and (parts.path + "/").startswith(folder)


def _place(parts: SplitResult) -> tuple[str, str, int | None]:
    return parts.scheme, (parts.hostname or "").rstrip("."), parts.port or _PORTS.get(parts.scheme)


def _is_inside(host: str) -> bool:
    try:
        address = ipaddress.ip_address(host.rstrip("."))
    except ValueError:
        # Resolvers read a lone number, and one in hexadecimal, as an address too.
        return re.fullmatch(r"\d+|0x[0-9a-f]*", host.rstrip(".").rpartition(".")[2]) is not None
    return not address.is_global and not address.is_loopback


def _refusal(what: str) -> BadTicketError:
    return BadTicketError(Flaw.SHAPE, f"one of its status_callback_urls {what}")
