r"""Reads a bundle without trusting it: every size is limited, and every file is held to its digest.

    with open_archive(path) as archive:
        archive.problems()                         # what keeps it from being read
        for line in archive.lines("statements.jsonl", report): ...

A zip may lie about names and sizes. Nothing is unpacked; a file is read as far as it says it goes,
in pieces, and one that says more than 2 GiB, or has a line over 16 MiB, is refused.
"""

import hashlib
import io
import json
import re
import struct
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, Self, cast

from lethe.audit.bundle import (
    CHECKPOINT,
    EXTRA,
    FORMAT,
    MANIFEST,
    PROOFS,
    RING,
    STATEMENTS,
)
from lethe.audit.errors import AuditError
from lethe.audit.verify.report import Report, shown

MAX_FILE: Final = 2 * 1024**3
MAX_LINE: Final = 16 * 1024**2
MAX_WHOLE: Final = 16 * 1024**2  # of a file that is read in one piece
MAX_FILES: Final = 100_000
STREAMED: Final = {STATEMENTS, PROOFS}
KNOWN: Final = {MANIFEST, RING, CHECKPOINT, STATEMENTS, PROOFS}
NEEDED: Final = {RING, STATEMENTS}
ENCRYPTED: Final = 0x1
PLAIN: Final = {zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED}
# What zipfile raises on files that are none.
UNREADABLE: Final = (
    zipfile.BadZipFile, zlib.error, struct.error, EOFError, NotImplementedError, RuntimeError,
    OSError, ValueError, IndexError,
)  # fmt: skip
_SHA256: Final = re.compile(r"[0-9a-f]{64}")


class BundleError(AuditError):
    """It is not a bundle at all."""

    exit_code = 2


class Archive:
    """An open bundle; made by `open_archive`."""

    def __init__(self, opened: zipfile.ZipFile) -> None:
        self._zip = opened
        self._infos = {info.filename: info for info in opened.infolist()}
        self.manifest: dict[str, Any] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._zip.close()

    @property
    def names(self) -> list[str]:
        """The files in it."""
        return list(self._infos)

    @property
    def what(self) -> Any:
        """What was chosen, as the bundle says."""
        return self.manifest["what"]

    def problems(self) -> list[tuple[str, str]]:
        """Files that keep it from being read, and why."""
        infos = self._zip.infolist()
        if len(infos) > MAX_FILES:
            return [("", f"it holds {len(infos):,} files, more than {MAX_FILES:,}")]
        found = [(one.filename, words) for one in infos for words in _refused(one)]
        if len(infos) != len(self._infos):
            found.append(("", "it holds two files of one name"))
        listed = self.manifest["files"]
        there = set(self._infos) - {MANIFEST}
        found += [(one, "it is not listed in bundle.json") for one in sorted(there - set(listed))]
        missing = (set(listed) | NEEDED) - there
        return found + [(one, "it is missing") for one in sorted(missing)]

    def read(self, name: str) -> bytes:
        """A small file.

        Raises:
            ValueError: if it cannot be read, or is not as bundle.json says.
        """
        try:
            with self._zip.open(self._infos[name]) as file:
                data = file.read(MAX_WHOLE + 1)
        except UNREADABLE:
            raise ValueError("it cannot be read: the zip is damaged") from None
        if len(data) > MAX_WHOLE:
            raise ValueError("it is larger than 16 MiB")
        if name != MANIFEST and hashlib.sha256(data).hexdigest() != self.manifest["files"][name]:
            raise ValueError("its SHA-256 is not the one that bundle.json says")
        return data

    def lines(self, name: str, report: Report) -> Iterator[bytes]:
        """The lines of a file, without line breaks; what is wrong with the file is reported."""
        read = hashlib.sha256()
        try:
            with self._zip.open(self._infos[name]) as raw:
                file = io.BufferedReader(cast("io.RawIOBase", raw))  # its readline is in C
                while line := file.readline(MAX_LINE + 1):
                    read.update(line)
                    if not line.endswith(b"\n"):
                        cut = "a line is longer than 16 MiB" if len(line) > MAX_LINE else ""
                        report.bad("files", name, cut or "its last line is cut short")
                        break
                    yield line[:-1]
        except UNREADABLE:
            report.bad("files", name, "it cannot be read to its end: the zip is damaged")
            return
        if read.hexdigest() == self.manifest["files"][name]:
            report.good("files")
        else:
            report.bad("files", name, "its SHA-256 is not the one that bundle.json says")


def open_archive(path: Path) -> Archive:
    """Open a bundle.

    Raises:
        BundleError: if it is none.
    """
    try:
        archive = Archive(zipfile.ZipFile(path))
    except UNREADABLE:
        raise _none(path, "it is not a zip, or cannot be read") from None
    try:
        archive.manifest = _manifest(archive.read(MANIFEST))
    except KeyError:
        archive.__exit__()
        raise _none(path, f"it has no {MANIFEST}") from None
    except ValueError as error:
        archive.__exit__()
        raise _none(path, f"{MANIFEST}: {error}") from None
    return archive


def _manifest(data: bytes) -> dict[str, Any]:
    try:
        found = json.loads(data)
        good = (
            isinstance(found, dict)
            and set(found) == {"format", "made_at", "what", "files"}
            and isinstance(found["what"], dict)
            and all(map(_SHA256.fullmatch, found["files"].values()))
        )
    except (ValueError, TypeError, AttributeError, RecursionError):
        good = False
    if not good or found["format"] != FORMAT:
        raise ValueError(f"it does not say the format {FORMAT}")
    return dict(found)


def _refused(info: zipfile.ZipInfo) -> list[str]:
    name = info.filename
    limit = MAX_FILE if name in STREAMED else MAX_WHOLE
    checks = (
        (name in KNOWN or EXTRA.fullmatch(name), "a bundle holds no file of this name"),
        (not info.flag_bits & ENCRYPTED, "it is encrypted"),
        (info.compress_type in PLAIN, "it is packed in a way that is not read here"),
        (info.file_size <= limit, f"it says {info.file_size:,} bytes; {limit:,} are allowed"),
    )
    return [words for good, words in checks if not good]


def _none(path: Path, why: str) -> BundleError:
    return BundleError(
        f"{shown(str(path))} is not a bundle of Lethe: {why}. Nothing was checked. "
        "Ask for the file again, from who made it."
    )
