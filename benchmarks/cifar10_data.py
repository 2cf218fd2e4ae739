"""CIFAR-10 for `benchmarks/cifar10.py`: read it, and keep it on the accelerator for training.

Training there would otherwise copy every picture to the device in every epoch. Methods and
evaluations are given rows on the CPU, as Lethe gives them.
"""

from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional as F

from lethe.data.rows import Batch, TensorRows

CLASSES = (
    *("airplane", "automobile", "bird", "cat", "deer"),
    *("dog", "frog", "horse", "ship", "truck"),
)
ARRAYS = ("x", "y", "x_test", "y_test")
SHIFT = 4  # pixels: the usual random crop

Bytes = npt.NDArray[np.uint8]
Arrays = tuple[Bytes, ...]


@dataclass(frozen=True)
class Pictures:
    """Rows whose pictures stay on the device as bytes: (N, 3, H, W) uint8 and (N,) int64.

    With `augment`, a shuffled pass crops and flips at random: zeros around the picture,
    `SHIFT` pixels wide. The same seed gives the same pictures on the same kind of device.
    """

    x: Tensor
    y: Tensor
    augment: bool = False

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of one picture."""
        return tuple(self.x.shape[1:])

    def __len__(self) -> int:
        """Number of pictures."""
        return len(self.x)

    def batches(self, batch_size: int, *, seed: int | None = None) -> Generator[Batch, None, None]:
        """Every picture once, 0 to 255 as float32, in stored order or shuffled by the seed."""
        order = torch.arange(len(self))
        generator = torch.Generator(self.x.device)
        if seed is not None:
            order = torch.randperm(len(self), generator=torch.Generator().manual_seed(seed))
            generator.manual_seed(seed)
        here = order.to(self.x.device)
        places = zip(order.split(batch_size), here.split(batch_size), strict=True)
        for positions, at in places:
            x = self.x[at]
            if self.augment and seed is not None:
                x = _cropped(x, generator)
            yield Batch(positions, x.float(), self.y[at])

    def chosen(self, mask: Tensor) -> "Pictures":
        """The pictures of a mask (N,)."""
        return Pictures(self.x[mask], self.y[mask], self.augment)


def _cropped(x: Tensor, generator: torch.Generator) -> Tensor:
    """Each picture (B, C, H, W) from another place and maybe from right to left."""
    count, _, height, width = x.shape

    def drawn(high: int) -> Tensor:
        size = (count, 1)
        return torch.randint(high, size, generator=generator, device=x.device)

    rows = torch.arange(height, device=x.device) + drawn(2 * SHIFT + 1)
    columns = torch.arange(width, device=x.device).expand(count, -1)
    columns = torch.where(drawn(2) == 1, columns.flip(1), columns) + drawn(2 * SHIFT + 1)
    padded = F.pad(x, (SHIFT,) * 4)
    picture = torch.arange(count, device=x.device)[:, None, None]
    # The channels come last where they lie between two indices.
    return padded[picture, :, rows[:, :, None], columns[:, None]].movedim(3, 1)


def read(path: Path) -> Arrays:
    """The arrays of ARRAYS as bytes: from an .npz, or from a folder as `lethe data` prepares it."""
    if path.is_file():
        with np.load(path) as file:
            return tuple(file[name] for name in ARRAYS)
    import pyarrow.parquet as pq

    found = []
    for split in ("train", "test"):
        table = pq.read_table(path / f"{split}.parquet", columns=["x", "label"])
        labels = [CLASSES.index(label) for label in table["label"].to_pylist()]
        x = table["x"].combine_chunks().to_numpy_ndarray()
        found += [x.reshape(-1, 3, 32, 32), np.array(labels, np.uint8)]
    return tuple(found)


def invented(rows: int = 300, held_out: int = 200, size: int = 32) -> Arrays:
    """Pictures of one colour each with noise, to try the benchmark without data."""
    drawn = np.random.default_rng(0)
    colours = drawn.integers(60, 196, (len(CLASSES), 3, 1, 1))
    found = []
    for count in (rows, held_out):
        y = np.arange(count, dtype=np.uint8) % len(CLASSES)
        noise = drawn.normal(0, 30, (count, 3, size, size))
        found += [np.clip(colours[y] + noise, 0, 255).astype(np.uint8), y]
    return tuple(found)


def on_device(x: Bytes, y: Bytes, device: torch.device, *, augment: bool) -> Pictures:
    """Bytes as pictures on the device."""
    return Pictures(torch.as_tensor(x).to(device), torch.as_tensor(y).long().to(device), augment)


def on_cpu(pictures: Pictures, mask: Tensor) -> TensorRows:
    """Some of the pictures as Lethe reads them: float32, on the CPU."""
    return TensorRows(pictures.x[mask].cpu().float(), pictures.y[mask].cpu())
