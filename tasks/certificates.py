"""Certificates of requests, made from the signed record alone."""

from pathlib import Path

from lethe.audit.certificate import render_certificate
from lethe.audit.statement import Statement
from lethe.deletion.ledger.statements import Kept
from lethe.deletion.ledger.types import Batch
from lethe.settings import Settings
from model_registry import tags

# A batch of more is rarely read page by page; `lethe audit certificate` makes any of them.
MOST = 20


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
        return tags.CERTIFICATES_FOLDER
    return f"{tags.CERTIFICATES_FOLDER}/{batch.entries[0].id}.html"


def write_certificates(settings: Settings, statement: Statement, kept: Kept, folder: Path) -> None:
    """Write the pages of the requests of a run, where they are not too many."""
    requests = statement.predicate.requests[:MOST]
    pages = folder / tags.CERTIFICATES_FOLDER
    pages.mkdir()
    for one in requests:
        page = certificate_of(settings, statement, kept, one.id)
        (pages / f"{one.id}.html").write_text(page, encoding="utf-8")
