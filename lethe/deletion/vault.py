"""Encryption of what the ledger may not show: ids of people, addresses for answers, letters.

vault = Vault(record_key(settings.record_key_file))
sealed = vault.seal({"subjects": ["p-17"]})      # bytes, different each time
vault.open(sealed)                               # {"subjects": ["p-17"]}
vault.digest({"subjects": ["p-17"]})             # 64 hex digits, equal for equal values

AES-256-GCM (NIST SP 800-38D) with a random 96-bit nonce, and HMAC-SHA256 (RFC 2104) for digests.
Both keys come from the project's record key by HKDF (RFC 5869) with an info string of their own, so
that neither tells anything of the other or of the fingerprints made with the record key itself.
Whoever has the database without the key file has no selection and no address.
"""

import hashlib
import hmac
import json
import os
from typing import Any

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from lethe.errors import SettingsError

_SEAL_INFO = b"lethe ledger seal 1"
_DIGEST_INFO = b"lethe ledger digest 1"
_FORM = b"\x01"  # first byte of everything sealed, so that another cipher can follow this one
_NONCE_BYTES = 12
_LEAST_KEY_BYTES = 16


class WrongKeyError(SettingsError):
    """Something was sealed with another key, or damaged."""


class Vault:
    """Seals, opens and fingerprints JSON values with keys derived from one secret.

    Args:
        key: the record key, at least 16 bytes.

    Raises:
        SettingsError: if the key is too short to protect anything.
    """

    def __init__(self, key: bytes) -> None:
        if len(key) < _LEAST_KEY_BYTES:
            raise SettingsError(
                f"The key is shorter than {_LEAST_KEY_BYTES} bytes. Nothing was opened. Name the "
                "project's key file with the setting key_file; `lethe config show` prints it."
            )
        self._cipher = AESGCM(_derive(key, _SEAL_INFO))
        self._digest_key = _derive(key, _DIGEST_INFO)

    def __repr__(self) -> str:
        return "Vault()"

    def seal(self, value: Any) -> bytes:
        """Encrypt a JSON value; the same value gives other bytes each time."""
        nonce = os.urandom(_NONCE_BYTES)
        return _FORM + nonce + self._cipher.encrypt(nonce, canonical(value), _FORM)

    def open(self, sealed: bytes) -> Any:
        """Decrypt what was sealed.

        Raises:
            WrongKeyError: if it was sealed with another key, or was changed since.
        """
        form, nonce, rest = sealed[:1], sealed[1 : 1 + _NONCE_BYTES], sealed[1 + _NONCE_BYTES :]
        try:
            plain = self._cipher.decrypt(nonce, rest, form)
        except (InvalidTag, ValueError):  # ValueError: too short to hold a nonce
            raise WrongKeyError(
                "What the ledger keeps encrypted cannot be read: it was written with another key, "
                "or was damaged. Nothing was changed. Name the project's own key file with the "
                "setting key_file; `lethe config show` prints which one is in use."
            ) from None
        return json.loads(plain)

    def digest(self, value: Any) -> str:
        """Keyed fingerprint of a JSON value, 64 hexadecimal digits; key order does not matter."""
        return hmac.new(self._digest_key, canonical(value), hashlib.sha256).hexdigest()


def canonical(value: Any) -> bytes:
    r"""A JSON value as bytes: sorted keys, no spaces, ASCII.

    >>> canonical({"b": 1, "a": ["é"]})
    b'{"a":["\\u00e9"],"b":1}'
    """
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return text.encode("ascii")


def _derive(key: bytes, info: bytes) -> bytes:
    return HKDF(algorithm=SHA256(), length=32, salt=None, info=info).derive(key)
