"""What is to be done next about a request, and with which command."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from lethe.deletion.intake.wording import STATES, count
from lethe.deletion.ledger.types import WAITS, Entry
from lethe.deletion.states import State


@dataclass(frozen=True)
class Step:
    """What is next, and the commands that do it; none when it happens by itself."""

    text: str
    commands: tuple[str, ...] = ()


def next_step(entry: Entry, approvers: Sequence[str]) -> Step:
    """The next step.

    Args:
        entry: the request.
        approvers: actors whom the policy lets approve.
    """
    if entry.purged_at is not None and entry.state in _RETRIABLE:
        return Step(_TOO_LATE)
    special = _SPECIAL.get(entry.state)
    if special is not None:
        return special(entry, approvers)
    text, *commands = _PLAIN[entry.state]
    return Step(text, tuple(command.format(entry.id) for command in commands))


_RETRIABLE = frozenset({State.REFUSED, State.FAILED})
_TOO_LATE = (
    "What was selected is no longer kept, so it cannot be tried again. A new request can be filed."
)
_PLAIN = {
    State.RECEIVED: ("The policy judges it. Nothing is to be done.",),
    State.DUPLICATE: ("It is answered together with the request that it repeats.",),
    State.REJECTED: ("Nothing more is done. A new request can be filed.",),
    State.REFUSED: (
        "Read why in the history and in the report. It can be tried again.",
        "lethe requests retry {}",
    ),
    State.FAILED: (
        "Mend what the reason names, then have it tried again.",
        "lethe requests retry {}",
    ),
    State.PROMOTED: ("It is completed by itself. Nothing is to be done.",),
    State.ERASING: ("It is completed by itself. Nothing is to be done.",),
    State.COMPLETED: ("Nothing more is to be done.",),
    State.PARTIAL: ("The statement lists what is not covered.",),
    State.CANCELLED: ("Nothing more is done. A new request can be filed.",),
}


def _approval(entry: Entry, approvers: Sequence[str]) -> Step:
    missing = max(1, entry.approvals_needed - len(entry.approvals))
    who = f" The policy lets {', '.join(approvers)} approve." if approvers else ""
    left = [actor for actor in approvers if actor not in entry.approvals]
    named = f" --as {left[0]}" if left else ""
    return Step(
        f"{count(missing, 'approval')} still needed.{who}",
        (
            f"lethe requests approve {entry.id}{named}",
            f'lethe requests reject {entry.id} --reason "WHY"',
        ),
    )


def _turn(entry: Entry, approvers: Sequence[str]) -> Step:
    if _waits(entry):
        return _work(entry, approvers)
    when = "as soon as a worker is free" if entry.at_once else "with the next scheduled run"
    return Step(
        f"It is carried out {when}. To do it now:",
        ("lethe requests process",),
    )


def _hold(entry: Entry, approvers: Sequence[str]) -> Step:
    del approvers
    then = ""
    if entry.held_from is not None:
        then = f" It then goes on from where it was: {STATES[entry.held_from].title.lower()}."
    return Step(f"Somebody has to release it.{then}", (f"lethe requests release {entry.id}",))


def _work(entry: Entry, approvers: Sequence[str]) -> Step:
    del approvers
    if _waits(entry):
        return Step(
            "Mend what the history's last line names. The next run then goes on with it. "
            "To do it now:",
            ("lethe requests process",),
        )
    return Step("Nothing is to be done. If the worker stops, another one goes on with it.")


def _waits(entry: Entry) -> bool:
    last = entry.history[-1].reason if entry.history else None
    return last is not None and last.startswith(WAITS)


def _promotion(entry: Entry, approvers: Sequence[str]) -> Step:
    del approvers
    version = entry.facts.successor
    command = (f"lethe model promote {version}",) if version else ()
    return Step("Read the report, then let the new version be used.", command)


_SPECIAL: dict[State, Callable[[Entry, Sequence[str]], Step]] = {
    State.AWAITING_APPROVAL: _approval,
    State.APPROVED: _turn,
    State.HELD: _hold,
    State.IN_PROGRESS: _work,
    State.REGISTERED: _promotion,
}
