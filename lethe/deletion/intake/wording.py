"""What the pages say: states, groups, verdicts, selections and times in plain words.

Every state has a title, a sentence and a place in one of four groups. Nothing here reads the
ledger. A verdict is explained by what was measured and by what was not, never by more.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from types import MappingProxyType

from lethe.data.forget_spec import ForgetSpec
from lethe.data.selection import Kind
from lethe.data.union import parts_of
from lethe.deletion.states import State


@dataclass(frozen=True)
class StateWords:
    """A state in words: a short title and one sentence that says what it means."""

    title: str
    meaning: str


@dataclass(frozen=True)
class Group:
    """States that mean the same to somebody who looks after requests.

    `key` is its name in addresses; `none` is said when no request is in it.
    """

    key: str
    title: str
    lead: str
    none: str
    states: tuple[State, ...]


STATES: Mapping[State, StateWords] = MappingProxyType(
    {
        State.RECEIVED: StateWords("Received", "It was filed and has not been judged yet."),
        State.DUPLICATE: StateWords(
            "Repeats another request", "Another request asks for the same and stands for both."
        ),
        State.REJECTED: StateWords(
            "Rejected", "The policy or a person did not allow it. No model was changed."
        ),
        State.AWAITING_APPROVAL: StateWords(
            "Waits for approval", "Nothing is done until a person approves it."
        ),
        State.APPROVED: StateWords("Approved", "It waits for its turn to be carried out."),
        State.HELD: StateWords("Held", "Nothing is done while the hold lasts."),
        State.IN_PROGRESS: StateWords("In progress", "A worker is carrying it out."),
        State.REFUSED: StateWords(
            "Refused by a gate",
            "The edit did not meet what is required of it. No new version was registered for it, "
            "and the version in use is as it was.",
        ),
        State.FAILED: StateWords(
            "Failed", "An error stopped it. No new version was registered for it."
        ),
        State.REGISTERED: StateWords(
            "Registered, not promoted",
            "A version without the data is registered. The one in use still is the one before it.",
        ),
        State.PROMOTED: StateWords(
            "Promoted", "The alias now leads to the version that had to forget."
        ),
        State.ERASING: StateWords("Erasing data", "Stored copies of the data are being erased."),
        State.COMPLETED: StateWords(
            "Completed", "Every step was carried out. The verdict says what that reached."
        ),
        State.PARTIAL: StateWords(
            "Partly completed",
            "Some of what was asked for could not be done; the reason says what.",
        ),
        State.CANCELLED: StateWords("Cancelled", "It was taken back before it was carried out."),
    }
)

NEEDS_A_PERSON = Group(
    "needs-a-person",
    "Needs a person",
    "Nothing happens to these until somebody decides.",
    "No request waits for a decision.",
    (
        State.AWAITING_APPROVAL,
        State.HELD,
        State.REFUSED,
        State.FAILED,
        State.REGISTERED,
    ),
)
UNDER_WAY = Group(
    "under-way",
    "Under way",
    "These are being carried out.",
    "Nothing is being carried out at the moment.",
    (State.IN_PROGRESS, State.PROMOTED, State.ERASING),
)
WAITING = Group(
    "waiting",
    "Waiting",
    "These are carried out with the next run.",
    "No request waits for a run.",
    (State.RECEIVED, State.APPROVED),
)
CLOSED = Group(
    "closed",
    "Closed",
    "The newest that have ended or repeat another request.",
    "No request has ended yet.",
    (State.COMPLETED, State.PARTIAL, State.REJECTED, State.CANCELLED, State.DUPLICATE),
)
GROUPS = (NEEDS_A_PERSON, UNDER_WAY, WAITING, CLOSED)

# The report's words depend on the rule (`lethe.evaluation.wording`); these hold for every rule.
VERDICTS: Mapping[str, str] = MappingProxyType(
    {
        "erased": "The answers and the hidden layers both show that it was forgotten.",
        "suppressed": "On the rows that were tested, the model no longer gives the answer that had "
        "to be forgotten. It was not shown that it no longer knows it inside, so do not call it "
        "erased.",
        "retrained": "The model was built again without the data that had to be forgotten.",
        "refused": "The result did not meet what is required of it, so no new version was "
        "registered. The version in use and its aliases are as they were.",
    }
)

_KINDS = {"class": "Whole classes", "subject": "Rows of people", "samples": "Single rows"}


def group_of(state: State) -> Group:
    """The group a state belongs to."""
    return next(group for group in GROUPS if state in group.states)


def kind(forget: ForgetSpec, selected_by: Kind | None = None) -> str:
    """What a request selects by, or did while that was kept; no label and no id of it."""
    if selected_by is not None:
        return _KINDS[selected_by]
    if forget.selection is None:
        return "A whole data set"
    return _KINDS[forget.selection.kind]


def amount(forget: ForgetSpec) -> str:
    """How much a request names, without a label or an id: `the rows of 2 people in 1 class`."""
    if forget.selection is None:
        return "the whole data set"
    parts = parts_of(forget.selection)
    if len(parts) != 1:
        return f"what any of {count(len(parts), 'selection')} selects"
    (part,) = parts
    people = _named(part.subjects, "person", "people")
    rows = _named(part.samples, "single row") or ("the rows" if people else "")
    if people:
        rows += f" of {people}"
    classes = _named(part.classes, "class", "classes")
    return f"{rows} in {classes}" if rows and classes else rows or f"all of {classes}"


def no_longer_kept(selected_by: Kind, since: datetime) -> str:
    """What is said in place of an amount once the selection is gone."""
    return f"{_KINDS[selected_by]}. What was selected is no longer kept (since {day(since)})."


def _named(values: Collection[str] | None, one: str, many: str | None = None) -> str:
    return count(len(values), one, many) if values else ""


def count(number: int, one: str, many: str | None = None) -> str:
    """A number with its noun.

    >>> count(1, "day"), count(1200, "row")
    ('1 day', '1,200 rows')
    """
    return f"{number:,} {one if number == 1 else many or one + 's'}"


def percent(share: float) -> str:
    """A share from 0 to 1 in percent, never rounded to none or to all of it.

    >>> percent(0), percent(0.0001), percent(0.125), percent(0.9999), percent(1)
    ('0 %', 'less than 0.1 %', '12.5 %', 'more than 99.9 %', '100 %')
    """
    if 0 < share < 0.001:
        return "less than 0.1 %"
    if 0.999 < share < 1:
        return "more than 99.9 %"
    return f"{100 * share:.1f}".removesuffix(".0") + " %"


def moment(at: datetime) -> str:
    """A time to the minute, in UTC and saying so."""
    return f"{day(at)}, {clock(at)}"


def clock(at: datetime) -> str:
    """The time of day, in UTC and saying so."""
    return f"{at.astimezone(UTC):%H:%M} UTC"


def day(at: datetime) -> str:
    """The date of a time, in UTC."""
    at = at.astimezone(UTC)
    return f"{at.day} {at:%b %Y}"


def machine(at: datetime) -> str:
    """A time for the `datetime` attribute: RFC 3339, UTC."""
    return f"{at.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"
