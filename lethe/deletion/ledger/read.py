"""From rows to entries, and the questions one may ask of the ledger."""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from datetime import datetime
from itertools import groupby
from typing import Any

from sqlalchemy import ColumnElement, Select, func, select

from lethe.data.forget_spec import ForgetSpec
from lethe.deletion.ledger.errors import absent
from lethe.deletion.ledger.tables import approvals, deliveries, moves, requests
from lethe.deletion.ledger.transaction import Transaction
from lethe.deletion.ledger.types import Entry, Facts, Move, Reception
from lethe.deletion.request import DeletionRequest
from lethe.deletion.states import State
from lethe.deletion.vault import canonical

FACTS = tuple(f.name for f in fields(Facts))
# Databases limit the parameters of one statement; the lowest limit here is SQLite's 32,766.
_CHUNK = 5000


@dataclass(frozen=True)
class Unread:
    """A delivery that asked for a deletion, but not of what. `problem` repeats no value."""

    source: str
    ticket: str | None
    problem: str
    at: datetime


@dataclass(frozen=True)
class Filter:
    """Which requests; what is None does not matter. Those that match all of it are found."""

    states: Collection[State] | None = None
    model: str | None = None
    source: str | None = None
    ticket: str | None = None
    batch_id: str | None = None
    due_before: datetime | None = None
    duplicate_of: str | None = None

    def conditions(self) -> Iterator[ColumnElement[bool]]:
        """Its SQL."""
        if self.states is not None:
            yield requests.c.state.in_([str(state) for state in self.states])
        if self.model is not None:
            versioned = "@" in self.model or "/" in self.model
            yield (requests.c.model if versioned else requests.c.model_name) == self.model
        for name in ("source", "ticket", "batch_id", "duplicate_of"):
            if (value := getattr(self, name)) is not None:
                yield requests.c[name] == value
        if self.due_before is not None:
            yield requests.c.due_at < self.due_before


def get(tx: Transaction, request_id: str) -> Entry:
    """One request with its history.

    Raises:
        RequestError: if there is none.
    """
    entry = current(tx, request_id)
    lines = select(moves).where(moves.c.request_id == request_id).order_by(moves.c.seq)
    return replace(entry, history=tuple(map(_move, tx.sql.execute(lines).mappings())))


def current(tx: Transaction, request_id: str) -> Entry:
    """One request without its history.

    Raises:
        RequestError: if there is none.
    """
    found = entries(tx, select(requests).where(requests.c.id == request_id))
    if not found:
        raise absent(request_id)
    return found[0]


def last_reasons(tx: Transaction, ids: Sequence[str]) -> dict[str, str | None]:
    """The reason in the last line of each request's history."""
    found: dict[str, str | None] = {}
    for part in chunks(ids):
        last = select(func.max(moves.c.seq)).where(moves.c.request_id.in_(part))
        lines = select(moves.c.request_id, moves.c.reason).where(
            moves.c.seq.in_(last.group_by(moves.c.request_id))
        )
        found |= {row.request_id: row.reason for row in tx.sql.execute(lines)}
    return found


def find(
    tx: Transaction, wanted: Filter, *, limit: int, after: str | None, newest_first: bool
) -> list[Entry]:
    """A page of requests without their histories, in the order of their filing.

    Raises:
        RequestError: if there is no request `after`.
    """
    query = select(requests).where(*wanted.conditions())
    if after is not None:
        seq = tx.sql.scalar(select(requests.c.seq).where(requests.c.id == after))
        if seq is None:
            raise absent(after)
        query = query.where(requests.c.seq < seq if newest_first else requests.c.seq > seq)
    order = requests.c.seq.desc() if newest_first else requests.c.seq
    return entries(tx, query.order_by(order).limit(limit))


def counts(tx: Transaction) -> dict[State, int]:
    """How many requests are in each state, zeros included."""
    query = select(requests.c.state, func.count()).group_by(requests.c.state)
    found: dict[str, int] = {row[0]: row[1] for row in tx.sql.execute(query)}
    return {state: found.get(str(state), 0) for state in State}


def unreadable(tx: Transaction, limit: int) -> list[Unread]:
    """Deliveries that could not be read, the latest first."""
    query = (
        select(deliveries)
        .where(deliveries.c.reception == str(Reception.UNREADABLE))
        .order_by(deliveries.c.at.desc(), deliveries.c.seq.desc())
        .limit(limit)
    )
    return [Unread(r.source, r.ticket, r.problem or "", r.at) for r in tx.sql.execute(query)]


def entries(tx: Transaction, query: Select[Any]) -> list[Entry]:
    """The entries of a query for whole rows of `requests`."""
    rows = tx.sql.execute(query).mappings().all()
    approved = _approvals(tx, [row["id"] for row in rows if row["approvals_needed"]])
    return [entry_of(tx, row, approvals=approved.get(row["id"], ())) for row in rows]


def entry_of(tx: Transaction, row: Mapping[Any, Any], *, approvals: Sequence[str] = ()) -> Entry:
    """An entry from a row of `requests`.

    Raises:
        WrongKeyError: if the vault's key is not the one it was written with.
    """
    reply = {} if row["reply"] is None else tx.vault.open(row["reply"])
    return entry_with(row, _request(tx, row), reply, approvals)


def entry_with(
    row: Mapping[Any, Any],
    request: DeletionRequest,
    reply: Mapping[str, Any],
    approvals: Sequence[str] = (),
) -> Entry:
    """An entry from a row of `requests` whose sealed parts are known."""
    held_from = row["held_from"]
    return Entry(
        request=request,
        state=State(row["state"]),
        reason=row["reason"],
        updated_at=row["updated_at"],
        due_at=row["due_at"],
        extendable_to=row["extendable_to"],
        extended=row["extended"],
        policy=row["policy"],
        at_once=row["at_once"],
        duplicate_of=row["duplicate_of"],
        held_from=None if held_from is None else State(held_from),
        approvals_needed=row["approvals_needed"],
        approvals=tuple(approvals),
        batch_id=row["batch_id"],
        facts=Facts(**{name: row[name] for name in FACTS}),
        reply=reply,
        purged_at=row["purged_at"],
        selected_by=row["selected_by"],
    )


def chunks(values: Iterable[str]) -> Iterator[list[str]]:
    """The values in lists short enough for one statement."""
    numbered = enumerate(values)
    for _, group in groupby(numbered, lambda pair: pair[0] // _CHUNK):
        yield [value for _, value in group]


def _request(tx: Transaction, row: Mapping[Any, Any]) -> DeletionRequest:
    sealed = row["selection"]
    asked = {name: row[name] for name in ("dataset", "repository", "rev", "whole")}
    asked["selection"] = None if sealed is None else tx.vault.open(sealed)
    forget = ForgetSpec.model_validate_json(canonical(asked))
    return DeletionRequest(
        id=row["id"],
        model=row["model"],
        forget=forget,
        evaluation=row["evaluation"],
        ground=row["ground"],
        regulation=row["regulation"],
        source=row["source"],
        ticket=row["ticket"],
        received_at=row["received_at"],
    )


def _move(row: Mapping[Any, Any]) -> Move:
    before = row["before"]
    return Move(
        at=row["at"],
        actor=row["actor"],
        before=None if before is None else State(before),
        after=State(row["after"]),
        reason=row["reason"],
    )


def _approvals(tx: Transaction, ids: Sequence[str]) -> dict[str, tuple[str, ...]]:
    found: dict[str, tuple[str, ...]] = {}
    for part in chunks(ids):
        query = select(approvals).where(approvals.c.request_id.in_(part)).order_by(approvals.c.seq)
        for row in tx.sql.execute(query):
            found[row.request_id] = (*found.get(row.request_id, ()), row.actor)
    return found
