"""The real stack, in a folder and on ports of its own, with a project made from this checkout."""

import os
import shutil
import socket
import subprocess
import tempfile
from contextlib import ExitStack
from pathlib import Path

import pytest

from infra.stack.config import ROOT, StackSettings
from infra.stack.errors import StackError
from infra.stack.secrets import read_credentials
from infra.stack.up import start, stop

PACKAGES = ("lethe", "flows", "tasks", "model_registry", "cli", ".dvc")
FILES = ("dvc.yaml", "dvc.lock", "params.yaml", "pyproject.toml", "prefect.yaml", ".gitignore")
PORTS = ("postgres", "s3", "mlflow", "prefect", "intake", "tickets")
# What the project's own tests look at is left out of these runs, so that they are short.
CLIENTS = """
LETHE_EVALUATION__FEATURE_LEVEL=false
LETHE_LEDGER__LEASE_SECONDS=20
PREFECT_FLOWS_HEARTBEAT_FREQUENCY=30
OMP_NUM_THREADS=1
"""


def _free_ports(number):
    with ExitStack() as stack:
        probes = [stack.enter_context(socket.socket()) for _ in range(number)]
        for probe in probes:
            probe.bind(("127.0.0.1", 0))
        return [probe.getsockname()[1] for probe in probes]


def _project(folder):
    clutter = shutil.ignore_patterns("__pycache__", "cache", "tmp")
    for name in PACKAGES:
        shutil.copytree(ROOT / name, folder / name, ignore=clutter)
    for name in FILES:
        shutil.copy(ROOT / name, folder / name)
    (folder / "data").mkdir()
    shutil.copy(ROOT / "data" / ".gitignore", folder / "data" / ".gitignore")
    identity = ["-c", "user.name=Tests", "-c", "user.email=tests@example.org"]
    for words in (["init", "-q", "-b", "main"], ["add", "-A"], ["commit", "-q", "-m", "A project"]):
        subprocess.run(["git", *identity, *words], cwd=folder, check=True)


@pytest.fixture(scope="session")
def stack(tmp_path_factory):
    """Settings and credentials of a stack that runs.

    STACK_RUNNING=1 takes the one that `make stack` started, which is quicker while writing tests.
    """
    if os.environ.get("STACK_RUNNING"):
        settings = StackSettings()
        yield settings, read_credentials(settings)
        return
    home = Path(tempfile.mkdtemp(prefix="lethe-stack-"))  # short: a socket lies in it
    project = tmp_path_factory.mktemp("stack") / "project"
    _project(project)
    ports = dict(zip((f"{name}_port" for name in PORTS), _free_ports(len(PORTS)), strict=True))
    for name in [name for name in os.environ if name.startswith("LETHE_")]:
        del os.environ[name]
    settings = StackSettings(home=home, project=project, **ports)
    (home / "clients.env").write_text(CLIENTS)
    said = []
    try:
        credentials = start(settings, said.append)
    except StackError as error:
        if "cannot reach" in str(error):  # root, in a folder that nobody else gets into
            pytest.skip(str(error))
        raise
    yield settings, credentials
    stop(settings, said.append)
    shutil.rmtree(home, ignore_errors=True)
