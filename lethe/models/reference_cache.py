"""Retrained references, kept so that the same one is not trained twice.

    trained = kept_or_made(folder, reference_key(...), network, make)

A reference is decided by what it was trained on, how, and with which seed; the key is a digest of
all of them. One file per reference, weights and curves; a file that cannot be read is made anew.
"""

import copy
import hashlib
import json
import os
from collections.abc import Callable
from pathlib import Path

from safetensors import SafetensorError, safe_open
from safetensors.torch import load_model, save_model
from torch import nn

from lethe.models.training import TrainedNetwork, TrainingSettings


def reference_key(
    settings: TrainingSettings, *, seed: int, dvc_md5: str, left_out: str, classes: tuple[str, ...]
) -> str:
    """Digest of everything that decides a reference, in hex.

    Args:
        settings: the recipe.
        seed: of weights and order.
        dvc_md5: of the data set.
        left_out: keyed digest of the rows that it is trained without.
        classes: what each logit is for, in order.
    """
    # What is made besides the network does not decide it.
    recipe = settings.model_dump(mode="json", exclude={"unseen_folds"})
    facts = [recipe, seed, dvc_md5, left_out, classes]
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()


def kept_or_made(
    folder: Path, key: str, network: nn.Module, make: Callable[[], TrainedNetwork]
) -> TrainedNetwork:
    """The reference of that key from the folder; else made, and kept there.

    Args:
        folder: where references are kept; made if it is not there.
        key: see `reference_key`.
        network: an untrained network of the same form; stays as it is.
        make: trains the reference.
    """
    path = folder / f"{key}.safetensors"
    found = _read(path, network)
    if found is not None:
        return found
    trained = make()
    folder.mkdir(parents=True, exist_ok=True)
    # Renamed when whole: another process may be making the same one, or this one may be killed.
    partial = path.with_suffix(f".{os.getpid()}.partial")
    kept = {"curves": json.dumps(dict(trained.curves)), "seconds": repr(trained.seconds)}
    save_model(trained.model, str(partial), metadata=kept)
    partial.replace(path)
    return trained


def _read(path: Path, network: nn.Module) -> TrainedNetwork | None:
    model = copy.deepcopy(network)
    try:
        with safe_open(path, framework="pt") as file:
            kept = file.metadata() or {}
        load_model(model, str(path), strict=True)
        curves, seconds = json.loads(kept["curves"]), float(kept["seconds"])
    except (OSError, SafetensorError, RuntimeError, KeyError, ValueError):
        return None
    return TrainedNetwork(model.cpu().eval(), curves, seconds, kept=True)
