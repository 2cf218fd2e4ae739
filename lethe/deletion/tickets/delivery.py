"""One delivery as it came in: headers, raw bytes, the time. Nothing in it is believed yet.

    delivery = Delivery(request.headers, await request.body(), datetime.now(UTC))

The body stays the bytes that were received: signatures are over bytes, and JSON that was read and
written again has others.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property

from lethe.deletion.tickets.errors import BadTicketError, Flaw, NotAuthenticError, WhyNot

# Ids that senders make: GUIDs, numbers, "msg_2KW...". No @ and no spaces, so nobody's address.
_DELIVERY_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:+/=-]{0,199}")


@dataclass(frozen=True)
class Delivery:
    """What a sender posted. Its repr shows neither headers nor body.

    Args:
        headers: any mapping of names to values; one whose `items()` repeats a name, such as
            Starlette's, keeps the repetition.
        body: raw bytes.
        received_at: when, with a time zone.
    """

    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(repr=False)
    received_at: datetime = field(default_factory=lambda: datetime.now(UTC))

    @cached_property
    def _values(self) -> dict[str, list[str]]:
        values: dict[str, list[str]] = {}
        for name, value in self.headers.items():
            values.setdefault(name.lower(), []).append(value)
        return values

    def header(self, name: str) -> str | None:
        """The value of a header, whatever the case of its name; None if it is absent or empty.

        Raises:
            NotAuthenticError: if it came more than once. A proxy and this service could each
                believe another one of them.
        """
        values = self._values.get(name.lower(), [])
        if len(values) > 1:
            raise NotAuthenticError(WhyNot.HEADER_REPEATED)
        return (values[0].strip() or None) if values else None

    def check_json(self) -> None:
        """Refuse a content type other than JSON.

        Raises:
            BadTicketError: such as for a form, which GitHub sends unless told otherwise.
        """
        kind = (self.header("content-type") or "").partition(";")[0].strip().lower()
        if kind != "application/json" and not kind.endswith("+json"):
            raise BadTicketError(
                Flaw.CONTENT_TYPE, "its content type must be application/json, set in the sender"
            )


def delivery_id(text: str | None) -> str:
    """A sender's own id of a delivery, checked.

    Raises:
        NotAuthenticError: if there is none, or it is none that could be shown.
    """
    if text is None:
        raise NotAuthenticError(WhyNot.DELIVERY_ID_MISSING)
    if not _DELIVERY_ID.fullmatch(text):
        raise NotAuthenticError(WhyNot.DELIVERY_ID_WRONG)
    return text
