"""Keys of a ticket that are nearly ones that are read.

A list that a ticket does not give does not narrow what is selected. So beside `classes`, a misspelt
`subject` that was passed over would forget whole classes instead of one person's rows in them.
Where the default mapping reads a ticket that a program wrote, such a key makes it unreadable. Keys
that are about something else are passed over.
"""

from collections.abc import Mapping
from difflib import get_close_matches
from typing import Any, Final

from lethe.deletion.policy import defaults
from lethe.deletion.policy.errors import UnreadableTicketError
from lethe.deletion.policy.source import FieldMap, Source

_KNOWN: Final = (*defaults.FIELDS["plain"], "ticket")
_LONGEST: Final = max(map(len, _KNOWN)) + 2
# Comparing takes time, and no program means to send more.
_MOST: Final = 100
_NEAR: Final = 0.8
_DEFAULT: Final = {
    kind: FieldMap.model_validate(defaults.FIELDS[kind]) for kind in ("plain", "standard-webhooks")
}


def check_keys(source: Source, payload: Mapping[str, Any]) -> None:
    """Refuse a ticket with a key that is nearly one of those that are read.

    Raises:
        UnreadableTicketError: without the key, which is the sender's.
    """
    if source.fields != _DEFAULT.get(source.kind):
        return
    found = payload if source.kind == "plain" else payload.get("data")
    if not isinstance(found, Mapping):
        return
    others = [key for key in found if key not in _KNOWN]
    if len(others) > _MOST:
        raise UnreadableTicketError("it has too many keys")
    for key in others:
        near = len(key) <= _LONGEST and get_close_matches(key.lower(), _KNOWN, 1, _NEAR)
        if near:
            raise UnreadableTicketError(f"a key is nearly {near[0]}, and is not")
