"""A git repository with DVC and a small data set in it, and how forget sets in it are asked for."""

import subprocess

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from dvc.repo import Repo

from lethe.data.forget_set import ForgetSpec, resolve_forget_set
from lethe.data.info import DatasetInfo
from lethe.data.parquet import Block, write_parquet
from lethe.data.selection import Selection

KEY = b"a key for tests"
CLASSES = ("a", "b", "c")
BUDGET = 2**20
TRAIN, TEST = 60, 24


def git(folder, *words):
    done = subprocess.run(["git", *words], cwd=folder, check=True, capture_output=True, text=True)
    return done.stdout.strip()


def block(rows, prefix):
    """x of row i is i; labels go round in threes, people in fives with nobody at every fifth."""
    return Block(
        [f"{prefix}{i}" for i in range(rows)],
        [CLASSES[i % 3] for i in range(rows)],
        np.repeat(np.arange(rows, dtype=np.float32)[:, None], 2, axis=1),
        [f"person-{i % 5}" if i % 5 else None for i in range(rows)],
    )


def write(folder, train=TRAIN):
    info = DatasetInfo(
        **dict.fromkeys(("name", "title", "source", "licence", "citation", "split"), "toy"),
        preprocessing="none",
        classes=CLASSES,
        shape=(2,),
    )
    folder.mkdir(parents=True, exist_ok=True)
    half = block(train, "train-")
    pieces = [
        Block(
            half.sample_ids[part],
            half.labels[part],
            half.inputs[part],
            half.subject_ids[part],
        )
        for part in (slice(None, 25), slice(25, None))
    ]
    write_parquet(folder / "train.parquet", info, pieces)
    write_parquet(folder / "test.parquet", info, [block(TEST, "test-")])


def make(root, remote):
    """A repository with two commits of data/toy, and a request file of its own."""
    root.mkdir()
    git(root, "init", "-q", "-b", "main", ".")
    git(root, "config", "user.email", "test@example.com")
    git(root, "config", "user.name", "test")
    (root / "data" / "requests").mkdir(parents=True)
    rows = pa.table(
        {
            "sample_id": ["x1", "x2"],
            "label": ["a", "new"],
            "x": pa.ExtensionArray.from_storage(
                pa.fixed_shape_tensor(pa.float32(), (2,)),
                pa.array([[1.0, 1], [2, 2]], pa.list_(pa.float32(), 2)),
            ),
        }
    )
    pq.write_table(rows, root / "data" / "requests" / "r1.parquet")
    pq.write_table(rows.drop_columns("label"), root / "data" / "requests" / "r2.parquet")
    (root / "data" / "requests" / "text.txt").write_text("no data")
    (root / "data" / "plain.txt").write_text("in git alone")
    revs = []
    with Repo.init(str(root)) as repo:
        with repo.config.edit() as config:
            config["core"]["remote"] = "store"
            config["remote"]["store"] = remote
        for name in ("r1.parquet", "r2.parquet", "text.txt"):
            repo.add([str(root / "data" / "requests" / name)])
        for train in (TRAIN, TRAIN - 9):
            write(root / "data" / "toy", train)
            repo.add([str(root / "data" / "toy")])
            repo.push()
            git(root, "add", "-A")
            git(root, "commit", "-q", "-m", f"{train} rows")
            revs.append(git(root, "rev-parse", "HEAD"))
    return revs


def spec(repository, rev="HEAD~1", dataset="data/toy", *, whole=False, **selection):
    chosen = Selection(**selection) if selection else None
    return ForgetSpec(
        repository=repository, dataset=dataset, rev=rev, selection=chosen, whole=whole
    )


def resolve(found, max_share=0.5, key=KEY):
    return resolve_forget_set(found, max_share=max_share, key=key)


def everything(rows, batch_size=7, seed=None):
    if rows is None:
        return torch.empty(0, dtype=torch.int64), torch.empty(0, 2), torch.empty(0)
    return tuple(map(torch.cat, zip(*rows.batches(batch_size, seed=seed), strict=True)))
