"""Weights as one safetensors file, and its digest.

The digest is the SHA-256 of the file, so that `sha256sum weights.safetensors` checks it anywhere.
"""

import hashlib
import hmac
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load_model, save_model
from torch import nn

from lethe.errors import ModelError

FILE_NAME = "weights.safetensors"


def save_weights(network: nn.Module, path: Path) -> str:
    """Write the network's parameters and buffers; return the file's SHA-256 in hex."""
    save_model(network, str(path))
    return file_digest(path)


def load_weights(network: nn.Module, path: Path, *, expected: str) -> None:
    """Fill the network with the file's weights, strictly.

    Raises:
        ModelError: if the file's SHA-256 is not the expected one, or the weights do not fit.
    """
    found = file_digest(path)
    if not hmac.compare_digest(found, expected):
        raise ModelError(
            f"The weights do not match their record: the file has SHA-256 {found[:12]}…, recorded "
            f"is {expected[:12]}…. Nothing was loaded or changed. The artifact was replaced after "
            f"registration; restore it, or register the version again."
        )
    try:
        load_model(network, str(path), strict=True)
    except (RuntimeError, SafetensorError) as error:
        first = str(error).splitlines()[0]
        raise ModelError(
            f"The weights do not fit the network: {first} Nothing was changed. Pair the version "
            f"with the right factory by `lethe model adopt`."
        ) from error


def file_digest(path: Path) -> str:
    """SHA-256 of a file in hex, read in pieces."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
