"""Signing keys in a folder: made, rotated, and loaded only when nobody else can read them.

    store = KeyStore(folder)
    store.init(now)                       # the first key
    signer = store.signer(now)            # the newest key whose private half is here
    store.rotate(now, overlap)            # a new key, endorsed by the last one

`keyring.json` holds the public keys and may be read by anybody; `KEYID.pem` (PKCS 8, readable by
its owner only) holds a private one. A machine that has not got the newest private key yet goes on
with the one before, as long as their overlap lasts.

A key that lives elsewhere is a signer of its own: any object with `key_id` and `sign` (see
`lethe.audit.dsse.Signs`), such as a client of a key management service.
"""

import contextlib
import os
import stat
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import Protocol

from cryptography.hazmat.primitives.asymmetric.ed25519 import (
    Ed25519PrivateKey,
    Ed25519PublicKey,
)
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from lethe.audit.dsse import Signs
from lethe.audit.errors import KeysError
from lethe.audit.keyring import KeyRing, key_id

RING = "keyring.json"
_OTHERS = stat.S_IRWXG | stat.S_IRWXO


class SignsAndShows(Signs, Protocol):
    """A signer that tells its public key, as one of a key management service must."""

    @property
    def public_key(self) -> Ed25519PublicKey:
        """The public half."""


@dataclass(frozen=True)
class KeySigner:
    """A private key in memory."""

    private: Ed25519PrivateKey

    @property
    def key_id(self) -> str:
        """SHA-256 of the public key."""
        return key_id(self.public_key)

    @property
    def public_key(self) -> Ed25519PublicKey:
        """The public half."""
        return self.private.public_key()

    def sign(self, message: bytes) -> bytes:
        """An Ed25519 signature, 64 bytes."""
        return self.private.sign(message)


@dataclass(frozen=True)
class KeyStore:
    """A folder with keys."""

    folder: Path

    @property
    def path(self) -> Path:
        """The file with the public keys."""
        return self.folder / RING

    def ring(self) -> KeyRing | None:
        """The public keys; None where no key was made yet.

        Raises:
            KeysError: if the file is not a key ring, or its endorsements do not hold.
        """
        try:
            ring = KeyRing.parse(self.path.read_bytes())
        except FileNotFoundError:
            return None
        except (OSError, ValueError) as error:
            raise KeysError(
                f"{self.path} cannot be used: {error}. Nothing was signed. Put back the file that "
                "`lethe audit keys export` wrote, or the one from a backup."
            ) from None
        if problems := ring.problems():
            raise KeysError(
                f"{self.path} cannot be trusted: {'; '.join(problems)}. Nothing was signed. Put "
                "back the file that `lethe audit keys export` wrote, or the one from a backup."
            )
        return ring

    def init(self, now: datetime) -> KeyRing:
        """Make the first key.

        Raises:
            KeysError: if there are keys already.
        """
        if self.ring() is not None:
            raise KeysError(
                f"{self.path} has keys already, and they stay as they are. For a new one that "
                "follows them: `lethe audit keys rotate`."
            )
        private = Ed25519PrivateKey.generate()
        first = KeyRing(()).with_key(
            private.public_key(), KeySigner(private), now=now, overlap=timedelta()
        )
        self._keep(private)
        # Of two processes that start together one wins, and both use its key.
        with contextlib.suppress(FileExistsError):
            self._write(first, new=True)
        return self.ring() or first

    def adopt(self, signer: SignsAndShows, now: datetime) -> KeyRing:
        """Make the ring of a key that lives elsewhere; it signs for itself.

        Raises:
            KeysError: if the ring has other keys than this one.
        """
        ring = self.ring()
        if ring is None:
            self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            first = KeyRing(()).with_key(signer.public_key, signer, now=now, overlap=timedelta())
            with contextlib.suppress(FileExistsError):
                self._write(first, new=True)
            ring = self.ring() or first
        if not ring.accepts(signer.key_id, now):
            raise KeysError(
                f"The key {signer.key_id[:16]} is not in {self.path}, or not any more. Nothing was "
                "signed. Put it there with `lethe audit keys rotate`, where the key before it is."
            )
        return ring

    def rotate(self, now: datetime, overlap: timedelta, *, by: Signs | None = None) -> KeyRing:
        """Make a new key, endorsed by the newest one, which is accepted until the overlap ends.

        Raises:
            KeysError: if there is no key yet, or the newest private key is not here.
        """
        ring = self.ring()
        if ring is None:
            raise KeysError(
                f"There is no key in {self.folder} to follow. Nothing was made. Make the first "
                "one: `lethe audit keys init`."
            )
        endorser = by or self._load(ring.newest.key_id)
        if endorser is None or endorser.key_id != ring.newest.key_id:
            raise KeysError(
                f"The private key {ring.newest.key_id[:16]} is not in {self.folder}, and only it "
                "can endorse the next one. Nothing was made. Type this where it is."
            )
        private = Ed25519PrivateKey.generate()
        after = ring.with_key(private.public_key(), endorser, now=now, overlap=overlap)
        self._keep(private)
        self._write(after, new=False)
        return after

    def signer(self, now: datetime) -> Signs:
        """The newest key that is accepted now and whose private half is here.

        Raises:
            KeysError: if there is none, or others can read its file.
        """
        ring = self.ring()
        if ring is None:
            raise KeysError(
                f"There is no signing key in {self.folder}. Nothing was signed. Make one: "
                "`lethe audit keys init`, or name the folder that has it: audit.folder."
            )
        for key in reversed(ring.keys):
            if ring.accepts(key.key_id, now) and (found := self._load(key.key_id)) is not None:
                return found
        raise KeysError(
            f"No private key in {self.folder} may sign now: the newest is "
            f"{ring.newest.key_id[:16]}. Nothing was signed. Copy its .pem file here, readable by "
            "this user only, or give it in the environment as LETHE_AUDIT__KEY."
        )

    def _keep(self, private: Ed25519PrivateKey) -> None:
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        pem = private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        path = self._private(key_id(private.public_key()))
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(handle, "wb") as file:
            file.write(pem)
            os.fsync(file.fileno())

    def _private(self, known: str) -> Path:
        return self.folder / f"{known[:16]}.pem"

    def _load(self, known: str) -> Signs | None:
        path = self._private(known)
        try:
            mode = path.stat().st_mode
            pem = path.read_bytes()
        except FileNotFoundError:
            return None
        if mode & _OTHERS:
            raise KeysError(
                f"{path} can be read by others than its owner ({stat.filemode(mode)}), so it is "
                f"not used. Nothing was signed. If nobody has copied it: `chmod 600 {path}`; else "
                "`lethe audit keys rotate` afterwards."
            )
        signer = signer_from_pem(pem, str(path))
        if signer.key_id != known:
            raise KeysError(f"{path} holds another key than its name says. Nothing was signed.")
        return signer

    def _write(self, ring: KeyRing, *, new: bool) -> None:
        with NamedTemporaryFile(dir=self.folder, delete=False) as draft:
            draft.write(ring.dumps())
            draft.flush()
            os.fsync(draft.fileno())
        Path(draft.name).chmod(0o644)
        try:
            if new:
                os.link(draft.name, self.path)
            else:
                Path(draft.name).replace(self.path)
        finally:
            Path(draft.name).unlink(missing_ok=True)


def signer_from_pem(pem: bytes, where: str) -> KeySigner:
    """The signer of an unencrypted Ed25519 key in PEM.

    Raises:
        KeysError: if it is none.
    """
    try:
        private = load_pem_private_key(pem, password=None)
    except (ValueError, TypeError):
        private = None
    if not isinstance(private, Ed25519PrivateKey):
        raise KeysError(
            f"{where} is not an unencrypted Ed25519 key in PEM. Nothing was signed. Make one with "
            "`lethe audit keys init`."
        )
    return KeySigner(private)
