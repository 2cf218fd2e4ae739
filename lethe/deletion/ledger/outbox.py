"""The outbox: answers, notifications and triggers that are owed, written with the moves they tell.

A letter goes in with the transaction of its move, so neither is there without the other. A sender
leases it; that a sending was begun is committed before it begins, so whoever finds `attempt` above
1 knows that the letter may have arrived before. What a sent letter said is forgotten; its key stays
and keeps the letter from being written again.
"""

import secrets
from collections.abc import Collection, Sequence
from datetime import datetime, timedelta

from sqlalchemy import and_, func, or_, select, update

from lethe.deletion.ledger.read import chunks
from lethe.deletion.ledger.tables import letters
from lethe.deletion.ledger.transaction import Transaction, one_line
from lethe.deletion.ledger.types import Letter
from lethe.errors import RequestError

_OWED = and_(letters.c.sent_at.is_(None), letters.c.dead_at.is_(None))


def enqueue(tx: Transaction, new: Sequence[Letter]) -> int:
    """Put letters in; one whose key was there before is left out. Returns how many were new."""
    by_key: dict[str, Letter] = {}
    for letter in new:
        by_key.setdefault(letter.key, letter)
    for part in chunks(list(by_key)):
        known = select(letters.c.key).where(letters.c.key.in_(part))
        for key in tx.sql.scalars(known):
            del by_key[key]
    rows = [
        {
            "kind": letter.kind,
            "key": letter.key,
            "request_id": letter.request_id,
            "payload": tx.vault.seal(dict(letter.payload)),
            "created_at": tx.now,
            "due_at": tx.now,
            "attempt": 0,
            "token": "",
        }
        for letter in by_key.values()
    ]
    if rows:
        tx.sql.execute(letters.insert(), rows)
    return len(rows)


def take(
    tx: Transaction, worker: str, *, lease: timedelta, limit: int, kinds: Collection[str] | None
) -> list[Letter]:
    """Lease letters that are due, those that wait longest first, and count the attempt."""
    free = or_(letters.c.lease_until.is_(None), letters.c.lease_until <= tx.now)
    query = select(letters).where(_OWED, free, letters.c.due_at <= tx.now)
    if kinds is not None:
        query = query.where(letters.c.kind.in_(list(kinds)))
    rows = tx.sql.execute(query.order_by(letters.c.due_at, letters.c.seq).limit(limit)).all()
    token = f"{worker[:20]}:{secrets.token_hex(16)}"
    for part in chunks([row.key for row in rows]):
        tx.sql.execute(
            update(letters)
            .where(letters.c.key.in_(part))
            .values(attempt=letters.c.attempt + 1, token=token, lease_until=tx.now + lease)
        )
    return [
        Letter(
            kind=row.kind,
            key=row.key,
            payload=tx.vault.open(row.payload),
            request_id=row.request_id,
            id=row.seq,
            attempt=row.attempt + 1,
            token=token,
        )
        for row in rows
    ]


def sent(tx: Transaction, letter: Letter) -> None:
    """It arrived: true whoever holds the lease by now."""
    tx.sql.execute(
        update(letters)
        .where(letters.c.key == letter.key, letters.c.sent_at.is_(None))
        .values(sent_at=tx.now, dead_at=None, lease_until=None, payload=None, error=None)
    )


def not_sent(tx: Transaction, letter: Letter, error: str, retry_at: datetime | None) -> None:
    """It did not arrive. Another sender that has it by now decides for itself."""
    ends = {"dead_at": tx.now} if retry_at is None else {"due_at": retry_at}
    tx.sql.execute(
        update(letters)
        .where(letters.c.key == letter.key, letters.c.token == letter.token, _OWED)
        .values(error=one_line(error), lease_until=None, **ends)
    )


def owed(tx: Transaction) -> dict[str, int]:
    """How many letters of each kind wait to be sent."""
    query = select(letters.c.kind, func.count()).where(_OWED).group_by(letters.c.kind)
    return {row[0]: row[1] for row in tx.sql.execute(query)}


def dead(tx: Transaction) -> list[tuple[str, str, str | None, str | None, datetime]]:
    """Kind, key, request, last error and time of those given up, the oldest first."""
    query = select(letters).where(letters.c.dead_at.is_not(None)).order_by(letters.c.seq)
    return [(r.kind, r.key, r.request_id, r.error, r.dead_at) for r in tx.sql.execute(query)]


def revive(tx: Transaction, key: str) -> None:
    """Send a letter that was given up once more.

    Raises:
        RequestError: if there is none with that key, or what it said is no longer kept.
    """
    given_up = and_(letters.c.key == key, letters.c.dead_at.is_not(None))
    if tx.sql.scalar(select(letters.c.seq).where(given_up, letters.c.payload.is_(None))):
        raise RequestError(
            "What that letter said is no longer kept, so it cannot be sent. Nothing was changed. "
            "`lethe requests letters` shows whom it was about; answer them by other means."
        )
    done = tx.sql.execute(update(letters).where(given_up).values(dead_at=None, due_at=tx.now))
    if done.rowcount != 1:
        raise RequestError(
            "No letter with that key was given up. Nothing was changed. `lethe requests letters` "
            "shows those that were."
        )
