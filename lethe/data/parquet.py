"""The form of a data set: `train.parquet` and `test.parquet` in one folder under DVC.

| column       | type                                             |
|--------------|--------------------------------------------------|
| `sample_id`  | string                                           |
| `subject_id` | string, nullable                                 |
| `label`      | string                                           |
| `x`          | fixed-shape tensor of float32 or uint8, or       |
| `image`      | binary: one encoded PNG, JPEG, WebP or BMP image |

The same rows always give the same bytes (fixed writer options, no times), so the hash that DVC
keeps in `dvc.lock` holds on every machine with the same pyarrow.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from lethe.data.errors import FormError
from lethe.data.info import DatasetInfo

Split = Literal["train", "test"]
SPLITS: tuple[Split, Split] = ("train", "test")
KEYS = ("sample_id", "subject_id", "label")

# Small enough to stream within a small budget, large enough for one object-store request each.
ROW_GROUP_BYTES = 2 * 2**20


@dataclass(frozen=True)
class Block:
    """Rows to write: `inputs` is an (N, *shape) float32 or uint8 array, or N encoded images."""

    sample_ids: Sequence[str]
    labels: Sequence[str]
    inputs: npt.NDArray[Any] | Sequence[bytes]
    subject_ids: Sequence[str | None] | None = None

    def __len__(self) -> int:
        """Number of rows."""
        return len(self.sample_ids)


def write_dataset(folder: Path, info: DatasetInfo, splits: dict[Split, Block]) -> None:
    """Write one file per split into `folder`, which is made when missing."""
    folder.mkdir(parents=True, exist_ok=True)
    for split, block in splits.items():
        write_parquet(folder / f"{split}.parquet", info, [block])


def write_parquet(path: Path, info: DatasetInfo, blocks: Iterable[Block]) -> None:
    """Write the blocks, one after the other, as one Parquet file.

    The file appears under its name only when it is complete.

    Raises:
        FormError: if columns differ in length or the inputs are of a type that the form lacks.
    """
    partial = path.with_suffix(".partial")
    writer: pq.ParquetWriter | None = None
    try:
        for block in blocks:
            table = _table(block, info)
            writer = writer or pq.ParquetWriter(
                partial,
                table.schema,
                version="2.6",
                data_page_version="1.0",
                compression="zstd",
                compression_level=3,
                use_dictionary=["subject_id", "label"],
                write_statistics=["label"],
                store_schema=True,
            )
            for start, stop in _row_groups(block):
                writer.write_table(table.slice(start, stop - start), row_group_size=stop - start)
        if writer is None:
            raise FormError("There are no rows to write. Nothing was written.")
        writer.close()
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def _row_groups(block: Block) -> Iterator[tuple[int, int]]:
    if isinstance(block.inputs, np.ndarray):
        size = block.inputs[:1].nbytes
    else:
        size = sum(map(len, block.inputs)) // max(1, len(block))
    rows = max(1, ROW_GROUP_BYTES // max(1, size))
    for start in range(0, len(block), rows):
        yield start, min(start + rows, len(block))


def _table(block: Block, info: DatasetInfo) -> pa.Table:
    subjects = block.subject_ids if block.subject_ids is not None else [None] * len(block)
    if not len(block) == len(block.labels) == len(block.inputs) == len(subjects):
        raise FormError("The columns differ in length. Nothing was written.")
    name, inputs = _inputs(block.inputs)
    return pa.table(
        {
            "sample_id": pa.array(block.sample_ids, pa.string()),
            "subject_id": pa.array(subjects, pa.string()),
            "label": pa.array(block.labels, pa.string()),
            name: inputs,
        },
        metadata=info.to_metadata(),
    )


def _inputs(inputs: npt.NDArray[Any] | Sequence[bytes]) -> tuple[str, pa.Array]:
    if not isinstance(inputs, np.ndarray):
        return "image", pa.array(inputs, pa.binary())
    if inputs.dtype not in (np.float32, np.uint8) or inputs.ndim < 2:
        raise FormError(
            f"Inputs are {inputs.dtype} with {inputs.ndim} dimensions; a data set holds float32 "
            "or uint8, one row per sample. Nothing was written. Convert them first."
        )
    # Not from_numpy_ndarray: it reads the order of axes from strides, which axes of length 1 spoil.
    shape = inputs.shape[1:]
    flat = pa.array(np.ascontiguousarray(inputs).reshape(-1))
    tensor = pa.fixed_shape_tensor(flat.type, shape)
    storage = pa.FixedSizeListArray.from_arrays(flat, int(np.prod(shape)))
    return "x", pa.ExtensionArray.from_storage(tensor, storage)
