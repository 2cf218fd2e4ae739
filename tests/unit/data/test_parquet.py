import hashlib
import os

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from lethe.data.errors import FormError
from lethe.data.info import DatasetInfo
from lethe.data.parquet import ROW_GROUP_BYTES, Block, write_parquet


def digest(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_equal_rows_give_equal_bytes(tmp_path, info, block):
    write_parquet(tmp_path / "one.parquet", info, [block])
    os.utime(tmp_path / "one.parquet", (0, 0))
    write_parquet(tmp_path / "two.parquet", info, [block])
    assert digest(tmp_path / "one.parquet") == digest(tmp_path / "two.parquet")


def test_other_facts_give_other_bytes(tmp_path, info, block):
    write_parquet(tmp_path / "one.parquet", info, [block])
    write_parquet(tmp_path / "two.parquet", info.model_copy(update={"title": "other"}), [block])
    assert digest(tmp_path / "one.parquet") != digest(tmp_path / "two.parquet")


def test_columns_and_facts_come_back(tmp_path, info, block):
    write_parquet(tmp_path / "one.parquet", info, [block])
    table = pq.read_table(tmp_path / "one.parquet")
    assert DatasetInfo.from_metadata(table.schema.metadata) == info
    assert table["sample_id"].to_pylist() == block.sample_ids
    assert table["subject_id"].to_pylist() == block.subject_ids
    assert table["label"].to_pylist() == block.labels
    x = table["x"].combine_chunks()
    assert x.type == pa.fixed_shape_tensor(pa.float32(), (1, 4))
    np.testing.assert_array_equal(x.to_numpy_ndarray(), block.inputs)


@pytest.mark.parametrize("shape", [(1, 8, 8), (3, 1, 2), (1, 1, 1), (5,), (2, 3)])
def test_axes_of_any_length_keep_their_order(tmp_path, info, shape):
    x = np.random.default_rng(0).random((4, *shape), dtype=np.float32)
    spoilt = np.moveaxis(np.moveaxis(x, -1, 0).copy(), 0, -1)
    write_parquet(tmp_path / "one.parquet", info, [Block(list("abcd"), list("abca"), spoilt)])
    column = pq.read_table(tmp_path / "one.parquet")["x"].combine_chunks()
    assert column.type.shape == list(shape)
    np.testing.assert_array_equal(column.to_numpy_ndarray(), x)


def test_row_groups_are_small(tmp_path, info):
    rows = 3 * ROW_GROUP_BYTES // 4096
    x = np.zeros((rows, 1, 1024), np.float32)
    block = Block([str(i) for i in range(rows)], ["a"] * rows, x)
    write_parquet(tmp_path / "one.parquet", info, [block])
    assert pq.ParquetFile(tmp_path / "one.parquet").metadata.num_row_groups == 3


@pytest.mark.parametrize(
    "block",
    [
        Block(["s"], ["a", "b"], np.zeros((2, 1), np.float32)),
        Block(["s"], ["a"], np.zeros((1, 1), np.float64)),
        Block(["s"], ["a"], np.zeros(1, np.float32)),
    ],
)
def test_what_does_not_fit_the_form_is_refused_and_leaves_nothing(tmp_path, info, block):
    with pytest.raises(FormError, match="Nothing was written"):
        write_parquet(tmp_path / "one.parquet", info, [block])
    assert list(tmp_path.iterdir()) == []


def test_a_failure_half_way_leaves_the_old_file(tmp_path, info, block):
    path = tmp_path / "one.parquet"
    write_parquet(path, info, [block])
    before = digest(path)

    def blocks():
        yield block
        raise RuntimeError

    with pytest.raises(RuntimeError):
        write_parquet(path, info, blocks())
    assert digest(path) == before
    assert list(tmp_path.iterdir()) == [path]


def test_facts_that_cannot_be_read_are_an_error():
    assert DatasetInfo.from_metadata(None) is None
    assert DatasetInfo.from_metadata({b"other": b"1"}) is None
    with pytest.raises(FormError, match="cannot be read"):
        DatasetInfo.from_metadata({b"lethe.dataset": b"{}"})
