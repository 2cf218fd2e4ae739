"""What a delivery means by the policy: a request, its cancellation, or nothing to us."""

from collections.abc import Mapping
from typing import Any

from lethe.deletion.ledger.types import ArrivalKind
from lethe.deletion.policy.errors import UnreadableTicketError
from lethe.deletion.policy.expressions import ExpressionError, search
from lethe.deletion.policy.source import Source


def meaning(source: Source, payload: Mapping[str, Any]) -> ArrivalKind:
    """CANCEL if `cancel_when` is true of the payload, FILE if `file_when` is, else IGNORE.

    Cancelling goes first: where both are true, nothing is destroyed. True is what JMESPath calls
    true: neither null, false nor empty.

    Raises:
        UnreadableTicketError: if an expression cannot be applied. An event that cannot be told
            apart may ask for a deletion, so it is not ignored.
    """
    if _holds(source.cancel_when, payload, "cancel_when"):
        return ArrivalKind.CANCEL
    if _holds(source.file_when, payload, "file_when"):
        return ArrivalKind.FILE
    return ArrivalKind.IGNORE


def _holds(expression: str, payload: Mapping[str, Any], key: str) -> bool:
    try:
        found = search(expression, payload)
    except ExpressionError:
        raise UnreadableTicketError(f"{key} of the source cannot be applied") from None
    return found is not None and found is not False and found not in ("", [], {})
