"""The secret that turns ids into fingerprints (HMAC); it stays outside every record."""

import contextlib
import os
import secrets
from pathlib import Path

FILE_NAME = "record.key"
BYTES = 32


def record_key(state: Path) -> bytes:
    """The key under the state folder, made on first use and readable by its owner only."""
    path = state / FILE_NAME
    if not path.exists():
        state.mkdir(parents=True, exist_ok=True)
        draft = path.with_suffix(f".{os.getpid()}")
        with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT, 0o600), "wb") as file:
            file.write(secrets.token_bytes(BYTES))
        # Of two processes that start together, one key wins, whole, and both read it.
        with contextlib.suppress(FileExistsError):
            os.link(draft, path)
        draft.unlink()
    return path.read_bytes()
