"""The stages of dvc.yaml, run for real in a copy of the project's files."""

import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

from cli.data import app
from lethe.data.errors import ImportFailedError, NotARepositoryError
from lethe.data.importers.common import Originals
from lethe.data.prepare import KNOWN, ensure_prepared, prepare
from lethe.errors import DataError

PROJECT = Path(__file__).parents[2]
FILES = ("dvc.yaml", "dvc.lock", "params.yaml", ".dvc/config", ".dvc/.gitignore", ".dvcignore")


@pytest.fixture
def checkout(tmp_path, monkeypatch):
    """What a fresh machine has: the committed files and no data."""
    for name in FILES:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        shutil.copy(PROJECT / name, tmp_path / name)
    shutil.copytree(
        PROJECT / "lethe", tmp_path / "lethe", ignore=shutil.ignore_patterns("__pycache__")
    )
    subprocess.run(["git", "init", "-q", "."], cwd=tmp_path, check=True)
    (tmp_path / "data").mkdir()
    monkeypatch.chdir(tmp_path)
    return tmp_path


def outputs(checkout):
    lock = yaml.safe_load((checkout / "dvc.lock").read_text())
    return {name: stage["outs"][0]["md5"] for name, stage in lock["stages"].items()}


def test_a_fresh_machine_makes_what_dvc_lock_says_and_then_reuses_it(checkout):
    locked = (checkout / "dvc.lock").read_text()
    assert ensure_prepared("digits", root=checkout, home=checkout / ".lethe") is False
    assert (checkout / "dvc.lock").read_text() == locked
    pushed = checkout / ".lethe" / "dvc-remote" / "files" / "md5"
    digest = outputs(checkout)["prepare@digits"]
    assert (pushed / digest[:2] / digest[2:]).is_file()
    assert ensure_prepared("digits", root=checkout, home=checkout / ".lethe") is True
    assert (checkout / "data" / ".gitignore").read_text().split() == ["/digits"]


def test_a_lost_remote_is_filled_again(checkout):
    ensure_prepared("digits", root=checkout, home=checkout / ".lethe")
    shutil.rmtree(checkout / ".lethe" / "dvc-remote")
    assert ensure_prepared("digits", root=checkout, home=checkout / ".lethe") is True
    assert any((checkout / ".lethe" / "dvc-remote").rglob("*.dir"))


def test_a_stage_needs_no_activated_environment(checkout):
    (checkout / ".venv").symlink_to(Path(sys.executable).parent.parent)
    environment = {name: value for name, value in os.environ.items() if name != "VIRTUAL_ENV"}
    subprocess.run(
        [".venv/bin/python", "-m", "dvc", "repro", "-q", "prepare@digits"],
        cwd=checkout,
        check=True,
        env=environment | {"PATH": "/usr/bin:/bin"},
    )
    assert (checkout / "data" / "digits" / "train.parquet").is_file()


def test_a_stage_that_fails_says_why_and_leaves_nothing(checkout):
    (checkout / "empty").mkdir()
    with pytest.raises(ImportFailedError, match=r"holds no watch/.*dvc repro prepare@watch"):
        ensure_prepared("watch", root=checkout, home=checkout, mirror=checkout / "empty")
    assert not (checkout / "data" / "watch").exists()


def test_no_stage_outside_a_project(tmp_path):
    with pytest.raises(NotARepositoryError):
        ensure_prepared("digits", root=tmp_path, home=tmp_path)


def test_unknown_names_and_missing_parameters_are_refused(tmp_path):
    originals = Originals(mirror=None, cache=tmp_path)
    with pytest.raises(ImportFailedError, match="digits, watch, cwru"):
        prepare("mnist", tmp_path, originals=originals, params=PROJECT / "params.yaml")
    with pytest.raises(ImportFailedError, match="no parameters"):
        prepare("digits", tmp_path, originals=originals, params=tmp_path / "none.yaml")


@pytest.mark.mirror
@pytest.mark.slow
@pytest.mark.parametrize("name", KNOWN)
def test_the_original_data_gives_the_locked_hashes(name, tmp_path, mirror):
    if name != "digits" and not (Path(mirror) / name).is_dir():
        pytest.skip(f"the mirror has no folder {name}")
    prepare(
        name,
        tmp_path,
        originals=Originals(mirror=Path(mirror), cache=tmp_path / "cache"),
        params=PROJECT / "params.yaml",
    )
    entries = [
        f'{{"md5": "{hashlib.md5(path.read_bytes()).hexdigest()}", "relpath": "{path.name}"}}'  # noqa: S324 (DVC's own hash)
        for path in sorted(tmp_path.glob("*.parquet"))
    ]
    folder = hashlib.md5(f"[{', '.join(entries)}]".encode()).hexdigest()  # noqa: S324
    assert outputs(PROJECT)[f"prepare@{name}"] == f"{folder}.dir"


run = CliRunner().invoke


def test_the_command_imports_and_tells_what_comes_next(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    done = run(app, ["import", "digits", "--name", "mine", "--json"])
    assert done.exit_code == 0
    assert "dvc add data/mine" in done.stdout
    assert (tmp_path / "data" / "mine" / "train.parquet").is_file()
    again = run(app, ["import", "digits", "--name", "mine"])
    assert isinstance(again.exception, DataError)
    assert "--force" in str(again.exception)
    assert run(app, ["import", "digits", "--name", "mine", "--force"]).exit_code == 0
    outside = run(app, ["import", "digits", "--name", "../mine"])
    assert isinstance(outside.exception, DataError)


def test_the_command_lists_shows_and_prepares(checkout):
    assert run(app, ["prepare", "digits", "--json"]).stdout.count("false") == 1
    subprocess.run(["git", "add", "-A", "-f", "dvc.lock", "dvc.yaml", ".dvc"], check=True)
    identity = ["-c", "user.email=t@example.com", "-c", "user.name=t"]
    subprocess.run(["git", *identity, "commit", "-q", "-m", "x"], check=True)
    listed = run(app, ["list", "--json"])
    assert outputs(checkout)["prepare@digits"] in listed.stdout
    shown = run(app, ["show", "data/digits"])
    assert shown.exit_code == 0
    for text in ("1258", "539", "BSD-3-Clause"):
        assert text in shown.stdout
