"""Checks a bundle from its first byte to its last; see `lethe.audit.verify`."""

from collections.abc import Callable, Generator, Iterable
from contextlib import closing
from pathlib import Path
from typing import Any

from lethe.audit.bundle import CHECKPOINT, PROOFS, RING, STATEMENTS, paths_in
from lethe.audit.chain import Checkpoint, Link
from lethe.audit.keyring import KeyRing
from lethe.audit.verify.archive import Archive, open_archive
from lethe.audit.verify.choice import Choice
from lethe.audit.verify.examine import Examined
from lethe.audit.verify.receipts import Receipts
from lethe.audit.verify.records import Trust, check_all, check_chosen
from lethe.audit.verify.report import Report, shown
from lethe.audit.verify.shared import examined
from lethe.audit.verify.trust import Remembered, read_checkpoint, trusted_ring


def verify_bundle(
    path: Path | str,
    *,
    keys: KeyRing | None = None,
    key_id: str | None = None,
    receipt: dict[str, Any] | None = None,
    checkpoint: bytes | None = None,
    workers: int | None = None,
) -> Report:
    """Check a bundle; nothing is unpacked, no server is asked.

    Args:
        path: the zip.
        keys: the key ring from elsewhere.
        key_id: or the id of its first key, hex.
        receipt: a receipt of rows, as `json.loads` gave it.
        checkpoint: a signed checkpoint from elsewhere, such as one published later.
        workers: processes that examine the records of a long chain; None uses two where there are
            two processors, 1 none but this one. The report is the same.

    Returns:
        What was found. Malformed content is reported, never raised.

    Raises:
        BundleError: if the file is not a bundle at all.
    """
    with open_archive(Path(path)) as archive:
        report = Report("")
        choice = Choice(archive.what, report)
        report.title = f"{shown(Path(path).name)}: {choice.words}"
        problems = archive.problems()
        if choice.whole == (PROOFS in archive.names):
            words = "it goes with a part of the chain" if choice.whole else "it is missing"
            problems.append((PROOFS, words))
        for name, words in problems:
            report.bad("files", shown(name) or "the zip", words)
        if problems:
            report.skip("records", "nothing in the bundle was read, for what is wrong with it")
            return report
        trust = _trust(archive, keys, key_id, checkpoint, report)
        with closing(_examined(archive, trust, report, workers)) as records:
            _check_records(archive, choice, trust, records, report, receipt=receipt)
        _other_files(archive, report)
        return report


def _trust(
    archive: Archive,
    keys: KeyRing | None,
    key_id: str | None,
    checkpoint: bytes | None,
    report: Report,
) -> Trust:
    found = trusted_ring(_read(archive, RING, report), keys, key_id, report)
    ring = Remembered(found.keys)
    own = other = None
    if CHECKPOINT in archive.names:
        data = _read(archive, CHECKPOINT, report)
        if data is not None:
            line = data.removesuffix(b"\n") if data.count(b"\n") == 1 else data
            own = read_checkpoint(line if line != data else b"", ring, CHECKPOINT, report)
    else:
        report.skip("checkpoint", "the bundle has none: its last records could be missing")
    if checkpoint is None:
        report.skip(
            "checkpoint",
            "whether the chain has grown since, or was cut back to an older checkpoint: give a "
            "newer one from elsewhere with --checkpoint",
        )
    else:
        name = "the checkpoint that was given"
        other = read_checkpoint(checkpoint.strip(), ring, name, report)
    return Trust(ring, own, other)


def _examined(
    archive: Archive, trust: Trust, report: Report, workers: int | None
) -> Generator[Examined, None, None]:
    """The records, each examined by itself."""
    ahead = Report("")  # the file is read ahead; what is wrong with it is told after its records
    yield from examined(archive.lines(STATEMENTS, ahead), trust.ring, workers)
    report.add(ahead)


def _check_records(
    archive: Archive,
    choice: Choice,
    trust: Trust,
    records: Iterable[Examined],
    report: Report,
    *,
    receipt: dict[str, Any] | None,
) -> None:
    receipts = Receipts(archive, receipt, report)

    def seen(link: Link, statement: Callable[[], dict[str, Any]], good: bool) -> None:
        choice.seen(link, statement)
        receipts.seen(link, statement, good=good)

    if choice.whole:
        number = check_all(records, trust, report, seen)
    else:
        proofs = paths_in(archive.lines(PROOFS, report))
        number = check_chosen(records, proofs, trust, report, seen)
        _compare(trust.checkpoint, trust.other, report)
    choice.end()
    receipts.end()
    report.title += f", {number:,} in all"
    if trust.checkpoint is not None and not choice.whole:
        report.title += f", of a chain of {trust.checkpoint.size:,}"


def _compare(own: Checkpoint | None, other: Checkpoint | None, report: Report) -> None:
    if own is None or other is None:
        return
    if own.size != other.size:
        report.skip(
            "checkpoint",
            f"the one that was given covers {other.size} records and the bundle's {own.size}: "
            "that they are of one chain is seen in a bundle of all records",
        )
    elif (own.root, own.head) != (other.root, other.head):
        words = "it covers other records than the one that was given, of the same number"
        report.bad("checkpoint", CHECKPOINT, words)


def _read(archive: Archive, name: str, report: Report) -> bytes | None:
    try:
        data = archive.read(name)
    except ValueError as error:
        report.bad("files", name, str(error))
        return None
    report.good("files")
    return data


def _other_files(archive: Archive, report: Report) -> None:
    others = [name for name in archive.names if "/" in name]
    for name in others:
        _read(archive, name, report)
    if any(name.startswith("certificates/") for name in others):
        report.skip("files", "certificates are for reading; what counts are the records")
    report.skip("data", "that MLflow and DVC still hold these weights and data needs the servers")
