"""Batches: requests for one model that are carried out together, by one worker, under a lease.

A lease is a token and a time. Whoever presents the current token may go on, even if its time has
run out, as long as nobody else took the batch up. A batch whose time has run out is taken up again
with a new token, so a dead worker holds nothing up and a slow one finds out before it does harm.
No model has two leases at a time, and nothing new of a model begins before what was begun is done.
"""

import secrets
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any

from sqlalchemy import ColumnElement, Row, and_, select, update

from lethe.deletion.ledger.errors import LeaseLostError
from lethe.deletion.ledger.history import Step, advance_all
from lethe.deletion.ledger.read import chunks, entries
from lethe.deletion.ledger.tables import batches, requests
from lethe.deletion.ledger.transaction import Transaction
from lethe.deletion.ledger.types import Batch, Entry, Outcome
from lethe.deletion.states import State
from lethe.errors import RequestError

OUTCOMES = frozenset({State.REGISTERED, State.REFUSED, State.FAILED})
UNFINISHED = batches.c.finished_at.is_(None)


def new_batch_id() -> str:
    """A fresh, opaque id."""
    return f"batch-{secrets.token_hex(6)}"


def new_token() -> str:
    """What proves a lease."""
    return secrets.token_hex(16)


def is_leased(tx: Transaction) -> ColumnElement[bool]:
    """Whether somebody has a batch now."""
    return and_(UNFINISHED, batches.c.lease_until > tx.now)


def inside(tx: Transaction, batch_id: str) -> tuple[Entry, ...]:
    """The requests that are still in a batch, the most urgent first."""
    query = (
        select(requests)
        .where(requests.c.batch_id == batch_id, requests.c.state == str(State.IN_PROGRESS))
        .order_by(*urgency())
    )
    return tuple(entries(tx, query))


def urgency() -> tuple[ColumnElement[Any], ...]:
    """The order in which requests are carried out: by deadline, those without one last."""
    return (requests.c.due_at.is_(None), requests.c.due_at, requests.c.received_at, requests.c.seq)


def read_batch(tx: Transaction, row: Row[Any]) -> Batch:
    """A batch from a row of `batches`, with what is still in it."""
    return Batch(
        id=row.id,
        model=row.model,
        token=row.token,
        lease_until=row.lease_until or tx.now,
        attempt=row.attempt,
        rung=row.rung,
        entries=inside(tx, row.id),
        parent_batch=row.parent_batch,
    )


def renew(tx: Transaction, batch: Batch, lease: timedelta) -> Batch:
    """Keep the lease for longer.

    Raises:
        LeaseLostError: if the batch is another worker's by now, or finished, or if another batch of
            the same model was begun after the lease had run out.
    """
    row = _own(tx, batch)
    others = select(batches.c.id).where(
        is_leased(tx), batches.c.model_name == row.model_name, batches.c.id != row.id
    )
    if tx.sql.scalar(others) is not None:
        raise _lost(batch)
    _set(tx, batch.id, lease_until=tx.now + lease)
    return read_batch(tx, _own(tx, batch))


def climb(tx: Transaction, batch: Batch, rung: int) -> Batch:
    """Remember the step of the ladder to go on with.

    Raises:
        LeaseLostError: if the batch is another worker's by now, or finished.
    """
    _own(tx, batch)
    _set(tx, batch.id, rung=rung)
    return read_batch(tx, _own(tx, batch))


def conclude(tx: Transaction, batch: Batch, outcomes: Mapping[str, Outcome]) -> Batch:
    """Write down how requests of a batch ended; it is finished when none is left in it.

    The very same outcomes again, by the same worker, change nothing.

    Raises:
        LeaseLostError: if the batch is another worker's by now, or finished otherwise.
        RequestError: if a request is not in it, or an outcome is none.
    """
    row = tx.sql.execute(select(batches).where(batches.c.id == batch.id)).one_or_none()
    if row is None or row.token != batch.token:
        raise _lost(batch)
    if any(outcome.state not in OUTCOMES for outcome in outcomes.values()):
        raise RequestError(
            f"A request of {batch.id} can end registered, refused or failed only. Nothing was "
            "changed. See `lethe requests list`."
        )
    left = {entry.id: entry for entry in inside(tx, batch.id)}
    again = _concluded(tx, batch.id, [name for name in outcomes if name not in left])
    if any(again.get(name) != outcomes[name].state for name in outcomes if name not in left):
        if row.finished_at is not None:
            raise _lost(batch)
        raise RequestError(
            f"Not every request with an outcome is in {batch.id}. Nothing was changed. "
            "See `lethe requests list`."
        )
    steps = [
        Step(left[name], outcome.state, outcome.reason, outcome.facts)
        for name, outcome in outcomes.items()
        if name in left
    ]
    advance_all(tx, steps, actor=row.worker)
    if row.finished_at is None and len(steps) == len(left):
        _set(tx, batch.id, finished_at=tx.now, lease_until=None)
    return read_batch(tx, tx.sql.execute(select(batches).where(batches.c.id == batch.id)).one())


def split(tx: Transaction, batch: Batch, groups: Sequence[Sequence[str]]) -> list[str]:
    """Finish a batch and make one of each group of its requests, to be claimed in this order.

    The new ones begin at the first step of the ladder.

    Raises:
        LeaseLostError: if the batch is another worker's by now, or finished.
        RequestError: if the groups are not exactly what is left in it.
    """
    row = _own(tx, batch)
    parts = [list(group) for group in groups if group]
    if sorted(name for part in parts for name in part) != sorted(
        entry.id for entry in inside(tx, batch.id)
    ):
        raise RequestError(
            f"The groups are not exactly the requests that are left in {batch.id}. Nothing was "
            "changed. See `lethe requests list`."
        )
    _set(tx, batch.id, finished_at=tx.now, lease_until=None)
    ids = []
    for part in parts:
        new = new_batch_id()
        add_batch(tx, new, row.model, row.model_name, parent_batch=batch.id)
        for some in chunks(part):
            tx.sql.execute(update(requests).where(requests.c.id.in_(some)).values(batch_id=new))
        ids.append(new)
    return ids


def surrender(tx: Transaction, batch: Batch, *, counted: bool) -> None:
    """End the lease now; whether the attempt counts is for its worker to say.

    A finished batch has no lease; that is no error.

    Raises:
        LeaseLostError: if the batch is another worker's by now.
    """
    row = tx.sql.execute(select(batches).where(batches.c.id == batch.id)).one_or_none()
    if row is None or row.token != batch.token:
        raise _lost(batch)
    if row.finished_at is None and row.lease_until is not None:
        _set(tx, batch.id, lease_until=None, attempt=row.attempt - (not counted))


def add_batch(
    tx: Transaction, batch_id: str, model: str, model_name: str, *, parent_batch: str | None = None
) -> None:
    """A batch that nobody has yet."""
    values = {
        "id": batch_id,
        "model": model,
        "model_name": model_name,
        "token": new_token(),
        "attempt": 0,
        "rung": 0,
        "parent_batch": parent_batch,
        "created_at": tx.now,
    }
    tx.sql.execute(batches.insert(), values)


def _own(tx: Transaction, batch: Batch) -> Row[Any]:
    row = tx.sql.execute(select(batches).where(batches.c.id == batch.id, UNFINISHED)).one_or_none()
    if row is None or row.token != batch.token:
        raise _lost(batch)
    return row


def _set(tx: Transaction, batch_id: str, **values: Any) -> None:
    tx.sql.execute(update(batches).where(batches.c.id == batch_id).values(**values))


def _concluded(tx: Transaction, batch_id: str, ids: Sequence[str]) -> dict[str, State]:
    found: dict[str, State] = {}
    for part in chunks(ids):
        query = select(requests.c.id, requests.c.state).where(
            requests.c.id.in_(part), requests.c.batch_id == batch_id
        )
        found |= {name: State(state) for name, state in tx.sql.execute(query)}
    return found


def _lost(batch: Batch) -> LeaseLostError:
    return LeaseLostError(
        f"{batch.id} is another worker's by now, or finished. Nothing was changed in the ledger; "
        f"stop working on it. `lethe requests list` shows where its requests stand."
    )
