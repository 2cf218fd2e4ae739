"""The real `lethe` command, in a process of its own or in this one."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

COMMAND = [sys.executable, "-c", "from cli.main import main; main()"]


@pytest.fixture(autouse=True)
def _wide(monkeypatch):
    """Messages on one line, however long the path of a temporary folder is."""
    from cli import output

    for console in (output.out, output.err):
        monkeypatch.setattr(console, "_width", 400)


@pytest.fixture
def lethe(lethe, tmp_path, monkeypatch):
    """Run the command in an empty folder: exit code, standard output, standard error."""
    monkeypatch.chdir(tmp_path)
    return lethe


@pytest.fixture(scope="session")
def empty_store(tmp_path_factory):
    """The database of an MLflow store without any model; made once, which takes seconds."""
    from mlflow import MlflowClient

    path = tmp_path_factory.mktemp("store") / "mlflow.db"
    MlflowClient(f"sqlite:///{path}").search_registered_models()
    return path


@pytest.fixture
def registry(lethe, tmp_path, empty_store):
    """A client of an empty store where the command looks for one."""
    from mlflow import MlflowClient

    (tmp_path / ".lethe").mkdir()
    shutil.copy(empty_store, tmp_path / ".lethe" / "mlflow.db")
    return MlflowClient(f"sqlite:///{tmp_path}/.lethe/mlflow.db")


@pytest.fixture
def process():
    """Run Python code or the command in a fresh process."""

    def run(*words, code=None):
        command = [sys.executable, "-c", code] if code else [*COMMAND, *words]
        root = Path(__file__).parents[3]
        return subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)

    return run
