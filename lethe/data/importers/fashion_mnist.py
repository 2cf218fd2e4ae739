"""Fashion-MNIST: 70,000 grey pictures of clothes, 28 x 28, ten kinds.

Four gzipped IDX files, as Debian's package `dataset-fashion-mnist` and the publisher distribute
them. The pinned SHA-256 values are those of the unpacked files, since the two were packed apart.
"""

import gzip
import hashlib
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from lethe.data.errors import ImportFailedError
from lethe.data.importers.common import Originals, first_of_each_class, first_rows, read_facts
from lethe.data.importers.packages import debian_folder
from lethe.data.info import DatasetInfo
from lethe.data.parquet import SPLITS, Block, Split, write_dataset


def prepare(out: Path, params: Mapping[str, Any], originals: Originals) -> None:
    """Write the pictures to the folder `out`; params: `per_class`, rows of a class or 0 for all."""
    facts = read_facts("fashion_mnist")
    write_pictures(out, facts, params["per_class"], find_folder(facts, originals))


def find_folder(facts: Mapping[str, Any], originals: Originals) -> Path:
    """The folder of the four files: the mirror's, that of the installed package, or a download."""
    if originals.mirror is not None:
        return originals.mirror / "fashion_mnist"
    names = ", ".join(pin["file"] for files in facts["files"].values() for pin in files.values())
    instead = (
        f"Try `sudo apt-get update` first, or put {names} into a folder fashion_mnist and set "
        "data.mirror to the folder that holds it."
    )
    return debian_folder(facts["package"], originals.cache, instead=instead)


def write_pictures(out: Path, facts: Mapping[str, Any], per_class: int, folder: Path) -> None:
    """Write both splits, `x` as (1, height, width) uint8.

    Raises:
        ImportFailedError: if a file is missing or not the pinned one.
    """
    info = first_rows(DatasetInfo.model_validate(facts["info"]), per_class)
    splits: dict[Split, Block] = {}
    for split in SPLITS:
        pins = facts["files"][split]
        x = read_idx(folder / pins["images"]["file"], pins["images"]["sha256"])
        y = read_idx(folder / pins["labels"]["file"], pins["labels"]["sha256"])
        rows = np.flatnonzero(first_of_each_class(y, per_class))
        splits[split] = Block(
            [f"fashion-{split}-{row:05d}" for row in rows],
            [info.classes[label] for label in y[rows]],
            x[rows, None],
        )
    write_dataset(out, info, splits)


def read_idx(path: Path, sha256: str) -> npt.NDArray[np.uint8]:
    """The bytes of a gzipped IDX file, in the shape that it states.

    Raises:
        ImportFailedError: if the file is missing or its content is not the pinned one.
    """
    if not path.is_file():
        raise ImportFailedError(
            f"{path.parent} holds no {path.name}. Nothing was written. Put the original there, or "
            "unset data.mirror to take it from Debian's package."
        )
    try:
        with gzip.open(path) as file:
            content = file.read()
    except (OSError, EOFError, zlib.error) as error:
        raise ImportFailedError(
            f"{path.name} cannot be unpacked: {error}. Nothing was written. Get the original again."
        ) from error
    found = hashlib.sha256(content).hexdigest()
    if found != sha256:
        raise ImportFailedError(
            f"{path.name} is not the pinned original: unpacked, its SHA-256 is {found}, expected "
            f"{sha256}. Nothing was written. Get the original again."
        )
    # Four bytes say "unsigned bytes" and how many axes there are; then each length, big-endian.
    axes = content[3]
    shape = np.frombuffer(content, ">u4", axes, offset=4)
    return np.frombuffer(content, np.uint8, offset=4 + 4 * axes).reshape(shape)
