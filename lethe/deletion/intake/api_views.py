"""What the JSON API shows of a request: never its selection, never where its answer goes."""

from datetime import UTC, datetime

from pydantic import BaseModel, Field

from lethe.deletion.ledger.types import Entry, Facts
from lethe.deletion.states import OPEN, State


class MoveView(BaseModel):
    """One line of a request's history."""

    at: datetime
    actor: str
    before: State | None = Field(description="null for its filing; equal to after for a note")
    after: State
    reason: str | None


class FactsView(BaseModel):
    """What is known of a request beside what it asks; null until it is known."""

    rows: int | None
    share: float | None
    missing: int | None
    parent: str | None
    successor: str | None
    verdict: str | None
    run_id: str | None
    statement: str | None
    forget_accuracy: float | None


class RequestView(BaseModel):
    """A request, without its history."""

    id: str
    state: State
    reason: str | None = Field(description="of the last move")
    source: str
    ticket: str | None
    model: str
    dataset: str
    selects: str | None = Field(description="class, subject or samples; null: the whole data set")
    purged_at: datetime | None = Field(
        description="since when what was selected is no longer kept; null: it is kept"
    )
    ground: str
    regulation: str
    received_at: datetime
    updated_at: datetime
    due_at: datetime | None
    days_left: int | None = Field(description="whole days; negative: late; null: nothing is due")
    extendable_to: datetime | None
    extended: bool
    approvals_needed: int
    approvals: list[str]
    duplicate_of: str | None
    batch_id: str | None
    policy: str | None = Field(description="version and digest of the policy that judged it")
    facts: FactsView


class RequestDetail(RequestView):
    """A request with its history, oldest first."""

    history: list[MoveView]


class RequestPage(BaseModel):
    """Some requests, newest first."""

    requests: list[RequestView]
    next: str | None = Field(description="give it as `after`; null: this is the last page")


def view(entry: Entry, now: datetime | None = None) -> RequestView:
    """An entry as a request without history."""
    return RequestView(**_fields(entry, now or datetime.now(UTC)))


def detail(entry: Entry, now: datetime | None = None) -> RequestDetail:
    """An entry as a request with history."""
    history = [
        MoveView(at=m.at, actor=m.actor, before=m.before, after=m.after, reason=m.reason)
        for m in entry.history
    ]
    return RequestDetail(**_fields(entry, now or datetime.now(UTC)), history=history)


def _fields(entry: Entry, now: datetime) -> dict[str, object]:
    request = entry.request
    selection = request.forget.selection
    due = entry.due_at if entry.state in OPEN else None
    return {
        "id": entry.id,
        "state": entry.state,
        "reason": entry.reason,
        "source": request.source,
        "ticket": request.ticket,
        "model": request.model,
        "dataset": request.forget.dataset,
        "selects": selection.kind if selection else entry.selected_by,
        "purged_at": entry.purged_at,
        "ground": request.ground,
        "regulation": request.regulation,
        "received_at": request.received_at,
        "updated_at": entry.updated_at,
        "due_at": entry.due_at,
        "days_left": (due - now).days if due else None,
        "extendable_to": entry.extendable_to,
        "extended": entry.extended,
        "approvals_needed": entry.approvals_needed,
        "approvals": list(entry.approvals),
        "duplicate_of": entry.duplicate_of,
        "batch_id": entry.batch_id,
        "policy": entry.policy,
        "facts": _facts(entry.facts),
    }


def _facts(facts: Facts) -> FactsView:
    return FactsView(**{name: getattr(facts, name) for name in FactsView.model_fields})
