"""Folders of pictures as data sets."""

from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image

from lethe.data.decode import decode_image
from lethe.data.errors import FormError, ImportFailedError
from lethe.data.importers.images import import_images
from lethe.data.importers.npz import Described
from lethe.data.parquet import SPLITS


def read(folder):
    return {s: pq.read_table(folder / f"{s}.parquet") for s in SPLITS}


def picture(path: Path, mode="RGB", size=(4, 3), seed=0):
    channels = 3 if mode == "RGB" else 1
    pixels = np.random.default_rng(seed).integers(0, 256, (size[1], size[0], channels), np.uint8)
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels if channels == 3 else pixels[..., 0], mode).save(path)
    return pixels


def test_pictures_of_one_size_are_stored_as_they_are(tmp_path):
    pixels = picture(tmp_path / "in" / "train" / "cat" / "ada.png")
    picture(tmp_path / "in" / "train" / "dog" / "b.png", seed=1)
    picture(tmp_path / "in" / "test" / "dog" / "c.png", seed=2)
    info = import_images(tmp_path / "in", tmp_path / "out", Described("pets"))
    table = read(tmp_path / "out")["train"]
    stored = table["image"].to_pylist()[0]
    assert info.shape == (3, 3, 4)
    assert info.classes == ("cat", "dog")
    assert stored == (tmp_path / "in" / "train" / "cat" / "ada.png").read_bytes()
    np.testing.assert_array_equal(decode_image(stored, (3, 3, 4)), pixels.transpose(2, 0, 1))
    assert "ada" not in str(table["sample_id"].to_pylist())
    assert read(tmp_path / "out")["test"]["label"].to_pylist() == ["dog"]


def test_pictures_of_different_sizes_need_a_size(tmp_path):
    for i in range(4):
        picture(tmp_path / "in" / "a" / f"{i}.png", "L", (4 + i, 4), i)
    with pytest.raises(ImportFailedError, match="--size"):
        import_images(tmp_path / "in", tmp_path / "out", Described("grey"))
    info = import_images(tmp_path / "in", tmp_path / "out", Described("grey"), (4, 4))
    assert info.shape == (1, 4, 4)
    tables = read(tmp_path / "out")
    assert [t.num_rows for t in tables.values()] == [3, 1]
    for table in tables.values():
        for stored in table["image"].to_pylist():
            assert decode_image(stored, (1, 4, 4)).shape == (1, 4, 4)


def test_what_is_no_picture_is_refused(tmp_path):
    (tmp_path / "in" / "a").mkdir(parents=True)
    with pytest.raises(ImportFailedError, match="no pictures"):
        import_images(tmp_path / "in", tmp_path / "out", Described("x"))
    (tmp_path / "in" / "a" / "x.png").write_bytes(b"no picture")
    with pytest.raises(ImportFailedError, match="no picture"):
        import_images(tmp_path / "in", tmp_path / "out", Described("x"))
    with pytest.raises(FormError, match="cannot be decoded"):
        decode_image(b"no picture", (1, 4, 4))
    assert not (tmp_path / "out").exists()
