"""Where a call may go. A callback URL in a ticket is a stranger's wish; the policy's are not.

For every address: `https`, or `http` to this machine; no user, password or fragment in it. For one
from a ticket also, at the time of sending:

- it begins with one of the source's `answer.callbacks`, if there are any, as when it was filed;
- every IP address that its host has is a public one. Private, loopback, link-local (which the
  metadata services of clouds are) and otherwise reserved ones are refused, unless `callbacks`
  holds an address with that very IP address, or `localhost`, as its host;
- the call goes to the IP address that was checked, so that a name which changes its mind between
  the check and the call (DNS rebinding) gains nothing.

Source: OWASP, Server-Side Request Forgery Prevention Cheat Sheet, case 2.
"""

import ipaddress
import socket
from collections.abc import Callable, Sequence
from ipaddress import IPv4Address, IPv6Address
from urllib.parse import urlsplit

from lethe.deletion.answers.errors import SendError
from lethe.deletion.tickets.callbacks import check_callback
from lethe.deletion.tickets.errors import BadTicketError

Address = IPv4Address | IPv6Address
Resolve = Callable[[str, int], Sequence[str]]

_LOOPBACK = ("127.0.0.1", "::1")
_NAMES_OF_THIS_MACHINE = frozenset({"localhost", *_LOOPBACK})
# RFC 6052: IPv4 addresses behind a translator.
_NAT64 = ipaddress.ip_network("64:ff9b::/96")


def check_own(url: str) -> None:
    """Refuse an address of the policy that would send a secret in clear.

    Raises:
        SendError: permanent.
    """
    parts = urlsplit(url)
    local = parts.hostname in _NAMES_OF_THIS_MACHINE
    if not parts.hostname or not (parts.scheme == "https" or (parts.scheme == "http" and local)):
        raise SendError("address refused: it is not https", permanent=True)


def resolve(host: str, port: int) -> Sequence[str]:
    """Every IP address of a host, in the order to be tried."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))


def check_theirs(
    url: str, callbacks: Sequence[str], *, look_up: Resolve = resolve
) -> tuple[str, ...]:
    """The IP addresses to call for a URL of a ticket, in the order to be tried.

    Args:
        url: as the ticket gave it.
        callbacks: beginnings of addresses that the policy allows; empty for every public host.
        look_up: finds the IP addresses of a host.

    Raises:
        SendError: permanent if it must not be called; for another try if its name is not found.
    """
    try:
        check_callback(url, callbacks)
    except BadTicketError:
        raise SendError("address refused: the policy does not allow it", permanent=True) from None
    check_own(url)
    parts = urlsplit(url)
    host = parts.hostname or ""
    port = parts.port or (443 if parts.scheme == "https" else 80)
    try:
        found = [ipaddress.ip_address(text.partition("%")[0]) for text in look_up(host, port)]
    except (OSError, ValueError) as error:
        raise SendError(f"name not found: {type(error).__name__}", down=True) from None
    named = _named(callbacks)
    if not found or not all(is_public(address) or address in named for address in found):
        raise SendError("address refused: it leads into a private network", permanent=True)
    return tuple(map(str, found))


def is_public(address: Address) -> bool:
    """Whether an IP address, and one that is wrapped in it, belongs to the public network."""
    return all(a.is_global and not a.is_multicast for a in (address, *_wrapped(address)))


def _wrapped(address: Address) -> list[Address]:
    """IPv4 addresses that an IPv6 address leads to."""
    if isinstance(address, IPv4Address):
        return []
    wrapped: list[Address | None] = [address.ipv4_mapped, address.sixtofour]
    wrapped += address.teredo or ()
    if address in _NAT64:
        wrapped.append(IPv4Address(int(address) & 0xFFFFFFFF))
    return [inner for inner in wrapped if inner is not None]


def _named(callbacks: Sequence[str]) -> set[Address]:
    """IP addresses that the policy itself names."""
    named: set[Address] = set()
    for callback in callbacks:
        host = urlsplit(callback).hostname or ""
        for text in _LOOPBACK if host == "localhost" else (host,):
            try:
                named.add(ipaddress.ip_address(text))
            except ValueError:
                continue
    return named
