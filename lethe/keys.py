"""The secret that turns ids into fingerprints (HMAC); it stays outside every record."""

import contextlib
import os
import secrets
from pathlib import Path
from tempfile import NamedTemporaryFile

FILE_NAME = "record.key"
BYTES = 32


def record_key(state: Path) -> bytes:
    """The key under the state folder, made on first use and readable by its owner only."""
    path = state / FILE_NAME
    if not path.exists():
        state.mkdir(parents=True, exist_ok=True)
        # Readable by its owner only from the start.
        with NamedTemporaryFile(dir=state) as draft:
            draft.write(secrets.token_bytes(BYTES))
            draft.flush()
            # Of two processes that start together, one key wins, whole, and both read it.
            with contextlib.suppress(FileExistsError):
                os.link(draft.name, path)
    return path.read_bytes()
