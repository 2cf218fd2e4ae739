"""What people and the policy do with one request: approve, hold, release, cancel and so on.

Each function is one transaction's work on one request and returns its entry with the history.
"""

from datetime import datetime

from sqlalchemy import update

from lethe.deletion.ledger.history import Step, advance, known, note
from lethe.deletion.ledger.read import current, get
from lethe.deletion.ledger.tables import approvals, requests
from lethe.deletion.ledger.transaction import Transaction
from lethe.deletion.ledger.types import Entry, Facts
from lethe.deletion.states import ENDED, State, check_move
from lethe.errors import RequestError

# These moves need more than a name and a reason; here is what makes them.
_OTHERWISE = {
    State.RECEIVED: "filing",
    State.DUPLICATE: "filing",
    State.IN_PROGRESS: "a worker that claims it, `lethe requests process`",
    State.REGISTERED: "the worker that carries it out",
    State.REFUSED: "the worker that carries it out",
    State.FAILED: "the worker that carries it out",
}
_APPROVED_BY = {
    State.AWAITING_APPROVAL: "`lethe requests approve`",
    State.HELD: "`lethe requests release`",
}


def move(
    tx: Transaction, request_id: str, to: State, *, actor: str, reason: str | None, facts: Facts
) -> Entry:
    """Make a move that needs nothing else.

    Raises:
        RequestError: if it is not in the table of moves, or is made by other means.
    """
    return _step(tx, plain_step(current(tx, request_id), to, reason, facts), actor)


def plain_step(entry: Entry, to: State, reason: str | None, facts: Facts) -> Step:
    """A move that needs nothing but a name and a reason.

    Raises:
        RequestError: if it is not in the table of moves, or is made by other means.
    """
    check_move(entry.id, entry.state, to)
    means = _OTHERWISE.get(to)
    if to == State.APPROVED or (to == State.AWAITING_APPROVAL and entry.state == State.HELD):
        means = _APPROVED_BY.get(entry.state)
    if means is not None:
        raise RequestError(
            f"Request {entry.id} becomes {to} only by {means}. It was left unchanged and is "
            f"{entry.state}."
        )
    return Step(entry, to, reason, facts, _changes(entry, to))


def add_note(tx: Transaction, request_id: str, text: str, *, actor: str) -> Entry:
    """Add a line to the history."""
    note(tx, current(tx, request_id), text, actor=actor)
    return get(tx, request_id)


def set_facts(tx: Transaction, request_id: str, facts: Facts) -> Entry:
    """Keep the facts that are not None."""
    entry = current(tx, request_id)
    values = known(facts)
    if values:
        tx.sql.execute(
            update(requests).where(requests.c.id == entry.id).values(updated_at=tx.now, **values)
        )
    return get(tx, request_id)


def approve(tx: Transaction, request_id: str, *, actor: str) -> Entry:
    """Count an actor's approval; the last one that is needed approves the request.

    The same actor twice counts once.

    Raises:
        RequestError: if it does not wait for approval.
    """
    entry = current(tx, request_id)
    if entry.state != State.AWAITING_APPROVAL:
        raise RequestError(
            f"Request {entry.id} is {entry.state} and waits for no approval. It was left "
            f"unchanged. See `lethe requests show {entry.id}`."
        )
    if actor in entry.approvals:
        return get(tx, request_id)
    tx.sql.execute(approvals.insert(), {"request_id": entry.id, "actor": actor, "at": tx.now})
    given, needed = len(entry.approvals) + 1, entry.approvals_needed
    text = f"approved by {actor}, {given} of {needed}"
    if given < needed:
        note(tx, entry, text, actor=actor)
        return get(tx, request_id)
    approved = current(tx, request_id)
    return _step(tx, Step(approved, State.APPROVED, text), actor)


def require_approval(
    tx: Transaction, request_id: str, *, needed: int, reason: str, actor: str
) -> Entry:
    """Send an approved request to a person, unless one approved it before."""
    entry = current(tx, request_id)
    if entry.state == State.APPROVED and entry.approvals:
        return get(tx, request_id)
    if entry.state != State.APPROVED:
        raise RequestError(
            f"Request {entry.id} is {entry.state}, not approved. It was left unchanged. "
            f"See `lethe requests show {entry.id}`."
        )
    changes = {"approvals_needed": max(1, needed)}
    return _step(tx, Step(entry, State.AWAITING_APPROVAL, reason, changes=changes), actor)


def hold(tx: Transaction, request_id: str, *, actor: str, reason: str) -> Entry:
    """Stop a request until it is released."""
    entry = current(tx, request_id)
    return _step(tx, Step(entry, State.HELD, reason, changes=_changes(entry, State.HELD)), actor)


def release(tx: Transaction, request_id: str, *, actor: str) -> Entry:
    """Let a held request go on from where the hold found it.

    One that the policy held when it was filed goes where the policy's other rules lead.
    """
    entry = current(tx, request_id)
    if entry.state != State.HELD:
        raise RequestError(
            f"Request {entry.id} is {entry.state}, not held. It was left unchanged. "
            f"See `lethe requests show {entry.id}`."
        )
    to = entry.held_from or State.AWAITING_APPROVAL
    return _step(tx, Step(entry, to, "released", changes={"held_from": None}), actor)


def cancel(tx: Transaction, request_id: str, *, actor: str, reason: str | None) -> Entry:
    """Take a request back before it is carried out."""
    entry = current(tx, request_id)
    changes = _changes(entry, State.CANCELLED)
    return _step(tx, Step(entry, State.CANCELLED, reason, changes=changes), actor)


def retry(tx: Transaction, request_id: str, *, actor: str) -> Entry:
    """Have a refused or failed request tried again, in another batch."""
    entry = current(tx, request_id)
    if entry.state not in {State.REFUSED, State.FAILED}:
        raise RequestError(
            f"Request {entry.id} is {entry.state}; only one that was refused or failed is tried "
            f"again. It was left unchanged. See `lethe requests show {entry.id}`."
        )
    changes = {"batch_id": None}
    return _step(tx, Step(entry, State.APPROVED, "to be tried again", changes=changes), actor)


def extend(tx: Transaction, request_id: str, until: datetime, *, actor: str, reason: str) -> Entry:
    """Move the deadline, once, as far as its regulation allows (GDPR Art. 12(3)).

    Raises:
        RequestError: if it was moved before or has passed, if the request has ended, or if the
            new one is not later, or later than allowed.
    """
    entry = current(tx, request_id)
    why = _why_not(entry, until, tx.now)
    if why is not None:
        raise RequestError(
            f"The deadline of request {entry.id} was left unchanged: {why}. "
            f"See `lethe requests show {entry.id}`."
        )
    tx.sql.execute(
        update(requests).where(requests.c.id == entry.id).values(due_at=until, extended=True)
    )
    note(tx, entry, f"deadline moved to {until:%Y-%m-%d}: {reason}", actor=actor)
    return get(tx, request_id)


def _why_not(entry: Entry, until: datetime, now: datetime) -> str | None:
    due, latest = entry.due_at, entry.extendable_to
    if due is None or latest is None:
        return "its regulation gives none that can be moved"
    reasons = {
        f"the request is {entry.state}": entry.state in ENDED,
        "it was moved before, which is allowed once": entry.extended,
        f"it passed on {due:%Y-%m-%d}; it can be moved only before": now > due,
        f"the new one must be later than {due:%Y-%m-%d}": until <= due,
        f"its regulation allows none after {latest:%Y-%m-%d}": until > latest,
    }
    return next((reason for reason, holds in reasons.items() if holds), None)


def _changes(entry: Entry, to: State) -> dict[str, State | None]:
    if to == State.HELD:
        return {"held_from": entry.state}
    return {"held_from": None} if entry.held_from is not None else {}


def _step(tx: Transaction, step: Step, actor: str) -> Entry:
    advance(tx, step, actor=actor)
    return get(tx, step.entry.id)
