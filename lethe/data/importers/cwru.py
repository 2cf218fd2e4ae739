"""Bearing faults of the CWRU Bearing Data Center: drive end, 12 kHz, all loads, ten classes.

The original .mat files and the int16 archive of a mirror give the same Parquet to the byte: either
way a signal becomes the whole numbers that its AD converter put out, and those times its step.
"""

import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from lethe.data.errors import ImportFailedError
from lethe.data.importers.common import Originals, check_sha256, read_facts
from lethe.data.info import DatasetInfo
from lethe.data.parquet import Block, Split, write_dataset

RATE_HZ = 12_000

# Low-pass before decimation: flat to 5.4 kHz, 80 dB down at 6 kHz. Taps are whole numbers over
# 2**20, so that sums of whole samples are exact and equal on every processor.
TAPS = 401
CUTOFF_HZ = 5_700
TAP_SCALE = 2**20

Counts = npt.NDArray[np.int16]
Reader = Callable[[Mapping[str, Any]], Counts]


def prepare(out: Path, params: Mapping[str, Any], originals: Originals) -> None:
    """Write the windows to the folder `out`.

    params: `held_out`, the last share of a recording; `window`, and `hop` and `normal_hop` between
    training windows, in samples at 12 kHz. Held-out windows never overlap.
    """
    facts = read_facts("cwru")
    write_windows(out, facts, params, reader_for(facts, originals))


def reader_for(facts: Mapping[str, Any], originals: Originals) -> Reader:
    """What reads a recording: the mirror's archive, the mirror's .mat files, or downloads."""
    folder = originals.mirror / "cwru" if originals.mirror is not None else None
    if folder is not None:
        archive = folder / facts["archive"]["file"]
        if archive.is_file():
            check_sha256(archive, facts["archive"]["sha256"])
            return partial(read_archive, archive)
        return lambda recording: read_mat(_find(folder, recording), recording)
    cache = originals.cache / "cwru"
    return lambda recording: read_mat(_download(facts["site"], cache, recording), recording)


def read_archive(path: Path, recording: Mapping[str, Any]) -> Counts:
    """A recording as the archive keeps it."""
    with np.load(path, allow_pickle=False) as archive:
        counts: Counts = archive[recording["name"]]
        return counts


def read_mat(path: Path, recording: Mapping[str, Any]) -> Counts:
    """A recording from its original file.

    Raises:
        ImportFailedError: if the file is not the pinned one, or its values are no multiples of
            the step of the AD converter.
    """
    from scipy.io import loadmat

    check_sha256(path, recording["sha256"])
    signal = loadmat(path, variable_names=[recording["variable"]])[recording["variable"]].ravel()
    counts: npt.NDArray[np.float64] = np.rint(signal / recording["step"])
    if np.abs(signal / recording["step"] - counts).max() > 0.01:
        raise ImportFailedError(
            f"{path.name} is not made of steps of {recording['step']}. Nothing was written. Get "
            "the original again."
        )
    return counts.astype(np.int16)


def write_windows(
    out: Path, facts: Mapping[str, Any], params: Mapping[str, Any], read: Reader
) -> None:
    """Cut every recording by time into a training and a held-out side, and each into windows."""
    info = DatasetInfo.model_validate(facts["info"])
    window = params["window"]
    ids: dict[Split, list[str]] = {"train": [], "test": []}
    labels: dict[Split, list[str]] = {"train": [], "test": []}
    x: dict[Split, list[npt.NDArray[np.float32]]] = {"train": [], "test": []}
    for recording in facts["recordings"]:
        normal = recording["label"] == "Normal"
        if recording["rate_hz"] != RATE_HZ and not normal:
            continue
        counts = read(recording)
        cut = int((1 - params["held_out"]) * len(counts))
        sides: list[tuple[Split, int, int, int]] = [
            ("train", 0, cut, params["normal_hop" if normal else "hop"]),
            ("test", cut, len(counts), window),
        ]
        for split, begin, end, hop in sides:
            signal, offset, stride = _at_rate(counts[begin:end], recording)
            for start in range(0, len(signal) - window + 1, hop):
                ids[split].append(f"{recording['name']}/{begin + offset + stride * start}")
                labels[split].append(recording["label"])
                x[split].append(signal[None, start : start + window])
    splits = {split: Block(ids[split], labels[split], np.stack(x[split])) for split in ids}
    write_dataset(out, info, splits)


def decimate(counts: Counts, factor: int) -> tuple[npt.NDArray[np.float64], int]:
    """Low-pass and keep every `factor`-th sample.

    Only samples whose filter lies wholly inside the signal are kept.

    Returns:
        Whole numbers, `TAP_SCALE` times the counts, and the place of the first in the signal.
    """
    from scipy.signal import firwin, upfirdn

    taps = np.rint(firwin(TAPS, CUTOFF_HZ, window=("kaiser", 8.0), fs=RATE_HZ * factor) * TAP_SCALE)
    filtered = upfirdn(taps, counts.astype(np.float64), down=factor)
    first = -(-(TAPS - 1) // factor)
    last = (len(counts) - 1) // factor
    return filtered[first : last + 1], first * factor - (TAPS - 1) // 2


def _at_rate(
    counts: Counts, recording: Mapping[str, Any]
) -> tuple[npt.NDArray[np.float32], int, int]:
    """The signal in g at 12 kHz, the place of its first sample, and original samples per sample."""
    factor = recording["rate_hz"] // RATE_HZ
    if factor == 1:
        return (counts * recording["step"]).astype(np.float32), 0, 1
    filtered, offset = decimate(counts, factor)
    return (filtered * (recording["step"] / TAP_SCALE)).astype(np.float32), offset, factor


def _find(folder: Path, recording: Mapping[str, Any]) -> Path:
    names = (recording["file"], f"{recording['name']}.mat")
    for name in names:
        path: Path = folder / name
        if path.is_file():
            return path
    raise ImportFailedError(
        f"The mirror holds neither cwru/{names[0]} nor cwru/{names[1]}. Nothing was written. "
        "Put the original there, or unset data.mirror to download it."
    )


def _download(site: str, cache: Path, recording: Mapping[str, Any]) -> Path:
    path: Path = cache / recording["file"]
    if path.is_file():
        return path
    cache.mkdir(parents=True, exist_ok=True)
    partial_path = path.with_suffix(".partial")
    url = site + recording["file"]
    try:
        with urllib.request.urlopen(url, timeout=60) as response:  # noqa: S310 (https, pinned content)
            partial_path.write_bytes(response.read())
    except (urllib.error.URLError, OSError) as error:
        raise ImportFailedError(
            f"{url} cannot be downloaded: {type(error).__name__}. Nothing was written. Try again, "
            "or set data.mirror to a folder that holds cwru/."
        ) from error
    partial_path.replace(path)
    return path
