"""Secrets, read where they are kept at the moment they are used.

The policy holds references only: `env:NAME` for an environment variable, `file:PATH` for a file,
each with an optional time from which and until which it is valid. Two that overlap are a rotation
without a gap:

    secrets = ["env:NEW_SECRET", {ref = "file:/run/secrets/old", not_after = 2026-12-01T00:00:00Z}]

A file is read again for every delivery, so a new one needs no restart. One newline at its end is
not part of it. A file that everybody may read is no secret and is refused.
"""

import os
import stat
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Protocol

from lethe.deletion.tickets.errors import NotAuthenticError, SecretError, WhyNot

# NIST SP 800-107r1, 5.3.4: an HMAC key holds at least as much as the strength wanted; 128 bits.
MIN_BYTES = 16
MAX_BYTES = 2**16  # a private key in PEM has a few thousand


class Reference(Protocol):
    """Where a secret is kept and when it is valid; `lethe.deletion.policy.model.SecretRef`."""

    @property
    def ref(self) -> str:
        """`env:NAME` or `file:PATH`."""

    @property
    def not_before(self) -> datetime | None:
        """Valid from then on."""

    @property
    def not_after(self) -> datetime | None:
        """Valid until then."""


def resolve_secrets(
    references: Sequence[Reference], now: datetime, *, min_bytes: int = MIN_BYTES
) -> tuple[bytes, ...]:
    """Every secret that is valid now and there; a reference to nothing is passed over.

    Args:
        references: from the policy.
        now: with a time zone.
        min_bytes: least length.

    Raises:
        NotAuthenticError: `no_secret_configured` if none is left. Without a secret nothing is
            authentic.
        SecretError: if one is too short, or lies in a file that everybody may read.
    """
    found = [read_secret(r.ref, min_bytes=min_bytes) for r in references if is_valid(r, now)]
    secrets = tuple(secret for secret in found if secret)
    if not secrets:
        raise NotAuthenticError(WhyNot.NO_SECRET_CONFIGURED)
    return secrets


def is_valid(reference: Reference, now: datetime) -> bool:
    """Whether a secret is to be used at this time."""
    early = reference.not_before is not None and now < reference.not_before
    late = reference.not_after is not None and now >= reference.not_after
    return not early and not late


def read_secret(ref: str, *, min_bytes: int = 1) -> bytes | None:
    """One secret; None if its variable or file is not there, or is empty.

    Args:
        ref: `env:NAME` or `file:PATH`; `~` in a path is the home folder.
        min_bytes: least length.

    Raises:
        SecretError: if it is shorter, or its file cannot be read or may be read by everybody.
    """
    kind, _, name = ref.partition(":")
    if kind == "env" and name:
        secret: bytes | None = os.fsencode(os.environ.get(name, ""))
    elif kind == "file" and name:
        secret = _read_file(Path(name).expanduser(), ref)
    else:
        raise SecretError(
            "A secret's reference is neither env:NAME nor file:PATH. Nothing was done. Correct "
            "the policy; `lethe policy check` reads it."
        )
    if secret and len(secret) < min_bytes:
        raise SecretError(
            f"The secret {ref} has fewer than {min_bytes} bytes. Nothing was believed on its word. "
            "Make one with `openssl rand -hex 32` and set it there and at the sender."
        )
    return secret or None


def problems(
    references: Sequence[Reference], now: datetime, *, min_bytes: int = MIN_BYTES
) -> list[str]:
    """What is wrong with a source's secrets, for `lethe policy check`; empty if they work."""
    found = []
    for reference in references:
        try:
            if is_valid(reference, now) and not read_secret(reference.ref, min_bytes=min_bytes):
                found.append(f"{reference.ref} is not set")
        except SecretError as error:
            found.append(str(error))
    if not any(is_valid(reference, now) for reference in references):
        found.append("no secret is valid now")
    return found


def _read_file(path: Path, ref: str) -> bytes | None:
    try:
        # One descriptor for the look and the reading: the file cannot change between them.
        with path.open("rb") as file:
            if os.fstat(file.fileno()).st_mode & (stat.S_IROTH | stat.S_IWOTH):
                raise SecretError(
                    f"The secret {ref} may be read by everybody. It was not used. "
                    f"Type `chmod o-rw {path}`."
                )
            secret = file.read(MAX_BYTES)
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise SecretError(
            f"The secret {ref} cannot be read: {type(error).__name__}. Nothing was done. Let the "
            "user that runs Lethe read it."
        ) from None
    return secret.removesuffix(b"\n").removesuffix(b"\r")
