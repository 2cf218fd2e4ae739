"""What the answers say: what is known, no more, and nothing about anybody.

A text is a list of paragraphs in which `code` stands in backticks; `markdown` is for GitHub, `wiki`
for Jira, whose REST API 2 takes wiki markup both in the cloud and in the data centre (version 3,
with Atlassian Document Format, exists in the cloud alone). `notification` is for programs.

Nothing from a ticket is repeated but the model, which the policy allows, and that only where it has
the form of a name. The reason of a move is told only where the policy gave it: what a person wrote
may be about a person.
"""

import re
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, Final

from lethe.deletion.ledger.types import Entry, Facts, Move
from lethe.deletion.states import State
from lethe.settings import Settings

# Nothing of it is markup in either language, when it stands between backticks or double braces.
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._/@-]{0,299}")
_CODE = re.compile(r"`([^`]*)`")
_MARKUP = re.compile(r"[^A-Za-z0-9 .,:;'%/_-]")

_TAKEN_IN: Final = {
    State.APPROVED: "It was accepted and will be carried out.",
    State.AWAITING_APPROVAL: "A person has to approve it before it is carried out.",
    State.HELD: "It is on hold and is not carried out for now.",
}
_ENDS: Final = {
    State.COMPLETED: "It was carried out.",
    State.PARTIAL: "It was carried out in part. A person looks at what remains.",
    State.REJECTED: "It was rejected. Nothing was changed.",
    State.REFUSED: "It was tried, and the result did not pass its checks and was not put to use. "
    "The model stays as it was, and what it was to forget is not forgotten. A person looks at it.",
    State.FAILED: "It could not be carried out. The model stays as it was, and what it was to "
    "forget is not forgotten. A person looks at it.",
    State.CANCELLED: "It was cancelled before it was carried out. Nothing was changed.",
}
_VERDICTS: Final = {
    "erased": "The verdict is `erased`: the limits were met both for what the model answers and "
    "for what its hidden layers still hold.",
    "suppressed": "The verdict is `suppressed`: the model no longer answers with this data at the "
    "output level. Its hidden layers may still hold it: it was not shown that they do not.",
    "retrained": "The verdict is `retrained`: the network was trained again without this data.",
}
_NOT_COVERED: Final = (
    "Nothing is said here of backups, of models made from the earlier version, or of predictions "
    "that were already served."
)


def taken_in(entry: Entry, settings: Settings) -> list[str]:
    """The short answer when a request was filed; its state is where filing put it."""
    first = f"Lethe took this in as {code(entry.id)}"
    if (model := name(entry.request.model)) is not None:
        first += f", for the model {model}"
    if entry.state == State.DUPLICATE:
        original = code(entry.duplicate_of or "another")
        then = (
            f"It asks for the same as {original}, which is under way. "
            "It is answered here when that one is."
        )
    else:
        then = _TAKEN_IN.get(entry.state, "It was taken in.")
    due = f" It is due on {_day(entry.due_at)}." if entry.due_at is not None else ""
    return [f"{first}. {then}{due}", *_link(entry, settings)]


def ended(
    entry: Entry, settings: Settings, *, reason: str | None = None, original: Entry | None = None
) -> list[str]:
    """The answer when a request has ended.

    Args:
        entry: the request that is answered.
        settings: give the link.
        reason: from `told_reason`.
        original: the request that was carried out in place of it, if it is a duplicate.
    """
    done = entry if original is None else original
    first = f"Lethe has ended the request {code(entry.id)}."
    if original is not None:
        first = f"{code(entry.id)} asks for the same as {code(original.id)}, which has ended."
    text = [f"{first} {_ENDS[done.state]}"]
    if reason is not None:
        text.append(f"Reason: {_MARKUP.sub('', reason)}.")
    if done.state in {State.COMPLETED, State.PARTIAL}:
        text += _result(done.facts)
    elif done.state in {State.REFUSED, State.FAILED}:
        text += _record(done.facts)
    return text + _link(entry, settings)


def told_reason(move: Move) -> str | None:
    """The reason of a move if the policy gave it, when a request was filed; else None."""
    by_rule = move.actor == "ledger" or move.actor.startswith("intake:")
    filed = move.before == State.RECEIVED and move.after == State.REJECTED
    return move.reason if by_rule and filed else None


def notification(entry: Entry, move: Move, settings: Settings) -> dict[str, Any]:
    """The body of a webhook about a move; what is not known is null."""
    facts = entry.facts
    return {
        "type": f"lethe.request.{move.after.value}",
        "timestamp": move.at.astimezone(UTC).isoformat(),
        "data": {
            "request_id": entry.id,
            "state": move.after.value,
            "before": None if move.before is None else move.before.value,
            "source": entry.request.source,
            "model": entry.request.model,
            "verdict": facts.verdict,
            "parent": facts.parent,
            "successor": facts.successor,
            "statement_sha256": facts.statement,
            "due_at": None if entry.due_at is None else entry.due_at.astimezone(UTC).isoformat(),
            "duplicate_of": entry.duplicate_of,
            "url": page(entry, settings),
        },
    }


def page(entry: Entry, settings: Settings) -> str | None:
    """Address of the request's page, if people can reach the service."""
    base = settings.intake.public_url
    return None if base is None else f"{base.rstrip('/')}/requests/{entry.id}"


def markdown(text: Sequence[str]) -> str:
    """For GitHub."""
    return "\n\n".join(text)


def wiki(text: Sequence[str]) -> str:
    """For Jira's REST API 2."""
    return "\n\n".join(_CODE.sub(r"{{\1}}", paragraph) for paragraph in text)


def code(text: str) -> str:
    """A name of Lethe's own in backticks."""
    return f"`{text}`" if _NAME.fullmatch(text) else "(name withheld)"


def name(text: str | None) -> str | None:
    """A model in backticks; None where there is none, or what is there is no name."""
    return f"`{text}`" if text is not None and _NAME.fullmatch(text) else None


def _result(facts: Facts) -> list[str]:
    text = []
    successor, parent = name(facts.successor), name(facts.parent)
    if successor is not None:
        made = f" It was made from {parent}." if parent is not None else ""
        text.append(f"The version that forgot is {successor}.{made}")
    verdict = _VERDICTS.get(facts.verdict or "")
    if verdict is not None:
        text.append(f"{verdict} {_NOT_COVERED}")
    return text + _record(facts)


def _record(facts: Facts) -> list[str]:
    digest = name(facts.statement)
    return [] if digest is None else [f"SHA-256 of the signed statement: {digest}"]


def _link(entry: Entry, settings: Settings) -> list[str]:
    url = page(entry, settings)
    return [] if url is None else [f"Where it stands: {url}"]


def _day(moment: datetime) -> str:
    return moment.astimezone(UTC).date().isoformat()
