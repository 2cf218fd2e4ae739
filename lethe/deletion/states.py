"""The life of a deletion request: its states, and the one table of allowed moves.

received -> (duplicate | rejected) -> awaiting_approval -> approved -> (held) -> in_progress
-> (refused | failed) -> registered -> promoted -> erasing -> completed | partial;
cancelled from any state before in_progress. Back to approved leads a second try of what was refused
or failed, and a successor that came to stand beside what is served.
"""

from enum import StrEnum
from types import MappingProxyType

from lethe.errors import RequestError


class State(StrEnum):
    """Where a request stands."""

    RECEIVED = "received"
    DUPLICATE = "duplicate"
    REJECTED = "rejected"
    AWAITING_APPROVAL = "awaiting_approval"
    APPROVED = "approved"
    HELD = "held"
    IN_PROGRESS = "in_progress"
    REFUSED = "refused"
    FAILED = "failed"
    REGISTERED = "registered"
    PROMOTED = "promoted"
    ERASING = "erasing"
    COMPLETED = "completed"
    PARTIAL = "partial"
    CANCELLED = "cancelled"


# Every move there is. What is not here does not happen.
MOVES = MappingProxyType(
    {
        State.RECEIVED: frozenset(
            {
                State.DUPLICATE,
                State.REJECTED,
                State.AWAITING_APPROVAL,
                State.APPROVED,
                State.HELD,
                State.CANCELLED,
            }
        ),
        # Back to received when the request that it repeats ended without being carried out.
        State.DUPLICATE: frozenset({State.RECEIVED, State.CANCELLED}),
        State.AWAITING_APPROVAL: frozenset(
            {State.APPROVED, State.REJECTED, State.HELD, State.CANCELLED}
        ),
        # Back to awaiting_approval when its share of the data turns out to need a person.
        State.APPROVED: frozenset(
            {
                State.IN_PROGRESS,
                State.AWAITING_APPROVAL,
                State.REJECTED,
                State.HELD,
                State.CANCELLED,
            }
        ),
        # A release leads back to where the hold found it.
        State.HELD: frozenset(
            {
                State.RECEIVED,
                State.AWAITING_APPROVAL,
                State.APPROVED,
                State.REJECTED,
                State.CANCELLED,
            }
        ),
        State.IN_PROGRESS: frozenset({State.REGISTERED, State.REFUSED, State.FAILED}),
        # An operator may have it tried again.
        State.REFUSED: frozenset({State.APPROVED}),
        State.FAILED: frozenset({State.APPROVED}),
        # Back to approved when its successor came to stand beside the line that is served.
        State.REGISTERED: frozenset(
            {State.APPROVED, State.PROMOTED, State.ERASING, State.COMPLETED, State.PARTIAL}
        ),
        State.PROMOTED: frozenset({State.ERASING, State.COMPLETED, State.PARTIAL}),
        State.ERASING: frozenset({State.COMPLETED, State.PARTIAL}),
        State.REJECTED: frozenset(),
        State.COMPLETED: frozenset(),
        State.PARTIAL: frozenset(),
        State.CANCELLED: frozenset(),
    }
)

# The person who asked is told how it ended: one answer per request, in one of these states.
ANSWERED = frozenset(
    {
        State.REJECTED,
        State.REFUSED,
        State.FAILED,
        State.COMPLETED,
        State.PARTIAL,
        State.CANCELLED,
    }
)
# Nothing is going to happen by itself any more.
ENDED = ANSWERED
# A request for the same thing waits for one of these, or is answered with what it led to.
OPEN = frozenset(State) - ENDED - {State.DUPLICATE}


def check_move(request_id: str, now: State, then: State) -> None:
    """Refuse a move that is not in the table.

    Raises:
        RequestError: if the request may not go from the one state to the other.
    """
    if then not in MOVES[now]:
        able = ", ".join(sorted(MOVES[now])) or "nothing: it has ended"
        raise RequestError(
            f"Request {request_id} is {now} and cannot become {then}. It was left unchanged. "
            f"From here it can become: {able}. See `lethe requests show {request_id}`."
        )
