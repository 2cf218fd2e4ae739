"""Which letters a move owes.

Called inside the ledger's transaction: the move and what it owes are written together, or neither
is.

| what moves                                       | letter     | key                              |
|--------------------------------------------------|------------|----------------------------------|
| filing is done                                   | the answer | ID:filed:answer                  |
| to a state in which the requester is told        | the answer | ID:STATE:answer                  |
| likewise, when others asked for the same         | duplicates | ID:STATE:duplicates:TIME         |
| OpenDSR's word for the state changes             | opendsr    | ID:STATE:callback-N:TIME         |
| to a state that a `[[notify]]` target wants      | webhook    | ID:STATE:TARGET:TIME             |
| to approved, of what is carried out at once      | trigger    | ID:trigger:TIME                  |

"The answer" is of the kind of the source, `github` or `jira`; the outbox keeps a key once, so a
request that fails twice is told so once. TIME is that of the move, in UTC: a program is told of
every move, even of the second one into the same state.

A duplicate has no end of its own. When its original has ended, the deliverer takes the letter
`duplicates`, finds those that wait, and owes each its answer (`final_for_duplicates`): this depends
neither on whether the original has a ticket nor on when its own answer arrives. A request that was
rejected or cancelled leaves none: the ledger lets the oldest of its duplicates take its place.
"""

import hashlib
import logging
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any, Final

from lethe.deletion.answers import compose
from lethe.deletion.ledger.types import Entry, Letter, Move
from lethe.deletion.policy.errors import UnknownSourceError
from lethe.deletion.policy.model import Policy
from lethe.deletion.states import ANSWERED, State
from lethe.deletion.tickets.opendsr_reply import status_word
from lethe.settings import Settings

Announce = Callable[[Entry, Move], list[Letter]]

# After these a duplicate is answered with what its original led to.
SHARED: Final = frozenset({State.COMPLETED, State.PARTIAL, State.REFUSED, State.FAILED})
_CLOSING: Final = {
    State.COMPLETED: "completed",
    State.PARTIAL: "completed",
    State.REJECTED: "not_planned",
}

log = logging.getLogger("lethe.answers")


def announcer(policy: Policy, settings: Settings) -> Announce:
    """What `open_ledger` calls for each move: pure, without any call to the outside.

    It never raises: a move must not be undone because its answer could not be worded. What was to
    be said is then missing, and the log says of which request.
    """

    def announce(entry: Entry, move: Move) -> list[Letter]:
        letters: list[Letter] = []
        for part in (_answer, _callbacks, _duplicates, _notifications, _trigger):
            try:
                letters += part(policy, settings, entry, move)
            except Exception as error:  # noqa: BLE001 (see above)
                what, kind = part.__name__.strip("_"), type(error).__name__
                log.error("No letter %s for %s (%s).", what, entry.id, kind)  # noqa: TRY400
        return letters

    return announce


def final_for_duplicates(
    policy: Policy, settings: Settings, original: Entry, duplicates: Sequence[Entry]
) -> list[Letter]:
    """The answers that duplicates get when their original has ended.

    Args:
        policy: says which sources are answered.
        settings: give the link.
        original: in one of the states `SHARED`.
        duplicates: of it; each is answered on its own ticket, once per state of the original.
    """
    letters: list[Letter] = []
    for one in duplicates:
        text = compose.ended(one, settings, original=original)
        letters += _comment(policy, one, text, original.state, original.state)
        key = f"{one.id}:{original.state.value}:callback-{{}}:of:{original.id}"
        letters += _opendsr(policy, one, original.state, key)
    return letters


def target_of(url: str) -> str:
    """A short name for the address of a `[[notify]]` target, which may itself be a secret."""
    return hashlib.sha256(url.encode()).hexdigest()[:16]


def _answer(policy: Policy, settings: Settings, entry: Entry, move: Move) -> list[Letter]:
    if move.after in ANSWERED:
        text = compose.ended(entry, settings, reason=compose.told_reason(move))
        return _comment(policy, entry, text, move.after, move.after)
    if move.before == State.RECEIVED:
        return _comment(policy, entry, compose.taken_in(entry, settings), "filed", None)
    return []


def _comment(
    policy: Policy, entry: Entry, text: list[str], when: str, end: State | None
) -> list[Letter]:
    """A letter for the ticket, if its source is answered."""
    source = entry.request.source
    match entry.reply:
        case {"repo": str(repo), "number": int(number)}:
            kind, where = "github", {"repo": repo, "number": number}
            body = compose.markdown(text)
        case {"issue": str(issue)}:
            kind, where = "jira", {"issue": issue}
            body = compose.wiki(text)
        case _:
            return []
    close = None if end is None else _CLOSING.get(end)
    if not _is_answered(policy, source, kind):
        return []
    payload: dict[str, Any] = where | {
        "target": source,
        "body": body,
        "close": close,
        # Who took it back may have deleted the ticket, too.
        "may_be_gone": end == State.CANCELLED,
    }
    return [Letter(kind, f"{entry.id}:{when}:answer", payload, entry.id)]


def _is_answered(policy: Policy, name: str, kind: str) -> bool:
    """Whether the policy wants the tickets of a source answered.

    A source that the policy has no more is: the letter waits, is given up, and a person sees it.
    """
    try:
        source = policy.source(name)
    except UnknownSourceError:
        return True
    return source.kind == kind and source.answer.token is not None


def _callbacks(policy: Policy, _settings: Settings, entry: Entry, move: Move) -> list[Letter]:
    if move.before is None or status_word(move.before) == status_word(move.after):
        return []
    key = f"{entry.id}:{move.after.value}:callback-{{}}:{_moment(move.at)}"
    return _opendsr(policy, entry, move.after, key)


def _opendsr(_policy: Policy, entry: Entry, state: State, key: str) -> list[Letter]:
    """One letter per callback URL; the URLs themselves may hold identities, so keys count them."""
    match entry.reply:
        case {"subject_request_id": str(subject), "status_callback_urls": [*urls]}:
            due = entry.due_at or entry.request.received_at
        case _:
            return []
    return [
        Letter(
            "opendsr",
            key.format(number),
            {
                "target": entry.request.source,
                "url": url,
                "subject_request_id": subject,
                "state": state.value,
                "own": state == entry.state,
                "due_at": due.isoformat(),
            },
            entry.id,
        )
        for number, url in enumerate(urls)
        if isinstance(url, str)
    ]


def _duplicates(_policy: Policy, _settings: Settings, entry: Entry, move: Move) -> list[Letter]:
    if move.after not in SHARED:
        return []
    key = f"{entry.id}:{move.after.value}:duplicates:{_moment(move.at)}"
    return [Letter("duplicates", key, {"state": move.after.value}, entry.id)]


def _notifications(policy: Policy, settings: Settings, entry: Entry, move: Move) -> list[Letter]:
    wanted = [target_of(t.url) for t in policy.notify if move.after in t.on]
    if not wanted:
        return []
    body = compose.notification(entry, move, settings)
    return [
        Letter(
            "webhook",
            f"{entry.id}:{move.after.value}:{target}:{_moment(move.at)}",
            {"target": target, "body": body},
            entry.id,
        )
        for target in dict.fromkeys(wanted)
    ]


def _trigger(_policy: Policy, _settings: Settings, entry: Entry, move: Move) -> list[Letter]:
    if move.after != State.APPROVED or not entry.at_once:
        return []
    # A request that was weighed, held or tried again in between is to be triggered again.
    key = f"{entry.id}:trigger:{_moment(move.at)}"
    return [Letter("trigger", key, {"request_id": entry.id}, entry.id)]


def _moment(at: datetime) -> str:
    return at.astimezone(UTC).strftime("%Y%m%dT%H%M%S.%fZ")
