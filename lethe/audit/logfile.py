"""The chain as a file: JSON Lines, one record a line, in order, only ever longer.

    log = LogFile(path)
    log.catch_up(records_after)    # adds what it lacks, also what a killed process left out

The ledger has the same records; this copy is for people and tools that have no database, for
backups, and to be compared with it. Several processes may catch up at once.
"""

import fcntl
import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from lethe.audit.chain import read_record
from lethe.audit.errors import ChainError

_BLOCK = 64 * 1024


@dataclass(frozen=True)
class LogFile:
    """A file of records."""

    path: Path

    def catch_up(self, after: Callable[[int], Iterable[bytes]]) -> int:
        """Add the records that the file lacks.

        Args:
            after: the lines of all records after a place in the chain; 0 gives all.

        Returns:
            How many were added.

        Raises:
            ChainError: if the file's last line is no record; nothing was added.
        """
        self.path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        added = 0
        with self.path.open("ab+") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            for line in after(self._last(file)):
                file.write(line + b"\n")
                added += 1
            if added:
                file.flush()
                os.fsync(file.fileno())
        return added

    def _last(self, file: BinaryIO) -> int:
        """The last record's place; a line that a kill cut short is taken off."""
        end = file.seek(0, os.SEEK_END)
        tail = b""
        start = end
        # A line break right at the end closes the last record and does not begin another.
        while start and b"\n" not in tail[:-1]:
            step = min(_BLOCK, start)
            start = file.seek(start - step)
            tail = file.read(step) + tail
        whole, torn = tail.rsplit(b"\n", 1) if b"\n" in tail else (b"", tail)
        if torn:
            file.truncate(end - len(torn))
            return self._last(file)
        if not whole:
            return 0
        try:
            return read_record(whole.rsplit(b"\n", 1)[-1])[2].sequence
        except ValueError as error:
            raise ChainError(
                f"The last line of {self.path} is no record: {error}. Nothing was added to it; the "
                f"ledger has all records. Keep the file for an inquiry under another name, and "
                f"type the command again: a whole one is written."
            ) from None
