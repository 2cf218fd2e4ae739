"""Many requests at once: one transaction where a flow would otherwise need a thousand.

ledger.many.set_facts({"req-1": Facts(rows=12), ...})
"""

from collections.abc import Callable, Collection, Mapping
from datetime import timedelta
from typing import Any

from sqlalchemy import func, or_, select, update

from lethe.deletion.ledger.batches import UNFINISHED, is_leased
from lethe.deletion.ledger.errors import absent
from lethe.deletion.ledger.history import NOTHING, Step, advance_all, known, note
from lethe.deletion.ledger.read import chunks, entries, last_reasons
from lethe.deletion.ledger.requests import plain_step
from lethe.deletion.ledger.tables import batches, requests
from lethe.deletion.ledger.transaction import (
    Transaction,
    Transactions,
    checked_actor,
    one_line,
)
from lethe.deletion.ledger.types import WAITS, Entry, Facts, Judgement
from lethe.deletion.states import MOVES, State

_WAITING = {State.APPROVED, State.IN_PROGRESS}


class Many:
    """Reads and changes of many requests; `Ledger.many`."""

    def __init__(self, transactions: Transactions) -> None:
        self._run = transactions

    def move(self, ids: Collection[str], to: State, *, actor: str, reason: str) -> int:
        """Move those requests on that may go there; the others stay as they are.

        Two workers may settle the same requests: the second finds them further on.

        Returns:
            How many moved.
        """
        return self._run.write(_move, ids, to, actor=checked_actor(actor), reason=reason)

    def set_facts(self, facts: Mapping[str, Facts]) -> None:
        """Keep those facts of each request that are not None."""
        self._run.write(_set_facts, facts)

    def weigh(
        self, weighed: Mapping[str, tuple[Facts, Judgement | None]], *, actor: str
    ) -> dict[str, State]:
        """Keep what approved requests weigh, and move them to where that leads.

        A request that was decided upon otherwise in the meantime is left alone, and so is one that
        a person approved and is to be approved again. None: it stays approved.

        Returns:
            The state of each request now.
        """
        return self._run.write(_weigh, weighed, actor=checked_actor(actor))

    def again(self, ids: Collection[str], *, actor: str, reason: str) -> int:
        """Have registered requests carried out again, in another batch; how many there were."""
        return self._run.write(_again, ids, actor=checked_actor(actor), reason=reason)

    def waits(self, ids: Collection[str], reason: str, *, actor: str) -> int:
        """Note in the histories of requests what they wait for: those approved or in progress.

        Where the last line says so already, none is added: an outage may last for days.

        Returns:
            How many lines were added.
        """
        return self._run.write(_waits, ids, reason, actor=checked_actor(actor))

    def forgotten_by(self, versions: Collection[str]) -> list[Entry]:
        """Requests whose successor is one of these versions, NAME/NUMBER, in the order of filing.

        Duplicates, which share the facts of what they repeat, are left out.
        """
        return self._run.read(_forgotten_by, versions)

    def free(self, gone: Callable[[str], bool]) -> list[str]:
        """End the leases of workers that are known to be gone.

        Returns:
            The batches that may be taken up again at once.
        """
        return self._run.write(_free, gone)

    def lying(self, patience: timedelta) -> int:
        """How many requests wait for nobody: a run was to carry them out, and none does.

        Those of batches that were begun and that no worker has, and those that may not wait for the
        next scheduled run and have been approved for longer than `patience`.
        """
        return self._run.read(_lying, patience)

    def untouched(self) -> int:
        """How many models have approved requests that were weighed, and nothing that was begun."""
        return self._run.read(_untouched)


def _move(tx: Transaction, ids: Collection[str], to: State, *, actor: str, reason: str) -> int:
    found = [entry for entry in _entries(tx, ids) if to in MOVES[entry.state]]
    steps = [plain_step(entry, to, reason, NOTHING) for entry in found]
    advance_all(tx, steps, actor=actor)
    return len(steps)


def _weigh(
    tx: Transaction, weighed: Mapping[str, tuple[Facts, Judgement | None]], *, actor: str
) -> dict[str, State]:
    found = {entry.id: entry for entry in _entries(tx, weighed)}
    approved = {name: entry for name, entry in found.items() if entry.state is State.APPROVED}
    _set_facts(tx, {name: weighed[name][0] for name in approved})
    steps = []
    for name, entry in approved.items():
        judgement = weighed[name][1]
        if judgement is None or (judgement.state is State.AWAITING_APPROVAL and entry.approvals):
            continue
        changes: dict[str, Any] = {}
        if judgement.state is State.AWAITING_APPROVAL:
            changes = {"approvals_needed": max(1, judgement.approvals_needed)}
        elif judgement.state is State.HELD:
            changes = {"held_from": State.APPROVED}
        steps.append(Step(entry, judgement.state, judgement.reason, weighed[name][0], changes))
    moved = advance_all(tx, steps, actor=actor)
    return {**{e.id: e.state for e in found.values()}, **{e.id: e.state for e in moved}}


def _again(tx: Transaction, ids: Collection[str], *, actor: str, reason: str) -> int:
    found = [entry for entry in _entries(tx, ids) if entry.state is State.REGISTERED]
    steps = [Step(e, State.APPROVED, reason, changes={"batch_id": None}) for e in found]
    advance_all(tx, steps, actor=actor)
    return len(found)


def _waits(tx: Transaction, ids: Collection[str], reason: str, *, actor: str) -> int:
    text = one_line(f"{WAITS}{reason}")
    found = [entry for entry in _entries(tx, ids) if entry.state in _WAITING]
    said = last_reasons(tx, [entry.id for entry in found])
    fresh = [entry for entry in found if said.get(entry.id) != text]
    for entry in fresh:
        note(tx, entry, text or WAITS, actor=actor)
    return len(fresh)


def _set_facts(tx: Transaction, facts: Mapping[str, Facts]) -> None:
    for request_id, one in facts.items():
        if values := known(one):
            tx.sql.execute(update(requests).where(requests.c.id == request_id).values(**values))


def _forgotten_by(tx: Transaction, versions: Collection[str]) -> list[Entry]:
    found: list[Entry] = []
    for part in chunks(versions):
        query = select(requests).where(
            requests.c.successor.in_(part), requests.c.state != str(State.DUPLICATE)
        )
        found += entries(tx, query.order_by(requests.c.seq))
    return found


def _free(tx: Transaction, gone: Callable[[str], bool]) -> list[str]:
    leased = select(batches.c.id, batches.c.worker).where(
        UNFINISHED, batches.c.lease_until > tx.now
    )
    freed = [row.id for row in tx.sql.execute(leased).all() if gone(row.worker)]
    for part in chunks(freed):
        tx.sql.execute(update(batches).where(batches.c.id.in_(part)).values(lease_until=None))
    return freed


def _lying(tx: Transaction, patience: timedelta) -> int:
    leased = select(batches.c.id).where(is_leased(tx))
    begun = (requests.c.state == str(State.IN_PROGRESS)) & requests.c.batch_id.not_in(leased)
    overlooked = (
        (requests.c.state == str(State.APPROVED))
        & requests.c.at_once.is_(True)
        & (requests.c.updated_at <= tx.now - patience)
    )
    query = select(func.count()).select_from(requests).where(or_(begun, overlooked))
    return int(tx.sql.scalar(query) or 0)


def _untouched(tx: Transaction) -> int:
    begun = select(batches.c.model_name).where(UNFINISHED)
    waiting = select(func.count(requests.c.model_name.distinct())).where(
        requests.c.state == str(State.APPROVED),
        requests.c.missing.is_not(None),
        requests.c.model_name.not_in(begun),
    )
    return int(tx.sql.scalar(waiting) or 0)


def _entries(tx: Transaction, ids: Collection[str]) -> list[Entry]:
    found: list[Entry] = []
    for part in chunks(ids):
        query = select(requests).where(requests.c.id.in_(part)).order_by(requests.c.seq)
        found += entries(tx, query)
    if missing := set(ids) - {entry.id for entry in found}:
        raise absent(min(missing))
    return found
