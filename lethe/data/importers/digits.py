"""The digits of scikit-learn: 1,797 grey pictures of 8 x 8, bundled, so nothing is downloaded."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from lethe.data.importers.common import Originals, read_facts, stratified_test_mask
from lethe.data.info import DatasetInfo
from lethe.data.parquet import Block, write_dataset


def prepare(out: Path, params: Mapping[str, Any], originals: Originals) -> None:  # noqa: ARG001 (every importer's signature)
    """Write the digits to the folder `out`; params: `held_out` (share) and `seed`."""
    from sklearn.datasets import load_digits

    info = DatasetInfo.model_validate(read_facts("digits")["info"])
    data = load_digits()
    x = (data.images / 16).astype(np.float32)[:, None]
    y = data.target
    held_out = stratified_test_mask(y, share=params["held_out"], seed=params["seed"])
    ids = np.array([f"digits-{i:04d}" for i in range(len(y))])
    labels = np.array(info.classes)[y]
    write_dataset(
        out,
        info,
        {
            "train": Block(ids[~held_out].tolist(), labels[~held_out].tolist(), x[~held_out]),
            "test": Block(ids[held_out].tolist(), labels[held_out].tolist(), x[held_out]),
        },
    )
