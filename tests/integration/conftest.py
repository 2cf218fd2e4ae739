"""A project of its own for the tests: git, DVC with digits, MLflow on SQLite, Prefect's server."""

import contextlib
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def _git(*words, cwd):
    identity = ["-c", "user.name=Tests", "-c", "user.email=tests@example.org"]
    subprocess.run(["git", *identity, *words], cwd=cwd, check=True, capture_output=True)


@pytest.fixture(scope="session")
def seed_project(tmp_path_factory):
    """A committed project with the digits data set pushed to its DVC remote."""
    from lethe.data.prepare import ensure_prepared

    folder = tmp_path_factory.mktemp("project")
    shutil.copytree(ROOT / "lethe", folder / "lethe", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copytree(ROOT / ".dvc", folder / ".dvc", ignore=shutil.ignore_patterns("cache", "tmp"))
    for name in ("dvc.yaml", "dvc.lock", "params.yaml", ".gitignore", ".dvcignore"):
        if (ROOT / name).exists():
            shutil.copy(ROOT / name, folder / name)
    (folder / "data").mkdir()
    shutil.copy(ROOT / "data" / ".gitignore", folder / "data" / ".gitignore")
    _git("init", "-q", "-b", "main", cwd=folder)
    _git("add", "-A", cwd=folder)
    _git("commit", "-q", "-m", "A project", cwd=folder)
    with contextlib.chdir(folder):
        ensure_prepared("digits", root=folder, home=folder / ".lethe")
    return folder


@pytest.fixture(scope="session")
def trained_project(seed_project, prefect_server):
    """The same project after `lethe train digits`: digits/1 is registered as champion."""
    from flows.train import train

    with contextlib.chdir(seed_project):
        result = train("digits")
    assert result.version == "digits/1"
    return seed_project


@pytest.fixture
def project(trained_project, tmp_path, monkeypatch, request):
    """A copy of the trained project for one test, which is the working folder.

    Flows draw no pictures and look at no hidden layers there, which takes most of their time,
    unless the test asks for them.
    """
    if request.node.get_closest_marker("pictures") is None:
        monkeypatch.setattr("tasks.report._pictures", lambda *_: [])
    if request.node.get_closest_marker("features") is None:
        monkeypatch.setenv("LETHE_EVALUATION__FEATURE_LEVEL", "false")
    folder = tmp_path / "project"
    shutil.copytree(trained_project, folder, symlinks=True)
    _relocate(folder / ".lethe" / "mlflow.db", trained_project, folder)
    monkeypatch.chdir(folder)
    return folder


def _relocate(database, old, new):
    """MLflow stores absolute artifact paths; point the copy's at the copy."""
    import sqlite3

    with sqlite3.connect(database) as db:
        columns = [
            ("experiments", "artifact_location"),
            ("runs", "artifact_uri"),
            ("logged_models", "artifact_location"),
            ("model_versions", "storage_location"),
            ("model_versions", "source"),
        ]
        for table, column in columns:
            db.execute(
                f"UPDATE {table} SET {column} = replace({column}, ?, ?)",  # noqa: S608 (fixed names)
                (str(old), str(new)),
            )
