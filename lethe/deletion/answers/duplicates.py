"""What the outbox needs the ledger for: answers of duplicates, and letters that came to nothing.

A letter `duplicates` says that an original ended. Its sender owes every duplicate that waits its
answer and only then counts as sent: killed in between, it is taken up again and finds, by their
keys, those that are owed already.
"""

from collections.abc import Callable
from typing import Final

from lethe.deletion.answers.announce import final_for_duplicates
from lethe.deletion.ledger.ledger import Ledger
from lethe.deletion.ledger.types import Letter
from lethe.deletion.policy.model import Policy
from lethe.deletion.states import State
from lethe.deletion.tickets.opendsr_reply import status_word
from lethe.errors import RequestError
from lethe.settings import Settings

_PAGE: Final = 200


def duplicates_sender(
    ledger: Ledger, policy: Policy, settings: Settings
) -> Callable[[Letter], None]:
    """What handles letters of the kind "duplicates"; `state` is the one the original ended in."""

    def send(letter: Letter) -> None:
        if letter.request_id is None:
            return
        original = ledger.get(letter.request_id)
        if original.state != letter.payload["state"]:
            return  # it was taken up again; its next end has a letter of its own
        after = None
        while page := ledger.find(
            states=[State.DUPLICATE],
            duplicate_of=original.id,
            limit=_PAGE,
            after=after,
            newest_first=False,
        ):
            ledger.enqueue(final_for_duplicates(policy, settings, original, page))
            after = page[-1].id

    return send


def is_outdated(ledger: Ledger, letter: Letter) -> bool:
    """Whether a letter would now start what is done, or tell what is not so any more.

    A run that was owed is needless once another one has its request. Of callbacks only one that
    failed before: "in_progress" must not arrive after "completed", which has a letter of its own.
    """
    told = letter.kind == "opendsr" and letter.attempt > 1 and letter.payload.get("own")
    if letter.request_id is None or not (told or letter.kind == "trigger"):
        return False
    try:
        now = ledger.get(letter.request_id).state
    except RequestError:
        return False
    if letter.kind == "trigger":
        return now not in {State.RECEIVED, State.APPROVED}
    return status_word(now) != status_word(State(letter.payload["state"]))
