"""How much time a request has left, in words that need no colour.

The deadline runs while a request is open. One that was refused or failed has been answered, but may
be tried again while its deadline lasts. For one that has ended or repeats another nothing is due.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

from lethe.deletion.intake.wording import count, day
from lethe.deletion.ledger.types import Entry
from lethe.deletion.states import OPEN, State

SOON = timedelta(days=7)
_RETRIABLE = frozenset({State.REFUSED, State.FAILED})

Tone = Literal["late", "soon", "calm", "none"]


@dataclass(frozen=True)
class TimeLeft:
    """Time left until a deadline.

    Attributes:
        at: the deadline, if one is still to be met.
        words: how much is left, or since when it is over.
        tone: late: over, and still to be met; soon: within seven days.
    """

    at: datetime | None
    words: str
    tone: Tone


def time_left(entry: Entry, now: datetime) -> TimeLeft:
    """The time that a request has left.

    Args:
        entry: the request.
        now: with a time zone.
    """
    due = entry.due_at
    if entry.state == State.DUPLICATE:
        return TimeLeft(None, "With the other request", "none")
    if entry.state not in OPEN | _RETRIABLE:
        return TimeLeft(None, "Nothing is due", "none")
    if due is None:
        return TimeLeft(None, "No deadline", "none")
    return _until(due, now, answered=entry.state in _RETRIABLE)


def _until(due: datetime, now: datetime, *, answered: bool) -> TimeLeft:
    left = due - now
    if left >= timedelta(0):
        tone: Tone = "soon" if left <= SOON else "calm"
        words = f"{_span(left)} left to try again" if answered else f"{_span(left)} left"
        return TimeLeft(due, words[0].upper() + words[1:], tone)
    if answered:
        return TimeLeft(None, f"Was due {day(due)}", "none")
    return TimeLeft(due, f"Overdue by {_span(-left)}", "late")


def urgency(entry: Entry, now: datetime) -> tuple[bool, float]:
    """A key to sort by: the nearest deadline first, what has none last."""
    at = time_left(entry, now).at
    return (at is None, at.timestamp() if at else -entry.updated_at.timestamp())


def margin(due: datetime, ended: datetime) -> str:
    """Whether something ended before its deadline, and by how much."""
    if ended > due:
        return f"Ended {_span(ended - due)} late"
    return f"Ended {_span(due - ended)} early"


def _span(time: timedelta) -> str:
    return count(time.days, "day") if time.days else "less than a day"
