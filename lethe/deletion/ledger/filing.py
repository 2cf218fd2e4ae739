"""Filing: a request becomes rows of the ledger, judged and, if it repeats another, marked so."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import select

from lethe.deletion.ledger.history import judged_changes, tell, write_moves
from lethe.deletion.ledger.read import FACTS, chunks, current, entry_with, get
from lethe.deletion.ledger.tables import requests
from lethe.deletion.ledger.transaction import Transaction, model_name, one_line
from lethe.deletion.ledger.types import Entry, Judgement, Move
from lethe.deletion.request import DeletionRequest
from lethe.deletion.states import ENDED, OPEN, State, check_move
from lethe.deletion.vault import canonical
from lethe.errors import RequestError

_IS_OPEN = requests.c.state.in_([str(state) for state in OPEN])


@dataclass(frozen=True)
class Filing:
    """A request to be filed. `by_delivery`: it came with a delivery and has its ticket alone."""

    request: DeletionRequest
    judgement: Judgement
    actor: str
    reply: Mapping[str, Any] = field(default_factory=dict, repr=False)
    by_delivery: bool = False


def content_digest(tx: Transaction, request: DeletionRequest) -> str:
    """Keyed fingerprint of what a request asks for: equal for requests for the same thing."""
    asked = _as_sets(request.forget.model_dump(mode="json"))
    return tx.vault.digest([request.model, request.evaluation, asked])


def _as_sets(value: Any) -> Any:
    """A selection names sets: order and repetition in its lists say nothing."""
    if isinstance(value, dict):
        return {name: _as_sets(inner) for name, inner in value.items()}
    if isinstance(value, list):
        inside = {canonical(item): item for item in map(_as_sets, value)}
        return [inside[key] for key in sorted(inside)]
    return value


def file(tx: Transaction, filing: Filing) -> Entry:
    """File one request; filing the very same again changes nothing.

    Raises:
        RequestError: if another request has its id, or the judgement is none.
    """
    request = filing.request
    there = tx.sql.scalar(select(requests.c.id).where(requests.c.id == request.id))
    if there is None:
        digest = content_digest(tx, request)
        file_all(tx, [(filing, digest)], originals(tx, [digest]))
    elif not _is_filed(tx, request):
        raise RequestError(
            f"The id of this request, {request.id}, belongs to another one. That one was left "
            f"unchanged. Give it a new id; `lethe requests show {request.id}` shows the other."
        )
    return get(tx, request.id)


def _is_filed(tx: Transaction, request: DeletionRequest) -> bool:
    """Whether what is filed under a request's id says the same.

    Where the selection is no longer kept, the content's digest tells.
    """
    there = current(tx, request.id)
    if not there.selection_gone:
        return is_same(there.request, request)
    kept = select(requests.c.content_digest).where(requests.c.id == request.id)
    bare = request.forget.model_copy(update={"selection": None})
    return tx.sql.scalar(kept) == content_digest(tx, request) and is_same(
        there.request, request.model_copy(update={"forget": bare})
    )


def is_same(one: DeletionRequest, other: DeletionRequest) -> bool:
    """Whether two requests say the same, apart from when they were received."""
    return one == other.model_copy(update={"received_at": one.received_at})


def originals(tx: Transaction, digests: Collection[str]) -> dict[str, str]:
    """Per content digest the oldest request that is still open."""
    found: dict[str, str] = {}
    for part in chunks(digests):
        query = (
            select(requests.c.content_digest, requests.c.id)
            .where(
                requests.c.content_digest.in_(part),
                _IS_OPEN,
            )
            .order_by(requests.c.seq)
        )
        for digest, request_id in tx.sql.execute(query):
            found.setdefault(digest, request_id)
    return found


def file_all(
    tx: Transaction, filings: Sequence[tuple[Filing, str]], known: dict[str, str]
) -> list[Entry]:
    """File requests with ids that are not taken, each with its content digest.

    `known` maps content digests to open requests; it is brought up to date.

    Raises:
        RequestError: if a judgement is not one that a new request can have.
    """
    if not filings:
        return []
    rows: list[dict[str, Any]] = []
    told: list[tuple[Entry, Move]] = []
    after: list[Entry] = []
    for filing, digest in filings:
        row, steps = _new(tx, filing, digest, known.get(digest))
        if steps[-1][0].state in OPEN:
            known.setdefault(digest, filing.request.id)
        rows.append(row)
        told += steps
        after.append(steps[-1][0])
    tx.sql.execute(requests.insert(), rows)
    write_moves(tx, ((entry.id, move) for entry, move in told))
    tell(tx, told)
    return after


def _new(
    tx: Transaction, filing: Filing, digest: str, original: str | None
) -> tuple[dict[str, Any], list[tuple[Entry, Move]]]:
    """The row of a new request, and the two moves it begins with."""
    row = _row(tx, filing, digest)
    received = entry_with(row, filing.request, filing.reply)
    judged, reason = filing.judgement.state, filing.judgement.reason
    check_move(filing.request.id, State.RECEIVED, judged)
    changes: dict[str, Any] = judged_changes(received, judged)
    # What the policy refuses is refused, whoever else may ask for the same.
    if original is not None and judged != State.REJECTED:
        judged, reason, changes = (
            State.DUPLICATE,
            f"asks for the same as {original}",
            {"duplicate_of": original},
        )
    held_from = changes.get("held_from")
    row |= changes | {"state": str(judged), "reason": one_line(reason)}
    row["held_from"] = None if held_from is None else str(held_from)
    row["ended_at"] = tx.now if judged in ENDED else None
    settled = entry_with(row, filing.request, filing.reply)
    return row, [
        (received, Move(tx.now, filing.actor, None, State.RECEIVED)),
        (settled, Move(tx.now, filing.actor, State.RECEIVED, judged, row["reason"])),
    ]


def _row(tx: Transaction, filing: Filing, digest: str) -> dict[str, Any]:
    request, judgement, forget = filing.request, filing.judgement, filing.request.forget
    needed = judgement.approvals_needed
    if judgement.state == State.AWAITING_APPROVAL:
        needed = max(1, needed)
    chosen = forget.selection
    return {
        "id": request.id,
        "model": request.model,
        "model_name": model_name(request.model),
        "repository": forget.repository,
        "dataset": forget.dataset,
        "rev": forget.rev,
        "whole": forget.whole,
        "evaluation": request.evaluation,
        "selection": None if chosen is None else tx.vault.seal(chosen.model_dump(mode="json")),
        "content_digest": digest,
        "source": request.source,
        "ticket": request.ticket,
        "by_delivery": filing.by_delivery,
        "ground": request.ground,
        "regulation": request.regulation,
        "received_at": request.received_at,
        "due_at": judgement.due_at,
        "extendable_to": judgement.extendable_to,
        "extended": False,
        "reply": tx.vault.seal(dict(filing.reply)) if filing.reply else None,
        "policy": judgement.policy,
        "at_once": judgement.at_once,
        "approvals_needed": needed,
        "judged_state": str(judgement.state),
        "judged_reason": one_line(judgement.reason) or "",
        "state": str(State.RECEIVED),
        "reason": None,
        "updated_at": tx.now,
        "ended_at": None,
        "held_from": None,
        "duplicate_of": None,
        "batch_id": None,
        "purged_at": None,
        "selected_by": None,
        **dict.fromkeys(FACTS),
    }
