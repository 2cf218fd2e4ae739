"""Repositories that data sets are read from: here, elsewhere, in part, or not at all."""

import shutil
import subprocess
import sys
from pathlib import Path

import boto3
import pytest
from moto.server import ThreadedMotoServer

sys.path.insert(0, str(Path(__file__).parent))

from dvc_tools import BUDGET, CLASSES, TRAIN, everything, git, make, resolve, spec

from lethe.data import errors
from lethe.data.repository import without_credentials

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("dvc")
    revs = make(folder / "repository", {"url": str(folder / "remote")})
    return folder / "repository", folder / "remote", revs


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
