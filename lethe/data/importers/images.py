"""A folder of pictures: one sub-folder per class, itself inside `train` and `test` if there are.

Pictures of the wanted size are stored as they are, byte for byte; others are resized and stored as
PNG. Their names do not travel: a sample id is the class and a number.
"""

import io
from pathlib import Path

import numpy as np

from lethe.data.decode import IMAGE_FORMATS
from lethe.data.errors import ImportFailedError
from lethe.data.importers.common import stratified_test_mask
from lethe.data.importers.npz import Described
from lethe.data.info import DatasetInfo
from lethe.data.parquet import SPLITS, Block, Split, write_dataset

SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".webp", ".bmp"})


def import_images(
    folder: Path, out: Path, described: Described, size: tuple[int, int] | None = None
) -> DatasetInfo:
    """Write a folder of pictures as a data set.

    Args:
        folder: holds a folder per class, or `train` and `test` that do.
        out: folder of the data set.
        described: facts, and how to hold out rows when there is no `test` folder.
        size: (height, width) to resize to; without it all pictures must have one size.

    Raises:
        ImportFailedError: if there are no pictures, one cannot be read, or sizes differ.
    """
    if not folder.is_dir():
        raise _wrong(folder, "there is no such folder")
    given: dict[Split, Path] = {name: folder / name for name in SPLITS if (folder / name).is_dir()}
    if given and "train" not in given:
        raise _wrong(folder, "it has a folder test but no folder train")
    splits: dict[Split, Path] = given or {"train": folder}
    found = {split: _pictures(path) for split, path in splits.items()}
    everything = [path for pictures in found.values() for _, path in pictures]
    if not found["train"]:
        raise _wrong(folder, "it holds no pictures in folders named after classes")
    shape = _shape(everything, size)
    encoded = {
        split: [_encode(path, shape) for _, path in pictures] for split, pictures in found.items()
    }
    classes = sorted({label for pictures in found.values() for label, _ in pictures})
    split_text = "as given by the folders" if "test" in found else described.random_split
    info = described.info(classes, shape, split_text, "pictures as given or resized; see shape")
    blocks: dict[Split, Block] = {}
    for split, pictures in found.items():
        labels = [label for label, _ in pictures]
        blocks[split] = Block(_ids(split, labels), labels, encoded[split])
    if "test" not in found:
        blocks = _hold_out(blocks["train"], encoded["train"], described)
    write_dataset(out, info, {split: block for split, block in blocks.items() if len(block)})
    return info


def _pictures(folder: Path) -> list[tuple[str, Path]]:
    return [
        (group.name, path)
        for group in sorted(folder.iterdir())
        if group.is_dir() and not group.name.startswith(".")
        for path in sorted(group.rglob("*"))
        if path.suffix.lower() in SUFFIXES and path.is_file()
    ]


def _ids(split: Split, labels: list[str]) -> list[str]:
    seen: dict[str, int] = {}
    ids = []
    for label in labels:
        seen[label] = seen.get(label, -1) + 1
        ids.append(f"{split}/{label}/{seen[label]:06d}")
    return ids


def _hold_out(block: Block, encoded: list[bytes], described: Described) -> dict[Split, Block]:
    held_out = stratified_test_mask(
        np.array(block.labels), share=described.held_out, seed=described.seed
    )
    chosen: dict[Split, list[int]] = {
        "train": np.flatnonzero(~held_out).tolist(),
        "test": np.flatnonzero(held_out).tolist(),
    }
    return {
        split: Block(
            [block.sample_ids[row] for row in rows],
            [block.labels[row] for row in rows],
            [encoded[row] for row in rows],
        )
        for split, rows in chosen.items()
    }


def _shape(paths: list[Path], size: tuple[int, int] | None) -> tuple[int, int, int]:
    """(channels, height, width) of all pictures: one channel when every picture is grey."""
    from PIL import Image

    sizes: set[tuple[int, int]] = set()
    grey = True
    for path in paths:
        try:
            with Image.open(path, formats=IMAGE_FORMATS) as image:
                sizes.add((image.height, image.width))
                grey = grey and image.mode in {"1", "L"}
        except (OSError, Image.DecompressionBombError) as error:
            raise _wrong(path.parent, "a file in it is no picture") from error
    if size is None and len(sizes) > 1:
        raise _wrong(paths[0].parent.parent, "its pictures differ in size; give --size HxW")
    height, width = size or sizes.pop()
    return 1 if grey else 3, height, width


def _encode(path: Path, shape: tuple[int, int, int]) -> bytes:
    from PIL import Image

    channels, height, width = shape
    content = path.read_bytes()
    try:
        with Image.open(io.BytesIO(content), formats=IMAGE_FORMATS) as image:
            image.load()
            if image.size == (width, height):
                return content
            resized = image.convert("L" if channels == 1 else "RGB").resize((width, height))
    except (OSError, Image.DecompressionBombError) as error:
        raise _wrong(path.parent, "a picture in it is damaged") from error
    buffer = io.BytesIO()
    resized.save(buffer, "PNG")
    return buffer.getvalue()


def _wrong(path: Path, reason: str) -> ImportFailedError:
    return ImportFailedError(
        f"{path} cannot be imported: {reason}. Nothing was written. "
        "`lethe data import images --help` tells what the folder must hold."
    )
