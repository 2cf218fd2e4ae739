"""Where records are signed, chained and kept: in the ledger, beside it as a file, and in S3.

    notary = open_notary(desk)
    kept = notary.record(work, run_id, build)    # `build` makes the statement for a place
    notary.publish()                             # log, checkpoint, write-once copies

The ledger decides: a record is there, whole, or it was never made. All copies follow it, and catch
up with whatever a killed process or a store that was away left out; none of them can hold an edit
up. The first key is made by itself where nothing was ever signed, so that nobody has to begin with
keys; from then on a missing one is an error.
"""

import json
import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib import import_module
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import Final, Literal

from lethe.audit.anchor import S3Anchor
from lethe.audit.chain import Checkpoint
from lethe.audit.dsse import Signs, sign
from lethe.audit.errors import AuditError, KeysError
from lethe.audit.keyring import KeyRing, stamp
from lethe.audit.keystore import KeyStore, SignsAndShows, signer_from_pem
from lethe.audit.logfile import LogFile
from lethe.audit.merkle import CompactRange
from lethe.audit.predicate import Place
from lethe.audit.statement import Statement, canonical_bytes, digest
from lethe.deletion.ledger.ledger import Ledger
from lethe.deletion.ledger.statements import Kept
from lethe.logs import trail
from lethe.settings import Settings

LOG: Final = "statements.jsonl"
CHECKPOINT: Final = "checkpoint.json"
log = logging.getLogger("lethe.audit")


@dataclass(frozen=True)
class Notary:
    """Signs records and keeps them."""

    settings: Settings
    ledger: Ledger
    signer: Signs
    ring: KeyRing

    @property
    def folder(self) -> Path:
        """Where log and checkpoint are."""
        return self.settings.audit_folder

    def record(self, work: str, run_id: str, build: Callable[[Place], Statement]) -> Kept:
        """Sign a statement and add it to the chain; work that has a record keeps that one.

        Args:
            work: names what is recorded, the same again after a kill.
            run_id: the MLflow run.
            build: the statement for its place in the chain; called again if another process was
                faster, with the next place.
        """
        kept = self.ledger.statements.append(work, lambda last: self._next(last, run_id, build))
        trail.info(
            "A record was signed: number %d",
            kept.sequence,
            extra={"statement": kept.digest, "mlflow_run_id": run_id, "key_id": kept.key_id},
        )
        self.publish()
        return kept

    def publish(self) -> None:
        """Bring log and checkpoint up to the ledger; what fails is told and done the next time."""
        try:
            LogFile(self.folder / LOG).catch_up(self._lines_after)
            checkpoint = self._write_checkpoint()
            self._anchor(checkpoint)
        except (AuditError, OSError) as error:
            log.warning("The copies of the audit trail were not brought up to date: %s", error)

    def _next(self, last: Kept | None, run_id: str, build: Callable[[Place], Statement]) -> Kept:
        now = datetime.now(UTC).replace(microsecond=0)
        place = Place(
            sequence=1 if last is None else last.sequence + 1,
            previous=None if last is None else last.digest,
            key_id=self.signer.key_id,
            signed_at=now,
        )
        statement = build(place)
        tree = CompactRange() if last is None else _tree(last)
        known = digest(statement)
        return Kept(
            sequence=place.sequence,
            digest=known,
            run_id=run_id,
            key_id=place.key_id,
            signed_at=now,
            line=sign(canonical_bytes(statement), self.signer).line(),
            tree=json.dumps(tree.append(bytes.fromhex(known)).to_hex()),
        )

    def _lines_after(self, sequence: int) -> Iterator[bytes]:
        return (kept.line for kept in self.ledger.statements.after(sequence))

    def _write_checkpoint(self) -> Checkpoint | None:
        last = self.ledger.statements.last()
        if last is None:
            return None
        made = checkpoint_of(last, self.signer)
        with NamedTemporaryFile(dir=self.folder, delete=False) as draft:
            draft.write(made.signed(self.signer).line() + b"\n")
        Path(draft.name).chmod(0o644)
        Path(draft.name).replace(self.folder / CHECKPOINT)
        return made

    def _anchor(self, checkpoint: Checkpoint | None) -> None:
        """Write-once copies of what has none yet; the newest one that has one ends the search."""
        anchor = open_anchor(self.settings)
        if anchor is None or checkpoint is None:
            return
        there = max(anchor.names("statements/"), default=None)
        if there is None:
            anchor.check()
            there = "statements/0.json"
        for kept in self.ledger.statements.after(int(Path(there).stem)):
            anchor.put(f"statements/{kept.sequence:012d}.json", kept.line)
        name = f"checkpoints/{checkpoint.size:012d}.json"
        if anchor.get(name) is None:
            anchor.put(name, checkpoint.signed(self.signer).line())


def open_anchor(settings: Settings) -> S3Anchor | None:
    """Where write-once copies go; None where the settings name no bucket."""
    s3 = settings.audit.s3
    if s3.bucket is None:
        return None
    mode: dict[str, Literal["COMPLIANCE", "GOVERNANCE"]] = {
        "compliance": "COMPLIANCE",
        "governance": "GOVERNANCE",
    }
    return S3Anchor(
        bucket=s3.bucket,
        prefix=s3.prefix,
        mode=mode.get(s3.lock),
        retain_months=settings.audit.retention_months,
        endpoint_url=s3.endpoint_url,
        region=s3.region,
    )


def record_name(kept: Kept) -> str:
    """How messages call a record."""
    return f"record {kept.sequence} (sha256 {kept.digest[:16]})"


def checkpoint_of(last: Kept, signer: Signs) -> Checkpoint:
    """How far the chain goes, as of now."""
    return Checkpoint(
        size=last.sequence,
        head=last.digest,
        root=_tree(last).root().hex(),
        signed_at=stamp(datetime.now(UTC)),
        key_id=signer.key_id,
    )


def _tree(last: Kept) -> CompactRange:
    return CompactRange.from_hex(last.sequence, json.loads(last.tree))


def open_notary(settings: Settings, ledger: Ledger) -> Notary:
    """Load the key, before anything is computed that would need it.

    Raises:
        KeysError: if there is none, it is not safe, or it is not one that the chain knows.
    """
    store, now = KeyStore(settings.audit_folder / "keys"), datetime.now(UTC)
    audit = settings.audit
    last = ledger.statements.last()
    signer: Signs
    if audit.signer is not None or audit.key is not None:
        shown = elsewhere(settings)
        signer, ring = shown, store.adopt(shown, now)
    else:
        if last is None and store.ring() is None:
            store.init(now)
        signer = store.signer(now)
        ring = store.ring() or KeyRing(())
    if last is not None and last.key_id not in ring.public():
        raise KeysError(
            f"The last record was signed with key {last.key_id[:16]}, which is not in {store.path}."
            " Nothing was signed. Bring the key ring of the machine that signed it, or name the "
            "folder with audit.folder."
        )
    return Notary(settings, ledger, signer, ring)


def elsewhere(settings: Settings) -> SignsAndShows:
    """The signer that the settings name in place of a key in the folder."""
    audit = settings.audit
    if audit.signer is not None:
        return _factory(audit.signer)()
    key = "" if audit.key is None else audit.key.get_secret_value()
    return signer_from_pem(key.encode(), "audit.key")


def _factory(name: str) -> Callable[[], SignsAndShows]:
    module, _, function = name.partition(":")
    try:
        found: Callable[[], SignsAndShows] = getattr(import_module(module), function)
    except (ImportError, AttributeError, ValueError):
        raise KeysError(
            f"audit.signer names {name}, which cannot be imported. Nothing was signed. Write "
            "PACKAGE.MODULE:FUNCTION of something that is installed here."
        ) from None
    return found
