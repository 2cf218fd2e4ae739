"""Rows read from Parquet, streamed when they do not fit in memory.

Only the chosen rows of the row groups that hold any are decoded. One thread reads one small piece
at a time, with no read-ahead, so what is in memory is a piece, the shuffle buffer and one batch.
"""

from collections.abc import Generator, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import BinaryIO, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq
import torch

from lethe.data.decode import decode, input_column
from lethe.data.rows import Batch, Rows, TensorRows
from lethe.data.shuffle import ShuffleBuffer

# How the memory budget is shared out; the rest is for Arrow, which holds a piece several times over
# while it decodes, and for what the reader keeps of a batch.
PIECE_SHARE = 64
BUFFER_SHARE = 8
MAX_PIECE_BYTES = 4 * 2**20


class Opener(Protocol):
    """Opens the Parquet file, again for each pass."""

    def __call__(self) -> BinaryIO:
        """A seekable file, opened for reading."""


class Choice(Protocol):
    """Decides which rows belong."""

    def columns(self) -> list[str]:
        """Names of the columns that decide."""

    def mask(self, rows: pa.RecordBatch) -> npt.NDArray[np.bool_]:
        """Which of the rows belong."""


class _Piece(NamedTuple):
    positions: npt.NDArray[np.int64]
    x: npt.NDArray[np.float32]
    y: npt.NDArray[np.int64]


@dataclass(frozen=True)
class ParquetRows:
    """Chosen rows of one Parquet file, read anew in every pass.

    `counts` is the number of chosen rows in each row group, in stored order; the position of a
    row is its place among the chosen ones, also when batches are shuffled. A seeded pass visits
    the row groups in random order and mixes rows in a buffer of an eighth of the memory budget,
    so the same seed and budget give the same order on every machine.
    """

    open: Opener
    choice: Choice
    counts: tuple[int, ...]
    classes: tuple[str, ...]
    shape: tuple[int, ...]
    memory_budget: int

    def __len__(self) -> int:
        """Number of rows."""
        return sum(self.counts)

    @property
    def nbytes(self) -> int:
        """Bytes of all decoded inputs and labels together."""
        return len(self) * self._row_bytes

    def load(self) -> TensorRows:
        """All rows in memory."""
        x = torch.empty((len(self), *self.shape))
        y = torch.empty(len(self), dtype=torch.int64)
        for piece in self._pieces(range(len(self.counts))):
            at = slice(piece.positions[0], piece.positions[-1] + 1)
            x.numpy()[at], y.numpy()[at] = piece.x, piece.y
        return TensorRows(x, y)

    def batches(self, batch_size: int, *, seed: int | None = None) -> Generator[Batch, None, None]:
        """Every row once, in stored order, or shuffled when a seed is given."""
        order: Sequence[int] = range(len(self.counts))
        room = batch_size + self._piece_rows
        generator = None
        if seed is not None:
            generator = torch.Generator().manual_seed(seed)
            order = torch.randperm(len(self.counts), generator=generator).tolist()
            room = max(room, self.memory_budget // BUFFER_SHARE // self._row_bytes)
        buffer = ShuffleBuffer(min(room, len(self)), self.shape, generator)
        with closing(self._pieces(order)) as pieces:
            for piece in pieces:
                while len(buffer) and len(buffer) + len(piece.y) > buffer.room:
                    yield buffer.take(batch_size)
                buffer.put(*piece)
        while len(buffer):
            yield buffer.take(batch_size)

    @property
    def _row_bytes(self) -> int:
        return int(4 * np.prod(self.shape, dtype=np.int64)) + 16

    @property
    def _piece_rows(self) -> int:
        size = min(MAX_PIECE_BYTES, self.memory_budget // PIECE_SHARE)
        return int(max(1, size // self._row_bytes))

    def _pieces(self, groups: Sequence[int]) -> Generator[_Piece, None, None]:
        starts = np.cumsum((0, *self.counts))
        index = {name: i for i, name in enumerate(self.classes)}
        with self.open() as raw, open_parquet(raw) as file:
            name = input_column(file.schema_arrow, "The data set")
            columns = list(dict.fromkeys([*self.choice.columns(), "label", name]))
            for group in groups:
                if not self.counts[group]:
                    continue
                position = int(starts[group])
                for rows in read_group(file, group, columns, self._piece_rows):
                    mask = self.choice.mask(rows)
                    chosen = int(mask.sum())
                    if not chosen:
                        continue
                    labels = rows["label"].to_pylist()
                    y = np.array([index.get(label, -1) for label in labels], np.int64)
                    x = decode(rows[name], self.shape)
                    if chosen < len(mask):
                        x, y = x[mask], y[mask]
                    yield _Piece(np.arange(position, position + chosen), x, y)
                    position += chosen


def rows_within(rows: ParquetRows) -> Rows | None:
    """The rows in memory when the budget allows, else streamed; None when there are none."""
    if not len(rows):
        return None
    return rows.load() if rows.nbytes <= rows.memory_budget else rows


def open_parquet(raw: BinaryIO) -> pq.ParquetFile:
    """A Parquet file that reads small pieces on demand."""
    return pq.ParquetFile(raw, pre_buffer=False, buffer_size=2**18)


def read_group(
    file: pq.ParquetFile, group: int, columns: list[str], rows: int
) -> Iterator[pa.RecordBatch]:
    """One row group, that many rows at a time, in this thread and without read-ahead."""
    yield from file.iter_batches(rows, row_groups=[group], columns=columns, use_threads=False)
