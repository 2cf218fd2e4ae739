import subprocess
import sys

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from lethe.data.dataset import EveryRow
from lethe.data.info import DatasetInfo
from lethe.data.parquet import Block, write_parquet
from lethe.data.parquet_rows import ParquetRows, rows_within
from lethe.data.rows import Rows, TensorRows
from lethe.data.selection import Selection
from lethe.data.shuffle import ShuffleBuffer

SHAPE = (2, 3)
CLASSES = ("a", "b")


def write(folder, counts, dtype=np.float32):
    """One row group per count; x of row i is i everywhere."""
    info = DatasetInfo(
        **dict.fromkeys(("name", "title", "source", "licence", "citation", "split"), "t"),
        preprocessing="t",
        classes=CLASSES,
        shape=SHAPE,
    )
    blocks, start = [], 0
    for count in counts:
        rows = np.arange(start, start + count)
        x = np.broadcast_to(rows[:, None, None], (count, *SHAPE)).astype(dtype)
        blocks.append(Block([f"s{i}" for i in rows], ["abz"[i % 3] for i in rows], x))
        start += count
    write_parquet(folder / "train.parquet", info, blocks)
    return folder / "train.parquet"


def rows_of(path, counts, choice=None, budget=2**12):
    return ParquetRows(
        lambda: path.open("rb"), choice or EveryRow(), tuple(counts), CLASSES, SHAPE, budget
    )


def collect(rows, batch_size, seed=None):
    batches = list(rows.batches(batch_size, seed=seed))
    return [torch.cat(column) for column in zip(*batches, strict=True)]


@pytest.mark.parametrize("seed", [None, 0, 7])
@pytest.mark.parametrize("batch_size", [1, 7, 1000])
def test_every_row_comes_once_with_its_own_position_and_label(tmp_path, seed, batch_size):
    counts = (100, 1, 57, 200)
    rows = rows_of(write(tmp_path, counts), counts)
    positions, x, y = collect(rows, batch_size, seed)
    assert sorted(positions.tolist()) == list(range(358))
    assert torch.equal(x[:, 1, 2], positions.float())
    assert torch.equal(y, torch.tensor([[0, 1, -1][p % 3] for p in positions.tolist()]))
    if seed is None:
        assert positions.tolist() == list(range(358))
    else:
        assert positions.tolist() != list(range(358))


def test_batches_have_the_size_asked_for(tmp_path):
    rows = rows_of(write(tmp_path, (100, 50)), (100, 50))
    for seed in (None, 3):
        assert [len(b.y) for b in rows.batches(64, seed=seed)] == [64, 64, 22]


def test_positions_count_chosen_rows_only(tmp_path):
    path = write(tmp_path, (30, 30))
    rows = rows_of(path, (10, 10), Selection(classes=("b",)))
    positions, x, y = collect(rows, 4, seed=1)
    assert sorted(positions.tolist()) == list(range(20))
    assert torch.equal(x[:, 0, 0], 3.0 * positions + 1)
    assert set(y.tolist()) == {1}


def test_the_same_seed_gives_the_same_order_and_another_seed_another(tmp_path):
    rows = rows_of(write(tmp_path, (100, 100, 100)), (100, 100, 100))
    orders = [collect(rows, 16, seed)[0].tolist() for seed in (5, 5, 6)]
    assert orders[0] == orders[1] != orders[2]


def test_shuffling_mixes_row_groups(tmp_path):
    counts = (50,) * 20
    rows = rows_of(write(tmp_path, counts), counts, budget=2**17)
    positions = collect(rows, 50, seed=0)[0]
    assert len({p // 50 for p in positions[:50].tolist()}) > 5


def test_what_fits_the_budget_is_loaded_and_equals_what_is_streamed(tmp_path):
    path = write(tmp_path, (90, 90))
    streamed = rows_of(path, (90, 90))
    loaded = rows_within(rows_of(path, (90, 90), budget=2**20))
    assert isinstance(rows_within(streamed), ParquetRows)
    assert isinstance(loaded, TensorRows)
    for one, other in zip(collect(streamed, 9), collect(loaded, 9), strict=True):
        assert torch.equal(one, other)
    assert rows_within(rows_of(path, (0, 0))) is None
    assert isinstance(streamed, Rows)


def test_bytes_are_divided_by_255(tmp_path):
    path = write(tmp_path, (256,), np.uint8)
    _, x, _ = collect(rows_of(path, (256,)), 100)
    assert x.dtype == torch.float32
    assert torch.equal(x[:, 0, 0], torch.arange(256).float() / 255)


def test_a_pass_left_half_way_neither_crashes_nor_spoils_the_next(tmp_path):
    path = write(tmp_path, (100,) * 10)
    script = f"""
import sys
sys.path.insert(0, {str(__file__).rpartition("/")[0]!r})
from pathlib import Path
from test_parquet_rows import rows_of
rows = rows_of(Path({str(path)!r}), (100,) * 10)
left = rows.batches(8, seed=0)
next(left)
assert sum(len(b.y) for b in rows.batches(8, seed=0)) == 1000
half = rows.batches(8)
next(half)
"""
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")


@given(
    pieces=st.lists(st.integers(1, 9), max_size=12),
    batch=st.integers(1, 12),
    seed=st.none() | st.integers(0, 9),
)
def test_the_buffer_loses_and_repeats_nothing(pieces, batch, seed):
    generator = None if seed is None else torch.Generator().manual_seed(seed)
    buffer = ShuffleBuffer(9 + batch, (1,), generator)
    out, start = [], 0
    for count in pieces:
        while len(buffer) + count > buffer.room:
            out.append(buffer.take(batch))
        p = np.arange(start, start + count)
        buffer.put(p, p[:, None].astype(np.float32), -p)
        start += count
    while len(buffer):
        out.append(buffer.take(batch))
    positions = torch.cat([b.positions for b in out]).tolist() if out else []
    assert sorted(positions) == list(range(start))
    if seed is None:
        assert positions == list(range(start))
    for b in out:
        assert torch.equal(b.x[:, 0], b.positions.float())
        assert torch.equal(b.y, -b.positions)
