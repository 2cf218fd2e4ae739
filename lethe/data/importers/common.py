"""What the importers share: facts and pins, original files, held-out rows."""

import hashlib
import json
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from lethe.data.errors import ImportFailedError
from lethe.data.info import DatasetInfo


@dataclass(frozen=True)
class Originals:
    """Where original files come from.

    `mirror` is a folder that already holds them, read instead of downloading; downloads are kept
    in `cache`.
    """

    mirror: Path | None
    cache: Path


def read_facts(name: str) -> dict[str, Any]:
    """Facts and pinned hashes of a known data set, from the JSON file next to its importer."""
    text = files("lethe.data.importers").joinpath(f"{name}.json").read_text(encoding="utf-8")
    facts: dict[str, Any] = json.loads(text)
    return facts


def check_sha256(path: Path, expected: str) -> None:
    """Refuse a file that is not the pinned one.

    Raises:
        ImportFailedError: if the SHA-256 differs.
    """
    with path.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if found != expected:
        raise ImportFailedError(
            f"{path.name} is not the pinned original: SHA-256 {found}, expected {expected}. "
            f"Nothing was written. Remove {path} and run the same command again."
        )


def stratified_test_mask(y: npt.NDArray[Any], *, share: float, seed: int) -> npt.NDArray[np.bool_]:
    """Which rows to hold out: `share` of every class, rounded, at random by `seed`.

    Own code rather than scikit-learn's splitter, whose choice may change with its version and
    would then change the committed hash.
    """
    order = np.random.Generator(np.random.PCG64(seed)).random(len(y))
    mask = np.zeros(len(y), dtype=bool)
    for label in np.unique(y):
        rows = np.flatnonzero(y == label)
        mask[rows[np.argsort(order[rows], kind="stable")][: round(share * len(rows))]] = True
    return mask


def first_of_each_class(y: npt.NDArray[Any], count: int) -> npt.NDArray[np.bool_]:
    """Which rows are among the first `count` of their class, in stored order; all of them for 0."""
    mask = np.ones(len(y), dtype=bool)
    if count:
        for label in np.unique(y):
            mask[np.flatnonzero(y == label)[count:]] = False
    return mask


def first_rows(info: DatasetInfo, count: int) -> DatasetInfo:
    """The facts of a data set of which `first_of_each_class` chose the rows of each split."""
    if not count:
        return info
    split = f"{info.split}; of each split only the first {count} rows of each class"
    return info.model_copy(update={"split": split})
