"""After a restore: what was erased after the backup, found in a copy of the audit log, done again.

The copy is `audit/statements.jsonl`, kept where the backup is not. Each record that the restored
ledger lacks is read; its signature must be by a key of this installation. What a record names is
done again as far as it says what was selected: whole classes. Which people or rows were meant no
record tells; such a request must come from its ticket again, and is named here.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from lethe.audit.dsse import Envelope
from lethe.audit.errors import AuditError
from lethe.audit.keyring import KeyRing
from lethe.audit.predicate import Predicate, Request
from lethe.audit.statement import Statement, digest
from lethe.data.forget_set import ForgetSpec
from lethe.data.selection import Selection
from lethe.deletion.ledger.types import Entry, Judgement
from lethe.deletion.request import DeletionRequest
from lethe.deletion.states import State
from lethe.errors import RequestError
from lethe.settings import Settings
from tasks.desk import Desk
from tasks.trail_check import trusted_ring

Fate = Literal["filed again", "tried again", "waits in the ledger", "ask again"]
WAITS = frozenset(
    {State.RECEIVED, State.AWAITING_APPROVAL, State.APPROVED, State.HELD, State.IN_PROGRESS}
)


@dataclass(frozen=True)
class Replayed:
    """A request that was carried out after the backup, and what becomes of it."""

    request: str
    sequence: int
    ticket: str | None
    source: str
    fate: Fate


def lost_statements(desk: Desk, copy: Path) -> Iterator[Statement]:
    """The records of a copy of the audit log that the ledger lacks, in order.

    Raises:
        AuditError: if a record is not signed by a key of this installation; nothing was changed.
        KeysError: if there are no public keys to check with.
    """
    ring = trusted_ring(desk.settings)
    known = {kept.digest for kept in desk.ledger.statements.after()}
    for number, line in enumerate(copy.read_bytes().splitlines(), 1):
        statement = _checked(line, number, ring)
        if digest(statement) not in known:
            yield statement


def replay(desk: Desk, copy: Path, *, actor: str, dry: bool = False) -> list[Replayed]:
    """File again what was carried out after the backup; doing it twice changes nothing.

    Args:
        desk: settings, policy and the restored ledger.
        copy: a copy of the audit log that is younger than the backup.
        actor: who does it, for the history.
        dry: only say what would be done.

    Raises:
        AuditError: if a record is not to be trusted. Nothing was changed.
    """
    lost = list(lost_statements(desk, copy))  # all are trusted before any is acted upon
    return [
        Replayed(
            request=one.id,
            sequence=statement.predicate.record.sequence,
            ticket=one.ticket,
            source=one.source,
            fate=_again(desk, statement.predicate, one, actor=actor, dry=dry),
        )
        for statement in lost
        if statement.predicate.successor is not None
        for one in statement.predicate.requests
    ]


def _checked(line: bytes, number: int, ring: KeyRing) -> Statement:
    envelope = Envelope.parse(line)
    if not envelope.signers(ring.public()):
        raise AuditError(
            f"Line {number} of the copy is not signed by a key of this installation. Nothing was "
            f"changed. Take another copy, or look at it with `lethe audit verify`."
        )
    return Statement.of_line(line)


def _again(desk: Desk, record: Predicate, one: Request, *, actor: str, dry: bool) -> Fate:
    entry = _entry(desk, one.id)
    if entry is not None and entry.state in WAITS:
        return "waits in the ledger"
    if entry is not None and entry.state in {State.REFUSED, State.FAILED}:
        if not dry:
            desk.ledger.retry(entry.id, actor=actor)
        return "tried again"
    if entry is not None or one.kind != "class":
        return "ask again"
    if not dry:
        reason = f"Carried out by record {record.record.sequence}, which a restore lost"
        judgement = Judgement(State.APPROVED, reason, policy=desk.policy.label, due_at=one.due_at)
        desk.ledger.file(_request(desk.settings, record, one), judgement, actor=actor)
    return "filed again"


def _entry(desk: Desk, request: str) -> Entry | None:
    try:
        return desk.ledger.get(request)
    except RequestError:
        return None


def _request(settings: Settings, record: Predicate, one: Request) -> DeletionRequest:
    """The request as the record has it; its model by the alias that is served.

    Of a batch of several requests the record has all classes together, so each asks for all: the
    ledger makes one of them the request and the others its duplicates.
    """
    name = record.parent.uri.removeprefix("models:/").rpartition("/")[0]
    return DeletionRequest(
        id=one.id,
        model=f"{name}@{settings.models.alias}",
        forget=ForgetSpec(
            dataset=record.data.path, selection=Selection(classes=record.data.classes)
        ),
        ground=one.ground,
        ticket=one.ticket,
        received_at=one.received_at,
        regulation=one.regulation,
        source=one.source,
    )
