"""The audit trail in the ledger: records are added at the end, read in order, and never changed.

    kept = ledger.statements.append(work, run_id, make)

`make` is told the end of the chain and returns the next record, signed. It is called outside of any
transaction, for a key management service may take its time; if somebody else added a record
meanwhile, it is called again with the new end. A piece of work is recorded once: asked again, after
a kill, the ledger gives what it has.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Row, Select, func, insert, select

from lethe.deletion.ledger.tables import statements
from lethe.deletion.ledger.transaction import Transaction, Transactions

_PAGE = 500


@dataclass(frozen=True)
class Kept:
    """One record: its place, the digest of its statement, the envelope, the tree up to it."""

    sequence: int
    digest: str
    run_id: str
    key_id: str
    signed_at: datetime
    line: bytes
    tree: str


class Statements:
    """The records of a ledger; `Ledger.statements`."""

    def __init__(self, transactions: Transactions) -> None:
        self._run = transactions

    def append(self, work: str, make: Callable[[Kept | None], Kept]) -> Kept:
        """Add a record, or give back the one that this work has.

        Args:
            work: names what is recorded, the same again after a kill.
            make: the next record, of the last one so far, None for the first.
        """
        while True:
            known, last = self._run.read(_of_work, work)
            if known is not None:
                return known
            if self._run.write(_append, work, made := make(last)):
                return made

    def last(self) -> Kept | None:
        """The end of the chain."""
        return self._run.read(_last)

    def of_run(self, run_id: str) -> list[Kept]:
        """Records of an MLflow run, oldest first; mostly one."""
        return self._run.read(_of_run, run_id)

    def get(self, digest: str) -> Kept | None:
        """The record with this digest."""
        return self._run.read(_by_digest, digest)

    def count(self) -> int:
        """How many there are."""
        return self._run.read(
            lambda tx: int(tx.sql.scalar(select(func.count(statements.c.sequence))) or 0)
        )

    def after(self, sequence: int = 0) -> Iterator[Kept]:
        """All records after a place, in order, a page at a time."""
        while page := self._run.read(_page, sequence):
            yield from page
            sequence = page[-1].sequence


def _append(tx: Transaction, work: str, made: Kept) -> bool:
    """Whether the record was added; not if the chain has grown, or the work is recorded by now."""
    last = _last(tx)
    if made.sequence != (0 if last is None else last.sequence) + 1:
        return False
    if tx.sql.scalar(select(statements.c.sequence).where(statements.c.work == work)) is not None:
        return False
    tx.sql.execute(insert(statements), {**vars(made), "work": work})
    return True


def _of_work(tx: Transaction, work: str) -> tuple[Kept | None, Kept | None]:
    known = tx.sql.execute(_columns().where(statements.c.work == work)).one_or_none()
    return (None if known is None else _kept(known)), _last(tx)


def _last(tx: Transaction) -> Kept | None:
    row = tx.sql.execute(_columns().order_by(statements.c.sequence.desc()).limit(1)).one_or_none()
    return None if row is None else _kept(row)


def _of_run(tx: Transaction, run_id: str) -> list[Kept]:
    query = _columns().where(statements.c.run_id == run_id).order_by(statements.c.sequence)
    return [_kept(row) for row in tx.sql.execute(query)]


def _by_digest(tx: Transaction, digest: str) -> Kept | None:
    row = tx.sql.execute(_columns().where(statements.c.digest == digest)).one_or_none()
    return None if row is None else _kept(row)


def _page(tx: Transaction, after: int) -> list[Kept]:
    query = _columns().where(statements.c.sequence > after)
    return [
        _kept(row) for row in tx.sql.execute(query.order_by(statements.c.sequence).limit(_PAGE))
    ]


def _columns() -> Select[Any]:
    names = ("sequence", "digest", "run_id", "key_id", "signed_at", "line", "tree")
    return select(*(statements.c[name] for name in names))


def _kept(row: Row[Any]) -> Kept:
    return Kept(**row._mapping)  # noqa: SLF001 (SQLAlchemy's documented name)
