import numpy as np
import pytest

from lethe.data.info import DatasetInfo
from lethe.data.parquet import Block


@pytest.fixture
def info():
    return DatasetInfo(
        name="toy",
        title="toy",
        source="made up",
        licence="none",
        citation="none",
        classes=("a", "b", "c"),
        shape=(1, 4),
        split="none",
        preprocessing="none",
    )


@pytest.fixture
def block():
    return Block(
        sample_ids=[f"s{i}" for i in range(30)],
        labels=["abc"[i % 3] for i in range(30)],
        inputs=np.arange(120, dtype=np.float32).reshape(30, 1, 4),
        subject_ids=[None if i % 5 == 0 else f"p{i % 4}" for i in range(30)],
    )
