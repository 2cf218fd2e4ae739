"""Anybody's arrays: an .npz file with `x` and `y`, and what else is known about each row."""

import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from lethe.data.errors import ImportFailedError
from lethe.data.importers.common import stratified_test_mask
from lethe.data.info import DatasetInfo
from lethe.data.parquet import SPLITS, Block, Split, write_dataset


@dataclass(frozen=True)
class Described:
    """What the importer of foreign data is told: facts for the record, and how to hold out rows."""

    name: str
    title: str = "not stated"
    source: str = "not stated"
    licence: str = "not stated"
    citation: str = "not stated"
    held_out: float = 0.3
    seed: int = 0

    def info(self, classes: list[str], shape: tuple[int, ...], split: str, how: str) -> DatasetInfo:
        """The facts as the data set carries them."""
        return DatasetInfo(
            name=self.name,
            title=self.title,
            source=self.source,
            licence=self.licence,
            citation=self.citation,
            classes=tuple(classes),
            shape=shape,
            split=split,
            preprocessing=how,
        )

    @property
    def random_split(self) -> str:
        """Text about rows held out at random."""
        return f"random within each class, {self.held_out:g} held out, seed {self.seed}"


def import_npz(path: Path, out: Path, described: Described) -> DatasetInfo:
    """Write the arrays of an .npz file as a data set.

    `x` is (N, *shape) float or uint8 and `y` is (N,), labels as numbers or text. `sample_id` and
    `subject_id` (N,) are optional, and so is `split` (N,) with "train" or "test"; without it rows
    are held out at random within each class. Object arrays are never read: they are pickles.

    Raises:
        ImportFailedError: if the file is no .npz or its arrays do not fit together.
    """
    arrays = _read(path)
    x, y = arrays["x"], arrays["y"].astype(str)
    ids = arrays.get("sample_id", np.char.add(f"{described.name}-", np.arange(len(y)).astype(str)))
    ids = ids.astype(str)
    if len(np.unique(ids)) != len(ids):
        raise _wrong(path, "the sample ids are not unique")
    subjects = arrays["subject_id"].astype(str) if "subject_id" in arrays else None
    if "split" in arrays:
        if not set(np.unique(arrays["split"])) <= set(SPLITS):
            raise _wrong(path, 'split has values other than "train" and "test"')
        test, split = arrays["split"] == "test", "as given by the array split"
    else:
        test = stratified_test_mask(y, share=described.held_out, seed=described.seed)
        split = described.random_split
    info = described.info(_in_order(arrays["y"]), x.shape[1:], split, "values as given")
    masks: dict[Split, npt.NDArray[np.bool_]] = {"train": ~test, "test": test}
    splits: dict[Split, Block] = {
        name: Block(
            ids[mask].tolist(),
            y[mask].tolist(),
            x[mask],
            [s or None for s in subjects[mask].tolist()] if subjects is not None else None,
        )
        for name, mask in masks.items()
        if mask.any()
    }
    if "train" not in splits:
        raise _wrong(path, "no row is for training")
    write_dataset(out, info, splits)
    return info


def _read(path: Path) -> dict[str, npt.NDArray[Any]]:
    names = ("x", "y", "sample_id", "subject_id", "split")
    if not path.is_file():
        raise _wrong(path, "there is no such file")
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = {name: file[name] for name in names if name in file.files}
    except (OSError, EOFError, ValueError, zipfile.BadZipFile, AttributeError) as error:
        raise _wrong(path, "it is no .npz file of plain arrays") from error
    if not {"x", "y"} <= set(arrays):
        raise _wrong(path, "it lacks the array x or y")
    x = arrays["x"]
    if any(array.shape != (len(x),) for name, array in arrays.items() if name != "x"):
        raise _wrong(path, "y and the ids must have one entry per row of x")
    if x.ndim < 2 or not len(x):
        raise _wrong(path, "x must be (N, ...) with at least one row and two dimensions")
    if x.dtype != np.uint8:
        if not np.issubdtype(x.dtype, np.floating) and not np.issubdtype(x.dtype, np.integer):
            raise _wrong(path, f"x is {x.dtype}, not numbers")
        arrays["x"] = x.astype(np.float32)
        if not np.isfinite(arrays["x"]).all():
            raise _wrong(path, "x has values that are no finite numbers")
    return arrays


def _in_order(y: npt.NDArray[Any]) -> list[str]:
    """Class names, numbers by value and text by alphabet."""
    return [str(label) for label in np.unique(y)]


def _wrong(path: Path, reason: str) -> ImportFailedError:
    return ImportFailedError(
        f"{path.name} cannot be imported: {reason}. Nothing was written. "
        "`lethe data import npz --help` tells what the file must hold."
    )
