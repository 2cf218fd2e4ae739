"""Forget sets resolved in real git and DVC repositories."""

import logging
import shutil
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import boto3
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from dvc.repo import Repo
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from moto.server import ThreadedMotoServer

from lethe.data import errors
from lethe.data.dataset import dataset_rows
from lethe.data.forget_set import ForgetSpec, resolve_forget_set
from lethe.data.info import DatasetInfo
from lethe.data.listing import list_datasets, summarise
from lethe.data.parquet import Block, write_parquet
from lethe.data.parquet_rows import ParquetRows
from lethe.data.repository import without_credentials
from lethe.data.rows import TensorRows
from lethe.data.selection import Selection

ROOT = Path(__file__).parents[2]
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


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("dvc")
    revs = make(folder / "repository", {"url": str(folder / "remote")})
    return folder / "repository", folder / "remote", revs


@pytest.fixture(scope="module")
def repository(made):
    return str(made[0])


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


def test_a_class_is_resolved_to_a_commit_with_counts_and_hashes(made):
    root, _, (first, second) = made
    forget = resolve(spec(str(root), classes=("b",)))
    assert forget.spec.rev == forget.git_rev == first != second
    assert (forget.kind, forget.class_names) == ("class", ("b",))
    assert (forget.count, forget.total, forget.share) == (20, 60, 1 / 3)
    assert (forget.held_out_count, forget.held_out_total) == (8, 24)
    assert forget.repository == root.name
    out = (root / "data" / "toy.dvc").read_text()
    assert forget.dvc_md5 not in out
    assert resolve(spec(str(root), "HEAD", classes=("b",))).dvc_md5 in out
    assert len(forget.dvc_md5) == 36
    assert forget.info.classes == CLASSES


@pytest.mark.parametrize("budget", [BUDGET, 64])
def test_rows_are_those_selected_and_the_others(repository, budget):
    forget = resolve(spec(repository, classes=("b",)))
    kind = TensorRows if budget == BUDGET else ParquetRows
    order = ("c", "b")
    for split, size in (("train", TRAIN), ("test", TEST)):
        for part, wanted in (("forget", [1]), ("retained", [0, 2])):
            rows = forget.rows(split=split, part=part, classes=order, memory_budget=budget)
            positions, x, y = everything(rows, seed=3)
            expected = [i for i in range(size) if i % 3 in wanted]
            assert isinstance(rows, kind)
            assert x[:, 0].tolist() == [expected[p] for p in positions.tolist()]
            assert sorted(positions.tolist()) == list(range(len(expected)))
            assert y.tolist() == [(-1, 1, 0)[int(i) % 3] for i in x[:, 0].tolist()]


names = st.none() | st.lists(st.sampled_from(CLASSES), min_size=1).map(tuple)
people = st.none() | st.lists(st.sampled_from([f"person-{i}" for i in range(1, 5)]), min_size=1)
samples = st.none() | st.lists(st.integers(0, TRAIN - 1), min_size=1)


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(names, people.map(lambda p: p and tuple(p)), samples)
def test_forget_and_retained_rows_together_are_all_rows(repository, classes, subjects, ids):
    chosen = ids and tuple(f"train-{i}" for i in ids)
    selection = {"classes": classes, "subjects": subjects, "samples": chosen}
    try:
        forget = resolve(spec(repository, **selection), max_share=1)
    except (errors.EmptySelectionError, errors.WholeDatasetError):
        return
    parts = [
        everything(forget.rows(split="train", part=part, classes=CLASSES, memory_budget=64))[1]
        for part in ("forget", "retained")
    ]
    assert len(parts[0]) == forget.count
    assert sorted(torch.cat(parts)[:, 0].tolist()) == list(range(TRAIN))
    for i in map(int, parts[0][:, 0].tolist()):
        assert classes is None or CLASSES[i % 3] in classes
        assert subjects is None or f"person-{i % 5}" in subjects
        assert ids is None or i in ids


def test_the_digest_names_the_selected_rows_and_needs_the_key(repository):
    by_class = resolve(spec(repository, classes=("b",)))
    ids = tuple(f"train-{i}" for i in reversed(range(TRAIN)) if i % 3 == 1)
    by_ids = resolve(spec(repository, samples=ids))
    assert (by_class.kind, by_ids.kind) == ("class", "samples")
    assert by_class.set_digest == by_ids.set_digest
    assert by_class.set_digest != resolve(spec(repository, samples=ids[1:])).set_digest
    assert by_class.set_digest != resolve(spec(repository, classes=("b",)), key=b"other").set_digest


def test_a_tracked_file_is_a_forget_set_of_its_own(repository):
    path = "data/requests/r1.parquet"
    forget = resolve(spec(repository, dataset=path, whole=True), max_share=0.01)
    of_class = resolve(spec(repository, dataset=path, whole=True, classes=("a", "new")))
    assert (of_class.kind, of_class.count, of_class.total) == ("class", 2, 2)
    assert (forget.kind, forget.count, forget.held_out_count) == ("samples", 2, 0)
    assert len(forget.dvc_md5) == 32
    assert forget.info.classes == ("a", "new")
    rows = forget.rows(split="train", part="forget", classes=CLASSES, memory_budget=BUDGET)
    assert everything(rows)[2].tolist() == [0, -1]
    for split, part in (("train", "retained"), ("test", "forget")):
        assert forget.rows(split=split, part=part, classes=CLASSES, memory_budget=1) is None


REFUSED = [
    (spec("nowhere", classes=("a",)), errors.NotARepositoryError, "data.repository"),
    (spec("", rev="no-such", classes=("a",)), errors.MissingRevisionError, "'no-such'"),
    (spec("", rev="0" * 40, classes=("a",)), errors.MissingRevisionError, "has no revision"),
    (
        spec("", dataset="data/none", classes=("a",)),
        errors.MissingDatasetError,
        "dvc add data/none",
    ),
    (spec("", dataset="data", classes=("a",)), errors.MissingDatasetError, "tracks no data set"),
    (spec("", dataset="data/plain.txt", classes=("a",)), errors.MissingDatasetError, "tracks no"),
    (spec("", dataset="data/requests/text.txt", whole=True), errors.FormError, "no Parquet file"),
    (
        spec("", dataset="data/requests/r2.parquet", whole=True),
        errors.FormError,
        "lacks the column label",
    ),
    (
        spec("", dataset="data/requests/r1.parquet", subjects=("p",)),
        errors.FormError,
        "lacks the column subject_id",
    ),
    (spec("", classes=("a", "z")), errors.UnknownClassError, "'z'.*a, b, c"),
    (spec("", subjects=("Ada", "person-1")), errors.UnknownIdsError, "1 of the 2 subject ids"),
    (spec("", samples=("Ada", "Bob")), errors.UnknownIdsError, "2 of the 2 sample ids"),
    (spec(""), errors.EmptySelectionError, "--whole"),
    (spec("", classes=()), errors.EmptySelectionError, "names nothing"),
    (spec("", classes=("a",), samples=("train-1",)), errors.EmptySelectionError, "matches no"),
    (spec("", samples=("test-1",)), errors.EmptySelectionError, "matches no training row"),
    (spec("", classes=CLASSES), errors.WholeDatasetError, "all 60 training rows"),
    (spec("", classes=("a", "b")), errors.ShareExceededError, "40 of 60.*66.7%.*50%"),
]


@pytest.mark.parametrize(("asked", "error", "text"), REFUSED)
def test_what_cannot_be_forgotten_is_refused_with_its_own_error(
    repository, asked, error, text, caplog
):
    caplog.set_level(logging.DEBUG, "lethe")
    if not asked.repository:
        asked = asked.model_copy(update={"repository": repository})
    with pytest.raises(error, match=text) as caught:
        resolve(asked)
    assert type(caught.value) is error
    assert "Nothing was" in str(caught.value)
    for hidden in ("Ada", "Bob"):
        assert hidden not in str(caught.value) + caplog.text + repr(asked)


def test_subject_ids_come_in_the_order_of_the_rows(repository):
    """x of row i is i, so the rows say whose they are."""
    forget = resolve(spec(repository, classes=("a",)))
    for part in ("forget", "retained"):
        rows = forget.rows(split="train", part=part, classes=CLASSES, memory_budget=BUDGET)
        numbers = rows.x[:, 0].int().tolist()
        assert forget.subject_ids(part) == [f"person-{i % 5}" if i % 5 else None for i in numbers]
        assert 0 < len(numbers) < TRAIN
    without = spec(repository, dataset="data/requests/r1.parquet", whole=True)
    with pytest.raises(errors.FormError, match=r"lacks the column subject_id.*unseen_folds"):
        resolve(without).subject_ids("forget")


def test_a_folder_without_git_or_without_dvc_is_refused(tmp_path):
    with pytest.raises(errors.NotARepositoryError):
        resolve(spec(str(tmp_path), "HEAD", classes=("a",)))
    git(tmp_path, "init", "-q", ".")
    with pytest.raises(errors.MissingRevisionError):
        resolve(spec(str(tmp_path), "HEAD", classes=("a",)))
    (tmp_path / "file").touch()
    git(tmp_path, "add", "-A")
    git(tmp_path, "-c", "user.email=t@e.c", "-c", "user.name=t", "commit", "-q", "-m", "x")
    with pytest.raises(errors.NotARepositoryError, match="does not use DVC"):
        resolve(spec(str(tmp_path), "HEAD", classes=("a",)))


def test_what_was_never_pushed_is_told_with_the_command(made, tmp_path):
    root, remote, _ = made
    shutil.copytree(root, tmp_path / "copy")
    shutil.rmtree(tmp_path / "copy" / ".dvc" / "cache")
    forget = resolve(spec(str(tmp_path / "copy"), classes=("a",)))
    gone = remote.rename(remote.with_name("gone"))
    try:
        with pytest.raises(errors.MissingObjectError, match="dvc push"):
            resolve(spec(str(tmp_path / "copy"), classes=("a",)))
        with pytest.raises(errors.MissingObjectError, match="dvc push"):
            forget.rows(split="train", part="forget", classes=CLASSES, memory_budget=BUDGET)
    finally:
        gone.rename(remote)


def test_the_working_tree_plays_no_part(made, tmp_path):
    root, _, _ = made
    shutil.copytree(root, tmp_path / "copy")
    before = resolve(spec(str(tmp_path / "copy"), "HEAD", classes=("a",)))
    (tmp_path / "copy" / "data" / "toy.dvc").write_text("outs: []")
    shutil.rmtree(tmp_path / "copy" / "data" / "toy")
    after = resolve(spec(str(tmp_path / "copy"), "HEAD", classes=("a",)))
    assert (after.git_rev, after.set_digest) == (before.git_rev, before.set_digest)


def test_no_index_is_shared_with_other_processes(made, tmp_path, monkeypatch):
    """DVC's own is a file outside of the repository, which one process finds half written."""
    root, _, (first, _) = made
    monkeypatch.setenv("DVC_SITE_CACHE_DIR", str(tmp_path))
    assert resolve(spec(str(root), first, classes=("b",))).total == TRAIN
    assert not list(tmp_path.rglob("index"))


def test_another_repository_is_read_by_url_at_an_older_revision(made, tmp_path):
    root, _, (first, _) = made
    git(tmp_path, "clone", "-q", "--bare", str(root), "bare.git")
    url = f"file://{tmp_path / 'bare.git'}"
    for rev in ("HEAD~1", first, first[:10], "main~1"):
        forget = resolve(spec(url, rev, classes=("b",)))
        assert (forget.git_rev, forget.total) == (first, TRAIN)
    assert resolve(spec(url, "main", classes=("b",))).total == TRAIN - 9
    rows = forget.rows(split="train", part="forget", classes=CLASSES, memory_budget=BUDGET)
    assert len(rows) == 20
    with pytest.raises(errors.MissingRevisionError):
        resolve(spec(url, "no-such", classes=("b",)))


CLONING = """
import os, sys
from lethe.data.repository import open_dataset
opened = open_dataset(sys.argv[1], "data/toy", "HEAD")
child = os.fork()
if not child:
    sys.exit()
os.waitpid(child, 0)
assert opened.schema.names
print(*os.listdir(os.environ["TMPDIR"]))
"""


def test_a_process_leaves_no_clone_of_another_repository_behind(made, tmp_path, monkeypatch):
    root, _, _ = made
    git(tmp_path, "clone", "-q", "--bare", str(root), "bare.git")
    (tmp_path / "temporary").mkdir()
    monkeypatch.setenv("TMPDIR", str(tmp_path / "temporary"))
    url = f"file://{tmp_path / 'bare.git'}"
    done = subprocess.run(
        [sys.executable, "-c", CLONING, url], check=True, capture_output=True, text=True, cwd=ROOT
    )
    assert "dvc-clone" in done.stdout
    assert not list((tmp_path / "temporary").iterdir())


def test_credentials_are_not_shown():
    shown = without_credentials("https://user:secret@example.com:8443/a/b.git?token=secret")
    assert shown == "https://example.com:8443/a/b.git"
    assert without_credentials("git@example.com:a/b.git") == "git@example.com:a/b.git"
    assert without_credentials("../data") == "../data"
    with pytest.raises(errors.NotARepositoryError) as caught:
        resolve(spec("http://user:secret@localhost:9/a.git", classes=("a",)))
    assert "secret" not in str(caught.value)


def test_a_remote_in_s3_is_read_without_filling_the_cache(tmp_path, monkeypatch):
    server = ThreadedMotoServer(port=0, verbose=False)
    server.start()
    try:
        host, port = server.get_host_and_port()
        endpoint = f"http://{host}:{port}"
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
        monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
        monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
        bucket = boto3.resource("s3", endpoint_url=endpoint).create_bucket(Bucket="data")
        root = tmp_path / "repository"
        make(root, {"url": "s3://data/dvc", "endpointurl": endpoint})
        shutil.rmtree(root / ".dvc" / "cache")
        forget = resolve(spec(str(root), classes=("b",)))
        for budget in (BUDGET, 64):
            rows = forget.rows(split="train", part="forget", classes=CLASSES, memory_budget=budget)
            assert everything(rows, seed=0)[1][:, 0].sum() == sum(range(1, TRAIN, 3))
        assert not (root / ".dvc" / "cache" / "files").exists()
        bucket.objects.all().delete()
        with pytest.raises(errors.MissingObjectError, match="dvc push"):
            resolve(spec(str(root), classes=("b",)))
    finally:
        server.stop()
    with pytest.raises(errors.RemoteError, match="cannot be read: EndpointConnectionError"):
        resolve(spec(str(root), classes=("b",)))


def test_all_rows_of_a_data_set_are_read_for_training(repository):
    found = dataset_rows(repository, "data/toy", "HEAD~1", memory_budget=BUDGET)
    assert (len(found.rows), found.info.classes) == (TRAIN, CLASSES)
    held_out = dataset_rows(repository, "data/toy", split="test", classes=("c",), memory_budget=64)
    assert isinstance(held_out.rows, ParquetRows)
    assert Counter(everything(held_out.rows)[2].tolist()) == {-1: 16, 0: 8}
    foreign = dataset_rows(repository, "data/requests/r1.parquet", memory_budget=BUDGET)
    assert foreign.info.classes == ("a", "new")
    with pytest.raises(errors.MissingDatasetError, match="no test rows"):
        dataset_rows(repository, "data/requests/r1.parquet", split="test", memory_budget=1)


def test_data_sets_are_listed_and_summarised(made):
    root, _, (first, _) = made
    found = {entry.dataset: entry for entry in list_datasets(root)}
    assert found["data/toy"].present
    assert found["data/toy"].dvc_md5 == summarise(str(root), "data/toy", "HEAD").dvc_md5
    summary = summarise(str(root), "data/toy", first)
    assert summary.rows == {"train": dict.fromkeys(CLASSES, 20), "test": dict.fromkeys(CLASSES, 8)}
    assert summary.row_groups == {"train": 2, "test": 1}


def test_resolving_takes_little_time(repository):
    resolve(spec(repository, classes=("b",)))
    started = time.perf_counter()
    resolve(spec(repository, classes=("b",)))
    assert time.perf_counter() - started < 2
