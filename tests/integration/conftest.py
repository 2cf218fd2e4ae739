"""A project of its own for the tests: git, DVC with digits, MLflow on SQLite, Prefect's server."""

import contextlib
import json
import shutil

import pytest

OFTEN_LEFT_OUT = frozenset({"pictures", "features"})


@pytest.fixture(scope="session")
def trained_project(made_once, seed_project, prefect_server):
    """The same project after `lethe train digits`: digits/1 is registered as champion."""
    from flows.train import train

    def make(folder):
        shutil.copytree(seed_project, folder, symlinks=True)
        with contextlib.chdir(folder):
            assert train("digits").version == "digits/1"

    return made_once("trained-project", make)


@pytest.fixture
def project(trained_project, enter, request):
    """A copy of the trained project for one test, which is the working folder.

    Flows draw no pictures and look at no hidden layers there, which takes most of their time,
    unless the test asks for them.
    """
    wanted = {marker.name for marker in request.node.iter_markers()}
    return enter(trained_project, leave_out=OFTEN_LEFT_OUT - wanted)


@pytest.fixture(scope="session")
def prepared(made_once, trained_project):
    """Does once, in a copy of the trained project, what several tests begin with.

    Gives the project and what `work()` returned, which must be JSON.
    """

    def make(name, work):
        def in_copy(folder):
            project = _copy(trained_project, folder / "project")
            with pytest.MonkeyPatch.context() as patch, contextlib.chdir(project):
                _leave_out(patch, OFTEN_LEFT_OUT)
                (folder / "result.json").write_text(json.dumps(work()))

        folder = made_once(name, in_copy)
        return folder / "project", json.loads((folder / "result.json").read_text())

    return make


@pytest.fixture
def enter(tmp_path, monkeypatch):
    """Copies a project for one test and makes the copy the working folder."""

    def copy(project, leave_out=OFTEN_LEFT_OUT):
        _leave_out(monkeypatch, leave_out)
        folder = _copy(project, tmp_path / "project")
        monkeypatch.chdir(folder)
        return folder

    return copy


@pytest.fixture
def forgotten(prepared, enter):
    """What two flows gave in a copy of their project: digits/2 forgot class 3, digits/3 class 5."""
    from tasks.results import UnlearnResult

    project, results = prepared("forgotten", _forget_two)
    enter(project)
    return [UnlearnResult.model_validate_json(one) for one in results]


def _forget_two():
    from flows.unlearn import unlearn
    from lethe.data.forget_spec import ForgetSpec
    from lethe.data.selection import Selection
    from lethe.deletion.request import DeletionRequest
    from lethe.settings import load_settings
    from tasks.one_request import file_request

    def forget(label):
        spec = ForgetSpec(dataset="data/digits", selection=Selection(classes=(label,)))
        request = DeletionRequest(model="digits@champion", forget=spec)
        return unlearn(file_request(load_settings(), request).id)

    return [forget(label).model_dump_json() for label in ("3", "5")]


def _leave_out(patch, names):
    if "pictures" in names:
        patch.setattr("tasks.report._pictures", lambda *_: [])
    if "features" in names:
        patch.setenv("LETHE_EVALUATION__FEATURE_LEVEL", "false")


def _copy(project, folder):
    shutil.copytree(project, folder, symlinks=True)
    _relocate(folder / ".lethe" / "mlflow.db", project, folder)
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
