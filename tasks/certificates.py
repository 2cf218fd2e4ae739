"""Certificates of requests, made from the signed record alone."""

from pathlib import Path

from lethe.audit.certificate import render_certificate
from lethe.audit.certified import FOLDER, page_of, pages
from lethe.audit.statement import Statement
from lethe.deletion.ledger.statements import Kept
from lethe.deletion.ledger.types import Batch
from lethe.logs import trail
from lethe.settings import Settings


def certificate_of(settings: Settings, statement: Statement, kept: Kept, request_id: str) -> str:
    """The page of one request.

    Raises:
        AuditError: if the record is not about that request.
    """
    return render_certificate(
        statement,
        request_id,
        digest=kept.digest,
        sequence=kept.sequence,
        key_id=kept.key_id,
        controller=settings.audit.controller,
        verify_command="lethe audit verify",
    )


def certificate_path(batch: Batch) -> str:
    """The artifact with a batch's only certificate; the folder of all where there are several."""
    if len(batch.entries) > 1:
        return FOLDER
    return page_of(batch.entries[0].id)


def write_certificates(settings: Settings, statement: Statement, kept: Kept, folder: Path) -> None:
    """Write the pages of the requests of a run, where they are not too many."""
    (folder / FOLDER).mkdir(exist_ok=True)  # a task that is tried again finds it
    for request_id, path in pages(statement.predicate).items():
        page = certificate_of(settings, statement, kept, request_id)
        (folder / path).write_text(page, encoding="utf-8")
        ids = {"request_id": request_id, "statement": kept.digest}
        trail.info("A certificate was written", extra=ids)
