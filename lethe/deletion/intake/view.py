"""From entries of the ledger to what the templates show. Pure: no ledger, no clock.

What a request selects is reduced to its kind and to how many labels or ids it names before it gets
here; no template ever sees a selection, or where an answer goes.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from lethe.deletion.intake.mlflow_links import Links, links
from lethe.deletion.intake.next_step import Step, next_step
from lethe.deletion.intake.time_left import TimeLeft, margin, time_left, urgency
from lethe.deletion.intake.wording import (
    STATES,
    VERDICTS,
    Group,
    amount,
    count,
    group_of,
    kind,
    no_longer_kept,
    percent,
)
from lethe.deletion.ledger.types import Entry, Facts, Move
from lethe.deletion.states import ENDED, State


@dataclass(frozen=True)
class Row:
    """A request on one line."""

    id: str
    ticket: str | None
    source: str
    model: str
    kind: str
    state: State
    title: str
    group: str
    left: TimeLeft
    received: datetime


@dataclass(frozen=True)
class Section:
    """Some requests of a group; `total` is how many there are, None if that is not known."""

    group: Group
    rows: tuple[Row, ...]
    total: int | None


@dataclass(frozen=True)
class Tally:
    """How many requests are in a group, and in those of its states that are not empty."""

    group: Group
    total: int
    states: tuple[tuple[State, str, int], ...]


@dataclass(frozen=True)
class Line:
    """A line of a history."""

    at: datetime
    actor: str
    what: str
    reason: str | None


@dataclass(frozen=True)
class Detail:
    """One request.

    `asked` are terms and values. `deadline` says when and how much time that leaves. `original` is
    the request that it repeats, `duplicates` those that repeat it, as far as the reader may see
    them. `together` is how many others its batch holds.
    """

    row: Row
    meaning: str
    reason: str | None
    step: Step
    asked: tuple[tuple[str, str], ...]
    deadline: str | None
    due_at: datetime | None
    extended: bool
    approvals: str | None
    approvers: tuple[str, ...]
    duplicate_of: str | None
    original: Row | None
    duplicates: tuple[Row, ...]
    batch_id: str | None
    together: int
    facts: Facts
    links: Links
    verdict: str | None
    forgot: str | None
    history: tuple[Line, ...]


def row(entry: Entry, now: datetime) -> Row:
    """A request on one line."""
    request = entry.request
    return Row(
        id=entry.id,
        ticket=request.ticket,
        source=request.source,
        model=request.model,
        kind=kind(request.forget, entry.selected_by),
        state=entry.state,
        title=STATES[entry.state].title,
        group=group_of(entry.state).key,
        left=time_left(entry, now),
        received=request.received_at,
    )


def rows(entries: Iterable[Entry], now: datetime) -> tuple[Row, ...]:
    """Requests in the order given."""
    return tuple(row(entry, now) for entry in entries)


def by_urgency(entries: Iterable[Entry], now: datetime) -> list[Entry]:
    """The most urgent first; those for which nothing is due come last, the latest of them first."""
    return sorted(entries, key=lambda entry: urgency(entry, now))


def tallies(counts: dict[State, int], groups: Iterable[Group]) -> tuple[Tally, ...]:
    """The summary: the groups with their numbers."""
    return tuple(
        Tally(
            group,
            sum(counts[state] for state in group.states),
            tuple((s, STATES[s].title, counts[s]) for s in group.states if counts[s]),
        )
        for group in groups
    )


def detail(
    entry: Entry,
    now: datetime,
    *,
    tracking_uri: str | None,
    approvers: Sequence[str],
    original: Entry | None,
    duplicates: Iterable[Entry],
    together: int,
    certificate: str | None = None,
) -> Detail:
    """One request with all that is told of it; `certificate` is its artifact, if it has one."""
    facts, words = entry.facts, STATES[entry.state]
    needed = max(entry.approvals_needed, len(entry.approvals))
    return Detail(
        row=row(entry, now),
        meaning=words.meaning,
        reason=entry.reason,
        step=next_step(entry, approvers),
        asked=tuple(_asked(entry)),
        deadline=_deadline(entry, now),
        due_at=entry.due_at,
        extended=entry.extended,
        approvals=f"{len(entry.approvals)} of {needed}" if needed else None,
        approvers=entry.approvals,
        duplicate_of=entry.duplicate_of,
        original=row(original, now) if original else None,
        duplicates=rows(duplicates, now),
        batch_id=entry.batch_id,
        together=together,
        facts=facts,
        links=links(tracking_uri, facts, certificate),
        verdict=VERDICTS.get(facts.verdict or ""),
        forgot=_forgot(facts),
        history=tuple(map(_line, entry.history)),
    )


def _asked(entry: Entry) -> Iterable[tuple[str, str]]:
    request, facts = entry.request, entry.facts
    yield "Model", request.model
    yield "Data set", f"{request.forget.dataset}, revision {request.forget.rev}"
    yield "To be forgotten", _to_forget(entry)
    if facts.rows is not None:
        yield "Training rows", f"{facts.rows:,}"
    if facts.share is not None:
        yield "Largest share", f"{percent(facts.share)} of the data set or of one of its classes"
    if facts.missing:
        yield "Not found", f"{count(facts.missing, 'id')} named and not in the data set"
    if request.evaluation:
        yield "Measured on", request.evaluation
    yield "Ground", request.ground
    yield "Regulation", request.regulation
    yield "Source", request.source
    yield "Ticket", request.ticket or "none"
    yield "Policy", entry.policy or "none"


def _to_forget(entry: Entry) -> str:
    if entry.purged_at is None or entry.selected_by is None:
        return amount(entry.request.forget)
    return no_longer_kept(entry.selected_by, entry.purged_at)


def _deadline(entry: Entry, now: datetime) -> str | None:
    """How the deadline stands: time left, or whether the request ended in time."""
    if entry.due_at is None:
        return None
    left = time_left(entry, now)
    if left.at is not None:
        return left.words
    ended = [m.at for m in entry.history if m.before != m.after and m.after == entry.state]
    if entry.state in ENDED and ended:
        return margin(entry.due_at, ended[-1])
    return left.words


def _forgot(facts: Facts) -> str | None:
    """What was measured on the request's own rows."""
    if facts.forget_accuracy is None:
        return None
    own = count(facts.rows, "training row") if facts.rows else "training rows"
    share = percent(facts.forget_accuracy)
    return f"Of this request's own {own}, the new version still recognises {share}."


def _line(move: Move) -> Line:
    if move.before is None:
        what = "Filed"
    elif move.before == move.after:
        what = "Note"
    else:
        what = STATES[move.after].title
    return Line(move.at, move.actor, what, move.reason)
