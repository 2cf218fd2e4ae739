"""The secret that turns ids into fingerprints (HMAC); it stays outside every record."""

import contextlib
import os
import secrets
from pathlib import Path
from tempfile import NamedTemporaryFile

BYTES = 32


def record_key(path: Path) -> bytes:
    """The key in a file, made on first use and readable by its owner only."""
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        # Readable by its owner only from the start.
        with NamedTemporaryFile(dir=path.parent) as draft:
            draft.write(secrets.token_bytes(BYTES))
            draft.flush()
            # Of two processes that start together, one key wins, whole, and both read it.
            with contextlib.suppress(FileExistsError):
                os.link(draft.name, path)
    return path.read_bytes()
