"""Claiming: which requests a worker carries out next.

First what was begun and is nobody's now, the oldest first; then the most urgent request that is
approved, together with all others for the same model, data set and revision.
"""

from collections.abc import Collection, Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, or_, select, update

from lethe.deletion.ledger.batches import (
    UNFINISHED,
    add_batch,
    is_leased,
    new_batch_id,
    new_token,
    read_batch,
    urgency,
)
from lethe.deletion.ledger.history import Step, advance_all
from lethe.deletion.ledger.read import chunks, entries
from lethe.deletion.ledger.tables import batches, requests
from lethe.deletion.ledger.transaction import Transaction
from lethe.deletion.ledger.types import Batch
from lethe.deletion.states import State

# What requests must have in common to become one edit.
_GROUP = ("model", "repository", "dataset", "rev", "whole", "evaluation")


def claim(
    tx: Transaction,
    worker: str,
    *,
    lease: timedelta,
    limit: int,
    models: Collection[str] | None,
    ids: Collection[str] | None,
    skip: Collection[str],
    weighed: bool,
    now: datetime | None,
) -> Batch | None:
    """Lease a batch, or none if there is nothing to do."""
    tx = tx if now is None else replace(tx, now=now)
    batch_id = _begun(tx, models, ids, skip) or _new(
        tx, worker, limit, models, ids, weighed=weighed
    )
    if batch_id is None:
        return None
    tx.sql.execute(
        update(batches)
        .where(batches.c.id == batch_id)
        .values(
            attempt=batches.c.attempt + 1,
            token=new_token(),
            worker=worker,
            lease_until=tx.now + lease,
        )
    )
    return read_batch(tx, tx.sql.execute(select(batches).where(batches.c.id == batch_id)).one())


def _begun(
    tx: Transaction,
    models: Collection[str] | None,
    ids: Collection[str] | None,
    skip: Collection[str],
) -> str | None:
    """The oldest batch that was begun, or split off, and that nobody has."""
    busy = select(batches.c.model_name).where(is_leased(tx))
    query = select(batches.c.id).where(
        UNFINISHED,
        or_(batches.c.lease_until.is_(None), batches.c.lease_until <= tx.now),
        batches.c.model_name.not_in(busy),
        batches.c.id.not_in(list(skip)),
        *_of(batches, models),
    )
    if ids is None:
        oldest: str | None = tx.sql.scalar(query.order_by(batches.c.seq).limit(1))
        return oldest
    wanted = set(ids)
    for batch_id in tx.sql.scalars(query.order_by(batches.c.seq)).all():
        held = select(requests.c.id).where(
            requests.c.batch_id == batch_id, requests.c.state == str(State.IN_PROGRESS)
        )
        if wanted & set(tx.sql.scalars(held)):
            return str(batch_id)
    return None


def _new(
    tx: Transaction,
    worker: str,
    limit: int,
    models: Collection[str] | None,
    ids: Collection[str] | None,
    *,
    weighed: bool,
) -> str | None:
    """A new batch of approved requests, of a model of which nothing is begun."""
    begun = select(batches.c.model_name).where(UNFINISHED)
    waiting = (
        select(requests)
        .where(
            requests.c.state == str(State.APPROVED),
            requests.c.model_name.not_in(begun),
            *_of(requests, models),
            *_among(ids),
            *([requests.c.missing.is_not(None)] if weighed else []),
        )
        .order_by(*urgency())
    )
    first = tx.sql.execute(waiting.limit(1)).one_or_none()
    if first is None:
        return None
    same = [requests.c[name].is_not_distinct_from(getattr(first, name)) for name in _GROUP]
    chosen = entries(tx, waiting.where(*same).limit(limit))
    batch_id = new_batch_id()
    add_batch(tx, batch_id, first.model, first.model_name)
    changes = {"batch_id": batch_id}
    steps = [Step(entry, State.IN_PROGRESS, None, changes=changes) for entry in chosen]
    advance_all(tx, steps, actor=worker)
    return batch_id


def _of(table: Any, models: Collection[str] | None) -> Iterator[ColumnElement[bool]]:
    """Only these models, by registered name or by name and alias or number."""
    if models is not None:
        names = list(models)
        yield or_(table.c.model.in_(names), table.c.model_name.in_(names))


def _among(ids: Collection[str] | None) -> Iterator[ColumnElement[bool]]:
    if ids is not None:
        parts = [requests.c.id.in_(part) for part in chunks(ids)]
        yield or_(*parts) if parts else requests.c.id.is_(None)
