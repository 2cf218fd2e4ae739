"""Bundles: records with what is needed to check them elsewhere, in one file."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from lethe.audit.bundle import write_bundle
from lethe.audit.chain import Checkpoint
from lethe.audit.errors import AuditError
from lethe.audit.keyring import stamp
from lethe.deletion.ledger.ledger import Ledger
from lethe.deletion.ledger.statements import Kept
from lethe.settings import Settings
from tasks.certificates import certificate_of
from tasks.notary import CHECKPOINT
from tasks.receipts import record_of
from tasks.trail_check import trusted_ring


@dataclass(frozen=True)
class Wanted:
    """Which records: that of a request, or those signed in a period, or, with nothing set, all."""

    request_id: str | None = None
    since: datetime | None = None
    until: datetime | None = None

    @property
    def all(self) -> bool:
        """Whether nothing is left out."""
        return self == Wanted()

    def has(self, at: datetime) -> bool:
        """Whether a moment lies in the period: from `since` on, before `until`."""
        return (self.since is None or self.since <= at) and (self.until is None or at < self.until)


def export_bundle(settings: Settings, ledger: Ledger, path: Path, wanted: Wanted) -> int:
    """Write the records of a request or a period, or all, as a bundle; how many they are.

    Args:
        settings: where keys and checkpoint are.
        ledger: where the records are.
        path: the zip to write; its folder must be there.
        wanted: which records; with that of a request comes its certificate.

    Raises:
        AuditError: if there is no checkpoint, or no such record.
        RequestError: if the request has no record.
        KeysError: if there is no key ring.
    """
    ring = trusted_ring(settings)
    line = _checkpoint(settings)
    size = Checkpoint.read(line, ring).size
    what, chosen, extra = _chosen(settings, ledger, size, wanted)
    kept = None if wanted.all else list(chosen)
    if kept == [] or size == 0:
        raise AuditError(
            "There is no such record. Nothing was written. `lethe audit list` shows all."
        )
    write_bundle(
        path,
        lines=(one.line for one in (_covered(ledger, size) if kept is None else kept)),
        ring=ring,
        checkpoint_line=line,
        digests=[] if kept is None else [one.digest for one in _covered(ledger, size)],
        what=what,
        extra=extra,
    )
    return size if kept is None else len(kept)


def _chosen(
    settings: Settings, ledger: Ledger, size: int, wanted: Wanted
) -> tuple[dict[str, Any], Iterable[Kept], dict[str, bytes]]:
    """What the bundle says of itself, its records, and the certificates in it."""
    if wanted.request_id is not None:
        entry, kept, statement = record_of(ledger, wanted.request_id)
        named = {one.id for one in statement.predicate.requests}
        pages = {
            f"certificates/{one}.html": certificate_of(settings, statement, kept, one).encode()
            for one in named & {entry.id}
        }
        return {"request": entry.id}, [kept], pages
    if wanted.all:
        return {"all": True}, [], {}
    found = [one for one in _covered(ledger, size) if wanted.has(one.signed_at)]
    ends = [wanted.since or one.signed_at for one in found[:1]]
    ends += [wanted.until or one.signed_at for one in found[-1:]]
    return dict(zip(("from", "to"), map(stamp, ends), strict=False)), found, {}


def _covered(ledger: Ledger, size: int) -> Iterable[Kept]:
    """The records that the checkpoint covers; a newer one may have come meanwhile."""
    return (one for one in ledger.statements.after() if one.sequence <= size)


def _checkpoint(settings: Settings) -> bytes:
    path = settings.audit_folder / CHECKPOINT
    try:
        return path.read_bytes().rstrip(b"\n")
    except FileNotFoundError:
        raise AuditError(
            f"There is no {path}, so nobody could tell whether records are missing. Nothing was "
            "written. It is made with the next record; `lethe audit verify` says what else differs."
        ) from None
